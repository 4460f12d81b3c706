//! The deduplication scope: within what a key of a publish counts (`QP-8.11`).

use std::net::{IpAddr, SocketAddr};

use qsse_log::Owner;
use qsse_proto::publish::KeyScope;
use sha2::{Digest, Sha256};

/// What makes two principals the same publisher.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Identity {
    /// The name that the authenticator gave it.
    Name(String),
    /// The hash of its token.
    Token([u8; 32]),
    /// It is not identified.
    Anonymous,
}

/// Prefix of a hashed token, so that the hash is of no use to other programs that hash tokens.
const TOKEN: &[u8] = b"qsse publisher token\0";

/// Returns the scope of a publishing stream.
pub(crate) fn of_stream(
    identity: &Identity,
    namespace: Option<&str>,
    scope: &KeyScope,
) -> [u8; 16] {
    let scope = match scope {
        KeyScope::Named { id, name } => match identity {
            Identity::Name(who) => hash(&[b"name", who.as_bytes(), name.as_bytes()]),
            Identity::Token(who) => hash(&[b"token", who, name.as_bytes()]),
            Identity::Anonymous if name.is_empty() => hash(&[b"anyone by id", id.as_bytes()]),
            Identity::Anonymous => hash(&[b"anyone by name", name.as_bytes()]),
        },
        KeyScope::Own { id } => hash(&[b"own", id.as_bytes()]),
        KeyScope::Numbered { id, .. } => hash(&[b"numbered", id.as_bytes()]),
    };
    within(namespace, scope)
}

/// Returns the scope, or the number of an identity, within a namespace: the same name in another
/// one is another publisher.
fn within(namespace: Option<&str>, scope: [u8; 16]) -> [u8; 16] {
    match namespace {
        Some(prefix) => hash(&[b"in", prefix.as_bytes(), &scope]),
        None => scope,
    }
}

/// Returns for whom the topics and patterns of a principal are counted. Those who are not
/// identified are told apart by their address: in version 6 by its network, where one host has
/// many.
pub(crate) fn owner(identity: &Identity, address: Option<SocketAddr>) -> Owner {
    let who = match (identity, address) {
        (Identity::Name(who), _) => hash(&[b"name", who.as_bytes()]),
        (Identity::Token(who), _) => hash(&[b"token", who]),
        (Identity::Anonymous, None) => hash(&[b"anyone"]),
        (Identity::Anonymous, Some(address)) => match address.ip().to_canonical() {
            IpAddr::V4(ip) => hash(&[b"v4", &ip.octets()]),
            IpAddr::V6(ip) => hash(&[b"v6", &ip.octets()[..8]]),
        },
    };
    Owner::new(who)
}

/// Returns the scope of the server's own process.
pub(crate) fn of_server() -> [u8; 16] {
    hash(&[])
}

/// Returns the hash of a token, which stands for its owner.
pub(crate) fn of_token(token: &str) -> [u8; 32] {
    let hash = Sha256::new().chain_update(TOKEN).chain_update(token);
    hash.finalize().into()
}

/// Returns the number of an identity in `Welcome` (`QP-8.15`).
pub(crate) fn number(identity: &Identity, namespace: Option<&str>) -> u64 {
    let hash = match identity {
        Identity::Name(who) => hash(&[b"name", who.as_bytes()]),
        Identity::Token(who) => hash(&[b"token", who]),
        Identity::Anonymous => return 0,
    };
    // Half of the hash is enough, because it is only compared with another one.
    (u128::from_le_bytes(within(namespace, hash)) as u64).max(1)
}

/// Returns the first 16 bytes of SHA-256 over the fields. Each has its length before it, so that no
/// two lists give the same text.
fn hash(fields: &[&[u8]]) -> [u8; 16] {
    let mut hash = Sha256::new();
    for field in fields {
        hash.update((field.len() as u64).to_le_bytes());
        hash.update(field);
    }
    let mut scope = [0; 16];
    scope.copy_from_slice(&hash.finalize()[..16]);
    scope
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use qsse_proto::publish::PublisherId;

    use super::*;

    fn named(id: u8, name: &str) -> KeyScope {
        KeyScope::Named {
            id: PublisherId::new([id; 16]),
            name: name.into(),
        }
    }

    fn name(name: &str) -> Identity {
        Identity::Name(name.into())
    }

    fn token(token: &str) -> Identity {
        Identity::Token(of_token(token))
    }

    #[test]
    fn no_two_publishers_share_a_scope() {
        let id = PublisherId::new([1; 16]);
        let streams = [
            (name(""), named(1, "")),
            (name("ab"), named(1, "c")),
            (name("a"), named(1, "bc")),
            (name("abc"), named(1, "")),
            (name(""), named(1, "abc")),
            (token("abc"), named(1, "")),
            (token("abd"), named(1, "")),
            (token("abc"), named(1, "c")),
            (Identity::Anonymous, named(1, "")),
            (Identity::Anonymous, named(2, "")),
            (Identity::Anonymous, named(1, "c")),
            (Identity::Anonymous, KeyScope::Own { id }),
            (
                Identity::Anonymous,
                KeyScope::Numbered {
                    id,
                    first: 1,
                    tried: None,
                },
            ),
        ];
        let mut scopes: HashSet<_> = streams
            .iter()
            .map(|(identity, scope)| of_stream(identity, None, scope))
            .collect();
        assert!(scopes.insert(of_server()));
        for namespace in ["a.", "b."] {
            let (identity, scope) = &streams[1];
            assert!(scopes.insert(of_stream(identity, Some(namespace), scope)));
        }
        assert_eq!(scopes.len(), streams.len() + 3);
    }

    // QP-8.11
    #[test]
    fn a_scope_is_the_same_whatever_does_not_count() {
        for (one, other) in [
            ((name("ada"), named(1, "x")), (name("ada"), named(2, "x"))),
            ((token("t"), named(1, "x")), (token("t"), named(2, "x"))),
            (
                (Identity::Anonymous, named(1, "x")),
                (Identity::Anonymous, named(2, "x")),
            ),
        ] {
            assert_eq!(
                of_stream(&one.0, None, &one.1),
                of_stream(&other.0, None, &other.1)
            );
        }
        let own = KeyScope::Own {
            id: PublisherId::new([1; 16]),
        };
        assert_eq!(
            of_stream(&token("old"), None, &own),
            of_stream(&token("new"), None, &own)
        );
    }

    #[test]
    fn a_scope_is_the_beginning_of_the_hash_of_its_fields_with_their_lengths() {
        let text = b"\x04\0\0\0\0\0\0\0name\x03\0\0\0\0\0\0\0ada\x01\0\0\0\0\0\0\x001";
        assert_eq!(
            of_stream(&name("ada"), None, &named(1, "1")),
            Sha256::digest(text)[..16]
        );
    }
}
