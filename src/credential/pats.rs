//! A tenant's PATs, as they are held in memory.

use http::HeaderValue;
use tokio::time::Instant;

use super::{PatSource, Picked, Resource, header, pat_health::PatHealth, proven::Proven};
use crate::{
    model::{Origin, Secret},
    store::StoredPat,
};

/// The PATs that a tenant has.
#[derive(Default)]
pub(super) struct Pats {
    stored: Option<HeldPat>,
    /// The configuration's own; wins over the stored one.
    configured: Option<HeldPat>,
}

/// A PAT, ready to be used.
pub(super) struct HeldPat {
    secret: Secret,
    pub(super) authorization: Option<HeaderValue>,
    /// `None` for the configuration's own, which belongs to whatever upstream is configured.
    pub(super) origin: Option<Origin>,
    health: PatHealth,
    proven: Proven,
}

// === impl Pats ===

impl Pats {
    /// The one that counts: the configuration's, else the store's.
    pub(super) fn current(&mut self) -> Option<&mut HeldPat> {
        self.configured.as_mut().or(self.stored.as_mut())
    }

    /// The store's, as far as it is known.
    pub(super) fn stored(&self) -> Option<StoredPat> {
        let HeldPat { secret, origin, .. } = self.stored.as_ref()?;
        Some(StoredPat { pat: secret.clone(), origin: origin.clone()? })
    }

    /// Takes over what the store has; the same one keeps its health.
    pub(super) fn adopt(&mut self, stored: Option<StoredPat>) {
        if self.stored() != stored {
            self.stored = stored.map(|stored| HeldPat::new(stored.pat, Some(stored.origin)));
        }
    }

    /// Takes over what the configuration has; the same one keeps its health.
    pub(super) fn configure(&mut self, pat: Option<&Secret>) {
        if self.configured.as_ref().map(|held| &held.secret) != pat {
            self.configured = pat.map(|pat| HeldPat::new(pat.clone(), None));
        }
    }

    /// Flexslot took the PAT of `picked` for this.
    pub(super) fn accepted(&mut self, picked: &Picked, resource: Resource<'_>) {
        if let Some(pat) = self.of(picked) {
            pat.health.accepted();
            pat.proven.add(resource);
        }
    }

    /// Flexslot answered 401 to the PAT of `picked`, asked for this. Answers where the PAT comes from, where it has become
    /// rejected by this.
    pub(super) fn refused(&mut self, picked: &Picked, resource: Resource<'_>) -> Option<PatSource> {
        let pat = self.of(picked)?;
        pat.proven.remove(resource);
        let was_rejected = pat.health.is_rejected();
        pat.health.refused();
        (!was_rejected && pat.health.is_rejected()).then(|| pat.source())
    }

    /// Where the one that counts comes from, if Flexslot has refused it so often that it counts as absent.
    pub(super) fn rejected(&self) -> Option<PatSource> {
        let pat = self.configured.as_ref().or(self.stored.as_ref())?;
        pat.health.is_rejected().then(|| pat.source())
    }

    /// Whether no refusal of any is remembered.
    pub(super) fn are_good(&self) -> bool {
        [&self.stored, &self.configured].into_iter().flatten().all(|pat| pat.health.is_good())
    }

    /// The PAT of `picked`, if that is still the one that counts.
    fn of(&mut self, picked: &Picked) -> Option<&mut HeldPat> {
        self.current().filter(|pat| pat.authorization.as_ref() == Some(&picked.authorization))
    }
}

// === impl HeldPat ===

impl HeldPat {
    fn new(secret: Secret, origin: Option<Origin>) -> Self {
        Self {
            authorization: header::bearer(&secret),
            secret,
            origin,
            health: PatHealth::default(),
            proven: Proven::default(),
        }
    }

    /// Whether a request for this may use it now. One that asks for what it was taken for before may, whatever Flexslot has
    /// said to others since.
    pub(super) fn admits(&mut self, resource: Resource<'_>, now: Instant) -> bool {
        self.proven.has(resource) || self.health.admits(now)
    }

    pub(super) fn source(&self) -> PatSource {
        if self.origin.is_none() { PatSource::Configuration } else { PatSource::Store }
    }
}

#[cfg(test)]
mod tests {
    use super::{PatSource, Pats, Picked, Resource, Secret, header};
    use http::Method;
    use tokio::time::Instant;

    const DECKS: Resource<'_> = Resource { method: &Method::GET, path: "/api/public/v1/decks/" };
    const ODD: Resource<'_> = Resource { method: &Method::GET, path: "/api/public/v1/odd/" };

    #[test]
    fn a_pat_becomes_rejected_once_and_says_where_it_comes_from() {
        let (mut pats, pat) = (Pats::default(), Secret::new("flx_pat_1"));
        pats.configure(Some(&pat));
        let picked = Picked::pat(header::bearer(&pat).unwrap());
        let refusals = std::array::from_fn(|_| pats.refused(&picked, DECKS));
        assert_eq!(refusals, [None, None, Some(PatSource::Configuration), None]);
        pats.accepted(&picked, DECKS);
        assert_eq!(pats.refused(&picked, DECKS), None);
    }

    #[test]
    fn whoever_knows_what_is_answered_401_takes_the_pat_from_nobody_else() {
        let (mut pats, pat) = (Pats::default(), Secret::new("flx_pat_1"));
        pats.configure(Some(&pat));
        let picked = Picked::pat(header::bearer(&pat).unwrap());
        pats.accepted(&picked, DECKS);
        for _ in 0..3 {
            let _ = pats.refused(&picked, ODD);
        }
        let admits = |pats: &mut Pats, what| pats.current().unwrap().admits(what, Instant::now());
        assert_eq!((admits(&mut pats, ODD), admits(&mut pats, DECKS)), (false, true));
        let _ = pats.refused(&picked, DECKS);
        assert!(!admits(&mut pats, DECKS), "now it was refused for this, too");
    }
}
