//! The server of all sequences of frames.

use std::sync::LazyLock;
use std::time::Duration;

use qsse_auth::Tokens;
use qsse_server::{ByGrants, Server};
use qsse_testing::fixtures;
use qsse_transport::ClientEndpoint;
use tokio::runtime::Runtime;

/// The tokens of the server, each with the only pattern that it may subscribe to.
pub(super) const GRANTS: [(&str, &str); 2] = [
    ("reader-of-a-7Qw0cJ1vTqMZ5m2r", "a.*"),
    ("reader-of-b-9Rx1dK2wUrNZ6n3s", "b"),
];

/// What is published, by the server itself.
pub(super) const TOPICS: [&str; 5] = ["a.x", "a.y.z", "a", "b", "secret.x"];

/// After this long without an event no more are awaited.
pub(super) const QUIET: Duration = Duration::from_millis(2);

/// No step of a client takes longer, unless the server makes it wait.
pub(super) const STEP: Duration = Duration::from_millis(20);

/// A server, and the socket of its clients.
pub(super) struct World {
    pub(super) runtime: Runtime,
    pub(super) server: Server,
    pub(super) endpoint: ClientEndpoint,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let runtime = Runtime::new().expect("there are threads");
    let (server, endpoint) = runtime.block_on(async {
        let grant = |(token, pattern): (&str, &str)| {
            format!(
                "[[token]]\ntoken = {token:?}\nsubscribe = [{pattern:?}]\npublish = [\"a.x\"]\n"
            )
        };
        let tokens = Tokens::parse(&GRANTS.map(grant).concat()).expect("it is a tokens file");
        let server = Server::bind("127.0.0.1:0").tls(fixtures::server_tls());
        let server = server
            .authenticator(tokens)
            .authorizer(ByGrants)
            .go_dialect(true);
        let local = "127.0.0.1:0".parse().expect("it is an address");
        let endpoint = ClientEndpoint::bind(local).expect("there is a port");
        (server.await.expect("the server starts"), endpoint)
    });
    World {
        runtime,
        server,
        endpoint,
    }
});

/// Returns the server, which the first call starts.
pub(super) fn get() -> &'static World {
    &WORLD
}

impl World {
    /// Publishes an event of each topic.
    pub(super) fn publish(&self) {
        for topic in TOPICS {
            drop(self.server.try_publish(topic, b"data"));
        }
    }
}
