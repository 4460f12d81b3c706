//! The frame: the envelope of everything on a `qsse/1` stream.
//!
//! ```text
//! 0               4       5
//! +---------------+-------+----------------- - -
//! | length u32 LE | kind  | body, length - 1 bytes
//! +---------------+-------+----------------- - -
//! ```
//!
//! The length covers the kind and the body (`QP-3.1`).

mod body;
mod decoder;

use bytes::{Bytes, BytesMut};

pub use decoder::{Decoder, Unfinished};

pub(crate) use body::{decode, encode};
pub(crate) use decoder::length;

/// The kinds of frames: one number each, in ranges by stream.
pub mod kind {
    /// Control stream, from the client: the first frame of a connection.
    pub const HELLO: u8 = 0x01;
    /// Control stream, from the client: a new subscription.
    pub const SUBSCRIBE: u8 = 0x02;
    /// Control stream, from the client: the end of a subscription.
    pub const UNSUBSCRIBE: u8 = 0x03;
    /// Control stream, from the client: a new token.
    pub const REFRESH_TOKEN: u8 = 0x04;
    /// Control stream, from the server: the answer to `Hello`.
    pub const WELCOME: u8 = 0x11;
    /// Control stream, from the server: a subscription was accepted.
    pub const SUBSCRIBED: u8 = 0x12;
    /// Control stream, from the server: a subscription was refused, or has ended.
    pub const REFUSED: u8 = 0x13;
    /// Control stream, from the server: it is shutting down.
    pub const GOODBYE: u8 = 0x14;
    /// Control stream, from the server: the new token applies.
    pub const TOKEN_ACCEPTED: u8 = 0x15;
    /// Subscription stream: its first frame.
    pub const STREAM_HEADER: u8 = 0x20;
    /// Subscription stream: events.
    pub const BATCH: u8 = 0x21;
    /// Subscription stream: events that may be missing.
    pub const GAP: u8 = 0x22;
    /// Subscription stream: everything up to a position was written.
    pub const HEARTBEAT: u8 = 0x23;
    /// Subscription stream: the epoch of what follows.
    pub const EPOCH: u8 = 0x24;
    /// Publishing stream, from the client: its first frame.
    pub const OPEN_PUBLISHER: u8 = 0x30;
    /// Publishing stream, from the client: one publish.
    pub const PUBLISH: u8 = 0x31;
    /// Publishing stream, from the server: publishes were accepted.
    pub const ACKNOWLEDGED: u8 = 0x38;
    /// Publishing stream, from the server: a publish was refused.
    pub const PUBLISH_REFUSED: u8 = 0x39;
    /// Publishing stream, from the server: the epoch of the acknowledgements that follow.
    pub const ACKNOWLEDGED_EPOCH: u8 = 0x3a;

    /// Returns whether a peer that does not know this kind skips its frames (`QP-3.5`).
    pub const fn is_extension(kind: u8) -> bool {
        matches!(kind, 0x80..=0xbf)
    }

    /// Returns whether this version knows this kind, on any stream.
    pub const fn is_known(kind: u8) -> bool {
        matches!(
            kind,
            HELLO..=REFRESH_TOKEN
                | WELCOME..=TOKEN_ACCEPTED
                | STREAM_HEADER..=EPOCH
                | OPEN_PUBLISHER..=PUBLISH
                | ACKNOWLEDGED..=ACKNOWLEDGED_EPOCH
        )
    }
}

/// The bytes of the length field.
pub const LENGTH_BYTES: usize = 4;

/// The bytes of a frame before its body: the length field and the kind.
pub const HEADER_BYTES: usize = LENGTH_BYTES + 1;

/// A frame without its length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What the frame is; see [`kind`].
    pub kind: u8,
    /// What the frame contains.
    pub body: Bytes,
}

impl Frame {
    /// Returns the frame as it is sent.
    ///
    /// # Panics
    /// The body has 4 GiB or more.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(HEADER_BYTES + self.body.len());
        write(self.kind, &mut out, |out| out.extend_from_slice(&self.body));
        out.freeze()
    }
}

/// Appends a frame to `out`. `body` appends its body.
///
/// # Panics
/// The body has 4 GiB or more.
pub fn write(kind: u8, out: &mut BytesMut, body: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, kind]);
    body(out);
    let length = length_field(out.len() - start);
    out[start..start + LENGTH_BYTES].copy_from_slice(&length);
}

/// Returns the length field of a frame of `total` bytes, including that field.
pub(crate) fn length_field(total: usize) -> [u8; LENGTH_BYTES] {
    u32::try_from(total - LENGTH_BYTES)
        .expect("a frame is shorter than 4 GiB")
        .to_le_bytes()
}
