//! What went wrong with the server, and what to do about it.
//!
//! The texts carry the server's message and its SQLSTATE, never its detail, which may quote what is stored.

use std::{error::Error as _, io, time::Duration};

use tokio_postgres::error::{Severity, SqlState};

use super::params::Target;
use crate::store::{OpenError, StoreError};

/// Why an operation failed.
#[derive(Debug)]
pub(super) enum Fault {
    /// The server said so, or the connection to it did.
    Server(tokio_postgres::Error),
    /// No answer in time.
    Late(Duration),
    /// It stays so until somebody does something about it.
    Refused { what: String, hint: String },
    /// There are no tables yet, and we only look.
    NotYet,
    /// A record that is not as we write them.
    Unreadable { record: String, what: String },
    /// The transaction may have been committed, and may not.
    Unknown(Box<Fault>),
}

/// What somebody can do about a fault.
enum Remedy {
    /// Wait: it is tried again, and may pass by itself.
    Passing(&'static str),
    /// Change something first.
    Hint(String),
}

// === impl Fault ===

impl Fault {
    /// Whether another session may do what this one could not. Only where the work can be done twice, or was not done.
    pub(super) fn calls_for_another_session(&self) -> bool {
        let Self::Server(error) = self else { return false };
        let Some(code) = error.code() else { return true };
        let passing = [
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::IDLE_SESSION_TIMEOUT,
            SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
            // A standby now: of several hosts another one may have become the primary.
            SqlState::READ_ONLY_SQL_TRANSACTION,
            // The tables are gone or made anew: a new session makes them, or finds them.
            SqlState::UNDEFINED_TABLE,
            SqlState::INVALID_SCHEMA_NAME,
            SqlState::FEATURE_NOT_SUPPORTED,
            SqlState::INVALID_SQL_STATEMENT_NAME,
        ];
        passing.contains(code)
    }

    /// Whether the server has said that the transaction is not committed. What ends a session (FATAL) may come after
    /// the commit: an administrator can end one that waits for its standby.
    pub(super) fn is_certain(&self) -> bool {
        let Self::Server(error) = self else { return false };
        error.as_db_error().is_some_and(|error| {
            error.parsed_severity() == Some(Severity::Error)
                && *error.code() != SqlState::TRANSACTION_RESOLUTION_UNKNOWN
        })
    }

    /// For an operation on a store that is open.
    pub(super) fn into_store_error(self, target: &Target) -> StoreError {
        match self {
            Self::Unreadable { record, what } => StoreError::Unreadable { record, what },
            Self::Unknown(fault) => match fault.into_store_error(target) {
                StoreError::Unavailable(what) => StoreError::Unavailable(format!("{what}; a write may have been done")),
                error => error,
            },
            Self::Late(after) => target.unavailable(&late(after)),
            Self::NotYet => target.unavailable("there are no tables yet"),
            Self::Refused { what, hint } => target.unavailable(&format!("{what} ({hint})")),
            Self::Server(error) => match remedy(&error) {
                Remedy::Passing(advice) => target.unavailable(&format!("{}{advice}", text(&error))),
                Remedy::Hint(hint) => target.unavailable(&format!("{} ({hint})", text(&error))),
            },
        }
    }

    /// For a store that is being opened.
    pub(super) fn into_open_error(self, target: &Target) -> OpenError {
        let refused =
            |what: &str, hint| OpenError::Refused { what: format!("PostgreSQL at {}: {what}", target.address), hint };
        match self {
            Self::Refused { what, hint } => refused(&what, hint),
            Self::NotYet => OpenError::NotYet { place: format!("PostgreSQL at {}", target.address) },
            Self::Server(error) => match remedy(&error) {
                Remedy::Hint(hint) => refused(&text(&error), hint),
                Remedy::Passing(_) => Self::Server(error).into_store_error(target).into(),
            },
            fault => fault.into_store_error(target).into(),
        }
    }
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Server(error)
    }
}

fn late(after: Duration) -> String {
    format!("no answer within {after:?}; it is tried again (is the server overloaded, or paused, or the network cut?)")
}

/// The server's own message, or what the connection died of.
fn text(error: &tokio_postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        return format!("{} (SQLSTATE {})", error.message(), error.code().code());
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

fn remedy(error: &tokio_postgres::Error) -> Remedy {
    match error.code() {
        Some(code) => remedy_of(code),
        None => remedy_without_code(error),
    }
}

fn remedy_of(code: &SqlState) -> Remedy {
    let table: [(&[SqlState], &str); 7] = [
        (
            &[SqlState::INVALID_PASSWORD, SqlState::INVALID_AUTHORIZATION_SPECIFICATION],
            "check user and password of store.url, and the server's pg_hba.conf",
        ),
        (&[SqlState::INVALID_CATALOG_NAME], "make the database: CREATE DATABASE … OWNER …"),
        (&[SqlState::INSUFFICIENT_PRIVILEGE], "give the role the rights that docs/stores.md lists"),
        (
            &[SqlState::TOO_MANY_CONNECTIONS],
            "raise max_connections, or have fewer clients; a sidecar needs two connections",
        ),
        (&[SqlState::DISK_FULL], "free space on the server's disk"),
        (&[SqlState::OUT_OF_MEMORY], "the server needs more memory"),
        (
            &[SqlState::READ_ONLY_SQL_TRANSACTION],
            "it is read-only, a standby perhaps: name the primary, or all hosts, in store.url",
        ),
    ];
    if let Some((_, hint)) = table.iter().find(|(codes, _)| codes.contains(code)) {
        return Remedy::Hint((*hint).to_owned());
    }
    Remedy::Passing(match code {
        code if *code == SqlState::LOCK_NOT_AVAILABLE || *code == SqlState::QUERY_CANCELED => {
            "; something holds it up (a long transaction, an overloaded server); it is tried again"
        }
        _ => "; it is tried again",
    })
}

fn remedy_without_code(error: &tokio_postgres::Error) -> Remedy {
    let message = text(error);
    let io = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    if let Some(hint) = io.and_then(tls_hint) {
        return Remedy::Hint(hint.to_owned());
    }
    if message.contains("TLS") {
        return Remedy::Hint("check sslmode of store.url, and whether the server has ssl = on".into());
    }
    if message.contains("authentication") || message.contains("password missing") {
        return Remedy::Hint("give the password in store.url; nothing else is looked for".into());
    }
    match io.map(io::Error::kind) {
        // The client library's word for a server that takes no writes.
        Some(io::ErrorKind::PermissionDenied) if io.is_some_and(|error| error.raw_os_error().is_none()) => {
            Remedy::Hint("it is a standby: name the primary, or all hosts, in store.url".into())
        }
        _ => Remedy::Passing("; it is tried again (is the server running, and the address right?)"),
    }
}

fn tls_hint(error: &io::Error) -> Option<&'static str> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(_) => {
            Some("give the CA that signed the server's certificate, and the host's name as it stands in it")
        }
        _ => Some("check sslmode of store.url, and the server's ssl settings"),
    }
}
