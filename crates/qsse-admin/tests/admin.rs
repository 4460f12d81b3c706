//! Administration over a socket: a real server, the real listener, and the client.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use qsse_admin::{
    Address, Admin, AdminToken, Client, ClientError, ListenError, Listener, Reloaded, Revoke,
};
use qsse_server::audit::{AuditRecord, AuditSink};
use qsse_server::{Config, Pattern, Server, ServerState};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn server() -> Server {
    Server::bind("127.0.0.1:0").await.unwrap()
}

/// Serves the administration on a free port.
async fn on_port(admin: Admin, token: &str) -> Address {
    let token = AdminToken::new(token).unwrap();
    let address = "127.0.0.1:0".parse().unwrap();
    let listener = Listener::bind(&address, Some(token)).await.unwrap();
    let address = listener.address().unwrap();
    tokio::spawn(listener.serve(admin));
    address
}

fn refusal<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> (u16, String) {
    match answer.unwrap_err() {
        ClientError::Refused(problem) => (problem.status, problem.detail),
        other => panic!("a refusal, not {other:?}"),
    }
}

const TOKEN: &str = "0123456789abcdef";

#[tokio::test]
async fn a_port_wants_the_token_but_for_probes() {
    let server = server().await;
    let address = on_port(Admin::new(server), TOKEN).await;
    let client = |token: Option<&str>| Client::new(address.clone(), token.map(Into::into));
    assert_eq!(client(Some(TOKEN)).status().await.unwrap().connections, 0);
    for token in [None, Some("0123456789abcdeF"), Some("")] {
        assert_eq!(refusal(client(token).status().await).0, 401);
        assert_eq!(refusal(client(token).reload().await).0, 401);
        assert_eq!(refusal(client(token).drain().await).0, 401);
    }
    let Address::Loopback(at) = address else {
        panic!("a port");
    };
    let get = async |path: &str| {
        let mut stream = TcpStream::connect(at).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    assert!(get("/health").await.starts_with("HTTP/1.1 200 "));
    assert!(get("/ready").await.starts_with("HTTP/1.1 200 "));
    assert!(get("/metrics").await.starts_with("HTTP/1.1 401 "));
}

#[tokio::test]
async fn nobody_administers_a_port_without_a_token_or_from_afar() {
    let address: Address = "127.0.0.1:0".parse().unwrap();
    let refused = Listener::bind(&address, None).await;
    assert!(matches!(refused, Err(ListenError::NoToken(_))));
    assert!("192.0.2.1:80".parse::<Address>().is_err());
    assert!(AdminToken::new(" 0123456789abcde\n").is_err());
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_is_its_owner_s_and_replaces_only_a_dead_one() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let address = Address::Unix(path.clone());
    let client = Client::new(address.clone(), None);
    let no_server = client.status().await;
    assert!(matches!(no_server, Err(ClientError::Connect { .. })));

    // A process has left this one behind.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let listener = Listener::bind(&address, None).await.unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(names.len(), 1, "{names:?}");
    let serving = tokio::spawn(listener.serve(Admin::new(server().await)));
    assert_eq!(client.status().await.unwrap().state, ServerState::Serving);

    let second = Listener::bind(&address, None).await;
    assert!(matches!(second, Err(ListenError::InUse(_))));
    serving.abort();
    let _ = serving.await;
    assert!(!path.exists());
    std::fs::write(&path, "mine").unwrap();
    let taken = Listener::bind(&address, None).await;
    assert!(matches!(taken, Err(ListenError::NoSocket(_))));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
}

#[tokio::test]
async fn topics_are_listed_by_name_up_to_a_limit() {
    let server = server().await;
    for topic in ["b", "a", "b", "c.d"] {
        server.publish(topic, "x").await.unwrap();
    }
    let client = Client::new(on_port(Admin::new(server), TOKEN).await, Some(TOKEN.into()));
    let topics = client.topics(&"*".parse().unwrap(), 2).await.unwrap();
    let names: Vec<_> = topics
        .topics
        .iter()
        .map(|info| info.topic.as_str())
        .collect();
    assert_eq!((names, topics.more), (vec!["a", "b"], true));
    assert_eq!(topics.topics[1].events, 2);
    assert_eq!(topics.topics[1].last.unwrap().seq(), 3);
    let pattern: Pattern = "c.*".parse().unwrap();
    let topics = client.topics(&pattern, 2).await.unwrap();
    assert_eq!((topics.topics.len(), topics.more), (1, false));
}

#[tokio::test]
async fn one_answer_has_at_most_ten_thousand_topics() {
    let server = server().await;
    let names: Vec<_> = (0..10_001).map(|n| (format!("t.{n}"), "x")).collect();
    server.try_publish_all(&names).unwrap();
    let client = Client::new(on_port(Admin::new(server), TOKEN).await, Some(TOKEN.into()));
    let topics = client.topics(&"*".parse().unwrap(), usize::MAX / 2).await;
    let topics = topics.unwrap();
    assert_eq!((topics.topics.len(), topics.more), (10_000, true));
}

/// Keeps what a record says of requests of administrators.
#[derive(Clone, Default)]
struct Requests(Arc<Mutex<Vec<(String, bool, String)>>>);

impl AuditSink for Requests {
    fn record(&self, record: &AuditRecord<'_>) -> bool {
        if let Some(subject) = record.subject
            && subject.contains(" /")
        {
            let who = record.principal.unwrap_or_default().to_owned();
            let record = (subject.to_owned(), record.allowed, who);
            self.0.lock().unwrap().push(record);
        }
        true
    }
}

#[tokio::test]
async fn requests_that_change_something_or_show_no_token_are_recorded_for_an_audit() {
    let requests = Requests::default();
    let server = Server::bind("127.0.0.1:0").audit(requests.clone());
    let address = on_port(Admin::new(server.await.unwrap()), TOKEN).await;
    let client = Client::new(address.clone(), Some(TOKEN.into()));
    client.status().await.unwrap();
    client.close(7).await.unwrap_err();
    client.drain().await.unwrap();
    let stranger = Client::new(address, None);
    stranger.status().await.unwrap_err();
    let requests = requests.0.lock().unwrap();
    let requests: Vec<_> = requests
        .iter()
        .map(|(what, allowed, who)| (what.as_str(), *allowed, who.as_str()))
        .collect();
    assert_eq!(
        requests,
        [
            ("POST /connections/7/close", false, "admin token"),
            ("POST /drain", true, "admin token"),
            ("GET /status", false, "admin token"),
        ]
    );
}

#[tokio::test]
async fn a_revocation_for_which_there_is_no_room_is_an_error() {
    let server = Server::bind("127.0.0.1:0").config(Config::default().max_revocations(1));
    let address = on_port(Admin::new(server.await.unwrap()), TOKEN).await;
    let client = Client::new(address, Some(TOKEN.into()));
    let of = |name: &str| Revoke {
        principal: Some(name.into()),
        token_id: None,
        remember: None,
    };
    client.revoke(&of("ada")).await.unwrap();
    assert_eq!(refusal(client.revoke(&of("bob")).await).0, 507);
}

#[tokio::test]
async fn wrong_requests_say_what_to_do() {
    let address = on_port(Admin::new(server().await), TOKEN).await;
    let client = Client::new(address, Some(TOKEN.into()));
    let nobody = Revoke {
        principal: None,
        token_id: None,
        remember: None,
    };
    let (status, detail) = refusal(client.revoke(&nobody).await);
    assert_eq!(status, 400);
    assert!(detail.contains("say what to revoke"), "{detail}");
    let (status, detail) = refusal(client.close(7).await);
    assert_eq!(status, 404);
    assert!(detail.contains("there is no connection 7"), "{detail}");
    let ada = Revoke {
        principal: Some("ada".into()),
        ..nobody
    };
    assert_eq!(refusal(client.unrevoke(&ada).await).0, 404);
    assert_eq!(client.revoke(&ada).await.unwrap().closed, 0);
    assert!(client.unrevoke(&ada).await.unwrap().removed);
    let (status, detail) = refusal(client.reload().await);
    assert_eq!(status, 501);
    assert!(detail.contains("no configuration"), "{detail}");
}

#[tokio::test]
async fn a_reload_and_a_drain_are_what_the_program_makes_of_them() {
    let server = server().await;
    let admin = Admin::new(server.clone()).on_reload(|| async {
        let changed = vec!["tokens".to_owned()];
        Ok(Reloaded {
            changed,
            needs_restart: Vec::new(),
        })
    });
    let address = on_port(admin, TOKEN).await;
    let client = Client::new(address, Some(TOKEN.into()));
    assert_eq!(client.reload().await.unwrap().changed, ["tokens"]);
    client.drain().await.unwrap();
    let closed = tokio::time::timeout(Duration::from_secs(30), server.closed()).await;
    assert_eq!(closed.unwrap(), qsse_server::Closed::Drained);

    let broken = Admin::new(server).on_reload(|| async { Err("tokens.toml, line 3".to_owned()) });
    let address = on_port(broken, TOKEN).await;
    let refused = refusal(Client::new(address, Some(TOKEN.into())).reload().await);
    assert_eq!(refused, (422, "tokens.toml, line 3".to_owned()));
}
