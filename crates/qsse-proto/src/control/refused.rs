//! `Refused`: a subscription was refused, or has ended.

use super::text;
use crate::code::Code;
use serde::{Deserialize, Serialize};

/// Refuses a `Subscribe`, or ends a subscription that was accepted (`QP-5.5`).
///
/// ```text
/// 0x13 | id v | code v | message text | subject ? text |
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The client's number of the subscription.
    pub id: u32,
    /// The reason.
    pub code: Code,
    /// The reason in words. It is cut to 256 bytes when sent.
    #[serde(serialize_with = "text::reason")]
    pub message: String,
    /// The pattern that the reason is about, if it is about one of several.
    pub subject: Option<String>,
}
