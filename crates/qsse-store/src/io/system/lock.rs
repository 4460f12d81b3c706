//! The lock of a directory of the system.

use super::directory::Directory;
use super::file::StdFile;
use crate::io::{IoFile, Lock, LockError, Lost};
use fs4::fs_std::FileExt as _;
use std::fs::File;
use std::io::{Read, Seek, Write};

const LOCK: &str = "LOCK";
/// Longer than any purpose.
const MAX_PURPOSE: u64 = 1024;

/// Locks a directory: the file `LOCK` in it and, if the system can do that, the directory itself,
/// whose lock holds even if the file is removed.
pub(super) fn lock(directory: &Directory, purpose: &str) -> Result<Box<dyn Lock>, LockError> {
    let path = directory.path.join(LOCK);
    #[cfg(unix)]
    let dir =
        lock_directory(&directory.path).map_err(|()| held(File::open(&path).ok().as_ref()))?;
    let mut options = Directory::file_options();
    // Prevents the removal of the open file.
    #[cfg(windows)]
    std::os::windows::fs::OpenOptionsExt::share_mode(&mut options, SHARE_READ | SHARE_WRITE);
    let mut file = options
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(LockError::Io)?;
    if !file.try_lock_exclusive().map_err(LockError::Io)? {
        return Err(held(Some(&file)));
    }
    // The purpose is for people. The lock works without it.
    let _ = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| file.write_all(purpose.as_bytes()));
    Ok(Box::new(StdLock {
        directory: directory.clone(),
        file: StdFile::new(file),
        #[cfg(unix)]
        _dir: dir,
    }))
}

#[cfg(windows)]
const SHARE_READ: u32 = 1;
#[cfg(windows)]
const SHARE_WRITE: u32 = 2;

/// Locks the directory itself. Returns `None` if the system cannot do that, and an error if it is
/// already locked.
#[cfg(unix)]
fn lock_directory(path: &std::path::Path) -> Result<Option<File>, ()> {
    // Opened separately, so that the lock ends with this handle and not with the last handle for
    // reading.
    let Ok(dir) = File::open(path) else {
        return Ok(None);
    };
    match dir.try_lock_exclusive() {
        Ok(true) => Ok(Some(dir)),
        Ok(false) => Err(()),
        // Usually a network file system.
        Err(_) => Ok(None),
    }
}

/// Returns the error of a held lock, with the purpose in its file.
fn held(file: Option<&File>) -> LockError {
    let mut holder = String::new();
    // The lock may prevent reading too. Then the purpose stays unknown.
    let _ = file.map(|file| file.take(MAX_PURPOSE).read_to_string(&mut holder));
    if holder.is_empty() {
        holder.push_str("another program");
    }
    LockError::Held { holder }
}

struct StdLock {
    directory: Directory,
    file: StdFile,
    #[cfg(unix)]
    _dir: Option<File>,
}

impl Lock for StdLock {
    fn lost(&self) -> Option<Lost> {
        if self.directory.is_lost() {
            return Some(Lost::Directory);
        }
        let lost = self.is_lost(LOCK, &self.file);
        lost.then_some(Lost::Lock { name: LOCK })
    }

    fn is_lost(&self, name: &str, file: &dyn IoFile) -> bool {
        let path = self.directory.path.join(name);
        self.directory.leads_elsewhere(&path, Some(file))
    }
}
