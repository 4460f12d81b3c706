//! [`Options`]: the command line of `qsse sub`.

use std::io;
use std::path::PathBuf;

use clap::{Args, ValueHint};
use qsse_client::Pattern;

use super::start::{Lag, StartFlags};
use crate::output::Format;
use crate::settings::Settings;
use crate::text;

/// Print the events of topics and patterns as they arrive
#[derive(Args)]
#[command(after_help = "\
Examples:
  qsse sub 'ride.*'                     everything below ride
  qsse sub people 'ride.*.start'        a topic and a pattern
  qsse sub --json --count 10 '*' | jq .data
  qsse sub --raw --earliest ride.7 > rides.txt
  qsse sub --last 1 'price.*'           the latest event of each topic, then all new ones
  qsse sub --since 10m 'ride.*'         the last ten minutes, then all new ones
  qsse sub --json --cursor rides.at 'ride.*' >> rides.json      resumes where the last run stopped

A * in the middle stands for one segment, at the end for one or more. Quote patterns, so that the shell does not expand
the *.")]
pub(crate) struct Options {
    /// Topics or patterns; an event that several match is printed once
    #[arg(required = true, value_name = "PATTERN")]
    pub(super) patterns: Vec<Pattern>,
    /// End after this many events
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) count: Option<u64>,
    /// Print one JSON object per line
    #[arg(long, conflicts_with = "raw")]
    pub(super) json: bool,
    /// Print the data and a newline
    #[arg(long)]
    pub(super) raw: bool,
    /// Print each event's id too
    #[arg(long, conflicts_with_all = ["json", "raw"])]
    pub(super) ids: bool,
    /// With --raw, print a NUL instead of the newline
    #[arg(short = '0', long = "null", requires = "raw")]
    pub(super) null: bool,
    #[command(flatten)]
    pub(super) start: StartFlags,
    /// Resume where the last run with this file stopped, and save the position in it; the flags for
    /// the start only apply if the file is absent
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) cursor: Option<PathBuf>,
    /// What to do if the output is read too slowly
    #[arg(long, value_name = "POLICY", value_enum, default_value_t)]
    pub(super) on_lag: Lag,
    /// End with status 9 if events were missed
    #[arg(long)]
    pub(super) fail_on_gap: bool,
}

impl Options {
    pub(super) fn format(&self, settings: &Settings) -> Format {
        if self.json {
            Format::Json
        } else if self.raw {
            Format::Raw(if self.null { 0 } else { b'\n' })
        } else {
            Format::Text {
                colours: text::coloured(settings.text("color"), &io::stdout()),
                ids: self.ids,
            }
        }
    }
}
