//! [`StreamRegister`]: the publishing streams of a client.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use qsse_proto::publish::KeyScope;

use super::stream::PublishStream;
use crate::session::Session;

/// The publishing streams of a client, over all its connections.
///
/// A stream is removed when it ends.
#[derive(Default)]
pub(crate) struct StreamRegister(Mutex<Streams>);

#[derive(Default)]
struct Streams {
    /// The streams that single publishes share: one for each connection and scope of keys.
    shared: Vec<Arc<PublishStream>>,
    all: Vec<Weak<PublishStream>>,
}

impl StreamRegister {
    /// Returns the stream that single publishes of this scope share on this connection. If there is
    /// none, adds the one that `make` returns, and returns true beside it.
    pub(super) fn shared(
        &self,
        session: &Arc<Session>,
        scope: &KeyScope,
        make: impl FnOnce() -> PublishStream,
    ) -> (Arc<PublishStream>, bool) {
        let mut streams = self.0.lock();
        let is_wanted = |stream: &Arc<PublishStream>| {
            Arc::ptr_eq(&stream.session, session) && stream.scope() == scope
        };
        let known = streams.shared.iter().find(|stream| is_wanted(stream));
        if let Some(stream) = known.filter(|stream| stream.is_open()) {
            return (stream.clone(), false);
        }
        let stream = Arc::new(make());
        streams.add(&stream);
        streams.shared.retain(|stream| !is_wanted(stream));
        streams.shared.push(stream.clone());
        (stream, true)
    }

    /// Adds a stream that is not shared.
    pub(super) fn add(&self, stream: &Arc<PublishStream>) {
        self.0.lock().add(stream);
    }

    /// Removes a stream that has ended.
    pub(super) fn remove(&self, stream: &Arc<PublishStream>) {
        let mut streams = self.0.lock();
        streams.shared.retain(|other| !Arc::ptr_eq(other, stream));
        let ended = Arc::as_ptr(stream);
        streams
            .all
            .retain(|other| !std::ptr::eq(other.as_ptr(), ended));
    }

    /// Ends the streams of a connection. What was pushed is still written.
    pub(crate) fn finish(&self, session: &Arc<Session>) {
        for stream in self.of(session) {
            stream.finish();
        }
    }

    /// Waits until each publish so far over this connection is answered, or waits for the next
    /// connection.
    pub(crate) async fn drained(&self, session: &Arc<Session>) {
        for stream in self.of(session) {
            stream.drained_here().await;
        }
    }

    fn of(&self, session: &Arc<Session>) -> Vec<Arc<PublishStream>> {
        let streams = self.0.lock();
        let alive = streams.all.iter().filter_map(Weak::upgrade);
        alive
            .filter(|stream| Arc::ptr_eq(&stream.session, session))
            .collect()
    }
}

impl Streams {
    fn add(&mut self, stream: &Arc<PublishStream>) {
        self.all.retain(|stream| stream.strong_count() > 0);
        self.all.push(Arc::downgrade(stream));
    }
}
