//! The feature `serde`: texts are strings, and filters are sequences of strings.

use crate::filter::Filter;
use crate::pattern::{Pattern, PatternRef};
use crate::topic::{Topic, TopicRef};
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

impl Serialize for Topic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl Serialize for TopicRef<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl Serialize for PatternRef<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Topic {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(PhantomData, "a topic"))
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(PhantomData, "a pattern"))
    }
}

/// Serializes as a sequence of strings.
impl Serialize for Filter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.patterns())
    }
}

/// Deserializes from a sequence of strings. In human-readable formats one string is accepted too.
impl<'de> Deserialize<'de> for Filter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_any(Patterns)
        } else {
            deserializer.deserialize_seq(Patterns)
        }
    }
}

/// Reads a text that `TryFrom` checks. The second field describes what is expected.
struct Text<T>(PhantomData<T>, &'static str);

impl<T> Visitor<'_> for Text<T>
where
    T: for<'a> TryFrom<&'a str, Error: fmt::Display>,
{
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        T::try_from(text).map_err(E::custom)
    }
}

struct Patterns;

impl<'de> Visitor<'de> for Patterns {
    type Value = Filter;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a pattern or a sequence of patterns")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Filter, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Filter, A::Error> {
        // The size hint is untrusted, so it reserves no capacity.
        let mut patterns = Vec::new();
        while let Some(pattern) = seq.next_element::<Pattern>()? {
            patterns.push(pattern);
        }
        Filter::new(patterns).map_err(de::Error::custom)
    }
}
