//! Files of the system.

mod lock;

use super::{Io, IoFile, Lock, LockError, Lost};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A directory of the system, readable by its owner alone.
#[derive(Clone, Debug)]
pub struct StdIo {
    /// Absolute, so that it stays the same when the process changes its working directory.
    path: PathBuf,
    /// The directory itself, wherever the path leads by now. Not everywhere can one be opened.
    #[cfg(unix)]
    dir: Arc<StdFile>,
    /// What is open has the same id as what its name leads to, so that the two can be compared.
    has_ids: bool,
}

impl StdIo {
    /// The directory at `path`, made with its parents if there is none. One that is made is open to
    /// its owner alone (mode 0700), and so are all files in it (0600).
    ///
    /// # Errors
    /// Those of the system.
    pub fn new(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = std::path::absolute(path.into())?;
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path)?;
        let mut io = Self {
            #[cfg(unix)]
            dir: Arc::new(StdFile::new(File::open(&path)?)),
            path,
            has_ids: true,
        };
        io.has_ids = !io.is_lost();
        Ok(io)
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

    /// Whether its path leads to another directory by now, or to nothing.
    fn is_lost(&self) -> bool {
        #[cfg(unix)]
        let open = Some(&*self.dir as &dyn IoFile);
        #[cfg(not(unix))]
        let open = None;
        self.leads_elsewhere(&self.path, open)
    }

    /// Whether a path leads to something else than what is open, or to nothing. Only what shows that counts: an error of another kind
    /// may pass, and loses nothing.
    fn leads_elsewhere(&self, path: &Path, open: Option<&dyn IoFile>) -> bool {
        let found = fs::metadata(path).map(|found| id_of(&found));
        let same = found.and_then(|found| match (open, found) {
            (Some(open), Some(found)) if self.has_ids => open.is(found),
            _ => Ok(true),
        });
        match same {
            Ok(same) => !same,
            Err(error) => matches!(
                error.kind(),
                io::ErrorKind::NotFound
                    | io::ErrorKind::NotADirectory
                    | io::ErrorKind::StaleNetworkFileHandle
            ),
        }
    }

    /// An error if names would be changed in a directory that is not this one: another store may be there.
    fn still_there(&self) -> io::Result<()> {
        if self.is_lost() {
            return Err(Lost::Directory.into());
        }
        Ok(())
    }
}

impl Io for StdIo {
    fn create(&self, name: &str) -> io::Result<Arc<dyn IoFile>> {
        self.still_there()?;
        let file = Self::options()
            .create(true)
            .truncate(true)
            .open(self.path.join(name))?;
        Ok(Arc::new(StdFile::new(file)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn IoFile>> {
        let file = Self::options().open(self.path.join(name))?;
        Ok(Arc::new(StdFile::new(file)))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.still_there()?;
        fs::remove_file(self.path.join(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.still_there()?;
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
        self.dir.file.sync_all()?;
        Ok(())
    }

    fn lock(&self, purpose: &str) -> Result<Box<dyn Lock>, LockError> {
        lock::lock(self, purpose)
    }
}

/// What tells a file or directory from all others: device and number, where the system has that.
type Id = Option<(u64, u64)>;

#[cfg(unix)]
fn id_of(found: &Metadata) -> Id {
    use std::os::unix::fs::MetadataExt as _;
    Some((found.dev(), found.ino()))
}

#[cfg(not(unix))]
fn id_of(_: &Metadata) -> Id {
    None
}

#[derive(Debug)]
struct StdFile {
    file: File,
    /// When it was opened. Some file systems number their files anew.
    id: Id,
}

impl StdFile {
    fn new(file: File) -> Self {
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
