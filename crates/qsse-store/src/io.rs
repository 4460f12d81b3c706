//! [`Io`]: the files of a store, on disk or in memory.

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
/// A store calls it from the thread that appends and from those that read. Written bytes are
/// durable only after [`IoFile::sync_data`], and changed names only after
/// [`sync_dir`](Io::sync_dir).
pub trait Io: Send + Sync {
    /// Creates an empty file for reading and writing. An existing file is emptied.
    ///
    /// # Errors
    /// The error of the system.
    fn create(&self, name: &str) -> io::Result<Arc<dyn IoFile>>;

    /// Opens an existing file for reading and writing.
    ///
    /// # Errors
    /// The error of the system; `NotFound` if it does not exist.
    fn open(&self, name: &str) -> io::Result<Arc<dyn IoFile>>;

    /// Removes a file. Open handles can still read it.
    ///
    /// # Errors
    /// The error of the system.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Renames a file in one step, and replaces one with that name.
    ///
    /// # Errors
    /// The error of the system.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Lists the names of all files, in any order.
    ///
    /// # Errors
    /// The error of the system.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes changes of names durable.
    ///
    /// # Errors
    /// The error of the system.
    fn sync_dir(&self) -> io::Result<()>;

    /// Locks the directory until the guard is dropped, and records the purpose for others.
    ///
    /// # Errors
    /// [`LockError::Held`] if it is already locked.
    fn lock(&self, purpose: &str) -> Result<Box<dyn Lock>, LockError>;
}

/// A file of an [`Io`].
pub trait IoFile: Send + Sync {
    /// Reads from `offset` on, as much as there is and fits. Returns the number of bytes; 0 at the
    /// end.
    ///
    /// # Errors
    /// The error of the system.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes at `offset`, possibly less than all. Returns the number of bytes.
    ///
    /// # Errors
    /// The error of the system.
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize>;

    /// Makes all written bytes and the length of the file durable.
    ///
    /// # Errors
    /// The error of the system. The state of what was written before is then unknown.
    fn sync_data(&self) -> io::Result<()>;

    /// Cuts the file to `len` bytes.
    ///
    /// # Errors
    /// The error of the system.
    fn truncate(&self, len: u64) -> io::Result<()>;

    /// Returns whether it is the file with this device and inode number. `true` if files have none.
    ///
    /// # Errors
    /// The error of the system.
    fn is(&self, id: (u64, u64)) -> io::Result<bool> {
        let _ = id;
        Ok(true)
    }

    /// Returns the length in bytes.
    ///
    /// # Errors
    /// The error of the system.
    fn len(&self) -> io::Result<u64>;

    /// Returns whether the file is empty.
    ///
    /// # Errors
    /// The errors of [`len`](IoFile::len).
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

/// Reads into `buf` until it is full or the file ends. Returns the number of bytes.
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

/// Reads the bytes `offset .. offset + len`, or fewer at the end. The caller bounds `len` by the
/// length of the file.
pub(crate) fn read_range(file: &dyn IoFile, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut buf = vec![0; len];
    let read = read_full(file, &mut buf, offset)?;
    buf.truncate(read);
    Ok(buf)
}

/// Reads a whole file, unless it has more than `limit` bytes.
pub(crate) fn read_file(file: &dyn IoFile, limit: u64) -> io::Result<Vec<u8>> {
    let len = file.len()?;
    if len > limit {
        return Err(io::ErrorKind::InvalidData.into());
    }
    read_range(file, 0, len as usize)
}

/// Replaces a file in one step. After an error, the old or the new file is there.
pub(crate) fn replace(io: &dyn Io, name: &str, bytes: &[u8], sync: bool) -> io::Result<()> {
    let temporary = format!("{name}.tmp");
    let written = io.create(&temporary).and_then(|file| {
        write_all(&*file, bytes, 0)?;
        if sync { file.sync_data() } else { Ok(()) }
    });
    let renamed = written.and_then(|()| io.rename(&temporary, name));
    if let Err(error) = renamed {
        // If this fails, the next open removes the file.
        let _ = io.remove(&temporary);
        return Err(error);
    }
    if sync { io.sync_dir() } else { Ok(()) }
}
