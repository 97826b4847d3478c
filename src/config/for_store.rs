//! What the commands that work on the store go by.

use std::collections::BTreeMap;

use super::{Config, ConfigSource, Environment, Faults, Overrides, ServiceSecrets, Store, read};
use crate::model::{Origin, TenantId};

/// What of a configuration concerns the store and what is in it. To read it takes the secrets of the store alone (its
/// URL, its key), because the others are the service's, and an operator's shell need not have them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    pub store: Store,
    /// Whom stored credentials are for.
    pub origin: Origin,
    /// The client whose grants are refreshed.
    pub client_id: Option<String>,
    /// The tenants that the file names.
    pub tenants: BTreeMap<TenantId, FilePat>,
}

/// Whether the file says where a tenant's PAT is, which then wins over the store's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilePat {
    Absent,
    Set,
}

// === impl StoreConfig ===

impl StoreConfig {
    /// Reads `source` as [`Config::load`] does, with all faults at once, except those of secrets that are left unread.
    pub fn load(source: &ConfigSource, overrides: &Overrides, environment: &dyn Environment) -> Result<Self, Faults> {
        read(source, overrides, environment, ServiceSecrets::None, |written, unconfigured, resolver| {
            let named = written.tenants.iter().filter_map(|tenant| tenant.named());
            let tenants = named.map(|(name, pat)| (name.clone(), pat)).collect();
            let Config { store, upstream, oauth, .. } = written.meaning(source, unconfigured, resolver);
            Self { store, origin: upstream.origin, client_id: oauth.client.map(|client| client.id), tenants }
        })
    }

    /// Whether the file sets the PAT of `tenant`.
    pub fn sets_pat_of(&self, tenant: &TenantId) -> bool {
        self.tenants.get(tenant) == Some(&FilePat::Set)
    }
}
