//! [`PrincipalLimits`]: how much one principal may use.

use serde::{Deserialize, Serialize};

/// How much one principal may use, over all of its connections. `None`, the default of each, means
/// what the server's settings say.
///
/// As data, a field that is missing is `None`, and an unknown field is an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct PrincipalLimits {
    /// Most connections at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<u32>,
    /// Most subscriptions at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscriptions: Option<u32>,
    /// Most patterns in all subscriptions at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patterns: Option<u32>,
    /// Most publishes per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publishes_per_second: Option<u32>,
    /// Most bytes of published data per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<u64>,
    /// Most topics that exist because of its publishes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topics: Option<u32>,
}

macro_rules! setters {
    ($($name:ident: $type:ty),* $(,)?) => {
        impl PrincipalLimits {
            $(
                #[doc = concat!("Sets [`", stringify!($name), "`](Self#structfield.", stringify!($name), ").")]
                #[must_use]
                pub fn $name(mut self, limit: $type) -> Self {
                    self.$name = Some(limit);
                    self
                }
            )*
        }
    };
}

setters! {
    connections: u32,
    subscriptions: u32,
    patterns: u32,
    publishes_per_second: u32,
    bytes_per_second: u64,
    topics: u32,
}
