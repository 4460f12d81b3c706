//! [`Position`]: where a subscription was requested to start, started, and is now.

use std::sync::Arc;

use qsse_proto::EventId;
use qsse_proto::control::Start;

use super::atomic_cursor::AtomicCursor;

/// Where a subscription was requested to start, started, and is now.
pub(super) struct Position {
    /// Where to start while there is no cursor.
    requested: Start,
    /// The last event handed out, or a position up to which nothing else matches.
    cursor: Option<Arc<AtomicCursor>>,
    /// How many resets have moved the cursor to another log.
    resets: u64,
    /// Where the server started the subscription.
    started: Option<EventId>,
}

impl Position {
    pub(super) fn new(requested: Start) -> Self {
        let cursor = match requested {
            Start::After(id) => Some(AtomicCursor::new(id)),
            _ => None,
        };
        Self {
            requested,
            cursor,
            resets: 0,
            started: None,
        }
    }

    /// Returns the start that was requested.
    pub(super) fn requested(&self) -> Start {
        self.requested
    }

    /// Returns where the next connection starts.
    pub(super) fn start(&self) -> Start {
        let cursor = self.cursor.as_ref();
        cursor.map_or(self.requested, |cursor| Start::After(cursor.id()))
    }

    /// Records that the server started the subscription after `position`.
    pub(super) fn confirm(&mut self, position: EventId) {
        self.started.get_or_insert(position);
        // The cursor is set at once, whatever the start was. If the next connection requested the
        // start again, it could miss events that were published or removed in the meantime.
        self.cursor
            .get_or_insert_with(|| AtomicCursor::new(position));
    }

    pub(super) fn cursor(&self) -> Option<Arc<AtomicCursor>> {
        self.cursor.clone()
    }

    pub(super) fn resets(&self) -> u64 {
        self.resets
    }

    /// Moves the cursor to where another log begins, wherever it was.
    pub(super) fn reset(&mut self, position: EventId) -> Arc<AtomicCursor> {
        self.resets += 1;
        self.set_cursor(position)
    }

    /// Puts a new cursor at `id`.
    pub(super) fn set_cursor(&mut self, id: EventId) -> Arc<AtomicCursor> {
        self.cursor.insert(AtomicCursor::new(id)).clone()
    }

    /// Forgets the cursor, so that the subscription starts as requested.
    pub(super) fn forget_cursor(&mut self) {
        self.cursor = None;
    }

    /// Starts with the next published event, wherever the cursor was.
    pub(super) fn go_live(&mut self) {
        self.started = self.cursor.take().map(|cursor| cursor.id());
        self.requested = Start::Live;
    }

    /// Returns the cursor, or where the subscription started.
    pub(super) fn current(&self) -> Option<EventId> {
        let cursor = self.cursor.as_ref().map(|cursor| cursor.id());
        cursor.or(self.started)
    }
}
