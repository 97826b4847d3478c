//! Tenants that the configuration names and nobody knows: mostly misspelt.

use std::collections::BTreeMap;

use crate::{
    app::{
        StartFailure,
        finding::{Finding, Found},
    },
    config::Config,
    model::{GrantState, SpeaksFor, TenantId},
    store::TokenStore,
};

/// A finding for each that has no credential, in the file or in the store. It may be about to get one.
pub(super) async fn unknown(config: &Config, store: &TokenStore) -> Vec<Found> {
    let mut found = Vec::new();
    for (tenant, places) in named(config) {
        let in_file = config.tenants.iter().any(|known| known.name == *tenant && known.pat.is_some());
        // What cannot be read is told by the other findings.
        let in_store = match store.load(tenant).await {
            Ok(record) => record.pat.is_some() || record.grant != GrantState::NeverConnected,
            Err(_) => true,
        };
        if !in_file && !in_store {
            let what =
                format!("{} names {tenant}, which has no credential in the file or in the store", places.join(", "));
            let hint = format!("mend the name; or connect it: flexslot-proxy connect {tenant}");
            found.push(Finding::Doubtful(StartFailure::new(what).hint(hint)).of("tenant"));
        }
    }
    found
}

/// Every tenant that is named outside of `[[tenants]]`, and where.
fn named(config: &Config) -> BTreeMap<&TenantId, Vec<String>> {
    let mut named: BTreeMap<_, Vec<String>> = BTreeMap::new();
    let mut note = |tenant, place: &str| named.entry(tenant).or_default().push(place.to_owned());
    config.server.default_tenant.iter().for_each(|tenant| note(tenant, "server.default_tenant"));
    config.server.listeners.iter().filter_map(|on| on.tenant.as_ref()).for_each(|tenant| note(tenant, "server.listen"));
    for caller in &config.server.callers {
        if let SpeaksFor::These(tenants) = &caller.speaks_for {
            let place = format!("server.callers, {:?},", caller.name);
            tenants.iter().for_each(|tenant| note(tenant, &place));
        }
    }
    named
}
