//! SIGINT and SIGTERM: the first asks the program to finish, the second ends it at once. SIGHUP
//! does not end a server.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::exit::Status;

/// Whether a signal has arrived.
pub(crate) struct Signals {
    raised: Arc<watch::Sender<bool>>,
    watching: AbortHandle,
}

impl Signals {
    /// Starts to handle both signals. Call it within the runtime.
    pub(crate) fn watch() -> std::io::Result<Self> {
        let raised = Arc::new(watch::Sender::new(false));
        let mut incoming = Incoming::new()?;
        let raise = raised.clone();
        let watching = tokio::spawn(async move {
            incoming.next().await;
            raise.send_replace(true);
            incoming.next().await;
            std::process::exit(Status::Interrupted as i32);
        });
        let watching = watching.abort_handle();
        Ok(Self { raised, watching })
    }

    /// Returns whether a signal has arrived. Cheap.
    pub(crate) fn raised(&self) -> bool {
        *self.raised.borrow()
    }

    /// Waits for the first signal. Cancel-safe.
    pub(crate) async fn first(&self) {
        let mut raised = self.raised.subscribe();
        // The sender is `self`, so this cannot fail.
        let _ = raised.wait_for(|raised| *raised).await;
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

/// SIGHUP, which tells daemons to reload their configuration. It no longer ends the process.
pub(crate) struct Hangup {
    #[cfg(unix)]
    signal: tokio::signal::unix::Signal,
}

impl Hangup {
    /// Starts to handle the signal. Call it within the runtime.
    pub(crate) fn watch() -> std::io::Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let signal = signal(SignalKind::hangup())?;
            Ok(Self { signal })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// Waits for the next signal. Cancel-safe.
    pub(crate) async fn next(&mut self) {
        #[cfg(unix)]
        if self.signal.recv().await.is_some() {
            return;
        }
        std::future::pending().await
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
        // Without a console nobody can interrupt, so this waits for ever.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
