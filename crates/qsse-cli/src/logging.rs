//! The program's log, on standard error.

use std::ffi::OsString;

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
        log.json().try_init()
    } else {
        let colours = text::coloured(settings.text("color"), &std::io::stderr());
        log.with_ansi(colours).try_init()
    };
}
