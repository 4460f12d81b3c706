//! [`Permissions`]: what a principal may do and use, as it is written in files, claims and answers.

use std::fmt;
use std::marker::PhantomData;

use qsse_server::{Grants, Principal, PrincipalLimits};
use qsse_topic::{Filter, Pattern, Topic};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};

/// What a principal may do and use, unchecked.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Permissions {
    pub(crate) subscribe: Vec<String>,
    pub(crate) publish: Vec<String>,
    pub(crate) namespace: Option<String>,
    #[serde(deserialize_with = "named")]
    pub(crate) limits: PrincipalLimits,
}

/// Reads fields by their names only: a list without names could mean anything.
pub(crate) fn named<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Named<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Named<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("fields with their names")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map))
        }
    }

    deserializer.deserialize_map(Named(PhantomData))
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
