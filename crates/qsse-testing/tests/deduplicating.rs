//! Publishes that are tried again on a simulated network: an event is in the log once, or the
//! publisher is told that nobody knows.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use std::time::Duration;

use futures_util::future::join_all;
use qsse_client::{Client, Config, PublishError, Publisher, Start, UnknownOutcome};
use qsse_proto::{Code, Timestamp};
use qsse_server::{
    Action, Authenticator, Authorizer, Clock, Credentials, Denied, LogConfig, Principal, Scope,
    Server,
};
use qsse_testing::net::{Conditions, Network};
use qsse_testing::{endpoints, fixtures};
use qsse_topic::PatternRef;

/// Longer than the idle timeout: the connection is lost.
const LOSS: Duration = Duration::from_secs(40);

/// Waits for a connection longer than one takes to come back after that.
fn patient() -> Config {
    Config::default().publish_wait(Duration::from_secs(30))
}

/// Everybody may do everything; a token is a name.
struct ByToken;

#[async_trait::async_trait]
impl Authenticator for ByToken {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Principal, Denied> {
        Ok(Principal::new(credentials.token.unwrap_or("nobody")))
    }
}

#[async_trait::async_trait]
impl Authorizer for ByToken {
    fn scope(&self) -> Scope {
        Scope::Patterns
    }

    async fn authorize(&self, _: &Principal, _: Action, _: PatternRef<'_>) -> bool {
        true
    }
}

fn simulate<F: Future>(test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(test)
}

async fn serve(network: &Network, epoch: u64, log: LogConfig) -> Server {
    while !network.free(network.server_address()) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Server::bind(network.server_address())
        .endpoint(endpoints::server(network).unwrap())
        .clock(Clock::simulated(Timestamp::from_micros(
            1_700_000_000_000_000,
        )))
        .config(qsse_server::Config::default().log(log))
        .epoch(epoch)
        .authenticator(ByToken)
        .authorizer(ByToken)
        .await
        .unwrap()
}

async fn connect(network: &Network, n: u16, token: &str, config: Config) -> Client {
    Client::connect(network.server_address().to_string())
        .config(config)
        .token(token)
        .tls(fixtures::client_tls())
        .endpoint(endpoints::client(network, n).unwrap())
        .seed(u64::from(n))
        .await
        .unwrap()
}

/// Waits until what is sent now is under way, and cuts client 0 off before an answer can leave the
/// server.
async fn lose_the_answer(network: &Network) {
    tokio::time::sleep(Duration::from_millis(5)).await;
    network.partition([network.client_address(0)], [network.server_address()]);
}

fn why(error: PublishError) -> (u64, UnknownOutcome) {
    match error {
        PublishError::OutcomeUnknown {
            unacknowledged,
            why,
        } => (unacknowledged, why),
        error => panic!("{error}"),
    }
}

/// Publishes one event whose answer gets lost; what happens then is up to `meanwhile`.
async fn publish_unanswered(
    network: &Network,
    client: &Client,
    server: &Server,
    meanwhile: impl Future<Output = ()>,
) -> Result<qsse_client::EventId, PublishError> {
    let before = server.log_stats().head;
    let (result, ()) = tokio::join!(client.publish("ride", "once"), async {
        lose_the_answer(network).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(server.log_stats().head, before + 1, "the server took it");
        meanwhile.await;
    });
    result
}

// QP-8.11, QP-8.12
#[test]
fn an_event_whose_acknowledgement_is_lost_is_in_the_log_once_and_its_publisher_gets_its_id() {
    simulate(async {
        let network = Network::new(1);
        let server = serve(&network, 1, LogConfig::default()).await;
        let client = connect(&network, 0, "ada", patient()).await;
        server.publish("ride", "before").await.unwrap();
        let id = publish_unanswered(&network, &client, &server, async {
            server.publish("ride", "after").await.unwrap();
            tokio::time::sleep(LOSS).await;
            network.heal();
        });
        assert_eq!(id.await.unwrap().seq(), 2, "the original's");
        assert_eq!(server.log_stats().head, 3);
    });
}

// QP-8.14
#[test]
fn a_publisher_of_many_gets_them_all_into_the_log_once_and_in_order() {
    simulate(async {
        let network = Network::new(2);
        let server = serve(&network, 1, LogConfig::default()).await;
        let client = connect(&network, 0, "ada", patient()).await;
        let publisher = client.publisher().exactly_once();
        for n in 0..200 {
            publisher.send("ride", n.to_string()).await.unwrap();
        }
        lose_the_answer(&network).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let taken = server.log_stats().head;
        assert!(
            taken > 0 && publisher.progress().acknowledged < taken,
            "{taken}"
        );
        for n in 200..300 {
            publisher.send("ride", n.to_string()).await.unwrap();
        }
        tokio::time::sleep(LOSS).await;
        network.heal();
        assert_eq!(publisher.flush().await.unwrap().unwrap().seq(), 300);
        let progress = publisher.progress();
        assert_eq!(
            (progress.sent, progress.acknowledged, progress.lost),
            (300, 300, 0)
        );
        assert_eq!(texts(&server, 300).await, numbers(300));
        assert_eq!(server.log_stats().head, 300);
    });
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|n| n.to_string()).collect()
}

/// The first events of the log.
async fn texts(server: &Server, count: usize) -> Vec<String> {
    let mut events = server.subscribe("*").start(Start::Earliest).await.unwrap();
    let mut texts = Vec::new();
    while texts.len() < count {
        let event = events.try_next().await.unwrap().unwrap();
        texts.push(event.text().unwrap().to_owned());
    }
    texts
}

/// Loss, and a client that is cut off again and again.
async fn stormy(seed: u64) {
    let network = Network::new(seed);
    network.set_conditions(Conditions::lossy(0.05));
    let server = serve(&network, 1, LogConfig::default()).await;
    let mut config = patient();
    config.transport = config.transport.idle_timeout(Duration::from_secs(2));
    let client = connect(&network, 0, "ada", config).await;
    let publisher: Publisher = client.publisher().exactly_once();
    let publish = async {
        for n in 0..400 {
            publisher.send("ride", n.to_string()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        publisher.flush().await.unwrap()
    };
    let storm = async {
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_millis(1_500 + 137 * (seed % 11))).await;
            network.partition([network.client_address(0)], [network.server_address()]);
            tokio::time::sleep(Duration::from_secs(3)).await;
            network.heal();
        }
    };
    let (last, ()) = tokio::join!(publish, storm);
    assert_eq!(last.unwrap().seq(), 400, "seed {seed}");
    assert_eq!(server.log_stats().head, 400, "seed {seed}");
    assert_eq!(texts(&server, 400).await, numbers(400), "seed {seed}");
}

#[test]
fn through_loss_and_partitions_nothing_is_lost_doubled_or_misplaced() {
    for seed in 0..10 {
        simulate(stormy(seed));
    }
}

// QP-8.13
#[test]
fn after_a_restart_without_its_log_the_outcome_is_unknown() {
    simulate(async {
        let network = Network::new(3);
        let server = serve(&network, 1, LogConfig::default()).await;
        let client = connect(&network, 0, "ada", patient()).await;
        let publisher = client.publisher().exactly_once();
        let many = async {
            for n in 0..3 {
                publisher.send("ride", n.to_string()).await.unwrap();
            }
            publisher.flush().await
        };
        let restart = async {
            lose_the_answer(&network).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(server.log_stats().head, 4, "the server took them");
            server.shutdown(Duration::ZERO).await;
            drop(server);
            let server = serve(&network, 2, LogConfig::default()).await;
            tokio::time::sleep(LOSS).await;
            network.heal();
            server
        };
        let (one, many, server) = tokio::join!(client.publish("ride", "once"), many, restart);
        let unknown = |reason: &UnknownOutcome| matches!(reason, UnknownOutcome::Refused { code, .. } if *code == Code::OUTCOME_UNKNOWN);
        let (count, reason) = why(one.unwrap_err());
        assert!(count == 1 && unknown(&reason), "{reason}");
        let (count, reason) = why(many.unwrap_err());
        assert!(count == 3 && unknown(&reason), "{reason}");
        assert_eq!(server.log_stats().head, 0);
        assert_eq!(client.publish("ride", "anew").await.unwrap().seq(), 1);
    });
}

// QP-8.13, QP-8.14
#[test]
fn outside_the_window_the_outcome_is_unknown_and_nothing_is_published_again() {
    simulate(async {
        // The client gives up at half of the window.
        let network = Network::new(4);
        let server = serve(&network, 1, LogConfig::default()).await;
        let very = Config::default().publish_wait(Duration::from_secs(600));
        let client = connect(&network, 0, "ada", very).await;
        let result = publish_unanswered(&network, &client, &server, async {
            tokio::time::sleep(Duration::from_secs(200)).await;
            network.heal();
        });
        let (_, reason) = why(result.await.unwrap_err());
        assert!(matches!(reason, UnknownOutcome::TooLate), "{reason}");
        assert_eq!(client.publish("ride", "anew").await.unwrap().seq(), 2);

        // Others have published so much that the server has forgotten.
        let network = Network::new(5);
        let few = LogConfig::default().dedup(Duration::from_secs(120), 3);
        let server = serve(&network, 1, few).await;
        let client = connect(&network, 0, "ada", patient()).await;
        let other = connect(&network, 1, "bob", Config::default()).await;
        let result = publish_unanswered(&network, &client, &server, async {
            for n in 0..3 {
                other.publish("ride", n.to_string()).await.unwrap();
            }
            tokio::time::sleep(LOSS).await;
            network.heal();
        });
        let (_, reason) = why(result.await.unwrap_err());
        let forgotten = matches!(
            reason,
            UnknownOutcome::Refused {
                code: Code::OUTCOME_UNKNOWN,
                ..
            }
        );
        assert!(forgotten, "{reason}");
        assert_eq!(server.log_stats().head, 4);
    });
}

// QP-8.19, QP-9.1: a server that drains is to a publisher as one that was killed, whether or not it
// sends exactly once.
#[test]
fn publishers_go_on_in_order_when_the_server_is_restarted_gracefully() {
    for exactly_once in [false, true] {
        simulate(async {
            let network = Network::new(8);
            let server = serve(&network, 1, LogConfig::default()).await;
            let client = connect(&network, 0, "ada", patient()).await;
            let publisher = match exactly_once {
                true => client.publisher().exactly_once(),
                false => client.publisher(),
            };
            let publishing = async {
                for n in 0..2_000 {
                    publisher.send("lines", n.to_string()).await.unwrap();
                    if n % 10 == 0 {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                }
                publisher.flush().await.unwrap();
            };
            let single = async {
                for _ in 0..20 {
                    client.publish("single", "").key("k").await.unwrap();
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            let restart = async {
                tokio::time::sleep(Duration::from_millis(60)).await;
                let mut lines = server
                    .subscribe("lines")
                    .start(Start::Earliest)
                    .await
                    .unwrap();
                let read = async {
                    let mut taken = Vec::new();
                    while let Ok(Some(event)) = lines.try_next().await {
                        taken.push(event.text().unwrap().parse::<u32>().unwrap());
                    }
                    taken
                };
                let (_, taken) = tokio::join!(server.shutdown(Duration::from_secs(2)), read);
                (taken, serve(&network, 2, LogConfig::default()).await)
            };
            let ((), (), (mut taken, server)) = tokio::join!(publishing, single, restart);
            let before = taken.len();
            let mut lines = server
                .subscribe("lines")
                .start(Start::Earliest)
                .await
                .unwrap();
            while taken.len() < 2_000 {
                let event = lines.try_next().await.unwrap().unwrap();
                taken.push(event.text().unwrap().parse().unwrap());
            }
            assert!(
                (1..2_000).contains(&before),
                "it was in the middle: {before}"
            );
            assert!(taken.into_iter().eq(0..2_000), "each once and in order");
            let progress = publisher.progress();
            assert_eq!((progress.acknowledged, progress.lost), (2_000, 0));
        });
    }
}

#[test]
fn without_retries_the_loss_is_told_as_it_is() {
    simulate(async {
        let network = Network::new(6);
        let server = serve(&network, 1, LogConfig::default()).await;
        let plain = Config::default().publish_retry(false);
        let client = connect(&network, 0, "ada", plain).await;
        let result = publish_unanswered(&network, &client, &server, async {
            tokio::time::sleep(LOSS).await;
            network.heal();
        });
        let error = result.await.unwrap_err();
        assert!(matches!(error, PublishError::AckLost { .. }), "{error}");
        assert_eq!(server.log_stats().dedup_keys, 0);
    });
}

// QP-8.11
#[test]
fn a_key_makes_one_event_for_one_principal_and_one_name() {
    simulate(async {
        let network = Network::new(7);
        let server = serve(&network, 1, LogConfig::default()).await;
        let named = |name: &str| Config::default().publisher_name(name.into());
        let clients = [("ada", ""), ("ada", ""), ("bob", ""), ("ada", "billing")];
        let publishing = clients.iter().enumerate().map(|(n, (token, name))| {
            let network = &network;
            async move {
                let client = connect(network, n as u16, token, named(name)).await;
                let publish = client.publish("order", *token).key("order 4711");
                publish.await.unwrap().seq()
            }
        });
        let seqs = join_all(publishing).await;
        assert_eq!(seqs[0], seqs[1], "the same principal: {seqs:?}");
        assert_eq!(server.log_stats().head, 3, "{seqs:?}");
        let own = server.publish("order", "").key("order 4711").await.unwrap();
        assert_eq!(own.seq(), 4, "the server's own keys are apart");
    });
}
