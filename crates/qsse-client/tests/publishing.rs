//! Publishing, one by one and in bulk. The server is scripted, and may misbehave.

mod support;

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use qsse_client::{Client, Code, Kind, PublishError, SubscribeError};
use support::*;

#[tokio::test]
async fn a_publish_is_acknowledged_with_its_id() {
    let server = FakeServer::start();
    let (client, peer) = server.pair().await;
    let (id_of_event, _stream) =
        tokio::join!(client.publish("ride.7.start", "Ada").kind("ride"), async {
            let mut stream = peer.publisher().await;
            assert!(!stream.open.ordered);
            let publish = stream.next().await.unwrap();
            assert_eq!((publish.topic(), publish.kind()), ("ride.7.start", "ride"));
            assert_eq!(
                (publish.is_matching(), &publish.data()[..]),
                (false, &b"Ada"[..])
            );
            stream.ack(0, 100, 100).await;
            stream
        });
    assert_eq!(id_of_event.unwrap(), id(100));
}

#[tokio::test]
async fn publishes_at_the_same_time_share_a_stream_and_get_their_own_answers() {
    let server = FakeServer::start();
    let (client, peer) = server.pair().await;
    let publishing = join_all((0..100).map(|i| client.publish("a", i.to_string()).into_future()));
    let (results, _stream) = tokio::join!(publishing, async {
        let mut stream = peer.publisher().await;
        for expected in 0..100 {
            let publish = stream.next().await.unwrap();
            assert_eq!(publish.data(), &expected.to_string());
        }
        stream.ack(59, 1, 60).await;
        stream
            .refuse(60, Code::NOT_AUTHORISED, "not this one")
            .await;
        stream.ack(99, 61, 99).await;
        stream
    });
    for (i, result) in results.into_iter().enumerate() {
        match (i as u64, result) {
            (0..60, result) => assert_eq!(result.unwrap(), id(i as u64 + 1)),
            (60, result) => {
                let error = result.unwrap_err();
                assert_eq!(error.code(), Some(Code::NOT_AUTHORISED));
                assert!(error.to_string().contains("not this one"), "{error}");
                assert!(!error.is_retryable());
            }
            (_, result) => assert_eq!(result.unwrap(), id(i as u64)),
        }
    }
    assert!(
        peer.connection.accept_bi().now_or_never().is_none(),
        "one stream for all"
    );
}

#[tokio::test]
async fn publishing_to_a_pattern_is_another_method() {
    let server = FakeServer::start();
    let (client, peer) = server.pair().await;
    let error = client.publish("ride.*", "x").await.unwrap_err();
    assert!(error.to_string().contains("publish_matching"), "{error}");
    let (results, _stream) = tokio::join!(
        async {
            let some = client
                .publish_matching("ride.*", "x")
                .kind("k")
                .await
                .unwrap();
            (
                some,
                client.publish_matching("nobody.*", "x").await.unwrap(),
            )
        },
        async {
            let mut stream = peer.publisher().await;
            let publish = stream.next().await.unwrap();
            assert!(publish.is_matching() && publish.kind() == "k");
            stream.ack(0, 5, 7).await;
            stream.next().await.unwrap();
            stream.ack(1, 1, 0).await;
            stream
        }
    );
    let (some, none) = results;
    assert_eq!(
        (some.count(), some.first(), some.last()),
        (3, Some(id(5)), Some(id(7)))
    );
    assert_eq!((none.count(), none.first(), none.last()), (0, None, None));
}

#[tokio::test]
async fn what_the_server_would_refuse_is_refused_here() {
    let server = FakeServer::start();
    let (client, peer) = server.pair().await;
    let publisher = client.publisher();
    let too_large = vec![0; MAX_EVENT + 1];
    for error in [
        client.publish("a", &too_large).await.unwrap_err(),
        publisher.send("a", &too_large).await.unwrap_err(),
    ] {
        let text = error.to_string();
        assert!(text.contains("4097") && text.contains("4096"), "{text}");
    }
    assert!(matches!(
        client.publish("", "x").await,
        Err(PublishError::Topic(_))
    ));
    assert!(matches!(
        client.publish("a", "x").kind("").await,
        Err(PublishError::Kind(_))
    ));
    assert!(matches!(
        client.publish_matching("a*", "x").await,
        Err(PublishError::Pattern(_))
    ));
    assert!(matches!(
        publisher.send("a.*", "x").await,
        Err(PublishError::Topic(_))
    ));
    // The publisher's stream is open, and has only its first frame.
    let mut stream = peer.publisher().await;
    assert!(stream.next().now_or_never().is_none());
    assert_eq!(publisher.progress().sent, 0);
    // The largest event is accepted.
    let (result, publish) = tokio::join!(publisher.send("a", &too_large[1..]), stream.next());
    result.unwrap();
    assert_eq!(publish.unwrap().data().len(), MAX_EVENT);
}

#[tokio::test]
async fn without_retries_a_connection_lost_before_the_acknowledgement_is_told() {
    let server = FakeServer::start();
    let config = config().publish_retry(false);
    let (client, peer) = tokio::join!(server.connect().config(config), server.welcome());
    let client = client.unwrap();
    let (result, ()) = tokio::join!(client.publish("a", "x"), async {
        let publish = peer.publisher().await.next().await.unwrap();
        assert_eq!(publish.key(), None);
        peer.kill();
    });
    let error = result.unwrap_err();
    assert!(
        matches!(
            error,
            PublishError::AckLost {
                unacknowledged: 1,
                ..
            }
        ),
        "{error}"
    );
    assert!(!error.is_retryable());
    assert!(error.to_string().contains("killed"), "{error}");
    // The next publish waits for the next connection.
    let (result, _stream) = tokio::join!(client.publish("a", "y"), async {
        let peer = server.welcome().await;
        let mut stream = peer.publisher().await;
        assert_eq!(stream.next().await.unwrap().data(), "y");
        stream.ack(0, 1, 1).await;
        (peer, stream)
    });
    assert_eq!(result.unwrap(), id(1));
}

#[tokio::test]
async fn without_a_connection_publishing_gives_up_with_nothing_sent() {
    let server = FakeServer::start();
    let config = config().publish_wait(Duration::from_millis(50));
    let (client, peer) = tokio::join!(server.connect().config(config), server.welcome());
    let client = client.unwrap();
    peer.kill();
    until(|| {
        if client.state().current().is_connected() {
            Err("connected")
        } else {
            Ok(())
        }
    })
    .await;
    let error = client.publish("a", "x").await.unwrap_err();
    assert!(
        matches!(error, PublishError::NotConnected { .. }),
        "{error}"
    );
    assert!(error.is_retryable());
    assert!(
        client
            .publisher()
            .send("a", "x")
            .await
            .unwrap_err()
            .is_retryable()
    );
    assert!(client.ping().await.is_err());
}

#[tokio::test]
async fn a_publisher_keeps_order_and_flush_waits_for_all() {
    let server = FakeServer::start();
    let (client, peer) = server.pair().await;
    let publisher = client.publisher();
    assert_eq!(publisher.flush().await.unwrap(), None, "nothing was sent");
    for i in 0..10 {
        publisher.send("a", i.to_string()).await.unwrap();
    }
    publisher
        .clone()
        .send_kind("a", &Kind::new("k").unwrap(), "10")
        .await
        .unwrap();
    publisher
        .send_matching("*", &Kind::MESSAGE, "11")
        .await
        .unwrap();
    let mut stream = peer.publisher().await;
    assert!(stream.open.ordered);
    for i in 0..12 {
        let publish = stream.next().await.unwrap();
        assert_eq!(
            (publish.data(), publish.is_matching()),
            (&i.to_string().into(), i == 11)
        );
    }
    stream.ack(10, 1, 11).await;
    let mut flush = Box::pin(publisher.flush());
    until(|| {
        assert!((&mut flush).now_or_never().is_none());
        if publisher.progress().acknowledged == 11 {
            Ok(())
        } else {
            Err(publisher.progress())
        }
    })
    .await;
    stream.ack(11, 12, 20).await;
    assert_eq!(soon(flush).await.unwrap(), Some(id(20)));
    let progress = publisher.progress();
    assert_eq!(
        (progress.sent, progress.acknowledged, progress.lost),
        (12, 12, 0)
    );
    assert_eq!((progress.first, progress.last), (Some(id(1)), Some(id(20))));
    drop(publisher);
    assert!(
        stream.next().await.is_none(),
        "the last clone ends the stream"
    );
}

#[tokio::test]
async fn send_waits_for_room() {
    let server = FakeServer::start();
    let config = config().publish_in_flight_bytes(4096);
    let (client, peer) = tokio::join!(server.connect().config(config), server.welcome());
    let client = client.unwrap();
    let publisher = client.publisher();
    let data = [0; 1000];
    let mut sent = 0;
    while publisher.send("a", data).now_or_never().is_some() {
        sent += 1;
        assert!(sent < 10, "there is no bound");
    }
    assert_eq!(sent, 3);
    let mut stream = peer.publisher().await;
    for _ in 0..sent {
        stream.next().await.unwrap();
    }
    let mut waiting = Box::pin(publisher.send("a", data));
    assert!((&mut waiting).now_or_never().is_none());
    stream.ack(0, 1, 1).await;
    soon(waiting).await.unwrap();
    // An event that exceeds the whole limit is sent alone.
    let (sent, ()) = tokio::join!(publisher.send("a", [0; 4096]), async {
        stream.ack(2, 2, 3).await;
        stream.next().await.unwrap();
        stream.ack(3, 4, 4).await;
        stream.next().await.unwrap();
    });
    sent.unwrap();
}

// QP-9.1: events that a draining server has not accepted are sent over the next connection, with or
// without `exactly_once`.
#[tokio::test]
async fn a_publisher_goes_on_where_a_server_that_goes_away_stopped() {
    for exactly_once in [false, true] {
        let server = FakeServer::start();
        let (client, peer) = server.pair().await;
        let publisher = match exactly_once {
            true => client.publisher().exactly_once(),
            false => client.publisher(),
        };
        for i in 0..5 {
            publisher.send("a", i.to_string()).await.unwrap();
        }
        let mut stream = peer.publisher().await;
        for _ in 0..5 {
            stream.next().await.unwrap();
        }
        stream.ack(1, 1, 2).await;
        stream.refuse(2, Code::SHUTTING_DOWN, "").await;
        stream.refuse(3, Code::FAILED_BEFORE, "").await;
        stream.refuse(4, Code::FAILED_BEFORE, "").await;
        assert!(stream.next().await.is_none(), "nothing new goes there");
        let mut flush = Box::pin(publisher.flush());
        assert!((&mut flush).now_or_never().is_none());
        peer.kill();
        let next = async {
            let peer = server.welcome().await;
            let mut stream = peer.publisher().await;
            for i in 2..5 {
                let publish = stream.next().await.unwrap();
                assert_eq!(publish.data(), &i.to_string());
                assert_eq!(publish.retry(), None, "it was never taken");
            }
            stream.ack(2, 3, 5).await;
            (peer, stream)
        };
        let (flushed, _held) = tokio::join!(soon(flush), next);
        assert_eq!(flushed.unwrap(), Some(id(5)));
        let progress = publisher.progress();
        assert_eq!((progress.sent, progress.acknowledged), (5, 5));
        assert_eq!((progress.refused, progress.lost), (0, 0));
    }
}

// QP-9.1
#[tokio::test]
async fn a_single_publish_goes_on_to_the_next_server() {
    let server = FakeServer::start();
    let (client, mut peer) = server.pair().await;
    let publishing = soon(client.publish("a", "x").into_future());
    let (published, _held) = tokio::join!(publishing, async {
        let mut stream = peer.publisher().await;
        stream.next().await.unwrap();
        stream.refuse(0, Code::SHUTTING_DOWN, "").await;
        // The client disconnects once everything is answered.
        peer.goodbye(Some(0)).await;
        let peer = server.welcome().await;
        let mut stream = peer.publisher().await;
        let publish = stream.next().await.unwrap();
        assert_eq!((publish.data(), publish.retry()), (&"x".into(), None));
        stream.ack(0, 7, 7).await;
        (peer, stream)
    });
    assert_eq!(published.unwrap(), id(7));
}

#[tokio::test]
async fn a_server_that_goes_away_for_good_has_refused_what_it_did_not_take() {
    let server = FakeServer::start();
    let patience = config().publish_wait(Duration::from_millis(50));
    let (client, peer) = tokio::join!(server.connect().config(patience), server.welcome());
    let client = client.unwrap();
    let publisher = client.publisher();
    for data in ["one", "two"] {
        publisher.send("a", data).await.unwrap();
    }
    let mut stream = peer.publisher().await;
    stream.next().await.unwrap();
    stream.next().await.unwrap();
    stream.refuse(0, Code::SHUTTING_DOWN, "").await;
    let error = soon(publisher.flush()).await.unwrap_err();
    assert_eq!(error.code(), Some(Code::SHUTTING_DOWN), "{error}");
    assert!(error.is_retryable());
    let progress = publisher.progress();
    assert_eq!((progress.sent, progress.refused), (2, 2));
    let error = soon(client.publish("a", "x").into_future()).await;
    assert!(error.unwrap_err().is_retryable());
}

#[tokio::test]
async fn a_refusal_in_mid_pipeline_is_told_once_and_the_publisher_begins_anew() {
    let server = FakeServer::start();
    let (client, peer) = server.pair().await;
    let publisher = client.publisher();
    for data in ["good", "bad", "behind"] {
        publisher.send("a", data).await.unwrap();
    }
    let mut stream = peer.publisher().await;
    for _ in 0..3 {
        stream.next().await.unwrap();
    }
    stream.ack(0, 1, 1).await;
    stream
        .refuse(1, Code::TOPIC_NOT_AVAILABLE, "no such topic")
        .await;
    stream.refuse(2, Code::FAILED_BEFORE, "").await;
    let error = soon(publisher.flush()).await.unwrap_err();
    assert_eq!(
        error.code(),
        Some(Code::TOPIC_NOT_AVAILABLE),
        "the first refusal: {error}"
    );
    let progress = publisher.progress();
    assert_eq!(
        (progress.sent, progress.acknowledged, progress.refused),
        (3, 1, 2)
    );
    assert!(stream.next().await.is_none(), "the old stream has ended");

    publisher.send("a", "anew").await.unwrap();
    let mut stream = peer.publisher().await;
    assert_eq!(stream.next().await.unwrap().data(), "anew");
    stream.ack(0, 2, 2).await;
    assert_eq!(soon(publisher.flush()).await.unwrap(), Some(id(2)));
    assert_eq!(publisher.progress().acknowledged, 2);
}

#[tokio::test]
async fn a_publisher_tells_of_a_loss_only_when_something_was_in_flight() {
    let server = FakeServer::start();
    let (client, peer) = server.pair().await;
    let publisher = client.publisher();
    publisher.send("a", "1").await.unwrap();
    let mut stream = peer.publisher().await;
    stream.next().await.unwrap();
    stream.ack(0, 1, 1).await;
    publisher.flush().await.unwrap();
    peer.kill();
    until(|| client.rtt().map_or(Ok(()), Err)).await;

    let (sent, peer) = tokio::join!(publisher.send("a", "2"), server.welcome());
    sent.unwrap();
    publisher.send("a", "3").await.unwrap();
    let mut stream = peer.publisher().await;
    assert_eq!(stream.next().await.unwrap().data(), "2");
    peer.kill();
    let error = soon(publisher.flush()).await.unwrap_err();
    assert!(
        matches!(
            error,
            PublishError::AckLost {
                unacknowledged: 2,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(publisher.progress().lost, 2);
    assert_eq!(publisher.flush().await.unwrap(), Some(id(1)), "told once");
}

#[tokio::test]
async fn answers_without_sense_end_the_stream_and_not_the_client() {
    let server = FakeServer::start();
    let (client, peer) = server.pair().await;
    let (result, _stream) = tokio::join!(client.publish("a", "x"), async {
        let mut stream = peer.publisher().await;
        stream.next().await.unwrap();
        stream.ack(7, 1, 8).await;
        stream
    });
    let error = result.unwrap_err();
    assert!(matches!(error, PublishError::AckLost { .. }), "{error}");
    let (result, ()) = tokio::join!(client.publish("a", "x"), async {
        let mut stream = peer.publisher().await;
        stream.next().await.unwrap();
        stream.writer.reset(Code::NOT_AUTHORISED);
    });
    let error = result.unwrap_err();
    assert!(
        matches!(
            error,
            PublishError::Ended {
                unacknowledged: 1,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(error.code(), Some(Code::NOT_AUTHORISED));
    let (result, _stream) = tokio::join!(client.publish("a", "x"), async {
        let mut stream = peer.publisher().await;
        stream.next().await.unwrap();
        stream.writer.send(extension()).await.unwrap();
        stream.ack(0, 1, 1).await;
        stream
    });
    result.unwrap();
}

#[tokio::test]
async fn a_server_that_permits_no_publishing_stream_is_said() {
    let server =
        FakeServer::start_with(qsse_client::TransportConfig::server().max_remote_bidi_streams(1));
    let config = config().publish_wait(Duration::from_millis(50));
    let (client, _peer) = tokio::join!(server.connect().config(config), server.welcome());
    let client: Client = client.unwrap();
    let error = client.publish("a", "x").await.unwrap_err();
    assert!(matches!(error, PublishError::NoStream), "{error}");
    let publisher = client.publisher();
    publisher.send("a", "x").await.unwrap();
    assert!(matches!(
        soon(publisher.flush()).await,
        Err(PublishError::NoStream)
    ));
}

#[tokio::test]
async fn publishes_in_flight_are_finished_before_a_client_follows_a_goodbye() {
    let server = FakeServer::start();
    let (client, mut peer) = server.pair().await;
    let publisher = client.publisher();
    publisher.send("a", "1").await.unwrap();
    let mut stream = peer.publisher().await;
    stream.next().await.unwrap();
    peer.goodbye(None).await;
    until(|| client.rtt().map_or(Ok(()), Err)).await;
    let next = tokio::spawn({
        let publisher = publisher.clone();
        async move { publisher.send("a", "2").await }
    });
    assert!(
        stream.next().now_or_never().is_none(),
        "nothing new goes to a server that leaves"
    );
    assert!(peer.connection.close_reason().is_none());
    stream.ack(0, 1, 1).await;
    soon(peer.closed()).await;
    let peer = server.welcome().await;
    let mut stream = peer.publisher().await;
    assert_eq!(stream.next().await.unwrap().data(), "2");
    soon(next).await.unwrap().unwrap();
    assert_eq!(publisher.progress().lost, 0);
}

#[tokio::test]
async fn ping_is_a_round_trip() {
    let server = FakeServer::start();
    let (client, peer) = server.pair().await;
    let (time, ()) = tokio::join!(client.ping(), async {
        let mut stream = peer.publisher().await;
        assert!(stream.next().await.is_none());
        stream.writer.finish();
    });
    assert!(time.unwrap() > Duration::ZERO);
    assert!(client.rtt().is_some());
}

#[tokio::test]
async fn shutdown_waits_for_acknowledgements_and_takes_no_more() {
    let server = FakeServer::start();
    let (client, peer) = server.pair().await;
    let publisher = client.publisher();
    publisher.send("a", "1").await.unwrap();
    let mut stream = peer.publisher().await;
    stream.next().await.unwrap();
    let mut shutdown = Box::pin(client.shutdown(Duration::from_secs(60)));
    assert!((&mut shutdown).now_or_never().is_none());
    assert!(matches!(
        client.publish("a", "").await,
        Err(PublishError::Closed(_))
    ));
    assert!(matches!(
        client.subscribe("a").await,
        Err(SubscribeError::Closed(_))
    ));
    assert!(peer.connection.close_reason().is_none());
    stream.ack(0, 1, 1).await;
    soon(shutdown).await;
    assert!(soon(peer.closed()).await.to_string().contains("no error"));
    assert_eq!(publisher.flush().await.unwrap(), Some(id(1)));

    // The timeout also applies if the server never answers.
    let (client, peer) = server.pair().await;
    let publisher = client.publisher();
    publisher.send("a", "1").await.unwrap();
    let mut stream = peer.publisher().await;
    stream.next().await.unwrap();
    soon(client.shutdown(Duration::from_millis(30))).await;
    assert!(matches!(
        publisher.flush().await,
        Err(PublishError::AckLost {
            unacknowledged: 1,
            ..
        })
    ));
}
