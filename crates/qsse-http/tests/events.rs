//! `GET /events`, over HTTP/1.1 and HTTP/2.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use std::time::Duration;

use common::{Hub, PATIENCE};
use qsse_http::Config;
use qsse_server::{
    Authenticator, ByGrants, Credentials, Denied, Filter, Grants, Pattern, Principal, Revocation,
    Server, async_trait,
};

mod common;

const EVENT_SOURCE: (&str, &str) = ("accept", "text/event-stream");

#[tokio::test]
async fn an_event_that_is_published_after_the_answer_is_delivered() {
    let hub = Hub::start().await;
    for mut client in hub.clients().await {
        let mut rides = client.get("/events?topic=ride.*").await;
        assert_eq!(rides.status(), 200);
        assert_eq!(rides.header("content-type"), "text/event-stream");
        assert_eq!(rides.header("cache-control"), "no-store");
        assert_eq!(rides.header("x-accel-buffering"), "no");
        let id = hub.server.publish("ride.7", "Ada").await.unwrap();
        assert!(rides.block().await.starts_with("retry: "));
        let position = rides.block().await;
        assert!(
            position.starts_with("id: ") && !position.contains("data"),
            "{position}"
        );
        assert_eq!(rides.event().await, format!("id: {id}\ndata: Ada\n\n"));
    }
}

#[tokio::test]
async fn pages_find_the_client_here() {
    let hub = Hub::start().await;
    for mut client in hub.clients().await {
        let mut module = client.get("/qsse.js").await;
        assert_eq!(module.status(), 200);
        assert!(module.header("content-type").starts_with("text/javascript"));
        module.until("export{").await;
    }
}

#[tokio::test]
async fn a_client_goes_on_after_the_last_event_that_it_has() {
    let hub = Hub::start().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(
            hub.server
                .publish("a", n.to_string())
                .await
                .unwrap()
                .to_string(),
        );
    }
    for mut client in hub.clients().await {
        // The header wins over the start that the page asked for.
        let last = [("last-event-id", ids[1].as_str())];
        let mut events = client
            .get_with("/events?topic=a&start=earliest", &last)
            .await;
        for id in &ids[2..] {
            assert!(events.event().await.starts_with(&format!("id: {id}\n")));
        }
    }
    let mut client = hub.h2().await;
    let mut events = client
        .get(&format!("/events?topic=a&last_event_id={}", ids[3]))
        .await;
    assert!(
        events
            .event()
            .await
            .starts_with(&format!("id: {}\n", ids[4]))
    );
    let mut events = client.get("/events?topic=a&start=last:2").await;
    assert!(
        events
            .event()
            .await
            .starts_with(&format!("id: {}\n", ids[3]))
    );
    let mut events = client
        .get(&format!("/events?topic=a&start={}", ids[0]))
        .await;
    assert!(
        events
            .event()
            .await
            .starts_with(&format!("id: {}\n", ids[1]))
    );
}

#[tokio::test]
async fn the_position_before_the_first_event_is_one_to_go_on_from() {
    let hub = Hub::start().await;
    let mut client = hub.h1().await;
    let mut events = client.get("/events?topic=a").await;
    events.block().await;
    let position = events.block().await;
    let position = position.trim().strip_prefix("id: ").unwrap().to_owned();
    let id = hub.server.publish("a", "1").await.unwrap();
    let last = [("last-event-id", position.as_str())];
    let mut resumed = hub.h1().await.get_with("/events?topic=a", &last).await;
    assert_eq!(resumed.event().await, format!("id: {id}\ndata: 1\n\n"));
}

#[tokio::test]
async fn a_position_of_another_log_is_a_reset() {
    let hub = Hub::start().await;
    let id = hub.server.publish("a", "1").await.unwrap();
    for last in ["17", "1-3", "\u{fffd}"] {
        let mut client = hub.h2().await;
        let mut events = client
            .get_with("/events?topic=a", &[("last-event-id", last)])
            .await;
        let reset = events.event().await;
        assert!(reset.contains("event: qsse.reset\n"), "{reset}");
        let after = if last == "1-3" { "\"1-3\"" } else { "null" };
        assert!(reset.contains(&format!("\"after\":{after}")), "{reset}");
        assert_eq!(events.event().await, format!("id: {id}\ndata: 1\n\n"));
    }
}

#[tokio::test]
async fn forms_differ_in_the_text_alone() {
    let hub = Hub::start().await;
    let [mut h1, mut h2] = hub.clients().await;
    let mut json = h2.get("/events?topic=*&format=json").await;
    let lines = [("accept", "application/x-ndjson")];
    let mut lines = h1.get_with("/events?topic=*", &lines).await;
    assert_eq!(lines.header("content-type"), "application/x-ndjson");
    let id = hub
        .server
        .publish("ride.7", "a\r\nb")
        .kind("made")
        .await
        .unwrap();
    let event = json.event().await;
    let beginning =
        format!("id: {id}\nevent: made\ndata: {{\"topic\":\"ride.7\",\"kind\":\"made\",");
    assert!(event.starts_with(&beginning), "{event}");
    assert!(event.ends_with("\"data\":\"a\\r\\nb\"}\n\n"), "{event}");
    let line = lines.until("\n").await;
    let beginning = format!("{{\"id\":\"{id}\",\"topic\":\"ride.7\",\"kind\":\"made\",");
    assert!(line.starts_with(&beginning), "{line}");
}

#[tokio::test]
async fn what_cannot_be_subscribed_to_is_a_problem_before_the_stream() {
    let server = Server::bind("127.0.0.1:0").topics(["people", "ride.*"]);
    let hub = Hub::with(server, Config::default()).await;
    for mut client in hub.clients().await {
        for (path, status, detail) in [
            ("/events", 400, "?topic=ride.*"),
            ("/events?topic=a..b", 400, "is not a pattern"),
            ("/events?topics=people", 400, "there are topic"),
            ("/events?topic=people&start=now", 400, "write live"),
            ("/events?topic=people&on_lag=block", 400, "write catch-up"),
            (
                "/events?topic=people&format=xml",
                400,
                "write plain or json",
            ),
            (
                "/events?topic=people&token=secret",
                400,
                "Authorization: Bearer",
            ),
            ("/events?topic=peple", 404, "did you mean people?"),
            ("/event", 404, "there are /events"),
        ] {
            // An EventSource stops for ever, which is right here.
            let mut answer = client.get_with(path, &[EVENT_SOURCE]).await;
            assert_eq!(answer.status(), status, "{path}");
            assert_eq!(answer.header("content-type"), "application/problem+json");
            let problem = answer.json().await;
            let said = problem["detail"].as_str().unwrap();
            assert!(said.contains(detail), "{path}: {said}");
        }
        assert_eq!(client.post("/events", "").await.status(), 405);
    }
}

#[tokio::test]
async fn too_many_streams_of_a_connection_come_back_later() {
    let mut config = qsse_server::Config::default();
    config.max_subscriptions = 1;
    let hub = Hub::with(
        Server::bind("127.0.0.1:0").config(config),
        Config::default(),
    )
    .await;
    let mut client = hub.h2().await;
    let first = client.get("/events?topic=a").await;
    let mut refused = client.get_with("/events?topic=a", &[EVENT_SOURCE]).await;
    assert_eq!(
        refused.status(),
        200,
        "an EventSource would give up otherwise"
    );
    let text = refused.rest().await;
    assert!(text.starts_with("retry: 5000\n\n"), "{text}");
    assert!(
        text.contains("event: qsse.end\n") && text.contains("\"retry\":true"),
        "{text}"
    );
    let refused = client.get("/events?topic=a").await;
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.header("retry-after"), "1");
    drop(first);
    // Its place is free once the server has noticed.
    let again = async {
        while client.get("/events?topic=a").await.status() != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, again).await.unwrap();
}

#[tokio::test]
async fn a_drain_ends_streams_after_their_last_event() {
    let hub = Hub::start().await;
    let [mut h1, mut h2] = hub.clients().await;
    let mut streams = [
        h1.get("/events?topic=a").await,
        h2.get("/events?topic=a").await,
    ];
    let id = hub.server.publish("a", "last").await.unwrap();
    hub.server.shutdown(PATIENCE).await;
    for stream in &mut streams {
        let text = stream.rest().await;
        let at = |what: &str| {
            text.find(what)
                .unwrap_or_else(|| panic!("{what} in {text}"))
        };
        assert!(
            at(&format!("id: {id}\ndata: last")) < at("event: qsse.end"),
            "{text}"
        );
        assert_eq!(text.matches("retry: ").count(), 2, "{text}");
        assert!(text.contains("\"retry\":true"), "{text}");
    }
    hub.served().await;
}

/// Tokens are `NAME` or `NAME/SECONDS`.
struct Tokens;

#[async_trait]
impl Authenticator for Tokens {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Principal, Denied> {
        let token = credentials
            .token
            .ok_or_else(|| Denied::new("a token is needed"))?;
        let (name, seconds) = token.split_once('/').unwrap_or((token, ""));
        if name == "wrong" {
            return Err(Denied::new("this token is unknown"));
        }
        let pattern: Pattern = format!("{name}.*").parse().unwrap();
        let grants = Grants::default().subscribe(Filter::from(pattern));
        let principal = Principal::of_token(name, token).with_grants(grants);
        Ok(match seconds.parse() {
            Ok(seconds) => principal.valid_for(Duration::from_millis(seconds)),
            Err(_) => principal,
        })
    }
}

async fn hub_with_tokens(config: Config) -> Hub {
    let server = Server::bind("127.0.0.1:0")
        .authenticator(Tokens)
        .authorizer(ByGrants);
    Hub::with(server, config).await
}

#[tokio::test]
async fn a_token_lets_in_and_permits() {
    let hub = hub_with_tokens(Config::default().cookie("token").query_token(true)).await;
    let anne = ("authorization", "Bearer anne");
    for mut client in hub.clients().await {
        let none = client.get("/events?topic=anne.a").await;
        assert_eq!(
            (none.status().as_u16(), none.header("www-authenticate")),
            (401, "Bearer")
        );
        let wrong = client.get_with("/events?topic=anne.a", &[("authorization", "Bearer wrong")]);
        assert_eq!(wrong.await.status(), 401);
        let other = client.get_with("/events?topic=bob.a", &[anne]).await;
        assert_eq!(other.status(), 403);
        for headers in [&[anne][..], &[("cookie", "token=anne")]] {
            let mut events = hub
                .h1()
                .await
                .get_with("/events?topic=anne.*", headers)
                .await;
            assert_eq!(events.status(), 200);
            hub.server.publish("bob.a", "secret").await.unwrap();
            hub.server.publish("anne.a", "mine").await.unwrap();
            assert!(events.event().await.ends_with("data: mine\n\n"));
        }
        let in_url = hub.h1().await.get("/events?topic=anne.*&token=anne").await;
        assert_eq!(in_url.status(), 200);
    }
}

#[tokio::test]
async fn a_client_is_told_of_no_topic_that_it_may_not_read() {
    let hub = hub_with_tokens(Config::default()).await;
    for n in 0..1_200 {
        let name = format!("aaa.{n}");
        hub.server.publish(name, "secret").await.unwrap();
    }
    hub.server.publish("anne.a", "mine").await.unwrap();
    let headers = [("authorization", "Bearer anne")];
    let mut client = hub.h1().await;
    for path in ["/topics", "/topics?limit=1", "/topics?match=*.a"] {
        let topics = client.get_with(path, &headers).await.json().await;
        let names: Vec<_> = topics["topics"].as_array().unwrap().iter().collect();
        assert_eq!(names.len(), 1, "{path}: {topics}");
        assert_eq!(names[0]["topic"], "anne.a");
    }
    let other = client.get_with("/topics/aaa.1/last", &headers).await;
    let none = client.get_with("/topics/aaa.none/last", &headers).await;
    assert_eq!(
        (other.status().as_u16(), none.status().as_u16()),
        (403, 403)
    );
}

#[tokio::test]
async fn a_revoked_client_gets_nothing_more() {
    let hub = hub_with_tokens(Config::default()).await;
    let headers = [("authorization", "Bearer anne")];
    let mut client = hub.h2().await;
    let mut events = client.get_with("/events?topic=anne.*", &headers).await;
    events.block().await;
    assert_eq!(hub.server.connections()[0].protocol, "http/2");
    assert_eq!(
        hub.server.revoke(&Revocation::principal("anne")).unwrap(),
        1
    );
    hub.server.publish("anne.a", "secret").await.unwrap();
    let text = events.rest().await;
    assert!(!text.contains("secret"), "{text}");
    assert!(
        text.contains("event: qsse.end") && text.contains("\"retry\":false"),
        "{text}"
    );
    let again = client.get_with("/events?topic=anne.*", &headers).await;
    assert_eq!(again.status(), 401);
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let hub = hub_with_tokens(Config::default()).await;
    let headers = [("authorization", "Bearer anne/1")];
    let mut events = hub
        .h1()
        .await
        .get_with("/events?topic=anne.*", &headers)
        .await;
    let text = events.rest().await;
    assert!(text.contains("the token has expired"), "{text}");
}

#[tokio::test]
async fn a_client_is_counted_until_it_is_gone() {
    let hub = Hub::start().await;
    let mut client = hub.h1().await;
    let events = client.get("/events?topic=a&topic=b").await;
    let connection = hub.server.connections().remove(0);
    assert_eq!(connection.protocol, "http/1.1");
    assert_eq!(connection.subscriptions.len(), 1);
    assert_eq!(connection.subscriptions[0].filter.patterns().len(), 2);
    drop((events, client));
    let gone = async {
        while hub.server.connection_count() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
}

#[tokio::test]
async fn pages_of_other_origins_may_read_if_settings_say_so() {
    use qsse_http::Origins;
    let page = [("origin", "https://app.example.org")];
    let allowed = |origins: Origins| async move {
        let server = Server::bind("127.0.0.1:0");
        let hub = Hub::with(server, Config::default().origins(origins)).await;
        let answer = hub.h1().await.get_with("/topics", &page).await;
        let allowed = answer.header("access-control-allow-origin").to_owned();
        (
            allowed,
            answer.header("access-control-allow-credentials").to_owned(),
        )
    };
    let these = Origins::These(vec!["https://app.example.org".into()]);
    let others = Origins::These(vec!["https://other.example.org".into()]);
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(allowed(Origins::None).await, pair("", ""));
    assert_eq!(allowed(Origins::Any).await, pair("*", ""));
    assert_eq!(
        allowed(these).await,
        pair("https://app.example.org", "true")
    );
    assert_eq!(allowed(others).await.0, "");
}
