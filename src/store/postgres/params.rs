//! What the URL says, and what that means.

use std::{fmt, time::Duration};

use rustls::RootCertStore;
use tokio_postgres::{
    Config,
    config::{Host, SslMode, SslNegotiation, TargetSessionAttrs},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    hosts::Hosts,
    tls::{self, Verify},
};
use crate::{
    model::{Secret, host::is_loopback},
    store::{OpenError, Opening, StoreError},
};

/// Which database, and how long it may take to answer.
#[derive(Debug, Clone)]
pub struct PostgresParams {
    /// `postgres://user:password@host:5432/database?sslmode=verify-full`, as libpq has it.
    pub url: Secret,
    pub trust: Trust,
    /// How long one operation may take, from the wait for a connection to its answer. The limits that the server is
    /// told follow from it.
    pub timeout: Duration,
    pub opening: Opening,
}

/// Who may vouch for the server.
#[derive(Debug, Clone)]
pub struct Trust {
    /// The system's authorities. They sign for anybody who shows that a name is theirs, so they count only where the
    /// name is checked as well.
    pub system: RootCertStore,
    /// Those that the operator has named.
    pub named: Option<RootCertStore>,
}

/// Where sessions are opened, and how.
pub(super) struct Target {
    pub(super) hosts: Hosts,
    pub(super) tls: MakeRustlsConnect,
    pub(super) timeout: Duration,
    pub(super) opening: Opening,
    /// `db.example:5432`, for messages.
    pub(super) address: String,
    /// What about the way to the server an operator should know and mend.
    pub(super) exposure: Option<String>,
}

/// What a URL asks for beyond what the client library reads.
struct Asked {
    /// The URL without it.
    url: Secret,
    sslmode: Option<String>,
    keepalives: bool,
}

/// How often an idle connection shows that it lives, so that no firewall forgets it and no dead server goes unnoticed.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Every key that a URL may have.
const KEYS: [&str; 19] = [
    "host",
    "hostaddr",
    "port",
    "user",
    "password",
    "dbname",
    "application_name",
    "options",
    "sslmode",
    "sslnegotiation",
    "channel_binding",
    "connect_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "tcp_user_timeout",
    "target_session_attrs",
    "load_balance_hosts",
];

// === impl PostgresParams ===

impl PostgresParams {
    /// How long one operation may take unless somebody asks for something else.
    pub const TIMEOUT: Duration = Duration::from_secs(5);

    /// Reads the URL, and connects to nothing. Answers what messages call the server, without user and password.
    ///
    /// # Errors
    ///
    /// A URL that cannot be used, with a hint and without any part of it.
    pub fn place(&self) -> Result<String, OpenError> {
        Target::new(self).map(|target| target.address)
    }
}

// === impl Target ===

impl Target {
    /// Reads the URL; connects to nothing.
    pub(super) fn new(params: &PostgresParams) -> Result<Self, OpenError> {
        let asked = Asked::read(&params.url)?;
        let mut config: Config = asked.url.expose().parse().map_err(|error| not_understood(&error))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(fault(
                "names no host",
                "postgres://user@host:5432/database; a socket is ?host=/run/postgresql",
            ));
        }
        let (mut mode, verify) = asked.tls(params.trust.named.is_some())?;
        if config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_))) && config.get_hostaddrs().is_empty() {
            // There is no TLS on a socket, and nobody to listen. libpq leaves sslmode unheard there too.
            mode = SslMode::Disable;
        }
        let direct = config.get_ssl_negotiation() == SslNegotiation::Direct;
        let tls = tls::connector(verify, &params.trust, direct)?;
        config.ssl_mode(mode);
        // Of several hosts, the one that takes writes.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(params.timeout);
        }
        if config.get_application_name().is_none() {
            config.application_name("flexslot-proxy");
        }
        if !asked.keepalives {
            config.keepalives_idle(KEEPALIVE).keepalives_interval(KEEPALIVE / 3).keepalives_retries(3);
        }
        let Some(hosts) = Hosts::of(&config) else {
            return Err(fault(
                "does not name an address and a port for each host",
                "as many in hostaddr and port as in host, in the same order; one port may serve for all",
            ));
        };
        let address = address(&config);
        let is_unconsidered = asked.sslmode.is_none() && verify == Verify::Nothing && leads_elsewhere(&config);
        let exposure = is_unconsidered.then(|| {
            format!(
                "PostgreSQL at {address}: store.url has no sslmode, so the server's certificate is not checked, and the connection is not even \
                 encrypted where the server does not offer it; add sslmode=verify-full, or the mode that is meant"
            )
        });
        Ok(Self { address, exposure, hosts, tls, timeout: params.timeout, opening: params.opening })
    }

    /// Trouble with the server, in words for the operator.
    pub(super) fn unavailable(&self, what: &str) -> StoreError {
        StoreError::Unavailable(format!("PostgreSQL at {}: {what}", self.address))
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("address", &self.address).finish_non_exhaustive()
    }
}

// === impl Asked ===

impl Asked {
    fn read(url: &Secret) -> Result<Self, OpenError> {
        let text = url.expose();
        let Some(rest) = ["postgres://", "postgresql://"].iter().find_map(|scheme| text.strip_prefix(scheme)) else {
            return Err(fault("is no URL of PostgreSQL", "postgres://user@host:5432/database"));
        };
        refuse_ambiguous(rest)?;
        let mut asked = Self { url: url.clone(), sslmode: None, keepalives: false };
        if let Some((before, query)) = text.split_once('?') {
            let mut kept = Vec::new();
            for (at, pair) in query.split('&').enumerate().filter(|(_, pair)| !pair.is_empty()) {
                if !pair.split_once('=').is_some_and(|(key, _)| KEYS.contains(&key)) {
                    return Err(unknown_key(at));
                }
                match pair.split_once('=') {
                    Some(("sslmode", value)) => asked.sslmode = Some(value.to_owned()),
                    Some(("target_session_attrs", value)) if value != "read-write" => {
                        return Err(fault(
                            "asks for a server that a sidecar cannot use",
                            "target_session_attrs is always read-write",
                        ));
                    }
                    _ => kept.push(pair),
                }
                asked.keepalives |= pair.starts_with("keepalives");
            }
            asked.url = Secret::new(format!("{before}?{}", kept.join("&")));
        }
        Ok(asked)
    }

    /// What libpq makes of `sslmode`, except that trust roots given without any mode are meant to be used.
    fn tls(&self, roots_given: bool) -> Result<(SslMode, Verify), OpenError> {
        Ok(match (self.sslmode.as_deref(), roots_given) {
            (Some("disable"), _) => (SslMode::Disable, Verify::Nothing),
            (Some("prefer"), _) | (None, false) => (SslMode::Prefer, Verify::Nothing),
            (Some("require"), false) => (SslMode::Require, Verify::Nothing),
            (Some("verify-ca"), false) => {
                let hint = "name the server's own authority in store.ca_file, or write sslmode=verify-full: the system's authorities sign for anybody";
                return Err(fault("asks for verify-ca, and no authority is named", hint));
            }
            (Some("require" | "verify-ca"), true) => (SslMode::Require, Verify::Chain),
            (Some("verify-full"), _) | (None, true) => (SslMode::Require, Verify::ChainAndName),
            (Some(_), _) => {
                let hint = "expected disable, prefer, require, verify-ca or verify-full";
                return Err(fault("has an sslmode that is not supported", hint));
            }
        })
    }
}

/// A password with an unescaped `@` or `/` would end up, in part, in what is taken for the host, and so in messages.
fn refuse_ambiguous(rest: &str) -> Result<(), OpenError> {
    let authority = rest.find(['/', '?', '#']).map_or(rest, |end| &rest[..end]);
    match (rest.matches('@').count(), authority.contains('@')) {
        (0, _) | (1, true) => Ok(()),
        _ => Err(fault(
            "has an '@', '/', '?' or '#' where none can be",
            "in a user's name, a password or a value write %40, %2F, %3F and %23",
        )),
    }
}

/// Whether anything but this machine lies on the way to a host.
fn leads_elsewhere(config: &Config) -> bool {
    if !config.get_hostaddrs().is_empty() {
        return config.get_hostaddrs().iter().any(|address| !address.is_loopback());
    }
    config.get_hosts().iter().any(|host| match host {
        Host::Unix(_) => false,
        Host::Tcp(name) => !is_loopback(name),
    })
}

fn address(config: &Config) -> String {
    let hosts = config.get_hosts().iter().map(|host| match host {
        Host::Tcp(name) if name.contains(':') => format!("[{name}]"),
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    });
    let hosts: Vec<_> = match config.get_hosts().is_empty() {
        true => config.get_hostaddrs().iter().map(ToString::to_string).collect(),
        false => hosts.collect(),
    };
    let ports = config.get_ports();
    let with_port = |(at, host): (usize, &String)| match ports.get(at).or(ports.first()) {
        Some(port) => format!("{host}:{port}"),
        None => format!("{host}:5432"),
    };
    hosts.iter().enumerate().map(with_port).collect::<Vec<_>>().join(",")
}

/// The key is not shown: after an `&` that was not escaped, it is the rest of a password.
fn unknown_key(at: usize) -> OpenError {
    let hint = format!("it may have {}; in a value, '&' is written %26", KEYS.join(", "));
    fault(&format!("has a key that is not known, number {} after the '?'", at + 1), &hint)
}

/// The library's errors name the key, which is one of [`KEYS`], and never its value.
fn not_understood(error: &tokio_postgres::Error) -> OpenError {
    let cause = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    fault(&format!("is not understood: {cause}"), &format!("it may have {}", KEYS.join(", ")))
}

fn fault(what: &str, hint: &str) -> OpenError {
    OpenError::Refused { what: format!("the URL of the PostgreSQL store {what}"), hint: hint.into() }
}
