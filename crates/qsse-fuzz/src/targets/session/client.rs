//! What a client of `qsse/1` does, as bytes choose.

use bytes::Bytes;
use qsse_proto::control::{
    ClientFrame, Hello, OnLag, RefreshToken, Start, Subscribe, Token, Unsubscribe,
};
use qsse_proto::publish::{OpenPublisher, Publish, PublisherFrame};
use qsse_proto::{Epoch, EventId, Kind, Timestamp};
use qsse_transport::{Connection, RecvStream, SendStream};
use tokio::time::timeout;

use super::world::{GRANTS, QUIET, STEP, TOPICS, World};
use crate::input::Input;

/// Steps of a client at most.
const STEPS: usize = 24;

const PATTERNS: [&str; 10] = [
    "a.x", "a.*", "a", "b", "*", "*.x", "secret.*", "secret.x", "$a", "a..b",
];

/// A client's streams: the control stream once it is open, and others, which are held.
struct Client<'a> {
    connection: &'a Connection,
    control: Option<(SendStream, RecvStream)>,
    others: Vec<(SendStream, RecvStream)>,
    /// The tokens that were sent.
    presented: Vec<String>,
    last_id: u32,
}

/// Does what the bytes say. Returns the tokens that were presented.
pub(super) async fn play(
    world: &World,
    connection: &Connection,
    input: &mut Input<'_>,
) -> Vec<String> {
    let mut client = Client {
        connection,
        control: None,
        others: Vec::new(),
        presented: Vec::new(),
        last_id: 0,
    };
    for _ in 0..STEPS {
        if input.is_empty() || connection.close_reason().is_some() {
            break;
        }
        client.step(world, input).await;
    }
    // The server handles what was sent.
    tokio::time::sleep(QUIET).await;
    client.presented
}

impl Client<'_> {
    async fn step(&mut self, world: &World, input: &mut Input<'_>) {
        match input.byte() % 10 {
            0 | 1 => {
                let token = self.token(input);
                let hello = Hello {
                    features: u64::from(input.byte()),
                    agent: "fuzz".into(),
                    token,
                };
                self.control(ClientFrame::from(hello).encode()).await;
            }
            2 | 3 => {
                let subscribe = self.subscription(input);
                self.control(ClientFrame::from(subscribe).encode()).await;
            }
            4 => {
                let id = u32::from(input.byte());
                let unsubscribe = Unsubscribe { id };
                self.control(ClientFrame::from(unsubscribe).encode()).await;
            }
            5 => {
                if let Some(token) = self.token(input) {
                    let refresh = RefreshToken { token };
                    self.control(ClientFrame::from(refresh).encode()).await;
                }
            }
            6 => self.publisher(input).await,
            7 => self.control(Bytes::copy_from_slice(input.bytes())).await,
            8 => self.stream(Bytes::copy_from_slice(input.bytes())).await,
            _ => {
                world.publish();
                // Other tasks get their turn, so that events come between the frames.
                tokio::time::sleep(QUIET / 4).await;
            }
        }
    }

    fn token(&mut self, input: &mut Input<'_>) -> Option<Token> {
        let token = input.pick(&[GRANTS[0].0, GRANTS[1].0, "", "wrong"]);
        if token.is_empty() {
            return None;
        }
        self.presented.push(token.to_owned());
        Token::new(token).ok()
    }

    fn subscription(&mut self, input: &mut Input<'_>) -> Subscribe {
        let patterns = (0..=input.byte() % 3).map(|_| input.pick(&PATTERNS).to_owned());
        let patterns = patterns.collect();
        let position = EventId::new(Epoch::new(7), u64::from(input.byte()));
        let start = input.pick(&[
            Start::Live,
            Start::Earliest,
            Start::Last(3),
            Start::After(position),
            Start::Since(Timestamp::from_micros(1)),
        ]);
        self.last_id += u32::from(input.byte() % 8 != 7);
        Subscribe {
            id: self.last_id,
            patterns,
            start,
            on_lag: input.pick(&[OnLag::CatchUp, OnLag::Skip, OnLag::Latest]),
        }
    }

    /// Writes to the control stream, which is the first one.
    async fn control(&mut self, bytes: Bytes) {
        if self.control.is_none()
            && let Ok(Ok(control)) = timeout(STEP, self.connection.open_bi()).await
        {
            self.control = Some(control);
        }
        if let Some((send, _)) = &mut self.control {
            let _ = timeout(STEP, send.write_all(&mut [bytes])).await;
        }
    }

    /// Opens another stream and writes to it.
    async fn stream(&mut self, bytes: Bytes) {
        if let Ok(Ok((mut send, recv))) = timeout(STEP, self.connection.open_bi()).await {
            let _ = timeout(STEP, send.write_all(&mut [bytes])).await;
            self.others.push((send, recv));
        }
    }

    /// Opens a publishing stream and publishes.
    async fn publisher(&mut self, input: &mut Input<'_>) {
        let open = PublisherFrame::from(OpenPublisher::default()).encode();
        let topic = input.pick(&TOPICS);
        let data = Bytes::copy_from_slice(input.bytes());
        let matching = input.byte() % 2 == 1;
        let publish = Publish::new(matching, topic, &Kind::MESSAGE, data).encode();
        self.stream([open, publish].concat().into()).await;
    }
}

/// Returns programs: the protocol, then steps.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    vec![
        // Hello with the first token; a subscription to a.* from the earliest; events.
        vec![0, 0, 0, 0, 2, 0, 1, 0, 1, 0, 0, 9, 9],
        // The second token asks for a.* and b, then for b; events.
        vec![0, 0, 1, 0, 2, 1, 1, 3, 0, 1, 0, 0, 2, 0, 3, 0, 1, 0, 0, 9],
        // Everything without a token, and with a wrong one.
        vec![0, 2, 0, 4, 0, 1, 0, 0, 9, 0, 3, 0, 9],
        // From the first token to the second while events come.
        vec![
            0, 0, 0, 0, 2, 0, 1, 0, 0, 0, 0, 9, 5, 1, 9, 9, 2, 0, 3, 0, 1, 0, 0, 9,
        ],
        // Publishes, bytes on streams, an unsubscribe.
        vec![
            0, 0, 0, 0, 6, 0, 2, 7, 7, 0, 8, 3, 1, 2, 3, 2, 0, 1, 0, 1, 0, 0, 4, 1, 9,
        ],
        vec![0, 7, 6, 1, 0, 0, 0, 5, 0, 9],
    ]
}
