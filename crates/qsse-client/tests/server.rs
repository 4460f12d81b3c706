//! The real client and the real server.

mod support;

use std::time::Duration;

use qsse_client::tls::ServerTls;
use qsse_client::{
    Client, CloseReason, Code, ConnectError, Cursor, Handlers, Item, Notice, PublishError, Start,
};
use qsse_server::{Server, TestServer};
use support::{config, event, notice, seqs, soon, until};
use tokio::sync::mpsc;

#[tokio::test]
async fn lent_events_are_those_that_others_get() {
    let server = TestServer::start().await.unwrap();
    let client = Client::connect(server.url()).await.unwrap();
    // Of all sizes: several in one packet, and one in several packets.
    let data = |n: usize| vec![n as u8; n * n * n % 30_011];
    for n in 0..500 {
        let topic = format!("ride.{}", n % 7);
        server.publish(topic.as_str(), data(n)).await.unwrap();
    }
    let subscribe = || client.subscribe("ride.*").start(Start::Earliest);
    let mut all = subscribe().await.unwrap();
    let mut lent = subscribe().await.unwrap();
    for n in 0..500 {
        let theirs = event(&mut all).await;
        let ours = soon(lent.lend_next()).await.unwrap().unwrap();
        assert_eq!(ours.to_event(), theirs);
        assert_eq!(ours.data(), data(n));
        assert_eq!(lent.cursor(), Cursor::after(theirs.id()));
    }
    // Both methods may be mixed, and a dropped future loses nothing.
    assert!(futures_util::FutureExt::now_or_never(lent.lend_next()).is_none());
    let last = server.publish("ride.0", "last").await.unwrap();
    assert_eq!(event(&mut lent).await.id(), last);
    client.close();
    assert!(soon(lent.lend_next()).await.is_none());
}

#[tokio::test]
async fn a_subscriber_gets_what_the_server_and_a_client_publish() {
    let server = TestServer::start().await.unwrap();
    let client = Client::connect(server.url()).await.unwrap();
    let mut rides = client.subscribe("ride.*.start").await.unwrap();
    server.publish("ride.7.start", "from inside").await.unwrap();
    let id = client
        .publish("ride.8.start", "from outside")
        .kind("started")
        .await
        .unwrap();
    client.publish("ride.8.end", "not wanted").await.unwrap();
    let first = event(&mut rides).await;
    assert_eq!(
        (first.topic().as_str(), first.text()),
        ("ride.7.start", Ok("from inside"))
    );
    let second = event(&mut rides).await;
    assert_eq!((second.id(), second.kind().as_str()), (id, "started"));
    let published = client
        .publish_matching("ride.8.*", "to both")
        .await
        .unwrap();
    assert_eq!(published.count(), 2);
    assert_eq!(event(&mut rides).await.data(), "to both");
    assert!(soon(client.ping()).await.unwrap() < Duration::from_secs(5));

    // A later subscription gets earlier events.
    let mut all = client
        .subscribe(["ride.*", "people"])
        .start(Start::Earliest)
        .await
        .unwrap();
    assert_eq!(seqs(&mut all, 5).await, [1, 2, 3, 4, 5]);
    let behind = Cursor::after(second.id());
    let mut rest = client.subscribe("*").start(behind).await.unwrap();
    assert_eq!(seqs(&mut rest, 3).await, [3, 4, 5]);
    soon(client.shutdown(Duration::from_secs(5))).await;
    until(|| match server.connection_count() {
        0 => Ok(()),
        open => Err(open),
    })
    .await;
}

#[tokio::test]
async fn many_events_in_bulk_arrive_in_order() {
    const COUNT: u64 = 20_000;
    let server = TestServer::start().await.unwrap();
    let client = Client::connect(server.url()).await.unwrap();
    let mut subscriptions = Vec::new();
    for _ in 0..3 {
        subscriptions.push(client.subscribe("*").await.unwrap());
    }
    let publisher = client.publisher();
    let publishing = tokio::spawn(async move {
        for i in 0..COUNT {
            publisher
                .send(format!("topic{}", i % 7), i.to_string())
                .await
                .unwrap();
        }
        (publisher.flush().await.unwrap(), publisher.progress())
    });
    for subscription in &mut subscriptions {
        for i in 0..COUNT {
            assert_eq!(event(subscription).await.data(), &i.to_string());
        }
    }
    let (last, progress) = soon(publishing).await.unwrap();
    assert_eq!(last.map(|id| id.seq()), Some(COUNT));
    assert_eq!((progress.sent, progress.acknowledged), (COUNT, COUNT));
}

#[tokio::test]
async fn the_largest_event_passes_and_one_byte_more_is_refused_here() {
    let server = TestServer::start().await.unwrap();
    let client = Client::connect(server.url()).await.unwrap();
    let mut events = client.subscribe("*").await.unwrap();
    let data = vec![7; (1 << 20) + 1];
    client.publish("big", &data[1..]).await.unwrap();
    assert_eq!(event(&mut events).await.data(), &data[1..]);
    let refused = client.publish("big", &data).await.unwrap_err();
    assert!(
        matches!(
            refused,
            PublishError::TooLarge {
                limit: 1_048_576,
                ..
            }
        ),
        "{refused}"
    );
}

#[tokio::test]
async fn a_server_that_is_replaced_is_a_reset() {
    let tls = ServerTls::self_signed([] as [&str; 0]).unwrap();
    let old = Server::bind("127.0.0.1:0").tls(tls.clone()).await.unwrap();
    let client = Client::connect(old.url()).config(config()).await.unwrap();
    let mut events = client.subscribe("*").await.unwrap();
    old.publish("a", "1").await.unwrap();
    assert_eq!(seqs(&mut events, 1).await, [1]);
    let address = old.local_addr();
    let url = old.url();
    let (_, item) = tokio::join!(soon(old.shutdown(Duration::from_secs(10))), async {
        tokio::time::timeout(Duration::from_millis(100), events.next()).await
    });
    assert!(item.is_err(), "nothing to say yet: {item:?}");
    drop(old);
    // The system releases the port slightly later.
    let new = soon(async {
        loop {
            match Server::bind(address).tls(tls.clone()).await {
                Ok(server) => return server,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    })
    .await;
    assert_eq!(new.url(), url);
    new.publish("a", "anew").await.unwrap();
    let reset = notice(&mut events).await;
    assert!(matches!(reset, Notice::Reset(_)), "{reset}");
    assert_eq!(event(&mut events).await.data(), "anew");
}

#[tokio::test]
async fn each_refusal_is_an_error_of_its_own_type() {
    let server = Server::bind("127.0.0.1:0")
        .topics(["people", "ride.*"])
        .authenticator_fn(|token| token == "sesame")
        .authorizer_fn(|_, topic| topic != "people")
        .await
        .unwrap();
    let refused = Client::connect(server.url())
        .token("wrong")
        .await
        .unwrap_err();
    assert!(
        matches!(refused, ConnectError::NotAuthorised { .. }),
        "{refused}"
    );
    let client = Client::connect(server.url()).token("sesame").await.unwrap();
    let refused = client.subscribe("people").await.unwrap_err();
    assert_eq!(refused.code(), Some(Code::NOT_AUTHORISED), "{refused}");
    let refused = client.subscribe("nothing.here").await.unwrap_err();
    assert_eq!(refused.code(), Some(Code::TOPIC_NOT_AVAILABLE), "{refused}");
    // As in Go, the closure only decides about subscribing.
    let refused = client.publish("ride.1", "x").await.unwrap_err();
    assert_eq!(refused.code(), Some(Code::NOT_AUTHORISED), "{refused}");
    let publisher = client.publisher();
    publisher.send("ride.1", "x").await.unwrap();
    publisher.send("ride.2", "x").await.unwrap();
    assert_eq!(
        publisher.flush().await.unwrap_err().code(),
        Some(Code::NOT_AUTHORISED)
    );
    assert_eq!(publisher.progress().refused, 2);
    assert!(client.subscribe("ride.*").await.is_ok());
}

#[tokio::test]
async fn a_handler_is_called_for_each_event_in_order() {
    let server = TestServer::start().await.unwrap();
    let client = Client::connect(server.url()).await.unwrap();
    let (sender, mut called) = mpsc::unbounded_channel();
    let handlers = Handlers::new().on("ride.*", move |event| {
        sender.send(event.text().unwrap().to_owned()).unwrap();
        async {}
    });
    let running = client.handle(handlers).await.unwrap();
    for data in ["one", "two"] {
        client.publish("ride.7", data).await.unwrap();
        assert_eq!(soon(called.recv()).await.unwrap(), data);
    }
    running.stop().await;
    client.close();
    assert!(matches!(soon(client.closed()).await, CloseReason::Local));
}

#[cfg(feature = "json")]
#[tokio::test]
async fn values_travel_as_json() {
    let server = TestServer::start().await.unwrap();
    let client = Client::connect(server.url()).await.unwrap();
    let mut events = client.subscribe("*").await.unwrap();
    client
        .publish_json("a", &["Ada", "Bob"])
        .kind("names")
        .await
        .unwrap();
    assert_eq!(
        event(&mut events).await.json::<[String; 2]>().unwrap(),
        ["Ada", "Bob"]
    );
    // JSON has no maps whose keys are not text.
    let value = std::collections::BTreeMap::from([((1, 2), 3)]);
    let error = client.publish_json("a", &value).await.unwrap_err();
    assert!(matches!(error, PublishError::Json(_)), "{error}");
}

#[tokio::test]
async fn a_client_finds_a_test_server_again_that_cut_it_off_or_restarted() {
    let mut server = TestServer::start_with(|server| server.topics(["a"]))
        .await
        .unwrap();
    let client = Client::connect(server.url()).await.unwrap();
    let mut events = client.subscribe("a").await.unwrap();
    let refused = client.subscribe("b").await;
    assert!(refused.is_err(), "it has its settings");
    for round in 0..3 {
        match round {
            0 => {}
            1 => server.cut_connections(),
            _ => {
                let before = server.url();
                server.restart().await.unwrap();
                assert_eq!(server.url(), before);
            }
        }
        server.publish("a", format!("{round}")).await.unwrap();
        let text = soon(async {
            loop {
                match events.next_item().await.unwrap().unwrap() {
                    Item::Event(event) => return event.text().unwrap().to_owned(),
                    // It has a new log.
                    Item::Notice(notice) => assert!(notice.is_loss(), "{notice}"),
                }
            }
        });
        assert_eq!(text.await, format!("{round}"));
    }
    let refused = server.publish("b", "x").await;
    assert!(refused.is_err(), "it has its settings again");
}
