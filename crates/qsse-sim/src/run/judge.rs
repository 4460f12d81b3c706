//! The end of a run: ends all disturbance, and judges.

use super::*;

impl Run {
    /// Mends everything and waits until all that was begun is done.
    pub(super) async fn make_peace(&mut self) {
        let world = Rc::clone(&self.world);
        world.network.set_conditions(Conditions::default());
        world.heal();
        if let Some(disk) = &world.disk {
            disk.mend();
            disk.files.set_capacity(None);
        }
        world.pardon();
        sleep(Duration::from_secs(3)).await;
        if let Some(good_for) = world.setting.token_ms
            && world.model.borrow().awaits_expiry()
        {
            // Then all connections are by tokens that were looked at since.
            sleep(Duration::from_millis(good_for + 3_000)).await;
        }
        let sick = (world.server.borrow().as_ref()).is_some_and(|server| server.health().is_err());
        if sick {
            world.drain(Duration::from_secs(5)).await;
            world.start().await;
        }
        (0..SUBS).for_each(|sub| self.order(sub, |orders| orders.reads = true));
        for task in std::mem::take(&mut self.tasks) {
            if timeout(Duration::from_secs(900), task).await.is_err() {
                world.fault("a publish has not ended 15 minutes after everything was mended");
            }
        }
        for _ in 0..9_000 {
            if !world.is_busy() {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
        world.fault("a publisher has not ended 15 minutes after everything was mended");
    }

    /// Publishes on every topic, twice, and sees it come to everybody; then looks at everything.
    /// `None` if that came to nothing.
    pub(super) async fn judge(&mut self) -> Option<()> {
        let world = Rc::clone(&self.world);
        world.connect(CLIENTS);
        let connected = timeout(Duration::from_secs(60), world.client(CLIENTS)).await;
        if connected.is_err() {
            world.fault("no client can connect, and nothing is in its way");
            return None;
        }
        let all = ["*".to_owned()];
        let wish = Wish::new(CLIENTS, &all, From::Earliest, Lag::CatchUp, None, By::Lend);
        // Nothing has been published for longer than retention takes.
        sleep(Duration::from_secs(3)).await;
        let (head, at_ms) = (world.head().unwrap_or(0), world.now_ms());
        let auditor = Subscriber::start(&world, "the auditor".into(), wish, true);
        let audit = auditor.reading;
        self.subscribers.insert(SUBS, auditor);
        let read = self.reads_upto(audit, head).await;
        // The first time connections may still have to be made; the second time news has to travel
        // at once. A token that expires costs a connection at any time.
        let at_once = match world.setting.token_ms {
            Some(_) => 15_000,
            None => 1_500,
        };
        for (patience, pause) in [(120_000, 4_000), (at_once, 0)] {
            let marks = self.mark().await?;
            let mut waited = 0;
            while let Some(late) = self.late(&marks) {
                if waited > patience {
                    world.fault(format!(
                        "{late}, {patience} ms after it was acknowledged, on a good network"
                    ));
                    return None;
                }
                sleep(Duration::from_millis(50)).await;
                waited += 50;
            }
            sleep(Duration::from_millis(pause)).await;
        }
        let calm = !world.troubled.get();
        {
            let mut model = world.model.borrow_mut();
            model.check_let_go(audit, (head, at_ms), calm);
            if read {
                model.check_kept(audit, (head, at_ms));
            }
        }
        // A stream that was reset before it began is asked for again after 10 s, and only then
        // refused.
        for _ in 0..400 {
            if self.intruders().is_empty() {
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
        let intruders = self.intruders().into_iter();
        intruders.for_each(|text| world.fault(text));
        Some(())
    }

    /// Whether a subscription gets to a seq within a while, before something is published that
    /// could take from it what it reads.
    async fn reads_upto(&self, reading: usize, seq: u64) -> bool {
        let there = || {
            let stays = &self.world.model.borrow().readings[reading].stays;
            stays.last().is_some_and(|stay| stay.cursor.seq() >= seq)
        };
        for _ in 0..200 {
            if there() {
                return true;
            }
            sleep(Duration::from_millis(50)).await;
        }
        false
    }

    /// Who is still subscribed to what the newest token does not allow.
    fn intruders(&self) -> Vec<String> {
        let model = self.world.model.borrow();
        let readings = self
            .subscribers
            .values()
            .map(|s| &model.readings[s.reading]);
        let there = readings.filter(|reading| !reading.over && !reading.stays.is_empty());
        let denied = there.filter(|reading| {
            let lets_in = |rights| model.lets_in(rights, &reading.filter);
            !model.now(reading.client, lets_in).0
        });
        let names = denied.map(|reading| format!("{} goes on, and may not", reading.name));
        names.collect()
    }

    /// Publishes on every topic; tells the seqs.
    pub(super) async fn mark(&mut self) -> Option<Vec<(EventId, &'static str)>> {
        let mut marks = Vec::new();
        for topic in TOPICS {
            let world = &self.world;
            let number = world.model.borrow().publishes.len();
            let task = single(world, CLIENTS, To::Topic(topic.into()), 16, None);
            let done = timeout(Duration::from_secs(60), task).await;
            let told = world.model.borrow().publishes[number].told.clone();
            match told {
                Told::Acked(Some((_, id))) if done.is_ok() => {
                    marks.push((id, topic));
                }
                told => {
                    world.fault(format!(
                        "a publish on a good network and server is not acknowledged: {told:?}"
                    ));
                    return None;
                }
            }
        }
        Some(marks)
    }

    /// A subscription that has not got its marks.
    fn late(&self, marks: &[(EventId, &str)]) -> Option<String> {
        let model = self.world.model.borrow();
        for subscriber in self.subscribers.values() {
            let reading = &model.readings[subscriber.reading];
            if reading.over {
                continue;
            }
            for (id, topic) in marks {
                let matches = TopicRef::new(topic).is_ok_and(|topic| reading.filter.matches(topic));
                let (_, must) = model.now(reading.client, |rights| rights.may_read(topic));
                if !matches || !must {
                    continue;
                }
                let there = reading.stays.last().is_some_and(|stay| {
                    let log = model.log();
                    let got = |other: EventId| log.knows(other) && other.seq() >= id.seq();
                    got(stay.cursor) || stay.gaps.iter().any(|gap| got(gap.to))
                });
                if !there {
                    return Some(format!("{} has not got {id} on {topic}", reading.name));
                }
            }
        }
        None
    }

    /// Everybody goes; nothing of them may stay.
    pub(super) async fn leave(&mut self) {
        let world = Rc::clone(&self.world);
        for (_, subscriber) in std::mem::take(&mut self.subscribers) {
            subscriber.stop(&world).await;
        }
        // The auditor has seen all there is, where all is kept.
        let keeps_all = world.setting.keeps_all() && world.setting.store != StoreKind::None;
        world.model.borrow_mut().check_end(keeps_all);
        (0..=CLIENTS).for_each(|place| world.disconnect(place));
        world.dismiss_witness().await;
        sleep(Duration::from_secs(20)).await;
        let left = (world.server.borrow().as_ref())
            .map(|server| (server.connection_count(), server.log_stats().feeds));
        if let Some((connections, feeds)) = left
            && (connections, feeds) != (0, 0)
        {
            world.fault(format!(
                "all clients have gone, and {connections} connections and {feeds} feeds stay"
            ));
        }
        world.drain(Duration::from_secs(5)).await;
    }
}
