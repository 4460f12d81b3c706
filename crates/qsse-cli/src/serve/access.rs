//! [`Access`]: what clients of the program's server may do.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;
use async_trait::async_trait;
use qsse_server::{
    Action, Authenticator, Authorizer, Credentials, Denied, Principal, Scope, ServerBuilder,
};
use qsse_topic::PatternRef;

use super::tokens::{self, Tokens};
use crate::exit::usage;
use crate::settings::Settings;
use crate::text;

/// What clients may do.
pub(crate) enum Access {
    /// Anyone may subscribe; programs on this machine may publish.
    Local,
    /// Anyone may do anything.
    Open,
    /// Tokens decide, as this file says.
    Tokens(PathBuf, Tokens),
}

impl Access {
    /// Reads the settings. It is an error if the server is open and has tokens, whatever the
    /// sources are: no server should be open by mistake.
    pub(crate) fn from_settings(settings: &Settings) -> Result<Self> {
        match (settings.is_set("tokens"), settings.on("open")) {
            (true, true) => Err(usage(format!(
                "open ({}) and tokens ({}) contradict each other: give one of them",
                settings.value("open").source,
                settings.value("tokens").source,
            ))),
            (true, false) => {
                let path = PathBuf::from(settings.text("tokens"));
                let tokens = tokens::read(&path)?;
                Ok(Self::Tokens(path, tokens))
            }
            (false, true) => Ok(Self::Open),
            (false, false) => Ok(Self::Local),
        }
    }

    /// Describes the access in one line.
    pub(crate) fn describe(&self, address: SocketAddr) -> String {
        let anyone = match address.ip().is_loopback() {
            true => "anyone",
            false => "ANYONE who can reach this address",
        };
        let this_machine = match address.ip().is_loopback() {
            true => "; only this machine can reach it",
            false => " (--tokens FILE decides by token, --open lets everybody publish)",
        };
        match self {
            Self::Local => {
                format!(
                    "{anyone} may subscribe, only programs on this machine may publish{this_machine}"
                )
            }
            Self::Open => format!("{anyone} may subscribe and publish"),
            Self::Tokens(path, tokens) => format!(
                "only those with one of the {} in {}",
                text::counted(tokens.len() as u64, "token"),
                path.display()
            ),
        }
    }

    /// Applies the access to a server.
    pub(crate) fn guard(self, builder: ServerBuilder) -> ServerBuilder {
        match self {
            Self::Local => builder.authenticator(Anybody).authorizer(LocalPublishers),
            Self::Open => builder.authenticator(Anybody).authorizer(Everybody),
            Self::Tokens(_, tokens) => builder.authenticator(tokens.clone()).authorizer(tokens),
        }
    }
}

/// Accepts everyone as anonymous, whatever their token is.
struct Anybody;

#[async_trait]
impl Authenticator for Anybody {
    async fn authenticate(&self, _: Credentials<'_>) -> Result<Principal, Denied> {
        Ok(Principal::anonymous())
    }
}

/// Everyone may subscribe; clients on this machine may publish.
struct LocalPublishers;

#[async_trait]
impl Authorizer for LocalPublishers {
    fn scope(&self) -> Scope {
        Scope::Patterns
    }

    async fn authorize(&self, principal: &Principal, action: Action, _: PatternRef<'_>) -> bool {
        match action {
            Action::Subscribe => true,
            Action::Publish => principal
                .address()
                .is_some_and(|address| address.ip().to_canonical().is_loopback()),
            _ => false,
        }
    }
}

/// Everyone may do anything.
struct Everybody;

#[async_trait]
impl Authorizer for Everybody {
    fn scope(&self) -> Scope {
        Scope::Patterns
    }

    async fn authorize(&self, _: &Principal, _: Action, _: PatternRef<'_>) -> bool {
        true
    }
}
