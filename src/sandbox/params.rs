//! Form and query parameters, read strictly.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// Parameters in the order they came. Has no `Debug`, since it holds codes, tokens and secrets.
#[derive(Default)]
pub(super) struct Params(Vec<(String, String)>);

/// Why parameters were refused. Names a parameter, never its value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BadParams {
    /// Broken percent encoding or not UTF-8.
    Encoding,
    /// The same name twice (RFC 6749 section 3.2 forbids it).
    Repeated(String),
}

// === impl Params ===

impl Params {
    /// Reads `application/x-www-form-urlencoded` text.
    pub(super) fn parse(text: &str) -> Result<Self, BadParams> {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name)?, decode(value)?))
        });
        pairs.collect::<Result<_, _>>().map(Self)
    }

    /// The same, with every name at most once.
    pub(super) fn parse_unique(text: &str) -> Result<Self, BadParams> {
        let params = Self::parse(text)?;
        match params.0.iter().map(|(name, _)| name).find(|name| params.is_repeated(name)) {
            Some(name) => Err(BadParams::Repeated(name.clone())),
            None => Ok(params),
        }
    }

    pub(super) fn is_repeated(&self, name: &str) -> bool {
        self.0.iter().filter(|(other, _)| other == name).count() > 1
    }

    /// The name of a parameter that is there more than once.
    pub(super) fn repeated(&self) -> Option<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).find(|name| self.is_repeated(name))
    }

    /// The first value of `name`. A parameter without a value counts as left out (RFC 6749 section 3.2).
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, value)| other == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// The value of `name` as a number.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }
}

/// One name or value of a form, decoded.
pub(super) fn decode(text: &str) -> Result<String, BadParams> {
    let bytes = text.as_bytes();
    let broken = |at: usize| {
        let digits = bytes.get(at + 1..at + 3);
        !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if bytes.iter().enumerate().any(|(at, &byte)| byte == b'%' && broken(at)) {
        return Err(BadParams::Encoding);
    }
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().map(Cow::into_owned).map_err(|_| BadParams::Encoding)
}

/// `text` as the value of a query parameter.
pub(super) fn encode(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::{BadParams, Params};

    #[test]
    fn reads_a_form() {
        let params = Params::parse_unique("a=1&b=x+y%2Bz&c=").ok().unwrap();
        assert_eq!((params.get("a"), params.get("b"), params.get("c")), (Some("1"), Some("x y+z"), None));
    }

    #[test]
    fn refuses_repeats_and_broken_encoding() {
        assert_eq!(Params::parse_unique("a=1&a=1").err(), Some(BadParams::Repeated("a".into())));
        assert_eq!(Params::parse("a=%2").err(), Some(BadParams::Encoding));
        assert_eq!(Params::parse("a=%zz").err(), Some(BadParams::Encoding));
        assert_eq!(Params::parse("a=%ff").err(), Some(BadParams::Encoding));
    }
}
