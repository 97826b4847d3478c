//! Flexslot's own view: strict lines of rotating refresh tokens.

use std::{collections::HashMap, time::Duration};

use super::{
    monitor::{Monitor, Outcome, Question, Seen},
    names::{access_of, name_of, pair},
    stage::Process,
};
use crate::{
    credential::Picked,
    flexslot::{TokenAnswer, TokenError},
    model::{Clock, Grant, Secret, Timestamp, TokenSet, TokenType},
};

/// A grant at Flexslot.
pub(super) struct Line {
    pub(super) current: u64,
    pub(super) revoked: bool,
    pub(super) expires: Vec<Timestamp>,
    /// Which process got the answer with the pair of that number.
    pub(super) delivered: HashMap<u64, Process>,
}

// === impl Monitor ===

impl Monitor {
    /// The pair that a consent yields.
    pub(super) fn issue(&self, line: &str, life: Duration) -> TokenSet {
        let expires_at = self.clock.now().plus(life);
        let new = Line { current: 0, revoked: false, expires: vec![expires_at], delivered: HashMap::new() };
        self.seen.lock().lines.insert(line.to_owned(), new);
        pair(line, 0, expires_at)
    }

    /// The user revokes a grant.
    pub(super) fn revoke(&self, grant: &Grant) {
        let (name, _) = name_of(&grant.tokens.refresh);
        self.seen.lock().line(&name).revoked = true;
    }

    /// A refresh token is revoked; one that is spent ends nothing.
    pub(super) fn end_line(&self, refresh: &Secret) {
        let (name, number) = name_of(refresh);
        let mut seen = self.seen.lock();
        let line = seen.line(&name);
        line.revoked |= number == line.current;
    }

    /// Whether Flexslot takes an access token now.
    pub(super) fn takes(&self, picked: &Picked) -> bool {
        let seen = self.seen.lock();
        let Some((name, number)) = access_of(picked) else { return true };
        let line = &seen.lines[&name];
        !line.revoked && line.expires.get(number as usize).is_some_and(|end| *end > self.clock.now())
    }

    pub(super) fn rotate(&self, question: Question, refresh: &Secret) -> Result<TokenAnswer, TokenError> {
        let (name, number) = name_of(refresh);
        let expires_at = self.clock.now().plus(Duration::from_secs(3600));
        let mut seen = self.seen.lock();
        let line = seen.line(&name);
        // A spent token revokes the grant.
        line.revoked |= number != line.current;
        if line.revoked {
            seen.questions[question].outcome = Outcome::Revoked;
            return Err(TokenError::Revoked);
        }
        line.current += 1;
        let next = line.current;
        line.expires.push(expires_at);
        seen.questions[question].outcome = Outcome::Rotated;
        seen.questions[question].number = next;
        Ok(TokenAnswer {
            access: Secret::new(format!("at.{name}.{next}")),
            refresh: Some(Secret::new(format!("{name}.{next}"))),
            token_type: TokenType::Bearer,
            expires_in: Some(Duration::from_secs(3600)),
            scope: None,
            key: None,
        })
    }

    /// Whether a stored grant's newest pair is in the store and good.
    pub(super) fn is_good(&self, grant: &Grant) -> bool {
        let (name, number) = name_of(&grant.tokens.refresh);
        let seen = self.seen.lock();
        let line = &seen.lines[&name];
        !line.revoked && line.current == number
    }

    /// Whether nobody alive had the newest pair of a stored grant when the store came back older.
    pub(super) fn is_lost(&self, grant: &Grant) -> bool {
        self.seen.lock().lost.contains(&name_of(&grant.tokens.refresh).0)
    }

    /// Why a grant whose newest pair never reached the store should have reached it, if it should.
    pub(super) fn wrongly_lost(&self, grant: &Grant, alive: &[Process]) -> Option<String> {
        let (name, number) = name_of(&grant.tokens.refresh);
        let seen = self.seen.lock();
        let line = &seen.lines[&name];
        if line.current == number || seen.lost.contains(&name) {
            return None;
        }
        let holder = line.delivered.get(&line.current)?;
        let file = format!("{}-{}.pair", grant.id, line.current + 1);
        let spooled = self.spooled().contains(&file);
        (alive.contains(holder) || spooled).then(|| {
            format!(
                "{name}.{} was given to {holder} and the store still has {name}.{number}; in the spool: {spooled}",
                line.current
            )
        })
    }
}

// === impl Seen ===

impl Seen {
    /// Whether Flexslot has answered a token request with this pair, and with none after it.
    pub(super) fn was_answered_last(&self, grant: &Grant) -> bool {
        let (name, number) = name_of(&grant.tokens.refresh);
        self.lines.get(&name).is_some_and(|line| line.current == number && line.delivered.contains_key(&number))
    }
}
