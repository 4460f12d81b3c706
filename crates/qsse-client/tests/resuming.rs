//! Where subscriptions start and resume. Client and server are real.

mod support;

use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use qsse_client::{
    Client, Code, Cursor, Epoch, EventId, Handlers, OnLag, Outcome, Start, Subscription,
    SubscriptionError, Timestamp,
};
use support::*;

async fn subscribe(
    client: &Client,
    peer: &mut Peer,
    start: impl Into<Start>,
    (position, outcome): (u64, Outcome),
) -> (Subscription, Feed) {
    let subscribe = client.subscribe("*").start(start).into_future();
    let (subscription, (_, feed)) = tokio::join!(subscribe, peer.serve(position, outcome));
    (subscription.expect("subscribed"), feed)
}

#[tokio::test]
async fn the_outcome_of_the_start_is_told_and_stays() {
    let server = FakeServer::start();
    let (client, mut peer) = server.pair().await;
    let since = Start::Since(Timestamp::from_micros(5));
    let after = Start::After(id(3));
    for (start, outcome) in [
        (Start::Live, Outcome::Live),
        (Start::Earliest, Outcome::Resumed),
        (after, Outcome::Resumed),
        (after, Outcome::Gap),
        (since, Outcome::Gap),
        (Start::After(EventId::new(Epoch::new(6), 3)), Outcome::Reset),
    ] {
        let (mut subscription, mut feed) = subscribe(&client, &mut peer, start, (3, outcome)).await;
        assert_eq!(soon(subscription.outcome()).await, Some(outcome));
        if outcome == Outcome::Reset {
            notice(&mut subscription).await;
        }
        feed.events([4]).await;
        assert_eq!(seqs(&mut subscription, 1).await, [4], "it takes no event");
        assert_eq!(soon(subscription.outcome()).await, Some(outcome));
        drop((subscription, feed));
        peer.frame().await;
    }
}

#[tokio::test]
async fn the_outcome_is_waited_for_and_its_absence_told() {
    let server = FakeServer::start();
    let (client, mut peer) = server.pair().await;
    let (subscription, asked) = tokio::join!(client.subscribe("*"), async {
        let asked = peer.subscribe().await;
        peer.confirm(asked.id, 3).await;
        asked.id
    });
    let mut subscription = subscription.unwrap();
    assert!(subscription.outcome().now_or_never().is_none());
    let (outcome, mut feed) =
        tokio::join!(subscription.outcome(), peer.feed(asked, 3, Outcome::Live));
    assert_eq!(outcome, Some(Outcome::Live));
    feed.events([4]).await;
    assert_eq!(seqs(&mut subscription, 1).await, [4]);

    let (ended, _) = tokio::join!(client.subscribe("*"), async {
        let asked = peer.subscribe().await;
        peer.confirm(asked.id, 3).await;
    });
    let mut ended = ended.unwrap();
    client.close();
    assert_eq!(soon(ended.outcome()).await, None);
    assert!(soon(ended.next()).await.is_none());
    assert_eq!(soon(ended.outcome()).await, None);
}

#[tokio::test]
async fn a_snapshot_cut_in_the_middle_goes_on_behind_what_was_handed_out() {
    let server = FakeServer::start();
    let (client, mut peer) = server.pair().await;
    let began = (19, Outcome::Resumed);
    let (mut subscription, mut feed) = subscribe(&client, &mut peer, Start::Last(1), began).await;
    assert_eq!(subscription.cursor(), Cursor::after(id(19)));
    feed.events([20]).await;
    assert_eq!(seqs(&mut subscription, 1).await, [20]);
    feed.raw(batch([50, 90]).slice(..5)).await;
    peer.kill();
    let mut peer = server.welcome().await;
    let (asked, mut feed) = peer.serve(19, Outcome::Resumed).await;
    assert_eq!(asked.start, Start::After(id(20)));
    // All retained events after it, also those that are not the last of their topic, and new ones.
    feed.events([20, 30, 50, 90, 91]).await;
    assert_eq!(seqs(&mut subscription, 4).await, [30, 50, 90, 91]);
}

#[tokio::test]
async fn a_start_whose_events_nobody_has_read_loses_and_doubles_nothing() {
    let server = FakeServer::start();
    for start in [
        Start::Last(1),
        Start::Earliest,
        Start::Since(Timestamp::from_micros(1)),
    ] {
        let (client, mut peer) = server.pair().await;
        let began = (2, Outcome::Resumed);
        let (mut subscription, mut feed) = subscribe(&client, &mut peer, start, began).await;
        feed.events([3, 9]).await;
        feed.stream.finish();
        assert_eq!(soon(feed.stream.stopped()).await, Ok(None));
        peer.kill();
        let mut peer = server.welcome().await;
        let (asked, mut feed) = peer.serve(2, Outcome::Resumed).await;
        assert_eq!(asked.start, Start::After(id(2)), "{start:?}");
        // 10 was published in the meantime, and 11 replaced it as the last one of its topic.
        feed.events([3, 9, 10, 11]).await;
        assert_eq!(
            seqs(&mut subscription, 4).await,
            [3, 9, 10, 11],
            "{start:?}"
        );
        client.close();
        soon(peer.closed()).await;
    }
}

#[tokio::test]
async fn being_cut_off_for_lagging_is_an_end_with_a_cursor() {
    let server = FakeServer::start();
    let (client, mut peer) = server.pair().await;
    let subscribe = client
        .subscribe("*")
        .on_lag(OnLag::Disconnect)
        .into_future();
    let (subscription, (asked, mut feed)) = tokio::join!(subscribe, peer.serve(0, Outcome::Live));
    let mut subscription = subscription.unwrap();
    assert_eq!(asked.on_lag, OnLag::Disconnect);
    feed.events([1, 2]).await;
    assert_eq!(seqs(&mut subscription, 1).await, [1]);
    feed.stream.reset(Code::LAGGED);
    // Events that were read together with the first are still handed out.
    let mut last = 1;
    let lagged = loop {
        match soon(subscription.next()).await.expect("no end yet") {
            Ok(event) => last = event.id().seq(),
            Err(error) => break error,
        }
    };
    assert!(matches!(lagged, SubscriptionError::Lagged), "{lagged}");
    assert!(lagged.is_retryable());
    assert!(lagged.to_string().contains("from its cursor"), "{lagged}");
    for _ in 0..2 {
        assert!(soon(subscription.next()).await.is_none());
    }
    let cursor = subscription.cursor();
    assert_eq!(cursor, Cursor::after(id(last)), "still valid");
    assert!(client.state().current().is_connected());

    let again = client.subscribe("*").start(cursor).into_future();
    peer.frame().await;
    let (again, (asked, mut feed)) = tokio::join!(again, peer.serve(last, Outcome::Resumed));
    assert_eq!(asked.start, Start::After(id(last)));
    feed.events([last + 1]).await;
    assert_eq!(seqs(&mut again.unwrap(), 1).await, [last + 1]);
}

#[tokio::test]
async fn a_handler_that_panics_is_not_called_again_with_its_event() {
    let server = FakeServer::start();
    let (client, mut peer) = server.pair().await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let journal = seen.clone();
    let handlers = Handlers::new()
        .on("*", move |event| {
            let journal = journal.clone();
            async move {
                journal.lock().unwrap().push(event.id().seq());
                assert!(event.id().seq() % 2 == 1, "even ones panic");
            }
        })
        .on_error(async |_| {})
        .start(Start::Last(1));
    let (handle, (_, mut feed)) =
        tokio::join!(client.handle(handlers), peer.serve(0, Outcome::Resumed));
    let handle = handle.unwrap();
    feed.events([1, 2]).await;
    let cursor = |seq| {
        let cursor = handle.cursor();
        if cursor == Cursor::after(id(seq)) {
            Ok(())
        } else {
            Err(cursor)
        }
    };
    until(|| cursor(2)).await;
    peer.kill();
    let mut peer = server.welcome().await;
    // The server repeats one of them.
    let (asked, mut feed) = peer.serve(1, Outcome::Resumed).await;
    assert_eq!(asked.start, Start::After(id(2)));
    feed.events([2, 3, 4]).await;
    until(|| cursor(4)).await;
    assert_eq!(*seen.lock().unwrap(), [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_handler_may_close_the_client() {
    let server = FakeServer::start();
    let (client, mut peer) = server.pair().await;
    let closing = client.clone();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let journal = seen.clone();
    let handlers = Handlers::new().on("*", move |event| {
        let (closing, journal) = (closing.clone(), journal.clone());
        async move {
            journal.lock().unwrap().push(event.id().seq());
            if event.id().seq() == 2 {
                closing.close();
                closing.closed().await;
            }
        }
    });
    let (handle, (_, mut feed)) =
        tokio::join!(client.handle(handlers), peer.serve(0, Outcome::Live));
    let handle = handle.unwrap();
    feed.events([1, 2, 3]).await;
    let stood = soon(handle.ended()).await;
    // The last handler finished, and its event counts.
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen[..2], [1, 2]);
    assert_eq!(stood, Cursor::after(id(*seen.last().unwrap())));
}
