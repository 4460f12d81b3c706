//! [`Revocation`]: a right to connect that was taken back, and the table of these.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::auth::Principal;

/// What is revoked: all tokens of a principal, or one token.
///
/// ```
/// use qsse_server::Revocation;
/// use std::time::Duration;
///
/// let hour = Duration::from_secs(3600);
/// let revocation = Revocation::token_id("7f3a").remember_for(hour);
/// assert_eq!(revocation.to_string(), "token id 7f3a");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Revocation {
    subject: Subject,
    remember: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Subject {
    Principal(String),
    TokenId(String),
}

/// Longer than most tokens are valid.
const REMEMBER: Duration = Duration::from_secs(24 * 3600);

/// About a hundred years. It is added to the time, which has a last moment.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

impl Revocation {
    /// Revokes every token of the principals with this name.
    pub fn principal(name: impl Into<String>) -> Self {
        Self::of(Subject::Principal(name.into()))
    }

    /// Revokes the token with this [id](Principal::token_id).
    pub fn token_id(id: impl Into<String>) -> Self {
        Self::of(Subject::TokenId(id.into()))
    }

    fn of(subject: Subject) -> Self {
        let remember = REMEMBER;
        Self { subject, remember }
    }

    /// Sets how long the server remembers it, and refuses new connections. Default: a day. Choose
    /// at least the time for which the token is still valid.
    #[must_use]
    pub fn remember_for(mut self, time: Duration) -> Self {
        self.remember = time.min(LONGEST);
        self
    }

    /// Returns whether this principal is revoked by it.
    pub(crate) fn is_about(&self, principal: &Principal) -> bool {
        match &self.subject {
            Subject::Principal(name) => principal.name() == name,
            Subject::TokenId(id) => principal.token_id() == Some(id),
        }
    }
}

impl std::fmt::Display for Revocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.subject {
            Subject::Principal(name) => write!(f, "principal {name}"),
            Subject::TokenId(id) => write!(f, "token id {id}"),
        }
    }
}

/// Why a revocation is not remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RevokeError {
    /// The table of revocations is full. The connections were closed all the same.
    #[error(
        "{closed} connections were closed, but they may come back: the server already remembers {limit} revocations"
    )]
    Full {
        /// The limit, [`max_revocations`](crate::Config#structfield.max_revocations).
        limit: usize,
        /// The number of connections that were closed.
        closed: usize,
    },
}

/// The revocations that are remembered.
pub(crate) struct Revocations {
    limit: usize,
    principals: HashMap<String, Instant>,
    token_ids: HashMap<String, Instant>,
}

/// There is no room in the table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

impl Revocations {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            principals: HashMap::new(),
            token_ids: HashMap::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.principals.len() + self.token_ids.len()
    }

    /// Remembers a revocation. A longer one of the same subject stays.
    pub(crate) fn add(&mut self, revocation: &Revocation) -> Result<(), NoRoom> {
        let now = Instant::now();
        if self.len() >= self.limit {
            self.forget_expired(now);
        }
        let is_full = self.len() >= self.limit;
        let (table, name) = self.table(revocation);
        if is_full && !table.contains_key(name) {
            return Err(NoRoom);
        }
        let until = now + revocation.remember;
        let known = table.entry(name.to_owned()).or_insert(until);
        *known = until.max(*known);
        Ok(())
    }

    /// Forgets a revocation. Returns whether it was remembered.
    pub(crate) fn remove(&mut self, revocation: &Revocation) -> bool {
        let (table, name) = self.table(revocation);
        table
            .remove(name)
            .is_some_and(|until| Instant::now() < until)
    }

    /// Returns whether the principal is revoked.
    pub(crate) fn has(&self, principal: &Principal) -> bool {
        if self.len() == 0 {
            return false;
        }
        let now = Instant::now();
        let lasts = |until: Option<&Instant>| until.is_some_and(|until| now < *until);
        let token_id = principal.token_id().and_then(|id| self.token_ids.get(id));
        lasts(self.principals.get(principal.name())) || lasts(token_id)
    }

    pub(crate) fn forget_expired(&mut self, now: Instant) {
        self.principals.retain(|_, until| now < *until);
        self.token_ids.retain(|_, until| now < *until);
    }

    fn table<'r>(
        &mut self,
        revocation: &'r Revocation,
    ) -> (&mut HashMap<String, Instant>, &'r str) {
        match &revocation.subject {
            Subject::Principal(name) => (&mut self.principals, name),
            Subject::TokenId(id) => (&mut self.token_ids, id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(revocation: Revocation) -> Revocation {
        revocation.remember_for(Duration::from_secs(10))
    }

    #[tokio::test(start_paused = true)]
    async fn a_revocation_is_forgotten_after_its_time_and_makes_room_for_another() {
        let mut revocations = Revocations::new(2);
        let ada = Principal::new("ada").with_token_id("1");
        let by_name = short(Revocation::principal("ada"));
        let by_token = short(Revocation::token_id("1"));
        revocations.add(&by_name).unwrap();
        assert!(revocations.has(&ada));
        assert!(!revocations.has(&Principal::new("1").with_token_id("ada")));
        assert!(revocations.remove(&by_name) && !revocations.remove(&by_name));
        assert!(!revocations.has(&ada));

        revocations.add(&by_token).unwrap();
        revocations
            .add(&short(Revocation::principal("bob")))
            .unwrap();
        let third = Revocation::principal("eve");
        assert_eq!(revocations.add(&third), Err(NoRoom));
        revocations.add(&by_token).expect("it is in the table");
        assert!(revocations.has(&ada));

        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(!revocations.has(&ada));
        revocations.add(&third).unwrap();
        assert_eq!(revocations.len(), 1);
    }
}
