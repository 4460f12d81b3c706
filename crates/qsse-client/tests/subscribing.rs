//! Subscriptions on one connection. The server is scripted, and may misbehave.

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use qsse_client::{
    Client, Code, ConnectError, Cursor, GapReason, Item, Notice, OnLag, Start, SubscribeError,
    SubscriptionError, TransportConfig,
};
use qsse_proto::control::{ClientFrame, Unsubscribe};
use qsse_proto::stream::Outcome;
use qsse_transport::ConnectionError;
use support::*;

#[tokio::test]
async fn confirmation_and_stream_may_come_in_either_order() {
    let server = FakeServer::start();
    let (client, mut peer) = server.pair().await;

    let (subscription, feed) = tokio::join!(client.subscribe(["ride.*", "people"]), async {
        let asked = peer.subscribe().await;
        assert_eq!(asked.patterns, ["ride.*", "people"]);
        assert_eq!((asked.start, asked.on_lag), (Start::Live, OnLag::CatchUp));
        peer.confirm(asked.id, 40).await;
        asked.id
    });
    let mut first = subscription.unwrap();
    assert_eq!(
        first.cursor(),
        Cursor::after(id(40)),
        "valid before the first event"
    );
    let mut feed = peer.feed(feed, 40, Outcome::Live).await;
    feed.events([41, 45]).await;
    assert_eq!(seqs(&mut first, 2).await, [41, 45]);
    assert_eq!(first.cursor().to_string(), id(45).to_string());

    let (subscription, (asked, mut feed)) = tokio::join!(
        client
            .subscribe("x")
            .start(Start::Earliest)
            .on_lag(OnLag::Skip),
        async {
            let asked = peer.subscribe().await;
            (
                asked.clone(),
                peer.feed(asked.id, 3, Outcome::Resumed).await,
            )
        }
    );
    let mut second = subscription.unwrap();
    assert_eq!((asked.start, asked.on_lag), (Start::Earliest, OnLag::Skip));
    peer.confirm(asked.id, 3).await;
    feed.events([4]).await;
    let event = event(&mut second).await;
    assert_eq!(
        (event.topic().as_str(), event.text()),
        ("ride.7.start", Ok("4"))
    );
}

#[tokio::test]
async fn a_refusal_is_the_error_of_subscribing() {
    let server = FakeServer::start();
    let (client, mut peer) = server.pair().await;
    let (result, ()) = tokio::join!(client.subscribe("secret"), async {
        let asked = peer.subscribe().await;
        peer.refuse(
            asked.id,
            Code::NOT_AUTHORISED,
            "not for you\r\n\x1b[2Jforged",
        )
        .await;
    });
    let error = result.unwrap_err();
    assert_eq!(
        (error.code(), error.is_retryable()),
        (Some(Code::NOT_AUTHORISED), false)
    );
    let text = error.to_string();
    assert!(
        text.contains("not for you") && !text.contains(char::is_control),
        "{text:?}"
    );
    // The next request has another id.
    let (result, ()) = tokio::join!(client.subscribe("secret"), async {
        let asked = peer.subscribe().await;
        assert_eq!(asked.id, 2);
        peer.refuse(asked.id, Code::BUSY, "").await;
    });
    assert!(result.unwrap_err().is_retryable());
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_here() {
    let server = FakeServer::start();
    let (client, _peer) = server.pair().await;
    assert!(matches!(
        client.subscribe("a..b").await,
        Err(SubscribeError::Filter(_))
    ));
    let none: [&str; 0] = [];
    assert!(matches!(
        client.subscribe(none).await,
        Err(SubscribeError::Filter(_))
    ));
    let many: Vec<_> = (0..2000).map(|i| format!("topic{i}")).collect();
    assert!(matches!(
        client.subscribe(many).await,
        Err(SubscribeError::TooManyPatterns { count: 2000 })
    ));
}

#[tokio::test]
async fn frames_may_come_in_any_pieces_and_unknown_extensions_are_skipped() {
    let server = FakeServer::start();
    let (client, mut peer) = server.pair().await;
    peer.send_raw(extension()).await;
    let (subscription, (_, mut feed)) =
        tokio::join!(client.subscribe("*"), peer.serve(0, Outcome::Live));
    let mut subscription = subscription.unwrap();
    let bytes = [batch(1..=3), extension(), batch([4])].concat();
    for byte in bytes {
        feed.raw(Bytes::copy_from_slice(&[byte])).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(seqs(&mut subscription, 4).await, [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_stream_without_a_header_holds_up_no_other_and_is_asked_for_again() {
    let server = FakeServer::start();
    let config = config().stream_timeout(Duration::from_millis(300));
    let (client, mut peer) = tokio::join!(server.connect().config(config), server.welcome());
    let client = client.unwrap();
    let ((late, other), (id, _silent, mut feed)) = tokio::join!(
        async {
            (
                client.subscribe("late").await.unwrap(),
                client.subscribe("other").await.unwrap(),
            )
        },
        async {
            let late = peer.subscribe().await;
            peer.confirm(late.id, 0).await;
            let mut silent = peer.bare_feed().await;
            silent.raw(Bytes::from_static(&[9])).await;
            let (_, feed) = peer.serve(0, Outcome::Live).await;
            (late.id, silent, feed)
        }
    );
    let (mut late, mut other) = (late, other);
    feed.events([1]).await;
    assert_eq!(seqs(&mut other, 1).await, [1]);
    // The silent one is unsubscribed by its old id, and requested from its confirmed position.
    assert_eq!(
        peer.frame().await,
        ClientFrame::Unsubscribe(Unsubscribe { id })
    );
    let (again, mut feed) = peer.serve(0, Outcome::Resumed).await;
    assert!(again.id > id);
    assert_eq!(
        (again.patterns.as_slice(), again.start),
        (&["late".into()][..], Start::After(support::id(0)))
    );
    feed.events([2]).await;
    assert_eq!(seqs(&mut late, 1).await, [2]);
}

#[tokio::test]
async fn a_subscription_that_nobody_reads_stalls_no_other() {
    let server = FakeServer::start_with(TransportConfig::server().send_window(64 << 20));
    let (client, mut peer) = server.pair().await;
    let ((unread, read), (mut flood, mut feed)) = tokio::join!(
        async {
            (
                client.subscribe("flood").await.unwrap(),
                client.subscribe("calm").await.unwrap(),
            )
        },
        async {
            (
                peer.serve(0, Outcome::Live).await.1,
                peer.serve(0, Outcome::Live).await.1,
            )
        }
    );
    let mut read = read;
    // This exceeds the stream's window, so the write never ends.
    let flooding = tokio::spawn(async move {
        let chunk = batch(1..=500);
        loop {
            if flood.stream.write_all(&mut [chunk.clone()]).await.is_err() {
                return;
            }
        }
    });
    let mut last = 0;
    for round in 1..=200 {
        feed.events([round]).await;
        last = event(&mut read).await.id().seq();
    }
    assert_eq!(last, 200);
    // The control stream works too.
    let (third, _) = tokio::join!(client.subscribe("third"), peer.serve(0, Outcome::Live));
    drop(third.unwrap());
    assert!(!flooding.is_finished());
    drop(unread);
    soon(flooding).await.unwrap();
}

#[tokio::test]
async fn gaps_and_resets_are_notices_and_only_a_reset_moves_the_cursor() {
    let server = FakeServer::start();
    let (client, mut peer) = server.pair().await;
    let foreign = qsse_client::EventId::new(qsse_client::Epoch::new(99), 1000);
    let (subscription, (_, mut feed)) = tokio::join!(
        client.subscribe("*").start(Cursor::after(foreign)),
        peer.serve(4, Outcome::Reset)
    );
    let mut subscription = subscription.unwrap();
    let Notice::Reset(reset) = notice(&mut subscription).await else {
        panic!("a reset")
    };
    assert_eq!((reset.after, reset.position), (Some(foreign), id(4)));
    assert_eq!(subscription.cursor(), Cursor::after(id(4)));
    feed.gap(4, 9).await;
    feed.events([7, 10]).await;
    let Notice::Gap(gap) = notice(&mut subscription).await else {
        panic!("a gap")
    };
    assert_eq!((gap.after, gap.to, gap.at_most), (id(4), id(9), 5));
    assert_eq!((gap.first(), gap.reason), (id(5), GapReason::Retention));
    assert_eq!(subscription.cursor(), Cursor::after(id(4)));
    assert_eq!(seqs(&mut subscription, 2).await, [7, 10]);
    assert_eq!(subscription.cursor(), Cursor::after(id(10)));
    feed.heartbeat(30).await;
    assert!(subscription.next().now_or_never().is_none());
    until(|| {
        assert!(subscription.next_ready().is_none());
        if subscription.cursor().id() == id(30) {
            Ok(())
        } else {
            Err(subscription.cursor())
        }
    })
    .await;
}

#[tokio::test]
async fn a_loop_with_a_question_mark_goes_on_after_gaps_and_resets_which_are_reported() {
    let server = FakeServer::start();
    let (client, mut peer) = server.pair().await;
    let foreign = qsse_client::EventId::new(qsse_client::Epoch::new(99), 1000);
    let reported = Arc::new(Mutex::new(Vec::new()));
    let report = reported.clone();
    let (subscription, (_, mut feed)) = tokio::join!(
        client
            .subscribe("*")
            .start(Cursor::after(foreign))
            .on_notice(move |notice| report.lock().unwrap().push(notice.to_string())),
        peer.serve(4, Outcome::Reset)
    );
    let mut subscription = subscription.unwrap();
    feed.gap(4, 6).await;
    feed.events([7]).await;
    feed.gap(7, 9).await;
    feed.events([10]).await;
    let next = soon(subscription.try_next()).await.unwrap().unwrap();
    assert_eq!(next.id(), id(7));
    assert_eq!(reported.lock().unwrap().len(), 2, "a reset and a gap");
    let lent = soon(subscription.lend_next()).await.unwrap().unwrap().id();
    assert_eq!(lent, id(10));
    let reported = reported.lock().unwrap();
    let [reset, gap, lent] = &reported[..] else {
        panic!("{reported:?}")
    };
    assert!(reset.contains("does not have"), "{reset}");
    assert!(gap.starts_with("up to 2 events may be missing"), "{gap}");
    assert!(lent.starts_with("up to 2 events may be missing"), "{lent}");
}

#[tokio::test]
async fn items_are_events_and_notices_in_their_order() {
    let server = FakeServer::start();
    let (client, mut peer) = server.pair().await;
    let (subscription, (_, mut feed)) = tokio::join!(
        client
            .subscribe("*")
            .on_notice(|notice| panic!("{notice} is yielded")),
        peer.serve(0, Outcome::Live)
    );
    let mut subscription = subscription.unwrap();
    feed.gap(0, 3).await;
    feed.events([4]).await;
    feed.gap(4, 6).await;
    feed.events([7]).await;
    let first: Vec<_> = soon(subscription.items().take(2).collect()).await;
    assert!(
        matches!(
            &first[..],
            [Ok(Item::Notice(Notice::Gap(_))), Ok(Item::Event(_))]
        ),
        "{first:?}"
    );
    assert!(matches!(
        soon(subscription.lend_item()).await,
        Some(Ok(Item::Notice(Notice::Gap(_))))
    ));
    let Some(Ok(Item::Event(lent))) = soon(subscription.lend_item()).await else {
        panic!("an event")
    };
    assert_eq!(lent.id(), id(7));
}

// QP-5.13
#[tokio::test]
async fn a_stream_that_the_server_ended_for_memory_is_resumed() {
    let server = FakeServer::start();
    let (client, mut peer) = server.pair().await;
    let (events, (_, mut feed)) = tokio::join!(client.subscribe("*"), peer.serve(0, Outcome::Live));
    let mut events = events.unwrap();
    feed.events([1]).await;
    assert_eq!(soon(events.next()).await.unwrap().unwrap().id(), id(1));
    feed.stream.reset(Code::LAGGED);
    let again = async {
        let (asked, mut feed) = peer.serve(1, Outcome::Resumed).await;
        feed.events([2]).await;
        (asked, feed)
    };
    let (next, (asked, _feed)) = tokio::join!(soon(events.next()), again);
    assert_eq!(asked.start, Start::After(id(1)));
    assert_eq!(next.unwrap().unwrap().id(), id(2));
}

#[tokio::test]
async fn terminal_errors_come_once_and_then_nothing() {
    let server = FakeServer::start();
    let (client, mut peer) = server.pair().await;
    let _feeds;
    let (mut lagged, mut revoked, mut garbled) = {
        let (subscriptions, feeds) = tokio::join!(
            async {
                let one = async || client.subscribe("*").await.unwrap();
                let lagging = client.subscribe("*").on_lag(OnLag::Disconnect);
                (lagging.await.unwrap(), one().await, one().await)
            },
            async {
                let (_, mut lagged) = peer.serve(0, Outcome::Live).await;
                lagged.events([1]).await;
                let (asked, mut revoked) = peer.serve(0, Outcome::Live).await;
                peer.refuse(asked.id, Code::NOT_AUTHORISED, "revoked").await;
                let (_, mut garbled) = peer.serve(0, Outcome::Live).await;
                garbled
                    .raw(Bytes::from_static(&[2, 0, 0, 0, 0x31, 0]))
                    .await;
                lagged.stream.reset(Code::LAGGED);
                revoked.stream.reset(Code::NOT_AUTHORISED);
                (lagged, revoked, garbled)
            }
        );
        _feeds = feeds;
        subscriptions
    };
    let end = loop {
        match soon(lagged.next()).await {
            // A stream reset may overtake earlier data.
            Some(Ok(_)) => {}
            Some(Err(end)) => break end,
            None => panic!("no end without a word"),
        }
    };
    assert!(matches!(end, SubscriptionError::Lagged), "{end}");
    assert!(end.is_retryable());
    let end = error(&mut revoked).await;
    assert_eq!(end.code(), Some(Code::NOT_AUTHORISED), "{end}");
    assert!(matches!(
        error(&mut garbled).await,
        SubscriptionError::Protocol(_)
    ));
    for ended in [&mut lagged, &mut revoked, &mut garbled] {
        assert!(soon(ended.next()).await.is_none());
        assert!(soon(ended.try_next()).await.unwrap().is_none());
        assert!(soon(StreamExt::next(ended)).await.is_none());
    }
    assert!(
        client.state().current().is_connected(),
        "the connection stays"
    );
}

#[tokio::test]
async fn a_stream_that_ends_too_early_is_asked_for_again() {
    let server = FakeServer::start();
    let (client, mut peer) = server.pair().await;
    let (subscription, (first, mut feed)) =
        tokio::join!(client.subscribe("*"), peer.serve(0, Outcome::Live));
    let mut subscription = subscription.unwrap();
    feed.events([1, 2]).await;
    feed.stream.finish();
    let (events, (second, mut feed)) = tokio::join!(seqs(&mut subscription, 4), async {
        let (second, mut feed) = peer.serve(2, Outcome::Resumed).await;
        feed.events([3, 4]).await;
        (second, feed)
    });
    assert_eq!(events, [1, 2, 3, 4]);
    assert!(second.id > first.id);
    assert_eq!(second.start, Start::After(id(2)));
    // A partial frame at the end is dropped.
    feed.raw(batch([5]).slice(..6)).await;
    feed.stream.finish();
    let (events, _feed) = tokio::join!(seqs(&mut subscription, 1), async {
        let (third, mut feed) = peer.serve(4, Outcome::Resumed).await;
        assert_eq!(third.start, Start::After(id(4)));
        feed.events([5]).await;
        feed
    });
    assert_eq!(events, [5]);
}

#[tokio::test]
async fn dropping_unsubscribes() {
    let server = FakeServer::start();
    let (client, mut peer) = server.pair().await;
    let (subscription, (asked, mut feed)) =
        tokio::join!(client.subscribe("*"), peer.serve(0, Outcome::Live));
    let mut subscription = subscription.unwrap();
    feed.events([1]).await;
    assert_eq!(seqs(&mut subscription, 1).await, [1]);
    subscription.unsubscribe();
    assert_eq!(
        peer.frame().await,
        ClientFrame::Unsubscribe(Unsubscribe { id: asked.id })
    );
    assert_eq!(
        soon(feed.stream.stopped()).await,
        Ok(Some(Code::UNSUBSCRIBED))
    );

    // A call that is dropped before its answer leaves nothing behind.
    let mut pending = Box::pin(client.subscribe("other").into_future());
    assert!((&mut pending).now_or_never().is_none());
    let asked = peer.subscribe().await;
    drop(pending);
    assert_eq!(
        peer.frame().await,
        ClientFrame::Unsubscribe(Unsubscribe { id: asked.id })
    );
    peer.confirm(asked.id, 0).await;
    let feed = peer.feed(asked.id, 0, Outcome::Live).await;
    assert_eq!(
        soon(feed.stream.stopped()).await,
        Ok(Some(Code::UNSUBSCRIBED))
    );
}

#[tokio::test]
async fn next_can_be_cancelled_at_any_time() {
    let server = FakeServer::start();
    let (client, mut peer) = server.pair().await;
    let (subscription, (_, mut feed)) =
        tokio::join!(client.subscribe("*"), peer.serve(0, Outcome::Live));
    let mut subscription = subscription.unwrap();
    let writing = tokio::spawn(async move {
        for seq in 1..=200 {
            let bytes = batch([seq]);
            let half = bytes.len() / 2;
            feed.raw(bytes.slice(..half)).await;
            tokio::task::yield_now().await;
            feed.raw(bytes.slice(half..)).await;
        }
        feed
    });
    let mut seen = Vec::new();
    while seen.len() < 200 {
        // It is polled once and dropped.
        if let Some(item) = subscription.next().now_or_never() {
            seen.push(item.unwrap().unwrap().id().seq());
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(seen, (1..=200).collect::<Vec<_>>());
    soon(writing).await.unwrap();
}

#[tokio::test]
async fn a_subscription_asked_for_with_the_connection_keeps_it_alive() {
    let server = FakeServer::start();
    let (subscription, peer) = tokio::join!(server.connect().subscribe("*"), async {
        let mut peer = server.accept().await;
        let asked = peer.subscribe().await;
        assert_eq!(asked.patterns, ["*"], "before the welcome");
        peer.welcome().await;
        peer.confirm(asked.id, 0).await;
        let mut feed = peer.feed(asked.id, 0, Outcome::Live).await;
        feed.events([1]).await;
        (peer, feed)
    });
    let mut subscription = subscription.unwrap();
    assert_eq!(seqs(&mut subscription, 1).await, [1]);
    // Only the subscription keeps the connection open.
    drop(subscription);
    let (peer, _feed) = peer;
    assert!(matches!(
        peer.closed().await,
        ConnectionError::Closed { code, .. } if code == Code::NO_ERROR
    ));
}

#[tokio::test]
async fn why_connecting_failed_is_why_subscribing_did() {
    let server = FakeServer::start();
    let (result, ()) = tokio::join!(server.connect().subscribe("a"), async {
        let peer = server.accept().await;
        peer.connection.close(Code::NOT_AUTHORISED, "no such token");
    });
    let error = result.unwrap_err();
    assert!(
        matches!(
            &error,
            SubscribeError::Connect(ConnectError::NotAuthorised { .. })
        ),
        "{error:?}"
    );
    assert!(!error.is_retryable());
    assert_eq!(error.code(), Some(Code::NOT_AUTHORISED));
    assert!(error.to_string().contains("no such token"), "{error}");

    let nowhere = Client::connect("qsse://[").subscribe("a").await;
    let error = nowhere.unwrap_err();
    assert!(matches!(error, SubscribeError::Connect(_)), "{error:?}");

    let (result, ()) = tokio::join!(server.connect().subscribe("secret"), async {
        let mut peer = server.accept().await;
        let asked = peer.subscribe().await;
        peer.welcome().await;
        peer.refuse(asked.id, Code::NOT_AUTHORISED, "not for you")
            .await;
        peer.closed().await;
    });
    assert_eq!(result.unwrap_err().code(), Some(Code::NOT_AUTHORISED));
}
