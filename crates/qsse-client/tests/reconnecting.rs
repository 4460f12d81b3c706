//! Lost connections, and how subscriptions continue. The server is scripted.

mod support;

use std::time::{Duration, Instant};

use futures_util::FutureExt;
use qsse_client::{
    Client, CloseReason, Code, ConnectError, ConnectionState, Cursor, DisconnectReason, Epoch,
    EventId, Notice, Start, StateStream, SubscribeError, SubscriptionError,
};
use qsse_proto::stream::Outcome;
use support::*;

/// Waits for a state that is `wanted`.
async fn state(
    states: &mut StateStream,
    wanted: impl Fn(&ConnectionState) -> bool,
) -> ConnectionState {
    loop {
        let state = soon(states.next()).await.expect("the states go on");
        if wanted(&state) {
            return state;
        }
    }
}

#[tokio::test]
async fn a_lost_connection_is_resumed_after_the_last_event_handed_out() {
    let server = FakeServer::start();
    let (client, mut peer) = server.pair().await;
    let mut states = client.state();
    assert!(state(&mut states, |_| true).await.is_connected());
    let (subscription, (_, mut feed)) =
        tokio::join!(client.subscribe("*"), peer.serve(0, Outcome::Live));
    let mut subscription = subscription.unwrap();
    feed.events(1..=5).await;
    assert_eq!(seqs(&mut subscription, 5).await, [1, 2, 3, 4, 5]);
    let reconnecting = tokio::spawn(async move {
        let lost = state(&mut states, |state| !state.is_connected()).await;
        state(&mut states, ConnectionState::is_connected).await;
        assert!(states.next().now_or_never().is_none());
        lost
    });
    peer.kill();

    let mut peer = server.welcome().await;
    let (asked, mut feed) = peer.serve(2, Outcome::Resumed).await;
    assert_eq!(asked.start, Start::After(id(5)));
    // The server repeats events.
    feed.events(3..=8).await;
    assert_eq!(seqs(&mut subscription, 3).await, [6, 7, 8]);
    let lost = soon(reconnecting).await.unwrap();
    let ConnectionState::Reconnecting {
        attempt, reason, ..
    } = lost
    else {
        panic!("{lost}")
    };
    assert_eq!(attempt, 1);
    assert!(reason.to_string().contains("killed"), "{reason}");
}

#[tokio::test]
async fn what_came_before_the_loss_is_read_before_what_came_after_it() {
    let server = FakeServer::start();
    let (client, mut peer) = server.pair().await;
    let (subscription, (_, mut feed)) =
        tokio::join!(client.subscribe("*"), peer.serve(0, Outcome::Live));
    let mut subscription = subscription.unwrap();
    feed.events(1..=3).await;
    assert_eq!(seqs(&mut subscription, 1).await, [1]);
    // Later events arrive unread, in their own chunk, with half of another event.
    feed.events([4, 5]).await;
    feed.raw(batch([6]).slice(..7)).await;
    // All of it has arrived once the server's stream has nothing left to send.
    feed.stream.finish();
    assert_eq!(soon(feed.stream.stopped()).await, Ok(None));
    peer.kill();

    let mut peer = server.welcome().await;
    let (asked, mut feed) = peer.serve(1, Outcome::Resumed).await;
    assert_eq!(
        asked.start,
        Start::After(id(1)),
        "what was handed out counts, not what has come"
    );
    // Gaps within what was read in the meantime are dropped, and others are clipped.
    feed.gap(1, 4).await;
    feed.gap(4, 7).await;
    feed.events(8..=9).await;
    assert_eq!(seqs(&mut subscription, 4).await, [2, 3, 4, 5]);
    let Notice::Gap(gap) = notice(&mut subscription).await else {
        panic!("a gap")
    };
    assert_eq!((gap.after, gap.to, gap.at_most), (id(5), id(7), 2));
    assert_eq!(seqs(&mut subscription, 2).await, [8, 9]);
}

#[tokio::test]
async fn a_start_is_asked_for_once_and_then_its_position() {
    let server = FakeServer::start();
    let (client, mut peer) = server.pair().await;
    let (subscriptions, _feeds) = tokio::join!(
        async {
            let live = client.subscribe("live").await.unwrap();
            let earliest = client
                .subscribe("earliest")
                .start(Start::Earliest)
                .await
                .unwrap();
            let last = client
                .subscribe("last")
                .start(Start::Last(2))
                .await
                .unwrap();
            let after = client
                .subscribe("after")
                .start(Cursor::after(id(9)))
                .await
                .unwrap();
            let mut beating = client
                .subscribe("beating")
                .start(Start::Earliest)
                .await
                .unwrap();
            until(|| {
                assert!(beating.next_ready().is_none());
                if beating.cursor().id() == id(60) {
                    Ok(())
                } else {
                    Err(beating.cursor())
                }
            })
            .await;
            [live, earliest, last, after, beating]
        },
        async {
            let mut feeds = Vec::new();
            for _ in 0..5 {
                feeds.push(peer.serve(50, Outcome::Live).await.1);
            }
            feeds[4].heartbeat(60).await;
            feeds
        }
    );
    peer.kill();
    let mut peer = server.welcome().await;
    let mut starts = Vec::new();
    for _ in 0..5 {
        starts.push(peer.subscribe().await.start);
    }
    let after = |seq| Start::After(id(seq));
    assert_eq!(
        starts,
        [after(50), after(50), after(50), after(9), after(60)]
    );
    drop(subscriptions);
}

// QP-7.7: a restored store has fewer events, perhaps of the same epoch.
#[tokio::test]
async fn a_reset_moves_the_position_back_and_nothing_below_the_old_one_is_dropped() {
    let server = FakeServer::start();
    for (epoch, floor) in [(EPOCH, 0), (EPOCH, 2), (Epoch::new(8), 0)] {
        let (client, mut peer) = server.pair().await;
        let (subscription, (_, mut feed)) =
            tokio::join!(client.subscribe("*"), peer.serve(0, Outcome::Live));
        let mut subscription = subscription.unwrap();
        feed.events(1..=30).await;
        assert_eq!(seqs(&mut subscription, 30).await.last(), Some(&30));
        peer.kill();
        let mut peer = server.accept().await;
        peer.epoch = epoch;
        peer.welcome().await;
        let (asked, mut feed) = peer.serve(floor, Outcome::Reset).await;
        assert_eq!(asked.start, Start::After(id(30)));
        feed.events([3, 4]).await;
        let Notice::Reset(reset) = notice(&mut subscription).await else {
            panic!("a reset")
        };
        let new = |seq| EventId::new(epoch, seq);
        assert_eq!((reset.after, reset.position), (Some(id(30)), new(floor)));
        assert_eq!(subscription.cursor().id(), new(floor));
        assert_eq!(event(&mut subscription).await.id(), new(3));
        // With lent and with owned events.
        let lent = soon(subscription.lend_next()).await.unwrap().unwrap().id();
        assert_eq!(lent, new(4));
        assert_eq!(subscription.cursor().id(), new(4));
        // The next connection resumes from there.
        peer.kill();
        let mut peer = server.accept().await;
        peer.welcome().await;
        let (asked, _) = peer.serve(4, Outcome::Resumed).await;
        assert_eq!(asked.start, Start::After(new(4)));
        client.close();
        drop(subscription);
    }
}

// QP-7.7, QP-7.9
#[tokio::test]
async fn an_epoch_that_differs_is_no_news_and_labels_what_follows() {
    let server = FakeServer::start();
    let (client, mut peer) = server.pair().await;
    let (subscription, (_, mut feed)) =
        tokio::join!(client.subscribe("*"), peer.serve(0, Outcome::Live));
    let mut subscription = subscription.unwrap();
    feed.events([1, 2]).await;
    assert_eq!(seqs(&mut subscription, 1).await, [1]);
    // 2 has arrived, and is not read before the server restarts.
    peer.kill();
    let mut peer = server.accept().await;
    let new = |seq| EventId::new(Epoch::new(8), seq);
    peer.epoch = new(0).epoch();
    peer.welcome().await;
    // The position is of the previous epoch.
    peer.epoch = EPOCH;
    let (_, mut feed) = peer.serve(1, Outcome::Resumed).await;
    feed.events([2]).await;
    feed.epoch(new(0).epoch()).await;
    feed.gap(3, 5).await;
    feed.events([6]).await;
    assert_eq!(event(&mut subscription).await.id(), id(2));
    let Notice::Gap(gap) = notice(&mut subscription).await else {
        panic!("a gap")
    };
    assert_eq!((gap.after, gap.to), (new(3), new(5)));
    assert_eq!(event(&mut subscription).await.id(), new(6));
    assert_eq!(subscription.cursor().id(), new(6));
    feed.heartbeat(9).await;
    assert!(subscription.next().now_or_never().is_none());
    until(|| match subscription.next_ready() {
        None if subscription.cursor().id() == new(9) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

// QP-7.7: a restored store gives the seqs of events that were read in the meantime to other events.
#[tokio::test]
async fn what_was_read_after_a_stream_was_asked_for_hides_nothing_of_another_log() {
    let server = FakeServer::start();
    let new = |seq| EventId::new(Epoch::new(8), seq);
    for beyond in [2, 3, 9] {
        let (client, mut peer) = server.pair().await;
        let (subscription, (_, mut feed)) =
            tokio::join!(client.subscribe("*"), peer.serve(0, Outcome::Live));
        let mut subscription = subscription.unwrap();
        feed.events(1..=3).await;
        assert_eq!(seqs(&mut subscription, 1).await, [1]);
        // 2 and 3 have arrived, and are not read before an older copy, which ends with 1, replaces
        // the store.
        peer.kill();
        let mut peer = server.accept().await;
        peer.epoch = new(0).epoch();
        peer.welcome().await;
        peer.epoch = EPOCH;
        let (asked, mut feed) = peer.serve(1, Outcome::Resumed).await;
        assert_eq!(asked.start, Start::After(id(1)));
        feed.epoch(new(0).epoch()).await;
        feed.events([beyond]).await;
        assert_eq!(seqs(&mut subscription, 2).await, [2, 3]);
        let asked = tokio::select! {
            asked = peer.subscribe() => asked,
            item = subscription.next() => panic!("{item:?}"),
        };
        assert_eq!(asked.start, Start::After(id(3)));
        peer.confirm(asked.id, 0).await;
        let mut feed = peer.feed(asked.id, 0, Outcome::Reset).await;
        feed.epoch(new(0).epoch()).await;
        feed.events([beyond]).await;
        let Notice::Reset(reset) = notice(&mut subscription).await else {
            panic!("a reset")
        };
        assert_eq!(reset.after, Some(id(3)));
        assert_eq!(event(&mut subscription).await.id(), new(beyond));
        client.close();
    }
}

#[tokio::test]
async fn a_reset_that_was_answered_twice_is_told_once() {
    let server = FakeServer::start();
    let (client, mut peer) = server.pair().await;
    let (subscription, (_, mut feed)) =
        tokio::join!(client.subscribe("*"), peer.serve(0, Outcome::Live));
    let mut subscription = subscription.unwrap();
    feed.events([1]).await;
    assert_eq!(seqs(&mut subscription, 1).await, [1]);
    peer.kill();

    // The next connection requests the old position, before anybody reads from this one.
    let new = |seq| EventId::new(Epoch::new(8), seq);
    let mut peer = server.accept().await;
    peer.epoch = Epoch::new(8);
    peer.welcome().await;
    let (_, mut feed) = peer.serve(0, Outcome::Reset).await;
    feed.events(1..=3).await;
    feed.stream.finish();
    assert_eq!(soon(feed.stream.stopped()).await, Ok(None));
    peer.kill();
    let mut peer = server.accept().await;
    peer.epoch = Epoch::new(8);
    peer.welcome().await;
    let asked = peer.subscribe().await;
    assert_eq!(asked.start, Start::After(id(1)));
    let Notice::Reset(reset) = notice(&mut subscription).await else {
        panic!("a reset")
    };
    assert_eq!(reset.position, new(0));
    peer.confirm(asked.id, 5).await;
    let mut feed = peer.feed(asked.id, 5, Outcome::Reset).await;
    feed.events(6..=7).await;

    assert_eq!(seqs(&mut subscription, 3).await, [1, 2, 3]);
    // The server is asked whether it lost 4 and 5.
    let asked = tokio::select! {
        asked = peer.subscribe() => asked,
        item = subscription.next() => panic!("{item:?}"),
    };
    assert_eq!(asked.start, Start::After(new(3)));
    peer.confirm(asked.id, 3).await;
    let mut feed = peer.feed(asked.id, 3, Outcome::Resumed).await;
    feed.events(6..=7).await;
    assert_eq!(seqs(&mut subscription, 2).await, [6, 7]);
}

// QP-9.2: the client reads streams to their end before it moves.
#[tokio::test]
async fn after_a_goodbye_streams_are_read_to_their_end() {
    let server = FakeServer::start();
    let (client, mut peer) = server.pair().await;
    let mut states = client.state();
    let moved =
        tokio::spawn(async move { state(&mut states, |state| !state.is_connected()).await });
    let (subscription, (_, mut feed)) =
        tokio::join!(client.subscribe("*"), peer.serve(0, Outcome::Live));
    let mut subscription = subscription.unwrap();
    feed.events([1]).await;
    peer.goodbye(Some(60)).await;
    until(|| client.rtt().map_or(Ok(()), Err)).await;
    // The client knows of the goodbye, and reads what still arrives.
    feed.events([2, 3]).await;
    feed.stream.finish();
    assert_eq!(seqs(&mut subscription, 3).await, [1, 2, 3]);
    let begun = Instant::now();
    // The end is read by the next call.
    let (next, mut peer) = tokio::join!(subscription.next(), async {
        assert!(soon(peer.closed()).await.to_string().contains("no error"));
        let mut peer = server.welcome().await;
        assert!(
            begun.elapsed() >= Duration::from_millis(55),
            "{:?}",
            begun.elapsed()
        );
        let (asked, mut feed) = peer.serve(3, Outcome::Resumed).await;
        assert_eq!(asked.start, Start::After(id(3)));
        feed.events([4]).await;
        (peer, feed)
    });
    assert_eq!(next.unwrap().unwrap().id(), id(4));
    let moved = soon(moved).await.unwrap();
    let ConnectionState::Reconnecting { reason, delay, .. } = moved else {
        panic!("{moved}")
    };
    assert!(delay >= Duration::from_millis(60));
    assert!(matches!(
        reason,
        DisconnectReason::Goodbye {
            code: Code::SHUTTING_DOWN,
            ..
        }
    ));

    // With nothing to read, the client moves at once. A call in the meantime uses the next
    // connection.
    drop(subscription);
    peer.0.goodbye(None).await;
    let (subscription, _peer) = tokio::join!(client.subscribe("late"), async {
        assert!(soon(peer.0.closed()).await.to_string().contains("no error"));
        let mut peer = server.welcome().await;
        peer.serve(9, Outcome::Live).await;
        peer
    });
    drop(subscription.unwrap());
}

#[tokio::test]
async fn a_subscription_asked_for_again_just_before_the_goodbye_is_not_waited_for() {
    let server = FakeServer::start();
    let (client, mut peer) = server.pair().await;
    let (subscription, (_, mut feed)) =
        tokio::join!(client.subscribe("*"), peer.serve(2, Outcome::Live));
    let mut subscription = subscription.unwrap();
    // A draining server ends the stream before its frame on the control stream arrives.
    let (next, _peer) = tokio::join!(soon(subscription.next()), async {
        feed.stream.finish();
        peer.subscribe().await;
        peer.goodbye(Some(0)).await;
        assert!(peer.closed().await.to_string().contains("no error"));
        let mut peer = server.welcome().await;
        let (asked, mut feed) = peer.serve(2, Outcome::Resumed).await;
        assert_eq!(asked.start, Start::After(id(2)));
        feed.events([3]).await;
        (peer, feed)
    });
    assert_eq!(next.unwrap().unwrap().id(), id(3));
    drop(client);
}

#[tokio::test]
async fn a_goodbye_may_send_clients_elsewhere() {
    let (old, new) = (FakeServer::start(), FakeServer::start());
    let connect = old.connect().fingerprint(new.url().fingerprints()[0]);
    let (client, mut peer) = tokio::join!(connect, old.welcome());
    let client = client.unwrap();
    let address = Some(format!("127.0.0.1:{}", new.url().port()));
    let goodbye = qsse_proto::control::Goodbye {
        code: Code::SHUTTING_DOWN,
        message: String::new(),
        retry_after_ms: None,
        address,
    };
    peer.send(goodbye).await;
    let peer = new.welcome().await;
    peer.kill();
    // The other address is used once.
    let _peer = old.welcome().await;
    drop(client);
}

#[tokio::test]
async fn a_token_refused_later_is_the_end() {
    let server = FakeServer::start();
    let tokens = std::sync::Mutex::new(["first", "second", "third"].into_iter());
    let connect = server.connect().token_fn(move || {
        let token = tokens.lock().unwrap().next().unwrap();
        async move { Ok::<_, std::io::Error>(token) }
    });
    let (client, mut peer) = tokio::join!(connect, server.welcome());
    let client = client.unwrap();
    assert_eq!(peer.hello.token.as_ref().unwrap().expose(), "first");
    let (subscription, _) = tokio::join!(client.subscribe("*"), peer.serve(0, Outcome::Live));
    let mut subscription = subscription.unwrap();
    peer.kill();
    let peer = server.accept().await;
    assert_eq!(
        peer.hello.token.as_ref().unwrap().expose(),
        "second",
        "asked before each connect"
    );
    // The token expired on its way.
    peer.connection.close(Code::TOKEN_EXPIRED, "late");
    let peer = server.accept().await;
    assert_eq!(peer.hello.token.as_ref().unwrap().expose(), "third");
    peer.connection.close(Code::NOT_AUTHORISED, "expired");

    let end = error(&mut subscription).await;
    let SubscriptionError::Closed(CloseReason::Failed(reason)) = &end else {
        panic!("{end}")
    };
    assert!(
        matches!(reason, ConnectError::NotAuthorised { .. }),
        "{reason}"
    );
    assert!(!end.is_retryable());
    assert!(soon(subscription.next()).await.is_none());
    assert!(soon(client.closed()).await.to_string().contains("expired"));
    assert!(client.state().current().is_closed());
    let error = client.subscribe("*").await.unwrap_err();
    assert!(
        matches!(error, SubscribeError::Closed(CloseReason::Failed(_))),
        "{error}"
    );
    let error = client.publish("a", "").await.unwrap_err();
    assert!(error.to_string().contains("expired"), "{error}");
}

#[tokio::test]
async fn a_server_that_refuses_for_now_is_asked_again() {
    let server = FakeServer::start();
    let (client, peer) = server.pair().await;
    let mut states = client.state();
    peer.kill();
    for code in [Code::BUSY, Code::SHUTTING_DOWN, Code::PROTOCOL_VIOLATION] {
        server.accept().await.connection.close(code, "not now");
    }
    server.accept().await.send_raw(batch([1])).await;
    let _peer = server.welcome().await;
    state(&mut states, ConnectionState::is_connected).await;
    assert!(client.state().current().is_connected());
}

#[tokio::test]
async fn a_subscription_refused_after_a_reconnect_ends_alone() {
    let server = FakeServer::start();
    let (client, mut peer) = server.pair().await;
    let (subscriptions, _feeds) = tokio::join!(
        async {
            let one = async |topic| client.subscribe(topic).await.unwrap();
            (one("gone").await, one("busy").await)
        },
        async {
            (
                peer.serve(0, Outcome::Live).await,
                peer.serve(0, Outcome::Live).await,
            )
        }
    );
    let (mut gone, mut busy) = subscriptions;
    peer.kill();
    let mut peer = server.welcome().await;
    let refused = peer.subscribe().await;
    peer.refuse(refused.id, Code::TOPIC_NOT_AVAILABLE, "it was removed")
        .await;
    let later = peer.subscribe().await;
    peer.refuse(later.id, Code::BUSY, "in a moment").await;
    let end = error(&mut gone).await;
    assert_eq!(end.code(), Some(Code::TOPIC_NOT_AVAILABLE));
    assert!(end.to_string().contains("it was removed"), "{end}");
    assert!(soon(gone.next()).await.is_none());
    // After a temporary refusal, it is requested again on the same connection.
    let (again, mut feed) = peer.serve(0, Outcome::Resumed).await;
    assert_eq!(
        (again.patterns, again.start),
        (vec!["busy".into()], Start::After(id(0)))
    );
    feed.events([1]).await;
    assert_eq!(seqs(&mut busy, 1).await, [1]);
}

#[tokio::test]
async fn a_client_told_not_to_reconnect_ends_with_its_connection() {
    let server = FakeServer::start();
    let (client, mut peer) = tokio::join!(server.connect().reconnect(false), server.welcome());
    let client = client.unwrap();
    let (subscription, (_, mut feed)) =
        tokio::join!(client.subscribe("*"), peer.serve(0, Outcome::Live));
    let mut subscription = subscription.unwrap();
    feed.events([1]).await;
    assert_eq!(seqs(&mut subscription, 1).await, [1]);
    peer.kill();
    let end = error(&mut subscription).await;
    assert!(
        matches!(end, SubscriptionError::Closed(CloseReason::Lost(_))),
        "{end}"
    );
    assert!(end.to_string().contains("killed"), "{end}");
    assert!(matches!(soon(client.closed()).await, CloseReason::Lost(_)));
}

#[tokio::test]
async fn subscribing_waits_for_the_next_connection() {
    let server = FakeServer::start();
    let (client, peer) = server.pair().await;
    peer.kill();
    soon(peer.closed()).await;
    let mut states = client.state();
    state(&mut states, |state| !state.is_connected()).await;
    let (subscription, _peer) = tokio::join!(client.subscribe("*"), async {
        let mut peer = server.welcome().await;
        let (_, mut feed) = peer.serve(0, Outcome::Live).await;
        feed.events([1]).await;
        (peer, feed)
    });
    assert_eq!(seqs(&mut subscription.unwrap(), 1).await, [1]);
}

#[tokio::test]
async fn resuming_works_at_every_cut_of_a_stream() {
    let server = FakeServer::start();
    let (client, mut peer) = server.pair().await;
    let (subscription, (_, feed)) =
        tokio::join!(client.subscribe("*"), peer.serve(0, Outcome::Live));
    let mut subscription = subscription.unwrap();
    let reading = tokio::spawn(async move { seqs(&mut subscription, 300).await });
    let (mut peer, mut feed) = (peer, feed);
    let mut from = 1;
    for cut in 0..batch(1..=20).len() {
        // The stream is cut after this many bytes, also within a frame.
        let bytes = batch(from..=300.min(from + 19));
        feed.raw(bytes.slice(..cut.min(bytes.len()))).await;
        peer.kill();
        peer = server.welcome().await;
        let asked = peer.subscribe().await;
        let Start::After(after) = asked.start else {
            panic!("{asked:?}")
        };
        assert!(after.seq() + 1 >= from && after.seq() < from + 20);
        from = after.seq() + 1;
        feed = peer.feed(asked.id, after.seq(), Outcome::Resumed).await;
    }
    feed.events(from..=300).await;
    assert_eq!(soon(reading).await.unwrap(), (1..=300).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_second_client_is_not_concerned() {
    let server = FakeServer::start();
    let (one, peer_of_one) = server.pair().await;
    let (two, mut peer_of_two) = server.pair().await;
    peer_of_one.kill();
    let (subscription, _) = tokio::join!(two.subscribe("*"), peer_of_two.serve(0, Outcome::Live));
    drop(subscription.unwrap());
    assert!(two.state().current().is_connected());
    let _again = server.welcome().await;
    let clients: [Client; 2] = [one, two];
    drop(clients);
}

#[tokio::test]
async fn calls_between_hello_and_welcome_are_not_forgotten() {
    let server = FakeServer::start();
    let (client, mut peer) = server.pair().await;
    let (kept, _feed) = tokio::join!(client.subscribe("kept"), peer.serve(0, Outcome::Live));
    let kept = kept.unwrap();
    peer.kill();
    // The hello requests the subscriptions that exist when it is sent.
    let mut peer = server.accept().await;
    let asked = peer.subscribe().await;
    assert_eq!(asked.patterns, ["kept"]);
    drop(kept);
    let mut late = Box::pin(client.subscribe("late").into_future());
    assert!((&mut late).now_or_never().is_none());
    peer.welcome().await;
    let unsubscribe = qsse_proto::control::Unsubscribe { id: asked.id };
    assert_eq!(peer.frame().await, unsubscribe.into());
    let (late, (asked, _feed)) = tokio::join!(late, peer.serve(0, Outcome::Live));
    assert_eq!(asked.patterns, ["late"]);
    drop(late.unwrap());
}

#[tokio::test]
async fn a_server_that_is_about_to_leave_refuses_nothing() {
    let server = FakeServer::start();
    let (client, mut peer) = server.pair().await;
    let (subscription, _peer) = tokio::join!(client.subscribe("*"), async {
        let asked = peer.subscribe().await;
        peer.refuse(asked.id, Code::SHUTTING_DOWN, "").await;
        peer.goodbye(None).await;
        soon(peer.closed()).await;
        let mut peer = server.welcome().await;
        let (_, mut feed) = peer.serve(0, Outcome::Live).await;
        feed.events([1]).await;
        (peer, feed)
    });
    assert_eq!(seqs(&mut subscription.unwrap(), 1).await, [1]);
}
