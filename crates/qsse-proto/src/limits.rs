//! The limits of the protocol, each with its reason.
//!
//! Lengths of frames are values of the length field: kind and body, without the field itself.
//! Limits that a server can configure default to the number here. Limits that both sides must know
//! without negotiation are fixed.

use qsse_topic::MAX_TOPIC_BYTES;

mod setting;

pub use setting::{FOREVER, SettingError};

/// The data of one event: 1 MiB. Larger data belongs in a storage service, with an event that
/// refers to it. A server can configure it and announces it in `Welcome`.
pub const EVENT_BYTES: usize = 1024 * 1024;

/// How much longer than the event limit a frame may be: 64 KiB. That is far more than the names and
/// numbers beside the data need, so a full batch and a frame of one largest event always fit.
pub const FRAME_OVERHEAD: usize = 64 * 1024;

/// A batch with its frame header: 64 KiB, about one large burst of datagrams. Only a batch of one
/// event may be larger.
pub const BATCH_BYTES: usize = 64 * 1024;

/// A frame of the control stream: 16 KiB, enough for a subscription of hundreds of patterns.
pub const CONTROL_FRAME_BYTES: usize = 16 * 1024;

/// The first frame of a connection: 8 KiB, for a token and little else, because an unknown client
/// can make the server buffer this much.
pub const HELLO_FRAME_BYTES: usize = 8 * 1024;

/// A frame of a subscription's stream that is not a batch: 256 bytes, several times the longest.
pub const STREAM_FRAME_BYTES: usize = 256;

/// A token: 4 KiB, enough for a signed token with many claims.
pub const TOKEN_BYTES: usize = 4 * 1024;

/// The reason beside a code: 256 bytes, a sentence for a log. Longer texts are cut.
pub const REASON_BYTES: usize = 256;

/// The name and version of a peer's software: 128 bytes. Longer texts are cut.
pub const AGENT_BYTES: usize = 128;

/// An event's kind: 64 bytes, enough for a word or two.
pub const KIND_BYTES: usize = 64;

/// The key of a publish: 64 bytes, enough for two UUIDs as text without dashes.
pub const KEY_BYTES: usize = 64;

/// The name of a publisher: 64 bytes, enough for a host and a process.
pub const PUBLISHER_NAME_BYTES: usize = 64;

/// A topic or a pattern, as in `qsse-topic`.
pub const TOPIC_BYTES: usize = MAX_TOPIC_BYTES;

/// The patterns of one subscription. [`CONTROL_FRAME_BYTES`] usually limits a list first; this
/// limits a list of very short patterns.
pub const PATTERNS_PER_SUBSCRIPTION: usize = 1024;

/// The topics that one publish to a pattern may match: 1,000, because they are appended in one
/// step.
pub const MATCHING_TOPICS: usize = 1000;

/// Returns the length limit of a frame with events or a publish, for a limit on an event's data.
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
