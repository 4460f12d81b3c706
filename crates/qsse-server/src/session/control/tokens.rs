//! Refreshed tokens, and tokens that are checked again.

use futures_util::stream::{FuturesUnordered, StreamExt};
use qsse_proto::control::{RefreshToken, TokenAccepted};

use super::{Control, unread};
use crate::audit::AuditEvent;
use crate::auth::Principal;
use crate::session::delivery::Delivery;
use crate::session::expiry::Expiry;
use crate::session::opening::{Answer, Checked};
use crate::session::subscribing::{self, Refusal};
use crate::session::{End, Session, hello};

impl Control<'_> {
    pub(super) fn refresh(&mut self, RefreshToken { token }: RefreshToken) {
        self.check_token(Some(token.expose().into()), true);
    }

    /// Checks the token in force again. It waits for tokens that are being checked: one of them may
    /// be the one in force then, and an older token must not win.
    pub(super) fn recheck(&mut self) {
        self.recheck_due = self.opening.has_tokens();
        if !self.recheck_due {
            let principal = self.session.access.principal();
            self.check_token(principal.token().map(Into::into), false);
        }
    }

    fn check_token(&mut self, token: Option<Box<str>>, is_new: bool) {
        let Session { shared, peer, .. } = &**self.session;
        self.opening.add_token(Box::pin(async move {
            let principal = hello::authenticate(shared, &**peer, token.as_deref()).await;
            Answer::Token(principal.map(Box::new), is_new)
        }));
    }

    pub(super) fn token_checked(&mut self, principal: Principal, is_new: bool) -> Result<(), End> {
        let session = self.session;
        let (expires, expiry) = (principal.expires_in(), Expiry::of(&principal));
        session.renew(principal)?;
        if is_new {
            session.audit(AuditEvent::Refresh, None, Ok(()));
        }
        self.expiry = match is_new {
            true => expiry,
            false => expiry.or_earlier(self.expiry),
        };
        let expires_in_ms = expires.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let accepted = is_new.then_some(TokenAccepted { expires_in_ms });
        // The principal may be allowed less. A newer token is in force, and acknowledged, once
        // subscriptions that it does not allow have ended (QP-4.8).
        let subscriptions = session.subscriptions.lock();
        let filters: Vec<_> = subscriptions
            .iter()
            .filter_map(|(id, subscription)| Some((id, subscription.filter.clone()?)))
            .collect();
        drop(subscriptions);
        let generation = session.access.generation();
        self.opening.add_token(Box::pin(async move {
            let asked = filters.into_iter().map(|(id, filter)| async move {
                let refusal = subscribing::recheck(session, &filter).await;
                refusal.map(|refusal| (id, refusal))
            });
            let refused = asked.collect::<FuturesUnordered<_>>();
            let refused = refused.filter_map(std::future::ready).collect().await;
            Answer::Checked(Checked {
                generation,
                refused,
                accepted,
            })
        }));
        Ok(())
    }

    /// Ends what the principal is no longer allowed, and acknowledges a newer token.
    pub(super) fn rechecked(&mut self, checked: Checked) -> Result<(), End> {
        // An even newer token has a check of its own.
        if checked.generation == self.session.access.generation() {
            for (id, refusal) in checked.refused {
                let ended = self.session.subscriptions.lock().remove(id);
                if let Some(subscription) = ended {
                    subscription.ends.deny();
                    self.refuse(id, refusal)?;
                }
            }
        }
        if let Some(accepted) = checked.accepted {
            self.replies.send(accepted).map_err(unread)?;
        }
        if self.recheck_due {
            self.recheck();
        }
        Ok(())
    }

    /// Checks a subscription that was opened against the token that is now in force.
    pub(super) fn reopen(&mut self, id: u32, delivery: Box<Delivery>) {
        let session = self.session;
        let generation = session.access.generation();
        self.opening.add(Box::pin(async move {
            let opened: Result<_, Refusal> =
                match subscribing::recheck(session, delivery.filter()).await {
                    Some(refusal) => {
                        delivery.deny();
                        Err(refusal)
                    }
                    None => Ok(delivery),
                };
            Answer::Subscription(id, generation, opened)
        }));
    }
}
