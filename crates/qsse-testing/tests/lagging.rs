//! A consumer that stalls on a simulated network, under each policy: it gets everything, or is told
//! what it does not get.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use std::time::Duration;

use qsse_client::{
    Client, Gap, GapReason, Item, Notice, OnLag, Outcome, Start, Subscription, SubscriptionError,
};
use qsse_server::{Config, LogConfig, Server};
use qsse_testing::net::Network;
use qsse_testing::{endpoints, fixtures};

/// Far more than windows and feed hold.
const FLOOD: u64 = 4_000;
const TOPICS: u64 = 4;

/// What a subscriber got.
#[derive(Debug)]
enum Got {
    Event(u64),
    Gap(Gap),
    Lagged,
}

struct Run {
    client: Client,
    server: Server,
    /// Up to the last event published.
    got: Vec<Got>,
    /// Where it stood then.
    stood: Subscription,
}

/// Subscribes, reads one event, stalls while the flood is published, and reads on to the last
/// event.
async fn stalled(on_lag: OnLag) -> Run {
    let network = Network::new(3);
    let config = Config::default().log(LogConfig::default().feed_bytes(64 << 10));
    let server = Server::bind(network.server_address())
        .endpoint(endpoints::server(&network).unwrap())
        .config(config)
        .epoch(3)
        .await
        .unwrap();
    let client = Client::connect(network.server_address())
        .tls(fixtures::client_tls())
        .endpoint(endpoints::client(&network, 1).unwrap())
        .seed(3)
        .await
        .unwrap();
    let publish = async |n: u64| {
        let topic = format!("t{}", n % TOPICS);
        server.publish(topic, format!("{n:>1000}")).await.unwrap();
        // So that the delivery has its turn: it falls behind because nobody reads, not because of a
        // burst.
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    let mut events = client.subscribe("*").on_lag(on_lag).await.unwrap();
    assert_eq!(events.outcome().await, Some(Outcome::Live));
    publish(1).await;
    let mut got = vec![read(&mut events).await];
    for n in 2..=FLOOD {
        publish(n).await;
    }
    // With `Skip` what is published before the gap was written is within it: until something comes
    // behind it.
    let mut last = FLOOD;
    loop {
        let item = tokio::time::timeout(Duration::from_secs(5), read(&mut events)).await;
        match item {
            Ok(item) => {
                let (is_last, ended) = (
                    matches!(item, Got::Event(seq) if seq == last),
                    matches!(item, Got::Lagged),
                );
                got.push(item);
                if ended || is_last {
                    break;
                }
            }
            Err(_) => {
                last += 1;
                publish(last).await;
            }
        }
    }
    Run {
        client,
        server,
        got,
        stood: events,
    }
}

async fn read(events: &mut Subscription) -> Got {
    match events.next_item().await.expect("no end") {
        Ok(Item::Event(event)) => Got::Event(event.id().seq()),
        Ok(Item::Notice(Notice::Gap(gap))) => Got::Gap(gap),
        Ok(Item::Notice(other)) => panic!("{other}"),
        Err(SubscriptionError::Lagged) => Got::Lagged,
        Err(other) => panic!("{other}"),
    }
}

/// Fails unless what is missing was told before what follows. Gives the gaps and the events behind
/// the last one.
fn judge(got: &[Got]) -> (Vec<Gap>, Vec<u64>) {
    let (mut last, mut told) = (0, 0);
    let (mut gaps, mut behind) = (Vec::new(), Vec::new());
    for item in got {
        match item {
            Got::Event(seq) => {
                assert!(*seq > last, "{seq} after {last}");
                assert!(*seq == last + 1 || *seq <= told + 1, "{last}, then {seq}");
                last = *seq;
                behind.push(*seq);
            }
            Got::Gap(gap) => {
                assert_eq!(gap.after.seq(), last.max(told));
                told = gap.to.seq();
                gaps.push(*gap);
                behind.clear();
            }
            Got::Lagged => {}
        }
    }
    (gaps, behind)
}

fn simulate<T>(run: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build();
    runtime.unwrap().block_on(run)
}

#[test]
fn catching_up_gives_everything() {
    let run = simulate(stalled(OnLag::CatchUp));
    let (gaps, events) = judge(&run.got);
    assert!(gaps.is_empty() && events.into_iter().eq(1..=FLOOD));
}

#[test]
fn skipping_tells_one_gap_and_goes_on_behind_it() {
    let run = simulate(stalled(OnLag::Skip));
    let (gaps, behind) = judge(&run.got);
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert_eq!(gaps[0].reason, GapReason::Skipped);
    assert!(gaps[0].at_most < FLOOD && gaps[0].to.seq() >= FLOOD);
    assert_eq!(behind, [gaps[0].to.seq() + 1]);
}

#[test]
fn latest_tells_one_gap_and_gives_the_last_of_each_topic() {
    let run = simulate(stalled(OnLag::Latest));
    let (gaps, behind) = judge(&run.got);
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert_eq!(gaps[0].reason, GapReason::Latest);
    let latest: Vec<u64> = (FLOOD - TOPICS + 1..=FLOOD).collect();
    assert_eq!(behind, latest);
}

#[test]
fn disconnecting_ends_it_with_a_cursor_that_goes_on() {
    simulate(async {
        let Run {
            client,
            server,
            mut got,
            stood: mut ended,
        } = stalled(OnLag::Disconnect).await;
        assert!(matches!(got.pop(), Some(Got::Lagged)));
        assert!(ended.next().await.is_none());
        assert!(client.state().current().is_connected(), "it ends alone");
        let before = got.len() as u64;
        assert!(before < FLOOD);
        assert_eq!(ended.cursor().id().seq(), before);
        let again = client.subscribe("*").on_lag(OnLag::Disconnect);
        let mut again = again.start(ended.cursor()).await.unwrap();
        assert_eq!(again.outcome().await, Some(Outcome::Resumed));
        for _ in before..FLOOD {
            got.push(read(&mut again).await);
        }
        let (gaps, events) = judge(&got);
        assert!(gaps.is_empty() && events.into_iter().eq(1..=FLOOD));
        // Having caught up it is live again.
        server.publish("t0", "live").await.unwrap();
        assert!(matches!(read(&mut again).await, Got::Event(seq) if seq == FLOOD + 1));
    });
}

// QP-5.13
#[test]
fn subscriptions_that_were_ended_for_memory_resume_when_they_are_read() {
    const SUBSCRIPTIONS: usize = 12;
    const EVENTS: u64 = 200;
    simulate(async {
        let network = Network::new(4);
        let log = LogConfig::default().feeds_bytes(64 << 10);
        let server = Server::bind(network.server_address())
            .endpoint(endpoints::server(&network).unwrap())
            .config(Config::default().log(log).max_unread_bytes(128 << 10))
            .epoch(4)
            .await
            .unwrap();
        for n in 1..=EVENTS {
            server.publish("t", format!("{n:>1000}")).await.unwrap();
        }
        let mut config = qsse_client::Config::default();
        config.transport.stream_receive_window = Some(2_000);
        let client = Client::connect(network.server_address())
            .config(config)
            .tls(fixtures::client_tls())
            .endpoint(endpoints::client(&network, 1).unwrap())
            .seed(4)
            .await
            .unwrap();
        let mut all = Vec::new();
        for n in 0..SUBSCRIPTIONS {
            let patterns = ["t".to_owned(), format!("none.{n}")];
            let events = client.subscribe(patterns).start(Start::Earliest).await;
            all.push(events.unwrap());
        }
        let ended = |server: &Server| {
            let text = server.metrics_text();
            let mut lines = text.lines();
            let ended = lines.find_map(|line| line.strip_prefix("qsse_qsse_shed_subscriptions "));
            ended.map_or(0, |count| count.parse::<usize>().unwrap())
        };
        while ended(&server) < SUBSCRIPTIONS / 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for mut events in all {
            for n in 1..=EVENTS {
                assert!(matches!(read(&mut events).await, Got::Event(seq) if seq == n));
            }
        }
    });
}
