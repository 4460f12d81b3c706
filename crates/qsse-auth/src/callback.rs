//! [`Callback`]: another program decides, over HTTP.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use hyper::StatusCode;
use parking_lot::Mutex;
use qsse_server::{Authenticator, Credentials, Denied, Principal, PrincipalLimits};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::certificate;
use crate::error::SetupError;
use crate::http::Endpoint;
use crate::permissions::{Permissions, named};

/// Most questions at a time. Further ones wait, and that counts as the time of the answer.
const QUESTIONS: usize = 16;

/// Most answers that are remembered, about 500 bytes each.
const ANSWERS: usize = 10_000;

/// The longest time for which a refusal is remembered.
const REFUSED: Duration = Duration::from_secs(5);

/// The longest name of a principal, and the longest reason that is passed on.
const TEXT_BYTES: usize = 200;

/// What a client gets if there is no proper answer.
const UNCHECKED: &str = "the token could not be checked: try again later";

/// Asks another program about each client, with `POST` and JSON, and remembers the answers.
///
/// ```json
/// {"token": "…", "address": "192.0.2.7:50000", "certificate": ["dns:worker.example.org"]}
/// ```
///
/// `token` is `null` without one, and `certificate` has the names of a verified certificate. With
/// status 200 the client is accepted. All fields of the answer are optional but one of `subscribe`
/// and `publish`:
///
/// ```json
/// {"principal": "ada", "token_id": "5", "subscribe": ["ride.*"], "publish": [],
///  "namespace": "tenant7", "limits": {"connections": 4}, "ttl": 3600}
/// ```
///
/// After `ttl` seconds the connection ends, unless the client sends a token again. Without
/// `principal`, the principal is its token. Status 401 and 403 refuse; the client gets the text in
/// `{"reason": "…"}`. Everything else (another status, an unknown field, no answer within 3 s)
/// refuses too, and is not remembered.
pub struct Callback {
    endpoint: Endpoint,
    cache: Duration,
    answers: Mutex<Answers>,
    room: Semaphore,
}

#[derive(Default)]
struct Answers {
    known: HashMap<[u8; 32], Known>,
    /// When a failure was last logged, so that the log stays readable.
    logged: Option<Instant>,
}

/// An answer that is remembered.
#[derive(Clone)]
struct Known {
    until: Instant,
    answer: Result<Accepted, Denied>,
}

#[derive(Clone)]
struct Accepted {
    principal: Principal,
    ends: Option<Instant>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Yes {
    principal: Option<String>,
    token_id: Option<String>,
    #[serde(default)]
    subscribe: Vec<String>,
    #[serde(default)]
    publish: Vec<String>,
    namespace: Option<String>,
    #[serde(default, deserialize_with = "named")]
    limits: PrincipalLimits,
    ttl: Option<u64>,
}

#[derive(Deserialize)]
struct No {
    reason: String,
}

impl Callback {
    /// Asks the program at this URL. The URL begins with `https://`; `http://` is only accepted for
    /// this machine. `ca` is a PEM file with the authorities to trust instead of the system's.
    ///
    /// # Errors
    /// The URL or the file is wrong.
    pub fn new(url: &str, ca: Option<&Path>) -> Result<Self, SetupError> {
        Ok(Self {
            endpoint: Endpoint::new(url, ca)?,
            cache: Duration::from_secs(10),
            answers: Mutex::default(),
            room: Semaphore::new(QUESTIONS),
        })
    }

    /// Sets how long an answer is remembered, at most for its `ttl`. Default 10 s. A refusal is
    /// remembered for 5 s at most.
    #[must_use]
    pub fn cache(mut self, time: Duration) -> Self {
        self.cache = time;
        self
    }

    async fn ask(&self, credentials: &Credentials<'_>, names: &[String]) -> Option<Known> {
        let question = serde_json::json!({
            "token": credentials.token,
            "address": credentials.address.to_string(),
            "certificate": names,
        });
        let _permit = self.room.acquire().await.ok()?;
        let answer = self.endpoint.post(question.to_string().into_bytes()).await;
        let decided = match answer {
            Ok((StatusCode::OK, body)) => self.accepted(credentials, &body),
            Ok((StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, body)) => Ok(self.refused(&body)),
            Ok((status, _)) => Err(format!("it answers {status}")),
            Err(error) => Err(error.to_string()),
        };
        decided.map_err(|problem| self.log(&problem)).ok()
    }

    fn accepted(&self, credentials: &Credentials<'_>, body: &[u8]) -> Result<Known, String> {
        let yes: Result<Yes, _> =
            serde_json::from_slice(body).and_then(|value: serde_json::Value| named(value));
        let yes = yes.map_err(|error| format!("its answer cannot be understood: {error}"))?;
        let permissions = Permissions {
            subscribe: yes.subscribe,
            publish: yes.publish,
            namespace: yes.namespace,
            limits: yes.limits,
        };
        let rights = permissions.check()?;
        let principal = match (&yes.principal, credentials.token) {
            (Some(name), _) => Principal::new(fit(name).ok_or("its principal is not a name")?),
            (None, Some(token)) => Principal::of_token("token", token),
            (None, None) => Principal::anonymous(),
        };
        let token_id = match (&yes.token_id, credentials.token) {
            (Some(id), _) => Some(fit(id).ok_or("its token_id is not a name")?.to_owned()),
            (None, token) => token.map(Principal::token_id_of),
        };
        let principal = match token_id {
            Some(id) => principal.with_token_id(id),
            None => principal,
        };
        let now = Instant::now();
        let ttl = yes.ttl.map(Duration::from_secs);
        Ok(Known {
            until: now + ttl.unwrap_or(self.cache).min(self.cache),
            answer: Ok(Accepted {
                principal: rights.give(principal),
                // A time that the clock does not have is for ever.
                ends: ttl.and_then(|ttl| now.checked_add(ttl)),
            }),
        })
    }

    fn refused(&self, body: &[u8]) -> Known {
        let said: Option<No> = serde_json::from_slice(body).ok();
        let reason = said.as_ref().and_then(|said| fit(&said.reason));
        Known {
            until: Instant::now() + self.cache.min(REFUSED),
            answer: Err(Denied::new(
                reason.unwrap_or("this server does not know the token"),
            )),
        }
    }

    /// Logs a failure, once a second at most.
    fn log(&self, problem: &str) {
        let mut answers = self.answers.lock();
        let now = Instant::now();
        let pause = Duration::from_secs(1);
        if answers.logged.is_none_or(|last| last + pause <= now) {
            answers.logged = Some(now);
            tracing::warn!("the auth callback does not work, so clients are refused: {problem}");
        }
    }
}

#[async_trait]
impl Authenticator for Callback {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Principal, Denied> {
        let names = credentials.certificates.first();
        let names = names.map_or_else(Vec::new, |leaf| certificate::names(leaf));
        let key = key(&credentials, &names);
        let known = self.answers.lock().get(&key);
        let known = match known {
            Some(known) => known,
            None => {
                let Some(known) = self.ask(&credentials, &names).await else {
                    return Err(Denied::new(UNCHECKED));
                };
                self.answers.lock().insert(key, known.clone());
                known
            }
        };
        let Accepted { principal, ends } = known.answer?;
        Ok(match ends {
            None => principal,
            Some(ends) => principal.valid_for(ends.saturating_duration_since(Instant::now())),
        })
    }
}

impl Answers {
    fn get(&self, key: &[u8; 32]) -> Option<Known> {
        let known = self.known.get(key)?;
        (Instant::now() < known.until).then(|| known.clone())
    }

    fn insert(&mut self, key: [u8; 32], known: Known) {
        let now = Instant::now();
        if self.known.len() >= ANSWERS {
            self.known.retain(|_, known| now < known.until);
        }
        if self.known.len() >= ANSWERS {
            self.known.clear();
        }
        self.known.insert(key, known);
    }
}

/// Returns what answers are found by: everything that the other program may decide by, except the
/// port.
fn key(credentials: &Credentials<'_>, names: &[String]) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut add = |field: &str| {
        hash.update((field.len() as u64).to_le_bytes());
        hash.update(field);
    };
    add(&credentials.address.ip().to_string());
    add(if credentials.token.is_some() {
        "token"
    } else {
        ""
    });
    add(credentials.token.unwrap_or_default());
    names.iter().for_each(|name| add(name));
    hash.finalize().into()
}

/// Returns a text that may be shown.
fn fit(text: &str) -> Option<&str> {
    let fits = (1..=TEXT_BYTES).contains(&text.len()) && !text.contains(char::is_control);
    fits.then_some(text)
}
