//! The program's log, on standard error.

use tracing_subscriber::EnvFilter;

use crate::settings::Settings;
use crate::text;

/// Starts the log as the settings say.
pub(crate) fn start(settings: &Settings) {
    let filter = EnvFilter::new(settings.text("log_level"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A second start, as in tests, changes nothing.
    let _ = if settings.text("log_format") == "json" {
        log.json().try_init()
    } else {
        let colours = text::coloured(settings, &std::io::stderr());
        log.with_ansi(colours).try_init()
    };
}
