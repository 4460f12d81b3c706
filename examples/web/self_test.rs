//! Tries the whole example over loopback.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use qsse::Client;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{DRAIN, Service, serve};

/// Logs in, publishes, relays, resumes, refuses, counts and shuts down, over loopback.
pub(crate) async fn self_test() -> Result<()> {
    let service = Service::start(([127, 0, 0, 1], 0).into(), "w", "r").await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let http = listener.local_addr()?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let client = Client::connect(service.server.url()).token("r");
    let client = client.reconnect(false).await?;
    let mut device = client.subscribe("chat.*").await?;
    ensure!(client.publish("chat.tea", "no").await.is_err());
    ensure!(client.subscribe("*").await.is_err());
    let running = tokio::spawn(serve(service, listener, async { drop(stopped.await) }));
    let send = async |request: &str, body: &str, expected: &str| {
        let mut http = Http::send(http, request, body).await?;
        http.until(expected).await?;
        anyhow::Ok(http)
    };
    let publish = async |topic: &str, body: &str, expected: &str| {
        let request = format!("POST /push/publish/{topic} HTTP/1.1\r\nAuthorization: Bearer w");
        send(&request, body, expected).await
    };

    send("GET / HTTP/1.1", "", "new EventSource(").await?;
    send("GET /client HTTP/1.1", "", "/push/qsse.js").await?;
    send("GET /push/qsse.js HTTP/1.1", "", "export{").await?;
    send("POST /login HTTP/1.1", "x", " 401 ").await?;
    send("POST /login HTTP/1.1", "r", "set-cookie: chat=r; ").await?;
    let follow = "GET /push/events?topic=chat.* HTTP/1.1\r\nCookie: a=b; chat=r";
    let page = format!("Cookie: chat=w\r\nOrigin: http://{http}");
    let foreign = "Cookie: chat=w\r\nOrigin: http://elsewhere";
    for (request, status) in [
        ("GET /push/events?topic=chat.* HTTP/1.1".to_owned(), " 401 "),
        (
            "GET /push/events?topic=* HTTP/1.1\r\nCookie: chat=r".into(),
            " 403 ",
        ),
        (
            "POST /push/publish/chat.tea HTTP/1.1\r\nAuthorization: Bearer r".into(),
            " 403 ",
        ),
        (
            format!("POST /push/publish/chat.tea HTTP/1.1\r\n{foreign}"),
            " 403 ",
        ),
        (
            "GET /metrics HTTP/1.1\r\nAuthorization: Bearer r".into(),
            " 403 ",
        ),
    ] {
        send(&request, "", status).await?;
    }

    let mut browser = send(follow, "", "text/event-stream").await?;
    publish("chat.tea?kind=greeting", "one", "\"id\"").await?;
    let event = device.try_next().await?.context("the server is open")?;
    ensure!(event.kind().as_str() == "greeting" && event.text()? == "one");
    let one = format!("id: {}\nevent: greeting\ndata: one\n\n", event.id());
    browser.until(&one).await?;
    drop(browser);
    send(
        &format!("POST /push/publish/chat.tea HTTP/1.1\r\n{page}"),
        "two",
        "\"id\"",
    )
    .await?;
    publish("chat.*", "no", " 400 ").await?;

    let resume = format!("{follow}\r\nLast-Event-ID: {}", event.id());
    let mut browser = send(&resume, "", "data: two\n\n").await?;
    ensure!(!browser.read.contains("data: one"), "{}", browser.read);
    let counted = r#"qsse_qsse_event_count{topic="chat.tea"} 2"#;
    let metrics = "GET /metrics HTTP/1.1\r\nAuthorization: Bearer w";
    send(metrics, "", counted).await?;

    let event = device.try_next().await?.context("the server is open")?;
    ensure!(event.text()? == "two");

    // The client disconnects once its subscription has been read to the end.
    let last = tokio::spawn(async move { device.next().await });
    drop(stop);
    browser.end().await?;
    tokio::time::timeout(DRAIN, running).await???;
    ensure!(
        !matches!(last.await?, Some(Ok(_))),
        "nothing else was published"
    );
    Ok(())
}

/// A minimal HTTP client.
struct Http {
    stream: TcpStream,
    read: String,
}

impl Http {
    async fn send(address: SocketAddr, request: &str, body: &str) -> Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        let length = body.len();
        let request = format!(
            "{request}\r\nHost: {address}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await?;
        Ok(Self {
            stream,
            read: String::new(),
        })
    }

    /// Reads until `part` arrives, and returns everything read so far.
    async fn until(&mut self, part: &str) -> Result<&str> {
        while !self.read.contains(part) {
            ensure!(self.more().await? > 0, "no {part:?} in {}", self.read);
        }
        Ok(&self.read)
    }

    /// Reads to the end.
    async fn end(&mut self) -> Result<()> {
        while self.more().await? > 0 {}
        Ok(())
    }

    async fn more(&mut self) -> Result<usize> {
        let mut chunk = [0; 4096];
        let read = tokio::time::timeout(DRAIN, self.stream.read(&mut chunk)).await;
        let count = read.with_context(|| format!("nothing more after {}", self.read))??;
        self.read
            .push_str(&String::from_utf8_lossy(&chunk[..count]));
        Ok(count)
    }
}
