//! Reads `WWW-Authenticate` (RFC 9110 section 11.6.1): what an upstream says is wrong with a credential.

use http::{HeaderMap, header::WWW_AUTHENTICATE};

/// How the token was presented. Of several challenges the one of the same scheme counts first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Bearer,
    Dpop,
}

/// One challenge, as far as it could be read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Challenge {
    scheme: String,
    parameters: Vec<(String, String)>,
}

/// The challenge that says what is wrong: of the scheme that was presented, else the first of any that does.
pub(super) fn challenge_of_error(headers: &HeaderMap, presented: Scheme) -> Option<Challenge> {
    let name = match presented {
        Scheme::Bearer => "bearer",
        Scheme::Dpop => "dpop",
    };
    let mut told: Vec<_> =
        challenges(headers).into_iter().filter(|challenge| challenge.get("error").is_some()).collect();
    let own = told.iter().position(|challenge| challenge.scheme.eq_ignore_ascii_case(name)).unwrap_or_default();
    (!told.is_empty()).then(|| told.swap_remove(own))
}

/// The first challenge that says what is wrong.
pub(super) fn first_with_error(headers: &HeaderMap) -> Option<Challenge> {
    challenges(headers).into_iter().find(|challenge| challenge.get("error").is_some())
}

/// All challenges, in their order. Tolerant: what does not parse is passed over.
fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    let mut all: Vec<Challenge> = Vec::new();
    for line in headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok()) {
        let first = all.len();
        for part in split_unquoted(line) {
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (name.trim(), Some(value)),
                None => (part.trim(), None),
            };
            // The first parameter of a challenge follows its scheme: `Bearer error="…"`.
            let (scheme, name) = match (name.rsplit_once([' ', '\t']), value) {
                (Some((scheme, name)), Some(_)) => (Some(scheme.trim()), name),
                (_, None) => (Some(name), ""),
                (None, Some(_)) => (None, name),
            };
            if scheme.is_some() || all.len() == first {
                all.push(Challenge { scheme: scheme.unwrap_or_default().to_owned(), ..Challenge::default() });
            }
            if let (Some(value), Some(challenge)) = (value, all.last_mut()) {
                challenge.parameters.push((name.to_ascii_lowercase(), unquote(value.trim())));
            }
        }
    }
    all
}

// === impl Challenge ===

impl Challenge {
    /// The value of the first parameter of that name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

/// Splits at commas that are not inside a quoted string (RFC 9110 section 5.6.4).
fn split_unquoted(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn unquote(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"') else { return value.to_owned() };
    let mut text = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => text.extend(chars.next()),
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Challenge, challenges};
    use http::{HeaderMap, header::WWW_AUTHENTICATE};
    use proptest::prelude::*;

    #[test]
    fn only_the_parameter_named_error_counts() {
        let error = |text: &str| {
            let headers = HeaderMap::from_iter([(WWW_AUTHENTICATE, text.parse().unwrap())]);
            challenges(&headers).into_iter().find_map(|challenge| challenge.get("error").map(str::to_owned))
        };
        let quoted = "Bearer error_description=\"error=\\\"x\\\", y\", Error=\"a\\\"b\"";
        assert_eq!(error(quoted).as_deref(), Some("a\"b"));
        assert_eq!(error("Bearer error_uri=x"), None);
    }

    #[test]
    fn challenges_are_told_from_each_other_and_from_their_parameters() {
        let read = |lines: &[&str]| {
            let headers: HeaderMap = lines.iter().map(|line| (WWW_AUTHENTICATE, line.parse().unwrap())).collect();
            challenges(&headers)
        };
        let challenge = |scheme: &str, parameters: &[(&str, &str)]| Challenge {
            scheme: scheme.into(),
            parameters: parameters.iter().map(|&(name, value)| (name.into(), value.into())).collect(),
        };
        let (basic, bearer) = ("Basic realm=\"a, \\\"b\"", "Bearer Error=x, scope = \"c d\"");
        let both =
            [challenge("Basic", &[("realm", "a, \"b")]), challenge("Bearer", &[("error", "x"), ("scope", "c d")])];
        assert_eq!(read(&[&format!("{basic}, {bearer}")]), both);
        assert_eq!(read(&[basic, bearer]), both);
        // Outside of a string a backslash is nothing but itself.
        let plain = challenge("Bearer", &[("realm", "a\\"), ("error", "x")]);
        assert_eq!(read(&["Bearer realm=a\\, error=x"]), [plain]);
        let unnamed = challenge("", &[("error", "x"), ("scope", "c")]);
        assert_eq!(read(&["Negotiate", "error=x, scope=c"]), [challenge("Negotiate", &[]), unnamed]);
    }

    proptest! {
        #[test]
        fn any_challenge_is_read_without_panic(text in ".*") {
            if let Ok(value) = text.parse() {
                let _ = challenges(&HeaderMap::from_iter([(WWW_AUTHENTICATE, value)]));
            }
        }
    }
}
