//! Clients that another protocol's binding speaks for, such as those of HTTP.
//!
//! [`Server::visit`](crate::Server::visit) lets one in. A [`Visitor`] has the rights, limits and
//! quotas of any client. It publishes, reads topics, and subscribes: the events come as text.

pub use crate::metrics::{BindingCounter, BindingGauge, BindingGuard};
pub use crate::session::visitor::{
    Caller, NewPublish, Refused, SubscribeText, TextForm, TextStream, Visitor,
};
