//! [`Trust`]: how a server is verified.

use std::path::PathBuf;

use qsse_transport::ServerUrl;
use qsse_transport::tls::{ClientTls, Fingerprint};

use crate::error::ConnectError;

/// How a server is verified: as the caller chose, otherwise as its address suggests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trust {
    pub(crate) choice: Choice,
    /// Given by the caller or in the address. They take precedence over a file of roots.
    pub(crate) fingerprints: Vec<Fingerprint>,
    /// The files of the client's own certificate and its key.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
    /// The system's roots, once they are loaded.
    platform: Option<ClientTls>,
    /// The system's roots and the development certificate, for servers on this machine.
    local: Option<ClientTls>,
}

#[derive(Clone, Debug, Default)]
pub(crate) enum Choice {
    /// The roots of the system, and on this machine the development certificate.
    #[default]
    Usual,
    Given(ClientTls),
    RootsFile(PathBuf),
    Anybody,
}

impl Trust {
    /// Refuses the contradiction of trusting every certificate and only one.
    pub(crate) fn check(&self) -> Result<(), ConnectError> {
        match self.choice {
            Choice::Anybody if !self.fingerprints.is_empty() => {
                Err(ConnectError::InsecureAndFingerprint)
            }
            _ => Ok(()),
        }
    }

    /// Returns how to verify the server at this address, and what to present to it.
    pub(super) fn at(&mut self, url: &ServerUrl) -> Result<ClientTls, ConnectError> {
        let tls = self.verifying(url)?;
        match &self.identity {
            // The files are read each time, since they may have been renewed.
            Some((certificate, key)) => Ok(tls.with_identity_files(certificate, key)?),
            None => Ok(tls),
        }
    }

    /// Returns how to verify the server at this address.
    fn verifying(&mut self, url: &ServerUrl) -> Result<ClientTls, ConnectError> {
        match &self.choice {
            Choice::Given(tls) => Ok(tls.clone()),
            Choice::Anybody => Ok(ClientTls::insecure()),
            _ if !self.fingerprints.is_empty() => Ok(ClientTls::pinned(self.fingerprints.clone())),
            // The file is read each time, since it may have been replaced.
            Choice::RootsFile(path) => Ok(ClientTls::roots_pem_file(path)?),
            Choice::Usual if url.is_loopback() => {
                Ok(self.local.get_or_insert_with(ClientTls::local).clone())
            }
            Choice::Usual => self.platform(),
        }
    }

    #[cfg(feature = "platform-verifier")]
    fn platform(&mut self) -> Result<ClientTls, ConnectError> {
        if let Some(platform) = &self.platform {
            return Ok(platform.clone());
        }
        let platform = ClientTls::platform()?;
        Ok(self.platform.insert(platform).clone())
    }

    #[cfg(not(feature = "platform-verifier"))]
    fn platform(&mut self) -> Result<ClientTls, ConnectError> {
        self.platform.clone().ok_or(ConnectError::NobodyTrusted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";

    #[test]
    fn fingerprints_go_before_roots_and_a_configuration_before_all() {
        let url = ServerUrl::new("events.example.org", 4242).unwrap();
        let pinned = Trust {
            choice: Choice::RootsFile("/there/is/no/such/file".into()),
            fingerprints: vec![HEX.parse().unwrap()],
            ..Trust::default()
        };
        assert!(pinned.clone().at(&url).is_ok(), "the file is not looked at");
        let mut file = Trust {
            fingerprints: Vec::new(),
            ..pinned.clone()
        };
        let error = file.at(&url).unwrap_err();
        assert!(matches!(error, ConnectError::Tls(_)), "{error}");
        assert!(
            error.to_string().contains("/there/is/no/such/file"),
            "{error}"
        );
        let given = ClientTls::insecure().with_alpn(["mine"]);
        let mut given = Trust {
            choice: Choice::Given(given),
            ..pinned
        };
        assert_eq!(given.at(&url).unwrap().alpn(), [b"mine".to_vec()]);
    }

    #[test]
    fn anybody_and_a_fingerprint_contradict_each_other() {
        let fingerprints = vec![HEX.parse().unwrap()];
        let mut trust = Trust {
            choice: Choice::Anybody,
            fingerprints,
            ..Trust::default()
        };
        let error = trust.check().unwrap_err();
        assert!(matches!(error, ConnectError::InsecureAndFingerprint));
        trust.choice = Choice::Given(ClientTls::insecure());
        assert!(trust.check().is_ok(), "a configuration goes before all");
    }

    #[test]
    fn only_on_this_machine_the_development_certificate_counts() {
        let shown = |host| {
            let at = Trust::default().at(&ServerUrl::new(host, 4242).unwrap());
            at.map_or_else(|error| error.to_string(), |tls| format!("{tls:?}"))
        };
        for host in ["localhost", "127.0.0.1", "::1"] {
            assert!(shown(host).contains("OrDevCert"), "{}", shown(host));
        }
        assert!(!shown("events.example.org").contains("OrDevCert"));
    }
}
