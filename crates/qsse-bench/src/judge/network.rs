//! A network of a run's own, with packets of the usual size, some of which may get lost: the
//! loopback of a namespace, which ends with the last process in it.
//!
//! However this program ends, nothing is left behind: the namespace has no name and is held by a
//! process that ends when its standard input does.

use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::process::Process;

/// Packets of the usual size.
const UP: &str = "ip link set lo mtu 1500 up";

/// One by one: a large segment of TCP would be lost or spared as a whole.
const ONE_BY_ONE: &str = "ip link set lo gso_max_segs 1";

/// Packets are lost where they come in. On their way out their sender would be told.
const CHAIN: &str = "table inet loss { chain in { type filter hook input priority 0; \
                     ip saddr 127.0.0.1 ip daddr 127.0.0.1 numgen random mod 10000 < ";

/// Nothing is lost on the way to this address and back.
pub(super) const SPARED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// For a namespace to be made, or a rule to be set.
const PATIENCE: Duration = Duration::from_secs(10);

const HELP: &str = "no network of its own can be made; it takes Linux, `unshare` and `nsenter` (package util-linux), \
                    `ip` (iproute2), for losses `nft` (nftables), and the right to make namespaces, which root has; \
                    without --ethernet and --loss everything else can be measured";

/// A network that loses nothing until it is told to.
pub(super) struct Network {
    holder: Process,
}

impl Network {
    /// One that will lose this share of the packets, in percent, each way.
    pub(super) fn new(loss_percent: f64) -> Result<Self> {
        let of_ten_thousand = (loss_percent * 100.0).round();
        let (sizes, loss) = match of_ten_thousand > 0.0 {
            true => (
                ONE_BY_ONE,
                format!("nft '{CHAIN}{of_ten_thousand} drop; }}; }}'"),
            ),
            false => ("true", "true".to_owned()),
        };
        let script =
            format!("{UP} && {sizes} && echo up && read word && {loss} && echo losing && exec cat");
        let mut command = Command::new("unshare");
        let command = command.args(["--net", "--map-root-user", "sh", "-c", &script]);
        let holder = Process::start(command).context(HELP)?;
        holder.expect("up", PATIENCE).context(HELP)?;
        Ok(Self { holder })
    }

    /// Loses from now on.
    pub(super) fn lose(&mut self) -> Result<()> {
        self.holder.tell("lose").context(HELP)?;
        self.holder.expect("losing", PATIENCE).context(HELP)
    }

    /// What a command begins with that runs inside.
    pub(super) fn entering(&self) -> Vec<String> {
        let id = self.holder.id().to_string();
        [
            "nsenter",
            "--preserve-credentials",
            "--user",
            "--net",
            "--target",
            &id,
        ]
        .map(str::to_owned)
        .into()
    }
}

/// Fails unless the machine has what a run in such a network takes.
pub(super) fn check(loss_percent: f64) -> Result<()> {
    let mut network = Network::new(loss_percent)?;
    network.lose()?;
    let entering = network.entering();
    let mut inside = Command::new(&entering[0]);
    let output = inside.args(&entering[1..]).arg("true").output();
    ensure!(output.is_ok_and(|output| output.status.success()), HELP);
    Ok(())
}
