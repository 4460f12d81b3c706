//! Who may do what in a world.

use super::*;

/// The text of a place's token: whose it is, its number, and what it allows.
pub(super) fn token(place: usize, number: usize, rights: Rights) -> String {
    let rights = serde_json::to_string(&rights).expect("plain data");
    format!("{place} {number} {rights}")
}

/// Whose token it is.
pub(super) struct Tokens {
    pub(super) good_for: Option<Duration>,
    pub(super) pace: Pace,
}

#[async_trait]
impl Authenticator for Tokens {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Principal, Denied> {
        self.pace.take_time().await;
        let token = credentials.token.unwrap_or_default();
        let name = token.split(' ').next().unwrap_or_default();
        let principal = Principal::new(name);
        let judge = principal.name() == CLIENTS.to_string();
        Ok(match self.good_for {
            Some(time) if !judge => principal.valid_for(time),
            _ => principal,
        })
    }
}

/// Who may do what: that is in the token.
pub(super) struct Asked {
    pub(super) names_only: bool,
    pub(super) pace: Pace,
}

#[async_trait]
impl Authorizer for Asked {
    fn scope(&self) -> Scope {
        match self.names_only {
            true => Scope::Names,
            false => Scope::Patterns,
        }
    }

    async fn authorize(
        &self,
        principal: &Principal,
        action: Action,
        resource: PatternRef<'_>,
    ) -> bool {
        let rights = principal.token().and_then(|token| token.rsplit(' ').next());
        let rights = rights.and_then(|text| serde_json::from_str(text).ok());
        let rights = rights.unwrap_or(Rights::Nothing);
        self.pace.take_time().await;
        match action {
            Action::Publish => rights.may_publish(resource.as_str()),
            _ => rights.may_read(resource.as_str()),
        }
    }
}
