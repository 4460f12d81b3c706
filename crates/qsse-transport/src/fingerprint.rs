//! [`Fingerprint`]: the SHA-256 of a certificate.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

/// The SHA-256 of a certificate's DER form.
///
/// It is printed as openssl prints it: `B9:4D:…`. It is parsed with or without colons, in upper or
/// lower case, and also with the words that `openssl x509 -noout -fingerprint -sha256` prints
/// before it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Creates a fingerprint from the digest.
    pub const fn from_bytes(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// Returns the fingerprint of a certificate in DER form.
    pub fn of(certificate: &[u8]) -> Self {
        Self(Sha256::digest(certificate).into())
    }

    /// Returns the digest.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns 64 lowercase hexadecimal digits without colons, as in URLs.
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(":")?;
            }
            write!(f, "{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // openssl prints "sha256 Fingerprint=B9:4D:…".
        let hex = text.rsplit('=').next().unwrap_or(text).trim();
        let mut digest = [0; 32];
        let mut digits = 0;
        for c in hex.chars().filter(|c| *c != ':') {
            let value = c.to_digit(16).ok_or(FingerprintError::NotHex(c))?;
            if let Some(byte) = digest.get_mut(digits / 2) {
                *byte = *byte << 4 | value as u8;
            }
            digits += 1;
        }
        match digits {
            64 => Ok(Self(digest)),
            40 => Err(FingerprintError::Sha1),
            _ => Err(FingerprintError::Length(digits)),
        }
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}

/// Why a text is not a fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FingerprintError {
    /// A character is neither a hexadecimal digit nor a colon.
    #[error(
        "{0:?} is not a hexadecimal digit: a fingerprint has 64 of them, with or without colons"
    )]
    NotHex(char),
    /// It has the length of a SHA-1 fingerprint.
    #[error(
        "this is a SHA-1 fingerprint: use the SHA-256 one (openssl x509 -noout -fingerprint -sha256)"
    )]
    Sha1,
    /// It does not have 64 digits.
    #[error("a SHA-256 fingerprint has 64 hexadecimal digits, this one has {0}")]
    Length(usize),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_usual_form() {
        let fingerprint = Fingerprint::of(b"hello world");
        let shown = fingerprint.to_string();
        assert!(shown.starts_with("B9:4D:27:B9:93:4D"), "{shown}");
        for text in [
            shown.clone(),
            shown.to_lowercase(),
            fingerprint.to_hex(),
            format!("sha256 Fingerprint={shown}\n"),
        ] {
            assert_eq!(text.parse(), Ok(fingerprint), "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let parse = |text: &str| text.parse::<Fingerprint>().unwrap_err();
        assert_eq!(parse("xy"), FingerprintError::NotHex('x'));
        assert_eq!(parse(""), FingerprintError::Length(0));
        assert_eq!(parse(&"a".repeat(40)), FingerprintError::Sha1);
        assert_eq!(parse(&"a".repeat(65)), FingerprintError::Length(65));
    }
}
