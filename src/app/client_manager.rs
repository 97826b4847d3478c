//! The management of OAuth clients, for a command: what Flexslot is asked, and what of it is kept before anything else is
//! done with it.
//!
//! Each of `create`, `rotate` and `revoke` goes the same way: a note in the store, the request, the outcome in the store.
//! A process that dies at any of these steps leaves either nothing, or a note that says what to do, or everything; never
//! a secret that is only in its memory or on a screen.

mod create;
mod revoke;
mod rotate;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::{StartFailure, Surroundings, outbound::Outbound, storage::Storage};
use crate::{
    config::Config,
    flexslot::{
        clients::{ClientManagement, Issued, ManagementError, Refused, WhyRefused},
        registry::STORE_RETRY_FOR,
    },
    model::{ClientDescription, ClientType, Origin, Secret, TenantId},
    store::{ClientIntent, ClientRecord, ClientRecords, Generation, StoreError, TokenStore},
};

pub use crate::{
    flexslot::clients::CLIENTS_PAGE,
    store::{ClientStep, Creation},
};
pub use create::Made;
pub use revoke::{Assurance, Ended};

/// Asks Flexslot in a tenant's name, and keeps what it answers.
pub struct ClientManager {
    store: TokenStore,
    management: Arc<dyn ClientManagement>,
    origin: Origin,
    tenant: TenantId,
    pat: Secret,
}

/// What there is at Flexslot and here.
#[derive(Debug, Clone)]
pub struct Clients {
    /// As Flexslot lists them for the PAT.
    pub listed: Vec<ClientDescription>,
    pub kept: ClientRecords,
}

/// The pause before it is asked again.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

// === impl ClientManager ===

impl ClientManager {
    /// On a store that is open, with the PAT of `tenant`.
    pub fn new(
        config: &Config,
        storage: &Storage,
        (tenant, pat): (TenantId, Secret),
        around: &Surroundings,
    ) -> Result<Self, StartFailure> {
        let management = Outbound::new(config)?.client_management(config, around)?;
        Ok(Self { store: storage.store.clone(), management, origin: config.upstream.origin.clone(), tenant, pat })
    }

    /// What there is. How Flexslot describes the clients that are kept here is taken over.
    pub async fn clients(&self) -> Result<Clients, StartFailure> {
        let listed = self.management.list(&self.pat).await.map_err(|error| match error {
            // There is a list for whoever is a partner.
            ManagementError::Refused(Refused { why: WhyRefused::NotFound, status, code }) => {
                let code = code.map(|code| format!(" {code}")).unwrap_or_default();
                let what = format!("Flexslot knows no partner behind the PAT of {} ({status}{code})", self.tenant);
                StartFailure::new(what).hint("--tenant takes the tenant whose PAT is a partner's")
            }
            error => self.refused(&error),
        })?;
        self.store.describe_clients(&listed).await.map_err(|error| StartFailure::store(&error))?;
        let mut kept = self.store.clients().await.map_err(|error| StartFailure::store(&error))?;
        kept.clients.retain(|kept| kept.origin == self.origin);
        kept.creations.retain(|creation| creation.origin == self.origin);
        Ok(Clients { listed, kept })
    }

    fn kept(&self, Issued { client, secret }: Issued) -> ClientRecord {
        let (origin, tenant) = (self.origin.clone(), self.tenant.clone());
        ClientRecord { client, origin, tenant, secret, intent: None, generation: Generation::default() }
    }

    /// Asks the store until it takes what cannot be had again.
    async fn insist<T>(&self, mut store: impl AsyncFnMut() -> Result<T, StoreError>) -> Result<T, StoreError> {
        let until = Instant::now() + STORE_RETRY_FOR;
        loop {
            match store().await {
                Err(StoreError::Unavailable(_)) if Instant::now() < until => sleep(RETRY_PAUSE).await,
                answer => return answer,
            }
        }
    }

    fn refused(&self, error: &ManagementError) -> StartFailure {
        let failure = StartFailure::new(error.to_string());
        match error.hint() {
            Some(hint) => failure.hint(hint.replace("TENANT", self.tenant.as_str())),
            None => failure,
        }
    }
}

impl fmt::Debug for ClientManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientManager").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

// === impl Clients ===

impl Clients {
    /// How many count towards Flexslot's limit.
    pub fn counted(&self) -> usize {
        self.listed.iter().filter(|client| client.status.counts()).count()
    }

    /// What is kept of the client with this id.
    pub fn kept(&self, client_id: &str) -> Option<&ClientRecord> {
        self.kept.clients.iter().find(|kept| kept.client.client_id == client_id)
    }

    /// The client with this id, or the only one with this name: of those that Flexslot lists, then of those that are
    /// kept here.
    pub fn find(&self, wish: &str) -> Result<&ClientDescription, StartFailure> {
        let here = self.kept.clients.iter().map(|kept| &kept.client);
        let all: Vec<_> = self.listed.iter().chain(here).collect();
        if let Some(client) = all.iter().find(|client| client.client_id == wish) {
            return Ok(client);
        }
        let mut named: Vec<_> = all.into_iter().filter(|client| client.name == wish).collect();
        named.sort_by(|a, b| a.client_id.cmp(&b.client_id));
        named.dedup_by(|a, b| a.client_id == b.client_id);
        match named[..] {
            [client] => Ok(client),
            [] => Err(StartFailure::new(format!("no OAuth client is called {wish:?}"))
                .hint("flexslot-proxy client list shows them; a client of another partner takes that partner's PAT")),
            _ => Err(StartFailure::new(format!("{} OAuth clients are called {wish:?}", named.len()))
                .hint("take its client_id; flexslot-proxy client list shows them")),
        }
    }

    /// Whether Flexslot lists it.
    pub fn is_listed(&self, client_id: &str) -> bool {
        self.listed.iter().any(|client| client.client_id == client_id)
    }
}

/// What died half-way, each as a line that says what to do.
pub fn notes(kept: &ClientRecords) -> Vec<String> {
    let creations = kept.creations.iter().map(|Creation { name, at, .. }| {
        format!(
            "A creation of {name:?} that began at {at} did not end: run the same flexslot-proxy client create again."
        )
    });
    let steps = kept.clients.iter().filter_map(|kept| {
        let (ClientIntent { step, at, .. }, id) = (kept.intent.as_ref()?, &kept.client.client_id);
        let (what, command) = match step {
            ClientStep::Rotate => ("A rotation of the secret", "rotate-secret"),
            ClientStep::Revoke => ("A revocation", "revoke"),
        };
        Some(format!(
            "{what} of client {id} that began at {at} did not end: run flexslot-proxy client {command} {id} again."
        ))
    });
    creations.chain(steps).collect()
}

/// Whether a client has no secret to be rotated.
fn is_public(client: &ClientDescription) -> bool {
    client.client_type == Some(ClientType::Public)
}
