//! Events as text: server-sent events and JSON lines (section 14 of the protocol).
//!
//! Servers write these forms for clients that speak HTTP. An event has the same id in each form, so
//! a client that changes from one to another goes on where it was.

mod event;
mod notice;
mod sse;

pub use event::TextEvent;
pub use notice::TextNotice;
pub use sse::{SseForm, is_reserved_kind, write_comment, write_position, write_retry};

#[cfg(test)]
mod tests;
