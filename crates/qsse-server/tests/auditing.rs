//! What a server records for an audit. The other end is scripted.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use qsse_proto::Code;
use qsse_proto::control::{RefreshToken, ServerFrame, Start, Token};
use qsse_proto::publish::AckFrame;
use qsse_server::audit::{AuditRecord, AuditSink};
use qsse_server::{
    Authenticator, Credentials, Denied, Grants, IntoFilter, Principal, Revocation, ServerBuilder,
};
use support::{RawClient, server};

/// The token of `ada` and `bob`, before their names.
const SECRET: &str = "a-secret-of-";

/// Lets those in who know the secret. They may subscribe to `a` and publish nothing.
struct BySecret;

#[async_trait]
impl Authenticator for BySecret {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Principal, Denied> {
        let name = credentials.token.unwrap_or_default().strip_prefix(SECRET);
        let name = name.ok_or_else(|| Denied::new("it is not the secret"))?;
        let grants = Grants::new().subscribe("a".into_filter().unwrap());
        let principal = Principal::new(name).with_token_id(format!("{name}'s"));
        Ok(principal.with_grants(grants))
    }
}

/// Keeps the records, as texts.
#[derive(Clone, Default)]
struct Records(Arc<Mutex<Vec<String>>>);

impl AuditSink for Records {
    fn record(&self, record: &AuditRecord<'_>) -> bool {
        let who = record.principal.unwrap_or("-");
        let id = record.token_id.unwrap_or("-");
        let from = record.address.map_or("-", |_| "somewhere");
        let what = record.subject.unwrap_or("-");
        let code = record.code.map_or("-".to_owned(), |code| code.to_string());
        let reason = record.reason.unwrap_or("-");
        let text = format!(
            "{:?} {} by {who} ({id}) from {from}: {what}; {code}: {reason}",
            record.event, record.allowed
        );
        self.0.lock().unwrap().push(text);
        true
    }
}

impl Records {
    /// Waits for the next record and takes it.
    async fn next(&self) -> String {
        loop {
            let first = {
                let mut records = self.0.lock().unwrap();
                (!records.is_empty()).then(|| records.remove(0))
            };
            match first {
                Some(record) => return record,
                None => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    }

    /// Waits for the next record, which has to be this one.
    #[track_caller]
    fn expect(&self, expected: &str) -> impl Future<Output = ()> {
        let place = std::panic::Location::caller();
        async move {
            let record = tokio::time::timeout(Duration::from_secs(60), self.next());
            let record = record.await.expect("a record came");
            assert!(!record.contains(SECRET), "{record}");
            assert_eq!(record, expected, "at {place}");
        }
    }
}

fn audited(sink: impl AuditSink) -> ServerBuilder {
    server().authenticator(BySecret).audit(sink)
}

async fn connect(server: &qsse_server::Server, name: &str) -> RawClient {
    let token = format!("{SECRET}{name}");
    RawClient::connect_with(server, Some(&token)).await.0
}

#[tokio::test]
async fn everything_that_clients_ask_for_is_recorded_with_who_it_was_and_whether_it_was_allowed() {
    let records = Records::default();
    let server = audited(records.clone()).await.unwrap();
    let stranger = RawClient::hello(&server, Some("eve's guess")).await;
    stranger.closed().await;
    records
        .expect("Connect false by - (-) from somewhere: -; not authorised: it is not the secret")
        .await;

    let mut ada = connect(&server, "ada").await;
    let by_ada = |what: &str, rest: &str| format!("{what} by ada (ada's) from somewhere: {rest}");
    records.expect(&by_ada("Connect true", "-; -: -")).await;
    let _stream = ada.subscribe(1, &["a"], Start::Live).await;
    records.expect(&by_ada("Subscribe true", "a; -: -")).await;
    ada.refused(2, &["b"], Start::Live).await;
    let refused = "b; not authorised: not allowed to subscribe to b";
    records.expect(&by_ada("Subscribe false", refused)).await;
    let mut publisher = ada.publisher(false).await;
    publisher.queue("c", false, b"x");
    assert!(matches!(
        publisher.next().await,
        AckFrame::PublishRefused(_)
    ));
    let refused = "-; not authorised: not allowed to publish on c";
    records.expect(&by_ada("Publish false", refused)).await;

    let token = |text: &str| RefreshToken {
        token: Token::new(text).unwrap(),
    };
    ada.send(token(&format!("{SECRET}ada"))).await;
    assert!(matches!(ada.next().await, ServerFrame::TokenAccepted(_)));
    records.expect(&by_ada("Refresh true", "-; -: -")).await;
    ada.send(token("an older one")).await;
    assert_eq!(ada.closed().await.0, Code::NOT_AUTHORISED);
    let refused = "-; not authorised: it is not the secret";
    records.expect(&by_ada("Refresh false", refused)).await;
}

#[tokio::test]
async fn everything_that_its_owner_does_to_a_server_is_recorded() {
    let records = Records::default();
    let server = audited(records.clone()).await.unwrap();
    let by_owner = |what: &str, subject: &str| format!("{what} by - (-) from -: {subject}; -: -");
    let bob = connect(&server, "bob").await;
    records
        .expect("Connect true by bob (bob's) from somewhere: -; -: -")
        .await;
    let id = server.connections()[0].id;
    for closed in [true, false] {
        assert_eq!(server.close_connection(id), closed);
        bob.closed().await;
        while !server.connections().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let subject = format!("connection {id}");
        records
            .expect(&by_owner(&format!("Close {closed}"), &subject))
            .await;
    }
    let revocation = Revocation::token_id("bob's");
    server.revoke(&revocation).unwrap();
    let subject = "token id bob's";
    records.expect(&by_owner("Revoke true", subject)).await;
    for known in [true, false] {
        assert_eq!(server.unrevoke(&revocation), known);
        let what = format!("Unrevoke {known}");
        records.expect(&by_owner(&what, subject)).await;
    }
    for succeeded in [true, false] {
        server.count_reload(succeeded);
        let what = format!("Reload {succeeded}");
        records.expect(&by_owner(&what, "-")).await;
    }
    server.shutdown(Duration::from_secs(60)).await;
    records.expect(&by_owner("Drain true", "-")).await;
}

/// Takes nothing, or panics.
struct Broken {
    panics: bool,
}

impl AuditSink for Broken {
    fn record(&self, _: &AuditRecord<'_>) -> bool {
        assert!(!self.panics, "the sink panics");
        false
    }
}

#[cfg(feature = "prometheus")]
#[tokio::test]
async fn a_sink_that_takes_nothing_or_panics_harms_no_client_and_is_counted() {
    for panics in [false, true] {
        let server = audited(Broken { panics }).await.unwrap();
        let mut ada = connect(&server, "ada").await;
        let _stream = ada.subscribe(1, &["a"], Start::Live).await;
        let text = server.metrics_text();
        assert!(text.contains("qsse_qsse_audit_dropped 2\n"), "{text}");
    }
}
