//! `qsse admin`: asks the administration of a running server.

use std::time::Duration;

use anyhow::{Result, anyhow};
use clap::{Args, Subcommand};
use qsse_admin::{Address, Client, ClientError, Revoke};
use qsse_topic::Pattern;
use serde::Serialize;

use crate::console::print;
use crate::exit::{Status, fail, usage, usage_because};
use crate::serve::admin::admin_address;
use crate::settings::Settings;
use crate::text::counted;

mod tables;

/// Ask a running server who is connected, revoke, drain or reload
#[derive(Args)]
#[command(after_help = "\
The server needs `qsse serve --admin`. Give the same --admin here, unless it is the default.

Examples:
  qsse admin status
  qsse admin connections --principal ada
  qsse admin revoke --principal ada
  qsse admin reload && echo reloaded")]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,
    /// Print the answer as JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Action {
    /// Show the state of the server
    Status,
    /// List the connected clients
    Connections {
        /// Only those of this principal
        #[arg(long, value_name = "NAME")]
        principal: Option<String>,
    },
    /// List topics with their newest event
    Topics {
        /// Those that this pattern matches
        #[arg(value_name = "PATTERN", default_value = "*")]
        pattern: Pattern,
        /// Maximum number of topics, at most 10000
        #[arg(long, value_name = "N", default_value_t = 1_000)]
        limit: usize,
    },
    /// Close a connection; its client may come back
    Close {
        /// Its number, as `connections` shows it
        #[arg(value_name = "ID")]
        id: u64,
    },
    /// Close the connections of a principal or a token, and refuse new ones
    Revoke {
        #[command(flatten)]
        subject: Subject,
        /// How long new connections are refused; at least as long as the token is valid
        #[arg(long, value_name = "DURATION", default_value = "24h")]
        remember: humantime::Duration,
        /// Forget the revocation instead
        #[arg(long, conflicts_with = "remember")]
        undo: bool,
    },
    /// Let clients read to the end, then end the server
    Drain,
    /// Read certificates, tokens and settings again; nothing changes if one of them is wrong
    Reload,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Subject {
    /// All tokens of this principal
    #[arg(long, value_name = "NAME")]
    principal: Option<String>,
    /// The token with this id
    #[arg(long, value_name = "ID")]
    token_id: Option<String>,
}

impl Subject {
    fn revoke(self, remember: Option<Duration>) -> Revoke {
        Revoke {
            principal: self.principal,
            token_id: self.token_id,
            remember,
        }
    }
}

pub(crate) async fn run(options: Options, settings: &Settings) -> Result<Status> {
    let client = client(settings)?;
    let json = options.json;
    let shown = match options.action {
        Action::Status => {
            let status = client.status().await.map_err(failed)?;
            shown(json, &status, || tables::status(&status))?
        }
        Action::Connections { principal } => {
            let mut answer = client.connections().await.map_err(failed)?;
            if let Some(principal) = principal {
                answer
                    .connections
                    .retain(|connection| connection.principal == principal);
            }
            shown(json, &answer, || tables::connections(&answer.connections))?
        }
        Action::Topics { pattern, limit } => {
            let answer = client.topics(&pattern, limit).await.map_err(failed)?;
            shown(json, &answer, || tables::topics(&answer))?
        }
        Action::Close { id } => {
            let closed = client.close(id).await.map_err(failed)?;
            shown(json, &closed, || format!("closed connection {id}"))?
        }
        Action::Revoke {
            subject,
            undo: true,
            ..
        } => {
            let removed = client.unrevoke(&subject.revoke(None)).await;
            shown(json, &removed.map_err(failed)?, || "forgotten".into())?
        }
        Action::Revoke {
            subject, remember, ..
        } => {
            let revoke = subject.revoke(Some(remember.into()));
            let closed = client.revoke(&revoke).await.map_err(failed)?;
            shown(json, &closed, || {
                let connections = counted(closed.closed as u64, "connection");
                format!("revoked: closed {connections}, refused for {remember}")
            })?
        }
        Action::Drain => {
            client.drain().await.map_err(failed)?;
            let state = serde_json::json!({"state": "draining"});
            shown(json, &state, || "draining".into())?
        }
        Action::Reload => {
            let reloaded = client.reload().await.map_err(failed)?;
            shown(json, &reloaded, || tables::reloaded(&reloaded))?
        }
    };
    print(shown.trim_end()).await?;
    Ok(Status::Done)
}

/// Returns an answer as one line of JSON, or for people.
fn shown(json: bool, answer: &impl Serialize, people: impl FnOnce() -> String) -> Result<String> {
    match json {
        true => Ok(serde_json::to_string(answer)?),
        false => Ok(people()),
    }
}

fn client(settings: &Settings) -> Result<Client> {
    let address = admin_address(settings)?;
    let token = match (&address, settings.text("admin_token_file")) {
        (Address::Loopback(_), "") => {
            return Err(usage(format!(
                "{address} wants the admin token: give --admin-token-file"
            )));
        }
        (Address::Loopback(_), path) => {
            let token = std::fs::read_to_string(path);
            let token = token.map_err(|error| {
                usage_because(format_args!("cannot read the admin token in {path}"), error)
            })?;
            Some(token.trim().to_owned())
        }
        (Address::Unix(_), _) => None,
    };
    Ok(Client::new(address, token))
}

/// Gives an error its exit status.
fn failed(error: ClientError) -> anyhow::Error {
    let status = match &error {
        ClientError::Connect { .. } | ClientError::Late(_) => Status::Unreachable,
        ClientError::Refused(problem) if problem.status == 401 => Status::Token,
        // A reload that found a mistake.
        ClientError::Refused(problem) if problem.status == 422 => Status::Usage,
        _ => return anyhow!(error),
    };
    let hint = match &error {
        ClientError::Connect { .. } => ": start it with `qsse serve --admin`, or give --admin",
        _ => "",
    };
    fail(status, format!("{error}{hint}"))
}
