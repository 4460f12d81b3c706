//! A program that decides who may do what, and stores events itself, with this crate alone.
#![cfg(all(feature = "client", feature = "server"))]

use std::error::Error;
use std::sync::{Arc, Mutex};

use qsse::server::storage::{
    Batch, Entry, EventRef, Lineage, Now, PublishKey, PublisherId, PublisherRun, Recovered,
    StoredEvents,
};
use qsse::server::{
    Acknowledge, Action, Authenticator, Authorizer, Credentials, Denied, Epoch, PatternRef,
    Principal, Scope, Server, Storage, StorageError, TopicRef, async_trait,
};
use qsse::{Client, Filter, Start, Timestamp, Topic};

/// Lets in whoever knows the token, under the name that it begins with.
struct Tokens;

#[async_trait]
impl Authenticator for Tokens {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Principal, Denied> {
        let token = credentials.token.unwrap_or_default();
        match token.split_once(':') {
            Some((name, "secret")) => Ok(Principal::new(name)),
            _ => Err(Denied::new("the token is wrong")),
        }
    }
}

/// Lets everybody publish and subscribe below their own name.
struct OwnTopics;

#[async_trait]
impl Authorizer for OwnTopics {
    fn scope(&self) -> Scope {
        Scope::Patterns
    }

    async fn authorize(
        &self,
        principal: &Principal,
        action: Action,
        resource: PatternRef<'_>,
    ) -> bool {
        let first = resource.as_str().split('.').next();
        matches!(action, Action::Publish | Action::Subscribe) && first == Some(principal.name())
    }
}

/// Stores batches in a list, together with the keys and runs of publishers.
#[derive(Default)]
struct Stack {
    batches: Mutex<Vec<Batch>>,
    keys: Mutex<Vec<(u64, PublishKey)>>,
    runs: Mutex<Vec<(PublisherId, PublisherRun)>>,
}

/// The storage that the server owns.
struct Handle(Arc<Stack>);

impl Stack {
    fn selected(&self, wanted: impl Fn(&EventRef<'_>) -> bool) -> Vec<Batch> {
        let batches = self.batches.lock().expect("no thread panicked");
        batches
            .iter()
            .filter_map(|batch| batch.filter(&wanted))
            .collect()
    }

    fn topics_of(&self, filter: &Filter) -> Vec<(u64, Topic)> {
        let batches = self.batches.lock().expect("no thread panicked");
        let events = batches.iter().flat_map(Batch::iter);
        let named = events.filter_map(|event| Some((event.seq(), Topic::new(event.topic()).ok()?)));
        named.filter(|(_, topic)| filter.matches(topic)).collect()
    }
}

#[async_trait]
impl Storage for Handle {
    fn recovered(&self) -> Recovered {
        let mut recovered = Recovered::new(Epoch::new(7));
        recovered.lineage = Lineage::new(Epoch::new(7));
        recovered
    }

    async fn append(&self, entries: Vec<Entry>, _: Acknowledge) -> Result<(), StorageError> {
        for entry in entries {
            self.0.batches.lock().map_err(failed)?.push(entry.batch);
            self.0.keys.lock().map_err(failed)?.extend(entry.keys);
            self.0.runs.lock().map_err(failed)?.extend(entry.runs);
        }
        Ok(())
    }

    async fn reserve(&self, upto: u64) -> Result<u64, StorageError> {
        Ok(upto + 1_000)
    }

    async fn read(
        &self,
        filter: Filter,
        after: u64,
        upto: u64,
        _budget: usize,
    ) -> Result<StoredEvents, StorageError> {
        let mut stored = StoredEvents::default();
        stored.batches = self.0.selected(|event| {
            let topic = TopicRef::new(event.topic());
            (after + 1..=upto).contains(&event.seq())
                && topic.is_ok_and(|topic| filter.matches(topic))
        });
        stored.through = upto;
        Ok(stored)
    }

    fn topics(&self, filter: &Filter, limit: usize) -> Vec<Topic> {
        let topics = self.0.topics_of(filter).into_iter();
        let mut topics: Vec<_> = topics.map(|(_, topic)| topic).collect();
        topics.sort_unstable();
        topics.dedup();
        topics.truncate(limit);
        topics
    }

    fn floor(&self, _: &Filter, _: u64) -> u64 {
        0
    }

    fn oldest(&self) -> u64 {
        0
    }

    async fn seq_at(&self, time: Timestamp, _until: Timestamp) -> Result<u64, StorageError> {
        let later = self.0.selected(|event| event.time() >= time);
        Ok(later.first().map_or(u64::MAX, Batch::first_seq))
    }

    async fn tail(
        &self,
        filter: Filter,
        _n: u64,
        _upto: u64,
    ) -> Result<Vec<(Topic, u64)>, StorageError> {
        let events = self.0.topics_of(&filter).into_iter();
        Ok(events.map(|(seq, topic)| (topic, seq)).collect())
    }

    async fn retain(&self, _: Now) -> Result<Vec<(Topic, u64)>, StorageError> {
        Ok(Vec::new())
    }

    async fn close(&self, _given_out: u64) -> Result<(), StorageError> {
        Ok(())
    }

    fn health(&self) -> Result<(), StorageError> {
        Ok(())
    }
}

fn failed<E>(_: E) -> StorageError {
    let reason: Box<dyn Error + Send + Sync> = "a thread panicked".into();
    StorageError::Failed(reason.into())
}

#[tokio::test]
async fn a_server_uses_the_authenticator_the_authorizer_and_the_storage_of_its_program()
-> Result<(), Box<dyn Error>> {
    let stack = Arc::new(Stack::default());
    let server = Server::bind("127.0.0.1:0")
        .authenticator(Tokens)
        .authorizer(OwnTopics)
        .storage(Handle(Arc::clone(&stack)))
        .await?;
    let client = Client::connect(server.url()).token("ada:secret").await?;
    let refused = client.publish("bob.greeting", "hello").await;
    assert!(refused.is_err(), "another one's topic");
    let published = client.publish("ada.greeting", "hello").await?;
    let mut greetings = client.subscribe("ada.*").start(Start::Earliest).await?;
    let event = greetings.try_next().await?.expect("the server is open");
    assert_eq!((event.id(), event.text()?), (published, "hello"));
    let stored = stack.batches.lock().expect("no thread panicked").clone();
    assert_eq!(stored.iter().map(Batch::count).sum::<u32>(), 1);
    let stranger = Client::connect(server.url()).token("bob:guess").await;
    assert!(stranger.is_err(), "a wrong token");
    Ok(())
}
