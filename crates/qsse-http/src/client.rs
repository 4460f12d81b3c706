//! `GET /qsse.js`: the client in TypeScript, for pages that have no build of their own.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;

/// The client as one module. `cargo xtask web` checks that it is what crates/qsse-js builds.
const CLIENT: &str = include_str!("client/qsse.js");

pub(crate) async fn client() -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, "text/javascript; charset=utf-8"),
        // A server that is replaced has a client of its version.
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, CLIENT)
}
