//! What a server's process says to the judge, and what it is told.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use tokio::sync::watch;

use crate::payload;

/// The word that all subscribers are there.
#[derive(Clone)]
pub(super) struct Start(watch::Receiver<bool>);

impl Start {
    /// Waits for a line of standard input in a thread, and for the end of it: then the process ends
    /// too.
    pub(super) fn from_input() -> Self {
        let (sender, receiver) = watch::channel(false);
        std::thread::spawn(move || {
            let mut line = String::new();
            while std::io::stdin()
                .read_line(&mut line)
                .is_ok_and(|read| read > 0)
            {
                sender.send_replace(true);
            }
            std::process::exit(0);
        });
        Self(receiver)
    }

    /// Waits for the word.
    pub(super) async fn given(&self) {
        let mut receiver = self.0.clone();
        // The sender lives as long as the process.
        let _ = receiver.wait_for(|given| *given).await;
    }

    /// Blocks until the word is given.
    pub(super) fn wait(&self) {
        while !*self.0.borrow() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Tells the judge where the server is.
pub(super) fn listening(address: SocketAddr) {
    println!("{address}");
}

/// Publishes that many events a second from a thread, each when it is due, without an end.
///
/// An event that is late says so, because it carries the time at which it was due.
pub(super) fn at_rate(
    events_per_s: f64,
    event_bytes: usize,
    mut publish: impl FnMut(Vec<u8>) -> Result<()> + Send + 'static,
) {
    std::thread::spawn(move || {
        let interval = (1e9 / events_per_s) as u64;
        let mut due = payload::now();
        loop {
            due += interval;
            let early = due.saturating_sub(payload::now());
            std::thread::sleep(Duration::from_nanos(early));
            if let Err(error) = publish(payload::due_at(due, event_bytes)) {
                fail(&error);
            }
        }
    });
}

/// Ends the process: a server that cannot do its work must not be measured.
pub(super) fn fail(error: &anyhow::Error) -> ! {
    eprintln!("the server failed: {error:#}");
    std::process::exit(1);
}
