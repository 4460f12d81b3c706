//! The command line.

use std::path::PathBuf;

use clap::{Arg, Args, Command, ValueHint, value_parser};

use crate::commands::{
    admin, bench, cert, check_config, completions, demo, ping, publish, serve, sub, token,
};
use crate::exit::Status;
use crate::settings::{Group, flags};

const ABOUT: &str = "Server-sent events over QUIC: serve, subscribe and publish";

const START: &str = "\
Start here:
  qsse demo                        see events flow for a few seconds
  qsse serve                       a server on this machine
  qsse sub 'ride.*'                print events as they arrive
  qsse pub ride.7.start 'hello'    publish an event

Quote patterns, so that the shell does not expand the *.
Settings may also come from variables and a file: see qsse check-config.";

/// Returns the whole command line.
pub(crate) fn command() -> Command {
    let client = [Group::Client];
    let server = [Group::Serve, Group::Access, Group::Admin, Group::Limits];
    let both = [
        Group::Client,
        Group::Serve,
        Group::Access,
        Group::Admin,
        Group::Limits,
    ];
    Command::new("qsse")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .after_help(START)
        .after_long_help(format!("{START}\n\n{}", statuses()))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .max_term_width(120)
        .arg(config())
        .args(
            flags(&[Group::Common])
                .into_iter()
                .map(|arg| arg.global(true)),
        )
        .subcommand(with::<serve::Options>("serve", &server))
        .subcommand(with::<sub::Options>("sub", &client).visible_alias("subscribe"))
        .subcommand(with::<publish::Options>("pub", &client).visible_alias("publish"))
        .subcommand(with::<demo::Options>("demo", &[]))
        .subcommand(with::<ping::Options>("ping", &client))
        .subcommand(with::<bench::Options>("bench", &client))
        .subcommand(actions::<admin::Options>("admin", Group::Admin))
        .subcommand(actions::<token::Options>("token", Group::Access))
        .subcommand(with::<cert::Options>("cert", &[]))
        .subcommand(with::<check_config::Options>("check-config", &both))
        .subcommand(with::<completions::Options>("completions", &[]))
}

/// Creates a command with actions. The flags of the settings may also come after the action.
fn actions<T: Args>(name: &'static str, group: Group) -> Command {
    let flags = flags(&[group]).into_iter();
    T::augment_args(Command::new(name)).args(flags.map(|arg| arg.global(true)))
}

/// Creates a command from its own options and the flags of some settings.
fn with<T: Args>(name: &'static str, groups: &[Group]) -> Command {
    T::augment_args(Command::new(name)).args(flags(groups))
}

fn config() -> Arg {
    Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .value_hint(ValueHint::FilePath)
        .global(true)
        .help("Read settings from this TOML file [env: QSSE_CONFIG]")
        .help_heading("General")
}

/// Lists the exit statuses for help.
fn statuses() -> String {
    let mut out = "Exit status:".to_owned();
    for (status, meaning) in Status::MEANINGS {
        out.push_str(&format!("\n  {:>3}  {meaning}", *status as u8));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clap_accepts_the_definition_of_the_arguments() {
        command().debug_assert();
    }

    /// docs/cli.md names everything that the command line accepts.
    #[test]
    fn the_document_names_every_command_flag_and_status() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md");
        let Ok(document) = std::fs::read_to_string(path) else {
            return; // The packaged crate comes without the repository's documents.
        };
        let mut missing = Vec::new();
        let mut look = |text: String| {
            if !document.contains(&text) {
                missing.push(text);
            }
        };
        let root = command();
        for command in root.get_subcommands().chain([&root]) {
            look(
                format!("`qsse {}", command.get_name().replace("qsse", ""))
                    .trim_end()
                    .into(),
            );
            for arg in command.get_arguments() {
                if let Some(long) = arg
                    .get_long()
                    .filter(|long| !["help", "version"].contains(long))
                {
                    look(format!("`--{long}"));
                }
                if let Some(short) = arg.get_short() {
                    look(format!("`-{short}"));
                }
            }
        }
        for (status, meaning) in Status::MEANINGS {
            look(format!("| {} | {meaning} |", *status as u8));
        }
        assert!(missing.is_empty(), "docs/cli.md lacks {missing:?}");
    }
}
