//! The names that a list goes through.

use std::ops::Bound;

/// Some names, in their bytewise order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Names<'a> {
    /// Only those after this text; the empty one comes before all names.
    pub after: &'a str,
    /// Only those that begin with this text.
    pub prefix: &'a str,
}

// === impl Names ===

impl<'a> Names<'a> {
    /// All of them.
    pub const ALL: Names<'static> = Names { after: "", prefix: "" };

    /// Those after `name`; all without one.
    pub fn after(name: Option<&'a str>) -> Self {
        Self { after: name.unwrap_or_default(), prefix: "" }
    }

    /// Those of them that begin with `prefix`.
    #[must_use]
    pub fn with_prefix(self, prefix: &'a str) -> Self {
        Self { prefix, ..self }
    }

    /// Whether `name` is one of them.
    pub fn have(self, name: &str) -> bool {
        self.after < name && name.starts_with(self.prefix)
    }

    /// Where they begin: behind a text, or with it.
    pub fn start(self) -> Bound<&'a str> {
        if self.after < self.prefix { Bound::Included(self.prefix) } else { Bound::Excluded(self.after) }
    }

    /// The same for an engine that can only begin with a text: that text, and the one name that is none of them.
    pub fn from(self) -> (&'a str, &'a str) {
        (self.after.max(self.prefix), self.after)
    }

    /// The text before which they end, if they do not go on to the last of all.
    pub fn end(self) -> Option<String> {
        let mut end = self.prefix.to_owned();
        while let Some(last) = end.pop() {
            // UTF-8 keeps the order of characters.
            if let Some(next) = (last..=char::MAX).nth(1) {
                end.push(next);
                return Some(end);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Bound;

    use super::Names;

    #[test]
    fn names_begin_at_their_prefix_or_behind_the_last_one_seen() {
        let start = |after, prefix| Names { after, prefix }.start();
        assert_eq!(start("", ""), Bound::Excluded(""));
        assert_eq!(start("", "acme"), Bound::Included("acme"));
        assert_eq!(start("aaa", "acme"), Bound::Included("acme"));
        assert_eq!(start("acme", "acme"), Bound::Excluded("acme"));
        assert_eq!(start("acme.eu", "acme"), Bound::Excluded("acme.eu"));
    }

    #[test]
    fn names_end_before_the_first_text_that_begins_otherwise() {
        let end = |prefix| Names::ALL.with_prefix(prefix).end();
        assert_eq!(end(""), None);
        assert_eq!(end("acme").as_deref(), Some("acmf"));
        assert_eq!(end("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(end("\u{d7ff}").as_deref(), Some("\u{e000}"), "what lies in between are no characters");
        assert_eq!(end("\u{10ffff}"), None);
    }
}
