//! The attacks, one in each file.

mod churn;
mod filters;
mod flood;
mod halfopen;
mod hold;
mod matching;
mod refused;
mod silent;
mod starts;
mod storm;
mod tokens;
mod topics;

use crate::attack::Attack;

/// All attacks.
pub(crate) static ALL: &[&dyn Attack] = &[
    &storm::Storm,
    &hold::Hold,
    &matching::Matching,
    &halfopen::HalfOpen,
    &filters::Filters,
    &refused::Refused,
    &topics::Topics,
    &starts::Starts,
    &silent::Silent,
    &churn::Churn,
    &tokens::Tokens,
];
