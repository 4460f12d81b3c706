//! Sequences of frames to a server of this process.
//!
//! The bytes choose what a client does: frames in any order, valid and not, in both protocols. The
//! oracle knows which tokens the client has presented, and so what it may see.

use bytes::Bytes;
use qsse_proto::Code;
use qsse_proto::go::{EventLine, LineDecoder, Offer};
use qsse_proto::stream::{Decoder, Item};
use qsse_testing::fixtures;
use qsse_transport::tls::ClientTls;
use qsse_transport::{Connection, RecvStream, TransportConfig};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use crate::input::Input;
use crate::oracle;

mod client;
mod world;

use world::{GRANTS, QUIET, STEP, World};

/// Plays what the bytes say, and checks every event that comes.
pub(super) fn run(data: &[u8]) {
    let world = world::get();
    world.runtime.block_on(play(world, data));
}

async fn play(world: &World, data: &[u8]) {
    let mut input = Input::new(data);
    let is_go = input.byte() % 4 == 3;
    let alpn = match is_go {
        true => qsse_proto::GO_ALPN,
        false => qsse_proto::ALPN,
    };
    let trust: ClientTls = fixtures::client_tls().with_alpn([alpn]);
    let config = TransportConfig::client();
    let (address, name) = (world.server.local_addr(), fixtures::SERVER_NAME);
    let connected = world.endpoint.connect(address, name, &trust, &config).await;
    // A server with too many closed connections may refuse one.
    let Ok(connection) = connected else { return };
    let (seen, mut events) = unbounded_channel();
    let reading = tokio::spawn(read(connection.clone(), is_go, seen));
    let presented = match is_go {
        true => offer(&connection, &mut input).await,
        false => client::play(world, &connection, &mut input).await,
    };
    world.publish();
    check(&mut events, &presented).await;
    connection.close(Code::NO_ERROR, "");
    let read = reading
        .await
        .expect("reading a server's streams does not panic");
    assert!(read, "the server writes what cannot be decoded");
    check(&mut events, &presented).await;
}

/// Checks the events that come until it is quiet.
async fn check(events: &mut UnboundedReceiver<String>, presented: &[String]) {
    while let Ok(Some(topic)) = timeout(QUIET, events.recv()).await {
        let mut granted = GRANTS
            .iter()
            .filter(|(token, _)| presented.iter().any(|presented| presented == token));
        let may_see = granted.any(|(_, pattern)| oracle::matches(pattern, &topic));
        assert!(
            may_see,
            "{topic} went to a client that presented {presented:?}"
        );
    }
}

/// Opens a stream and sends an offer, or other bytes. Returns the token in it.
async fn offer(connection: &Connection, input: &mut Input<'_>) -> Vec<String> {
    let line = match input.byte() % 4 {
        0 => input.bytes().to_vec(),
        _ => {
            let token = input.pick(&["", GRANTS[0].0, GRANTS[1].0, "wrong"]);
            let topics = ["a.x", "a.*", "b", "*", "secret.x", "$a", "a..b"];
            let topics = [input.pick(&topics), input.pick(&topics)];
            Offer::new(token, topics).to_line()
        }
    };
    let presented = Offer::parse(&line).map(|offer| offer.token().to_owned());
    if let Ok(Ok(mut stream)) = timeout(STEP, connection.open_uni()).await {
        let _ = timeout(STEP, stream.write_all(&mut [Bytes::from(line)])).await;
        stream.finish();
    }
    tokio::time::sleep(QUIET).await;
    presented.into_iter().collect()
}

/// Reads all streams until the connection ends, and sends the topics of their events. Returns
/// whether everything could be decoded.
async fn read(connection: Connection, is_go: bool, seen: UnboundedSender<String>) -> bool {
    let mut streams = tokio::task::JoinSet::new();
    while let Ok(stream) = connection.accept_uni().await {
        let seen = seen.clone();
        streams.spawn(async move {
            match is_go {
                true => read_lines(stream, &seen).await,
                false => read_events(stream, &seen).await,
            }
        });
    }
    streams.join_all().await.into_iter().all(|read| read)
}

async fn read_events(mut stream: RecvStream, seen: &UnboundedSender<String>) -> bool {
    let mut decoder = Decoder::new(qsse_proto::limits::EVENT_BYTES);
    while let Ok(Some(chunk)) = stream.read_chunk().await {
        decoder.push(chunk);
        loop {
            match decoder.next() {
                Ok(Some(Item::Event(event))) => drop(seen.send(event.topic().to_string())),
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return false,
            }
        }
    }
    true
}

async fn read_lines(mut stream: RecvStream, seen: &UnboundedSender<String>) -> bool {
    let mut decoder = LineDecoder::new(1 << 20);
    while let Ok(Some(chunk)) = stream.read_chunk().await {
        decoder.push(chunk);
        loop {
            let line = match decoder.next() {
                Ok(Some(line)) => line,
                Ok(None) => break,
                Err(_) => return false,
            };
            let Ok(event) = EventLine::parse(&line) else {
                return false;
            };
            if event.as_error().is_none() {
                let _ = seen.send(event.topic().to_owned());
            }
        }
    }
    true
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    // Each begins with the protocol, then a step and its choices.
    let mut all = client::seeds();
    all.push(vec![3, 1, 1, 0, 1]);
    all.push(vec![3, 1, 2, 2, 3]);
    all.push(vec![3, 1, 0, 3, 4]);
    let line = br#"{"token":"reader-of-b-9Rx1dK2wUrNZ6n3s","topics":["b","a.x"]}"#;
    all.push([&[3, 0, line.len() as u8][..], line].concat());
    all
}
