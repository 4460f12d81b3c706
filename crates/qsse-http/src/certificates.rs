//! `GET /.well-known/qsse/certificate-hashes`: the certificates that a page may trust.

use axum::Json;
use axum::extract::{Request, State as Extract};
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::api::{CertificateHash, CertificateHashes};
use crate::credentials;
use crate::problem::Problem;
use crate::request::State;

pub(crate) const PATH: &str = "/.well-known/qsse/certificate-hashes";

pub(crate) async fn hashes(
    Extract(state): Extract<State>,
    request: Request,
) -> Result<Response, Problem> {
    if state.config.local_only {
        credentials::check_local(request.uri(), request.headers())?;
    }
    let fingerprints = state.server.browser_fingerprints();
    if fingerprints.is_empty() {
        let detail = "the server has a certificate of its own, which browsers verify by themselves: \
                      connect without serverCertificateHashes";
        return Err(Problem::new(StatusCode::NOT_FOUND, detail));
    }
    let hashes = fingerprints.iter().map(|fingerprint| CertificateHash {
        algorithm: "sha-256".into(),
        value: STANDARD.encode(fingerprint.as_bytes()),
    });
    let hashes = hashes.collect();
    // They change every few days.
    let headers = [(CACHE_CONTROL, "no-store")];
    Ok((headers, Json(CertificateHashes { hashes })).into_response())
}
