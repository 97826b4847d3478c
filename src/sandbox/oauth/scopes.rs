//! Scopes as parameters.

use crate::{model::ScopeSet, sandbox::SCOPES};

/// The scopes of a request, each of the catalogue and each once; `None` where that is not so (RFC 6749 section 3.3).
pub(super) fn requested(text: &str) -> Option<Vec<&str>> {
    let mut scopes: Vec<&str> = Vec::new();
    for scope in text.split(' ') {
        if !SCOPES.contains(&scope) {
            return None;
        }
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    Some(scopes)
}

/// What a refresh asks for, where `granted` allows it: narrower only. `X:write` implies `X:read`.
pub(super) fn narrowed(granted: &ScopeSet, asked: &str) -> Option<ScopeSet> {
    let granted: Vec<&str> = granted.as_str().unwrap_or_default().split(' ').collect();
    let covered = |scope: &&str| {
        let write = scope.strip_suffix(":read").map(|resource| format!("{resource}:write"));
        granted.contains(scope) || write.is_some_and(|write| granted.contains(&write.as_str()))
    };
    let scopes = requested(asked)?;
    scopes.iter().all(covered).then(|| ScopeSet::new(&scopes.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::{narrowed, requested};
    use crate::model::ScopeSet;

    #[test]
    fn only_scopes_of_the_catalogue_are_known() {
        assert_eq!(requested("decks:read cards:read decks:read"), Some(vec!["decks:read", "cards:read"]));
        assert_eq!(requested("decks:read offline_access"), None);
        assert_eq!(requested("decks:read  cards:read"), None);
    }

    #[test]
    fn narrowing_takes_an_implied_scope_and_no_wider_one() {
        let granted = ScopeSet::new("decks:write cards:read");
        assert_eq!(narrowed(&granted, "decks:read"), Some(ScopeSet::new("decks:read")));
        assert_eq!(narrowed(&granted, "decks:write guides:read"), None);
        assert_eq!(narrowed(&ScopeSet::new("decks:read"), "decks:write"), None);
    }
}
