//! [`MemIo`]: files in memory. Their operations fail on demand, and a crash may undo their writes.

mod disk;

use super::{Io, IoFile, Lock, LockError};
use disk::{Change, Disk, Inode};
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A kind of operation, for counting and failing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Op {
    /// Creating a file.
    Create,
    /// Opening a file.
    Open,
    /// Reading from a file.
    Read,
    /// Writing to a file.
    Write,
    /// Syncing a file.
    Sync,
    /// Cutting a file.
    Truncate,
    /// Reading a file's length.
    Len,
    /// Removing a file.
    Remove,
    /// Renaming a file.
    Rename,
    /// Listing the directory.
    List,
    /// Syncing the directory.
    SyncDir,
}

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// A device error. A sync that fails with it forgets what it should have synced.
    Io,
    /// No room. Operations that need none fail as with [`Failure::Io`].
    Full,
    /// A write stores half of its bytes, and the next one fails. Other operations fail as with
    /// [`Failure::Io`].
    Short,
}

/// A directory in memory. A clone is the same directory.
///
/// A [`crash`](MemIo::crash) keeps each unsynced write of a file, drops it, or keeps some of its
/// sectors. It does the same with each change of a name after which the directory was not synced.
#[derive(Clone, Default)]
pub struct MemIo {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    disk: Mutex<Disk>,
    plan: Mutex<Plan>,
    locked: AtomicBool,
    holder: Mutex<String>,
}

#[derive(Default)]
struct Plan {
    /// The operations so far.
    done: Vec<Op>,
    /// The number of the operation that fails, and how.
    fail: Option<(usize, Failure)>,
    /// Whether the next write fails, after a short one.
    fail_next_write: bool,
    /// The operation from which on nothing has an effect: the machine is off.
    off: Option<usize>,
    capacity: Option<u64>,
}

impl MemIo {
    /// Creates an empty directory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the number of operations so far.
    pub fn operations(&self) -> usize {
        self.inner.plan.lock().done.len()
    }

    /// Returns all operations so far, in order.
    pub fn history(&self) -> Vec<Op> {
        self.inner.plan.lock().done.clone()
    }

    /// Lets operation `at` fail once. All operations are counted from 0.
    pub fn fail_at(&self, at: usize, failure: Failure) {
        self.inner.plan.lock().fail = Some((at, failure));
    }

    /// Lets every operation from `at` on fail without effect, until [`crash`](Self::crash).
    pub fn power_off_at(&self, at: usize) {
        self.inner.plan.lock().off = Some(at);
    }

    /// Sets the most bytes of all files together; `None` is no limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.inner.plan.lock().capacity = bytes;
    }

    /// Returns the bytes of all files together.
    pub fn used(&self) -> u64 {
        self.inner.disk.lock().used()
    }

    /// Loses what a crash loses, as chosen by `seed`, cancels all planned failures, and unlocks the
    /// directory. A store that still has it open must not be used any more.
    pub fn crash(&self, seed: u64) {
        self.inner.disk.lock().crash(seed);
        self.recover();
    }

    /// Cancels planned failures and unlocks the directory without losing anything, as if only the
    /// process had crashed.
    pub fn recover(&self) {
        let mut plan = self.inner.plan.lock();
        (plan.fail, plan.off, plan.fail_next_write) = (None, None, false);
        self.inner.locked.store(false, Ordering::SeqCst);
    }

    /// Returns the bytes of a file.
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        self.inner.disk.lock().read(name)
    }

    /// Writes and syncs a file.
    pub fn write(&self, name: &str, bytes: Vec<u8>) {
        self.inner.disk.lock().put(name, bytes);
    }

    /// Flips bit `bit` of a file, also for open handles. Returns false if there is no such bit.
    pub fn flip(&self, name: &str, bit: usize) -> bool {
        self.inner.disk.lock().flip(name, bit)
    }

    /// Returns a copy of all files, synced and unlocked.
    pub fn snapshot(&self) -> Self {
        let copy = Self::new();
        *copy.inner.disk.lock() = self.inner.disk.lock().copy();
        copy
    }

    /// Counts an operation. Returns an error if it is to fail, and `Short` if a write is to be
    /// short.
    fn begin(&self, op: Op) -> io::Result<Option<Failure>> {
        let mut plan = self.inner.plan.lock();
        let number = plan.done.len();
        plan.done.push(op);
        if plan.off.is_some_and(|off| number >= off) {
            return Err(io::Error::other("the machine is off"));
        }
        if op == Op::Write && std::mem::take(&mut plan.fail_next_write) {
            return Err(io::Error::other("an injected failure after a short write"));
        }
        match plan.fail {
            Some((at, failure)) if at == number => {
                plan.fail = None;
                match (failure, op) {
                    (Failure::Short, Op::Write) => {
                        plan.fail_next_write = true;
                        Ok(Some(failure))
                    }
                    (Failure::Full, Op::Write | Op::Create | Op::Rename) => {
                        Err(io::ErrorKind::StorageFull.into())
                    }
                    _ => Err(io::Error::other("an injected failure")),
                }
            }
            _ => Ok(None),
        }
    }

    fn capacity(&self) -> Option<u64> {
        self.inner.plan.lock().capacity
    }
}

impl Io for MemIo {
    fn create(&self, name: &str) -> io::Result<Arc<dyn IoFile>> {
        self.begin(Op::Create)?;
        Ok(self.file(self.inner.disk.lock().create(name)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn IoFile>> {
        self.begin(Op::Open)?;
        let inode = self.inner.disk.lock().find(name);
        Ok(self.file(inode.ok_or(io::ErrorKind::NotFound)?))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.begin(Op::Remove)?;
        self.inner.disk.lock().remove(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.begin(Op::Rename)?;
        self.inner.disk.lock().rename(from, to)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.begin(Op::List)?;
        Ok(self.inner.disk.lock().names())
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.begin(Op::SyncDir)?;
        self.inner.disk.lock().sync_dir();
        Ok(())
    }

    fn lock(&self, purpose: &str) -> Result<Box<dyn Lock>, LockError> {
        if self.inner.locked.swap(true, Ordering::SeqCst) {
            let holder = self.inner.holder.lock().clone();
            return Err(LockError::Held { holder });
        }
        purpose.clone_into(&mut self.inner.holder.lock());
        Ok(Box::new(Guard(self.clone())))
    }
}

impl MemIo {
    fn file(&self, inode: Arc<Mutex<Inode>>) -> Arc<dyn IoFile> {
        let io = self.clone();
        Arc::new(MemFile { io, inode })
    }
}

struct Guard(MemIo);

/// Names always lead to the same files, because nobody else has the directory.
impl Lock for Guard {}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.inner.locked.store(false, Ordering::SeqCst);
    }
}

struct MemFile {
    io: MemIo,
    inode: Arc<Mutex<Inode>>,
}

impl IoFile for MemFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.io.begin(Op::Read)?;
        Ok(self.inode.lock().read_at(buf, offset))
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        let mut len = buf.len();
        if self.io.begin(Op::Write)? == Some(Failure::Short) {
            len /= 2;
        }
        if let Some(capacity) = self.io.capacity() {
            let used = self.io.used();
            let mut inode = self.inode.lock();
            let grows = (offset + len as u64).saturating_sub(inode.len());
            let over = (used + grows).saturating_sub(capacity).min(grows);
            len = len.saturating_sub(over as usize);
            if len == 0 && !buf.is_empty() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            inode.change(Change::Write(offset, buf[..len].to_vec()));
        } else {
            let change = Change::Write(offset, buf[..len].to_vec());
            self.inode.lock().change(change);
        }
        Ok(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        if let Err(error) = self.io.begin(Op::Sync) {
            self.inode.lock().sync_failed();
            return Err(error);
        }
        self.inode.lock().sync();
        Ok(())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.io.begin(Op::Truncate)?;
        self.inode.lock().change(Change::Cut(len));
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        self.io.begin(Op::Len)?;
        Ok(self.inode.lock().len())
    }
}
