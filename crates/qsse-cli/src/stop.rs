//! [`Stop`]: ends a command early, on a signal or a timeout.

use std::fmt::Display;

use anyhow::Result;
use tokio::time::{Instant, sleep_until};

use crate::console::{self, OutputError};
use crate::exit::{Status, fail};
use crate::settings::Settings;
use crate::signals::Signals;

/// Why a command ends early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    Signal,
    Timeout,
}

/// Ends a command early: on a signal, or when the setting `timeout` has passed.
pub(crate) struct Stop {
    signals: Signals,
    /// `None` means never.
    time_is_up: Option<Instant>,
}

impl Stop {
    /// Starts to handle the signals. The timeout begins now. Call it within the runtime.
    pub(crate) fn watch(settings: &Settings) -> Result<Self> {
        let limit = settings.duration("timeout");
        Ok(Self {
            signals: Signals::watch()?,
            time_is_up: limit.and_then(|limit| Instant::now().checked_add(limit)),
        })
    }

    /// Waits for the first of the two. Returns at once if it has happened. Cancel-safe.
    pub(crate) async fn wait(&self) -> Stopped {
        let time_is_up = async {
            match self.time_is_up {
                Some(time) => sleep_until(time).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.signals.first() => Stopped::Signal,
            () = time_is_up => Stopped::Timeout,
        }
    }

    /// Returns whether a signal has arrived. Cheap.
    pub(crate) fn is_signalled(&self) -> bool {
        self.signals.raised()
    }
}

/// Returns the error for a timeout before there was a connection.
pub(crate) fn never_connected(settings: &Settings) -> anyhow::Error {
    let server = settings.text("server");
    fail(
        Status::Unreachable,
        format!(
            "time is up, and there was no connection to {server}: is a qsse server running there?"
        ),
    )
}

/// Prints the result of a command. It is no error if the reader is gone. If nobody reads when the
/// command is stopped, this gives up.
pub(crate) async fn print_result(text: impl Display, stop: &Stop) -> Result<()> {
    let printed = tokio::select! {
        biased;
        printed = console::print(text) => printed,
        _ = stop.wait() => {
            console::stdout().written_soon(console::STUCK, console::SLOW).await;
            Ok(())
        }
    };
    Ok(printed.or_else(OutputError::unless_closed)?)
}
