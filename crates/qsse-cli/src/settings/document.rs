//! Makes `docs/configuration.md` from the table.

use std::fmt::Write;

use super::{Group, Setting, Shape, TABLE};

const INTRODUCTION: &str = "\
# Configuration

Settings of the program `qsse`. This page is printed by `qsse check-config --document`: change the table in
`crates/qsse-cli/src/settings/table.rs`, then run `cargo xtask docs`.

Flags override environment variables, variables override the file, and the file overrides defaults. The file is the one
named by `--config FILE` or `QSSE_CONFIG`; there is no other. `qsse check-config` shows the effective settings and where
each came from.

- An unknown key in the file is an error that names the nearest known one. Unknown variables are ignored. An empty
  variable counts as not set. The exceptions are those where that would open a server, change whom it trusts or store
  nothing: `QSSE_CONFIG`, `QSSE_ADMIN`, `QSSE_ADMIN_TOKEN_FILE`, `QSSE_CA`, `QSSE_CERT`, `QSSE_FINGERPRINT`, `QSSE_KEY`,
  `QSSE_STORE`, `QSSE_TOKEN`, `QSSE_TOKEN_FILE`, `QSSE_TOKENS`, `QSSE_TOPICS`, and those that begin with `QSSE_CLIENT_C`,
  `QSSE_CLIENT_K`, `QSSE_JWT_`, `QSSE_MTLS_` or `QSSE_AUTH_C` and name a file, a URL or a text, are refused when they are
  empty.
- A value outside the range of its setting is an error that states the range.
- A duration is a number and a unit: `500ms`, `5s`, `2m`. So is a size: `64 KiB`, `4 MiB`. In the file, both are quoted.
- Several values are an array in the file, and are separated by commas in a flag or variable.
- Relative paths are relative to the folder in which `qsse` is run.

```toml
# For `qsse serve --config qsse.toml`
listen = \"0.0.0.0:4242\"
topics = [\"people\", \"ride.*\"]
metrics = \"127.0.0.1:9090\"
tokens = \"tokens.toml\"

[limits]
history = \"1 GiB\"
history_age = \"24h\"
```
";

const SECTIONS: &[(Group, &str, &str)] = &[
    (
        Group::Common,
        "General",
        "For every command. The log goes to standard error.",
    ),
    (Group::Client, "Connection", "For `sub`, `pub` and `ping`."),
    (
        Group::ClientDetail,
        "Connection, details",
        "In the file under `[client]`. They have no flags.",
    ),
    (Group::Serve, "Server", "For `serve`."),
    (
        Group::Access,
        "Access",
        "For `serve`, and for `token`, which judges tokens by them. See [security.md](security.md).",
    ),
    (
        Group::Admin,
        "Administration",
        "For `serve`, which listens there, and for `admin`, which asks there.",
    ),
    (
        Group::Limits,
        "Limits of the server",
        "For `serve`, in the file under `[limits]`. Only `limits.memory` has a flag.

If what counts for `limits.memory` comes near it, the server makes room in this order: live tails without subscribers,
the oldest of the history, and the subscriptions that have been blocked for longest. Those end with `LAGGED`, and clients
resume when they read again. Each connection counts as 40 KiB.

With a store, retention is applied once a second. Until then, a topic may have more events than `limits.retain` allows,
events may be older, and the files may be larger by what was published meanwhile. Once removed, an event is served
neither from the files nor from memory, but subscribers that are live still get every event. `limits.store` counts all
files (events, indexes, the records of removed events by topic, keys). Space is freed in pieces of an eighth of the
limit, from 64 KiB to 64 MiB. The files may exceed the limit by one piece, or by one event if that is longer.",
    ),
];

/// Returns the whole document.
pub(crate) fn document() -> String {
    let mut out = INTRODUCTION.to_owned();
    for (group, title, about) in SECTIONS {
        let _ = write!(out, "\n## {title}\n\n{about}\n\n");
        out.push_str("| key | flag | variable | default | |\n|---|---|---|---|---|\n");
        for setting in TABLE.iter().filter(|setting| setting.group == *group) {
            row(&mut out, setting);
        }
    }
    out
}

fn row(out: &mut String, setting: &Setting) {
    let Setting {
        key,
        shape,
        default,
        help,
        ..
    } = setting;
    let flag = if setting.has_flag() {
        let value = match shape {
            Shape::One(name) | Shape::Secret(name) | Shape::Many(name) => format!(" {name}"),
            _ => String::new(),
        };
        format!("`--{}{value}`", setting.long())
    } else {
        String::new()
    };
    let default = if default.is_empty() {
        String::new()
    } else {
        format!("`{default}`")
    };
    let variable = setting.variable();
    let _ = writeln!(
        out,
        "| `{key}` | {flag} | `{variable}` | {default} | {help} |"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_in_the_repository_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        // The packaged crate does not have the repository's documents.
        if let Ok(found) = std::fs::read_to_string(path) {
            assert_eq!(found, document(), "run `cargo xtask docs`");
        }
    }
}
