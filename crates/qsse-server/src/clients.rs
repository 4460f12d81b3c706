//! [`Clients`]: the clients that were let in, and the rights that were taken back.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use qsse_proto::Code;
use tokio::time::Instant;

use crate::auth::Principal;
use crate::info::ConnectionInfo;
use crate::revocation::{NoRoom, Revocation, Revocations};

/// A client that was let in, as the server's other parts see it.
pub(crate) trait Client: Send + Sync {
    /// Returns who it is now.
    fn principal(&self) -> Arc<Principal>;

    /// Describes it; `id` is its number.
    fn info(&self, id: u64) -> ConnectionInfo;

    /// Takes all rights from it and closes its connection, at once.
    fn expel(&self, code: Code, reason: &str);

    /// Has its token checked again.
    fn recheck(&self);
}

/// All clients of a server. Its lock is taken when a client comes, leaves or refreshes its token,
/// and never by a publish or a delivery.
pub(crate) struct Clients {
    state: Mutex<State>,
}

struct State {
    last_id: u64,
    /// How often all clients were to be checked again.
    checks: u64,
    /// The tasks of a client own it. A share must not be dropped under the lock: if it is the last
    /// one, it takes the lock.
    open: BTreeMap<u64, Weak<dyn Client>>,
    revocations: Revocations,
}

/// The principal is revoked.
pub(crate) struct Revoked;

impl Revoked {
    pub(crate) const CODE: Code = Code::NOT_AUTHORISED;
    pub(crate) const REASON: &str = "the token was revoked";
}

/// The place of a client among the others, until it is dropped.
pub(crate) struct Admitted {
    clients: Arc<Clients>,
    id: u64,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.clients.state.lock().open.remove(&self.id);
    }
}

impl Clients {
    pub(crate) fn new(max_revocations: usize) -> Self {
        let state = State {
            last_id: 0,
            checks: 0,
            open: BTreeMap::new(),
            revocations: Revocations::new(max_revocations),
        };
        let state = Mutex::new(state);
        Self { state }
    }

    /// Returns how often all clients were to be checked again.
    pub(crate) fn checks(&self) -> u64 {
        self.state.lock().checks
    }

    /// Adds a client, unless it is revoked. Either this sees a revocation, or the revocation sees
    /// this client. The same is true of checks; there were `checks` of them before its token was
    /// checked.
    pub(crate) fn admit(
        self: &Arc<Self>,
        client: &Arc<dyn Client>,
        checks: u64,
    ) -> Result<Admitted, Revoked> {
        let mut state = self.state.lock();
        if state.revocations.has(&client.principal()) {
            return Err(Revoked);
        }
        if state.checks != checks {
            client.recheck();
        }
        state.last_id += 1;
        let id = state.last_id;
        state.open.insert(id, Arc::downgrade(client));
        let clients = Arc::clone(self);
        Ok(Admitted { clients, id })
    }

    /// Calls `replace`, which gives a client this principal, unless it is revoked.
    pub(crate) fn renew(
        &self,
        principal: Principal,
        replace: impl FnOnce(Principal),
    ) -> Result<(), Revoked> {
        let state = self.state.lock();
        if state.revocations.has(&principal) {
            return Err(Revoked);
        }
        replace(principal);
        Ok(())
    }

    /// Remembers a revocation and expels the clients that it is about. Returns how many, and
    /// whether it is remembered.
    pub(crate) fn revoke(&self, revocation: &Revocation) -> (usize, Result<(), NoRoom>) {
        let mut state = self.state.lock();
        let remembered = state.revocations.add(revocation);
        let clients = state.clients();
        drop(state);
        let about = clients.iter().map(|(_, client)| client);
        let about = about.filter(|client| revocation.is_about(&client.principal()));
        let expelled = about.map(|client| client.expel(Revoked::CODE, Revoked::REASON));
        (expelled.count(), remembered)
    }

    /// Forgets a revocation. Returns whether it was remembered.
    pub(crate) fn unrevoke(&self, revocation: &Revocation) -> bool {
        self.state.lock().revocations.remove(revocation)
    }

    /// Returns the number of revocations that are remembered.
    pub(crate) fn revocations(&self) -> usize {
        let mut state = self.state.lock();
        state.revocations.forget_expired(Instant::now());
        state.revocations.len()
    }

    /// Has the tokens of all clients checked again, also of those that are being let in.
    pub(crate) fn recheck(&self) {
        let clients = {
            let mut state = self.state.lock();
            state.checks += 1;
            state.clients()
        };
        clients.iter().for_each(|(_, client)| client.recheck());
    }

    pub(crate) fn get(&self, id: u64) -> Option<Arc<dyn Client>> {
        self.state.lock().open.get(&id)?.upgrade()
    }

    /// Returns all clients by their numbers.
    pub(crate) fn all(&self) -> Vec<(u64, Arc<dyn Client>)> {
        self.state.lock().clients()
    }
}

impl State {
    fn clients(&self) -> Vec<(u64, Arc<dyn Client>)> {
        let open = self.open.iter();
        open.filter_map(|(id, client)| Some((*id, client.upgrade()?)))
            .collect()
    }
}
