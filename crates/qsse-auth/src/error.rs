//! [`SetupError`]: why an authenticator could not be made.

use std::io;
use std::path::PathBuf;

/// Why an authenticator could not be made. No message contains a token or a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// A file cannot be read.
    #[error("cannot read the {what} {}: {source}", path.display())]
    Unreadable {
        /// What the file is.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Other users may change a file, so they could give themselves any right.
    #[error("other users may write {}: chmod o-w {}", path.display(), path.display())]
    WritableByOthers {
        /// The file, or its folder.
        path: PathBuf,
    },
    /// A file contains something that is wrong.
    #[error("the {what} {}: {problem}", path.display())]
    Invalid {
        /// What the file is.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        problem: String,
    },
    /// A URL cannot be used, or what is there is wrong.
    #[error("{url}: {problem}")]
    Url {
        /// The URL.
        url: String,
        /// What is wrong.
        problem: String,
    },
    /// A text in memory contains something that is wrong.
    #[error("{0}")]
    Problem(String),
}

impl SetupError {
    /// Returns the problem as one of a file.
    pub(crate) fn in_file(what: &'static str, path: impl Into<PathBuf>, problem: String) -> Self {
        let path = path.into();
        Self::Invalid {
            what,
            path,
            problem,
        }
    }
}
