//! [`Problem`]: an error as the answer to a request (RFC 9457).

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use qsse_server::Code;
use qsse_server::visitor::Refused;
use serde::{Deserialize, Serialize};

/// Why a request failed, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// The words of the status.
    pub title: String,
    /// What is wrong, and what to do.
    pub detail: String,
    /// The number of a code of the protocol, if the server refused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u64>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status: status.as_u16(),
            title: status.canonical_reason().unwrap_or_default().into(),
            detail: detail.into(),
            code: None,
        }
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// Makes the answer to a client that was not let in.
    pub(crate) fn not_let_in(refused: &Refused) -> Self {
        let status = match refused.code {
            Code::NOT_AUTHORISED | Code::TOKEN_EXPIRED => StatusCode::UNAUTHORIZED,
            code => status(code),
        };
        Self::of(refused, status)
    }

    fn of(refused: &Refused, status: StatusCode) -> Self {
        let code = Some(refused.code.get());
        Self {
            code,
            ..Self::new(status, refused.message.as_str())
        }
    }

    /// Returns whether the same request may succeed later.
    pub(crate) fn is_temporary(&self) -> bool {
        self.status == StatusCode::SERVICE_UNAVAILABLE
            || self.status == StatusCode::TOO_MANY_REQUESTS
    }
}

/// The answer to what a client asked that was let in.
impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        Self::of(&refused, status(refused.code))
    }
}

fn status(code: Code) -> StatusCode {
    match code {
        Code::NOT_AUTHORISED => StatusCode::FORBIDDEN,
        Code::TOKEN_EXPIRED => StatusCode::UNAUTHORIZED,
        Code::TOPIC_NOT_AVAILABLE => StatusCode::NOT_FOUND,
        Code::TOO_MANY_SUBSCRIPTIONS => StatusCode::TOO_MANY_REQUESTS,
        Code::EVENT_TOO_LARGE => StatusCode::PAYLOAD_TOO_LARGE,
        Code::OUTCOME_UNKNOWN => StatusCode::CONFLICT,
        code if code.is_retryable() => StatusCode::SERVICE_UNAVAILABLE,
        Code::STORE_UNAVAILABLE => StatusCode::SERVICE_UNAVAILABLE,
        Code::UNKNOWN => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // Its fields are texts and numbers, which can always be written.
        let body = serde_json::to_string(&self).unwrap_or_default();
        let kind = [(CONTENT_TYPE, "application/problem+json")];
        let mut response = (status, kind, body).into_response();
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.is_temporary() {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
