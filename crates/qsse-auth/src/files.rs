//! Reads files on which security depends, and checks who else may read or write them.
//!
//! A file that other users may write is refused, and so is one in a folder in which they may
//! replace it: they could give themselves any right. A secret that other users may read is only
//! warned about. Some systems mount secrets like this by default (Kubernetes does), and a server
//! that no longer starts after a change of a mode is worse than a warning in its log.
//!
//! Only the rights of *others* count. Groups are how systems give a server its files. Other systems
//! than Unix are not checked.

use std::path::Path;

use crate::error::SetupError;

/// The longest file that is read.
const FILE_BYTES: u64 = 16 << 20;

/// Whether a file contains a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// It contains tokens or private keys: others should not read it.
    Secret,
    /// It contains public keys or certificates: others may read it.
    Public,
}

/// Checks who may write and read a file. Logs a warning if others may read a secret.
///
/// # Errors
/// Others may write the file or its folder, or there is no such file.
pub fn check(what: &'static str, path: &Path, content: Content) -> Result<(), SetupError> {
    let unreadable = |source| SetupError::Unreadable {
        what,
        path: path.into(),
        source,
    };
    let file = std::fs::metadata(path).map_err(unreadable)?;
    if file.len() > FILE_BYTES {
        let problem = format!("it has more than {} MiB", FILE_BYTES >> 20);
        return Err(SetupError::in_file(what, path, problem));
    }
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let folder = folder.unwrap_or(Path::new("."));
    let of_folder = std::fs::metadata(folder).map_err(unreadable)?;
    mode::check(path, &file, folder, &of_folder, content)
}

/// Checks a file and reads it.
///
/// # Errors
/// Those of [`check`], or the file is not UTF-8.
pub(crate) fn read(
    what: &'static str,
    path: &Path,
    content: Content,
) -> Result<String, SetupError> {
    check(what, path, content)?;
    std::fs::read_to_string(path).map_err(|source| SetupError::Unreadable {
        what,
        path: path.into(),
        source,
    })
}

#[cfg(unix)]
mod mode {
    use std::fs::Metadata;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    use super::Content;
    use crate::error::SetupError;

    const OTHERS_READ: u32 = 0o004;
    const OTHERS_WRITE: u32 = 0o002;
    /// In such a folder, only the owner of a file may replace it.
    const STICKY: u32 = 0o1000;

    pub(super) fn check(
        path: &Path,
        file: &Metadata,
        folder: &Path,
        of_folder: &Metadata,
        content: Content,
    ) -> Result<(), SetupError> {
        if file.mode() & OTHERS_WRITE != 0 && file.is_file() {
            return Err(SetupError::WritableByOthers { path: path.into() });
        }
        if of_folder.mode() & (OTHERS_WRITE | STICKY) == OTHERS_WRITE {
            let path = folder.into();
            return Err(SetupError::WritableByOthers { path });
        }
        if content == Content::Secret && file.mode() & OTHERS_READ != 0 {
            let path = path.display();
            tracing::warn!("other users may read {path}: chmod 600 {path}");
        }
        Ok(())
    }
}

#[cfg(not(unix))]
mod mode {
    use std::fs::Metadata;
    use std::path::Path;

    use super::Content;
    use crate::error::SetupError;

    pub(super) fn check(
        _: &Path,
        _: &Metadata,
        _: &Path,
        _: &Metadata,
        _: Content,
    ) -> Result<(), SetupError> {
        Ok(())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_that_others_may_change_or_replace_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        fs::write(&path, "x").unwrap();
        let mode = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode));
        for (of_file, of_folder, fits) in [
            (0o600, 0o700, true),
            (0o644, 0o755, true),
            (0o664, 0o775, true),
            (0o600, 0o1777, true),
            (0o602, 0o700, false),
            (0o666, 0o700, false),
            (0o600, 0o777, false),
        ] {
            mode(&path, of_file).unwrap();
            mode(folder.path(), of_folder).unwrap();
            let result = check("tokens file", &path, Content::Secret);
            assert_eq!(result.is_ok(), fits, "{of_file:o} in {of_folder:o}");
        }
        mode(folder.path(), 0o700).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_meant_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        fs::File::create(&path)
            .unwrap()
            .set_len(FILE_BYTES + 1)
            .unwrap();
        let refused = check("tokens file", &path, Content::Public).unwrap_err();
        assert!(
            refused.to_string().contains("more than 16 MiB"),
            "{refused}"
        );
    }
}
