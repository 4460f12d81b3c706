//! Reads what a certificate says of its owner.

use crate::der::{OBJECT_ID, OCTET_STRING, Reader, SEQUENCE};

/// The tag of a certificate's version.
const VERSION: u8 = 0xa0;

/// The tag of a certificate's extensions.
const EXTENSIONS: u8 = 0xa3;

/// The tag of the parts of a subject.
const SET: u8 = 0x31;

/// The object ids of an alternative name, and of a common name.
const ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 0x11];
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// Kinds of alternative names, by their tags.
const KINDS: &[(u8, &str)] = &[(0x86, "uri"), (0x82, "dns"), (0x81, "email")];

/// The tags of texts that are a part of UTF-8: itself, printable text and ASCII.
const TEXTS: &[u8] = &[0x0c, 0x13, 0x16];

/// The parts of a certificate that are read here.
struct Parts<'a> {
    subject: &'a [u8],
    #[cfg_attr(
        not(feature = "jwt"),
        expect(dead_code, reason = "only JWTs need keys of certificates")
    )]
    public_key: &'a [u8],
    /// What follows the public key: ids, and the extensions.
    rest: Reader<'a>,
}

/// Returns the `SubjectPublicKeyInfo` of a certificate in DER form.
#[cfg(feature = "jwt")]
pub(crate) fn public_key(der: &[u8]) -> Option<&[u8]> {
    parts(der).map(|parts| parts.public_key)
}

/// Returns the names of a certificate's owner, each after its kind: the alternative names
/// (`uri:`, `dns:`, `email:`), then the common names (`cn:`).
pub(crate) fn names(der: &[u8]) -> Vec<String> {
    let Some(parts) = parts(der) else {
        return Vec::new();
    };
    let mut names = Vec::new();
    let alternative = alternative_names(parts.rest).unwrap_or_default();
    for (tag, kind) in KINDS {
        let of_kind = alternative.iter().filter(|(found, _)| found == tag);
        names.extend(of_kind.filter_map(|(_, text)| name(kind, text)));
    }
    let common = common_names(parts.subject);
    names.extend(common.into_iter().filter_map(|text| name("cn", text)));
    names
}

/// Returns a name after its kind. It appears in logs, so it has no control characters.
fn name(kind: &str, text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    let fits = !text.is_empty() && !text.contains(char::is_control);
    fits.then(|| format!("{kind}:{text}"))
}

/// Returns the alternative names with their tags.
fn alternative_names(mut rest: Reader<'_>) -> Option<Vec<(u8, &[u8])>> {
    let extensions = loop {
        if let (EXTENSIONS, content) = rest.next()? {
            break content;
        }
    };
    let mut extensions = Reader::new(extensions).sequence()?;
    while !extensions.is_empty() {
        let mut extension = extensions.sequence()?;
        if extension.expect(OBJECT_ID)? != ALTERNATIVE_NAME {
            continue;
        }
        let value = loop {
            // Between the two is whether it is critical.
            if let (OCTET_STRING, content) = extension.next()? {
                break content;
            }
        };
        let mut names = Reader::new(value).sequence()?;
        return Some(std::iter::from_fn(|| names.next()).collect());
    }
    None
}

fn common_names(subject: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let mut sets = Reader::new(subject);
    while let Some(set) = sets.expect(SET) {
        let mut attributes = Reader::new(set);
        while let Some(mut attribute) = attributes.sequence() {
            let kind = attribute.expect(OBJECT_ID);
            match attribute.next() {
                Some((tag, text)) if kind == Some(COMMON_NAME) && TEXTS.contains(&tag) => {
                    found.push(text);
                }
                _ => {}
            }
        }
    }
    found
}

fn parts(der: &[u8]) -> Option<Parts<'_>> {
    let mut body = Reader::new(der).sequence()?.sequence()?;
    let mut ahead = body;
    if ahead.next()?.0 == VERSION {
        body = ahead;
    }
    let _serial = body.next()?;
    let _signature = body.next()?;
    let _issuer = body.next()?;
    let _validity = body.next()?;
    let subject = body.expect(SEQUENCE)?;
    let public_key = body.whole()?;
    Some(Parts {
        subject,
        public_key,
        rest: body,
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn certificate(names: Vec<SanType>, common: &str) -> Vec<u8> {
        let mut params = CertificateParams::new([] as [String; 0]).unwrap();
        params.subject_alt_names = names;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::OrganizationName, "cn:fake");
        if !common.is_empty() {
            params.distinguished_name.push(DnType::CommonName, common);
        }
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn the_names_of_the_owner_are_found_with_their_kinds() {
        let der = certificate(
            vec![
                SanType::Rfc822Name("ada@example.org".try_into().unwrap()),
                SanType::DnsName("worker.example.org".try_into().unwrap()),
                SanType::IpAddress("127.0.0.1".parse().unwrap()),
                SanType::URI("spiffe://example.org/hub".try_into().unwrap()),
            ],
            "Ada \u{e9}",
        );
        let expected = [
            "uri:spiffe://example.org/hub",
            "dns:worker.example.org",
            "email:ada@example.org",
            "cn:Ada \u{e9}",
        ];
        assert_eq!(names(&der), expected);
        assert_eq!(names(&certificate(Vec::new(), "only")), ["cn:only"]);
        assert!(names(&certificate(Vec::new(), "")).is_empty());
        assert!(names(&certificate(Vec::new(), "a\nb")).is_empty());
    }

    #[test]
    fn a_certificate_that_is_cut_off_or_damaged_never_panics() {
        let name = SanType::DnsName("worker.example.org".try_into().unwrap());
        let der = certificate(vec![name], "worker");
        for len in 0..der.len() {
            let _ = names(&der[..len]);
        }
        for index in 0..der.len() {
            let mut damaged = der.clone();
            damaged[index] ^= 0xff;
            let _ = (names(&damaged), public_key(&damaged).is_some());
        }
    }
}
