//! [`Tripwire`]: the files of a store, with something that happens at a chosen operation.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use qsse_store::io::mem::{Failure, MemIo};
use qsse_store::io::{Io, IoFile, Lock, LockError};
use tokio::time::{Instant, sleep};

/// Files in memory. At a chosen operation the power goes, and the network with it in the same
/// instant, so that nobody hears of what the process makes of that; or the operation fails.
#[derive(Clone)]
pub(crate) struct Tripwire {
    pub(crate) files: MemIo,
    /// The process that uses it. One that has ended does nothing any more.
    process: u64,
    plan: Arc<Plan>,
}

struct Plan {
    /// Processes so far.
    processes: AtomicU64,
    /// From when on and until when nothing is done.
    hangs: Mutex<Option<(Instant, Instant)>>,
    /// Operations until the power goes; `usize::MAX` is never.
    power: AtomicUsize,
    off: AtomicBool,
    at_off: Box<dyn Fn() + Send + Sync>,
    /// Operations that change something until one fails.
    fail: Mutex<Option<(usize, Failure)>>,
}

impl Tripwire {
    /// Files that call `at_off` when the power goes.
    pub(crate) fn new(at_off: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            files: MemIo::new(),
            process: 0,
            plan: Arc::new(Plan {
                processes: AtomicU64::new(0),
                hangs: Mutex::new(None),
                power: AtomicUsize::new(usize::MAX),
                off: AtomicBool::new(false),
                at_off: Box::new(at_off),
                fail: Mutex::new(None),
            }),
        }
    }

    /// The same files for a new process; all before it have ended.
    pub(crate) fn process(&self) -> Self {
        let process = self.plan.processes.fetch_add(1, Ordering::SeqCst) + 1;
        Self {
            process,
            ..self.clone()
        }
    }

    /// Ends all processes, also what they have begun and the disk has not done yet.
    pub(crate) fn end_processes(&self) {
        self.plan.processes.fetch_add(1, Ordering::SeqCst);
    }

    /// The disk does nothing for a time.
    pub(crate) fn hang(&self, time: Duration) {
        let now = Instant::now();
        let since = self.hangs_for().map_or(now, |time| now - time);
        *self.plan.hangs.lock() = Some((since, now + time));
    }

    /// For how long the disk has done nothing, if it does nothing now.
    pub(crate) fn hangs_for(&self) -> Option<Duration> {
        let (since, until) = (*self.plan.hangs.lock())?;
        (Instant::now() < until).then(|| since.elapsed())
    }

    /// Waits until the disk does something.
    pub(crate) async fn awake(&self) {
        while self.hangs_for().is_some() {
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// The power goes after so many more operations.
    pub(crate) fn power_off_after(&self, operations: usize) {
        self.plan.power.store(operations, Ordering::SeqCst);
    }

    /// The power goes now, unless it has.
    pub(crate) fn power_off(&self) {
        if !self.plan.off.swap(true, Ordering::SeqCst) {
            self.files.power_off_at(self.files.operations());
            (self.plan.at_off)();
        }
    }

    pub(crate) fn is_off(&self) -> bool {
        self.plan.off.load(Ordering::SeqCst)
    }

    /// The machine is on again, with what a crash of it has left; `None` is one of the process
    /// only.
    pub(crate) fn power_on(&self, crash: Option<u64>) {
        self.plan.power.store(usize::MAX, Ordering::SeqCst);
        self.plan.off.store(false, Ordering::SeqCst);
        self.mend();
        match crash {
            Some(seed) => self.files.crash(seed),
            None => self.files.recover(),
        }
    }

    /// The operation after so many more that change something fails.
    pub(crate) fn fail_after(&self, operations: usize, failure: Failure) {
        *self.plan.fail.lock() = Some((operations, failure));
    }

    /// Nothing fails or hangs from now on.
    pub(crate) fn mend(&self) {
        *self.plan.fail.lock() = None;
        *self.plan.hangs.lock() = None;
    }

    fn operation(&self, changes: bool) -> io::Result<()> {
        if self.process != self.plan.processes.load(Ordering::SeqCst) {
            return Err(io::Error::other("the process has ended"));
        }
        match self.plan.power.load(Ordering::SeqCst) {
            usize::MAX => {}
            0 => {
                self.plan.power.store(usize::MAX, Ordering::SeqCst);
                self.power_off();
            }
            left => self.plan.power.store(left - 1, Ordering::SeqCst),
        }
        if changes {
            let mut fail = self.plan.fail.lock();
            match &mut *fail {
                Some((0, failure)) => {
                    self.files.fail_at(self.files.operations(), *failure);
                    *fail = None;
                }
                Some((left, _)) => *left -= 1,
                None => {}
            }
        }
        Ok(())
    }

    fn file(&self, file: Arc<dyn IoFile>) -> Arc<dyn IoFile> {
        let wire = self.clone();
        Arc::new(File { wire, file })
    }
}

impl Io for Tripwire {
    fn create(&self, name: &str) -> io::Result<Arc<dyn IoFile>> {
        self.operation(true)?;
        self.files.create(name).map(|file| self.file(file))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn IoFile>> {
        self.operation(false)?;
        self.files.open(name).map(|file| self.file(file))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.operation(true)?;
        self.files.remove(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.operation(true)?;
        self.files.rename(from, to)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.operation(false)?;
        self.files.list()
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.operation(true)?;
        self.files.sync_dir()
    }

    fn lock(&self, purpose: &str) -> Result<Box<dyn Lock>, LockError> {
        self.files.lock(purpose)
    }
}

struct File {
    wire: Tripwire,
    file: Arc<dyn IoFile>,
}

impl IoFile for File {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.wire.operation(false)?;
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.wire.operation(true)?;
        self.file.write_at(buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.wire.operation(true)?;
        self.file.sync_data()
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.wire.operation(true)?;
        self.file.truncate(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.wire.operation(false)?;
        self.file.len()
    }
}
