//! Who may do what in a world.

use super::*;

/// Whose token it is.
pub(super) struct Tokens {
    pub(super) good_for: Option<Duration>,
}

#[async_trait]
impl Authenticator for Tokens {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Principal, Denied> {
        let token = credentials.token.unwrap_or_default();
        let name: String = token.chars().take_while(char::is_ascii_digit).collect();
        let principal = Principal::new(name);
        let judge = principal.name() == CLIENTS.to_string();
        Ok(match self.good_for {
            Some(time) if !judge => principal.valid_for(time),
            _ => principal,
        })
    }
}

/// Who may do what.
pub(super) struct Rights {
    pub(super) names_only: bool,
}

#[async_trait]
impl Authorizer for Rights {
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
        let client: usize = principal.name().parse().unwrap_or(LIMITED);
        match action {
            Action::Publish => may_publish(client, resource.as_str()),
            _ => may_subscribe(client, resource.as_str()),
        }
    }
}
