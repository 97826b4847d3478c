//! What the commands that manage OAuth clients go by.

use std::collections::BTreeMap;

use super::{
    Config, ConfigSource, ConfiguredSecret, Environment, Faults, Overrides, SecretSource, ServiceSecrets, fault::Place,
    read, report::Spot, secret::Unreadable,
};
use crate::model::{Secret, TenantId};

/// A configuration whose secrets are left unread but for the store's: of all PATs such a command takes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConfig {
    pub config: Config,
    /// Where the file says that tenants' PATs are.
    pats: BTreeMap<TenantId, SecretSource>,
    /// And the secrets of OAuth clients, by their ids.
    secrets: BTreeMap<String, SecretSource>,
    /// Where OAuth clients are named, each with its id.
    names: Vec<(String, String)>,
}

// === impl ClientConfig ===

impl ClientConfig {
    /// Reads `source` as [`Config::load`] does, with all faults at once, except those of secrets that are left unread.
    pub fn load(source: &ConfigSource, overrides: &Overrides, environment: &dyn Environment) -> Result<Self, Faults> {
        read(source, overrides, environment, ServiceSecrets::None, |written, unconfigured, resolver| {
            let pats = written.tenants.iter().filter_map(|tenant| tenant.pat_source(resolver)).collect();
            let secrets = written.oauth.secret_sources(resolver).into_iter().collect();
            let names = written.oauth.client_spots();
            let names = names.into_iter().map(|(id, spot)| (id, place_of(&spot, source.name().as_deref()))).collect();
            Self { config: written.meaning(source, unconfigured, resolver), pats, secrets, names }
        })
    }

    /// The PAT that the file sets for `tenant`; it wins over the store's.
    pub fn pat_of(&self, tenant: &TenantId, environment: &dyn Environment) -> Result<Option<Secret>, Unreadable> {
        let Some(source) = self.pats.get(tenant) else { return Ok(None) };
        ConfiguredSecret::read(source.clone(), environment).map(|configured| Some(configured.secret))
    }

    /// Where the file says that the secret of this client is.
    pub fn secret_of(&self, client_id: &str) -> Option<&SecretSource> {
        self.secrets.get(client_id)
    }

    /// Where the configuration names this client, such as `proxy.toml:12: oauth.client_id`.
    pub fn names(&self, client_id: &str) -> impl Iterator<Item = &str> {
        self.names.iter().filter(move |(id, _)| id == client_id).map(|(_, place)| place.as_str())
    }
}

fn place_of(Spot { place, key }: &Spot, file: Option<&str>) -> String {
    match (file, place) {
        (Some(file), Place::Line { line, .. }) => format!("{file}:{line}: {key}"),
        (_, Place::Override(name)) => format!("{name}: {key}"),
        _ => key.clone(),
    }
}
