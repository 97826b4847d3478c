//! `store.url`: which engine, and where.

use std::{fmt, path::PathBuf};

use url::Url;

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
        let url = Url::parse(text).map_err(|_| kind.malformed())?;
        // In libpq's form the host may be an option: a directory with a socket in it.
        let is_somewhere =
            url.has_host() || (kind == ServerKind::Postgres && url.query_pairs().any(|(name, _)| name == "host"));
        // A fragment means something to some clients: "insecure" turns the check of certificates off.
        if !is_somewhere || url.fragment().is_some() || !kind.accepts(url.path()) {
            return Err(kind.malformed());
        }
        let authority = match (url.host_str(), url.port()) {
            (None, _) => String::new(),
            (Some(host), None) => host.to_owned(),
            (Some(host), Some(port)) => format!("{host}:{port}"),
        };
        let shown = format!("{}://{authority}{}", url.scheme(), url.path());
        Ok(Self { kind, url: Secret::new(text), shown })
    }

    fn has_password(&self) -> bool {
        Url::parse(self.url.expose()).is_ok_and(|url| {
            url.password().is_some() || url.query_pairs().any(|(name, _)| name.eq_ignore_ascii_case("password"))
        })
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

// === impl ServerKind ===

impl ServerKind {
    /// Whether `path` can name a database: a number in Redis.
    fn accepts(self, path: &str) -> bool {
        let name = path.strip_prefix('/').unwrap_or(path);
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
            ("redis://:canary@[::1]:6379/", "redis://[::1]:6379/"),
            ("postgres://app:canary@db.internal/flexslot?sslmode=require", "postgres://db.internal/flexslot"),
            ("postgresql://db:5433", "postgresql://db:5433"),
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

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "(redis|postgres|sqlite|memory)?(:|://)?.{0,30}") {
            let _ = StoreUrl::parse_literal(&text);
        }
    }
}
