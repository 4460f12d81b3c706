//! The frames of the control stream.
//!
//! The client opens the control stream before all others and begins with [`Hello`]. It may continue
//! at once, without waiting for [`Welcome`].
//!
//! Bodies are in [postcard's format](https://postcard.jamesmunns.com/wire-format). In the pictures
//! of the frames, `v` is a number of variable length, `text` is a length `v` and that many bytes of
//! UTF-8, and `?` is a mark: 0 means that the value is absent, 1 that it follows.
//!
//! ```
//! use qsse_proto::control::{ClientFrame, OnLag, Start, Subscribe};
//! use qsse_proto::{frame, limits};
//!
//! let ask = ClientFrame::from(Subscribe {
//!     id: 1,
//!     patterns: vec!["ride.*".into()],
//!     start: Start::Live,
//!     on_lag: OnLag::CatchUp,
//! });
//! let mut decoder = frame::Decoder::new(limits::CONTROL_FRAME_BYTES);
//! decoder.push(ask.encode());
//! let frame = decoder.next()?.expect("a whole frame");
//! assert_eq!(ClientFrame::decode(frame)?, ask);
//! # Ok::<(), qsse_proto::DecodeError>(())
//! ```

mod goodbye;
mod hello;
mod refresh_token;
mod refused;
mod subscribe;
mod subscribed;
mod text;
mod token;
mod token_accepted;
mod unsubscribe;
mod welcome;

pub use goodbye::Goodbye;
pub use hello::Hello;
pub use refresh_token::RefreshToken;
pub use refused::Refused;
pub use subscribe::{OnLag, Start, Subscribe};
pub use subscribed::Subscribed;
pub use token::{Token, TokenTooLong};
pub use token_accepted::TokenAccepted;
pub use unsubscribe::Unsubscribe;
pub use welcome::Welcome;

pub(crate) use text::reason;

use crate::error::DecodeError;
use crate::frame::{self, Frame, kind};
use bytes::Bytes;

/// Defines the frames of one direction of a stream, with one variant for each kind.
macro_rules! frames {
    ($(#[$doc:meta])+ $name:ident { $($variant:ident = $kind:ident),+ $(,)? }) => {
        $(#[$doc])+
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum $name {
            $(#[doc = concat!("A [`", stringify!($variant), "`].")] $variant($variant),)+
        }

        impl $name {
            /// Decodes a frame.
            ///
            /// # Errors
            /// The kind does not belong here, or the body is too short, too long or malformed.
            pub fn decode(frame: Frame) -> Result<Self, DecodeError> {
                match frame.kind {
                    $(kind::$kind => frame::decode(&frame).map(Self::$variant),)+
                    kind => Err(DecodeError::misplaced(kind)),
                }
            }

            /// Returns the whole frame, as it is sent.
            ///
            /// This does not check the frame against the peer's limit. Only lists of patterns can
            /// exceed it.
            pub fn encode(&self) -> Bytes {
                match self {
                    $(Self::$variant(body) => frame::encode(kind::$kind, body),)+
                }
            }
        }

        $(impl From<$variant> for $name {
            fn from(body: $variant) -> Self {
                Self::$variant(body)
            }
        })+
    };
}

pub(crate) use frames;

frames! {
    /// A frame from the client on the control stream.
    ClientFrame {
        Hello = HELLO,
        Subscribe = SUBSCRIBE,
        Unsubscribe = UNSUBSCRIBE,
        RefreshToken = REFRESH_TOKEN,
    }
}

frames! {
    /// A frame from the server on the control stream.
    ServerFrame {
        Welcome = WELCOME,
        Subscribed = SUBSCRIBED,
        Refused = REFUSED,
        Goodbye = GOODBYE,
        TokenAccepted = TOKEN_ACCEPTED,
    }
}
