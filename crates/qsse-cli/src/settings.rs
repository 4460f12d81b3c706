//! [`Settings`]: everything that flags, variables and the configuration file can set, in one table.
//!
//! The table defines the flags, the variables, the keys of the file, `check-config` and
//! `docs/configuration.md`, so they always agree.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Result;

use crate::exit::usage;

mod apply;
pub(crate) mod document;
mod flags;
mod load;
mod nearest;
mod table;

pub(crate) use apply::{client_config, http_limits, server_config};
pub(crate) use flags::flags;
pub(crate) use load::load;
pub(crate) use table::TABLE;

/// The limit that has a flag, because it depends on the machine.
const MEMORY: &str = "limits.memory";

/// The users of a setting, which decide which commands have its flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// Every command.
    Common,
    /// Commands that connect.
    Client,
    /// Details of the client, without flags.
    ClientDetail,
    /// `serve`.
    Serve,
    /// Who may connect to `serve`, also for `token`.
    Access,
    /// `serve` and `admin`.
    Admin,
    /// Limits of `serve`. Only that of all memory has a flag.
    Limits,
}

/// One setting.
pub(crate) struct Setting {
    /// The key in the file. The flag has `-` for `_`; the variable is `QSSE_` and the key in
    /// capitals.
    pub(crate) key: &'static str,
    pub(crate) group: Group,
    pub(crate) shape: Shape,
    /// The default as text; empty for none.
    pub(crate) default: &'static str,
    pub(crate) help: &'static str,
    /// Returns what is wrong with a value, if anything.
    check: fn(&str) -> Result<(), String>,
}

/// The form of a setting's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One value with this placeholder.
    One(&'static str),
    /// One value that is never shown.
    Secret(&'static str),
    /// Several values: separated by commas or repeated; an array in the file.
    Many(&'static str),
    /// On or off; the flag switches it on.
    Switch,
    /// On or off; the flag `--no-…` switches it off, and has this help.
    Negated(&'static str),
}

impl Setting {
    pub(crate) fn has_flag(&self) -> bool {
        self.key == MEMORY || !matches!(self.group, Group::ClientDetail | Group::Limits)
    }

    /// Returns the long flag, without its dashes.
    pub(crate) fn long(&self) -> String {
        let name = self.key.replace('_', "-");
        match self.shape {
            _ if self.key == MEMORY => "memory-limit".to_owned(),
            Shape::Negated(_) => format!("no-{name}"),
            _ => name,
        }
    }

    pub(crate) fn variable(&self) -> String {
        format!("QSSE_{}", self.key.replace('.', "_").to_uppercase())
    }

    /// Returns whether an empty value is an error. If it counted as none, it would open a server,
    /// trust or present another identity, or store nothing.
    pub(crate) fn is_never_empty(&self) -> bool {
        [
            "admin",
            "admin_token_file",
            "audit",
            "auth_ca",
            "auth_callback",
            "ca",
            "cert",
            "client_cert",
            "client_key",
            "fingerprint",
            "jwt_algorithm",
            "jwt_audience",
            "jwt_claim",
            "jwt_issuer",
            "jwt_jwks",
            "jwt_key",
            "key",
            "mtls_ca",
            "mtls_crl",
            "store",
            "token",
            "token_file",
            "tokens",
            "topics",
        ]
        .contains(&self.key)
    }

    /// Finds the setting with this key.
    pub(crate) fn find(key: &str) -> Option<&'static Self> {
        TABLE.iter().find(|setting| setting.key == key)
    }
}

/// The source of a value. A greater one takes precedence.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    Default,
    File(PathBuf),
    Environment(String),
    Flag(String),
}

impl Source {
    fn rank(&self) -> u8 {
        match self {
            Self::Default => 0,
            Self::File(_) => 1,
            Self::Environment(_) => 2,
            Self::Flag(_) => 3,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag --{name}"),
        }
    }
}

/// The value of a setting, and its source.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub(crate) texts: Vec<String>,
    pub(crate) source: Source,
}

/// The effective settings. All values have been checked.
#[derive(Debug)]
pub(crate) struct Settings {
    values: BTreeMap<&'static str, Value>,
}

impl Settings {
    /// Returns the value of a setting, with its source.
    pub(crate) fn value(&self, key: &str) -> &Value {
        self.values.get(key).expect("the table has this key")
    }

    /// Returns the text of a setting; empty if it is not set.
    pub(crate) fn text(&self, key: &str) -> &str {
        self.value(key).texts.first().map_or("", String::as_str)
    }

    pub(crate) fn is_set(&self, key: &str) -> bool {
        !self.value(key).texts.is_empty()
    }

    /// Returns whether a switch is on.
    pub(crate) fn on(&self, key: &str) -> bool {
        self.text(key) == "true"
    }

    /// Parses a setting.
    pub(crate) fn get<T: FromStr>(&self, key: &str) -> Option<T> {
        self.text(key).parse().ok()
    }

    /// Parses a setting that has a default.
    pub(crate) fn need<T: FromStr>(&self, key: &str) -> T {
        self.get(key)
            .expect("checked when it was loaded, and it has a default")
    }

    pub(crate) fn all<T: FromStr>(&self, key: &str) -> Vec<T> {
        let texts = self.value(key).texts.iter();
        texts.filter_map(|text| text.parse().ok()).collect()
    }

    pub(crate) fn duration(&self, key: &str) -> Option<Duration> {
        self.get::<humantime::Duration>(key).map(Into::into)
    }

    pub(crate) fn bytes(&self, key: &str) -> u64 {
        self.need::<bytesize::ByteSize>(key).as_u64()
    }

    /// Returns which of two settings is set by the stronger source, if any.
    ///
    /// # Errors
    /// The same source sets both.
    pub(crate) fn either(&self, a: &'static str, b: &'static str) -> Result<Option<&'static str>> {
        match (self.is_set(a), self.is_set(b)) {
            (false, false) => Ok(None),
            (true, false) => Ok(Some(a)),
            (false, true) => Ok(Some(b)),
            (true, true) => {
                let (from_a, from_b) = (&self.value(a).source, &self.value(b).source);
                match from_a.rank().cmp(&from_b.rank()) {
                    std::cmp::Ordering::Greater => Ok(Some(a)),
                    std::cmp::Ordering::Less => Ok(Some(b)),
                    std::cmp::Ordering::Equal => Err(usage(format!(
                        "{a} and {b} are both set ({from_a}, {from_b}): give one of them"
                    ))),
                }
            }
        }
    }
}
