//! What client and server say on the control stream.
//!
//! The client opens it first of all and begins with [`Hello`]; it may go on at once, without waiting
//! for [`Welcome`]. Bodies are in [postcard's format](https://postcard.jamesmunns.com/wire-format);
//! in the pictures of the frames `v` is a number of variable length, `text` a length `v` and that many
//! bytes of UTF-8, and `?` a mark 0 or 1 and, after 1, the value.
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

/// The frames of one direction of a stream: one variant for each kind.
macro_rules! frames {
    ($(#[$doc:meta])+ $name:ident { $($variant:ident = $kind:ident),+ $(,)? }) => {
        $(#[$doc])+
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum $name {
            $(#[doc = concat!("A [`", stringify!($variant), "`].")] $variant($variant),)+
        }

        impl $name {
            /// Reads what a frame holds.
            ///
            /// # Errors
            /// A kind that does not belong here, and a body that is too short, too long or malformed.
            pub fn decode(frame: Frame) -> Result<Self, DecodeError> {
                match frame.kind {
                    $(kind::$kind => frame::decode(&frame).map(Self::$variant),)+
                    kind => Err(DecodeError::misplaced(kind)),
                }
            }

            /// The whole frame, as it goes on the wire.
            ///
            /// Nothing here keeps it below the limit that the other side has for it; only lists of
            /// patterns can get there.
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
    /// What a client says on the control stream.
    ClientFrame {
        Hello = HELLO,
        Subscribe = SUBSCRIBE,
        Unsubscribe = UNSUBSCRIBE,
        RefreshToken = REFRESH_TOKEN,
    }
}

frames! {
    /// What a server says on the control stream.
    ServerFrame {
        Welcome = WELCOME,
        Subscribed = SUBSCRIBED,
        Refused = REFUSED,
        Goodbye = GOODBYE,
        TokenAccepted = TOKEN_ACCEPTED,
    }
}
