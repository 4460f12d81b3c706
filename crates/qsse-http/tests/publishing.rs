//! `POST /publish…`, `GET /topics…`, over HTTP/1.1 and HTTP/2.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use common::{Hub, server};
use qsse_http::Config;
use qsse_server::LogConfig;
use serde_json::json;

mod common;

#[tokio::test]
async fn a_body_is_an_event() {
    let hub = Hub::start().await;
    let mut events = hub.server.subscribe("ride.*").await.unwrap();
    for mut client in hub.clients().await {
        let mut answer = client
            .post("/publish/ride.7?kind=made", vec![0xff, 0])
            .await;
        assert_eq!(answer.status(), 200);
        let event = events.next().await.unwrap().unwrap();
        assert_eq!(answer.json().await, json!({ "id": event.id().to_string() }));
        assert_eq!(event.topic().as_str(), "ride.7");
        assert_eq!(event.kind().as_str(), "made");
        assert_eq!(&event.data()[..], [0xff, 0]);
        let mut answer = client.post("/publish/ride.8", "").await;
        assert_eq!(
            answer.status(),
            200,
            "an empty event is one: {}",
            answer.rest().await
        );
        assert!(events.next().await.unwrap().unwrap().data().is_empty());
    }
}

#[tokio::test]
async fn a_body_in_pieces_is_one_event() {
    let hub = Hub::start().await;
    let mut events = hub.server.subscribe("a").await.unwrap();
    let pieces = (0..5).map(|n| Ok::<_, std::convert::Infallible>(format!("{n}")));
    let body = axum::body::Body::from_stream(futures_util::stream::iter(pieces));
    assert_eq!(hub.h1().await.post("/publish/a", body).await.status(), 200);
    assert_eq!(&events.next().await.unwrap().unwrap().data()[..], b"01234");
}

#[tokio::test]
async fn a_key_makes_it_safe_to_try_again() {
    let hub = Hub::start().await;
    let mut ids = Vec::new();
    for key in ["one", "one", "\"one\"", "two"] {
        // Each on a connection of its own, as after a failure.
        let mut client = hub.h1().await;
        let headers = [("idempotency-key", key)];
        let mut answer = client.send("POST", "/publish/a", &headers, "1").await;
        ids.push(answer.json().await["id"].as_str().unwrap().to_owned());
    }
    assert_eq!(ids[0], ids[1]);
    assert_eq!(ids[0], ids[2]);
    assert_ne!(ids[0], ids[3]);
    let long = "x".repeat(65);
    let headers = [("idempotency-key", long.as_str())];
    let answer = hub
        .h1()
        .await
        .send("POST", "/publish/a", &headers, "1")
        .await;
    assert_eq!(answer.status(), 400);
}

#[tokio::test]
async fn what_cannot_be_published_is_a_problem() {
    let mut log = LogConfig::default();
    log.max_event_bytes = 1_000;
    let mut config = qsse_server::Config::default();
    config.log = log;
    let server = server().topics(["people"]).config(config);
    let hub = Hub::with(server, Config::default()).await;
    for mut client in hub.clients().await {
        for (path, bytes, status, detail) in [
            ("/publish/peple", 1, 404, "did you mean \"people\"?"),
            ("/publish/a..b", 1, 400, "a..b"),
            ("/publish/people?kind=error", 1, 400, "choose another"),
            ("/publish/people?kind=qsse.gap", 1, 400, "choose another"),
            ("/publish/people?kind=", 1, 400, "kind is empty"),
            ("/publish/people?kynd=a", 1, 400, "there are kind"),
            ("/publish/people", 1_001, 413, "1000 bytes"),
            ("/publish/$sys", 1, 403, "the server's"),
        ] {
            let mut answer = client.post(path, vec![b'x'; bytes]).await;
            let problem = answer.json().await;
            assert_eq!(answer.status(), status, "{path}: {problem}");
            let said = problem["detail"].as_str().unwrap();
            assert!(said.contains(detail), "{path}: {said}");
        }
    }
    for path in ["/publish/people", "/publish-matching/*", "/publish"] {
        for packed in ["gzip", "br", "identity, gzip", "\u{fffd}"] {
            let packed = [("content-encoding", packed)];
            for mut client in hub.clients().await {
                let mut answer = client.send("POST", path, &packed, "x").await;
                assert_eq!(answer.status(), 415, "{path}");
                assert!(answer.rest().await.contains("is not unpacked here"));
            }
        }
        let packed = [("transfer-encoding", "gzip, chunked")];
        let pieces = futures_util::stream::iter([Ok::<_, std::convert::Infallible>("x")]);
        let body = axum::body::Body::from_stream(pieces);
        let mut client = hub.h1().await;
        let mut answer = client.send("POST", path, &packed, body).await;
        assert_eq!(answer.status(), 415, "{path}");
        assert!(answer.rest().await.contains("Transfer-Encoding"));
    }
    assert_eq!(hub.server.log_stats().history_events, 0);
}

#[tokio::test]
async fn lines_are_events_and_wrong_ones_are_told_by_number() {
    let hub = Hub::start().await;
    let mut events = hub.server.subscribe("*").await.unwrap();
    for mut client in hub.clients().await {
        let text = "{\"topic\":\"a\",\"data\":\"1\",\"kind\":\"made\"}\n\nnonsense\n\
                    {\"topic\":\"a\",\"data\":\"2\",\"kind\":\"error\"}\n{\"topic\":\"b\",\"data\":\"/w==\",\"encoding\":\"base64\"}";
        let mut answer = client.post("/publish", text).await;
        assert_eq!(answer.status(), 200);
        let answer = answer.json().await;
        let (first, last) = (events.next().await, events.next().await);
        let (first, last) = (first.unwrap().unwrap(), last.unwrap().unwrap());
        assert_eq!(
            (first.kind().as_str(), &last.data()[..]),
            ("made", &b"\xff"[..])
        );
        assert_eq!(answer["count"], 2);
        assert_eq!(answer["first"], first.id().to_string());
        assert_eq!(answer["last"], last.id().to_string());
        let lines: Vec<_> = answer["refused"].as_array().unwrap().iter().collect();
        assert_eq!(
            (lines[0]["line"].as_u64(), lines[1]["line"].as_u64()),
            (Some(3), Some(4))
        );
        assert_eq!(answer["refused_count"], 2);
        let answer = client.post("/publish", "nonsense").await;
        assert_eq!(answer.status(), 400, "nothing was published");
        let key = [("idempotency-key", "one")];
        let answer = client.send("POST", "/publish", &key, text).await;
        assert_eq!(answer.status(), 400);
    }
}

#[tokio::test]
async fn many_lines_are_published_in_their_order() {
    let hub = Hub::start().await;
    let mut events = hub.server.subscribe("a").await.unwrap();
    let lines = (0..2_000).map(|n| format!("{{\"topic\":\"a\",\"data\":\"{n}\"}}\n"));
    let text: String = lines.collect();
    let mut answer = hub.h2().await.post("/publish", text).await;
    assert_eq!(answer.json().await["count"], 2_000);
    for n in 0..2_000 {
        let event = events.next().await.unwrap().unwrap();
        assert_eq!(event.text().unwrap(), n.to_string());
    }
}

#[tokio::test]
async fn a_publish_to_a_pattern_reaches_each_topic() {
    let hub = Hub::start().await;
    for topic in ["ride.1", "ride.2", "people"] {
        hub.server.publish(topic, "").await.unwrap();
    }
    let mut client = hub.h2().await;
    let mut answer = client.post("/publish-matching/ride.*", "stop").await;
    assert_eq!(answer.json().await["count"], 2);
    let mut answer = client.post("/publish-matching/nothing.*", "stop").await;
    assert_eq!(
        answer.json().await,
        json!({ "count": 0, "first": null, "last": null })
    );
}

#[tokio::test]
async fn topics_and_their_newest_event_can_be_read() {
    let hub = Hub::start().await;
    hub.server.publish("ride.1", "old").await.unwrap();
    let id = hub.server.publish("ride.1", "new").await.unwrap();
    hub.server.publish("people", "Ada").await.unwrap();
    for mut client in hub.clients().await {
        let topics = client.get("/topics?match=ride.*").await.json().await;
        assert_eq!(
            topics,
            json!({ "topics": [{ "topic": "ride.1", "last": id.to_string(), "events": 2 }] })
        );
        let all = client.get("/topics?limit=1").await.json().await;
        assert_eq!(all["topics"].as_array().unwrap().len(), 1);
        assert_eq!(client.get("/topics?limit=many").await.status(), 400);

        let mut last = client.get("/topics/ride.1/last").await;
        let tag = last.header("etag").to_owned();
        assert_eq!(tag, format!("\"{id}\""));
        let event = last.json().await;
        assert_eq!(
            (&event["data"], &event["id"]),
            (&json!("new"), &json!(id.to_string()))
        );
        let known = client
            .get_with("/topics/ride.1/last", &[("if-none-match", &tag)])
            .await;
        assert_eq!(known.status(), 304);
        assert_eq!(client.get("/topics/ride.9/last").await.status(), 404);
        assert_eq!(client.get("/topics/ride.*/last").await.status(), 400);
    }
}

#[tokio::test]
async fn a_body_that_is_not_packed_may_say_so() {
    let hub = Hub::start().await;
    for mut client in hub.clients().await {
        let plain = [("content-encoding", "identity")];
        let answer = client.send("POST", "/publish/a", &plain, "1").await;
        assert_eq!(answer.status(), 200);
    }
}

#[tokio::test]
async fn a_client_that_sends_many_wrong_lines_waits_for_its_answer() {
    let mut config = qsse_server::Config::default();
    (config.refusal_burst, config.refusal_rate) = (10, 50);
    let hub = Hub::with(server().config(config), Config::default()).await;
    let begun = std::time::Instant::now();
    let mut answer = hub
        .h1()
        .await
        .post("/publish", "nonsense\n".repeat(30))
        .await;
    assert_eq!(answer.json().await["refused_count"], 30);
    // 20 more than the burst, 50 in a second.
    assert!(begun.elapsed() >= std::time::Duration::from_millis(390));
    let metrics = hub.server.metrics_text();
    assert!(metrics.contains("refusals_paced 20"), "{metrics}");
}
