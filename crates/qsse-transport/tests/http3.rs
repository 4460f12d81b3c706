//! HTTP/3: requests and answers come whole or fail, and a client that breaks the rules hurts only
//! itself.
#![cfg(feature = "self-signed")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use bytes::Bytes;
use qsse_proto::Code;
use qsse_transport::http3::http::{Method, Request as Head, Response, StatusCode};
use qsse_transport::http3::{
    Client, Exchange, Incoming, RecvBody, Request, RequestError, Requests, Settings,
};
use qsse_transport::{ConnectionError, ReadError, RecvStream, SendStream, TransportConfig};
use support::{Pair, pair_with, soon};

mod support;

async fn pair() -> Pair {
    let server = TransportConfig::server().max_remote_uni_streams(20);
    let client = TransportConfig::client();
    pair_with(&server, &client).await
}

/// A server and a client of the module.
async fn served(settings: &Settings) -> (Pair, Requests, Client) {
    let pair = pair().await;
    let requests = soon("a server", Requests::accept(&pair.far, settings));
    let requests = requests.await.unwrap();
    let client = soon("a client", Client::connect(&pair.near, settings));
    let client = client.await.unwrap();
    (pair, requests, client)
}

/// A server, and a client's connection on which the test writes.
async fn raw(settings: &Settings) -> (Pair, Requests) {
    let pair = pair().await;
    let requests = soon("a server", Requests::accept(&pair.far, settings));
    let requests = requests.await.unwrap();
    (pair, requests)
}

fn get(path: &str) -> Head<()> {
    let head = Head::get(format!("https://localhost{path}"));
    head.body(()).unwrap()
}

async fn next(requests: &mut Requests) -> Request {
    match soon("a request", requests.next()).await.unwrap().unwrap() {
        Incoming::Request(request) => request,
        other => panic!("{other:?}"),
    }
}

async fn read(body: &mut RecvBody) -> Result<Vec<u8>, RequestError> {
    let mut all = Vec::new();
    while let Some(bytes) = soon("a part of the body", body.next()).await? {
        all.extend_from_slice(&bytes);
    }
    Ok(all)
}

/// The bytes of `GET https://localhost/x`: a head, in a frame.
const GET: &[u8] = b"\x01\x13\x00\x00\xd1\xd7\x50\x09localhost\x51\x02/x";

/// The same with `POST`.
const POST: &[u8] = b"\x01\x13\x00\x00\xd4\xd7\x50\x09localhost\x51\x02/x";

/// The type of a control stream and settings without any.
const CONTROL: &[u8] = &[0, 4, 0];

async fn write(stream: &mut SendStream, bytes: &[u8]) {
    let mut chunks = [Bytes::copy_from_slice(bytes)];
    soon("room", stream.write_all(&mut chunks)).await.unwrap();
}

async fn open_bi(pair: &Pair, bytes: &[u8]) -> (SendStream, RecvStream) {
    let (mut send, recv) = soon("a stream", pair.near.open_bi()).await.unwrap();
    write(&mut send, bytes).await;
    (send, recv)
}

async fn open_uni(pair: &Pair, bytes: &[u8]) -> SendStream {
    let mut send = soon("a stream", pair.near.open_uni()).await.unwrap();
    write(&mut send, bytes).await;
    send
}

async fn read_raw(recv: &mut RecvStream) -> Result<Vec<u8>, ReadError> {
    let mut all = Vec::new();
    while let Some(bytes) = soon("bytes", recv.read_chunk()).await? {
        all.extend_from_slice(&bytes);
    }
    Ok(all)
}

/// Serves until the connection ends, and returns the code with which it was closed.
async fn closed(pair: &Pair, requests: &mut Requests) -> u64 {
    let served = async {
        while let Ok(Some(request)) = requests.next().await {
            drop(request);
        }
    };
    soon("the server's end", served).await;
    match soon("the close", pair.near.closed()).await {
        ConnectionError::Closed { code, .. } => code.get(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn requests_and_answers_come_whole() {
    let (_pair, mut requests, client) = served(&Settings::default()).await;
    let server = async {
        let request = next(&mut requests).await;
        assert_eq!(request.head.method(), Method::POST);
        assert_eq!(request.head.uri(), "https://localhost/publish?x=1");
        assert_eq!(request.head.headers()["x-one"], "1");
        let mut body = request.body;
        assert_eq!(body.left(), Some(300_000));
        assert_eq!(read(&mut body).await.unwrap(), [7; 300_000]);
        let head = Response::builder().status(201).header("x-two", "2");
        let head = head.body(()).unwrap();
        let mut answer = request.responder.respond(head).await.unwrap();
        // More than the windows have.
        let chunk = Bytes::from(vec![8; 100_000]);
        for _ in 0..30 {
            answer
                .send([chunk.clone(), Bytes::new(), chunk.clone()])
                .await
                .unwrap();
        }
        answer.send([]).await.unwrap();
        answer.finish().await.unwrap();
        requests
    };
    let asking = async {
        let head = Head::post("https://localhost/publish?x=1")
            .header("x-one", "1")
            .header("content-length", 300_000);
        let mut exchange = client.request(head.body(()).unwrap()).await.unwrap();
        for _ in 0..3 {
            exchange.body.send([vec![7; 100_000].into()]).await.unwrap();
        }
        let (head, mut body) = exchange.answer().await.unwrap();
        assert_eq!(head.status(), StatusCode::CREATED);
        assert_eq!(head.headers()["x-two"], "2");
        assert_eq!(read(&mut body).await.unwrap(), vec![8; 6_000_000]);
    };
    soon("both", async { tokio::join!(server, asking) }).await;
}

#[tokio::test]
async fn a_head_has_a_limit_in_bytes_and_in_fields() {
    let settings = Settings::default().max_head(1_000);
    let (pair, mut requests) = raw(&settings).await;
    // The answer 431.
    let refused = *b"\x01\x07\x00\x00\x5f\x09\x03431";
    let ask = async {
        // A frame of 2,000 bytes is refused before they come.
        let (_send, mut recv) = open_bi(&pair, b"\x01\x47\xd0\x00\x00").await;
        assert_eq!(read_raw(&mut recv).await.unwrap(), refused);
        // 500 bytes, each of which stands for a field of at least 32.
        let many = [&b"\x01\x41\xf6\x00\x00"[..], &[0xd1; 500]].concat();
        let (_send, mut recv) = open_bi(&pair, &many).await;
        assert_eq!(read_raw(&mut recv).await.unwrap(), refused);
        open_bi(&pair, GET).await
    };
    let (stream, request) = tokio::join!(ask, next(&mut requests));
    assert_eq!(request.head.uri().path(), "/x");
    drop((stream, request));
}

#[tokio::test]
async fn frames_and_streams_of_unknown_kinds_are_skipped() {
    let (pair, mut requests) = raw(&Settings::default()).await;
    let _control = open_uni(&pair, &[CONTROL, &[0x40, 0x21, 2, 9, 9]].concat()).await;
    let unknown = open_uni(&pair, &[0x40, 0x21, 9, 9]).await;
    let bytes = [
        &[0x21, 3, 9, 9, 9],
        POST,
        &[0x40, 0x40, 1, 9],
        b"\x00\x02he",
    ]
    .concat();
    let (mut send, _recv) = open_bi(&pair, &bytes).await;
    write(&mut send, b"\x00\x00\x21\x00\x00\x03llo").await;
    send.finish();
    let mut request = next(&mut requests).await;
    assert_eq!(read(&mut request.body).await.unwrap(), b"hello");
    let stopped = soon("a stop", async {
        tokio::select! {
            stopped = unknown.stopped() => stopped,
            next = requests.next() => panic!("{next:?}"),
        }
    });
    assert_eq!(stopped.await.unwrap(), Some(Code::new(0x103)));
}

#[tokio::test]
async fn a_client_that_breaks_the_rules_is_told_which() {
    let cases: &[(&str, &[&[u8]], bool, u64)] = &[
        ("no settings", &[&[0, 7, 1, 0]], false, 0x10a),
        (
            "data on the control stream",
            &[&[0, 4, 0, 0, 1, 9]],
            false,
            0x105,
        ),
        (
            "a head on the control stream",
            &[&[0, 4, 0, 1, 1, 9]],
            false,
            0x105,
        ),
        ("settings twice", &[&[0, 4, 0, 4, 0]], false, 0x105),
        ("a frame of HTTP/2", &[&[0, 4, 0, 6, 0]], false, 0x105),
        ("a setting of HTTP/2", &[&[0, 4, 2, 2, 1]], false, 0x109),
        (
            "the same setting twice",
            &[&[0, 4, 4, 6, 1, 6, 1]],
            false,
            0x109,
        ),
        ("two control streams", &[CONTROL, CONTROL], false, 0x103),
        ("two encoder streams", &[CONTROL, &[2], &[2]], false, 0x103),
        ("no control stream any more", &[CONTROL], true, 0x104),
        // 32 KiB, of which the first byte comes.
        (
            "a frame without end",
            &[&[0, 4, 0, 0x21, 0x80, 0, 0x80, 0, 9]],
            false,
            0x104,
        ),
    ];
    for (what, streams, finish, code) in cases {
        let (pair, mut requests) = raw(&Settings::default()).await;
        let mut open = Vec::new();
        for bytes in *streams {
            let mut stream = open_uni(&pair, bytes).await;
            if *finish {
                stream.finish();
            }
            open.push(stream);
        }
        assert_eq!(closed(&pair, &mut requests).await, *code, "{what}");
    }
    let cases: &[(&str, &[u8], u64)] = &[
        ("data before a head", b"\x00\x01x", 0x105),
        ("settings on a request", &[4, 0], 0x105),
        // The dynamic table has no room, so nobody may refer to it.
        (
            "a field of the dynamic table",
            b"\x01\x03\x02\x00\x80",
            0x200,
        ),
        (
            "no field of the static table",
            b"\x01\x04\x00\x00\xff\x7f",
            0x200,
        ),
        ("half a head", b"\x01\x13\x00\x00", 0x106),
    ];
    for (what, bytes, code) in cases {
        let (pair, mut requests) = raw(&Settings::default()).await;
        let (mut send, _recv) = open_bi(&pair, bytes).await;
        send.finish();
        assert_eq!(closed(&pair, &mut requests).await, *code, "{what}");
    }
}

#[tokio::test]
async fn a_malformed_request_ends_alone() {
    let (pair, mut requests) = raw(&Settings::default()).await;
    // A field name in upper case.
    let (_send, mut recv) = open_bi(
        &pair,
        b"\x01\x16\x00\x00\xd1\xd7\x50\x09localhost\x51\x02/x\x21A\x00",
    )
    .await;
    let (_other, answer) = open_bi(&pair, GET).await;
    let request = next(&mut requests).await;
    assert_eq!(request.head.uri().path(), "/x");
    assert_eq!(
        read_raw(&mut recv).await,
        Err(ReadError::Reset(Code::new(0x10e)))
    );
    drop((request, answer));
}

#[tokio::test]
async fn a_body_that_does_not_come_whole_is_an_error() {
    let (pair, mut requests) = raw(&Settings::default()).await;
    let begun = [POST, b"\x00\x05he"].concat();

    let (mut send, _recv) = open_bi(&pair, &begun).await;
    let mut reset = next(&mut requests).await;
    assert_eq!(reset.body.next().await.unwrap().unwrap(), "he");
    send.reset(Code::new(0x10c));
    let error = read(&mut reset.body).await.unwrap_err();
    assert_eq!(error, RequestError::Cancelled(Code::new(0x10c)));

    // Content-Length: 4, by its name in the static table.
    let head = b"\x01\x16\x00\x00\xd4\xd7\x50\x09localhost\x51\x02/x\x54\x014";
    for (body, whole) in [
        ("\x00\x04data", true),
        ("\x00\x03dat", false),
        ("\x00\x05data.", false),
    ] {
        let bytes = [head, body.as_bytes()].concat();
        let (mut send, _recv) = open_bi(&pair, &bytes).await;
        send.finish();
        let mut request = next(&mut requests).await;
        assert_eq!(request.body.left(), Some(4));
        assert_eq!(read(&mut request.body).await.is_ok(), whole, "{body:?}");
    }

    let (mut send, _recv) = open_bi(&pair, &begun).await;
    let mut cut = next(&mut requests).await;
    assert_eq!(cut.body.next().await.unwrap().unwrap(), "he");
    send.finish();
    let error = read(&mut cut.body).await.unwrap_err();
    assert!(matches!(error, RequestError::Malformed(_)), "{error:?}");
    assert_eq!(closed(&pair, &mut requests).await, 0x106);
}

#[tokio::test]
async fn a_slow_head_delays_nobody_and_gets_no_answer() {
    let settings = Settings::default().head_timeout(Duration::from_millis(50));
    let (pair, mut requests) = raw(&settings).await;
    let (_head, mut of_head) = open_bi(&pair, &GET[..9]).await;
    let (_first, mut of_first) = open_bi(&pair, &[0x40]).await;
    let (_send, _recv) = open_bi(&pair, GET).await;
    let request = next(&mut requests).await;
    let waiting = async {
        let head = read_raw(&mut of_head).await;
        assert_eq!(head, Err(ReadError::Reset(Code::new(0x10b))));
        let first = read_raw(&mut of_first).await;
        assert_eq!(first, Err(ReadError::Reset(Code::new(0x10d))));
    };
    tokio::select! {
        () = waiting => {}
        next = requests.next() => panic!("{next:?}"),
    }
    drop(request);
}

#[tokio::test]
async fn a_client_that_does_not_let_the_server_begin_is_closed() {
    let server = TransportConfig::server();
    // It needs three.
    let client = TransportConfig::client().max_remote_uni_streams(2);
    let pair = pair_with(&server, &client).await;
    let settings = Settings::default().head_timeout(Duration::from_millis(50));
    let accepted = soon("an end", Requests::accept(&pair.far, &settings)).await;
    assert_eq!(accepted.unwrap_err(), ConnectionError::TimedOut);
    let closed = soon("the close", pair.near.closed()).await;
    assert!(matches!(closed, ConnectionError::Closed { code, .. } if code.get() == 0x107));
}

/// Sends a request and returns both ends of its stream.
async fn begun(requests: &mut Requests, client: &Client) -> (Request, Exchange) {
    let (request, exchange) = tokio::join!(next(requests), client.request(get("/x")));
    (request, exchange.unwrap())
}

#[tokio::test]
async fn a_client_that_goes_is_noticed_and_a_reader_that_is_slow_holds_only_itself_back() {
    let (pair, mut requests, client) = served(&Settings::default()).await;
    let (gone, exchange) = begun(&mut requests, &client).await;
    let stopped = gone.responder.stopped();
    drop(exchange);
    let code = soon("a stop", stopped).await.unwrap();
    assert_eq!(code, Some(Code::new(0x10c)));

    let ok = || Response::new(());
    let (slow, slow_exchange) = begun(&mut requests, &client).await;
    let (fast, fast_exchange) = begun(&mut requests, &client).await;
    let mut slow = slow.responder.respond(ok()).await.unwrap();
    let mut fast = fast.responder.respond(ok()).await.unwrap();
    let (_, mut unread) = soon("a head", slow_exchange.answer()).await.unwrap();
    let (_, mut body) = soon("a head", fast_exchange.answer()).await.unwrap();
    let chunk = Bytes::from(vec![1; 64 << 10]);
    // The client's window is 1 MiB. What does not fit there is not taken.
    let slow = tokio::spawn(async move {
        for _ in 0..64 {
            slow.send([chunk.clone()]).await?;
        }
        slow.finish().await
    });
    for _ in 0..100 {
        fast.send([Bytes::from_static(b"event")]).await.unwrap();
        assert_eq!(
            soon("an event", body.next()).await.unwrap().unwrap(),
            "event"
        );
    }
    assert!(!slow.is_finished());
    assert_eq!(read(&mut unread).await.unwrap().len(), 64 * (64 << 10));
    soon("its end", slow).await.unwrap().unwrap();
    drop(pair);
}

#[tokio::test]
async fn a_body_that_is_dropped_is_reset_and_a_body_that_is_not_read_is_stopped() {
    let (pair, mut requests) = raw(&Settings::default()).await;
    let (send, mut recv) = open_bi(&pair, POST).await;
    let Request {
        body, responder, ..
    } = next(&mut requests).await;
    let answer = responder.respond(Response::new(())).await.unwrap();
    drop(answer);
    let error = read_raw(&mut recv).await.unwrap_err();
    assert_eq!(error, ReadError::Reset(Code::new(0x102)));
    drop(body);
    let stopped = soon("a stop", send.stopped()).await.unwrap();
    assert_eq!(stopped, Some(Code::new(0x100)));
}

#[tokio::test]
async fn a_server_that_goes_away_answers_what_it_has() {
    let (_pair, mut requests, client) = served(&Settings::default()).await;
    let (request, exchange) = begun(&mut requests, &client).await;
    requests.go_away().await.unwrap();
    let late = async {
        // Until the client knows, its requests are refused; then it makes none.
        loop {
            match client.request(get("/late")).await {
                Ok(exchange) => assert!(exchange.answer().await.is_err()),
                Err(error) => break error,
            }
        }
    };
    let late = async {
        tokio::select! {
            late = late => late,
            next = requests.next() => panic!("{next:?}"),
        }
    };
    soon("no further request", late).await;
    let answer = request.responder.refuse(StatusCode::OK, "done");
    let (answered, answer) = tokio::join!(answer, exchange.answer());
    answered.unwrap();
    assert_eq!(read(&mut answer.unwrap().1).await.unwrap(), b"done");
}

fn connect() -> Head<()> {
    Head::get("https://localhost/qsse/1").body(()).unwrap()
}

#[tokio::test]
async fn a_connection_has_one_session_if_sessions_are_allowed() {
    let settings = Settings::default().web_transport(true);
    let (_pair, mut requests, client) = served(&settings).await;
    let (incoming, first) = tokio::join!(requests.next(), client.session(connect()));
    let Incoming::WebTransport(session) = incoming.unwrap().unwrap() else {
        panic!("no session");
    };
    assert_eq!(session.request.head.uri().path(), "/qsse/1");
    let second = async {
        let exchange = client.session(connect()).await.unwrap();
        exchange.answer().await.unwrap().0.status()
    };
    tokio::select! {
        status = second => assert_eq!(status, StatusCode::TOO_MANY_REQUESTS),
        next = requests.next() => panic!("{next:?}"),
    }
    drop((session, first));

    let (_pair, mut requests, client) = served(&Settings::default()).await;
    let (request, _exchange) = tokio::join!(next(&mut requests), client.session(connect()));
    assert_eq!(request.head.method(), Method::CONNECT);
}

#[tokio::test]
async fn streams_of_no_session_wait_within_a_limit() {
    let settings = Settings::default().web_transport(true);
    let (pair, mut requests) = raw(&settings).await;
    let mut early = Vec::new();
    for _ in 0..9 {
        early.push(open_uni(&pair, &[0x40, 0x54, 0]).await);
        // In this order.
        let _ = tokio::time::timeout(Duration::from_millis(5), requests.next()).await;
    }
    let ninth = early.pop().unwrap();
    tokio::select! {
        stopped = soon("a stop", ninth.stopped()) => {
            assert_eq!(stopped.unwrap(), Some(Code::new(0x3994_bd84)));
        }
        next = requests.next() => panic!("{next:?}"),
    }
    // No request has this number.
    let _wrong = open_uni(&pair, &[0x40, 0x54, 3]).await;
    assert_eq!(closed(&pair, &mut requests).await, 0x108);
}
