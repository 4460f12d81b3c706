//! [`TokenSource`]: where a client gets its token.

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_core::future::BoxFuture;
use futures_util::FutureExt;
use qsse_proto::control::{Token, TokenTooLong};

use crate::error::{Boxed, ConnectError};

/// Where a client gets its token: nowhere, from a fixed text, or from a function that is called
/// before each attempt to connect.
///
/// The token never appears in `Debug` output, errors or logs.
#[derive(Clone, Default)]
pub struct TokenSource(Kind);

#[derive(Clone, Default)]
enum Kind {
    #[default]
    None,
    Value(Result<Token, TokenTooLong>),
    Function(Arc<dyn Fn() -> BoxFuture<'static, Result<String, Boxed>> + Send + Sync>),
}

impl TokenSource {
    /// Makes a source without a token.
    pub const fn none() -> Self {
        Self(Kind::None)
    }

    /// Makes a source of an async function that is called before each attempt to connect, for
    /// tokens that expire. A panic counts as an error.
    pub fn function<F, Fut, T, E>(function: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Into<String>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        Self(Kind::Function(Arc::new(move || {
            let token = function();
            Box::pin(async move { token.await.map(Into::into).map_err(Into::into) })
        })))
    }

    /// Gets the token for the next attempt.
    pub(crate) async fn get(&self) -> Result<Option<Token>, ConnectError> {
        let token = match &self.0 {
            Kind::None => return Ok(None),
            Kind::Value(token) => token.clone(),
            Kind::Function(function) => {
                // A panic fails this attempt, and does not end the client.
                let token = AssertUnwindSafe(async { function().await });
                let panicked = |_| Err(Boxed::from("the function that returns it panicked"));
                match token.catch_unwind().await.unwrap_or_else(panicked) {
                    Ok(token) => Token::new(token),
                    Err(error) => return Err(ConnectError::Token(Arc::new(error))),
                }
            }
        };
        Ok(Some(token?))
    }

    /// Returns whether the next attempt may have a newer token.
    pub(crate) fn is_renewed(&self) -> bool {
        matches!(self.0, Kind::Function(_))
    }

    /// Replaces a fixed token. A function stays, since it returns newer tokens itself.
    pub(crate) fn replace(&mut self, token: &Token) {
        if !self.is_renewed() {
            self.0 = Kind::Value(Ok(token.clone()));
        }
    }
}

impl From<&str> for TokenSource {
    fn from(token: &str) -> Self {
        token.to_owned().into()
    }
}

impl From<String> for TokenSource {
    fn from(token: String) -> Self {
        Self(Kind::Value(Token::new(token)))
    }
}

impl<T: Into<TokenSource>> From<Option<T>> for TokenSource {
    fn from(token: Option<T>) -> Self {
        token.map_or_else(Self::none, Into::into)
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::None => "TokenSource(none)",
            Kind::Value(_) => "TokenSource(…)",
            Kind::Function(_) => "TokenSource(function)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_gives_but_never_shows() {
        let mut source = TokenSource::from("sesame");
        assert_eq!(source.get().await.unwrap().unwrap().expose(), "sesame");
        assert!(!format!("{source:?}").contains("sesame"));
        source.replace(&Token::new("newer").unwrap());
        assert_eq!(source.get().await.unwrap().unwrap().expose(), "newer");
        let error = TokenSource::from("x".repeat(10_000))
            .get()
            .await
            .unwrap_err();
        assert!(matches!(error, ConnectError::TokenTooLong(_)));
        assert!(
            TokenSource::from(None::<String>)
                .get()
                .await
                .unwrap()
                .is_none()
        );
    }

    #[tokio::test]
    async fn a_function_that_panics_fails_an_attempt_and_no_more() {
        for at_once in [true, false] {
            let source = TokenSource::function(move || {
                assert!(!at_once, "no token");
                async { panic!("no token") as Result<String, Boxed> }
            });
            let error = source.get().await.unwrap_err();
            assert!(error.is_retryable(), "{error}");
        }
    }

    #[tokio::test]
    async fn a_function_is_asked_each_time_and_stays() {
        use std::sync::atomic::{AtomicU32, Ordering};
        let count = Arc::new(AtomicU32::new(0));
        let mut source = TokenSource::function(move || {
            let count = count.fetch_add(1, Ordering::Relaxed);
            async move {
                if count < 2 {
                    Ok(format!("token {count}"))
                } else {
                    Err("no more")
                }
            }
        });
        assert_eq!(source.get().await.unwrap().unwrap().expose(), "token 0");
        source.replace(&Token::new("newer").unwrap());
        assert_eq!(source.get().await.unwrap().unwrap().expose(), "token 1");
        let error = source.get().await.unwrap_err();
        assert_eq!(
            std::error::Error::source(&error).unwrap().to_string(),
            "no more"
        );
    }
}
