//! Which requests a tenant's `allow` list lets through.

use std::{fmt, str::FromStr};

use http::Method;

/// One entry of `allow`: a method (or `*`) and a path pattern below `/api/public/v1`, such as `GET /decks/**`.
///
/// In the pattern `*` stands for exactly one segment and `**`, only at the end, for any rest, the empty one included.
/// Everything else is compared literally, with regard to case, with the percent-decoded segments of a request; a
/// trailing slash makes no difference.
#[derive(Clone, PartialEq, Eq)]
pub struct AllowRule {
    method: MethodPattern,
    segments: Vec<Segment>,
    rest: Rest,
}

#[derive(Clone, PartialEq, Eq)]
enum MethodPattern {
    Any,
    /// `GET` also lets `HEAD` through, which asks for the same thing without its body (RFC 9110 section 9.3.2).
    One(Method),
}

#[derive(Clone, PartialEq, Eq)]
enum Segment {
    Literal(Box<str>),
    /// `*`
    Any,
}

/// What may follow the listed segments.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    Nothing,
    /// `**`
    Anything,
}

/// Why a text is no [`AllowRule`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidRule {
    /// Not a method, a space and a path.
    Shape,
    /// Neither `*` nor an upper-case method name.
    Method,
    /// `**` before the end, or a `*` that shares its segment.
    Wildcard,
    /// An empty segment, `.` or `..`: no forwarded path has one.
    Segment,
    /// `%`, `?`, `#`, `\` or a control character: patterns are written decoded and speak of the path alone.
    Character,
}

// === impl AllowRule ===

impl AllowRule {
    /// Whether this rule names the request. `segments` are those of the percent-decoded path below `/api/public/v1/`.
    pub fn matches<'a>(&self, method: &Method, segments: impl IntoIterator<Item = &'a str>) -> bool {
        self.method.matches(method) && self.matches_path(segments)
    }

    /// Whether the pattern begins with exactly these literal segments, so that nobody writes it by accident.
    pub fn begins_with(&self, literals: &[&str]) -> bool {
        self.segments.len() >= literals.len()
            && self
                .segments
                .iter()
                .zip(literals)
                .all(|(own, literal)| matches!(own, Segment::Literal(text) if **text == **literal))
    }

    fn matches_path<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> bool {
        let mut given = segments.into_iter().peekable();
        for segment in &self.segments {
            match (segment, given.next()) {
                (_, None) => return false,
                // What is left of a trailing slash is no segment that `*` could stand for.
                (Segment::Any, Some("")) => return false,
                (Segment::Any, Some(_)) => {}
                (Segment::Literal(literal), Some(text)) if **literal == *text => {}
                (Segment::Literal(_), Some(_)) => return false,
            }
        }
        match self.rest {
            Rest::Anything => true,
            Rest::Nothing => {
                given.next_if(|text| text.is_empty());
                given.next().is_none()
            }
        }
    }
}

impl FromStr for AllowRule {
    type Err = InvalidRule;

    fn from_str(text: &str) -> Result<Self, InvalidRule> {
        let (method, path) = text.split_once(' ').ok_or(InvalidRule::Shape)?;
        let method = method.parse()?;
        let path = path.strip_prefix('/').ok_or(InvalidRule::Shape)?;
        if path.contains(|c: char| c.is_control() || "%?#\\".contains(c)) {
            return Err(InvalidRule::Character);
        }
        let mut parts: Vec<&str> = path.split('/').collect();
        let rest = match parts.last() {
            Some(&"**") => Rest::Anything,
            _ => Rest::Nothing,
        };
        // The wildcard is kept in `rest`; a trailing slash leaves an empty last part.
        parts.pop_if(|last| matches!(*last, "**" | ""));
        let segments = parts.into_iter().map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self { method, segments, rest })
    }
}

/// The form that parses back to the same rule.
impl fmt::Display for AllowRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.method {
            MethodPattern::Any => f.write_str("* ")?,
            MethodPattern::One(method) => write!(f, "{method} ")?,
        }
        for segment in &self.segments {
            match segment {
                Segment::Literal(text) => write!(f, "/{text}")?,
                Segment::Any => f.write_str("/*")?,
            }
        }
        match self.rest {
            Rest::Anything => f.write_str("/**"),
            Rest::Nothing if self.segments.is_empty() => f.write_str("/"),
            Rest::Nothing => Ok(()),
        }
    }
}

impl fmt::Debug for AllowRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

// === impl MethodPattern ===

impl MethodPattern {
    fn matches(&self, method: &Method) -> bool {
        match self {
            Self::Any => true,
            Self::One(only) => only == method || (only == Method::GET && method == Method::HEAD),
        }
    }
}

impl FromStr for MethodPattern {
    type Err = InvalidRule;

    fn from_str(text: &str) -> Result<Self, InvalidRule> {
        if text == "*" {
            return Ok(Self::Any);
        }
        // Method names are case-sensitive (RFC 9110 section 9.1); a rule for "get" would never match.
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-' || b == b'_') {
            return Err(InvalidRule::Method);
        }
        text.parse().map(Self::One).map_err(|_| InvalidRule::Method)
    }
}

// === impl Segment ===

impl FromStr for Segment {
    type Err = InvalidRule;

    fn from_str(text: &str) -> Result<Self, InvalidRule> {
        match text {
            "*" => Ok(Self::Any),
            "" | "." | ".." => Err(InvalidRule::Segment),
            text if text.contains('*') => Err(InvalidRule::Wildcard),
            text => Ok(Self::Literal(text.into())),
        }
    }
}

// === impl InvalidRule ===

impl fmt::Display for InvalidRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shape => "not a method, a space and a path that begins with /",
            Self::Method => "neither * nor an upper-case method name",
            Self::Wildcard => "* stands for one whole segment, and ** for any rest at the end",
            Self::Segment => "a segment is empty, \".\" or \"..\"",
            Self::Character => "a pattern is written decoded, without %, ?, #, \\ or control characters",
        })
    }
}

impl std::error::Error for InvalidRule {}

#[cfg(test)]
mod tests {
    use super::{AllowRule, InvalidRule};
    use http::Method;
    use proptest::prelude::*;

    fn rule(text: &str) -> AllowRule {
        text.parse().unwrap()
    }

    fn allows(text: &str, method: Method, path: &str) -> bool {
        rule(text).matches(&method, path.split('/'))
    }

    #[test]
    fn two_stars_stand_for_any_rest() {
        for path in ["decks", "decks/", "decks/1", "decks/1/guide/"] {
            assert!(allows("GET /decks/**", Method::GET, path), "{path}");
        }
        assert!(!allows("GET /decks/**", Method::GET, "deck"));
        assert!(!allows("GET /decks/**", Method::GET, "Decks/1"));
        assert!(allows("* /**", Method::PUT, "anything/at/all"));
    }

    #[test]
    fn one_star_stands_for_one_segment() {
        assert!(allows("GET /decks/*/guide", Method::GET, "decks/7/guide"));
        assert!(!allows("GET /decks/*/guide", Method::GET, "decks/guide"));
        assert!(!allows("GET /decks/*", Method::GET, "decks/"));
        assert!(!allows("GET /decks/*", Method::GET, "decks/7/guide"));
    }

    #[test]
    fn a_trailing_slash_makes_no_difference() {
        assert!(allows("GET /decks", Method::GET, "decks/"));
        assert!(allows("GET /decks/", Method::GET, "decks"));
        assert!(!allows("GET /decks", Method::GET, "decks/1"));
        assert!(!allows("GET /decks", Method::GET, "decks//"));
    }

    #[test]
    fn get_includes_head_and_nothing_else() {
        assert!(allows("GET /cards/**", Method::HEAD, "cards/1"));
        assert!(!allows("GET /cards/**", Method::POST, "cards/1"));
        assert!(!allows("HEAD /cards/**", Method::GET, "cards/1"));
    }

    #[test]
    fn says_what_is_wrong_with_a_rule() {
        for (text, why) in [
            ("", InvalidRule::Shape),
            ("/decks", InvalidRule::Shape),
            ("GET decks", InvalidRule::Shape),
            ("GET  /decks", InvalidRule::Shape),
            ("get /decks", InvalidRule::Method),
            ("GET /decks/**/guide", InvalidRule::Wildcard),
            ("GET /deck*", InvalidRule::Wildcard),
            ("GET /deck**", InvalidRule::Wildcard),
            ("GET /a//b", InvalidRule::Segment),
            ("GET //**", InvalidRule::Segment),
            ("GET /a/../b", InvalidRule::Segment),
            ("GET /a%2fb", InvalidRule::Character),
            ("GET /a?b", InvalidRule::Character),
        ] {
            assert_eq!(text.parse::<AllowRule>(), Err(why), "{text}");
        }
    }

    #[test]
    fn what_a_rule_begins_with_ends_at_the_first_wildcard() {
        assert!(rule("* /me/partner/*/x").begins_with(&["me", "partner"]));
        assert!(rule("* /me/partner").begins_with(&["me", "partner"]));
        for text in ["* /me/*", "* /*/partner", "* /me", "* /**", "* /me/Partner"] {
            assert!(!rule(text).begins_with(&["me", "partner"]), "{text}");
        }
    }

    fn segment() -> impl Strategy<Value = String> {
        prop_oneof![Just("*".to_owned()), "[a-z]{1,3}"]
    }

    proptest! {
        #[test]
        fn a_rule_without_wildcards_matches_exactly_its_own_path(
            rule in proptest::collection::vec("[a-c]{1,2}", 1..4),
            path in proptest::collection::vec("[a-c]{1,2}", 1..4),
        ) {
            let parsed = format!("GET /{}", rule.join("/")).parse::<AllowRule>().unwrap();
            prop_assert!(parsed.matches(&Method::GET, rule.iter().map(String::as_str)));
            prop_assert_eq!(parsed.matches(&Method::GET, path.iter().map(String::as_str)), rule == path);
        }

        #[test]
        fn the_text_form_parses_back(segments in proptest::collection::vec(segment(), 0..4), rest in any::<bool>()) {
            let text = format!("* /{}{}", segments.join("/"), match (rest, segments.is_empty()) {
                (true, true) => "**",
                (true, false) => "/**",
                (false, _) => "",
            });
            let rule = text.parse::<AllowRule>().unwrap();
            prop_assert_eq!(&rule.to_string(), &text);
            prop_assert_eq!(rule.to_string().parse::<AllowRule>(), Ok(rule));
        }

        #[test]
        fn adding_a_rest_never_forbids(path in proptest::collection::vec("[a-c]{1,2}", 0..4), more in proptest::collection::vec("[a-c]{1,2}", 0..4)) {
            let rule = format!("* /{}{}**", path.join("/"), if path.is_empty() { "" } else { "/" }).parse::<AllowRule>().unwrap();
            prop_assert!(rule.matches(&Method::GET, path.iter().chain(&more).map(String::as_str)));
        }

        #[test]
        fn arbitrary_text_never_panics(text in ".{0,40}") {
            let _ = text.parse::<AllowRule>();
        }
    }
}
