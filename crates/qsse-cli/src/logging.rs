//! The program's log, on standard error.

use std::ffi::OsString;
use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;

use crate::console;
use crate::settings::Settings;
use crate::text;

/// Returns whether the command line or the environment asks for JSON. This is for messages before
/// the settings are loaded.
pub(crate) fn is_json_asked_for(args: impl Iterator<Item = OsString>) -> bool {
    let mut args = args.take_while(|arg| arg != "--");
    let mut format = std::env::var_os("QSSE_LOG_FORMAT");
    while let Some(arg) = args.next() {
        if arg == "--log-format" {
            format = args.next();
        } else if let Some(value) = arg
            .to_str()
            .and_then(|arg| arg.strip_prefix("--log-format="))
        {
            format = Some(value.into());
        }
    }
    format.is_some_and(|format| format == "json")
}

/// Replaces the filter of the log.
static SET_FILTER: OnceLock<Box<dyn Fn(EnvFilter) + Send + Sync>> = OnceLock::new();

/// Sets what is logged from now on.
pub(crate) fn set_level(level: &str) {
    if let Some(set) = SET_FILTER.get() {
        set(EnvFilter::new(level));
    }
}

/// Starts the log that the settings describe.
pub(crate) fn start(settings: &Settings) {
    let filter = EnvFilter::new(settings.text("log_level"));
    let json = settings.text("log_format") == "json";
    console::write_json(json);
    // The default reports failures with `eprintln!`, which may panic. This writer never fails.
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .log_internal_errors(false)
        .with_writer(|| console::Log);
    // A second start, as in tests, changes nothing.
    let _ = if json {
        let log = log.json().with_filter_reloading();
        let handle = log.reload_handle();
        let _ = SET_FILTER.set(Box::new(move |filter| drop(handle.reload(filter))));
        log.try_init()
    } else {
        let colours = text::coloured(settings.text("color"), &std::io::stderr());
        let log = log.with_ansi(colours).with_filter_reloading();
        let handle = log.reload_handle();
        let _ = SET_FILTER.set(Box::new(move |filter| drop(handle.reload(filter))));
        log.try_init()
    };
}
