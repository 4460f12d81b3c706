//! Streams: what is written arrives whole and in order, ends are told from breaks, and nothing is
//! lost by cancelling.
#![cfg(feature = "self-signed")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::VecDeque;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use qsse_proto::Code;
use qsse_transport::{
    ClientEndpoint, ConnectionError, FrameError, FrameReader, FrameWriter, ReadError, RecvStream,
    SendStream, ServerEndpoint, TransportConfig, WriteError,
};
use support::{Pair, loopback, pair, pair_with, soon};

mod support;

/// A stream from the server's end to the client's, made visible by a first byte.
async fn uni(pair: &Pair) -> (SendStream, RecvStream) {
    let mut send = soon("credit", pair.far.open_uni()).await.unwrap();
    send.write_all(&mut [Bytes::from_static(b"!")])
        .await
        .unwrap();
    let mut recv = soon("the stream", pair.near.accept_uni()).await.unwrap();
    assert_eq!(read(&mut recv).await.unwrap().unwrap(), "!");
    (send, recv)
}

async fn read(recv: &mut RecvStream) -> Result<Option<Bytes>, ReadError> {
    soon("a chunk", recv.read_chunk()).await
}

async fn read_to_end(recv: &mut RecvStream) -> Vec<u8> {
    let mut all = Vec::new();
    let mut chunks = [const { Bytes::new() }; 4];
    while let Some(count) = soon("chunks", recv.read_chunks(&mut chunks)).await.unwrap() {
        assert!((1..=4).contains(&count));
        chunks[..count]
            .iter()
            .for_each(|chunk| all.extend_from_slice(chunk));
    }
    all
}

#[tokio::test]
async fn both_sides_open_streams_of_both_kinds() {
    let pair = pair_with(
        &TransportConfig::server(),
        &TransportConfig::client().max_remote_bidi_streams(1),
    )
    .await;
    for (opener, other) in [(&pair.near, &pair.far), (&pair.far, &pair.near)] {
        let (mut send, mut back) = soon("a stream", opener.open_bi()).await.unwrap();
        send.write_all(&mut ["ping".into()]).await.unwrap();
        send.finish();
        let (mut answer, mut recv) = soon("it", other.accept_bi()).await.unwrap();
        assert_eq!(read_to_end(&mut recv).await, b"ping");
        answer
            .write_all(&mut ["po".into(), Bytes::new(), "ng".into()])
            .await
            .unwrap();
        answer.finish();
        assert_eq!(read_to_end(&mut back).await, b"pong");

        let mut send = soon("a stream", opener.open_uni()).await.unwrap();
        send.write_all(&mut ["one way".into()]).await.unwrap();
        send.finish();
        let mut recv = soon("it", other.accept_uni()).await.unwrap();
        assert_eq!(read_to_end(&mut recv).await, b"one way");
    }
}

#[tokio::test]
async fn a_finished_stream_is_delivered_even_when_dropped() {
    let pair = pair().await;
    let (mut send, mut recv) = uni(&pair).await;
    send.write_all(&mut ["all of it".into()]).await.unwrap();
    send.finish();
    send.finish();
    assert_eq!(
        send.write_all(&mut ["more".into()]).await,
        Err(WriteError::Finished)
    );
    drop(send);
    assert_eq!(read_to_end(&mut recv).await, b"all of it");
}

#[tokio::test]
async fn reset_and_stop_codes_arrive() {
    let pair = pair().await;
    let (mut send, mut recv) = uni(&pair).await;
    send.reset(Code::LAGGED);
    assert_eq!(read(&mut recv).await, Err(ReadError::Reset(Code::LAGGED)));

    let (mut send, mut recv) = uni(&pair).await;
    let stopped = send.stopped();
    recv.stop(Code::UNSUBSCRIBED);
    assert_eq!(
        soon("the stop", stopped).await,
        Ok(Some(Code::UNSUBSCRIBED))
    );
    assert_eq!(
        soon("a write", send.write_all(&mut ["x".into()])).await,
        Err(WriteError::Stopped(Code::UNSUBSCRIBED))
    );
    assert_eq!(read(&mut recv).await, Ok(None));

    let (mut send, mut recv) = uni(&pair).await;
    send.finish();
    assert_eq!(read(&mut recv).await, Ok(None));
    assert_eq!(soon("its receipt", send.stopped()).await, Ok(None));

    // A code that none of us has named.
    let (mut send, mut recv) = uni(&pair).await;
    send.reset(Code::new(1 << 40));
    assert_eq!(
        read(&mut recv).await,
        Err(ReadError::Reset(Code::new(1 << 40)))
    );
}

#[tokio::test]
async fn an_unfinished_stream_dropped_is_reset_and_an_unread_one_stopped() {
    let pair = pair().await;
    let (send, mut recv) = uni(&pair).await;
    drop(send);
    assert_eq!(read(&mut recv).await, Err(ReadError::Reset(Code::UNKNOWN)));

    let (send, recv) = uni(&pair).await;
    drop(recv);
    assert_eq!(
        soon("the stop", send.stopped()).await,
        Ok(Some(Code::NO_ERROR))
    );
}

#[tokio::test]
async fn the_end_of_the_connection_ends_its_streams() {
    let pair = pair().await;
    let (mut send, mut recv) = uni(&pair).await;
    pair.near.close(Code::BUSY, "enough");
    assert_eq!(
        read(&mut recv).await,
        Err(ReadError::Connection(ConnectionError::LocallyClosed))
    );
    let closed = ConnectionError::Closed {
        code: Code::BUSY,
        reason: "enough".into(),
    };
    assert_eq!(soon("the end", send.stopped()).await, Err(closed.clone()));
    let write = send.write_all(&mut ["x".into()]).await;
    assert_eq!(write, Err(WriteError::Connection(closed.clone())));
    assert_eq!(pair.far.open_uni().await.unwrap_err(), closed);
}

#[tokio::test]
async fn a_peer_that_died_costs_no_more_than_the_send_window() {
    const WINDOW: usize = 64 * 1024;
    let (server_tls, client_tls) = support::tls();
    let config = TransportConfig::server().send_window(WINDOW as u64);
    let server = ServerEndpoint::bind(loopback(), &server_tls, &config).unwrap();
    let address = server.local_addr();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let client = runtime.spawn(async move {
        let client = ClientEndpoint::bind(loopback()).unwrap();
        let config = TransportConfig::client();
        let connecting = client.connect(address, "localhost", &client_tls, &config);
        connecting.await.unwrap()
    });
    let far = soon("the client", server.accept()).await.unwrap();
    let far = soon("its handshake", far.complete()).await.unwrap();
    let near = soon("its view", client).await.unwrap();
    // Once this is done, nobody acknowledges anything.
    let ending = tokio::task::spawn_blocking(move || drop(runtime));
    soon("its end", ending).await.unwrap();

    let mut send = soon("credit", far.open_uni()).await.unwrap();
    let mut queue: VecDeque<Bytes> = (0..100).map(|i| vec![i; 5_000].into()).collect();
    let taken = write_until_full(&mut send, &mut queue).await;
    assert!((WINDOW / 2..=WINDOW).contains(&taken), "{taken}");
    drop(near);
}

/// Writes until nothing fits any more and gives up.
async fn write_until_full(send: &mut SendStream, queue: &mut VecDeque<Bytes>) -> usize {
    let mut taken = 0;
    while !queue.is_empty()
        && let Ok(result) =
            tokio::time::timeout(Duration::from_millis(200), send.write_queue(queue)).await
    {
        taken += result.unwrap();
    }
    taken
}

#[tokio::test]
async fn giving_up_a_write_to_a_stalled_reader_loses_nothing() {
    const WINDOW: usize = 8 * 1024;
    let client = TransportConfig::client().stream_receive_window(WINDOW as u64);
    let pair = pair_with(&TransportConfig::server(), &client).await;
    let (mut send, mut recv) = uni(&pair).await;

    let expected: Vec<u8> = (0..1_000_000_u32).map(|i| (i / 1000) as u8).collect();
    let mut queue: VecDeque<Bytes> = expected
        .chunks(10_000)
        .map(Bytes::copy_from_slice)
        .collect();
    let taken = write_until_full(&mut send, &mut queue).await;
    assert!((WINDOW / 2..=WINDOW).contains(&taken), "{taken}");
    assert_eq!(
        queue.iter().map(Bytes::len).sum::<usize>(),
        expected.len() - taken
    );

    let writing = async {
        while !queue.is_empty() {
            send.write_queue(&mut queue).await.unwrap();
        }
        send.finish();
    };
    let ((), read) = soon("the rest", async {
        tokio::join!(writing, read_to_end(&mut recv))
    })
    .await;
    assert!(read == expected);
}

#[tokio::test]
async fn an_empty_write_completes_at_once() {
    let pair = pair().await;
    let (mut send, _recv) = uni(&pair).await;
    assert_eq!(
        soon("nothing", send.write_queue(&mut VecDeque::new())).await,
        Ok(0)
    );
    let written = soon(
        "nothing",
        send.write_chunks(&mut [Bytes::new(), Bytes::new()]),
    )
    .await;
    assert_eq!(written.unwrap().chunks, 2);
}

#[tokio::test]
async fn urgent_streams_go_first() {
    const BYTES: usize = 300_000;
    let server = TransportConfig::server().send_window(1 << 20);
    let pair = pair_with(&server, &TransportConfig::client()).await;
    let (mut bulk, mut bulk_recv) = uni(&pair).await;
    let (mut urgent, mut urgent_recv) = uni(&pair).await;
    urgent.set_priority(1);
    bulk.write_all(&mut [vec![0; BYTES].into()]).await.unwrap();
    urgent
        .write_all(&mut [vec![0; BYTES].into()])
        .await
        .unwrap();
    urgent.finish();

    let mut ahead = 0;
    let ended = async {
        let urgent = async { while urgent_recv.read_chunk().await.unwrap().is_some() {} };
        let bulk = async {
            while let Some(chunk) = bulk_recv.read_chunk().await.unwrap() {
                ahead += chunk.len();
            }
        };
        // The urgent one is looked at first: both may have come since this task last ran.
        tokio::select! {
            biased;
            () = urgent => {}
            () = bulk => panic!("the other one never ends"),
        }
    };
    soon("the urgent stream", ended).await;
    assert!(
        ahead < BYTES / 4,
        "{ahead} bytes of the other one came before its end"
    );
}

#[tokio::test]
async fn the_peer_opens_no_more_streams_than_allowed_until_it_may() {
    let client = TransportConfig::client().max_remote_uni_streams(1);
    let pair = pair_with(&TransportConfig::server(), &client).await;
    let (_send, _recv) = uni(&pair).await;
    let second = tokio::time::timeout(Duration::from_millis(100), pair.far.open_uni()).await;
    assert!(second.is_err(), "a second stream was opened");
    pair.near.set_max_remote_uni_streams(2);
    soon("credit", pair.far.open_uni()).await.unwrap();

    // A server's default: four streams in both directions.
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(soon("credit", pair.near.open_bi()).await.unwrap());
    }
    let fifth = tokio::time::timeout(Duration::from_millis(100), pair.near.open_bi()).await;
    assert!(fifth.is_err(), "a fifth stream was opened");
    pair.far.set_max_remote_bidi_streams(5);
    soon("credit", pair.near.open_bi()).await.unwrap();
}

/// Polls `future` once and drops it, finished or not.
async fn polled_once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// A kind below those that readers skip when they do not know them.
fn kind(i: usize) -> u8 {
    (i % 0x80) as u8
}

/// The frame `kind | body` with its length in front.
fn encode(kind: u8, body: &[u8]) -> Bytes {
    let length = (body.len() as u32 + 1).to_le_bytes();
    [&length[..], &[kind], body].concat().into()
}

#[tokio::test]
async fn frames_survive_a_drip_and_a_reader_that_cancels_at_every_wait() {
    const FRAMES: usize = 200;
    let pair = pair().await;
    let (mut send, recv) = uni(&pair).await;
    let body = |i: usize| vec![i as u8; i % 50];
    let dripping = async {
        for i in 0..FRAMES {
            for byte in encode(kind(i), &body(i)) {
                send.write_all(&mut [vec![byte].into()]).await.unwrap();
                tokio::task::yield_now().await;
            }
        }
        send.finish();
    };
    let mut reader = FrameReader::new(recv, 64);
    let (mut frames, mut cancelled) = (Vec::new(), 0);
    let reading = async {
        loop {
            match polled_once(reader.next()).await {
                Some(Ok(Some(frame))) => frames.push(frame),
                Some(Ok(None)) => break,
                Some(Err(error)) => panic!("{error}"),
                None => {
                    cancelled += 1;
                    tokio::task::yield_now().await;
                }
            }
        }
    };
    soon("all frames", async { tokio::join!(dripping, reading) }).await;
    assert!(cancelled > 100, "cancelled only {cancelled} times");
    assert_eq!(frames.len(), FRAMES);
    for (i, frame) in frames.into_iter().enumerate() {
        assert_eq!((frame.kind, &frame.body[..]), (kind(i), &body(i)[..]));
    }
}

#[tokio::test]
async fn frames_stay_whole_when_their_sending_is_cancelled() {
    const FRAMES: usize = 100;
    let client = TransportConfig::client().stream_receive_window(1500);
    let pair = pair_with(&TransportConfig::server().send_window(3000), &client).await;
    let (send, recv) = uni(&pair).await;
    let body = |i: usize| vec![i as u8; 1000];

    let mut writer = FrameWriter::new(send);
    let mut cancelled = 0;
    let writing = async {
        for i in 0..FRAMES {
            let sending = writer.send(encode(kind(i), &body(i)));
            match polled_once(sending).await {
                Some(sent) => sent.unwrap(),
                None => cancelled += 1,
            }
            tokio::task::yield_now().await;
        }
        writer.flush().await.unwrap();
        assert_eq!(writer.queued(), 0);
        writer.finish();
    };
    let mut reader = FrameReader::new(recv, 2000);
    let mut next = 0;
    let reading = async {
        while let Some(frame) = reader.next().await.unwrap() {
            assert_eq!((frame.kind, &frame.body[..]), (kind(next), &body(next)[..]));
            next += 1;
        }
    };
    soon("all frames", async { tokio::join!(writing, reading) }).await;
    assert_eq!(next, FRAMES);
    assert!(cancelled > 10, "cancelled only {cancelled} times");
}

#[tokio::test]
async fn a_frame_over_the_limit_a_torn_one_and_a_reset_are_told_apart() {
    let pair = pair().await;
    let (mut send, recv) = uni(&pair).await;
    send.write_all(&mut [encode(1, &[0; 10]), encode(1, &[0; 100])])
        .await
        .unwrap();
    let mut reader = FrameReader::new(recv, 50);
    assert!(soon("a frame", reader.next()).await.unwrap().is_some());
    let error = soon("the limit", reader.next()).await.unwrap_err();
    assert!(matches!(error, FrameError::Decode(_)), "{error:?}");
    assert_eq!(error.code(), Some(Code::FRAME_TOO_LARGE));

    let (mut send, recv) = uni(&pair).await;
    send.write_all(&mut [encode(1, &[0; 10]).slice(..7)])
        .await
        .unwrap();
    send.finish();
    let error = soon("the end", FrameReader::new(recv, 50).next())
        .await
        .unwrap_err();
    assert_eq!(error, FrameError::Truncated);
    assert_eq!(error.code(), Some(Code::PROTOCOL_VIOLATION));

    let (send, recv) = uni(&pair).await;
    let mut writer = FrameWriter::new(send);
    writer.queue(encode(1, b"never sent"));
    writer.reset(Code::BUSY);
    let error = soon("the reset", FrameReader::new(recv, 50).next())
        .await
        .unwrap_err();
    assert_eq!(error, FrameError::Read(ReadError::Reset(Code::BUSY)));
    assert_eq!(error.code(), None);
}

#[tokio::test]
async fn a_large_limit_is_raised_while_reading() {
    let pair = pair().await;
    let (mut send, recv) = uni(&pair).await;
    let big = encode(2, &vec![7; 300_000]);
    let mut reader = FrameReader::new(recv, 16);
    reader.set_max_len(1 << 20);
    let (written, frame) = soon("a big frame", async {
        tokio::join!(async { send.write_all(&mut [big]).await }, reader.next())
    })
    .await;
    written.unwrap();
    assert_eq!(frame.unwrap().unwrap().body.len(), 300_000);
}
