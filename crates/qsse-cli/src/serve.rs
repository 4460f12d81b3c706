//! The parts of `qsse serve`: access control, and metrics over HTTP.

pub(crate) mod access;
pub(crate) mod http;
