//! [`StdFile`]: a file of the system.

use crate::io::IoFile;
use std::fs::{File, Metadata};
use std::io;

/// The identity of a file or directory: device and inode number, if the system has them.
pub(super) type Id = Option<(u64, u64)>;

#[cfg(unix)]
pub(super) fn id_of(found: &Metadata) -> Id {
    use std::os::unix::fs::MetadataExt as _;
    Some((found.dev(), found.ino()))
}

#[cfg(not(unix))]
pub(super) fn id_of(_: &Metadata) -> Id {
    None
}

/// A file of the system.
#[derive(Debug)]
pub(super) struct StdFile {
    pub(super) file: File,
    /// The identity at the open. Some file systems renumber their files.
    id: Id,
}

impl StdFile {
    pub(super) fn new(file: File) -> Self {
        let id = file.metadata().ok().and_then(|found| id_of(&found));
        Self { file, id }
    }
}

impl IoFile for StdFile {
    #[cfg(unix)]
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(&self.file, buf, offset)
    }

    #[cfg(windows)]
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_read(&self.file, buf, offset)
    }

    #[cfg(unix)]
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::write_at(&self.file, buf, offset)
    }

    #[cfg(windows)]
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_write(&self.file, buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn is(&self, id: (u64, u64)) -> io::Result<bool> {
        if self.id == Some(id) {
            return Ok(true);
        }
        Ok(id_of(&self.file.metadata()?) == Some(id))
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}
