//! Verifiers of server certificates, and the record of why one was refused.

use std::fmt;
use std::sync::{Arc, Mutex};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible,
    SignatureScheme,
};

use crate::crypto;
use crate::error::{CertificateProblem, ConnectError};
use crate::fingerprint::Fingerprint;

/// Decides which servers a client trusts.
pub(in crate::tls) trait Trust: fmt::Debug + Send + Sync {
    /// Decides about a server that presents this certificate.
    fn judge(&self, shown: &Shown<'_>) -> Result<(), Error>;
}

/// What a server presents, and the name that it was reached by.
pub(in crate::tls) struct Shown<'a> {
    pub(in crate::tls) end_entity: &'a CertificateDer<'a>,
    intermediates: &'a [CertificateDer<'a>],
    pub(in crate::tls) name: &'a ServerName<'a>,
    ocsp_response: &'a [u8],
    now: UnixTime,
}

impl Shown<'_> {
    /// Returns the verdict of another verifier.
    pub(in crate::tls) fn ask(&self, other: &dyn ServerCertVerifier) -> Result<(), Error> {
        let (certificate, chain) = (self.end_entity, self.intermediates);
        other
            .verify_server_cert(certificate, chain, self.name, self.ocsp_response, self.now)
            .map(drop)
    }
}

/// Verifies a server by a client's [`Trust`].
///
/// It always verifies the signature of the handshake, so the server does own the certificate.
#[derive(Debug)]
pub(super) struct Verifier<T> {
    trust: T,
    provider: Arc<CryptoProvider>,
}

impl<T: Trust> Verifier<T> {
    pub(super) fn new(trust: T) -> Self {
        let provider = crypto::provider();
        Self { trust, provider }
    }
}

impl<T: Trust> ServerCertVerifier for Verifier<T> {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown = Shown {
            end_entity,
            intermediates,
            name,
            ocsp_response,
            now,
        };
        self.trust.judge(&shown)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Trusts certificates by their fingerprint: the pinned ones, or any if it is `None`.
#[derive(Debug)]
pub(super) struct ByFingerprint {
    pub(super) pinned: Option<Vec<Fingerprint>>,
}

impl Trust for ByFingerprint {
    fn judge(&self, shown: &Shown<'_>) -> Result<(), Error> {
        match &self.pinned {
            Some(pinned) if !pinned.contains(&Fingerprint::of(shown.end_entity)) => {
                Err(CertificateError::ApplicationVerificationFailure.into())
            }
            _ => Ok(()),
        }
    }
}

/// Asks another verifier, and records its refusal for the error of this one connection.
#[derive(Debug)]
pub(super) struct Recording {
    pub(super) inner: Arc<dyn ServerCertVerifier>,
    pub(super) verdict: Verdict,
}

impl ServerCertVerifier for Recording {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.inner
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            .inspect_err(|error| self.verdict.record(end_entity, error))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner
            .verify_tls13_signature(message, cert, dss)
            .inspect_err(|error| self.verdict.record(cert, error))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        self.inner.requires_raw_public_keys()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        self.inner.root_hint_subjects()
    }
}

/// What the verifier of one connection refused, if anything.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict(Arc<Mutex<Option<(Fingerprint, CertificateProblem)>>>);

impl Verdict {
    fn record(&self, certificate: &CertificateDer<'_>, error: &Error) {
        let refused = (Fingerprint::of(certificate), error.into());
        *self.0.lock().expect("no code panics while holding it") = Some(refused);
    }

    /// Returns the refusal that made a handshake fail; `None` if it failed for another reason.
    pub(crate) fn refused(&self, error: &quinn::ConnectionError) -> Option<ConnectError> {
        let recorded = self
            .0
            .lock()
            .expect("no code panics while holding it")
            .take();
        if let Some((fingerprint, problem)) = recorded {
            return Some(ConnectError::CertificateRefused {
                problem,
                fingerprint: Some(fingerprint),
            });
        }
        // The verifier of a caller's configuration cannot be wrapped. Only the text of its error is
        // known.
        let quinn::ConnectionError::TransportError(error) = error else {
            return None;
        };
        let problem = error.reason.strip_prefix("invalid peer certificate: ")?;
        Some(ConnectError::CertificateRefused {
            problem: CertificateProblem::Other(problem.to_owned()),
            fingerprint: None,
        })
    }
}
