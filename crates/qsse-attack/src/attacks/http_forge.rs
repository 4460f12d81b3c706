//! [`HttpForge`]: requests of a page, or with fields, that pretend to be something else.

use std::time::Duration;

use anyhow::{Result, ensure};
use async_trait::async_trait;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep};

use crate::attack::{Attack, Tally, before};
use crate::http;
use crate::setup::{ATTACKER, HISTORY_BYTES, Scale, Setup};
use crate::target::Target;

/// Sends what pages, proxies and event sources could be tricked with. An answer that is not the
/// right one is an error.
pub(crate) struct HttpForge;

/// What ends a line, a block or a field, in a URL.
const FORGED: [&str; 5] = [
    "%0d%0adata:forged",
    "%0aid:9-9",
    "%0d",
    "a%00b",
    "%0a%0aevent:forged",
];

/// The pause between two rounds.
const PAUSE: Duration = Duration::from_millis(1);

/// The same in a body.
const BODY: &[u8] = b"a\r\nid: 9-9\r\revent: forged\n\ndata: forged\n\0\xe2\x80\xae";

/// Some of the bytes that a header may have.
const HEADER_BYTES: &[u8] = b"9-9 \t\"\\\x80\xff\xc3\x28:;,=~";

#[async_trait(?Send)]
impl Attack for HttpForge {
    fn name(&self) -> &'static str {
        "http-forge"
    }

    fn about(&self) -> &'static str {
        "HTTP of foreign pages, tokens in URLs, line breaks in every field, and any Last-Event-ID"
    }

    fn unit(&self) -> &'static str {
        "requests"
    }

    fn setup(&self, _: Scale) -> Setup {
        Setup {
            http: true,
            settings: vec![("http_cookie", "token".into())],
            publish: &["attacker.*"],
            bound: HISTORY_BYTES,
            shown_by: &["refused{"],
            ..Setup::default()
        }
    }

    async fn run(&self, target: &Target, until: Instant, tally: &Tally) -> Result<()> {
        for round in 0usize.. {
            if Instant::now() >= until {
                break;
            }
            let played = before(until, play(target, round, tally)).await;
            played.transpose()?;
            sleep(PAUSE).await;
        }
        Ok(())
    }
}

/// Sends a request on a connection of its own, and returns the answer up to `end`.
async fn ask(target: &Target, request: &[u8], end: &[u8]) -> Result<Vec<u8>> {
    let mut stream = http::connect(target, 1).await?;
    stream.write_all(request).await?;
    let mut answer = Vec::new();
    http::read_until(&mut stream, &mut answer, end).await?;
    Ok(answer)
}

/// Sends a request that has to be answered with one of these statuses.
async fn expect(
    target: &Target,
    tally: &Tally,
    what: &str,
    request: &[u8],
    statuses: &[u16],
) -> Result<()> {
    let answer = ask(target, request, b"\r\n\r\n").await?;
    let status = String::from_utf8_lossy(answer.get(9..12).unwrap_or_default()).into_owned();
    let is_right = status
        .parse()
        .is_ok_and(|status| statuses.contains(&status));
    ensure!(is_right, "{what} was answered with {status}");
    match status.as_str() {
        "200" => tally.done(1),
        _ => tally.refused(),
    }
    Ok(())
}

async fn play(target: &Target, round: usize, tally: &Tally) -> Result<()> {
    let post = "/publish/attacker.x";
    let foreign = format!("origin: https://evil.example\r\ncookie: token={ATTACKER}\r\n");
    let request = http::request("POST", post, "", &foreign, b"1");
    expect(target, tally, "a post of a foreign page", &request, &[403]).await?;
    let none = format!("cookie: token={ATTACKER}\r\n");
    let request = http::request("POST", post, "", &none, b"1");
    expect(
        target,
        tally,
        "a cookie without an origin",
        &request,
        &[403],
    )
    .await?;
    let path = format!("/events?topic=attacker.x&token={ATTACKER}");
    let request = http::request("GET", &path, "", "", b"");
    expect(target, tally, "a token in the URL", &request, &[400]).await?;

    let forged = FORGED[round % FORGED.len()];
    for (method, path) in [
        ("POST", format!("/publish/attacker.{forged}")),
        ("POST", format!("/publish/attacker.x?kind={forged}")),
        ("POST", format!("/publish-matching/attacker.{forged}")),
        ("GET", format!("/events?topic=attacker.{forged}")),
        ("GET", format!("/events?topic=attacker.x&format={forged}")),
        ("GET", format!("/events?topic=attacker.x&start={forged}")),
        ("GET", format!("/topics/attacker.{forged}/last")),
    ] {
        let request = http::request(method, &path, ATTACKER, "", b"1");
        expect(target, tally, &path, &request, &[400, 403, 404]).await?;
    }
    let request = http::request("POST", "/publish/secret.x", ATTACKER, "", b"1");
    expect(target, tally, "a topic of others", &request, &[403]).await?;
    read_back(target, tally).await?;
    any_last_event_id(target, round, tally).await
}

/// Publishes data that looks like fields, and looks at how it is read.
async fn read_back(target: &Target, tally: &Tally) -> Result<()> {
    let request = http::request("POST", "/publish/attacker.x", ATTACKER, "", BODY);
    expect(target, tally, "data", &request, &[200]).await?;
    let path = "/events?topic=attacker.x&start=last:1";
    let request = http::request("GET", path, ATTACKER, "", b"");
    let answer = ask(target, &request, "\u{202e}\n\n".as_bytes()).await?;
    let text = String::from_utf8_lossy(&answer).replace('\r', "\n");
    let forged = text.lines().find(|line| {
        line.starts_with("id: 9-9") || line.starts_with("event: forged") || *line == "data: forged"
    });
    ensure!(forged.is_none(), "data became the line {forged:?}");
    tally.done(1);
    Ok(())
}

/// Sends a position of any bytes: the stream begins with a reset.
async fn any_last_event_id(target: &Target, round: usize, tally: &Tally) -> Result<()> {
    let mut request = b"GET /events?topic=attacker.x HTTP/1.1\r\nhost: localhost\r\n".to_vec();
    request.extend_from_slice(format!("authorization: Bearer {ATTACKER}\r\n").as_bytes());
    request.extend_from_slice(b"last-event-id: x");
    let bytes = HEADER_BYTES
        .iter()
        .cycle()
        .skip(round)
        .step_by(1 + round % 5);
    request.extend(bytes.take(1 + round % 200));
    request.extend_from_slice(b"\r\n\r\n");
    ask(target, &request, b"event: qsse.reset\n").await?;
    tally.done(1);
    Ok(())
}
