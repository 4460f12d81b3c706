//! Lifecycle: handles, runtimes, drops.

mod support;

use std::future::{Future, IntoFuture};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use qsse_client::{Client, CloseReason, ConnectError, SubscribeError, SubscriptionError};
use qsse_proto::stream::Outcome;
use support::*;
use tokio::runtime::{Builder, Runtime};

fn runtimes() -> [Runtime; 2] {
    let mut multi = Builder::new_multi_thread();
    [&mut Builder::new_current_thread(), multi.worker_threads(2)]
        .map(|builder| builder.enable_all().build().expect("a runtime"))
}

/// An executor without tokio.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park_timeout(Duration::from_secs(20));
    }
}

#[tokio::test]
async fn the_last_handle_dropped_closes_at_once() {
    let server = FakeServer::start();
    let (client, mut peer) = server.pair().await;
    let (subscription, (_, mut feed)) =
        tokio::join!(client.subscribe("*"), peer.serve(0, Outcome::Live));
    let mut subscription = subscription.unwrap();
    let (second, publisher, mut states) = (client.clone(), client.publisher(), client.state());
    drop(client);
    drop(second);
    feed.events([1]).await;
    assert_eq!(
        seqs(&mut subscription, 1).await,
        [1],
        "a subscription keeps the connection"
    );
    drop(subscription);
    publisher.send("a", "x").await.unwrap();
    let mut stream = peer.publisher().await;
    stream.next().await.unwrap();
    assert!(
        peer.connection.close_reason().is_none(),
        "so does a publisher"
    );
    drop(publisher);
    assert!(soon(peer.closed()).await.to_string().contains("no error"));
    while let Some(state) = soon(states.next()).await {
        if state.is_closed() {
            assert!(state.to_string().contains("closed on this side"), "{state}");
        }
    }
}

#[tokio::test]
async fn closing_here_ends_subscriptions_quietly_behind_what_has_come() {
    let server = FakeServer::start();
    let (client, mut peer) = server.pair().await;
    let (subscription, (_, mut feed)) =
        tokio::join!(client.subscribe("*"), peer.serve(0, Outcome::Live));
    let mut subscription = subscription.unwrap();
    feed.events([1, 2]).await;
    assert_eq!(seqs(&mut subscription, 1).await, [1]);
    client.close();
    assert!(matches!(soon(client.closed()).await, CloseReason::Local));
    assert!(soon(peer.closed()).await.to_string().contains("no error"));
    assert_eq!(seqs(&mut subscription, 1).await, [2]);
    assert!(soon(subscription.try_next()).await.unwrap().is_none());
    assert!(soon(subscription.next()).await.is_none());
    assert!(soon(StreamExt::next(&mut subscription)).await.is_none());
}

#[tokio::test]
async fn a_connect_given_up_leaves_nothing_behind() {
    let server = FakeServer::start();
    let mut connecting = Box::pin(server.connect().into_future());
    assert!((&mut connecting).now_or_never().is_none());
    let peer = server.accept().await;
    drop(connecting);
    assert!(soon(peer.closed()).await.to_string().contains("no error"));
}

#[test]
fn connecting_without_a_runtime_is_an_error_that_says_so() {
    let error = block_on(Client::connect("localhost").into_future()).unwrap_err();
    assert!(matches!(error, ConnectError::NoRuntime), "{error}");
}

#[test]
fn everything_can_be_dropped_anywhere() {
    for runtime in runtimes() {
        let (client, subscription, publisher, pending, states) = runtime.block_on(async {
            let server = FakeServer::start();
            let (client, mut peer) = server.pair().await;
            let (subscription, (_, mut feed)) =
                tokio::join!(client.subscribe("*"), peer.serve(0, Outcome::Live));
            let mut subscription = subscription.unwrap();
            feed.events([1, 2]).await;
            assert_eq!(seqs(&mut subscription, 1).await, [1]);
            let publisher = client.publisher();
            publisher.send("a", "x").await.unwrap();
            let mut pending = Box::pin(client.subscribe("never").into_future());
            assert!((&mut pending).now_or_never().is_none());
            let publish = client.publish("a", "y");
            let states = client.state();
            (client, subscription, publisher, (pending, publish), states)
        });
        // Outside the runtime while it runs, and after it has ended.
        drop(publisher);
        drop(pending.0);
        let more = client.subscribe("*");
        drop(runtime);
        drop(pending.1);
        drop(more);
        assert!(states.current().is_closed());
        drop(subscription);
        drop(states);
        drop(client);
    }
}

#[test]
fn a_runtime_that_ends_ends_the_client() {
    for runtime in runtimes() {
        let (client, mut subscription) = runtime.block_on(async {
            let server = FakeServer::start();
            let (client, peer) = server.pair().await;
            peer.kill();
            let mut states = client.state();
            while soon(states.next()).await.unwrap().is_connected() {}
            // There is no connection.
            let subscription = {
                let mut peer = server.welcome().await;
                let (subscription, _) =
                    tokio::join!(client.subscribe("*"), peer.serve(0, Outcome::Live));
                peer.kill();
                subscription.unwrap()
            };
            while soon(states.next()).await.unwrap().is_connected() {}
            (client, subscription)
        });
        drop(runtime);
        assert!(matches!(
            block_on(client.closed()),
            CloseReason::RuntimeEnded
        ));
        let end = loop {
            match block_on(subscription.next()) {
                Some(Ok(_)) => {}
                Some(Err(end)) => break end,
                None => panic!("no end without a word"),
            }
        };
        assert!(
            matches!(end, SubscriptionError::Closed(CloseReason::RuntimeEnded)),
            "{end}"
        );
        assert!(block_on(client.publish("a", "x").into_future()).is_err());
        assert!(block_on(client.subscribe("a").into_future()).is_err());
        assert!(block_on(client.refresh_token("x")).is_err());
        block_on(client.shutdown(Duration::from_secs(1)));
    }
}

#[test]
fn futures_can_be_awaited_on_any_executor() {
    for runtime in runtimes() {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let (ready, started) = std::sync::mpsc::channel();
        let serving = thread::spawn(move || {
            runtime.block_on(async {
                let server = FakeServer::start();
                let (client, mut peer) = server.pair().await;
                ready.send(client).unwrap();
                let (_, mut feed) = peer.serve(0, Outcome::Live).await;
                let mut stream = peer.publisher().await;
                stream.next().await.unwrap();
                stream.ack(0, 1, 1).await;
                feed.events([1]).await;
                peer.closed().await;
                // The client's runtime also runs until the client has ended.
                while stopped.try_recv().is_err() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            });
        });
        let client = started.recv().unwrap();
        block_on(async {
            let mut subscription = client.subscribe("*").await.unwrap();
            assert_eq!(client.publish("a", "x").await.unwrap(), id(1));
            let event = subscription.next().await.unwrap().unwrap();
            assert_eq!(event.id(), id(1));
            client.shutdown(Duration::from_secs(5)).await;
        });
        stop.send(()).unwrap();
        serving.join().unwrap();
    }
}

#[test]
fn nobody_waits_for_a_runtime_that_has_ended() {
    for runtime in runtimes() {
        let handle = runtime.handle().clone();
        // Its threads end slightly later.
        runtime.shutdown_background();
        let (done, outcome) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let _entered = handle.enter();
            let subscribing = Client::connect("127.0.0.1:4242").subscribe("a");
            let _ = done.send(block_on(subscribing.into_future()));
        });
        let result = outcome.recv_timeout(Duration::from_secs(20));
        let error = result.expect("there is nothing to wait for").unwrap_err();
        assert!(
            matches!(
                error,
                SubscribeError::Closed(CloseReason::RuntimeEnded) | SubscribeError::Connect(_)
            ),
            "{error:?}"
        );
    }
}
