//! [`Opening`]: the requests of a control stream that wait for an answer.

use futures_util::future::{BoxFuture, OptionFuture};
use futures_util::stream::{FuturesOrdered, FuturesUnordered, StreamExt};
use qsse_proto::control::TokenAccepted;

use crate::auth::Principal;
use crate::session::End;
use crate::session::delivery::Delivery;
use crate::session::subscribing::Refusal;

/// The result of a request.
pub(super) enum Answer {
    /// A subscription by its id, with the generation of the principal that was asked about.
    Subscription(u32, u64, Result<Box<Delivery>, Refusal>),
    /// Whose token it is, and whether the client sent it now.
    Token(Result<Box<Principal>, End>, bool),
    Checked(Checked),
}

/// What a principal is no longer allowed.
pub(super) struct Checked {
    /// Which principal was asked about.
    pub(super) generation: u64,
    /// The subscriptions that have to end.
    pub(super) refused: Vec<(u32, Refusal)>,
    /// The acknowledgement of a token that the client sent.
    pub(super) accepted: Option<TokenAccepted>,
}

/// The requests that wait for an authorizer, an authenticator or a stream. Mostly there is none.
#[derive(Default)]
pub(super) struct Opening<'s> {
    any: Option<FuturesUnordered<BoxFuture<'s, Answer>>>,
    /// QP-4.6: answered in the order of the tokens, so that the newest one counts however long each
    /// takes. Each is followed by the check of the subscriptions.
    tokens: Option<Box<FuturesOrdered<BoxFuture<'s, Answer>>>>,
}

impl<'s> Opening<'s> {
    pub(super) fn add(&mut self, future: BoxFuture<'s, Answer>) {
        self.any.get_or_insert_default().push(future);
    }

    pub(super) fn add_token(&mut self, future: BoxFuture<'s, Answer>) {
        self.tokens.get_or_insert_default().push_back(future);
    }

    /// Returns whether a token, or what it allows, is being checked.
    pub(super) fn has_tokens(&self) -> bool {
        self.tokens.is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.any.is_none() && self.tokens.is_none()
    }

    /// Waits for the next answer; `None` if there is nothing to wait for. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Answer> {
        let Self { any, tokens } = self;
        let answer = tokio::select! {
            biased;
            Some(answer) = OptionFuture::from(tokens.as_mut().map(StreamExt::next)) => answer,
            Some(answer) = OptionFuture::from(any.as_mut().map(StreamExt::next)) => answer,
            else => return None,
        };
        tokens.take_if(|tokens| tokens.is_empty());
        any.take_if(|any| any.is_empty());
        answer
    }
}
