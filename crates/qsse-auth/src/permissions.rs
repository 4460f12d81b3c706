//! [`Permissions`]: what a principal may do and use, as it is written in files, claims and answers.

use qsse_server::{Grants, Principal, PrincipalLimits};
use qsse_topic::{Filter, Pattern, Topic};
use serde::Deserialize;

/// What a principal may do and use, unchecked.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Permissions {
    pub(crate) subscribe: Vec<String>,
    pub(crate) publish: Vec<String>,
    pub(crate) namespace: Option<String>,
    pub(crate) limits: PrincipalLimits,
}

/// What a principal may do and use.
#[derive(Clone, Debug)]
pub(crate) struct Rights {
    grants: Grants,
    namespace: Option<Topic>,
    limits: PrincipalLimits,
}

impl Permissions {
    /// Checks the patterns and the namespace.
    ///
    /// # Errors
    /// One of them is wrong, or nothing is allowed.
    pub(crate) fn check(self) -> Result<Rights, String> {
        let mut grants = Grants::new();
        let subscribe = filter("subscribe", &self.subscribe)?;
        let publish = filter("publish", &self.publish)?;
        if subscribe.is_none() && publish.is_none() {
            return Err("may do nothing: give it subscribe or publish".into());
        }
        if let Some(filter) = subscribe {
            grants = grants.subscribe(filter);
        }
        if let Some(filter) = publish {
            grants = grants.publish(filter);
        }
        let namespace = self
            .namespace
            .map(|text| Topic::new(&text).map_err(|error| format!("namespace {text:?}: {error}")));
        Ok(Rights {
            grants,
            namespace: namespace.transpose()?,
            limits: self.limits,
        })
    }
}

impl Rights {
    /// Gives the rights to a principal.
    pub(crate) fn give(&self, principal: Principal) -> Principal {
        let principal = principal
            .with_grants(self.grants.clone())
            .with_limits(self.limits);
        match &self.namespace {
            Some(namespace) => principal.with_namespace(namespace.clone()),
            None => principal,
        }
    }
}

fn filter(what: &str, patterns: &[String]) -> Result<Option<Filter>, String> {
    let parsed: Result<Vec<_>, _> = patterns
        .iter()
        .map(|text| Pattern::new(text).map_err(|error| format!("{what} {text:?}: {error}")))
        .collect();
    Ok(Filter::new(parsed?).ok())
}
