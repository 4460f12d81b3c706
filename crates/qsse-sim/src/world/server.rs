//! The server of a world: how it starts, and the ways in which it ends.

use super::*;

/// After so long a store that does not answer has been noticed: retention asks it every second, and
/// 10 s are given to it.
const NOTICED: Duration = Duration::from_secs(13);

/// After so long the server is well again, once its disk is.
const RECOVERED: Duration = Duration::from_secs(3);

/// An open that fails may have noted its epoch: the next one begins beyond what it can have counted
/// up to.
const EPOCHS: u64 = 1_000;

/// The server.
impl World {
    pub(crate) async fn start(self: &std::rc::Rc<Self>) {
        self.servers.set(self.servers.get() + 1);
        let epoch = self.servers.get();
        self.model.borrow_mut().nobody_connected();
        let storage = match &self.disk {
            None => {
                self.model.borrow_mut().began(epoch);
                None
            }
            Some(disk) => match self.open_or_mend(disk) {
                Ok(opened) => Some(opened),
                Err(error) => {
                    self.fault(format!("the store cannot be opened: {error}"));
                    return;
                }
            },
        };
        let transport = TransportConfig::server()
            .idle_timeout(IDLE)
            .send_window(self.setting.send_window);
        let endpoint = endpoints::server_with(&self.network, &transport);
        let start = Timestamp::from_micros(self.wall());
        let config = qsse_server::Config::default()
            .log(self.log_config())
            .transport(transport)
            .heartbeat(Duration::from_millis(self.setting.heartbeat_ms));
        let mut builder = Server::bind(self.network.server_address())
            .config(config)
            .endpoint(endpoint.expect("within a runtime"))
            .clock(Clock::simulated(start))
            .epoch(epoch)
            .authenticator(Tokens {
                revoked: self.revoked.clone(),
                good_for: self.setting.token_ms.map(Duration::from_millis),
                pace: self.pace(self.setting.auth_ms),
            })
            .authorizer(Asked {
                revoked: self.revoked.clone(),
                names_only: self.setting.names_only,
                pace: self.pace(self.setting.auth_ms),
            });
        if let Some(storage) = storage {
            builder = builder.storage(storage);
        }
        match builder.await {
            Ok(server) => {
                if self.setting.witness {
                    let (world, server) = (self.clone(), server.clone());
                    let task = spawn_local(async move { world.witness(server).await });
                    *self.witness.borrow_mut() = Some(task);
                }
                *self.server.borrow_mut() = Some(server);
            }
            Err(error) => self.fault(format!("the server did not start: {error}")),
        }
    }

    fn acknowledge(&self) -> Acknowledge {
        match self.setting.store {
            StoreKind::None | StoreKind::Memory => Acknowledge::Memory,
            StoreKind::Written => Acknowledge::Written,
            StoreKind::Synced => Acknowledge::Synced,
        }
    }

    /// Opens the store; if that fails, once more on a disk that works and has room.
    fn open_or_mend(&self, disk: &Tripwire) -> Result<Slow, disk::OpenError> {
        self.open(disk).or_else(|_| {
            disk.mend();
            disk.files.recover();
            disk.files.set_capacity(None);
            self.open(disk)
        })
    }

    fn open(&self, disk: &Tripwire) -> Result<Slow, disk::OpenError> {
        let disk = disk.process();
        let window = Duration::from_millis(self.setting.dedup_ms);
        self.opens.set(self.opens.get() + 1);
        let epoch = Epoch::new(self.opens.get() * EPOCHS);
        let options = disk::options(epoch, self.acknowledge())
            .salt_if_new(7)
            .segment_bytes(self.setting.segment_bytes)
            .keys(100_000, window);
        let mut kept = DiskRetention::default();
        kept.max_events = self.setting.store_events;
        kept.max_bytes = self.setting.bytes;
        kept.max_age = self.setting.age_ms.map(Duration::from_millis);
        kept.topics = self.topic_rules();
        let (store, recovered) = Store::open(Arc::new(disk.clone()), options)?;
        let epochs = recovered.epochs.iter();
        let epochs = epochs.map(|(epoch, first)| (epoch.get(), *first)).collect();
        let mut model = self.model.borrow_mut();
        model.opened(epochs, recovered.clean, self.setback.take());
        let inline = Disk::inline(store, recovered, kept);
        Ok(Slow::new(inline, disk, self.pace(self.setting.disk_ms)))
    }

    fn log_config(&self) -> LogConfig {
        let setting = &self.setting;
        let window = Duration::from_millis(setting.dedup_ms);
        let mut config = LogConfig::default()
            .history_events(setting.history_events.unwrap_or(u64::MAX))
            .feed_bytes(setting.feed_bytes)
            .dedup(window, 100_000)
            .acknowledge(self.acknowledge());
        config.feed_idle = Duration::from_secs(2);
        config.retention = self.topic_rules();
        if self.disk.is_none() {
            config.history_age = setting.age_ms.map(Duration::from_millis);
            let bytes = setting.bytes.and_then(|bytes| usize::try_from(bytes).ok());
            config.history_bytes = bytes.unwrap_or(config.history_bytes);
        }
        config
    }

    fn topic_rules(&self) -> Vec<TopicRetention> {
        let rule =
            |events| TopicRetention::of("a.*".parse().expect("a pattern")).max_events(events);
        self.setting.topic_events.map(rule).into_iter().collect()
    }

    /// Sees everything as soon as it may be seen.
    async fn witness(&self, server: Server) {
        let all = server.subscribe("*").start(Start::Earliest).await;
        drop(server);
        let Ok(mut all) = all else {
            return self.fault("a subscription in the process was refused");
        };
        let mut last = all.cursor().id().seq();
        while let Some(item) = all.next_item().await {
            match item {
                Ok(Item::Event(event)) => {
                    last = event.id().seq();
                    self.model.borrow_mut().witnessed(&event);
                }
                Ok(Item::Notice(Notice::Gap(gap))) => last = last.max(gap.to.seq()),
                Ok(Item::Notice(_)) | Err(_) => {}
            }
        }
        self.witnessed.set(last);
    }

    /// Lets the disk hang for a time. A server whose store has not answered for so long has to say
    /// that it is not well.
    pub(crate) fn hang(self: &std::rc::Rc<Self>, time: Duration) {
        let Some(disk) = self.disk.clone() else {
            return;
        };
        disk.hang(time);
        let (world, server) = (self.clone(), self.servers.get());
        spawn_local(async move {
            sleep(NOTICED).await;
            let same = || world.servers.get() == server && !disk.is_off();
            let is_well = || (world.server.borrow().as_ref()).map(|now| now.health().is_ok());
            let hangs = disk.hangs_for().is_some_and(|time| time >= NOTICED);
            if hangs && is_well() == Some(true) && same() {
                world.fault(format!(
                    "the disk has done nothing for {NOTICED:?}, and the server is well"
                ));
            }
            disk.awake().await;
            sleep(RECOVERED).await;
            let awake = disk.hangs_for().is_none() && !world.hurt.get();
            if awake && is_well() == Some(false) && same() {
                world.fault(format!(
                    "the disk has done everything again for {RECOVERED:?}, and the server is not well"
                ));
            }
        });
    }

    /// Drains the server.
    pub(crate) async fn drain(&self, deadline: Duration) {
        let Some(server) = self.server.borrow_mut().take() else {
            return;
        };
        let sick = server.health().is_err();
        let accepted = server.log_stats().head;
        let done = timeout(
            deadline + Duration::from_secs(20),
            server.shutdown(deadline),
        );
        if done.await.is_err() {
            self.fault(format!("a shutdown within {deadline:?} takes 20 s more"));
        }
        let head = server.log_stats().head;
        let clean = !sick && !self.troubled.get() && server.health().is_ok();
        if self.disk.is_none() || !clean {
            // What was not kept then is lost, as by a crash.
            self.model.borrow_mut().ended(false, head);
        }
        if clean && deadline > Duration::ZERO {
            self.hear_witness(accepted).await;
        }
        self.stop_witness().await;
        drop(server);
        self.gone().await;
    }

    /// Ends the server at once, in the middle of what its store does.
    pub(crate) async fn kill(&self, power: bool, operations: usize, seed: u64) {
        let Some(head) = self.head() else { return };
        match &self.disk {
            Some(disk) => {
                disk.power_off_after(operations);
                for _ in 0..30 {
                    if disk.is_off() {
                        break;
                    }
                    sleep(Duration::from_millis(10)).await;
                }
                disk.power_off();
            }
            None => cut_server(&self.cuts, true),
        }
        let head = self.head().unwrap_or(head);
        self.model.borrow_mut().ended(power, head);
        self.stop_witness().await;
        self.server.borrow_mut().take();
        self.gone().await;
        if let Some(disk) = &self.disk {
            // Otherwise a write that hung would reach the files while no server runs.
            disk.end_processes();
            disk.power_on(power.then_some(seed));
        }
    }

    /// Lets clients reach the server's address again.
    pub(crate) fn uncut_server(&self) {
        cut_server(&self.cuts, false);
    }

    /// A drain shows everything that was accepted before it to whoever is there.
    async fn hear_witness(&self, head: u64) {
        let Some(witness) = self.witness.borrow_mut().take() else {
            return;
        };
        if timeout(Duration::from_secs(1), witness).await.is_err() {
            return self.fault("a subscription in the process does not end with its server");
        }
        let seen = self.witnessed.get();
        if seen < head {
            self.fault(format!(
                "a subscription in the process ended at {seen}, and its drained server had events up to {head}"
            ));
        }
    }

    async fn stop_witness(&self) {
        let witness = self.witness.borrow_mut().take();
        if let Some(witness) = witness {
            witness.abort();
            let _ = witness.await;
        }
    }

    /// Ends the witness, whose subscription keeps a feed.
    pub(crate) async fn dismiss_witness(&self) {
        self.stop_witness().await;
    }

    /// Waits until nothing of the server is left on the network.
    async fn gone(&self) {
        let address = self.network.server_address();
        // Closed connections stay for three probe timeouts, which a round trip through a partition
        // makes long.
        for _ in 0..30_000 {
            if self.network.free(address) {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("five minutes after its end a server still has its socket");
    }
}
