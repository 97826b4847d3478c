//! Scopes that Flexslot has refused requests for want of: its answer is passed on, and they are remembered for whoever
//! looks at the connection. A refresh cannot mend that, and only its user can.

use super::{Ask, Credentials, Picked};
use crate::model::{GrantId, Scope, ScopeSet};

/// What a 403 says of scopes (RFC 6750 section 3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forbidden {
    /// `insufficient_scope`, and these are needed.
    LacksNamed(String),
    /// `insufficient_scope`, without a word on which.
    LacksSome,
    /// Nothing. It may be about something else.
    Unsaid,
}

/// What was found out of the grant that is held.
#[derive(Debug, Default)]
pub(super) struct Lacking {
    grant: Option<GrantId>,
    scopes: Vec<Scope>,
}

// === impl Credentials ===

impl Credentials {
    /// Flexslot has answered 403 to a request with what was picked. Learns from it which scopes its grant lacks, as far
    /// as that can be told; what is new goes to the store by itself.
    pub fn forbidden(&self, ask: &Ask<'_>, picked: &Picked, said: &Forbidden) {
        let Some(at) = picked.at else { return };
        let Some(slot) = self.works.held(ask.tenant) else { return };
        let new = slot.with(|state| {
            let granted = state.live().filter(|live| live.at().grant == at.grant)?.grant.tokens.scopes.clone();
            let new = state.lacking.note(at.grant, lacking(&granted, ask.need, said));
            (!new.is_empty()).then_some(new)
        });
        let Some(new) = new else { return };
        let (works, tenant) = (std::sync::Arc::clone(&self.works), ask.tenant.clone());
        self.works.tasks.spawn(async move {
            tracing::info!(%tenant, scopes = ?ScopeSet::unknown().and(new.iter().copied()), "Flexslot refuses calls for want of scopes");
            if let Err(error) = works.store.put_lacking(&tenant, at.grant, &new).await {
                tracing::debug!(%tenant, %error, "which scopes a connection lacks is not noted");
                // The next 403 tries again.
                slot.with(|state| state.lacking.forget(at.grant, &new));
            }
        });
    }
}

/// Which scopes are lacking where `granted` are not enough: of what Flexslot names, else of what the request needs by
/// our table.
fn lacking(granted: &ScopeSet, need: Option<Scope>, said: &Forbidden) -> Vec<Scope> {
    // Where nobody has told what was granted, all of them seem to be.
    let is_missing = |scope: &Scope| granted.is_empty() || !granted.covers(*scope);
    let known = |names: &str| names.split_ascii_whitespace().filter_map(Scope::from_name).collect::<Vec<_>>();
    match said {
        Forbidden::LacksNamed(named) if !known(named).is_empty() => {
            known(named).into_iter().filter(is_missing).collect()
        }
        Forbidden::LacksNamed(_) | Forbidden::LacksSome => need.filter(is_missing).into_iter().collect(),
        Forbidden::Unsaid => need.filter(|need| !granted.covers(*need)).into_iter().collect(),
    }
}

// === impl Lacking ===

impl Lacking {
    /// Notes what a grant lacks. Answers what of it is new.
    fn note(&mut self, grant: GrantId, scopes: Vec<Scope>) -> Vec<Scope> {
        if self.grant != Some(grant) {
            *self = Self { grant: Some(grant), scopes: Vec::new() };
        }
        let new: Vec<_> = scopes.into_iter().filter(|scope| !self.scopes.contains(scope)).collect();
        self.scopes.extend(&new);
        new
    }

    fn forget(&mut self, grant: GrantId, scopes: &[Scope]) {
        if self.grant == Some(grant) {
            self.scopes.retain(|scope| !scopes.contains(scope));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Forbidden, Lacking, lacking};
    use crate::model::{GrantId, Scope, ScopeSet};

    fn scope(name: &str) -> Scope {
        Scope::from_name(name).unwrap()
    }

    fn lacks(granted: &str, need: Option<&str>, said: &Forbidden) -> Vec<String> {
        let granted = if granted.is_empty() { ScopeSet::unknown() } else { ScopeSet::new(granted) };
        lacking(&granted, need.map(scope), said).iter().map(Scope::to_string).collect()
    }

    #[test]
    fn what_flexslot_names_counts_as_far_as_it_was_not_granted() {
        let named = Forbidden::LacksNamed("decks:read decks:write flx:whatever".into());
        assert_eq!(lacks("decks:read", Some("guides:read"), &named), ["decks:write"]);
        assert_eq!(lacks("", None, &named), ["decks:read", "decks:write"]);
        assert!(lacks("decks:write", None, &named).is_empty());
        let unknown = Forbidden::LacksNamed("flx:whatever".into());
        assert_eq!(lacks("decks:read", Some("guides:read"), &unknown), ["guides:read"]);
    }

    #[test]
    fn a_403_that_names_no_known_scope_lacks_what_the_request_needs() {
        for said in [Forbidden::LacksSome, Forbidden::Unsaid] {
            assert_eq!(lacks("decks:read", Some("decks:write"), &said), ["decks:write"]);
            assert!(lacks("decks:read", Some("decks:read"), &said).is_empty());
            assert!(lacks("decks:read", None, &said).is_empty());
        }
        assert_eq!(lacks("", Some("decks:write"), &Forbidden::LacksSome), ["decks:write"]);
        assert!(lacks("", Some("decks:write"), &Forbidden::Unsaid).is_empty(), "it may be about anything");
    }

    #[test]
    fn a_lacking_scope_is_noted_once_per_grant() {
        let mut lacking = Lacking::default();
        let [one, other] = [[1; 16], [2; 16]].map(GrantId::from_stored);
        let write = || vec![scope("decks:write")];
        assert_eq!(lacking.note(one, write()), write());
        assert!(lacking.note(one, write()).is_empty());
        assert_eq!(lacking.note(other, write()), write());
        lacking.forget(other, &write());
        assert_eq!(lacking.note(other, write()), write());
    }
}
