//! The attacks, one in each file.

mod churn;
mod filters;
mod flood;
mod halfopen;
mod hold;
mod http_flood;
mod http_forge;
mod http_slow;
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
    &http_slow::HttpSlow,
    &http_flood::HttpFlood,
    &http_forge::HttpForge,
];
