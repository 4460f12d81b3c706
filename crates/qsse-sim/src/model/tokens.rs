//! The tokens that clients have presented, and what each permits.

use qsse_topic::Filter;

use super::{Known, Model, Reading, Stay};
use crate::program::{CLIENTS, LIMITED, Rights};

/// The tokens of a client's place, in the order in which they were shown.
pub(super) struct Tokens(Vec<Token>);

struct Token {
    rights: Rights,
    /// When it may first have been in force.
    shown: u64,
    /// From when on none before it is.
    accepted: Option<u64>,
    /// Nobody shows it: the server takes those before it for this.
    revokes: bool,
}

impl Tokens {
    /// Those that all places begin with; the last place is the judge's.
    pub(super) fn all() -> Vec<Self> {
        let first = |place| {
            let rights = match place {
                LIMITED => Rights::A,
                _ => Rights::All,
            };
            Self(vec![Token {
                rights,
                shown: 0,
                accepted: Some(0),
                revokes: false,
            }])
        };
        (0..=CLIENTS).map(first).collect()
    }

    /// The rights that may have been in force at some moment of a time.
    fn within(&self, from: u64, to: u64) -> impl Iterator<Item = Rights> {
        let over = |token: &Token| token.accepted.is_some_and(|accepted| accepted <= from);
        let first = self.0.iter().rposition(over).unwrap_or(0);
        let shown = self.0[first..].iter().filter(move |t| t.shown <= to);
        shown.map(|token| token.rights)
    }
}

impl Model {
    /// A client is about to show a newer token, by which it will connect from now on; tells its
    /// number.
    pub(crate) fn shown(&mut self, place: usize, rights: Rights) -> usize {
        self.add_token(place, rights, false)
    }

    /// The server takes all tokens of a place for this from now on; tells the number of that.
    pub(crate) fn revoked(&mut self, place: usize, rights: Rights) -> usize {
        self.add_token(place, rights, true)
    }

    fn add_token(&mut self, place: usize, rights: Rights, revokes: bool) -> usize {
        let shown = self.moment();
        let tokens = &mut self.tokens[place].0;
        tokens.push(Token {
            rights,
            shown,
            accepted: None,
            revokes,
        });
        tokens.len() - 1
    }

    /// All connections have ended: whatever was revoked holds.
    pub(crate) fn nobody_connected(&mut self) {
        let now = self.moment();
        let tokens = self.tokens.iter_mut().flat_map(|tokens| &mut tokens.0);
        for token in tokens.filter(|token| token.revokes) {
            token.accepted.get_or_insert(now);
        }
    }

    /// Whether something was revoked that may still be in force.
    pub(crate) fn awaits_expiry(&self) -> bool {
        let mut tokens = self.tokens.iter().flat_map(|tokens| &tokens.0);
        tokens.any(|token| token.revokes && token.accepted.is_none())
    }

    /// Whether a place may have been turned away.
    pub(crate) fn was_out(&self, place: usize) -> bool {
        let tokens = &self.tokens[place].0;
        tokens.iter().any(|token| token.rights == Rights::Out)
    }

    /// Whether a place may be turned away since `from`.
    pub(crate) fn may_be_out(&self, place: usize, from: u64) -> bool {
        self.may(place, from, |rights| rights == Rights::Out)
    }

    /// Whether a place may have a right now, and whether it must have it.
    pub(crate) fn now(&self, place: usize, right: impl Fn(Rights) -> bool) -> (bool, bool) {
        let may = self.may(place, self.moment, &right);
        (may, self.must(place, self.moment, &right))
    }

    /// The server has accepted a token: those before it are worth nothing.
    pub(crate) fn accepted(&mut self, place: usize, number: usize) {
        let now = self.moment();
        self.tokens[place].0[number].accepted.get_or_insert(now);
        self.absorb(number as u64 ^ (place as u64) << 40);
        crate::tell(|| format!("    the token {number} of client {place} is accepted"));
    }

    /// The number of a place's newest token.
    pub(crate) fn newest(&self, place: usize) -> usize {
        self.tokens[place].0.len() - 1
    }

    /// What a place's newest token allows.
    pub(crate) fn rights(&self, place: usize) -> Rights {
        self.tokens[place].0[self.newest(place)].rights
    }

    /// Whether at some moment since `from` a place may have had a right.
    pub(crate) fn may(&self, place: usize, from: u64, right: impl Fn(Rights) -> bool) -> bool {
        self.tokens[place].within(from, self.moment).any(right)
    }

    /// Whether at every moment since `from` a place has had a right.
    pub(crate) fn must(&self, place: usize, from: u64, right: impl Fn(Rights) -> bool) -> bool {
        self.tokens[place].within(from, self.moment).all(right)
    }

    /// Whether a stay had to get an event as far as rights go: its client could read the topic all
    /// the time in between.
    pub(crate) fn must_get(
        &self,
        reading: &Reading,
        stay: &Stay,
        (seq, topic): (u64, &str),
        known: &Known,
    ) -> bool {
        let begun = known
            .publish
            .map_or(0, |number| self.publishes[number].begun);
        let passed = stay.passed.partition_point(|(upto, _)| *upto < seq);
        let passed = stay.passed.get(passed).map_or(u64::MAX, |(_, when)| *when);
        let rights = self.tokens[reading.client].within(begun.max(stay.asked), passed);
        rights.into_iter().all(|rights| rights.may_read(topic))
    }

    /// Whether the rights of a stay's client were the same all the time.
    pub(crate) fn steady(&self, reading: &Reading, stay: &Stay) -> bool {
        let mut rights = self.tokens[reading.client].within(stay.asked, u64::MAX);
        let first = rights.next();
        rights.all(|other| Some(other) == first)
    }

    /// Whether a client may subscribe to a filter by these rights. An authorizer that knows only
    /// names lets wildcards in.
    pub(crate) fn lets_in(&self, rights: Rights, filter: &Filter) -> bool {
        let names_only = self.setting.names_only && rights != Rights::Out;
        filter.patterns().iter().all(|pattern| {
            let by_name = names_only && !pattern.is_exact();
            by_name || rights.may_read(pattern.as_str())
        })
    }
}
