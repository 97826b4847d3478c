//! What a `redis://` URL says: where the server is, and who we are there.

use std::fmt;

use percent_encoding::percent_decode_str;
use url::{Host, Url};

use crate::{
    model::{Secret, host::is_loopback},
    store::OpenError,
};

const DEFAULT_PORT: u16 = 6379;

const FORM: &str = "write redis://USER:PASSWORD@HOST:PORT/DATABASE, or rediss://… for TLS; all but the host may be left out, and what \
                    is no letter or digit in user and password is percent-encoded";

/// A Redis server and our place on it. `Display` is the URL without user and password, for messages.
#[derive(Debug)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) transport: Transport,
    pub(super) user: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) database: u32,
}

/// How the server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Plain,
    Tls,
}

// === impl Address ===

impl Address {
    /// Reads `redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]`, or the same with `rediss:`. User and password are
    /// percent-decoded.
    pub(super) fn parse(url: &Secret) -> Result<Self, OpenError> {
        // The parser's own message is not passed on, and neither is any part of the URL: it may hold the password.
        let url = Url::parse(url.expose()).map_err(|_| wrong("not a URL"))?;
        let transport = match url.scheme() {
            "redis" => Transport::Plain,
            "rediss" => Transport::Tls,
            _ => return Err(wrong("not the URL of a Redis server")),
        };
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("the URL of a Redis server has no ? and no #"));
        }
        let host = match url.host() {
            Some(Host::Domain(name)) if !name.is_empty() => name.to_owned(),
            Some(Host::Ipv4(ip)) => ip.to_string(),
            Some(Host::Ipv6(ip)) => ip.to_string(),
            _ => return Err(wrong("names no host")),
        };
        let user = decoded(url.username()).ok_or_else(|| wrong("the user name is not UTF-8"))?;
        let password = url.password().map(|text| decoded(text).ok_or_else(|| wrong("the password is not UTF-8")));
        let address = Self {
            host,
            port: url.port().unwrap_or(DEFAULT_PORT),
            transport,
            user: Some(user).filter(|user| !user.is_empty()),
            password: password.transpose()?.filter(|password| !password.is_empty()).map(Secret::new),
            database: database(url.path())?,
        };
        match (&address.user, &address.password) {
            (Some(_), None) => Err(wrong("there is a user name without a password")),
            _ => Ok(address),
        }
    }

    /// Whether the password, and all that is stored, goes over a network as it is.
    pub(super) fn is_overheard(&self) -> bool {
        self.transport == Transport::Plain && !is_loopback(&self.host)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.transport {
            Transport::Plain => "redis",
            Transport::Tls => "rediss",
        };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}/{}", self.host, self.port, self.database),
            false => write!(f, "{scheme}://{}:{}/{}", self.host, self.port, self.database),
        }
    }
}

fn database(path: &str) -> Result<u32, OpenError> {
    match path.strip_prefix('/').unwrap_or(path) {
        "" => Ok(0),
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().map_err(|_| wrong("no Redis server has so many databases"))
        }
        _ => Err(wrong("after the host stands something that is not the number of a database")),
    }
}

fn decoded(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(Into::into)
}

fn wrong(what: &str) -> OpenError {
    OpenError::Refused { what: format!("store.url: {what}"), hint: FORM.into() }
}

#[cfg(test)]
mod tests {
    use super::{Address, Transport};
    use crate::{model::Secret, store::OpenError};

    fn parse(url: &str) -> Result<Address, OpenError> {
        Address::parse(&Secret::new(url))
    }

    #[test]
    fn what_is_left_out_has_its_usual_value() {
        let address = parse("redis://cache.internal").expect("an address");
        assert_eq!((address.host.as_str(), address.port, address.database), ("cache.internal", 6379, 0));
        assert_eq!((address.transport, address.user, address.password), (Transport::Plain, None, None));
    }

    #[test]
    fn every_part_is_read_and_neither_user_nor_password_is_shown() {
        let address = parse("rediss://o%40ps:s%3Ae%2Fc%3Fr@[::1]:7000/3").expect("an address");
        assert_eq!((address.host.as_str(), address.port, address.database), ("::1", 7000, 3));
        assert_eq!(address.transport, Transport::Tls);
        assert_eq!((address.user.as_deref(), &address.password), (Some("o@ps"), &Some(Secret::new("s:e/c?r"))));
        assert_eq!(address.to_string(), "rediss://[::1]:7000/3");
        assert!(!format!("{address:?}").contains("s:e"));
    }

    #[test]
    fn a_connection_that_others_can_hear_is_told_from_one_that_stays_here() {
        for (url, overheard) in [
            ("redis://cache.internal/", true),
            ("redis://10.0.0.7/", true),
            ("redis://[fd00::7]/", true),
            ("rediss://cache.internal/", false),
            ("redis://localhost/", false),
            ("redis://cache.localhost/", false),
            ("redis://127.0.0.9/", false),
            ("redis://[::1]/", false),
        ] {
            assert_eq!(parse(url).expect("an address").is_overheard(), overheard, "{url}");
        }
    }

    #[test]
    fn a_password_needs_no_user() {
        let address = parse("redis://:canary@127.0.0.1/").expect("an address");
        assert_eq!((address.user, address.password), (None, Some(Secret::new("canary"))));
    }

    #[test]
    fn faults_say_what_is_wrong_and_never_the_url() {
        let urls = [
            ("canary", "not a URL"),
            ("postgres://u:canary@h/1", "not the URL of a Redis server"),
            ("redis://u:can?ary@h/1", "not a URL"),
            ("redis://u:canary@h/1?db=2", "no ? and no #"),
            ("redis:///1", "no host"),
            ("redis://u:canary@h:canary/1", "not a URL"),
            ("redis://canary@h", "without a password"),
            ("redis://u:canary%ff@h", "the password is not UTF-8"),
            ("redis://h/canary", "not the number of a database"),
            ("redis://h/+1", "not the number of a database"),
            ("redis://h/99999999999", "so many databases"),
        ];
        for (url, expected) in urls {
            let error = parse(url).expect_err(url);
            let said = format!("{error} {error:?} {:?}", error.hint());
            assert!(said.contains(expected), "{url}: {said}");
            assert!(!said.contains("canary"), "{said}");
        }
    }
}
