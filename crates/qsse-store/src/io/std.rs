//! Files of the system.

use super::{Io, IoFile, LockError};
use fs4::fs_std::FileExt as _;
use std::any::Any;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A directory of the system, readable by its owner alone.
#[derive(Clone, Debug)]
pub struct StdIo {
    path: PathBuf,
}

const LOCK: &str = "LOCK";
/// Longer than a purpose gets.
const MAX_PURPOSE: u64 = 1024;

impl StdIo {
    /// The directory at `path`, made with its parents if there is none. One that is made is open to
    /// its owner alone (mode 0700), and so are all files in it (0600).
    ///
    /// # Errors
    /// Those of the system.
    pub fn new(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path)?;
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn options() -> OpenOptions {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options
    }
}

impl Io for StdIo {
    fn create(&self, name: &str) -> io::Result<Arc<dyn IoFile>> {
        let file = Self::options()
            .create(true)
            .truncate(true)
            .open(self.path.join(name))?;
        Ok(Arc::new(StdFile(file)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn IoFile>> {
        let file = Self::options().open(self.path.join(name))?;
        Ok(Arc::new(StdFile(file)))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            // Ours are all text.
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn sync_dir(&self) -> io::Result<()> {
        // Elsewhere a directory cannot be synced, and need not be.
        #[cfg(unix)]
        File::open(&self.path)?.sync_all()?;
        Ok(())
    }

    fn lock(&self, purpose: &str) -> Result<Box<dyn Any + Send + Sync>, LockError> {
        let path = self.path.join(LOCK);
        let mut file = Self::options()
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(LockError::Io)?;
        if !file.try_lock_exclusive().map_err(LockError::Io)? {
            return Err(held(&file));
        }
        // The note is for people; without it the lock is as good.
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(purpose.as_bytes()));
        Ok(Box::new(file))
    }
}

fn held(file: &File) -> LockError {
    let mut holder = String::new();
    // Where a lock keeps others from reading too, nothing more is known.
    let _ = file.take(MAX_PURPOSE).read_to_string(&mut holder);
    if holder.is_empty() {
        holder.push_str("another program");
    }
    LockError::Held { holder }
}

struct StdFile(File);

impl IoFile for StdFile {
    #[cfg(unix)]
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(&self.0, buf, offset)
    }

    #[cfg(windows)]
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_read(&self.0, buf, offset)
    }

    #[cfg(unix)]
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::write_at(&self.0, buf, offset)
    }

    #[cfg(windows)]
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_write(&self.0, buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}
