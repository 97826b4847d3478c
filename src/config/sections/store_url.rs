//! `store.url`: which engine, and where.

use std::{borrow::Cow, fmt, path::PathBuf};

use url::form_urlencoded;

use crate::{config::fault::Wrong, model::Secret};

/// A store's URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::config) enum StoreUrl {
    Memory,
    Sqlite(PathBuf),
    Server(ServerUrl),
}

/// A database server. Displayed without user, password and options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl {
    pub kind: ServerKind,
    /// As written; a secret because it may hold a password.
    pub url: Secret,
    shown: String,
}

/// Which protocol the server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerKind {
    /// `redis://`, and `rediss://` for TLS (registered provisionally with IANA).
    Redis,
    /// `postgres://` or `postgresql://` (PostgreSQL's documentation, section 34.1.1.2).
    Postgres,
}

/// `scheme://user@hosts/database?options`. PostgreSQL's may name several hosts, so it is not always a URL by RFC 3986.
struct Parts<'a> {
    scheme: &'a str,
    user: &'a str,
    hosts: &'a str,
    database: &'a str,
    query: &'a str,
}

/// The options that can stand for a part of the URL, or choose a schema.
const OPTIONS_OF_PLACE: [&str; 6] = ["host", "hostaddr", "port", "user", "dbname", "options"];

const FORMS: &str = "write \"sqlite:PATH\", \"redis://HOST:6379/0\", \"postgres://USER@HOST/DATABASE\" or \"memory:\"";

// === impl StoreUrl ===

impl StoreUrl {
    /// Any URL of a store. `text` may hold a password, so no fault repeats anything of it.
    pub(in crate::config) fn parse(text: &str) -> Result<Self, Wrong> {
        if text == "memory:" {
            return Ok(Self::Memory);
        }
        match text.strip_prefix("sqlite:") {
            Some(path) => database(path).map(Self::Sqlite),
            None => ServerUrl::parse(text).map(Self::Server),
        }
    }

    /// One that everybody may read who can read the file or list the processes.
    pub(in crate::config) fn parse_literal(text: &str) -> Result<Self, Wrong> {
        match Self::parse(text)? {
            Self::Server(server) if server.has_password() => Err(Wrong::new("a password is never written out here")
                .hint("keep the whole URL in a variable or a file: url = { env = \"NAME\" } or { file = \"path\" }")),
            url => Ok(url),
        }
    }

    /// Why trust roots given beside this URL would be used for nothing; `None` where they are used.
    pub(in crate::config) fn objection_to_roots(&self) -> Option<Wrong> {
        match self {
            Self::Memory | Self::Sqlite(_) => Some(Wrong::new("only for redis and postgres").hint("leave it out")),
            Self::Server(server) => server.objection_to_roots(),
        }
    }
}

fn database(path: &str) -> Result<PathBuf, Wrong> {
    // sqlite:///var/lib/x.db, as other programs write it.
    let path = match path.strip_prefix("//") {
        Some(absolute) if absolute.starts_with('/') => absolute,
        Some(_) => return Err(Wrong::new("a path does not begin with //").hint("write \"sqlite:PATH\"")),
        None => path,
    };
    if path == ":memory:" {
        return Err(Wrong::new("a database in memory is another store").hint("write \"memory:\""));
    }
    if path.is_empty() || path.ends_with('/') || path.contains(['?', '\0']) {
        return Err(Wrong::new("not the path of a database").hint("write \"sqlite:PATH\""));
    }
    Ok(path.into())
}

// === impl ServerUrl ===

impl ServerUrl {
    fn parse(text: &str) -> Result<Self, Wrong> {
        let kind = match text.split_once("://").map(|(scheme, _)| scheme) {
            Some("redis" | "rediss") => ServerKind::Redis,
            Some("postgres" | "postgresql") => ServerKind::Postgres,
            _ => return Err(Wrong::new("not a store that this version knows").hint(FORMS)),
        };
        let parts = Parts::of(text);
        // In libpq's form the host may be an option: a directory with a socket in it.
        let is_somewhere = !parts.hosts.is_empty()
            || (kind == ServerKind::Postgres && parts.options().any(|(name, _)| name == "host"));
        // Part of a password whose '/' or '?' is not escaped: everything before that would be taken for a host and
        // shown.
        if parts.names_a_user_too_late() || !parts.hosts.split(',').all(is_host) {
            return Err(Wrong::new("a user, password, host or port that cannot be told apart")
                .hint("in a user's name or a password write %40 for @, %2F for /, %3F for ? and %3A for :"));
        }
        // A fragment means something to some clients: "insecure" turns the check of certificates off.
        if !is_somewhere
            || text.contains(['#', ' '])
            || text.contains(char::is_control)
            || !kind.accepts(parts.database)
        {
            return Err(kind.malformed());
        }
        let slash = if parts.database.is_empty() { "" } else { "/" };
        let shown = format!("{}://{}{slash}{}", parts.scheme, parts.hosts, parts.database);
        Ok(Self { kind, url: Secret::new(text), shown })
    }

    /// Whether `other` is the same database as the same user sees it, whatever the password and the way there.
    pub(super) fn lies_where(&self, other: &Self) -> bool {
        self.kind == other.kind && Parts::of(self.url.expose()).place() == Parts::of(other.url.expose()).place()
    }

    /// Without an `sslmode`, PostgreSQL's certificate is checked as soon as there are roots to check it against.
    fn objection_to_roots(&self) -> Option<Wrong> {
        let parts = Parts::of(self.url.expose());
        let unchecked = |how: &str| Wrong::new(format!("no certificate is checked with {how} in store.url"));
        match self.kind {
            ServerKind::Redis if parts.scheme == "rediss" => None,
            ServerKind::Redis => Some(unchecked("redis://").hint("write rediss:// there, or leave ca_file out")),
            // PostgreSQL speaks TLS over TCP alone, whatever sslmode says.
            ServerKind::Postgres if parts.are_sockets() => {
                Some(unchecked("a unix socket").hint("leave ca_file out, or name the server's host there"))
            }
            ServerKind::Postgres => {
                let unverified = ["disable", "allow", "prefer"];
                // Of an option that comes twice the last one counts.
                let (_, mode) = parts.options().filter(|(name, _)| name == "sslmode").last()?;
                let mode = unverified.into_iter().find(|unverified| *unverified == mode)?;
                let wrong = unchecked(&format!("sslmode={mode}"));
                Some(wrong.hint("write sslmode=verify-full there, or leave ca_file out"))
            }
        }
    }

    fn has_password(&self) -> bool {
        let parts = Parts::of(self.url.expose());
        parts.user.contains(':') || parts.options().any(|(name, _)| name.eq_ignore_ascii_case("password"))
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

// === impl ServerKind ===

impl ServerKind {
    /// Whether `name` can be a database's: a number in Redis.
    fn accepts(self, name: &str) -> bool {
        match self {
            Self::Redis => name.is_empty() || name.parse::<u32>().is_ok(),
            Self::Postgres => !name.contains('/'),
        }
    }

    fn malformed(self) -> Wrong {
        match self {
            Self::Redis => Wrong::new("not the URL of a Redis server").hint("write \"redis://HOST:6379/0\""),
            Self::Postgres => {
                Wrong::new("not the URL of a PostgreSQL database").hint("write \"postgres://USER@HOST:5432/DATABASE\"")
            }
        }
    }
}

// === impl Parts ===

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Self {
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        Self { scheme, user, hosts, database, query }
    }

    /// What tells one database from another: the user too, whose default schema may be their own.
    fn place(&self) -> impl PartialEq + use<'a> {
        let user = self.user.split_once(':').map_or(self.user, |(user, _)| user);
        let options = self.options().filter(|(name, _)| OPTIONS_OF_PLACE.contains(&name.as_ref()));
        (user, self.hosts, self.database, options.collect::<Vec<_>>())
    }

    /// Whether there is an `@` after the hosts, where none belongs (RFC 3986, section 3.2).
    fn names_a_user_too_late(&self) -> bool {
        self.database.contains('@') || self.query.contains('@')
    }

    /// Whether every host is the directory of a unix socket, in either of libpq's forms: an escaped path in the
    /// authority, or the option `host`.
    fn are_sockets(&self) -> bool {
        let is_path =
            |host: &str| host.starts_with('/') || host.get(..3).is_some_and(|slash| slash.eq_ignore_ascii_case("%2F"));
        let mut all = self.hosts.split(',').filter(|host| !host.is_empty()).map(is_path).collect::<Vec<_>>();
        for (name, value) in self.options() {
            match name.as_ref() {
                "host" => all.extend(value.split(',').map(is_path)),
                "hostaddr" => all.push(false),
                _ => {}
            }
        }
        !all.is_empty() && all.into_iter().all(|is_path| is_path)
    }

    fn options(&self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> + use<'a> {
        form_urlencoded::parse(self.query.as_bytes())
    }
}

/// Whether `text` is a host with or without a port, and nothing that only looks like one: `user:password`.
fn is_host(text: &str) -> bool {
    let port = match text.strip_prefix('[') {
        Some(literal) => match literal.split_once(']') {
            Some((_, "")) => None,
            Some((_, after)) => after.strip_prefix(':').or(Some("")),
            None => Some(""),
        },
        None => text.split_once(':').map(|(_, port)| port),
    };
    port.is_none_or(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::StoreUrl;

    fn shown(text: &str) -> String {
        match StoreUrl::parse(text).unwrap() {
            StoreUrl::Server(server) => server.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn servers_are_shown_without_user_password_and_options() {
        for (text, expected) in [
            ("redis://localhost", "redis://localhost"),
            ("rediss://u:canary@cache.internal:6380/3", "rediss://cache.internal:6380/3"),
            ("redis://:canary@[::1]:6379/", "redis://[::1]:6379"),
            ("postgres://app:canary@db.internal/flexslot?sslmode=require", "postgres://db.internal/flexslot"),
            ("postgresql://db:5433", "postgresql://db:5433"),
            ("postgres://u:canary@a:5432,b:5433/x", "postgres://a:5432,b:5433/x"),
            ("postgres:///flexslot?host=/run/postgresql&password=canary", "postgres:///flexslot"),
        ] {
            assert_eq!(shown(text), expected);
            assert!(!format!("{:?}", StoreUrl::parse(text)).contains("canary"), "{text}");
        }
    }

    #[test]
    fn other_text_is_no_store_and_never_repeated() {
        for text in [
            "",
            "redis:canary",
            "redis://",
            "redis://host/canary",
            "redis://host/0/1",
            "rediss://host/0#insecure",
            "postgres://",
            "postgres:///canary",
            "postgres://host/a/b",
            "mysql://user:canary@host/x",
            "sqlite:",
            "sqlite://relative.db",
            "sqlite::memory:",
            "sqlite:dir/",
            "sqlite:x.db?mode=ro",
        ] {
            let wrong = StoreUrl::parse(text).unwrap_err();
            assert!(wrong.hint.is_some() && !format!("{wrong:?}").contains("canary"), "{text}");
        }
    }

    #[test]
    fn a_password_is_no_literal() {
        for text in ["redis://:canary@host", "postgres://u:canary@host/db", "postgres://u@host/db?password=canary"] {
            assert!(StoreUrl::parse(text).is_ok());
            let wrong = StoreUrl::parse_literal(text).unwrap_err();
            assert!(!format!("{wrong:?}").contains("canary"), "{text}");
        }
        assert!(StoreUrl::parse_literal("postgres://u@host/db").is_ok());
    }

    #[test]
    fn a_place_is_the_same_whatever_the_password() {
        let lies_where = |one: &str, other: &str| match (StoreUrl::parse(one), StoreUrl::parse(other)) {
            (Ok(StoreUrl::Server(one)), Ok(StoreUrl::Server(other))) => one.lies_where(&other),
            other => panic!("{other:?}"),
        };
        assert!(lies_where("postgres://u:one@h/db", "postgresql://u:two@h/db?sslmode=require"));
        assert!(lies_where("postgres://u@h/db?password=one", "postgres://u@h/db?password=two"));
        assert!(lies_where("redis://:one@h/1", "rediss://:two@h/1"));
        assert!(!lies_where("postgres://u:one@h/db", "postgres://v:one@h/db"));
        assert!(!lies_where("postgres://h/db?options=-csearch_path%3Da", "postgres://h/db?options=-csearch_path%3Db"));
        assert!(!lies_where("redis://h/1", "redis://h/2") && !lies_where("redis://g/1", "redis://h/1"));
        assert!(!lies_where("redis://h/1", "postgres://h/1"));
    }

    #[test]
    fn a_password_that_ends_the_authority_too_early_is_taken_for_no_host() {
        for text in [
            "postgres://u:canary/x@h",
            "postgres://u:canary?x@h/db",
            "postgres://u:canary",
            "postgres://a:5432,u:canary/x",
            "postgres://[::1]canary/x",
            "postgres://[::1/canary",
            "postgres://u:1234/canary@h",
            "postgres://u:1234?canary@h/db",
            "redis://:canary?x@h/0",
            "redis://u:canary/1",
            "redis://h:/0",
        ] {
            let wrong = StoreUrl::parse(text).expect_err(text);
            assert!(wrong.hint.is_some() && !format!("{wrong:?}").contains("canary"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "(redis|postgres|sqlite|memory)?(:|://)?.{0,30}") {
            let _ = StoreUrl::parse_literal(&text);
        }
    }
}
