//! Programs on a core of their own.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use super::network::Network;
use crate::args::Args;

/// The core of servers.
pub(super) const SERVER_CORE: usize = 0;

/// The core of clients.
pub(super) const CLIENT_CORE: usize = 1;

/// A program on one core, where that can be had and is wanted, and in this network instead of the
/// machine's.
pub(super) fn pinned(
    args: &Args,
    core: usize,
    network: Option<&Network>,
    program: &Path,
) -> Command {
    let core = core.to_string();
    let mut words = network.map_or(Vec::new(), Network::entering);
    let can_pin = Command::new("taskset").args(["-c", &core, "true"]).output();
    if !args.shared_cores && can_pin.is_ok_and(|output| output.status.success()) {
        words.extend(["taskset", "-c", &core].map(str::to_owned));
    }
    let mut words = words
        .into_iter()
        .map(OsString::from)
        .chain([program.into()]);
    let mut command = Command::new(words.next().expect("at least the program"));
    command.args(words);
    command
}
