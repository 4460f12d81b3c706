//! [`Access`]: what clients of the program's server may do.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;
use async_trait::async_trait;
use qsse_auth::{AnyOf, Reloadable, Tokens};
use qsse_server::{Authenticator, ByGrants, Credentials, Denied, Grants, Principal, ServerBuilder};

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
                let tokens = Tokens::read(&path).map_err(|error| usage(error.to_string()))?;
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
                text::counted(tokens.tokens() as u64, "token"),
                path.display()
            ),
        }
    }

    /// Applies the access to a server.
    pub(crate) fn guard(self, builder: ServerBuilder) -> ServerBuilder {
        let authenticator = Reloadable::new(self.authenticator());
        builder.authenticator(authenticator).authorizer(ByGrants)
    }

    /// Returns what decides who clients are and, by their grants, what they may do.
    pub(crate) fn authenticator(self) -> AnyOf {
        match self {
            Self::Local => AnyOf::new().or(Anybody {
                may_publish: |address| address.ip().to_canonical().is_loopback(),
            }),
            Self::Open => AnyOf::new().or(Anybody {
                may_publish: |_| true,
            }),
            Self::Tokens(_, tokens) => AnyOf::new().or(tokens),
        }
    }
}

/// Accepts everyone as anonymous, whatever their token is. Everyone may subscribe.
struct Anybody {
    /// Who may publish.
    may_publish: fn(SocketAddr) -> bool,
}

#[async_trait]
impl Authenticator for Anybody {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Principal, Denied> {
        let mut grants = Grants::everything();
        if !(self.may_publish)(credentials.address) {
            grants = grants.without_publish();
        }
        Ok(Principal::anonymous().with_grants(grants))
    }
}
