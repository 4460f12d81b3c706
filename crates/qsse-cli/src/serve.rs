//! The parts of `qsse serve`: access control, administration, and what a reload replaces.

pub(crate) mod access;
pub(crate) mod admin;
pub(crate) mod certificate;
pub(crate) mod reload;
