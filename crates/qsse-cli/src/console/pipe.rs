//! [`Pipe`]: an output that its own thread writes.

mod target;

use std::io::{self, Write};
use std::pin::pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use target::{piece, write};
pub(super) use target::{standard_error, standard_output};

/// How much may wait while the thread writes, so that it is always busy.
const AHEAD_BYTES: usize = 64 * 1024;

/// An output that its own thread writes.
pub(crate) struct Pipe {
    state: Mutex<State>,
    /// Wakes the thread for work, and blocked callers on progress.
    changed: Condvar,
    /// Wakes waiting tasks on progress.
    moved: Notify,
    on_error: OnError,
}

/// What to do with output that cannot be written.
pub(super) enum OnError {
    /// Stop: nothing more is written.
    Stop,
    /// Drop lines. Once writing works again, this text tells how many.
    Lose(fn(u64) -> String),
}

#[derive(Default)]
struct State {
    /// Handed over, and not yet taken by the thread.
    pending: Vec<u8>,
    /// Lines that found no room, after what is pending.
    left_out: u64,
    /// The bytes that were handed over, and those that were written or given up.
    handed: u64,
    done: u64,
    /// The thread has nothing left to do.
    idle: bool,
    /// A caller blocks until that is so.
    watched: bool,
    error: Option<io::Error>,
    /// Nobody waits for the rest.
    abandoned: bool,
}

impl Pipe {
    /// Starts a thread of this name that writes to `target`.
    pub(super) fn start(name: &str, target: Box<dyn Write + Send>, on_error: OnError) -> Arc<Self> {
        let pipe = Arc::new(Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            moved: Notify::new(),
            on_error,
        });
        let of_thread = pipe.clone();
        let thread = std::thread::Builder::new().name(name.into());
        let started = thread.spawn(move || of_thread.run(target));
        if let Err(error) = started {
            pipe.lock().error = Some(error);
        }
        pipe
    }

    /// Waits for room, hands over all of `bytes` and clears them. Cancel-safe: it hands over
    /// everything or nothing.
    ///
    /// # Errors
    /// Something that was handed over before could not be written.
    pub(crate) async fn write(&self, bytes: &mut Vec<u8>) -> io::Result<()> {
        self.when(|pipe| pipe.try_write(bytes).transpose()).await
    }

    /// Does the same as [`write`](Self::write) if there is room now; otherwise `None`.
    ///
    /// # Errors
    /// Those of `write`.
    pub(crate) fn try_write(&self, bytes: &mut Vec<u8>) -> io::Result<Option<()>> {
        let mut state = self.lock();
        state.check()?;
        if state.pending.len() >= AHEAD_BYTES {
            return Ok(None);
        }
        state.hand_over(bytes);
        bytes.clear();
        self.wake(state);
        Ok(Some(()))
    }

    /// Hands over a line, or counts it as lost if more than `limit` bytes would wait.
    pub(super) fn push(&self, line: &[u8], limit: usize) {
        let mut state = self.lock();
        if state.left_out > 0 || state.pending.len() + line.len() > limit {
            state.left_out += lines(line);
        } else {
            state.handed += line.len() as u64;
            state.pending.extend_from_slice(line);
        }
        self.wake(state);
    }

    /// Waits until everything that was handed over is written. Cancel-safe.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) async fn written(&self) -> io::Result<()> {
        self.when(|pipe| {
            let state = pipe.lock();
            match state.check() {
                Ok(()) => (state.done == state.handed).then_some(Ok(())),
                Err(error) => Some(Err(error)),
            }
        })
        .await
    }

    /// Waits until less than `limit` bytes are pending, or writing has failed. Cancel-safe.
    pub(super) async fn below(&self, limit: usize) {
        let calm = |state: &State| state.pending.len() < limit || state.error.is_some();
        self.when(|pipe| calm(&pipe.lock()).then_some(())).await;
    }

    /// Waits until writing has failed. Cancel-safe.
    pub(crate) async fn failed(&self) -> io::Error {
        self.when(|pipe| pipe.lock().check().err()).await
    }

    /// Returns how many bytes were handed over so far.
    pub(crate) fn handed(&self) -> u64 {
        self.lock().handed
    }

    /// Returns how many of them have been written.
    pub(crate) fn done(&self) -> u64 {
        self.lock().done
    }

    /// Waits until everything is written, nothing moves for `stuck`, or `slow` has passed. Then it
    /// gives up the rest, and [`finish`](Self::finish) does not wait again. Returns how many bytes
    /// were given up.
    pub(crate) async fn written_soon(&self, stuck: Duration, slow: Duration) -> u64 {
        let end = tokio::time::Instant::now() + slow;
        loop {
            let before = self.done();
            let until = end.min(tokio::time::Instant::now() + stuck);
            let written = tokio::time::timeout_at(until, self.written()).await;
            let now = tokio::time::Instant::now();
            if written.is_ok() || self.done() == before || now >= end {
                let mut state = self.lock();
                state.abandoned = true;
                return state.handed - state.done;
            }
        }
    }

    /// Does the same as [`written_soon`](Self::written_soon), at the end of the program.
    pub(super) fn finish(&self, stuck: Duration, slow: Duration) {
        let end = Instant::now() + slow;
        let mut state = self.lock();
        state.watched = true;
        let mut since = (state.done, Instant::now());
        while !state.abandoned && state.error.is_none() && !state.idle {
            let now = Instant::now();
            if state.done != since.0 {
                since = (state.done, now);
            }
            let until = end.min(since.1 + stuck);
            let Some(left) = until
                .checked_duration_since(now)
                .filter(|left| !left.is_zero())
            else {
                return;
            };
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Returns what `look` finds, now or after progress.
    async fn when<T>(&self, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        loop {
            // Registered before the look, so that progress in between is not missed.
            let mut moved = pin!(self.moved.notified());
            moved.as_mut().enable();
            if let Some(found) = look(self) {
                return found;
            }
            moved.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        if std::mem::take(&mut state.idle) {
            drop(state);
            self.changed.notify_all();
        }
    }

    /// The loop of the thread.
    fn run(&self, mut target: impl Write) {
        let mut chunk = Vec::new();
        let mut loss = Loss::default();
        loop {
            self.next(&mut chunk, &mut loss);
            let written = match self.on_error {
                OnError::Stop => self.write_all(&mut target, &chunk),
                OnError::Lose(text) => {
                    self.write_what_goes(&mut target, &chunk, &mut loss, text);
                    Ok(())
                }
            };
            chunk.clear();
            if let Err(error) = written {
                self.lock().error = Some(error);
                self.changed.notify_all();
                self.moved.notify_waiters();
                return;
            }
        }
    }

    /// Waits for the next bytes to write.
    fn next(&self, chunk: &mut Vec<u8>, loss: &mut Loss) {
        let mut state = self.lock();
        while state.pending.is_empty() && state.left_out == 0 {
            state.idle = true;
            if state.watched {
                self.changed.notify_all();
            }
            let woken = self.changed.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
        state.idle = false;
        std::mem::swap(chunk, &mut state.pending);
        loss.after = std::mem::take(&mut state.left_out);
        drop(state);
        // Now there is room.
        self.moved.notify_waiters();
    }

    fn write_all(&self, target: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let len = write(target, piece(bytes))?;
            bytes = &bytes[len..];
            self.advance(len);
        }
        target.flush()
    }

    /// Writes what can be written, and reports what cannot.
    fn write_what_goes(
        &self,
        target: &mut impl Write,
        bytes: &[u8],
        loss: &mut Loss,
        text: fn(u64) -> String,
    ) {
        let before = self.done();
        let written = loss
            .tell_before(target, text)
            .and_then(|()| self.write_all(target, bytes));
        let len = (self.done() - before) as usize;
        loss.is_mid_line |= len > 0;
        loss.is_mid_line &= len == 0 || bytes[len - 1] != b'\n';
        if written.is_err() {
            loss.before += lines(&bytes[len..]);
            self.advance(bytes.len() - len);
        }
        loss.before += std::mem::take(&mut loss.after);
        // Lost lines are reported right after those before them.
        let _ = loss.tell_before(target, text);
    }

    fn advance(&self, len: usize) {
        let mut state = self.lock();
        state.done += len as u64;
        if state.watched {
            self.changed.notify_all();
        }
        drop(state);
        self.moved.notify_waiters();
    }
}

impl State {
    fn check(&self) -> io::Result<()> {
        match &self.error {
            Some(error) => Err(copy(error)),
            None => Ok(()),
        }
    }

    fn hand_over(&mut self, bytes: &mut Vec<u8>) {
        self.handed += bytes.len() as u64;
        if self.pending.is_empty() {
            std::mem::swap(&mut self.pending, bytes);
        } else {
            self.pending.extend_from_slice(bytes);
        }
    }
}

/// Counts the lines that were not written.
#[derive(Default)]
struct Loss {
    /// Lost before the next bytes to write.
    before: u64,
    /// Lost after them.
    after: u64,
    /// The last bytes that were written end inside a line.
    is_mid_line: bool,
}

impl Loss {
    fn tell_before(&mut self, target: &mut impl Write, text: fn(u64) -> String) -> io::Result<()> {
        if self.before == 0 {
            return Ok(());
        }
        let start = if self.is_mid_line { "\n" } else { "" };
        let line = format!("{start}{}", text(self.before));
        let mut rest = line.as_bytes();
        while !rest.is_empty() {
            let len = write(target, rest)?;
            rest = &rest[len..];
            self.is_mid_line = true;
        }
        self.is_mid_line = false;
        self.before = 0;
        Ok(())
    }
}

/// Counts the lines, including one whose beginning was written.
fn lines(bytes: &[u8]) -> u64 {
    let ends = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
    ends + u64::from(bytes.last().is_some_and(|byte| *byte != b'\n'))
}

fn copy(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => error.kind().into(),
    }
}

#[cfg(test)]
mod tests;
