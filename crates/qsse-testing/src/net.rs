//! A UDP network in memory: seeded loss, delay, reordering, duplication and partitions.
//!
//! Datagrams that arrive at one address are handed out in the order of (due time, send order), so
//! a range of delays reorders them and nothing else does. There is no bandwidth limit.

mod conditions;
mod socket;
mod state;
mod trace;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard},
};

use quinn::AsyncUdpSocket;

use socket::Socket;
use state::State;

pub use conditions::Conditions;
pub use trace::{Counters, Fate, Step};

/// Where the server of every network is: 10.0.0.1:4242.
pub const SERVER_ADDRESS: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 4242);

/// The simulated network; clones are the same network.
///
/// Must be made inside a tokio runtime with time enabled, whose clock it uses.
#[derive(Debug, Clone)]
pub struct Network {
    seed: u64,
    state: Arc<Mutex<State>>,
}

impl Network {
    /// A network without faults (see [`Conditions::default`]) whose random choices come from
    /// `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            state: Arc::new(Mutex::new(State::new(seed))),
        }
    }

    /// The seed this network was made with.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// What happens to datagrams from now on. Those already under way keep their due time.
    pub fn set_conditions(&self, conditions: Conditions) {
        self.lock().conditions = conditions;
    }

    /// Where [`server_socket`](Self::server_socket) is: [`SERVER_ADDRESS`].
    pub fn server_address(&self) -> SocketAddr {
        SERVER_ADDRESS
    }

    /// Where [`client_socket`](Self::client_socket) number `n` is: 10.1.x.y:5000.
    pub fn client_address(&self, n: u16) -> SocketAddr {
        let [high, low] = n.to_be_bytes();
        (Ipv4Addr::new(10, 1, high, low), 5000).into()
    }

    /// The socket at [`server_address`](Self::server_address).
    ///
    /// # Panics
    /// While another socket has that address.
    pub fn server_socket(&self) -> Arc<dyn AsyncUdpSocket> {
        self.socket(self.server_address())
    }

    /// The socket of client number `n`.
    ///
    /// # Panics
    /// While another socket has that address.
    pub fn client_socket(&self, n: u16) -> Arc<dyn AsyncUdpSocket> {
        self.socket(self.client_address(n))
    }

    /// A socket at `address`, which is free again once the socket was dropped. For an endpoint
    /// that is some time after its own drop: [`free`](Self::free) tells.
    ///
    /// # Panics
    /// While another socket has that address.
    pub fn socket(&self, address: SocketAddr) -> Arc<dyn AsyncUdpSocket> {
        Arc::new(Socket::open(Arc::clone(&self.state), address))
    }

    /// True while no socket has `address`.
    pub fn free(&self, address: SocketAddr) -> bool {
        !self.lock().has_socket(address)
    }

    /// From now on nothing passes between an address of `a` and one of `b`, in either direction.
    /// What is under way still arrives. Partitions add up until [`heal`](Self::heal).
    pub fn partition(
        &self,
        a: impl IntoIterator<Item = SocketAddr>,
        b: impl IntoIterator<Item = SocketAddr>,
    ) {
        let sides = (a.into_iter().collect(), b.into_iter().collect());
        self.lock().partitions.push(sides);
    }

    /// Ends every partition.
    pub fn heal(&self) {
        self.lock().partitions.clear();
    }

    /// What has become of the datagrams so far.
    pub fn counters(&self) -> Counters {
        self.lock().trace.counters()
    }

    /// A hash over the fate of every datagram so far: time, from, to, length, what became of it,
    /// in order. Two runs with the same hash were the same run.
    pub fn trace_hash(&self) -> u64 {
        self.lock().trace.hash()
    }

    /// From now on keeps every step for [`steps`](Self::steps), to find where two runs part.
    pub fn keep_steps(&self) {
        self.lock().trace.keep_steps();
    }

    /// The steps kept since [`keep_steps`](Self::keep_steps), in order.
    pub fn steps(&self) -> Vec<Step> {
        self.lock().trace.steps().to_vec()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("a test that panicked here is over")
    }
}
