//! [`Side`]: what is measured.

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Side {
    /// A writer of 64 KiB chunks, and a reader that counts bytes.
    Raw,
    /// A server whose history is in memory.
    Memory,
    /// A server that was started anew: its history is in files, which the system has in memory.
    Disk,
}

impl Side {
    /// Its name, as it is given on the command line.
    pub(super) fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}
