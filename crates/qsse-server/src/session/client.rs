//! A session as the server's other parts see it: it can be described, expelled and checked again.

use std::sync::Arc;

use qsse_proto::Code;

use crate::auth::Principal;
use crate::clients::Client;
use crate::info::{ConnectionInfo, SubscriptionInfo};
use crate::session::Session;

impl Client for Session {
    fn principal(&self) -> Arc<Principal> {
        self.access.principal()
    }

    fn info(&self, id: u64) -> ConnectionInfo {
        let (principal, traffic) = (self.principal(), self.peer.traffic());
        let head = self.shared.log.visible().seq();
        let subscriptions = self.subscriptions.lock();
        let accepted = subscriptions.iter().filter_map(|(id, subscription)| {
            Some(SubscriptionInfo {
                id,
                filter: subscription.filter.clone()?,
                lag: subscription.ends.lag(head),
            })
        });
        ConnectionInfo {
            id,
            principal: principal.name().into(),
            token_id: principal.token_id().map(Into::into),
            namespace: principal.namespace().map(|prefix| prefix.to_topic()),
            address: self.peer.address(),
            protocol: self.peer.protocol(),
            connected_for: self
                .shared
                .clock
                .now()
                .monotonic
                .saturating_sub(self.welcomed),
            subscriptions: accepted.collect(),
            bytes_sent: traffic.bytes_sent,
            bytes_received: traffic.bytes_received,
            rtt: traffic.rtt,
        }
    }

    /// The close makes every later write fail, and drops what was not sent. The rights end first,
    /// because publishes that were received before can still be read after a close.
    fn expel(&self, code: Code, reason: &str) {
        self.access.expel();
        self.peer.close(code, reason);
    }

    fn recheck(&self) {
        self.recheck.notify_one();
    }
}
