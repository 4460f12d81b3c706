//! Handlers: which ones run, in which order, and what happens when they panic. The server is
//! scripted.

mod support;

use std::sync::{Arc, Mutex};

use qsse_client::{Code, Handlers, HandlersError, Notice, Start, SubscribeError, Timestamp};
use qsse_proto::batch::Builder;
use qsse_proto::stream::Outcome;
use support::*;
use tokio::sync::{Semaphore, mpsc};

fn events(events: &[(u64, &str)]) -> bytes::Bytes {
    let mut builder = Builder::new();
    for (seq, topic) in events {
        builder.push(*seq, Timestamp::from_micros(*seq), topic, "message", b"");
    }
    builder.finish().bytes().clone()
}

/// What the handlers were called with.
#[derive(Clone)]
struct Journal(mpsc::UnboundedSender<String>);

impl Journal {
    fn new() -> (Self, mpsc::UnboundedReceiver<String>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    fn write(&self, line: String) {
        self.0.send(line).expect("it is read");
    }
}

async fn read(journal: &mut mpsc::UnboundedReceiver<String>, count: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for _ in 0..count {
        lines.push(soon(journal.recv()).await.expect("a line"));
    }
    lines
}

#[tokio::test]
async fn each_that_matches_runs_once_in_order_and_the_rest_goes_to_on_message() {
    let server = FakeServer::start();
    let (client, mut peer) = server.pair().await;
    let (journal, mut lines) = Journal::new();
    let write = |name: &'static str| {
        let journal = journal.clone();
        move |event: qsse_client::Event| {
            let journal = journal.clone();
            async move {
                tokio::task::yield_now().await;
                journal.write(format!("{} {name}", event.id().seq()));
            }
        }
    };
    let handlers = Handlers::new()
        .on("ride.*", write("rides"))
        .on(["ride.7.*", "ride.*.start", "people"], write("starts"))
        .on("ride.7.start", write("seven"))
        .topics("other.*")
        .topics("ride.7.start")
        .on_message(write("message"))
        .start(Start::Earliest);
    let (handle, (asked, mut feed)) =
        tokio::join!(client.handle(handlers), peer.serve(0, Outcome::Resumed));
    let handle = handle.unwrap();
    assert_eq!(asked.start, Start::Earliest);
    let mut patterns = asked.patterns;
    patterns.sort();
    assert_eq!(
        patterns,
        ["other.*", "people", "ride.*"],
        "one subscription for the union"
    );
    feed.raw(events(&[
        (1, "ride.7.start"),
        (2, "other.x"),
        (3, "people"),
        (4, "ride.8.end"),
    ]))
    .await;
    let expected = [
        "1 rides",
        "1 starts",
        "1 seven",
        "2 message",
        "3 starts",
        "4 rides",
    ]
    .map(String::from);
    assert_eq!(read(&mut lines, 6).await, expected);
    assert_eq!(soon(handle.stop()).await.id(), id(4));
}

#[tokio::test]
async fn a_panic_is_reported_and_ends_nothing_else() {
    let server = FakeServer::start();
    let (client, mut peer) = server.pair().await;
    let (journal, mut lines) = Journal::new();
    let (good, errors) = (journal.clone(), journal);
    let handlers = Handlers::new()
        .on("bad", |event| {
            assert!(event.id().seq() != 1, "at once");
            async move { panic!("in the middle of {}", event.id().seq()) }
        })
        .on("*", move |event| {
            good.write(format!("{} good", event.id().seq()));
            async {}
        })
        .on_error(move |error| {
            let HandlersError::Panicked { event, message, .. } = &error else {
                panic!("{error}")
            };
            errors.write(format!("{} {message}", event.id().seq()));
            // This handler may panic too.
            assert_ne!(event.id().seq(), 2);
            async {}
        });
    let (handle, (_, mut feed)) =
        tokio::join!(client.handle(handlers), peer.serve(0, Outcome::Live));
    let _handle = handle.unwrap();
    feed.raw(events(&[(1, "bad"), (2, "bad"), (3, "fine")]))
        .await;
    let lines = read(&mut lines, 5).await;
    assert!(lines[0].starts_with("1 at once"), "{lines:?}");
    assert_eq!(
        lines[1..],
        ["1 good", "2 in the middle of 2", "2 good", "3 good"]
    );
}

#[tokio::test]
async fn notices_go_to_on_notice_and_the_end_goes_to_on_error() {
    let server = FakeServer::start();
    let (client, mut peer) = server.pair().await;
    let (errors, notices) = (
        Arc::new(Mutex::new(Vec::new())),
        Arc::new(Mutex::new(Vec::new())),
    );
    let (kept, noticed) = (errors.clone(), notices.clone());
    let handlers = Handlers::new()
        .on("*", |_| async {})
        .on_notice(move |notice| {
            noticed.lock().unwrap().push(notice);
            async {}
        })
        .on_error(move |error| {
            kept.lock().unwrap().push(error);
            async {}
        });
    let (handle, (_, mut feed)) =
        tokio::join!(client.handle(handlers), peer.serve(0, Outcome::Live));
    let handle = handle.unwrap();
    feed.gap(0, 4).await;
    feed.events([5]).await;
    until(|| {
        if handle.cursor().id() == id(5) {
            Ok(())
        } else {
            Err(handle.cursor())
        }
    })
    .await;
    feed.stream.reset(Code::NOT_AUTHORISED);
    assert_eq!(soon(handle.ended()).await.id(), id(5));
    let errors = errors.lock().unwrap();
    let notices = notices.lock().unwrap();
    assert!(matches!(&notices[..], [Notice::Gap(_)]), "{notices:?}");
    let [end] = &errors[..] else {
        panic!("{errors:?}")
    };
    assert_eq!(end.code(), Some(Code::NOT_AUTHORISED));
}

#[tokio::test]
async fn stopping_waits_for_the_handler_that_runs_and_dropping_does_not() {
    let server = FakeServer::start();
    let (client, mut peer) = server.pair().await;
    for dropped in [false, true] {
        let (journal, mut lines) = Journal::new();
        let gate = Arc::new(Semaphore::new(0));
        let opened = gate.clone();
        let handlers = Handlers::new().on("*", move |event| {
            let (journal, gate) = (journal.clone(), gate.clone());
            async move {
                journal.write(format!("begin {}", event.id().seq()));
                gate.acquire().await.unwrap().forget();
                journal.write(format!("end {}", event.id().seq()));
            }
        });
        let (handle, (_, mut feed)) =
            tokio::join!(client.handle(handlers), peer.serve(0, Outcome::Live));
        let handle = handle.unwrap();
        feed.events([1, 2]).await;
        assert_eq!(read(&mut lines, 1).await, ["begin 1"]);
        if dropped {
            drop(handle);
            opened.add_permits(2);
        } else {
            let stopping = tokio::spawn(handle.stop());
            tokio::task::yield_now().await;
            assert!(!stopping.is_finished());
            opened.add_permits(2);
            assert_eq!(soon(stopping).await.unwrap().id(), id(1));
        }
        assert_eq!(read(&mut lines, 1).await, ["end 1"]);
        assert!(soon(lines.recv()).await.is_none(), "the second never ran");
        // The server is notified of the end.
        peer.frame().await;
    }
}

#[tokio::test]
async fn what_cannot_be_subscribed_to_is_an_error() {
    let server = FakeServer::start();
    let (client, mut peer) = server.pair().await;
    let error = client.handle(Handlers::new()).await.unwrap_err();
    assert!(matches!(error, SubscribeError::Filter(_)), "{error}");
    let error = client
        .handle(Handlers::new().on("a..b", |_| async {}))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("byte 2"), "{error}");
    let (result, ()) = tokio::join!(
        client.handle(Handlers::new().on("a", |_| async {})),
        async {
            let asked = peer.subscribe().await;
            peer.refuse(asked.id, Code::TOPIC_NOT_AVAILABLE, "").await;
        }
    );
    assert_eq!(result.unwrap_err().code(), Some(Code::TOPIC_NOT_AVAILABLE));
}
