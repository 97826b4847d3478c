//! What can go wrong between us and a Redis server, in words for the operator.

use std::time::Duration;

use redis::{ErrorKind, RedisError};

use super::address::Address;
use crate::store::{OpenError, StoreError};

/// Why the server did not do what it was asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// There is no connection to it; nothing was sent.
    Connect(String),
    /// It showed a certificate that we do not trust; nothing was sent.
    Untrusted(String),
    /// The connection ended before the answer came.
    Lost,
    /// No answer came in this time.
    Late(Duration),
    /// It refused, with this code and text of its own.
    Refused { code: String, text: String },
    /// It answered something else than what was asked.
    Strange,
}

/// What a refusal means and what to do about it.
struct Reading {
    what: String,
    hint: &'static str,
    /// Whether it may pass without anybody changing the configuration.
    lasts: Lasts,
}

/// How long a refusal lasts.
#[derive(PartialEq, Eq)]
enum Lasts {
    /// It may pass while we run.
    AWhile,
    /// Until somebody changes the configuration, here or there.
    UntilMended,
}

const TRUST: &str = "store.url has to name the host as the certificate does, and its authority has to be trusted";

// === impl Fault ===

impl Fault {
    /// Of a TLS handshake that failed.
    pub(super) fn of_handshake(error: &std::io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(rustls::Error::InvalidCertificate(why)) => Self::Untrusted(why.to_string()),
            _ => Self::Connect(error.to_string()),
        }
    }

    /// Whether the connection is of no more use. One to a server that has become a replica is not: the name in the URL
    /// may lead to another server by now.
    pub(super) fn ends_connection(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Untrusted(_) | Self::Lost | Self::Late(_) | Self::Strange => true,
            Self::Refused { code, .. } => matches!(code.as_str(), "READONLY" | "MASTERDOWN" | "NOAUTH" | "LOADING"),
        }
    }

    /// The error of an operation on the store at `place`.
    pub(super) fn unavailable(&self, place: &Address) -> StoreError {
        let said = match self {
            Self::Connect(why) => format!("no connection: {why}"),
            Self::Untrusted(why) => format!("its certificate is not trusted: {why}; {TRUST}"),
            Self::Lost => "the connection ended before the answer came".into(),
            Self::Late(limit) => format!("no answer within {limit:?}"),
            Self::Strange => "it answered something that was not asked".into(),
            Self::Refused { code, text } => {
                let Reading { what, hint, .. } = read(code, text);
                format!("{what}; {hint}")
            }
        };
        StoreError::Unavailable(format!("{place}: {said}"))
    }

    /// The error of opening the store at `place`.
    pub(super) fn at_open(&self, place: &Address) -> OpenError {
        let refused =
            |what: String, hint: &str| OpenError::Refused { what: format!("{place}: {what}"), hint: hint.into() };
        if let Self::Untrusted(why) = self {
            return refused(format!("its certificate is not trusted: {why}"), TRUST);
        }
        if let Self::Refused { code, text } = self {
            let Reading { what, hint, lasts } = read(code, text);
            if lasts == Lasts::UntilMended {
                return refused(what, hint);
            }
        }
        self.unavailable(place).into()
    }
}

/// Passes on nothing but what the server says of itself; the library's messages about values may quote them.
impl From<RedisError> for Fault {
    fn from(error: RedisError) -> Self {
        match error.kind() {
            ErrorKind::Io => Self::Lost,
            ErrorKind::Server(_) | ErrorKind::Extension => {
                let (code, text) = (error.code().unwrap_or_default(), error.detail().unwrap_or_default());
                let code = if is_right_missing(text) { "NOPERM" } else { code_within(text).unwrap_or(code) };
                Self::Refused { code: code.into(), text: text.trim_end().into() }
            }
            _ => Self::Strange,
        }
    }
}

/// How servers before version 7.2 say within a script that a right is missing.
pub(super) fn is_right_missing(text: &str) -> bool {
    text.contains("NOPERM") || text.contains("The user executing the script can't")
}

/// Servers before version 7 wrap what a script was refused: `Error running script …: -OOM command not allowed …`.
fn code_within(text: &str) -> Option<&str> {
    let wrapped = text.strip_prefix("Error running script")?;
    let code = wrapped.split_once(": -")?.1.split(' ').next()?;
    (!code.is_empty() && code.bytes().all(|byte| byte.is_ascii_uppercase())).then_some(code)
}

fn read(code: &str, text: &str) -> Reading {
    use Lasts::{AWhile, UntilMended};
    let (what, hint, lasts) = match code {
        "WRONGPASS" => {
            ("it refuses the user name or the password", "correct them in what store.url is read from", UntilMended)
        }
        "NOAUTH" => ("it wants a password", "store.url needs one: redis://USER:PASSWORD@HOST", UntilMended),
        "NOPERM" => {
            ("the user lacks a right", "give it those that docs/stores.md names, with ACL SETUSER", UntilMended)
        }
        "WRONGTYPE" => (
            "a key that belongs to the store holds something else",
            "name another database in store.url; this one was left as it is",
            UntilMended,
        ),
        "MOVED" | "ASK" | "CROSSSLOT" | "CLUSTERDOWN" => {
            ("it is part of a Redis Cluster, which this program does not speak", "name a server by itself", UntilMended)
        }
        "READONLY" => ("it is a replica and takes no writes", "store.url has to lead to the primary", AWhile),
        "MASTERDOWN" => ("it is a replica that has lost its primary", "store.url has to lead to the primary", AWhile),
        "LOADING" => ("it is still loading its data", "it will be back by itself", AWhile),
        "OOM" => ("its memory is full", "raise its maxmemory", AWhile),
        "MISCONF" => ("it cannot save to its disk and takes no writes", "make room on its disk; see its log", AWhile),
        "NOREPLICAS" => ("too few of its replicas are there, and it takes no writes", "see its log", AWhile),
        "BUSY" => ("it is busy with a script", "see its slow log", AWhile),
        "ERR" if text.starts_with("DB index is out of range") => {
            ("it has no database of that number", "name another one in store.url", UntilMended)
        }
        "ERR" if text.contains("without any password configured") => (
            "it knows no password for its default user, and store.url has one",
            "name the user in store.url, or leave the password out",
            UntilMended,
        ),
        "ERR" if text.starts_with("unknown command") => {
            ("it does not know a command that the store needs", "the store needs Redis 6 or newer", UntilMended)
        }
        _ => return Reading { what: format!("it answers {code} {text}"), hint: "see its log", lasts: AWhile },
    };
    Reading { what: format!("{what} ({code})"), hint, lasts }
}

#[cfg(test)]
mod tests {
    use redis::{ErrorKind, RedisError, Value};

    use super::{Address, Fault};
    use crate::{model::Secret, store::OpenError};

    fn answered(line: &str) -> Fault {
        let value = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).expect("an answer");
        value.extract_error().expect_err("an error").into()
    }

    fn place() -> Address {
        Address::parse(&Secret::new("redis://ops:canary@cache/1")).expect("an address")
    }

    #[test]
    fn a_refusal_says_what_it_means_and_what_to_do() {
        let refusals = [
            ("LOADING Redis is loading the dataset in memory", "still loading its data (LOADING); it will be back"),
            ("MISCONF Redis is configured to save RDB snapshots, but", "cannot save to its disk and takes no writes"),
            ("MASTERDOWN Link with MASTER is down", "a replica that has lost its primary"),
            ("NOREPLICAS Not enough good replicas to write.", "too few of its replicas"),
            ("BUSY Redis is busy running a script.", "busy with a script"),
            ("MOVED 3999 127.0.0.1:6381", "part of a Redis Cluster"),
            ("SURPRISE me", "it answers SURPRISE me; see its log"),
        ];
        for (line, expected) in refusals {
            let said = answered(line).unavailable(&place()).to_string();
            assert!(said.contains(expected), "{said}");
            assert!(said.contains("redis://cache:6379/1: ") && !said.contains("canary"), "{said}");
        }
    }

    #[test]
    fn older_servers_are_understood_too() {
        let oom = "ERR Error running script (call to f_1): @user_script:1: @user_script: 1: -OOM command not allowed";
        assert!(matches!(answered(oom), Fault::Refused { code, .. } if code == "OOM"));
        let right =
            "ERR The user executing the script can't run this command or subcommand script: 1, on @user_script:1.";
        assert!(matches!(answered(right), Fault::Refused { code, .. } if code == "NOPERM"));
        let plain = answered("ERR Error running script (call to f_1): @user_script:1: oh - no");
        assert!(matches!(plain, Fault::Refused { code, .. } if code == "ERR"));
    }

    #[test]
    fn what_lasts_until_it_is_mended_stops_the_start_and_what_may_pass_is_an_outage() {
        for (line, stops) in [("WRONGPASS no", true), ("NOPERM no", true), ("LOADING wait", false), ("ODD", false)] {
            let error = answered(line).at_open(&place());
            assert_eq!(matches!(error, OpenError::Refused { .. }), stops, "{line}: {error}");
            assert_eq!(error.hint().is_some(), stops, "{line}");
        }
    }

    #[test]
    fn a_value_that_is_not_understood_is_not_shown() {
        let error = redis::from_redis_value::<u64>(Value::BulkString(b"canary".to_vec())).expect_err("no number");
        let fault = Fault::from(RedisError::from(error));
        assert!(!fault.unavailable(&place()).to_string().contains("canary"));
        assert_eq!(Fault::from(RedisError::from((ErrorKind::Client, "canary"))), Fault::Strange);
    }
}
