//! Shares of the server: nobody takes more than theirs.

pub(crate) mod quota;
pub(crate) mod rate_limit;
pub(crate) mod searches;
pub(crate) mod unfinished;
pub(crate) mod wrong_tokens;
