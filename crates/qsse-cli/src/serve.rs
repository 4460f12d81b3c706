//! The parts of `qsse serve`: access control, administration, HTTP clients, the default limit of memory, and what
//! a reload replaces.

pub(crate) mod access;
pub(crate) mod admin;
pub(crate) mod certificate;
pub(crate) mod http;
pub(crate) mod memory;
pub(crate) mod methods;
pub(crate) mod reload;
