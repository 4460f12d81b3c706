//! The Go dialect between the real client and the real server.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, where a failure is the test's"
)]

mod support;

use std::time::Duration;

use qsse_client::tls::ServerTls;
use qsse_client::{Client, Cursor, Dialect, Event, Notice, ServerUrl, Subscription};
use qsse_server::Server;
use support::{config, event, notice, soon};

async fn server() -> (Server, ServerUrl) {
    let tls = ServerTls::self_signed([] as [&str; 0]).unwrap();
    let fingerprint = tls.fingerprint().unwrap();
    let server = Server::bind("127.0.0.1:0").tls(tls).go_dialect(true);
    let server = server.await.unwrap();
    let url = ServerUrl::from(server.local_addr()).with_fingerprint(fingerprint);
    (server, url)
}

/// Returns the first event of a subscription. Nothing confirms it, so events are published until
/// one arrives.
async fn first(server: &Server, events: &mut Subscription) -> Event {
    for _ in 0..2000 {
        server.publish("people", "early").await.unwrap();
        if let Some(item) = events.next_ready() {
            return item.expect("no end").expect("no error");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("nothing came");
}

#[tokio::test]
async fn events_come_in_order_once_the_offer_has_arrived() {
    const COUNT: usize = 5_000;
    let (server, url) = server().await;
    let go = Client::connect(url.clone()).dialect(Dialect::Go);
    let go = go.await.unwrap();
    let mut rides = go.subscribe(["ride.*", "people"]).await.unwrap();
    assert_eq!(first(&server, &mut rides).await.text(), Ok("early"));

    let large = vec![7; 1024 * 1024];
    server.publish("ride.7.photo", &large).await.unwrap();
    for i in 0..COUNT {
        server.publish("ride.7", i.to_string()).await.unwrap();
    }
    let mut next = event(&mut rides).await;
    while next.data() == "early" {
        next = event(&mut rides).await;
    }
    assert!(next.topic() == "ride.7.photo" && next.data() == &large);
    for i in 0..COUNT {
        let event = event(&mut rides).await;
        assert_eq!(event.data(), i.to_string().as_bytes());
    }

    // The default dialect, and the meaning of the cursor there.
    let own = Client::connect(url).config(config()).await.unwrap();
    assert_eq!(own.dialect(), Dialect::Qsse);
    let foreign: Cursor = rides.cursor();
    let mut all = own.subscribe("people").start(foreign).await.unwrap();
    assert!(matches!(notice(&mut all).await, Notice::Reset(_)));
    assert_eq!(event(&mut all).await.text(), Ok("early"));
    drop((go, rides, own, all));
    soon(server.shutdown(Duration::from_secs(5))).await;
}

#[tokio::test]
async fn a_server_that_drains_is_read_to_its_end() {
    let (server, url) = server().await;
    let config = config().reconnect(qsse_client::ReconnectPolicy::never());
    let client = Client::connect(url).config(config).dialect(Dialect::Go);
    let client = client.await.unwrap();
    let mut events = client.subscribe("people").await.unwrap();
    first(&server, &mut events).await;
    server.publish("people", "last").await.unwrap();
    let reading = async {
        let mut seen = Vec::new();
        loop {
            match soon(events.next()).await.expect("an error first") {
                Ok(event) => seen.push(event.text().unwrap().to_owned()),
                Err(end) => return (seen, end),
            }
        }
    };
    let (_, (seen, _end)) = tokio::join!(server.shutdown(Duration::from_secs(10)), reading);
    assert_eq!(seen.last().map(String::as_str), Some("last"));
}
