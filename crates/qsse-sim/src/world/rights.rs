//! Who may do what in a world.

use super::*;

/// Within so much time a connection has ended whose token has expired.
const EXPIRED: Duration = Duration::from_secs(2);

/// The text of a place's token: whose it is, its number, and what it allows.
pub(super) fn token(place: usize, number: usize, rights: Rights) -> String {
    let rights = serde_json::to_string(&rights).expect("plain data");
    format!("{place} {number} {rights}")
}

/// What the server says of tokens itself: by place, that those up to a number are worth this,
/// whatever they say.
pub(super) type Revoked = Arc<Mutex<[Option<(usize, Rights)>; CLIENTS]>>;

/// Whose a token is, and what it is worth now.
fn worth(token: &str, revoked: &Revoked) -> Option<(usize, Rights)> {
    let mut words = token.splitn(3, ' ');
    let place: usize = words.next()?.parse().ok()?;
    let number: usize = words.next()?.parse().ok()?;
    let rights = serde_json::from_str(words.next()?).ok()?;
    let revoked = revoked.lock().get(place).copied().flatten();
    let newer = revoked.filter(|(revoked, _)| *revoked > number);
    Some((place, newer.map_or(rights, |(_, rights)| rights)))
}

/// Whose token it is.
pub(super) struct Tokens {
    pub(super) revoked: Revoked,
    pub(super) good_for: Option<Duration>,
    pub(super) pace: Pace,
}

#[async_trait]
impl Authenticator for Tokens {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Principal, Denied> {
        self.pace.take_time().await;
        let token = credentials.token.unwrap_or_default();
        let Some((place, rights)) = worth(token, &self.revoked) else {
            return Err(Denied::new("not a token"));
        };
        if rights == Rights::Out {
            return Err(Denied::new("the token was revoked"));
        }
        let principal = Principal::new(place.to_string());
        Ok(match self.good_for {
            Some(time) if place != CLIENTS => principal.valid_for(time),
            _ => principal,
        })
    }
}

/// Who may do what: that is in the token, unless it was revoked.
pub(super) struct Asked {
    pub(super) revoked: Revoked,
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
        let worth = worth(principal.token().unwrap_or_default(), &self.revoked);
        let rights = worth.map_or(Rights::Out, |(_, rights)| rights);
        self.pace.take_time().await;
        match action {
            Action::Publish => rights.may_publish(resource.as_str()),
            _ => rights.may_read(resource.as_str()),
        }
    }
}

/// What the server does to its principals.
impl World {
    /// Whatever tokens a place has shown, they are worth this from now on: for connections that are
    /// there when the authorizer is asked again, and at the latest when they have expired.
    pub(crate) fn revoke(self: &std::rc::Rc<Self>, place: usize, rights: Rights) {
        let number = self.model.borrow_mut().revoked(place, rights);
        self.revoked.lock()[place] = Some((number, rights));
        let Some(good_for) = self.setting.token_ms else {
            return;
        };
        let world = self.clone();
        spawn_local(async move {
            sleep(Duration::from_millis(good_for) + EXPIRED).await;
            world.model.borrow_mut().accepted(place, number);
        });
    }

    /// A client was not let in any more, and has ended: its place is empty.
    pub(crate) fn turned_away(&self, place: usize, generation: u64) {
        if self.generation(place) == generation {
            self.places[place].client.send_replace(None);
        }
    }

    /// Lets everybody in again who was turned away.
    pub(crate) fn pardon(self: &std::rc::Rc<Self>) {
        for place in 0..CLIENTS {
            let mut model = self.model.borrow_mut();
            if !model.was_out(place) {
                continue;
            }
            let number = model.shown(place, Rights::All);
            drop(model);
            *self.places[place].token.lock() = token(place, number, Rights::All);
            self.disconnect(place);
            self.connect(place);
        }
    }
}
