//! [`Searches`]: who searches the log now.
//!
//! ```text
//!   connection 1   search, search, search ──┐
//!   connection 2   search ──────────────────┼──▶ one part of one search ──▶ back to its queue
//!   connection 3   search, search ──────────┘
//! ```

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::yield_now;

/// The searches of the whole server, or those of one connection: one part of one search at a time.
///
/// Those who wait have their turns in the order in which they came. A search comes again for each
/// part.
#[derive(Clone)]
pub(crate) struct Searches(Arc<Semaphore>);

/// The turn of a search, which ends when this is dropped.
pub(crate) struct Turn {
    _server: Option<OwnedSemaphorePermit>,
    _connection: Option<OwnedSemaphorePermit>,
}

/// Who searches.
#[derive(Clone, Default)]
pub(crate) struct Searcher {
    /// The searches of the server, and those of the connection, if it is a client.
    client: Option<(Searches, Searches)>,
}

impl Default for Searches {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

impl Searches {
    async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        // It is never closed.
        Arc::clone(&self.0).acquire_owned().await.ok()
    }
}

impl Searcher {
    /// Creates the searcher of a connection. Its turns must be waited for in tasks of the server.
    pub(crate) fn client(server: &Searches, connection: &Searches) -> Self {
        let client = Some((server.clone(), connection.clone()));
        Self { client }
    }

    /// Creates the searcher of this process. It only lets other tasks run: its futures belong to
    /// the caller, who may hold one without polling it, and would keep all others from their turns.
    pub(crate) fn in_process() -> Self {
        Self::default()
    }

    /// Waits until it is its turn to search the next part.
    ///
    /// A connection waits only once for a turn of the server, however many searches it has. While
    /// the turn is held, other tasks run first: of all searches, one at a time takes a thread, and
    /// that one after everything else.
    ///
    /// Cancel-safe, but the place in the queue is lost.
    pub(crate) async fn turn(&self) -> Turn {
        let (mut of_server, mut of_connection) = (None, None);
        if let Some((server, connection)) = &self.client {
            of_connection = connection.turn().await;
            of_server = server.turn().await;
        }
        yield_now().await;
        Turn {
            _server: of_server,
            _connection: of_connection,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;

    #[tokio::test]
    async fn connections_take_turns_however_many_searches_each_has() {
        let server = Searches::default();
        let (many, few) = (Searches::default(), Searches::default());
        let order = Arc::new(Mutex::new(Vec::new()));
        let search = |name: &'static str, searcher: Searcher| {
            let order = Arc::clone(&order);
            tokio::spawn(async move {
                for _ in 0..2 {
                    let _turn = searcher.turn().await;
                    order.lock().push(name);
                }
            })
        };
        let held = Searcher::client(&server, &Searches::default()).turn().await;
        let mut searches = Vec::new();
        for _ in 0..4 {
            searches.push(search("many", Searcher::client(&server, &many)));
        }
        yield_now().await;
        searches.push(search("few", Searcher::client(&server, &few)));
        let last = Searches::default();
        searches.push(search("last", Searcher::client(&server, &last)));
        yield_now().await;
        drop(held);
        for search in searches {
            search.await.unwrap();
        }
        let order = order.lock();
        assert_eq!(order[..6], ["many", "few", "last", "many", "few", "last"]);
        assert_eq!(order[6..], ["many"; 6]);
    }

    #[tokio::test]
    async fn one_search_has_a_turn_and_gives_it_back_when_it_is_dropped() {
        let (server, connection) = (Searches::default(), Searches::default());
        let searcher = Searcher::client(&server, &connection);
        let turn = searcher.turn().await;
        let other = Searcher::client(&server, &Searches::default());
        let mut waiting = Box::pin(other.turn());
        for _ in 0..3 {
            assert!(futures_util::poll!(&mut waiting).is_pending());
            yield_now().await;
        }
        Searcher::in_process().turn().await;
        drop(turn);
        // It is granted the turn, and gives it back although it never took it.
        drop(waiting);
        searcher.turn().await;
    }
}
