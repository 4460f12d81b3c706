//! Histories of grants, subscriptions and publishes in one process.
//!
//! Clients without a connection subscribe, by name and by wildcard, live and from the past, with
//! grants that change. An oracle that only enumerates topics decides what they may be given.

use std::sync::LazyLock;

use async_trait::async_trait;
use qsse_proto::control::Start;
use qsse_server::{
    Action, Authorizer, ByGrants, Config, Grants, LogConfig, Principal, Scope, Server, TestClient,
    TestReader,
};
use qsse_testing::fixtures;
use qsse_topic::{Filter, Pattern, PatternRef};
use tokio::runtime::{Builder, Runtime};

use crate::input::Input;
use crate::oracle;

/// Steps of a history at most.
const STEPS: usize = 32;

/// Clients of a history.
const CLIENTS: usize = 2;

/// Subscriptions that a client holds at most.
const HELD: usize = 3;

/// The memory for past events: some hundreds of them, so that replays are short.
const HISTORY_BYTES: usize = 16 << 10;

/// Two servers, whose authorizers decide about patterns and about names.
struct World {
    runtime: Runtime,
    servers: [Server; 2],
    /// All topics over a, b and a name that no pattern has, one segment longer than any pattern.
    topics: Vec<String>,
    /// All patterns over a, b and *.
    patterns: Vec<String>,
    /// For each pattern the topics that it matches, as bits.
    matches: Vec<u128>,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("there are threads");
    let servers = runtime.block_on(async { [start(ByGrants).await, start(ByName).await] });
    let topics = texts(&["a", "b", "z"], 4);
    let patterns = texts(&["a", "b", "*"], 3);
    let matched = |pattern: &String| {
        let bits = topics.iter().enumerate();
        let bits = bits.map(|(at, topic)| u128::from(oracle::matches(pattern, topic)) << at);
        bits.fold(0, |all, bit| all | bit)
    };
    World {
        matches: patterns.iter().map(matched).collect(),
        runtime,
        servers,
        topics,
        patterns,
    }
});

async fn start(authorizer: impl Authorizer) -> Server {
    let log = LogConfig::default().history_bytes(HISTORY_BYTES);
    let server = Server::bind("127.0.0.1:0").tls(fixtures::server_tls());
    let server = server
        .config(Config::default().log(log))
        .authorizer(authorizer);
    server.await.expect("the server starts")
}

/// Answers for names only.
struct ByName;

#[async_trait]
impl Authorizer for ByName {
    fn scope(&self) -> Scope {
        Scope::Names
    }

    async fn authorize(&self, who: &Principal, action: Action, name: PatternRef<'_>) -> bool {
        who.grants()
            .is_some_and(|grants| grants.allow(action, name))
    }
}

/// Returns all texts of up to `depth` segments.
fn texts(segments: &[&str], depth: usize) -> Vec<String> {
    let mut last: Vec<String> = segments.iter().map(|one| (*one).to_owned()).collect();
    let mut all = last.clone();
    for _ in 1..depth {
        let longer = |head: &String| segments.iter().map(|one| format!("{head}.{one}")).collect();
        last = last.iter().flat_map::<Vec<_>, _>(longer).collect();
        all.extend_from_slice(&last);
    }
    all
}

/// A client, and what the oracle knows of it.
struct Client {
    client: TestClient,
    /// The topics that it may read, as bits.
    granted: u128,
    readers: Vec<Watched>,
}

/// A subscription, and what the oracle knows of it.
struct Watched {
    reader: TestReader,
    /// The topics that it asked for, as bits.
    wanted: u128,
    /// For a live subscription: the topics of events that it has to get.
    due: Option<Vec<usize>>,
}

/// Plays a history.
pub(super) fn run(data: &[u8]) {
    let world = &*WORLD;
    world.runtime.block_on(play(world, Input::new(data)));
}

async fn play(world: &World, mut input: Input<'_>) {
    let by_name = usize::from(input.byte() % 2);
    let server = &world.servers[by_name];
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let (principal, granted) = world.principal(&mut input);
        clients.push(Client {
            client: TestClient::new(server, principal),
            granted,
            readers: Vec::new(),
        });
    }
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        let (step, which) = (input.byte() % 8, usize::from(input.byte()) % CLIENTS);
        match step {
            0..=2 => world.publish(server, &mut input, &mut clients),
            3 | 4 => subscribe(world, by_name, &mut input, &mut clients[which]).await,
            5 | 6 => clients[which].read(world, by_name == 1).await,
            _ => refresh(world, by_name == 1, &mut input, &mut clients[which]).await,
        }
    }
    for client in &mut clients {
        client.read(world, by_name == 1).await;
    }
}

impl World {
    /// Returns a principal with up to three patterns, and the topics of those as bits.
    fn principal(&self, input: &mut Input<'_>) -> (Principal, u128) {
        let count = usize::from(input.byte() % 4);
        let (filter, granted) = self.filter(input, count);
        let grants = match filter {
            Some(filter) => Grants::new().subscribe(filter),
            None => Grants::new(),
        };
        (Principal::new("client").with_grants(grants), granted)
    }

    /// Returns a filter of so many patterns, and its topics as bits.
    fn filter(&self, input: &mut Input<'_>, count: usize) -> (Option<Filter>, u128) {
        let chosen = (0..count).map(|_| usize::from(input.byte()) % self.patterns.len());
        let chosen: Vec<_> = chosen.collect();
        let topics = chosen.iter().fold(0, |all, at| all | self.matches[*at]);
        let patterns = chosen.iter().map(|at| Pattern::new(&self.patterns[*at]));
        let patterns = patterns.map(|pattern| pattern.expect("it is a pattern"));
        (Filter::new(patterns).ok(), topics)
    }

    /// Publishes an event, which live subscriptions have to get.
    fn publish(&self, server: &Server, input: &mut Input<'_>, clients: &mut [Client]) {
        let at = usize::from(input.byte()) % self.topics.len();
        drop(server.try_publish(&self.topics[at], b""));
        let readers = clients.iter_mut().flat_map(|client| &mut client.readers);
        for reader in readers.filter(|reader| reader.wanted >> at & 1 == 1) {
            reader.due.iter_mut().for_each(|due| due.push(at));
        }
    }
}

/// Subscribes. With an authorizer for patterns it is accepted exactly if every topic is granted.
async fn subscribe(world: &World, by_name: usize, input: &mut Input<'_>, client: &mut Client) {
    let server = &world.servers[by_name];
    let count = 1 + usize::from(input.byte() % 2);
    let (filter, wanted) = world.filter(input, count);
    let start = input.pick(&[Start::Live, Start::Live, Start::Earliest, Start::Last(2)]);
    let Some(filter) = filter else { return };
    let shown = filter.to_string();
    let reader = client.client.subscribe(server, filter, start).await;
    if by_name == 0 {
        let may = wanted & !client.granted == 0;
        assert_eq!(reader.is_some(), may, "a subscription to {shown}");
    }
    if let Some(reader) = reader {
        if client.readers.len() == HELD {
            client.readers.remove(0);
        }
        client.readers.push(Watched {
            reader,
            wanted,
            due: (start == Start::Live).then(Vec::new),
        });
    }
}

/// Replaces the grants of a client, and ends the subscriptions that it may not go on with.
async fn refresh(world: &World, by_name: bool, input: &mut Input<'_>, client: &mut Client) {
    client.read(world, by_name).await;
    let (principal, granted) = world.principal(input);
    client.client.refresh(principal);
    client.granted = granted;
    let mut readers = Vec::new();
    for watched in client.readers.drain(..) {
        let may = client.client.may_go_on(&watched.reader).await;
        let is_granted = watched.wanted & !granted == 0;
        assert!(by_name || may == is_granted, "a subscription goes on");
        if may {
            readers.push(watched);
        }
    }
    client.readers = readers;
}

impl Client {
    /// Reads all that has come, and checks it.
    async fn read(&mut self, world: &World, by_name: bool) {
        for watched in &mut self.readers {
            let topics = watched.reader.topics().await;
            let known = |topic: &String| world.topics.iter().position(|known| known == topic);
            let read: Vec<_> = topics.iter().map(known).collect();
            for (topic, at) in topics.iter().zip(&read) {
                let at = at.expect("only known topics are published");
                assert!(self.granted >> at & 1 == 1, "{topic} is not granted");
                assert!(watched.wanted >> at & 1 == 1, "{topic} was not asked for");
            }
            let Some(due) = &mut watched.due else {
                continue;
            };
            // An authorizer for names denies some topics of a wildcard.
            due.retain(|at| !by_name || self.granted >> at & 1 == 1);
            let read: Vec<_> = read.into_iter().flatten().collect();
            assert_eq!(read, *due, "a live subscription gets all that it may");
            due.clear();
        }
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for by_name in 0..2 {
        // A client with a.* reads live; the other one has nothing.
        let grants = [by_name, 1, 5, 0];
        let live = [3, 0, 0, 5, 0];
        let events = [0, 0, 0, 0, 0, 3, 0, 0, 4, 0, 0, 9, 5, 0];
        seeds.push([&grants[..], &live, &events].concat());
        // It asks for everything, from the oldest event.
        let past = [3, 0, 0, 2, 2];
        seeds.push([&grants[..], &events, &past, &events].concat());
        // Its grants change while it reads.
        let change = [7, 0, 1, 8];
        seeds.push(
            [
                &grants[..],
                &live,
                &events,
                &change,
                &events,
                &past,
                &events,
            ]
            .concat(),
        );
    }
    seeds
}
