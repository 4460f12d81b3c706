//! How much memory a server may use if nobody says so, and when it goes back to the system.

use std::path::{Path, PathBuf};
use std::time::Duration;

use qsse_server::transport::release_free_memory;
use qsse_server::{Config, Server};

use crate::settings::{Settings, server_config};

/// How often the program looks whether much memory has become free.
const LOOK: Duration = Duration::from_secs(10);

/// Less is not worth the time in which threads that allocate wait.
const WORTH_BYTES: usize = 16 << 20;

/// Returns memory to the system whenever much of it has become free, as after a rush of clients.
pub(crate) async fn return_to_system(server: Server) {
    let mut most = Most::default();
    loop {
        tokio::time::sleep(LOOK).await;
        if most.has_fallen(server.log_stats().memory_bytes) {
            let _ = tokio::task::spawn_blocking(release_free_memory).await;
        }
    }
}

/// The most bytes in use since memory was returned last.
#[derive(Default)]
struct Most(usize);

impl Most {
    /// Returns whether so much less is in use now that memory should be returned.
    fn has_fallen(&mut self, used: usize) -> bool {
        let fallen = self.0.saturating_sub(used);
        let worth = fallen >= WORTH_BYTES && fallen >= self.0 / 4;
        self.0 = if worth { used } else { self.0.max(used) };
        worth
    }
}

/// Returns the configuration of a server, with a limit of memory: by default it depends on the
/// machine.
pub(crate) fn limited_config(settings: &Settings) -> Config {
    let mut config = server_config(settings);
    config.log.memory_bytes = config.log.memory_bytes.or_else(default_limit);
    config
}

/// Returns four fifths of the memory of this machine, or of the control group that the program
/// runs in if that has less. The rest is for what is not counted: buffers of the system, and other
/// programs. `None` if neither is known.
fn default_limit() -> Option<usize> {
    let bytes = available(|path| std::fs::read_to_string(path).ok())?;
    Some(usize::try_from(bytes).unwrap_or(usize::MAX) / 5 * 4)
}

/// Returns the least of all limits on the program's memory. `read` returns the text of a file.
fn available(read: impl Fn(&Path) -> Option<String>) -> Option<u64> {
    let machine = read(Path::new("/proc/meminfo")).and_then(|text| machine(&text));
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let limits = groups.lines().flat_map(limit_files);
    let limits = limits.filter_map(|path| read(&path)?.trim().parse::<u64>().ok());
    limits.chain(machine).min()
}

/// Returns the memory of the machine in bytes.
fn machine(meminfo: &str) -> Option<u64> {
    let total = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = total.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// Returns the files that may limit the memory of a control group: its own, and those of all groups
/// that it is in. In a container the path is that of the host, and only the last file is there.
fn limit_files(group: &str) -> Vec<PathBuf> {
    let mut parts = group.splitn(3, ':').skip(1);
    let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
        return Vec::new();
    };
    let (root, file) = match controllers {
        "" => ("/sys/fs/cgroup", "memory.max"),
        all if all.split(',').any(|one| one == "memory") => {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
        }
        _ => return Vec::new(),
    };
    let path = Path::new(path.trim_start_matches('/'));
    let groups = path.ancestors();
    groups
        .map(|group| Path::new(root).join(group).join(file))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(files: &[(&str, &str)]) -> Option<u64> {
        available(|path| {
            let found = files.iter().find(|(name, _)| Path::new(name) == path);
            found.map(|(_, text)| (*text).to_owned())
        })
    }

    #[test]
    fn the_least_of_machine_and_control_groups_counts() {
        let machine = ("/proc/meminfo", "MemFree: 1 kB\nMemTotal:  1000 kB\n");
        assert_eq!(of(&[machine]), Some(1_024_000));
        assert_eq!(of(&[]), None);
        let group = ("/proc/self/cgroup", "0::/a/b\n");
        let unlimited = ("/sys/fs/cgroup/a/b/memory.max", "max\n");
        assert_eq!(of(&[machine, group, unlimited]), Some(1_024_000));
        let above = ("/sys/fs/cgroup/a/memory.max", "5000\n");
        assert_eq!(of(&[machine, group, unlimited, above]), Some(5_000));
        let container = ("/sys/fs/cgroup/memory.max", "4000\n");
        assert_eq!(of(&[machine, group, container]), Some(4_000));
        let old = ("/proc/self/cgroup", "3:cpu:/x\n2:memory,other:/docker/1\n");
        let limit = ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "3000\n");
        assert_eq!(of(&[machine, old, limit]), Some(3_000));
    }

    #[test]
    fn memory_is_returned_once_after_much_has_become_free() {
        let mut most = Most::default();
        let mib = |mib: usize| mib << 20;
        let used = [
            mib(10),
            mib(100),
            mib(80),
            mib(75),
            mib(70),
            mib(60),
            mib(54),
            mib(0),
        ];
        let returned = used.map(|used| most.has_fallen(used));
        assert_eq!(
            returned,
            [false, false, false, true, false, false, true, true]
        );
    }

    #[test]
    fn a_machine_with_memory_has_a_default() {
        assert!(cfg!(not(target_os = "linux")) || default_limit().is_some());
    }
}
