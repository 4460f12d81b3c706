//! `Refused`: the subscription was not taken, or has ended.

use super::text;
use crate::code::Code;
use serde::{Deserialize, Serialize};

/// The answer to a `Subscribe` that is not served; also ends a subscription that was (`QP-5.5`).
///
/// ```text
/// 0x13 | id v | code v | message text | subject ? text |
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Which subscription.
    pub id: u32,
    /// Why.
    pub code: Code,
    /// Why, for people. Cut to 256 bytes when sent.
    #[serde(serialize_with = "text::reason")]
    pub message: String,
    /// The pattern that it is about, if it is about one of several.
    pub subject: Option<String>,
}
