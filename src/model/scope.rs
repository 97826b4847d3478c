//! Flexslot's scopes, and which of them a request needs.
//!
//! No page of Flexslot's documentation states a scope per endpoint; the table in [`Scope::needed`] is read off the
//! scope catalogue. It only decides which credential is tried first. Flexslot itself judges every request.

use std::{fmt, sync::Arc};

use http::Method;

/// The resources that scopes speak of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resource {
    Cards,
    Decks,
    Exports,
    Guides,
    Sideboards,
}

/// What a scope lets its holder do with a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    Read,
    Write,
}

/// One scope of Flexslot's catalogue, such as `decks:read`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scope(pub Resource, pub Access);

/// The `scope` of a token answer: the text as granted. Where no text is known (an import without `scope`), every need
/// counts as covered, and Flexslot judges.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ScopeSet(Option<Arc<str>>);

/// Flexslot's catalogue (its documentation), each scope as people read it: in the words of Flexslot's own pages where
/// these have any.
pub const CATALOGUE: [(&str, &str); 8] = [
    ("cards:read", "Look up cards"),
    ("decks:read", "Read your decks"),
    ("decks:write", "Create, change and delete your decks"),
    ("exports:read", "Export your decks and guides"),
    ("guides:read", "Read your sideboard guides"),
    ("guides:write", "Create, change and delete your sideboard guides"),
    ("sideboards:read", "Read your sideboards"),
    ("sideboards:write", "Create, change and delete your sideboards"),
];

// === impl Resource ===

impl Resource {
    const fn name(self) -> &'static str {
        match self {
            Self::Cards => "cards",
            Self::Decks => "decks",
            Self::Exports => "exports",
            Self::Guides => "guides",
            Self::Sideboards => "sideboards",
        }
    }

    fn from_segment(segment: &str) -> Option<Self> {
        [Self::Cards, Self::Decks, Self::Exports, Self::Guides, Self::Sideboards]
            .into_iter()
            .find(|r| r.name() == segment)
    }

    /// Flexslot has no `cards:write` and no `exports:write`.
    const fn has_write(self) -> bool {
        !matches!(self, Self::Cards | Self::Exports)
    }
}

// === impl Scope ===

impl Scope {
    /// The scope that a request needs. `segments` are those of the percent-decoded path below `/api/public/v1/`; an
    /// unknown first segment needs nothing.
    pub fn needed<'a>(method: &Method, segments: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut segments = segments.into_iter();
        let resource = match Resource::from_segment(segments.next()?)? {
            Resource::Decks if segments.any(|segment| segment == "guide") => Resource::Guides,
            resource => resource,
        };
        let reads = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
        let access = if reads || !resource.has_write() { Access::Read } else { Access::Write };
        Some(Self(resource, access))
    }

    /// The scope of that name, if it is one of the catalogue.
    pub fn from_name(name: &str) -> Option<Self> {
        let (resource, access) = name.split_once(':')?;
        let resource = Resource::from_segment(resource)?;
        match access {
            "read" => Some(Self(resource, Access::Read)),
            "write" if resource.has_write() => Some(Self(resource, Access::Write)),
            _ => None,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access = match self.1 {
            Access::Read => "read",
            Access::Write => "write",
        };
        write!(f, "{}:{access}", self.0.name())
    }
}

// === impl ScopeSet ===

impl ScopeSet {
    /// The granted scopes, separated by spaces (RFC 6749 section 3.3).
    pub fn new(text: &str) -> Self {
        Self(Some(text.into()))
    }

    /// Scopes that nobody has told.
    pub const fn unknown() -> Self {
        Self(None)
    }

    /// The text as granted, where known.
    pub fn as_str(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// Each granted scope by its name; none where nobody has told.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.as_str().unwrap_or_default().split_ascii_whitespace()
    }

    /// The same as people read them: by its name where a scope is not of the catalogue.
    pub fn in_words(&self) -> impl Iterator<Item = &str> {
        self.names().map(|scope| in_words(scope).unwrap_or(scope))
    }

    /// Whether nobody has told any.
    pub fn is_empty(&self) -> bool {
        self.names().next().is_none()
    }

    /// These and `others`, each once.
    #[must_use]
    pub fn and(&self, others: impl IntoIterator<Item = Scope>) -> Self {
        let mut names: Vec<String> = self.names().map(str::to_owned).collect();
        for other in others {
            let name = other.to_string();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        if names.is_empty() { self.clone() } else { Self::new(&names.join(" ")) }
    }

    /// Whether these scopes are enough for `need`; `X:write` implies `X:read`.
    pub fn covers(&self, need: Scope) -> bool {
        let Some(text) = &self.0 else { return true };
        let Scope(resource, access) = need;
        text.split(' ').any(|granted| match granted.split_once(':') {
            Some((name, "write")) => name == resource.name(),
            Some((name, "read")) => name == resource.name() && access == Access::Read,
            _ => false,
        })
    }
}

/// A scope as people read it; `None` for one that is not of the catalogue.
pub fn in_words(scope: &str) -> Option<&'static str> {
    CATALOGUE.iter().find_map(|&(name, words)| (name == scope).then_some(words))
}

impl fmt::Debug for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str().unwrap_or("(unknown)"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Access, CATALOGUE, Resource, Scope, ScopeSet, in_words};
    use http::Method;

    fn need(method: Method, path: &str) -> Option<String> {
        Scope::needed(&method, path.split('/')).map(|scope| scope.to_string())
    }

    #[test]
    fn the_first_segment_and_the_method_name_the_scope() {
        assert_eq!(need(Method::GET, "decks/").as_deref(), Some("decks:read"));
        assert_eq!(need(Method::HEAD, "decks/1").as_deref(), Some("decks:read"));
        assert_eq!(need(Method::POST, "decks/").as_deref(), Some("decks:write"));
        assert_eq!(need(Method::DELETE, "sideboards/1").as_deref(), Some("sideboards:write"));
        assert_eq!(need(Method::PUT, "decks/1/guide").as_deref(), Some("guides:write"));
        assert_eq!(need(Method::GET, "decks/1/guide").as_deref(), Some("guides:read"));
    }

    #[test]
    fn resources_without_a_write_scope_need_read_for_every_method() {
        assert_eq!(need(Method::POST, "cards/resolve").as_deref(), Some("cards:read"));
        assert_eq!(need(Method::POST, "exports/pdf").as_deref(), Some("exports:read"));
    }

    #[test]
    fn unknown_segments_need_nothing() {
        assert_eq!(need(Method::GET, "me/partner"), None);
        assert_eq!(need(Method::GET, "Decks/"), None);
        assert_eq!(need(Method::GET, ""), None);
    }

    #[test]
    fn write_implies_read_and_not_the_other_way() {
        let granted = ScopeSet::new("decks:write cards:read custom");
        let covers =
            |method, path: &str| Scope::needed(&method, path.split('/')).is_none_or(|need| granted.covers(need));
        assert!(covers(Method::GET, "decks/"));
        assert!(covers(Method::POST, "decks/"));
        assert!(covers(Method::GET, "cards/"));
        assert!(!covers(Method::GET, "sideboards/"));
        assert!(!ScopeSet::new("decks:read").covers(Scope(Resource::Decks, Access::Write)));
        assert!(!ScopeSet::new("").covers(Scope(Resource::Decks, Access::Read)));
    }

    #[test]
    fn the_catalogue_has_every_scope_that_a_request_can_need() {
        let all = [Resource::Cards, Resource::Decks, Resource::Exports, Resource::Guides, Resource::Sideboards]
            .into_iter()
            .flat_map(|resource| [(resource, Access::Read), (resource, Access::Write)])
            .filter(|(resource, access)| *access == Access::Read || resource.has_write())
            .map(|(resource, access)| Scope(resource, access).to_string());
        assert_eq!(all.collect::<Vec<_>>(), CATALOGUE.map(|(name, _)| name));
        assert_eq!(in_words("decks:read"), Some("Read your decks"));
        assert_eq!(in_words("cards:write"), None);
        for (name, _) in CATALOGUE {
            assert_eq!(Scope::from_name(name).map(|scope| scope.to_string()).as_deref(), Some(name));
        }
        for name in ["cards:write", "decks", "decks:admin", "me:read", ""] {
            assert_eq!(Scope::from_name(name), None, "{name}");
        }
    }

    #[test]
    fn a_set_takes_in_what_it_does_not_have() {
        let [read, write] = [Access::Read, Access::Write].map(|access| Scope(Resource::Decks, access));
        assert_eq!(
            ScopeSet::new("decks:read custom").and([read, write]).as_str(),
            Some("decks:read custom decks:write")
        );
        assert_eq!(ScopeSet::unknown().and([write, write]).as_str(), Some("decks:write"));
        assert!(ScopeSet::unknown().and([]).is_empty());
    }

    #[test]
    fn granted_scopes_are_read_in_words_where_there_are_any() {
        let granted = ScopeSet::new("decks:read  tournaments:read");
        assert_eq!(granted.in_words().collect::<Vec<_>>(), ["Read your decks", "tournaments:read"]);
        assert_eq!(ScopeSet::unknown().in_words().next(), None);
    }

    #[test]
    fn scopes_that_nobody_told_cover_everything() {
        assert!(ScopeSet::unknown().covers(Scope(Resource::Guides, Access::Write)));
    }
}
