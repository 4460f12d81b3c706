//! Frames of control and publishing streams.

use bytes::Bytes;
use qsse_proto::control::{
    ClientFrame, Goodbye, Hello, OnLag, RefreshToken, Refused, ServerFrame, Start, Subscribe,
    Subscribed, Token, TokenAccepted, Unsubscribe, Welcome,
};
use qsse_proto::publish::{
    AckFrame, Acknowledged, AcknowledgedEpoch, Key, KeyScope, OpenPublisher, Publish,
    PublishRefused, PublisherFrame, PublisherId, Retry,
};
use qsse_proto::{Code, DecodeError, Epoch, EventId, Frame, Kind, Timestamp, frame, limits};

/// Decodes frames, in one piece and byte by byte, and encodes again what they are.
pub(super) fn run(data: &[u8]) {
    let whole = frames([Bytes::copy_from_slice(data)]);
    let bytes = data.iter().map(|byte| Bytes::copy_from_slice(&[*byte]));
    assert_eq!(frames(bytes), whole, "pieces change what is read");
    for frame in whole.0 {
        if let Ok(decoded) = ClientFrame::decode(frame.clone()) {
            again(&decoded.encode(), ClientFrame::decode, &decoded);
        }
        if let Ok(decoded) = PublisherFrame::decode(frame.clone()) {
            again(&decoded.encode(), PublisherFrame::decode, &decoded);
        }
        if let Ok(decoded) = AckFrame::decode(frame.clone()) {
            // Texts for people are cut when they are sent.
            let _ = AckFrame::decode(one(&decoded.encode())).expect("it was encoded");
        }
        if let Ok(decoded) = ServerFrame::decode(frame) {
            let _ = ServerFrame::decode(one(&decoded.encode())).expect("it was encoded");
        }
    }
}

/// Returns the frames, and why there are no more.
fn frames(chunks: impl IntoIterator<Item = Bytes>) -> (Vec<Frame>, Option<DecodeError>) {
    let mut decoder = frame::Decoder::new(limits::CONTROL_FRAME_BYTES);
    let mut frames = Vec::new();
    for chunk in chunks {
        decoder.push(chunk);
        loop {
            match decoder.next() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

fn one(encoded: &Bytes) -> Frame {
    let mut decoder = frame::Decoder::new(usize::MAX);
    decoder.push(encoded.clone());
    let frame = decoder.next().expect("it was encoded");
    frame.expect("it is whole")
}

/// Checks that what was decoded survives being encoded.
fn again<T: PartialEq + std::fmt::Debug>(
    encoded: &Bytes,
    decode: impl Fn(Frame) -> Result<T, DecodeError>,
    expected: &T,
) {
    let decoded = decode(one(encoded));
    // An agent's text is cut when it is sent.
    if let (Ok(decoded), false) = (&decoded, format!("{expected:?}").contains("agent")) {
        assert_eq!(decoded, expected);
    }
    decoded.expect("it was encoded");
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = client().iter().map(|frame| frame.encode().into()).collect();
    seeds.extend(server().iter().map(|frame| frame.encode().into()));
    seeds.extend(publisher().iter().map(|frame| frame.encode().into()));
    seeds.extend(answers().iter().map(|frame| frame.encode().into()));
    let extension = Frame {
        kind: 0x90,
        body: Bytes::from_static(b"later"),
    };
    let all = [extension.encode().into(), seeds.concat()];
    seeds.extend(all);
    seeds
}

fn token() -> Option<Token> {
    Token::new("a token").ok()
}

fn client() -> Vec<ClientFrame> {
    let starts = [
        Start::Live,
        Start::After(EventId::new(Epoch::new(7), 300)),
        Start::Earliest,
        Start::Since(Timestamp::from_micros(1_000_000)),
        Start::Last(3),
    ];
    let subscribe = |(start, on_lag)| {
        ClientFrame::from(Subscribe {
            id: 1,
            patterns: vec!["ride.*".into(), "people".into()],
            start,
            on_lag,
        })
    };
    let lags = [
        OnLag::CatchUp,
        OnLag::Skip,
        OnLag::Latest,
        OnLag::Disconnect,
        OnLag::CatchUp,
    ];
    let mut all: Vec<_> = starts.into_iter().zip(lags).map(subscribe).collect();
    all.push(Unsubscribe { id: 300 }.into());
    let hello = Hello {
        features: 1,
        agent: "fuzz".into(),
        token: token(),
    };
    all.push(hello.into());
    if let Some(token) = token() {
        all.push(RefreshToken { token }.into());
    }
    all
}

fn server() -> Vec<ServerFrame> {
    let goodbye = Goodbye {
        code: Code::SHUTTING_DOWN,
        message: "bye".into(),
        retry_after_ms: Some(1_000),
        address: Some("127.0.0.1:4242".into()),
    };
    let refused = Refused {
        id: 1,
        code: Code::NOT_AUTHORISED,
        message: "no".into(),
        subject: Some("a.*".into()),
    };
    let subscribed = Subscribed {
        id: 1,
        position: EventId::new(Epoch::new(7), 3),
    };
    let welcome = Welcome {
        features: 0,
        agent: "fuzz".into(),
        epoch: Epoch::new(7),
        max_event_bytes: 1 << 20,
        max_subscriptions: 128,
        heartbeat_ms: 10_000,
        idle_timeout_ms: 30_000,
        dedup_window_ms: 120_000,
        dedup_keys: 100,
        identity: 9,
        publisher_window_ms: 1,
        publishers: 2,
    };
    vec![
        welcome.into(),
        subscribed.into(),
        TokenAccepted {
            expires_in_ms: Some(5),
        }
        .into(),
        refused.into(),
        goodbye.into(),
    ]
}

fn publisher() -> Vec<PublisherFrame> {
    let id = PublisherId::new([3; 16]);
    let named = KeyScope::Named {
        id,
        name: "robot".into(),
    };
    let numbered = KeyScope::Numbered {
        id,
        first: 1,
        tried: None,
    };
    let scopes = [KeyScope::Own { id }, named, numbered];
    let mut all: Vec<PublisherFrame> = Vec::new();
    for scope in scopes {
        let ordered = true;
        all.push(OpenPublisher { ordered, scope }.into());
    }
    let publish = |matching, topic| {
        let data = Bytes::from_static(b"data");
        Publish::new(matching, topic, &Kind::MESSAGE, data)
    };
    all.push(publish(false, "ride.7").into());
    all.push(publish(true, "ride.*").into());
    let retry = Retry {
        epoch: Epoch::new(7),
        ago_ms: 5,
    };
    if let Ok(key) = Key::new("key") {
        all.push(publish(false, "a").keyed(key.clone(), None).into());
        all.push(publish(false, "a").keyed(key, Some(retry)).into());
    }
    all
}

fn answers() -> Vec<AckFrame> {
    let acknowledged = Acknowledged {
        through: 3,
        first: 10,
        last: 13,
    };
    let refused = PublishRefused {
        number: 4,
        code: Code::EVENT_TOO_LARGE,
        message: "too large".into(),
    };
    vec![
        acknowledged.into(),
        refused.into(),
        AcknowledgedEpoch {
            epoch: Epoch::new(7),
        }
        .into(),
    ]
}
