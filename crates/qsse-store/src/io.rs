//! Files, as far as a store needs them: real ones, or ones in memory that fail on demand.

mod lock;
#[cfg(feature = "testing")]
pub mod mem;
mod system;

pub use lock::{Lock, LockError, Lost};
use std::io;
use std::sync::Arc;
pub use system::StdIo;

/// A directory of files with flat names.
///
/// A store calls it from the thread that appends, and from those that read. What is written is on the
/// disk for good only after [`IoFile::sync_data`], and names only after [`sync_dir`](Io::sync_dir).
pub trait Io: Send + Sync {
    /// Makes an empty file, also where there is one, for reading and writing.
    ///
    /// # Errors
    /// Those of the system.
    fn create(&self, name: &str) -> io::Result<Arc<dyn IoFile>>;

    /// Opens a file that exists, for reading and writing.
    ///
    /// # Errors
    /// Those of the system; `NotFound` if there is none.
    fn open(&self, name: &str) -> io::Result<Arc<dyn IoFile>>;

    /// Removes a file. Those who have it open go on reading.
    ///
    /// # Errors
    /// Those of the system.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Gives a file another name, in one step, also where there is one of that name.
    ///
    /// # Errors
    /// Those of the system.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// The names of all files, in any order.
    ///
    /// # Errors
    /// Those of the system.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes names that were made, changed and removed last.
    ///
    /// # Errors
    /// Those of the system.
    fn sync_dir(&self) -> io::Result<()>;

    /// Takes the directory for oneself until the guard is dropped, and notes for others what for.
    ///
    /// # Errors
    /// [`LockError::Held`] if someone else has it.
    fn lock(&self, purpose: &str) -> Result<Box<dyn Lock>, LockError>;
}

/// A file of an [`Io`].
pub trait IoFile: Send + Sync {
    /// Reads from `offset` on, as much as there is and fits; 0 at the end.
    ///
    /// # Errors
    /// Those of the system.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes at `offset`, perhaps less than all, and says how much.
    ///
    /// # Errors
    /// Those of the system.
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize>;

    /// Makes everything written last, and the length of the file.
    ///
    /// # Errors
    /// Those of the system. What was written before is then in an unknown state.
    fn sync_data(&self) -> io::Result<()>;

    /// Cuts the file to `len` bytes.
    ///
    /// # Errors
    /// Those of the system.
    fn truncate(&self, len: u64) -> io::Result<()>;

    /// Whether it is the file with this device and number, whatever its name. `true` where files have none.
    ///
    /// # Errors
    /// Those of the system.
    fn is(&self, id: (u64, u64)) -> io::Result<bool> {
        let _ = id;
        Ok(true)
    }

    /// Its length in bytes.
    ///
    /// # Errors
    /// Those of the system.
    fn len(&self) -> io::Result<u64>;

    /// Whether it has no bytes.
    ///
    /// # Errors
    /// Those of [`len`](IoFile::len).
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// Writes all of `buf`.
pub(crate) fn write_all(file: &dyn IoFile, mut buf: &[u8], mut offset: u64) -> io::Result<()> {
    while !buf.is_empty() {
        match file.write_at(buf, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                offset += written as u64;
                buf = buf.get(written..).unwrap_or_default();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads into `buf` until it is full or the file ends, and says how much.
pub(crate) fn read_full(file: &dyn IoFile, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// The bytes `offset .. offset + len`, of which there may be fewer. Whoever calls bounds `len` by
/// the length of the file.
pub(crate) fn read_range(file: &dyn IoFile, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut buf = vec![0; len];
    let read = read_full(file, &mut buf, offset)?;
    buf.truncate(read);
    Ok(buf)
}

/// All of a file, unless it has more than `limit` bytes.
pub(crate) fn read_file(file: &dyn IoFile, limit: u64) -> io::Result<Vec<u8>> {
    let len = file.len()?;
    if len > limit {
        return Err(io::ErrorKind::InvalidData.into());
    }
    read_range(file, 0, len as usize)
}

/// Replaces a file by one with these bytes, in one step. After an error either may stand.
pub(crate) fn replace(io: &dyn Io, name: &str, bytes: &[u8], sync: bool) -> io::Result<()> {
    let temporary = format!("{name}.tmp");
    let written = io.create(&temporary).and_then(|file| {
        write_all(&*file, bytes, 0)?;
        if sync { file.sync_data() } else { Ok(()) }
    });
    let renamed = written.and_then(|()| io.rename(&temporary, name));
    if let Err(error) = renamed {
        // What remains is removed at the next open.
        let _ = io.remove(&temporary);
        return Err(error);
    }
    if sync { io.sync_dir() } else { Ok(()) }
}
