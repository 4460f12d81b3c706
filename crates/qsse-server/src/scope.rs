//! Within what a key of a publish counts: who publishes, and under which name (QP-8.11).

use sha2::{Digest, Sha256};

/// The keys of a client's publishers of one name.
pub(crate) fn of_publisher(principal: &str, publisher: &str) -> [u8; 16] {
    scope(&[principal, publisher])
}

/// The keys of the server's own process.
pub(crate) fn of_server() -> [u8; 16] {
    scope(&[])
}

/// The first 16 bytes of SHA-256 over the fields, each behind its length, so that no two lists give the same text.
fn scope(fields: &[&str]) -> [u8; 16] {
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

    use super::*;

    #[test]
    fn no_two_publishers_share_a_scope() {
        let pairs = [("", ""), ("ab", "c"), ("a", "bc"), ("abc", ""), ("", "abc")];
        let mut scopes: HashSet<_> = pairs.map(|(who, name)| of_publisher(who, name)).into();
        assert!(scopes.insert(of_server()));
        assert_eq!(scopes.len(), pairs.len() + 1);
    }

    #[test]
    fn a_scope_is_the_beginning_of_the_hash_of_its_fields_with_their_lengths() {
        let text = b"\x03\0\0\0\0\0\0\0ada\x01\0\0\0\0\0\0\x001";
        assert_eq!(of_publisher("ada", "1"), Sha256::digest(text)[..16]);
    }
}
