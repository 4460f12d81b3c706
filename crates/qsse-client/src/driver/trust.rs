//! [`Trust`]: how a server is recognised.

use std::path::PathBuf;

use qsse_transport::ServerUrl;
use qsse_transport::tls::{ClientTls, Fingerprint, dev_cert};

use crate::ConnectError;

/// How a server is recognised: what was said when connecting, and for the rest what fits the address.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trust {
    pub(crate) choice: Choice,
    /// Given beside the address or in it. They go before every choice but a configuration.
    pub(crate) fingerprints: Vec<Fingerprint>,
    /// The system's roots, once loaded.
    platform: Option<ClientTls>,
}

#[derive(Clone, Debug, Default)]
pub(crate) enum Choice {
    /// On this machine the development certificate, and everywhere those that the system trusts.
    #[default]
    Usual,
    Given(ClientTls),
    RootsFile(PathBuf),
    Anybody,
}

impl Trust {
    /// What to try, in this order, when a certificate is refused.
    pub(super) fn ways(&mut self, url: &ServerUrl) -> Result<Vec<ClientTls>, ConnectError> {
        if let Choice::Given(tls) = &self.choice {
            return Ok(vec![tls.clone()]);
        }
        if !self.fingerprints.is_empty() {
            return Ok(vec![ClientTls::pinned(self.fingerprints.clone())]);
        }
        match &self.choice {
            Choice::RootsFile(path) => Ok(vec![ClientTls::roots_pem_file(path)?]),
            Choice::Anybody => Ok(vec![ClientTls::insecure()]),
            // Read each time: a server started anew may have renewed it.
            _ => self.usual(url.is_loopback().then(dev_cert::fingerprint).flatten()),
        }
    }

    fn usual(&mut self, dev: Option<Fingerprint>) -> Result<Vec<ClientTls>, ConnectError> {
        let mut ways: Vec<_> = dev
            .map(|dev| ClientTls::pinned([dev]))
            .into_iter()
            .collect();
        match self.platform() {
            Ok(platform) => ways.push(platform),
            Err(error) if ways.is_empty() => return Err(error),
            Err(_) => {}
        }
        Ok(ways)
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
        assert!(
            pinned.clone().ways(&url).is_ok(),
            "the file is not looked at"
        );
        let mut file = Trust {
            fingerprints: Vec::new(),
            ..pinned.clone()
        };
        let error = file.ways(&url).unwrap_err();
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
        assert_eq!(given.ways(&url).unwrap()[0].alpn(), [b"mine".to_vec()]);
    }

    #[test]
    fn the_development_certificate_is_the_first_of_the_usual_ways() {
        let mut trust = Trust::default();
        let with = trust.usual(Some(HEX.parse().unwrap())).unwrap().len();
        let without = trust.usual(None).map(|ways| ways.len()).unwrap_or(0);
        assert_eq!(with, without + 1);
    }
}
