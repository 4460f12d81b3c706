//! Publishes that are retried after a lost connection. The server is scripted, and may misbehave.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod support;

use std::future::IntoFuture;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use qsse_client::{Client, Code, ConnectError, Epoch, EventId, Kind, PublishError, UnknownOutcome};
use qsse_proto::publish::{KeyScope, Publish, PublisherId};
use support::*;

/// Returns the data of a publish without a key.
fn seen(publish: &Publish) -> String {
    assert_eq!((publish.key(), publish.retry()), (None, None));
    String::from_utf8(publish.data().to_vec()).unwrap()
}

/// Returns the first number of a publisher's stream, and the last number that was tried before.
fn numbers(stream: &Publishing) -> (u64, Option<u64>) {
    assert!(stream.open.ordered);
    let KeyScope::Numbered { first, tried, .. } = stream.open.scope else {
        panic!("{:?}", stream.open.scope)
    };
    let through = tried.map(|tried| {
        assert!(tried.epoch == EPOCH && (1..60_000).contains(&tried.ago_ms));
        tried.through
    });
    (first, through)
}

fn publisher_id(stream: &Publishing) -> PublisherId {
    match stream.open.scope {
        KeyScope::Numbered { id, .. } => id,
        _ => panic!("{:?}", stream.open.scope),
    }
}

/// Breaks the connection once the publish has arrived, and waits for the next connection.
async fn lose_one(server: &FakeServer, peer: Peer) -> (Publish, Peer) {
    let publish = peer.publisher().await.next().await.unwrap();
    peer.kill();
    (publish, server.accept().await)
}

fn why(error: PublishError) -> (u64, UnknownOutcome) {
    assert!(!error.is_retryable());
    match error {
        PublishError::OutcomeUnknown {
            unacknowledged,
            why,
            ..
        } => (unacknowledged, why),
        error => panic!("{error}"),
    }
}

// QP-8.8, QP-8.12
#[tokio::test]
async fn a_publish_whose_acknowledgement_was_lost_is_sent_again_under_its_key() {
    let server = FakeServer::start();
    let (client, peer) = server.pair().await;
    let begun = Instant::now();
    let (result, _held) = tokio::join!(
        soon(client.publish("a", "x").kind("k").into_future()),
        async {
            let mut first = peer.publisher().await;
            let scope = first.open.scope.clone();
            assert!(matches!(scope, KeyScope::Own { .. }), "an id of its own");
            let publish = first.next().await.unwrap();
            assert!(publish.retry().is_none());
            peer.kill();
            let mut peer = server.accept().await;
            peer.welcome().await;
            let mut second = peer.publisher().await;
            assert_eq!(second.open.scope, scope);
            let again = second.next().await.unwrap();
            let retry = again.retry().expect("a mark");
            assert_eq!(retry.epoch, EPOCH);
            let longest = u64::try_from(begun.elapsed().as_millis()).unwrap() + 1;
            let is_right = (1..=longest).contains(&retry.ago_ms);
            assert!(is_right, "{retry:?}, it began {longest} ms ago");
            assert_eq!(
                again,
                publish.keyed(again.key().unwrap().clone(), Some(retry))
            );
            // A second time.
            peer.kill();
            let peer = server.welcome().await;
            let mut third = peer.publisher().await;
            let last = third.next().await.unwrap();
            assert_eq!(last.key(), again.key());
            assert!(last.retry().unwrap().ago_ms >= retry.ago_ms);
            third.ack(0, 40, 40).await;
            (peer, third)
        }
    );
    assert_eq!(result.unwrap(), id(40));
}

#[tokio::test]
async fn each_publish_has_a_key_of_its_own() {
    let server = FakeServer::start();
    let (client, peer) = server.pair().await;
    let publishing = async {
        tokio::join!(
            soon(client.publish("a", "1").into_future()),
            client.publish("a", "2")
        )
    };
    let ((one, two), _stream) = tokio::join!(publishing, async {
        let mut stream = peer.publisher().await;
        let (one, two) = (stream.next().await.unwrap(), stream.next().await.unwrap());
        assert_ne!(one.key().unwrap(), two.key().unwrap());
        stream.ack(1, 1, 2).await;
        stream
    });
    assert_eq!((one.unwrap(), two.unwrap()), (id(1), id(2)));
}

// QP-8.12, QP-8.16
#[tokio::test]
async fn a_server_that_was_started_again_is_asked_and_says_which_epoch_it_was() {
    let server = FakeServer::start();
    let (client, peer) = server.pair().await;
    let publishing = async {
        tokio::join!(
            client.publish("a", "x").into_future(),
            client.publish("a", "y").into_future()
        )
    };
    let ((x, y), (x_is_first, _held)) = tokio::join!(soon(publishing), async {
        let mut stream = peer.publisher().await;
        assert!(stream.next().await.is_some() && stream.next().await.is_some());
        peer.kill();
        let mut peer = server.accept().await;
        peer.epoch = Epoch::new(8);
        peer.welcome().await;
        let mut stream = peer.publisher().await;
        // Single publishes arrive in any order.
        let (first, second) = (stream.next().await.unwrap(), stream.next().await.unwrap());
        for again in [&first, &second] {
            assert_eq!(again.retry().unwrap().epoch, EPOCH);
        }
        assert_ne!(first.data(), second.data());
        stream.epoch(EPOCH).await;
        stream.ack(0, 4, 4).await;
        stream.epoch(peer.epoch).await;
        stream.ack(1, 5, 5).await;
        (first.data() == "x", (peer, stream))
    });
    let (first, second) = if x_is_first { (x, y) } else { (y, x) };
    let new = EventId::new(Epoch::new(8), 5);
    assert_eq!((first.unwrap(), second.unwrap()), (id(4), new));
}

// QP-8.14
#[tokio::test]
async fn what_cannot_be_found_out_is_an_unknown_outcome() {
    let server = FakeServer::start();
    // Whatever the refusal is, an earlier attempt may have been accepted.
    for code in [Code::OUTCOME_UNKNOWN, Code::NOT_AUTHORISED] {
        let (client, peer) = server.pair().await;
        let (result, _held) = tokio::join!(soon(client.publish("a", "x").into_future()), async {
            let (_, mut peer) = lose_one(&server, peer).await;
            peer.welcome().await;
            let mut stream = peer.publisher().await;
            stream.next().await.unwrap();
            stream.refuse(0, code, "no").await;
            (peer, stream)
        });
        let (_, reason) = why(result.unwrap_err());
        assert!(
            matches!(reason, UnknownOutcome::Refused { code: told, .. } if told == code),
            "{reason}"
        );
    }
}

// QP-8.14
#[tokio::test]
async fn after_half_of_the_window_and_without_a_connection_nothing_is_sent_again() {
    let server = FakeServer::start();
    let (client, peer) = tokio::join!(server.connect(), async {
        let mut peer = server.accept().await;
        peer.dedup_window_ms = 2;
        peer.welcome().await;
        peer
    });
    let client = client.unwrap();
    let (result, peer) = tokio::join!(soon(client.publish("a", "x").into_future()), async {
        let publish = peer.publisher().await.next().await.unwrap();
        assert!(publish.key().is_some());
        tokio::time::sleep(Duration::from_millis(2)).await;
        peer.kill();
        server.welcome().await
    });
    let (_, reason) = why(result.unwrap_err());
    assert!(matches!(reason, UnknownOutcome::TooLate), "{reason}");
    assert!(peer.connection.accept_bi().now_or_never().is_none());
    drop(client);

    let config = config().publish_wait(Duration::from_millis(50));
    let (client, peer) = tokio::join!(server.connect().config(config), server.welcome());
    let client = client.unwrap();
    let (result, ()) = tokio::join!(soon(client.publish("a", "x").into_future()), async {
        peer.publisher().await.next().await.unwrap();
        peer.kill();
    });
    let (_, reason) = why(result.unwrap_err());
    assert!(
        matches!(reason, UnknownOutcome::NotConnected { .. }),
        "{reason}"
    );
}

#[tokio::test]
async fn a_server_that_knows_no_keys_gets_none() {
    let server = FakeServer::start();
    let (client, peer) = tokio::join!(server.connect(), async {
        let mut peer = server.accept().await;
        peer.dedup_window_ms = 0;
        peer.welcome().await;
        peer
    });
    let client = client.unwrap();
    let (result, ()) = tokio::join!(soon(client.publish("a", "x").into_future()), async {
        let publish = peer.publisher().await.next().await.unwrap();
        assert_eq!(publish.key(), None);
        peer.kill();
    });
    let error = result.unwrap_err();
    assert!(matches!(error, PublishError::AckLost { .. }), "{error}");
}

// QP-8.15: the server identifies clients by their tokens, and the token changes with each
// connection.
#[tokio::test]
async fn only_a_key_of_its_own_is_sent_again_as_somebody_else() {
    for given in [false, true] {
        let server = FakeServer::start();
        let (client, peer) = server.pair().await;
        let publish = match client.publish("a", "x") {
            publish if given => publish.key("order 1"),
            publish => publish,
        };
        let (result, _held) = tokio::join!(soon(publish.into_future()), async {
            let mut first = peer.publisher().await;
            first.next().await.unwrap();
            peer.kill();
            let mut peer = server.accept().await;
            peer.identity = 2;
            peer.welcome().await;
            if given {
                return (peer, None);
            }
            let mut second = peer.publisher().await;
            assert_eq!(second.open.scope, first.open.scope);
            assert!(second.next().await.unwrap().retry().is_some());
            second.ack(0, 40, 40).await;
            (peer, Some(second))
        });
        match result {
            Ok(published) => assert!(!given && published == id(40)),
            Err(error) => {
                let (_, why) = why(error);
                assert!(
                    given && matches!(why, UnknownOutcome::OtherPrincipal),
                    "{why}"
                );
            }
        }
    }
}

// QP-8.11
#[tokio::test]
async fn a_key_of_the_caller_goes_under_the_name_of_the_configuration() {
    let server = FakeServer::start();
    let named = config().publisher_name("billing".into());
    let (client, peer) = tokio::join!(server.connect().config(named), server.welcome());
    let client = client.unwrap();
    let (result, _held) = tokio::join!(
        soon(client.publish("a", "x").key("order 1").into_future()),
        async {
            let mut stream = peer.publisher().await;
            assert!(
                matches!(&stream.open.scope, KeyScope::Named { name, .. } if name == "billing")
            );
            assert_eq!(
                stream.next().await.unwrap().key().unwrap().as_bytes(),
                b"order 1"
            );
            stream.ack(0, 3, 3).await;
            stream
        }
    );
    assert_eq!(result.unwrap(), id(3));
    for key in [String::new(), "x".repeat(65)] {
        let error = client.publish("a", "x").key(key).await.unwrap_err();
        assert!(matches!(error, PublishError::Key(_)), "{error}");
    }
    let too_long = config().publisher_name("x".repeat(65));
    let error = Client::connect(server.url()).config(too_long).await;
    assert!(matches!(
        error,
        Err(ConnectError::PublisherName { bytes: 65 })
    ));
}

#[tokio::test]
async fn a_publisher_has_no_numbers_unless_it_is_asked_to_send_exactly_once() {
    let server = FakeServer::start();
    let (client, peer) = server.pair().await;
    client.publisher().send("a", "1").await.unwrap();
    let mut stream = peer.publisher().await;
    assert!(matches!(stream.open.scope, KeyScope::Own { .. }));
    assert_eq!(stream.next().await.unwrap().key(), None);
}

// QP-8.14, QP-8.17, QP-8.18: everything without an answer is sent again, in order and before
// anything new.
#[tokio::test]
async fn a_publisher_goes_on_in_order_over_lost_connections() {
    let server = FakeServer::start();
    let (client, peer) = server.pair().await;
    let publisher = client.publisher().exactly_once();
    for data in ["0", "1", "2", "3"] {
        publisher.send("a", data).await.unwrap();
    }
    let mut stream = peer.publisher().await;
    assert_eq!(numbers(&stream), (1, None));
    let publisher_id_then = publisher_id(&stream);
    for expected in ["0", "1", "2", "3"] {
        assert_eq!(seen(&stream.next().await.unwrap()), expected);
    }
    stream.ack(0, 10, 10).await;
    until(|| match publisher.progress().acknowledged {
        1 => Ok(()),
        other => Err(other),
    })
    .await;
    peer.kill();

    // More may be sent while it waits for the next connection.
    let matching = Kind::new("k").unwrap();
    let (sent, peer) = tokio::join!(
        publisher.send_matching("a.*", &matching, "4"),
        server.welcome()
    );
    sent.unwrap();
    let mut stream = peer.publisher().await;
    // It depends on the scheduler whether the last one was sent before the loss was noticed.
    let (first, through) = numbers(&stream);
    assert!(first == 2 && [Some(4), Some(5)].contains(&through));
    assert_eq!(publisher_id(&stream), publisher_id_then);
    for expected in ["1", "2", "3", "4"] {
        assert_eq!(seen(&stream.next().await.unwrap()), expected);
    }
    stream.ack(0, 11, 11).await;
    until(|| match publisher.progress().acknowledged {
        2 => Ok(()),
        other => Err(other),
    })
    .await;
    peer.kill();

    let peer = server.welcome().await;
    let mut stream = peer.publisher().await;
    assert_eq!(numbers(&stream), (3, Some(5)));
    assert_eq!(publisher_id(&stream), publisher_id_then);
    let mut again = Vec::new();
    for _ in 0..3 {
        let publish = stream.next().await.unwrap();
        assert_eq!(
            (publish.is_matching(), publish.kind() == "k"),
            match publish.data() {
                data if data == "4" => (true, true),
                _ => (false, false),
            }
        );
        again.push(seen(&publish));
    }
    assert_eq!(again, ["2", "3", "4"]);
    let progress = publisher.progress();
    assert_eq!(
        (progress.sent, progress.acknowledged, progress.lost),
        (5, 2, 0)
    );
    let flush = publisher.flush();
    let (flushed, ()) = tokio::join!(flush, async {
        stream.ack(0, 12, 12).await;
        stream.ack(1, 13, 13).await;
        stream.ack(2, 20, 22).await;
    });
    assert_eq!(flushed.unwrap(), Some(id(22)));
    let progress = publisher.progress();
    assert_eq!(
        (progress.sent, progress.acknowledged, progress.lost),
        (5, 5, 0)
    );
    assert_eq!(
        (progress.first, progress.last),
        (Some(id(10)), Some(id(22)))
    );
    publisher.send("a", "5").await.unwrap();
    assert_eq!(
        seen(&stream.next().await.unwrap()),
        "5",
        "the same stream goes on"
    );
}

/// Makes a publisher with three events in flight, and breaks its connection.
async fn three_lost(server: &FakeServer) -> (Client, qsse_client::Publisher) {
    let (client, peer) = server.pair().await;
    let publisher = client.publisher().exactly_once();
    let mut stream = {
        for data in ["0", "1", "2"] {
            publisher.send("a", data).await.unwrap();
        }
        peer.publisher().await
    };
    for _ in 0..3 {
        stream.next().await.unwrap();
    }
    peer.kill();
    (client, publisher)
}

// QP-8.14
#[tokio::test]
async fn a_publisher_is_told_once_how_many_outcomes_are_unknown_and_begins_anew() {
    let server = FakeServer::start();
    let (_client, publisher) = three_lost(&server).await;
    let peer = server.welcome().await;
    let mut stream = peer.publisher().await;
    assert_eq!(numbers(&stream), (1, Some(3)));
    for _ in 0..3 {
        stream.next().await.unwrap();
    }
    stream.ack(0, 1, 1).await;
    stream.refuse(1, Code::OUTCOME_UNKNOWN, "forgotten").await;
    stream.refuse(2, Code::FAILED_BEFORE, "").await;
    let (count, reason) = why(soon(publisher.flush()).await.unwrap_err());
    assert_eq!(count, 2);
    assert!(reason.to_string().contains("forgotten"), "{reason}");
    let progress = publisher.progress();
    let counts = (progress.acknowledged, progress.refused, progress.lost);
    assert_eq!(counts, (1, 0, 2));
    assert_eq!(publisher.flush().await.unwrap(), Some(id(1)), "told once");
    publisher.send("a", "anew").await.unwrap();
    let mut stream = peer.publisher().await;
    assert_eq!(numbers(&stream), (4, None), "no number is used again");
    assert_eq!(seen(&stream.next().await.unwrap()), "anew");
    stream.ack(0, 2, 2).await;
    assert_eq!(soon(publisher.flush()).await.unwrap(), Some(id(2)));
}

#[tokio::test]
async fn a_publisher_whose_events_another_log_cannot_know_says_so() {
    let server = FakeServer::start();
    let (_client, publisher) = three_lost(&server).await;
    let mut peer = server.accept().await;
    peer.epoch = Epoch::new(8);
    peer.welcome().await;
    let mut old = peer.publisher().await;
    for _ in 0..3 {
        old.next().await.unwrap();
    }
    old.refuse(0, Code::OUTCOME_UNKNOWN, "forgotten").await;
    old.refuse(1, Code::FAILED_BEFORE, "").await;
    old.refuse(2, Code::FAILED_BEFORE, "").await;
    let (count, reason) = why(soon(publisher.flush()).await.unwrap_err());
    let unknown = Code::OUTCOME_UNKNOWN;
    assert!(
        count == 3 && matches!(reason, UnknownOutcome::Refused { code, .. } if code == unknown),
        "{reason}"
    );
    assert_eq!(publisher.progress().lost, 3);
    publisher.send("a", "anew").await.unwrap();
    let mut stream = peer.publisher().await;
    assert_eq!(numbers(&stream), (4, None));
    assert_eq!(seen(&stream.next().await.unwrap()), "anew");
}

#[tokio::test]
async fn what_is_sent_again_counts_as_in_flight() {
    let server = FakeServer::start();
    let config = config().publish_in_flight_bytes(4096);
    let (client, peer) = tokio::join!(server.connect().config(config), server.welcome());
    let client = client.unwrap();
    let publisher = client.publisher().exactly_once();
    let data = [0; 1000];
    for _ in 0..3 {
        publisher.send("a", data).await.unwrap();
    }
    let mut stream = peer.publisher().await;
    for _ in 0..3 {
        stream.next().await.unwrap();
    }
    let mut waiting = Box::pin(publisher.send("a", data));
    assert!((&mut waiting).now_or_never().is_none(), "no room");
    peer.kill();
    let peer = server.welcome().await;
    let mut stream = peer.publisher().await;
    assert_eq!(numbers(&stream), (1, Some(3)));
    for _ in 0..3 {
        stream.next().await.unwrap();
    }
    assert!((&mut waiting).now_or_never().is_none(), "still none");
    stream.ack(0, 1, 1).await;
    soon(waiting).await.unwrap();
    stream.next().await.unwrap();
}

// QP-8.14
#[tokio::test]
async fn what_is_sent_again_goes_before_what_is_new_also_when_it_takes_long() {
    let server = FakeServer::start();
    let (client, peer) = server.pair().await;
    let publisher = client.publisher().exactly_once();
    // More than is written at once, and than a stream accepts while nobody reads.
    let data = [7; MAX_EVENT];
    for _ in 0..60 {
        publisher.send("old", data).await.unwrap();
    }
    let mut stream = peer.publisher().await;
    for _ in 0..60 {
        stream.next().await.unwrap();
    }
    peer.kill();
    let peer = server.welcome().await;
    let mut stream = peer.publisher().await;
    assert_eq!(numbers(&stream), (1, Some(60)));
    soon(publisher.send("new", "x")).await.unwrap();
    // The new event waits in the buffer while the old ones are still being written.
    for _ in 0..60 {
        let publish = stream.next().await.unwrap();
        assert_eq!(publish.topic(), "old");
    }
    let last = stream.next().await.unwrap();
    assert_eq!(last.topic(), "new");
    stream.ack(60, 1, 61).await;
    assert_eq!(soon(publisher.flush()).await.unwrap(), Some(id(61)));
}

// QP-8.5: after a long time the server knows that it accepted them, but not their ids.
#[tokio::test]
async fn what_was_taken_long_ago_is_acknowledged_without_ids() {
    let server = FakeServer::start();
    let (_client, publisher) = three_lost(&server).await;
    let peer = server.welcome().await;
    let mut stream = peer.publisher().await;
    for _ in 0..3 {
        stream.next().await.unwrap();
    }
    stream.ack(1, 0, 0).await;
    stream.ack(2, 12, 12).await;
    assert_eq!(soon(publisher.flush()).await.unwrap(), Some(id(12)));
    let progress = publisher.progress();
    assert_eq!((progress.sent, progress.acknowledged), (3, 3));
    assert_eq!(
        (progress.first, progress.last),
        (Some(id(12)), Some(id(12)))
    );
}

#[tokio::test]
async fn answers_without_sense_are_no_lost_connection() {
    let server = FakeServer::start();
    let (client, peer) = server.pair().await;
    let publisher = client.publisher().exactly_once();
    publisher.send("a", "1").await.unwrap();
    let mut stream = peer.publisher().await;
    stream.next().await.unwrap();
    stream.ack(7, 1, 8).await;
    let error = soon(publisher.flush()).await.unwrap_err();
    assert!(matches!(error, PublishError::AckLost { .. }), "{error}");
    let (result, _stream) = tokio::join!(soon(client.publish("a", "x").into_future()), async {
        let mut stream = peer.publisher().await;
        stream.next().await.unwrap();
        stream.ack(7, 1, 8).await;
        stream
    });
    assert!(matches!(result, Err(PublishError::AckLost { .. })));
}
