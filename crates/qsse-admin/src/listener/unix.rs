//! A Unix socket that only its owner may use.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

use super::error::ListenError;
use crate::address::Address;

/// A socket and its file, which is removed with it.
#[derive(Debug)]
pub(super) struct Socket {
    listener: UnixListener,
    path: PathBuf,
    /// The file's inode: another server may have replaced the file.
    inode: u64,
}

impl Socket {
    pub(super) async fn bind(path: &Path) -> Result<Self, ListenError> {
        let failed = |source| ListenError::io(&Address::Unix(path.to_owned()), source);
        match fs::symlink_metadata(path) {
            Ok(found) if !found.file_type().is_socket() => {
                return Err(ListenError::NoSocket(path.to_owned()));
            }
            Ok(_) if UnixStream::connect(path).await.is_ok() => {
                return Err(ListenError::InUse(path.to_owned()));
            }
            _ => {}
        }
        let (listener, inode) = bind_private(path).map_err(failed)?;
        let path = path.to_owned();
        Ok(Self {
            listener,
            path,
            inode,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) async fn accept(&self) -> io::Result<UnixStream> {
        Ok(self.listener.accept().await?.0)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let own = fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode);
        if own {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Binds a socket of mode 0600. A new file has the mode that the process leaves it, so it is made
/// in a folder that only this user can enter, and moved to its place.
fn bind_private(path: &Path) -> io::Result<(UnixListener, u64)> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Short, as the path of a socket may have about 100 bytes.
    let folder = path.with_file_name(format!(".{name}.{}", std::process::id()));
    DirBuilder::new().mode(0o700).create(&folder)?;
    let bound = || {
        let inside = folder.join("s");
        let listener = UnixListener::bind(&inside)?;
        fs::set_permissions(&inside, Permissions::from_mode(0o600))?;
        let inode = fs::symlink_metadata(&inside)?.ino();
        fs::rename(&inside, path)?;
        Ok((listener, inode))
    };
    let bound = bound();
    let _ = fs::remove_file(folder.join("s"));
    let _ = fs::remove_dir(&folder);
    bound
}
