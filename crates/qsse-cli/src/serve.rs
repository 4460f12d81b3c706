//! The parts of `qsse serve`: who may do what, and the metrics over HTTP.

pub(crate) mod access;
pub(crate) mod http;
pub(crate) mod tokens;
