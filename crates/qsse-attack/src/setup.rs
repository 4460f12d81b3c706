//! [`Setup`]: the server that an attack is made against.

use std::fmt::Write as _;

/// How large an attack is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// For `cargo xtask ci`: about two seconds.
    Short,
    /// As large as one machine makes it in ten seconds.
    Full,
}

impl Scale {
    /// Returns the first for a short run, else the second.
    pub(crate) fn of<T>(self, short: T, full: T) -> T {
        match self {
            Self::Short => short,
            Self::Full => full,
        }
    }
}

/// The server that an attack is made against, and what it may cost that server.
#[derive(Debug, Default)]
pub(crate) struct Setup {
    /// Settings that differ from their defaults, by their key with `_` for dots.
    pub(crate) settings: Vec<(&'static str, String)>,
    /// The declared topics; any topic may be used if there are none.
    pub(crate) topics: Vec<String>,
    /// Whether it answers HTTP clients too.
    pub(crate) http: bool,
    /// What the attacker may subscribe to.
    pub(crate) subscribe: &'static [&'static str],
    /// What the attacker may publish.
    pub(crate) publish: &'static [&'static str],
    /// The bytes by which the server may grow, as docs/architecture.md says.
    pub(crate) bound: u64,
    /// Metrics of the server of which at least one has to show the attack, by their name without
    /// the prefix, and with labels if need be. One that ends in `{` stands for all its labels.
    pub(crate) shown_by: &'static [&'static str],
}

/// The tokens of those who use the server. Each is longer than any limit on short ones.
pub(crate) const OPERATOR: &str = "operator-3f9c2a7714d84b0fb1c7d2e05a6693f8";
pub(crate) const HONEST: &str = "honest-8a51c9e02b7f4d6e93a10f7cc2d4b586";
pub(crate) const ATTACKER: &str = "attacker-c60d7e8f14a94b2a8f35e2d97b0c1a43";

/// What the honest clients publish to and read.
pub(crate) const HONEST_TOPIC: &str = "honest.x";

/// The server's defaults, as docs/configuration.md says.
pub(crate) const HISTORY_BYTES: u64 = 256 * MIB;
pub(crate) const FEEDS_BYTES: u64 = 64 * MIB;
pub(crate) const UNREAD_BYTES: u64 = 64 * MIB;
pub(crate) const SEND_WINDOW_BYTES: u64 = 256 << 10;

pub(crate) const MIB: u64 = 1 << 20;

impl Setup {
    /// Returns the tokens file of the server.
    pub(crate) fn tokens(&self) -> String {
        let mut text = String::new();
        let mut grant = |name: &str, token: &str, subscribe: &[&str], publish: &[&str]| {
            let _ = writeln!(
                text,
                "[[token]]\nname = {name:?}\ntoken = {token:?}\nsubscribe = {subscribe:?}\n\
                 publish = {publish:?}\n"
            );
        };
        grant("operator", OPERATOR, &["*"], &["*"]);
        grant("honest", HONEST, &["honest.*"], &["honest.*"]);
        // A token without any permission would be refused at once.
        let subscribe = if self.subscribe.is_empty() {
            &["attacker.*"]
        } else {
            self.subscribe
        };
        grant("attacker", ATTACKER, subscribe, self.publish);
        text
    }
}
