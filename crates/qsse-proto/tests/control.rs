//! The frames of the control stream and those of publishing streams.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use bytes::Bytes;
use proptest::prelude::*;
use qsse_proto::control::{
    ClientFrame, Goodbye, Hello, OnLag, RefreshToken, Refused, ServerFrame, Start, Subscribe,
    Subscribed, Token, TokenAccepted, Unsubscribe, Welcome,
};
use qsse_proto::publish::{
    AckFrame, Acknowledged, Key, KeyScope, OpenPublisher, Publish, PublishRefused, PublisherFrame,
    PublisherId, Retry, Tried,
};
use qsse_proto::stream::{Gap, GapReason};
use qsse_proto::{Code, DecodeError, Epoch, EventId, Frame, Kind, Timestamp, frame, limits};

/// The frame in `bytes`, which hold nothing else.
fn unframe(bytes: Bytes) -> Frame {
    let mut decoder = frame::Decoder::new(limits::event_frame_bytes(limits::EVENT_BYTES));
    decoder.push(bytes);
    let frame = decoder.next().unwrap().unwrap();
    assert!(decoder.is_empty());
    frame
}

fn text() -> impl Strategy<Value = String> {
    ".{0,30}"
}

fn id() -> impl Strategy<Value = EventId> {
    any::<(u64, u64)>().prop_map(|(epoch, seq)| EventId::new(Epoch::new(epoch), seq))
}

fn token() -> impl Strategy<Value = Token> {
    text().prop_map(|text| Token::new(text).unwrap())
}

fn start() -> impl Strategy<Value = Start> {
    prop_oneof![
        Just(Start::Live),
        id().prop_map(Start::After),
        Just(Start::Earliest),
        any::<u64>().prop_map(|micros| Start::Since(Timestamp::from_micros(micros))),
        any::<u32>().prop_map(Start::Last),
    ]
}

fn on_lag() -> impl Strategy<Value = OnLag> {
    prop_oneof![
        Just(OnLag::CatchUp),
        Just(OnLag::Skip),
        Just(OnLag::Latest),
        Just(OnLag::Disconnect)
    ]
}

fn client_frame() -> impl Strategy<Value = ClientFrame> {
    prop_oneof![
        (any::<u64>(), text(), proptest::option::of(token())).prop_map(
            |(features, agent, token)| Hello {
                features,
                agent,
                token
            }
            .into()
        ),
        (
            any::<u32>(),
            proptest::collection::vec(text(), 0..20),
            start(),
            on_lag()
        )
            .prop_map(|(id, patterns, start, on_lag)| Subscribe {
                id,
                patterns,
                start,
                on_lag
            }
            .into()),
        any::<u32>().prop_map(|id| Unsubscribe { id }.into()),
        token().prop_map(|token| RefreshToken { token }.into()),
    ]
}

fn server_frame() -> impl Strategy<Value = ServerFrame> {
    prop_oneof![
        (any::<(u64, u64, u64)>(), text(), any::<[u32; 8]>()).prop_map(
            |((features, epoch, identity), agent, n)| {
                let [
                    max_event_bytes,
                    max_subscriptions,
                    heartbeat_ms,
                    idle_timeout_ms,
                    dedup_window_ms,
                    dedup_keys,
                    publisher_window_ms,
                    publishers,
                ] = n;
                let epoch = Epoch::new(epoch);
                Welcome {
                    features,
                    agent,
                    epoch,
                    max_event_bytes,
                    max_subscriptions,
                    heartbeat_ms,
                    idle_timeout_ms,
                    dedup_window_ms,
                    dedup_keys,
                    identity,
                    publisher_window_ms,
                    publishers,
                }
                .into()
            }
        ),
        (any::<u32>(), id()).prop_map(|(id, position)| Subscribed { id, position }.into()),
        (
            any::<u32>(),
            any::<u64>(),
            text(),
            proptest::option::of(text())
        )
            .prop_map(|(id, code, message, subject)| Refused {
                id,
                code: code.into(),
                message,
                subject
            }
            .into()),
        (
            any::<u64>(),
            text(),
            any::<Option<u32>>(),
            proptest::option::of(text())
        )
            .prop_map(|(code, message, retry_after_ms, address)| {
                Goodbye {
                    code: code.into(),
                    message,
                    retry_after_ms,
                    address,
                }
                .into()
            }),
        any::<Option<u64>>().prop_map(|expires_in_ms| TokenAccepted { expires_in_ms }.into()),
    ]
}

fn scope() -> impl Strategy<Value = KeyScope> {
    let id = || any::<[u8; 16]>().prop_map(PublisherId::new);
    prop_oneof![
        (id(), "[a-z0-9]{0,64}").prop_map(|(id, name)| KeyScope::Named { id, name }),
        id().prop_map(|id| KeyScope::Own { id }),
        (id(), any::<u64>(), any::<Option<[u64; 3]>>()).prop_map(|(id, first, tried)| {
            let tried = tried.map(|[through, epoch, ago_ms]| Tried {
                through,
                epoch: Epoch::new(epoch),
                ago_ms,
            });
            KeyScope::Numbered { id, first, tried }
        }),
    ]
}

fn publisher_frame() -> impl Strategy<Value = PublisherFrame> {
    prop_oneof![
        (any::<bool>(), scope())
            .prop_map(|(ordered, scope)| OpenPublisher { ordered, scope }.into()),
        (
            any::<bool>(),
            "[^\0]{1,60}",
            "[a-zé]{1,30}",
            any::<Vec<u8>>()
        )
            .prop_map(|(matching, topic, kind, data)| {
                Publish::new(matching, &topic, &Kind::new(kind).unwrap(), data.into()).into()
            }),
        (
            proptest::collection::vec(any::<u8>(), 1..=64),
            any::<Option<[u64; 2]>>(),
            any::<Vec<u8>>()
        )
            .prop_map(|(key, retry, data)| {
                let retry = retry.map(|[epoch, ago_ms]| Retry {
                    epoch: Epoch::new(epoch),
                    ago_ms,
                });
                let publish = Publish::new(false, "a", &Kind::MESSAGE, data.into());
                publish.keyed(Key::new(key).unwrap(), retry).into()
            }),
    ]
}

fn answer() -> impl Strategy<Value = AckFrame> {
    prop_oneof![
        any::<[u64; 3]>().prop_map(|[through, first, last]| Acknowledged {
            through,
            first,
            last
        }
        .into()),
        (any::<[u64; 2]>(), text()).prop_map(|([number, code], message)| {
            PublishRefused {
                number,
                code: code.into(),
                message,
            }
            .into()
        }),
    ]
}

/// Round trip, and an error for every other length of the body (QP-3.4).
macro_rules! check {
    ($type:ident, $frame:expr, every_cut: $cut:expr) => {{
        let frame = unframe($frame.encode());
        prop_assert_eq!($type::decode(frame.clone()).unwrap(), $frame);
        if $cut {
            for end in 0..frame.body.len() {
                let body = frame.body.slice(..end);
                let cut = $type::decode(Frame { body, ..frame });
                prop_assert!(cut.is_err());
            }
            let kind = frame.kind;
            let body = [&frame.body[..], &[0]].concat().into();
            let error = DecodeError::Leftover { kind, bytes: 1 };
            let longer = $type::decode(Frame { kind, body });
            prop_assert_eq!(longer, Err(error));
        }
    }};
}

proptest! {
    #[test]
    fn client_frames_survive_encoding_and_are_refused_when_cut(frame in client_frame()) {
        check!(ClientFrame, frame, every_cut: true);
    }

    #[test]
    fn server_frames_survive_encoding_and_are_refused_when_cut(frame in server_frame()) {
        check!(ServerFrame, frame, every_cut: true);
    }

    #[test]
    fn publisher_frames_survive_encoding(frame in publisher_frame()) {
        // The data of a publish goes to the end, wherever that is.
        let every_cut = !matches!(frame, PublisherFrame::Publish(_));
        check!(PublisherFrame, frame, every_cut: every_cut);
    }

    #[test]
    fn acknowledgements_survive_encoding_and_are_refused_when_cut(frame in answer()) {
        check!(AckFrame, frame, every_cut: true);
    }
}

// QP-3.5
#[test]
fn a_kind_belongs_to_one_direction_of_one_stream() {
    let decoders: [fn(Frame) -> Result<(), DecodeError>; 4] = [
        |frame| ClientFrame::decode(frame).map(drop),
        |frame| ServerFrame::decode(frame).map(drop),
        |frame| PublisherFrame::decode(frame).map(drop),
        |frame| AckFrame::decode(frame).map(drop),
    ];
    for kind in 0..=255 {
        let body = Bytes::new();
        let results = decoders.map(|decode| {
            decode(Frame {
                kind,
                body: body.clone(),
            })
            .unwrap_err()
        });
        let at_home = results.iter().filter(|error| {
            !matches!(
                error,
                DecodeError::UnexpectedFrame { .. } | DecodeError::UnknownFrame { .. }
            )
        });
        let known = frame::kind::is_known(kind);
        let on_events = (0x20..0x30).contains(&kind);
        assert_eq!(
            at_home.count(),
            usize::from(known && !on_events),
            "{kind:#x}"
        );
        let unknown = DecodeError::UnknownFrame { kind };
        assert_eq!(results.contains(&unknown), !known, "{kind:#x}");
    }
}

// QP-4.4
#[test]
fn a_token_is_never_printed() {
    let token = Token::new("hunter2").unwrap();
    let hello = Hello {
        token: Some(token.clone()),
        ..Hello::default()
    };
    let frames = [ClientFrame::from(hello), RefreshToken { token }.into()];
    for frame in frames {
        let text = format!("{frame:?} {frame:#?}");
        assert!(
            text.contains("Token(…)") && !text.contains("hunter2"),
            "{text}"
        );
    }
}

// QP-4.4
#[test]
fn a_token_is_bounded_and_not_quoted_when_it_is_not() {
    let longest = "x".repeat(limits::TOKEN_BYTES);
    let frame = ClientFrame::from(RefreshToken {
        token: Token::new(longest.clone()).unwrap(),
    });
    let mut sent = unframe(frame.encode());
    assert_eq!(ClientFrame::decode(sent.clone()), Ok(frame));

    assert!(Token::new(longest.clone() + "x").is_err());
    sent.body = [&[0x81, 0x20], longest.as_bytes(), b"x"].concat().into();
    let error = ClientFrame::decode(sent).unwrap_err();
    assert_eq!(error.code(), Code::PROTOCOL_VIOLATION);
    assert!(!format!("{error} {error:?}").contains("xxx"));
}

// QP-4.3, QP-10.4
#[test]
fn texts_for_people_are_cut_when_sent() {
    let long = "é".repeat(1_000);
    let hello = Hello {
        agent: long.clone(),
        ..Hello::default()
    };
    let ClientFrame::Hello(hello) =
        ClientFrame::decode(unframe(ClientFrame::from(hello).encode())).unwrap()
    else {
        panic!("a Hello stays one");
    };
    assert_eq!(hello.agent.len(), limits::AGENT_BYTES);

    let refused = PublishRefused {
        number: 0,
        code: Code::BUSY,
        message: format!("x{long}"),
    };
    let AckFrame::PublishRefused(refused) =
        AckFrame::decode(unframe(AckFrame::from(refused).encode())).unwrap()
    else {
        panic!("a refusal stays one");
    };
    assert_eq!(refused.message.len(), limits::REASON_BYTES - 1);
}

// QP-10.2
#[test]
fn codes_without_a_name_survive() {
    let code = Code::new(1 << 40);
    assert_eq!(
        (code.name(), code.to_string()),
        (None, "code 1099511627776".into())
    );
    assert!(!code.is_retryable());
    let frame = ServerFrame::from(Refused {
        id: 1,
        code,
        message: String::new(),
        subject: None,
    });
    assert_eq!(ServerFrame::decode(unframe(frame.encode())), Ok(frame));
    for &code in Code::NAMED {
        assert!(code.name().is_some_and(|name| name == code.to_string()));
    }
}

// QP-4.5: bits that are not known do no harm.
#[test]
fn unknown_features_are_kept() {
    let hello = ClientFrame::from(Hello {
        features: u64::MAX,
        ..Hello::default()
    });
    assert_eq!(ClientFrame::decode(unframe(hello.encode())), Ok(hello));
}

// QP-2.4
#[test]
fn marks_and_choices_that_are_not_listed_are_refused() {
    for (kind, body) in [
        (0x01, &[0, 0, 2, 0][..]),
        (0x02, &[1, 1, 1, b'a', 5, 0]),
        (0x02, &[1, 1, 1, b'a', 0, 4]),
        (0x30, &[2]),
        (0x30, &[1, 9]),
    ] {
        let body = Bytes::from_static(body);
        let frame = Frame { kind, body };
        let error = match kind {
            0x30 => PublisherFrame::decode(frame).unwrap_err(),
            _ => ClientFrame::decode(frame).unwrap_err(),
        };
        assert!(matches!(error, DecodeError::Malformed { .. }), "{error:?}");
    }
}

// QP-7.4
#[test]
fn reasons_of_a_gap_are_open() {
    for number in 0..10 {
        let reason = GapReason::from(number);
        assert_eq!(reason.number(), number);
        assert_eq!(matches!(reason, GapReason::Other(_)), number > 4);
        let gap = Gap {
            after: 1,
            to: 2,
            at_most: 1,
            reason,
        };
        assert_eq!(unframe(gap.encode()).body[3], number as u8);
    }
}
