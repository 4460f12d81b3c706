//! The end of a session whose control is no stream of frames: its token expires, is revoked, or no
//! longer allows what was accepted.

use qsse_proto::Code;

use crate::session::expiry::Expiry;
use crate::session::{End, Session, hello, subscribing};

/// Waits until the token expires, or no longer allows what it did when it was checked. `deny` ends
/// the subscriptions that are no longer allowed, or says how to close the connection.
pub(super) async fn end_of_rights(session: &Session, deny: impl Fn(&[u32]) -> Option<End>) -> End {
    let mut expiry = Expiry::of(&session.access.principal());
    loop {
        tokio::select! {
            biased;
            () = expiry.passed() => return End::token_expired(),
            () = session.recheck.notified() => {}
        }
        match recheck(session, &deny).await {
            Ok(checked) => expiry = expiry.or_earlier(checked),
            Err(end) => return end,
        }
    }
}

/// Checks the token and the subscriptions again. The error says how to close the connection.
async fn recheck(session: &Session, deny: impl Fn(&[u32]) -> Option<End>) -> Result<Expiry, End> {
    let token = session.access.principal();
    let principal = hello::authenticate(&session.shared, &*session.peer, token.token()).await?;
    let expiry = Expiry::of(&principal);
    session.renew(principal)?;
    let accepted: Vec<_> = {
        let subscriptions = session.subscriptions.lock();
        let accepted = subscriptions.iter();
        let accepted = accepted.filter_map(|(id, one)| Some((id, one.filter.clone()?)));
        accepted.collect()
    };
    let mut denied = Vec::new();
    for (id, filter) in accepted {
        if subscribing::recheck(session, &filter).await.is_some() {
            denied.push(id);
        }
    }
    match deny(&denied) {
        Some(end) => Err(end),
        None => Ok(expiry),
    }
}

/// The dialect of the Go library has no way to end a part of what was accepted.
pub(super) fn deny_all(denied: &[u32]) -> Option<End> {
    let reason = "the token no longer allows all of the topics: connect again";
    (!denied.is_empty()).then(|| End::new(Code::BUSY, reason))
}
