//! The numbers that bound the protocol, each with its reason.
//!
//! Lengths of frames are what the length field says: kind and body, without the field itself. What
//! a server makes adjustable starts from the number here; what both sides must agree on without
//! talking is fixed.

use qsse_topic::MAX_TOPIC_BYTES;

mod setting;

pub use setting::{FOREVER, SettingError};

/// Data of one event: 1 MiB. Larger things belong in a store, with an event that names them. A
/// server's setting, told in `Welcome`.
pub const EVENT_BYTES: usize = 1024 * 1024;

/// How much longer than the event limit a frame may be: 64 KiB, far more than the names and numbers
/// beside the data need, so that a full batch or a frame of one largest event always passes.
pub const FRAME_OVERHEAD: usize = 64 * 1024;

/// A batch with its frame header: 64 KiB, about what one large datagram burst carries. Only a batch
/// of one event may be larger.
pub const BATCH_BYTES: usize = 64 * 1024;

/// A frame of a control stream: 16 KiB, enough for a subscription of hundreds of patterns.
pub const CONTROL_FRAME_BYTES: usize = 16 * 1024;

/// The first frame of a connection: 8 KiB, a token and little else, because a stranger may make the
/// server keep this much.
pub const HELLO_FRAME_BYTES: usize = 8 * 1024;

/// A frame of a subscription's stream that is no batch: 256 bytes, several times what the longest
/// needs.
pub const STREAM_FRAME_BYTES: usize = 256;

/// A token: 4 KiB, the room that a signed token with many claims takes.
pub const TOKEN_BYTES: usize = 4 * 1024;

/// The reason or message beside a code: 256 bytes, a sentence for a log. Longer ones are cut.
pub const REASON_BYTES: usize = 256;

/// The name and version of a peer's software: 128 bytes. Longer ones are cut.
pub const AGENT_BYTES: usize = 128;

/// An event's kind: 64 bytes, a word or two.
pub const KIND_BYTES: usize = 64;

/// The key of a publish: 64 bytes, room for two UUIDs as text without their dashes.
pub const KEY_BYTES: usize = 64;

/// The name of a publisher: 64 bytes, a host and a process.
pub const PUBLISHER_NAME_BYTES: usize = 64;

/// A topic or a pattern, as `qsse-topic` has it.
pub const TOPIC_BYTES: usize = MAX_TOPIC_BYTES;

/// Patterns of one subscription. [`CONTROL_FRAME_BYTES`] usually ends a list earlier; this bounds
/// one of very short patterns.
pub const PATTERNS_PER_SUBSCRIPTION: usize = 1024;

/// Topics that one publish to a pattern may reach: 1,000, because they are appended in one piece.
pub const MATCHING_TOPICS: usize = 1000;

/// A frame that carries events or a publish, for the given limit on an event's data.
pub const fn event_frame_bytes(max_event_bytes: usize) -> usize {
    max_event_bytes.saturating_add(FRAME_OVERHEAD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_those_of_the_document() {
        assert_eq!((EVENT_BYTES, BATCH_BYTES), (1_048_576, 65_536));
        assert_eq!((CONTROL_FRAME_BYTES, HELLO_FRAME_BYTES), (16_384, 8_192));
        assert_eq!((FRAME_OVERHEAD, TOKEN_BYTES), (65_536, 4_096));
        assert_eq!(FOREVER.as_secs(), 3_153_600_000);
        assert_eq!(event_frame_bytes(100), 65_636);
        assert_eq!(event_frame_bytes(usize::MAX), usize::MAX);
    }
}
