//! The targets, one in each file.

mod batch;
mod config;
mod frames;
mod ids;
mod jwt;
mod offers;
mod rights;
mod session;
mod tokens;
mod topics;

use crate::target::Target;

/// All targets.
pub static ALL: &[Target] = &[
    Target {
        name: "frames",
        about: "frames of control and publishing streams, in pieces",
        run: frames::run,
        seeds: frames::seeds,
    },
    Target {
        name: "batch",
        about: "subscription streams, and batches as they are stored",
        run: batch::run,
        seeds: batch::seeds,
    },
    Target {
        name: "offers",
        about: "the lines of the Go dialect",
        run: offers::run,
        seeds: offers::seeds,
    },
    Target {
        name: "topics",
        about: "topics, patterns and what matches them",
        run: topics::run,
        seeds: topics::seeds,
    },
    Target {
        name: "ids",
        about: "ids, cursors and times as text",
        run: ids::run,
        seeds: ids::seeds,
    },
    Target {
        name: "config",
        about: "configurations in TOML",
        run: config::run,
        seeds: config::seeds,
    },
    Target {
        name: "tokens",
        about: "the tokens file",
        run: tokens::run,
        seeds: tokens::seeds,
    },
    Target {
        name: "jwt",
        about: "signed tokens, and key sets",
        run: jwt::run,
        seeds: jwt::seeds,
    },
    Target {
        name: "rights",
        about: "histories of grants, subscriptions and publishes, which an oracle checks",
        run: rights::run,
        seeds: rights::seeds,
    },
    Target {
        name: "session",
        about: "sequences of frames to a server, whose deliveries an oracle checks",
        run: session::run,
        seeds: session::seeds,
    },
];

/// Returns the target with this name.
pub fn find(name: &str) -> Option<&'static Target> {
    ALL.iter().find(|target| target.name == name)
}
