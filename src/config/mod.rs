//! proxy.toml -> [`Config`]: first what is written, then what it means; every fault at once.
//!
//! The first stage (`syntax`, `reader`, `sections::*::Written`) understands the text and looks at nothing else. Flags
//! and variables replace what the file says (`overrides`). The second stage (`meaning`, `reach`) reads secrets, makes
//! paths whole, fills in defaults and checks across tables. Both note faults with their places in one `report`.

pub mod environment;
pub mod fault;
mod for_clients;
mod for_probe;
mod for_store;
mod keyring;
mod listen;
mod meaning;
mod names;
mod near;
mod origin;
mod overrides;
mod pem;
mod reach;
mod reader;
mod reload;
mod report;
pub mod secret;
mod sections;
mod source;
mod syntax;
#[cfg(test)]
mod tests;
mod units;
mod written;

pub use environment::{Environment, SystemEnvironment};
pub use fault::{Fault, Faults, Place};
pub use for_clients::ClientConfig;
pub use for_store::{FilePat, StoreConfig};
pub use keyring::{KeyringItem, parse_item_name};
pub use meaning::ServiceSecrets;
pub use origin::OutboundProxy;
pub use overrides::Overrides;
pub use secret::{ConfiguredSecret, SecretSource};
pub use sections::{
    Admin, Callback, Caller, Engine, ExtraRoots, KeyLocation, Limits, Log, LogFormat, NamedClient, OAuth, OAuthClient,
    PassedOver, Refresh, RewriteUrls, Server, ServerKind, ServerTls, ServerUrl, Store, StoreKey, Tenant, TraceExport,
    Traces, Upstream,
};
pub use source::ConfigSource;
pub use units::parse_duration;

use meaning::Resolver;
use reader::Table;
use report::Report;
use sections::store::Unconfigured;
use written::Written;

/// Everything that the program was told, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub source: ConfigSource,
    pub server: Server,
    pub admin: Admin,
    pub upstream: Upstream,
    pub oauth: OAuth,
    pub refresh: Refresh,
    pub store: Store,
    pub limits: Limits,
    pub log: Log,
    pub traces: Traces,
    pub tenants: Vec<Tenant>,
}

// === impl Config ===

impl Config {
    /// Reads `source` and what it refers to; all faults at once. For a reload, call it again with the same arguments.
    pub fn load(source: &ConfigSource, overrides: &Overrides, environment: &dyn Environment) -> Result<Self, Faults> {
        Self::load_with(ServiceSecrets::All, source, overrides, environment)
    }

    /// The same for a command that does without some of the service's secrets. What it means lacks them, the tenants'
    /// PATs with `OfClient` for one: whether the file sets one is for [`StoreConfig::sets_pat_of`] to say.
    pub fn load_with(
        secrets: ServiceSecrets,
        source: &ConfigSource,
        overrides: &Overrides,
        environment: &dyn Environment,
    ) -> Result<Self, Faults> {
        read(source, overrides, environment, secrets, |written, unconfigured, resolver| {
            written.meaning(source, unconfigured, resolver)
        })
    }
}

/// Both stages, the second by `meaning`; all faults at once.
fn read<T>(
    source: &ConfigSource,
    overrides: &Overrides,
    environment: &dyn Environment,
    secrets: ServiceSecrets,
    meaning: impl FnOnce(Written, Unconfigured, &Resolver<'_>) -> T,
) -> Result<T, Faults> {
    read_heeding(|_| true, source, overrides, environment, secrets, meaning)
}

/// The same, where some faults do not matter.
fn read_heeding<T>(
    heeds: impl FnMut(&Fault) -> bool,
    source: &ConfigSource,
    overrides: &Overrides,
    environment: &dyn Environment,
    secrets: ServiceSecrets,
    meaning: impl FnOnce(Written, Unconfigured, &Resolver<'_>) -> T,
) -> Result<T, Faults> {
    let text = source.read(environment)?;
    let report = Report::new(&text);
    let table = syntax::parse(&text, &report);
    let mut written = Written::read(Table::root(table.get_ref(), &report));
    let resolver = Resolver::new(environment, secrets, &report, source.path());
    overrides.apply(&mut written, &resolver);
    let unconfigured = match source {
        ConfigSource::BuiltIn => overrides::stand_in_for_a_file(&mut written, &resolver),
        ConfigSource::Found | ConfigSource::File(_) => Unconfigured::Database,
    };
    reach::check(&written, &resolver);
    let meant = meaning(written, unconfigured, &resolver);
    match report.into_faults().into_iter().filter(heeds).collect::<Vec<_>>() {
        faults if faults.is_empty() => Ok(meant),
        faults => Err(Faults::new(source.name(), faults)),
    }
}
