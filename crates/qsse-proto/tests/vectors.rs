//! The vectors of docs/protocol.md, read from that document, in both directions.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use bytes::{Bytes, BytesMut};
use qsse_proto::batch::{Batch, Builder};
use qsse_proto::control::{ClientFrame, ServerFrame};
use qsse_proto::publish::{AckFrame, KeyScope, PublisherFrame, Retry};
use qsse_proto::stream::{self, Item};
use qsse_proto::{Code, DecodeError, Event, Frame, frame, limits};
use std::collections::BTreeSet;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol.md");

/// One fenced block.
#[derive(Debug, Default)]
struct Vector {
    name: String,
    stream: String,
    oneway: bool,
    bytes: Vec<u8>,
    /// The lines with `=` and `!`.
    meaning: Vec<String>,
}

fn vectors() -> Vec<Vector> {
    let text = std::fs::read_to_string(DOCUMENT).expect("docs/protocol.md is there");
    let mut vectors = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(info) = line.strip_prefix("```vector ") {
            vectors.push(vector(info, &mut lines));
        }
    }
    vectors
}

fn vector<'a>(info: &str, lines: &mut impl Iterator<Item = &'a str>) -> Vector {
    let mut vector = Vector::default();
    for word in info.split(' ') {
        match word.split_once('=') {
            Some(("name", name)) => vector.name = name.into(),
            Some(("stream", stream)) => vector.stream = stream.into(),
            None if word == "oneway" => vector.oneway = true,
            _ => panic!("unknown mark {word:?}"),
        }
    }
    for line in lines.take_while(|&line| line != "```") {
        if line.starts_with(['=', '!']) {
            vector.meaning.push(line.into());
            continue;
        }
        assert!(
            vector.meaning.is_empty(),
            "{}: bytes come first",
            vector.name
        );
        let hex = line.split('|').next().unwrap();
        for byte in hex.split_whitespace() {
            assert_eq!(byte.len(), 2, "{}: {line:?}", vector.name);
            vector.bytes.push(u8::from_str_radix(byte, 16).unwrap());
        }
    }
    assert!(!vector.meaning.is_empty(), "{} means nothing", vector.name);
    vector
}

/// What the bytes mean, in the document's words, and how they are written again.
fn read(vector: &Vector, piece: usize) -> (Vec<String>, Vec<u8>) {
    let mut meaning = Vec::new();
    let mut written = BytesMut::new();
    let result = match vector.stream.as_str() {
        "events" => read_events(vector, piece, &mut meaning, &mut written),
        _ => read_frames(vector, piece, &mut meaning, &mut written),
    };
    if let Err(error) = result {
        meaning.push(format!("! {}", error.code()));
    }
    (meaning, written.to_vec())
}

fn read_frames(
    vector: &Vector,
    piece: usize,
    meaning: &mut Vec<String>,
    written: &mut BytesMut,
) -> Result<(), DecodeError> {
    let mut decoder = frame::Decoder::new(match vector.stream.as_str() {
        "publisher" => limits::event_frame_bytes(limits::EVENT_BYTES),
        _ => limits::CONTROL_FRAME_BYTES,
    });
    for chunk in vector.bytes.chunks(piece) {
        decoder.push(Bytes::copy_from_slice(chunk));
        while let Some(frame) = decoder.next()? {
            let (text, bytes) = read_frame(&vector.stream, frame)?;
            meaning.push(format!("= {text}"));
            written.extend_from_slice(&bytes);
        }
    }
    assert!(decoder.is_empty(), "{} ends inside a frame", vector.name);
    Ok(())
}

fn read_frame(stream: &str, frame: Frame) -> Result<(String, Bytes), DecodeError> {
    Ok(match stream {
        "client" => {
            let frame = ClientFrame::decode(frame)?;
            (describe_client(&frame), frame.encode())
        }
        "server" => {
            let frame = ServerFrame::decode(frame)?;
            (describe_server(&frame), frame.encode())
        }
        "publisher" => {
            let frame = PublisherFrame::decode(frame)?;
            (describe_publisher(&frame), frame.encode())
        }
        "answers" => {
            let frame = AckFrame::decode(frame)?;
            (describe_answer(&frame), frame.encode())
        }
        stream => panic!("unknown stream {stream:?}"),
    })
}

fn read_events(
    vector: &Vector,
    piece: usize,
    meaning: &mut Vec<String>,
    written: &mut BytesMut,
) -> Result<(), DecodeError> {
    let mut decoder = stream::Decoder::new(limits::EVENT_BYTES);
    let mut builder = Builder::new();
    for chunk in vector.bytes.chunks(piece) {
        decoder.push(Bytes::copy_from_slice(chunk));
        while let Some(item) = decoder.next()? {
            if !matches!(item, Item::Event(_)) && !builder.is_empty() {
                written.extend_from_slice(builder.finish().bytes());
            }
            match &item {
                Item::Header(header) => written.extend_from_slice(&header.encode()),
                Item::Gap(gap) => written.extend_from_slice(&gap.encode()),
                Item::Heartbeat(id) => {
                    let position = id.seq();
                    written.extend_from_slice(&stream::Heartbeat { position }.encode());
                }
                Item::Epoch(epoch) => {
                    written.extend_from_slice(&stream::EpochChange { epoch: *epoch }.encode());
                }
                Item::Event(event) => push(&mut builder, event),
                item => panic!("{item:?}"),
            }
            meaning.push(format!("= {}", describe_item(&item)));
        }
    }
    assert!(decoder.is_empty(), "{} ends inside a frame", vector.name);
    if !builder.is_empty() {
        let batch = builder.finish();
        written.extend_from_slice(batch.bytes());
        assert_eq!(Batch::decode(batch.bytes().clone()), Ok(batch));
    }
    Ok(())
}

fn push(builder: &mut Builder, event: &Event) {
    let (seq, time) = (event.id().seq(), event.time());
    let (topic, kind) = (event.topic().as_str(), event.kind().as_str());
    builder.push(seq, time, topic, kind, event.data());
}

fn describe_client(frame: &ClientFrame) -> String {
    match frame {
        ClientFrame::Hello(hello) => format!(
            "Hello features {} agent {:?} {}",
            hello.features,
            hello.agent,
            optional("token", hello.token.as_ref().map(|token| token.expose()))
        ),
        ClientFrame::Subscribe(ask) => {
            let start = match ask.start {
                qsse_proto::control::Start::After(id) => format!("After({id})"),
                qsse_proto::control::Start::Since(time) => format!("Since({time})"),
                start => format!("{start:?}"),
            };
            format!(
                "Subscribe id {} patterns {:?} start {start} on_lag {:?}",
                ask.id, ask.patterns, ask.on_lag
            )
        }
        ClientFrame::Unsubscribe(end) => format!("Unsubscribe id {}", end.id),
        ClientFrame::RefreshToken(new) => format!("RefreshToken token {:?}", new.token.expose()),
        frame => panic!("{frame:?}"),
    }
}

fn describe_server(frame: &ServerFrame) -> String {
    match frame {
        ServerFrame::Welcome(welcome) => format!(
            "Welcome features {} agent {:?} epoch {} max_event_bytes {} max_subscriptions {} \
             heartbeat_ms {} idle_timeout_ms {} dedup_window_ms {} dedup_keys {} \
             identity {} publisher_window_ms {} publishers {}",
            welcome.features,
            welcome.agent,
            welcome.epoch,
            welcome.max_event_bytes,
            welcome.max_subscriptions,
            welcome.heartbeat_ms,
            welcome.idle_timeout_ms,
            welcome.dedup_window_ms,
            welcome.dedup_keys,
            welcome.identity,
            welcome.publisher_window_ms,
            welcome.publishers
        ),
        ServerFrame::Subscribed(done) => {
            format!("Subscribed id {} position {}", done.id, done.position)
        }
        ServerFrame::Refused(refused) => format!(
            "Refused id {} {} message {:?} {}",
            refused.id,
            describe_code(refused.code),
            refused.message,
            optional("subject", refused.subject.as_ref())
        ),
        ServerFrame::Goodbye(bye) => format!(
            "Goodbye {} message {:?} {} {}",
            describe_code(bye.code),
            bye.message,
            optional("retry_after_ms", bye.retry_after_ms),
            optional("address", bye.address.as_ref())
        ),
        ServerFrame::TokenAccepted(accepted) => format!(
            "TokenAccepted {}",
            optional("expires_in_ms", accepted.expires_in_ms)
        ),
        frame => panic!("{frame:?}"),
    }
}

fn describe_item(item: &Item) -> String {
    match item {
        Item::Header(header) => format!(
            "Header id {} epoch {} position {} outcome {:?}",
            header.id, header.epoch, header.position, header.outcome
        ),
        Item::Event(event) => format!(
            "Event {} {:?} {:?} {} {}",
            event.id(),
            event.topic().as_str(),
            event.kind().as_str(),
            event.time(),
            describe_data(event.data())
        ),
        Item::Gap(gap) => format!(
            "Gap after {} to {} at_most {} reason {}",
            gap.after, gap.to, gap.at_most, gap.reason
        ),
        Item::Heartbeat(position) => format!("Heartbeat {position}"),
        Item::Epoch(epoch) => format!("Epoch {epoch}"),
        item => panic!("{item:?}"),
    }
}

fn describe_publisher(frame: &PublisherFrame) -> String {
    match frame {
        PublisherFrame::OpenPublisher(open) => {
            let scope = match &open.scope {
                KeyScope::Named { id, name } => {
                    format!("named {name:?} id {}", describe_data(id.as_bytes()))
                }
                KeyScope::Own { id } => format!("own id {}", describe_data(id.as_bytes())),
                KeyScope::Numbered { id, first, tried } => {
                    let tried = tried.map_or_else(String::new, |tried| {
                        let (through, epoch, ago) = (tried.through, tried.epoch, tried.ago_ms);
                        format!(" tried through {through} for {epoch} {ago} ms ago")
                    });
                    let id = describe_data(id.as_bytes());
                    format!("numbered id {id} first {first}{tried}")
                }
            };
            format!("OpenPublisher ordered {} {scope}", open.ordered)
        }
        PublisherFrame::Publish(publish) => {
            let what = if publish.is_matching() {
                "matching"
            } else {
                "topic"
            };
            let mut text = format!(
                "Publish {what} {:?} kind {:?} ",
                publish.topic(),
                publish.kind()
            );
            if let Some(key) = publish.key() {
                text += &format!("key {} ", describe_data(key.as_bytes()));
            }
            if let Some(Retry { epoch, ago_ms }) = publish.retry() {
                text += &format!("retry of {epoch} after {ago_ms} ms ");
            }
            text + "data " + &describe_data(publish.data())
        }
        frame => panic!("{frame:?}"),
    }
}

fn describe_answer(frame: &AckFrame) -> String {
    match frame {
        AckFrame::Acknowledged(ack) => {
            format!(
                "Acknowledged through {} first {} last {}",
                ack.through, ack.first, ack.last
            )
        }
        AckFrame::PublishRefused(refused) => format!(
            "PublishRefused number {} {} message {:?}",
            refused.number,
            describe_code(refused.code),
            refused.message
        ),
        AckFrame::AcknowledgedEpoch(of) => format!("AcknowledgedEpoch {}", of.epoch),
        frame => panic!("{frame:?}"),
    }
}

fn describe_code(code: Code) -> String {
    format!("code {} {:?}", code.get(), code.to_string())
}

fn describe_data(data: &[u8]) -> String {
    match data {
        [] => "-".into(),
        data => data.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

fn optional(name: &str, value: Option<impl std::fmt::Debug>) -> String {
    match value {
        Some(value) => format!("{name} {value:?}"),
        None => format!("no {name}"),
    }
}

// QP-2.1, QP-2.3, QP-2.4, QP-2.9, QP-2.10, QP-3.1, QP-3.2, QP-3.4, QP-3.5, QP-6.1, QP-6.3, QP-6.4,
// QP-6.5, QP-6.7, QP-7.1, QP-7.4, QP-7.5, QP-8.2, QP-8.11, QP-8.12
#[test]
fn every_vector_is_read_as_the_document_says() {
    let vectors = vectors();
    for vector in &vectors {
        // QP-3.3: in one piece and in the smallest.
        for piece in [usize::MAX, 1, 3] {
            let (meaning, written) = read(vector, piece);
            assert_eq!(
                meaning, vector.meaning,
                "{} in pieces of {piece}",
                vector.name
            );
            let fails = meaning.iter().any(|line| line.starts_with('!'));
            if !fails && !vector.oneway {
                assert_eq!(written, vector.bytes, "{} written again", vector.name);
            }
        }
    }
    let names: BTreeSet<_> = vectors.iter().map(|vector| &vector.name).collect();
    assert_eq!(names.len(), vectors.len(), "every name is used once");
}

#[test]
fn every_frame_has_a_vector() {
    let meanings: Vec<String> = vectors().into_iter().flat_map(|v| v.meaning).collect();
    for frame in [
        "Hello",
        "Subscribe",
        "Unsubscribe",
        "RefreshToken",
        "Welcome",
        "Subscribed",
        "Refused",
        "Goodbye",
        "TokenAccepted",
        "Header",
        "Event",
        "Gap",
        "Heartbeat",
        "Epoch",
        "OpenPublisher",
        "Publish",
        "Acknowledged",
        "PublishRefused",
        "AcknowledgedEpoch",
    ] {
        let start = format!("= {frame} ");
        assert!(
            meanings.iter().any(|line| line.starts_with(&start)),
            "no vector has a {frame}"
        );
    }
}

// QP-10.1, QP-10.3
#[test]
fn the_table_of_codes_is_that_of_the_code() {
    let text = std::fs::read_to_string(DOCUMENT).unwrap();
    let section = text
        .split("\n## ")
        .find(|part| part.starts_with("10 "))
        .unwrap();
    let rows = section.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, number, name, _, again, _] = cells[..] else {
            return None;
        };
        let code = Code::new(number.parse().ok()?);
        Some((code, name.trim_matches('`').to_owned(), again == "yes"))
    });
    let rows: Vec<_> = rows.collect();
    let codes: Vec<Code> = rows.iter().map(|&(code, ..)| code).collect();
    assert_eq!(codes, Code::NAMED);
    for (code, name, again) in rows {
        assert_eq!(code.is_retryable(), again, "{name}");
    }
}
