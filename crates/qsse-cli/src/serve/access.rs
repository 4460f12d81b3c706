//! [`Access`]: what clients of the program's server may do.

use std::net::SocketAddr;

use anyhow::Result;
use async_trait::async_trait;
use qsse_auth::AnyOf;
use qsse_server::{Authenticator, Credentials, Denied, Grants, Principal};

use super::methods::{Methods, check_closed};
use crate::settings::Settings;

/// What clients may do.
pub(crate) enum Access {
    /// Anyone may subscribe; programs on this machine may publish. Only for loopback.
    Local,
    /// Anyone may do anything.
    Open,
    /// Clients show who they are.
    Methods(Box<Methods>),
}

impl Access {
    /// Reads the settings. No server is open by mistake: it is an error if it is open and asks who
    /// clients are, and also if it does neither although others can reach it.
    pub(crate) fn from_settings(settings: &Settings) -> Result<Self> {
        match Methods::from_settings(settings)? {
            Some(methods) => Ok(Self::Methods(Box::new(methods))),
            None if settings.on("open") => Ok(Self::Open),
            None => {
                check_closed(settings.need("listen"))?;
                if let Some(http) = settings.get("http") {
                    check_closed(http)?;
                }
                Ok(Self::Local)
            }
        }
    }

    /// Describes the access in one line.
    pub(crate) fn describe(&self, address: SocketAddr) -> String {
        match self {
            Self::Local => "anyone may subscribe, only programs on this machine may publish; only \
                            this machine can reach it"
                .into(),
            Self::Open if address.ip().is_loopback() => "anyone may subscribe and publish".into(),
            Self::Open => "ANYONE who can reach this address may subscribe and publish".into(),
            Self::Methods(methods) => methods.describe(),
        }
    }

    /// Returns whether programs of this machine may do more than others.
    pub(crate) fn is_local(&self) -> bool {
        matches!(self, Self::Local)
    }

    /// Returns whether clients may show a token.
    pub(crate) fn by_token(&self) -> bool {
        matches!(self, Self::Methods(methods) if methods.by_token())
    }

    /// Returns what decides who clients are and, by their grants, what they may do.
    ///
    /// # Errors
    /// It needs keys from a URL, and there are none.
    pub(crate) async fn authenticator(self) -> Result<AnyOf> {
        match self {
            Self::Local => Ok(AnyOf::new().or(Anybody {
                may_publish: |address| address.ip().to_canonical().is_loopback(),
            })),
            Self::Open => Ok(AnyOf::new().or(Anybody {
                may_publish: |_| true,
            })),
            Self::Methods(methods) => methods.authenticator().await,
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
