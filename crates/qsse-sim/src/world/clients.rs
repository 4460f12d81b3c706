//! The clients of a world, and which of them are cut off.

use super::*;

/// Who is cut off.
pub(super) struct Cuts {
    pub(super) network: Network,
    pub(super) server: bool,
    pub(super) clients: BTreeSet<SocketAddr>,
}

impl Cuts {
    pub(super) fn apply(&self) {
        let Self {
            network,
            server,
            clients,
        } = self;
        network.heal();
        if *server {
            let all = (0..ADDRESSES).map(|n| network.client_address(n));
            network.partition(all, [network.server_address()]);
        } else if !clients.is_empty() {
            network.partition(clients.iter().copied(), [network.server_address()]);
        }
    }
}

/// Clients.
impl World {
    /// Makes a client in a place.
    pub(crate) fn connect(self: &std::rc::Rc<Self>, place: usize) {
        let n = self.next_address.get();
        self.next_address.set(n + 1);
        let at = &self.places[place];
        at.address.set(n);
        at.generation.set(at.generation.get() + 1);
        let mut model = self.model.borrow_mut();
        let newest = model.newest(place);
        model.accepted(place, newest);
        let begun = model.moment();
        drop(model);
        let world = self.clone();
        let task = spawn_local(async move {
            let mut transport = TransportConfig::client().idle_timeout(IDLE);
            transport.keep_alive = Some(Duration::from_secs(2));
            transport.stream_receive_window = Some(world.setting.stream_window);
            let second = Duration::from_secs(1);
            let mut config = qsse_client::Config::default();
            config.publish_wait = Duration::from_millis(world.setting.publish_wait_ms);
            let config = config
                .transport(transport)
                .retry(RetryPolicy::times(100_000, second))
                .reconnect(ReconnectPolicy::backoff(second / 10, 2 * second));
            let endpoint = endpoints::client(&world.network, n).expect("within a runtime");
            let newest = Arc::clone(&world.places[place].token);
            let token = move || {
                let token = newest.lock().clone();
                async move { Ok::<_, std::io::Error>(token) }
            };
            let connected = Client::connect(world.network.server_address().to_string())
                .config(config)
                .tls(fixtures::client_tls())
                .token_fn(token)
                .endpoint(endpoint)
                .seed(u64::from(n))
                .await;
            match connected {
                Ok(client) => drop(world.places[place].client.send_replace(Some(client))),
                Err(_) if world.model.borrow().may_be_out(place, begun) => {}
                Err(error) => world.fault(format!("client {place} gave up: {error:?}")),
            }
        });
        *at.connecting.borrow_mut() = Some(task);
    }

    /// Closes the client of a place for good.
    pub(crate) fn disconnect(&self, place: usize) {
        let at = &self.places[place];
        at.generation.set(at.generation.get() + 1);
        if let Some(task) = at.connecting.borrow_mut().take() {
            task.abort();
        }
        *at.publishers.borrow_mut() = Default::default();
        if let Some(client) = at.client.send_replace(None) {
            client.close();
        }
    }

    /// Has the client of a place show a newer token, until the server has accepted it or there is
    /// one that is newer still.
    pub(crate) fn refresh(
        self: &std::rc::Rc<Self>,
        place: usize,
        rights: Rights,
    ) -> JoinHandle<()> {
        let number = self.model.borrow_mut().shown(place, rights);
        let token = rights::token(place, number, rights);
        self.places[place].token.lock().clone_from(&token);
        let world = self.clone();
        let begun = self.model.borrow_mut().moment();
        spawn_local(async move {
            while world.model.borrow().newest(place) == number {
                let (client, generation) = world.client(place).await;
                if world.model.borrow().newest(place) != number {
                    return;
                }
                match client.refresh_token(token.clone()).await {
                    Ok(_) => return world.model.borrow_mut().accepted(place, number),
                    // The next client begins with it.
                    Err(RefreshError::Closed(_)) => return,
                    Err(RefreshError::Lost(_) | RefreshError::NotConnected) => {}
                    Err(RefreshError::NotAuthorised { .. })
                        if world.model.borrow().may_be_out(place, begun) =>
                    {
                        return world.turned_away(place, generation);
                    }
                    Err(error) => {
                        return world.fault(format!("a token of client {place}: {error:?}"));
                    }
                }
                drop(client);
                sleep(Duration::from_millis(200)).await;
            }
        })
    }

    /// The client of a place, once it is connected, and which one it is.
    pub(crate) async fn client(&self, place: usize) -> (Client, u64) {
        let at = &self.places[place];
        let mut clients = at.client.subscribe();
        loop {
            if let Some(client) = clients.borrow_and_update().clone() {
                return (client, at.generation.get());
            }
            if clients.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Which client of its place is the current one.
    pub(crate) fn generation(&self, place: usize) -> u64 {
        self.places[place].generation.get()
    }

    /// Cuts a client off for a time.
    pub(crate) fn partition(&self, place: usize, time: Duration) {
        let address = self
            .network
            .client_address(self.places[place].address.get());
        let cuts = Arc::clone(&self.cuts);
        let change = move |cut: bool| {
            let mut cuts = cuts.lock();
            match cut {
                true => cuts.clients.insert(address),
                false => cuts.clients.remove(&address),
            };
            cuts.apply();
        };
        change(true);
        spawn_local(async move {
            sleep(time).await;
            change(false);
        });
    }

    /// Ends all partitions of clients.
    pub(crate) fn heal(&self) {
        let mut cuts = self.cuts.lock();
        cuts.clients.clear();
        cuts.apply();
    }

    /// The queue of an ordered publisher of a place, made at its first use by `make`.
    pub(crate) fn publisher(
        &self,
        place: usize,
        exactly_once: bool,
        make: impl FnOnce() -> mpsc::UnboundedSender<Batch>,
    ) -> mpsc::UnboundedSender<Batch> {
        let mut publishers = self.places[place].publishers.borrow_mut();
        let publisher = &mut publishers[usize::from(exactly_once)];
        publisher.get_or_insert_with(make).clone()
    }
}

pub(super) fn cut_server(cuts: &Mutex<Cuts>, cut: bool) {
    let mut cuts = cuts.lock();
    cuts.server = cut;
    cuts.apply();
}
