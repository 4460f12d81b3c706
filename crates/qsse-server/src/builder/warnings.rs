//! Warnings about what a server does without an authenticator or an authorizer.

pub(super) fn warn_of_defaults(no_authenticator: bool, no_authorizer: bool) {
    if no_authenticator && no_authorizer {
        tracing::warn!(
            "no authenticator and no authorizer: anyone who can reach this server may subscribe to everything"
        );
    } else if no_authenticator {
        tracing::warn!("no authenticator: anyone who can reach this server may connect");
    } else if no_authorizer {
        tracing::warn!(
            "no authorizer: every client that is let in without grants may subscribe to everything"
        );
    }
}
