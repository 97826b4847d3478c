//! Whether a tenant's rules let a request through at all, whatever credential it would get.

use std::borrow::Cow;

use http::Method;

use super::{PathClass, policy::TenantPolicy};
use crate::model::AllowRule;

/// What an `allow` pattern has to begin with, literally, to let a method through that hands out or changes secrets.
const GUARDED: [&[&str]; 2] = [&["me", "partner"], &["me", "access-tokens"]];

/// What a tenant's rules say of a method and path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    Granted,
    /// No `allow` pattern of the tenant covers the request.
    NotAllowed,
    /// The request hands out or changes secrets, and no `allow` pattern names it.
    Guarded,
}

/// Whether the tenant's rules let a request through at all. `segments` are one reading of the path below
/// `/api/public/v1/`.
pub(super) fn permit(
    policy: &TenantPolicy,
    method: &Method,
    class: PathClass,
    segments: &[Cow<'_, str>],
) -> Permission {
    let names = |rule: &AllowRule| rule.matches(method, segments.iter().map(AsRef::as_ref));
    let rules = policy.allow.as_deref();
    match class {
        _ if rules.is_some_and(|rules| !rules.iter().any(names)) => Permission::NotAllowed,
        PathClass::PatOnly if !matches!(*method, Method::GET | Method::HEAD) => {
            let literal = |rule: &&AllowRule| GUARDED.iter().any(|prefix| rule.begins_with(prefix));
            let named = rules.unwrap_or_default().iter().filter(literal).any(names);
            if named { Permission::Granted } else { Permission::Guarded }
        }
        PathClass::PatOnly | PathClass::Ordinary => Permission::Granted,
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use http::Method;

    use super::{Permission, permit};
    use crate::credential::{PathClass, TenantPolicy};

    #[test]
    fn only_an_allow_pattern_with_the_literal_prefix_opens_what_hands_out_secrets() {
        let judged = |allow: Option<&[&str]>, method: Method, path: &str, class| {
            let allow = allow.map(|rules| rules.iter().map(|rule| rule.parse().unwrap()).collect());
            let policy = TenantPolicy { allow, ..TenantPolicy::default() };
            let segments: Vec<Cow<'_, str>> = path.split('/').map(Cow::Borrowed).collect();
            permit(&policy, &method, class, &segments)
        };
        let rotate = "me/partner/rotate-api-key";
        assert_eq!(judged(None, Method::GET, "me/partner", PathClass::PatOnly), Permission::Granted);
        assert_eq!(judged(None, Method::POST, rotate, PathClass::PatOnly), Permission::Guarded);
        assert_eq!(judged(Some(&["* /**"]), Method::POST, rotate, PathClass::PatOnly), Permission::Guarded);
        assert_eq!(
            judged(Some(&["POST /me/*/rotate-api-key"]), Method::POST, rotate, PathClass::PatOnly),
            Permission::Guarded
        );
        assert_eq!(
            judged(Some(&["POST /me/partner/**"]), Method::POST, rotate, PathClass::PatOnly),
            Permission::Granted
        );
        assert_eq!(
            judged(Some(&["GET /decks/**"]), Method::GET, "cards/x", PathClass::Ordinary),
            Permission::NotAllowed
        );
        assert_eq!(judged(Some(&["GET /decks/**"]), Method::GET, "decks/x", PathClass::Ordinary), Permission::Granted);
    }
}
