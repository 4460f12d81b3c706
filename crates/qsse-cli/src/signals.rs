//! SIGINT and SIGTERM: the first asks to finish, the second ends at once.

use std::sync::Arc;

use tokio::sync::watch;

use crate::exit::Status;

/// Whether a signal has come. Clones look at the same.
#[derive(Clone)]
pub(crate) struct Signals(Arc<watch::Sender<bool>>);

impl Signals {
    /// Takes over both signals. To be called within the runtime.
    pub(crate) fn watch() -> std::io::Result<Self> {
        let signals = Self(Arc::new(watch::Sender::new(false)));
        let mut incoming = Incoming::new()?;
        let raised = signals.clone();
        tokio::spawn(async move {
            incoming.next().await;
            raised.0.send_replace(true);
            incoming.next().await;
            std::process::exit(Status::Interrupted as i32);
        });
        Ok(signals)
    }

    /// Whether one has come. Cheap.
    pub(crate) fn raised(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits for the first. Cancel-safe.
    pub(crate) async fn first(&self) {
        let mut raised = self.0.subscribe();
        // The sender is `self`, so this cannot fail.
        let _ = raised.wait_for(|raised| *raised).await;
    }
}

#[cfg(unix)]
struct Incoming {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Incoming {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Incoming;

#[cfg(not(unix))]
impl Incoming {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        // Without a console nobody can interrupt: wait for ever.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
