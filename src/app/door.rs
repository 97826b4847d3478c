//! The door to the credentials, for a command: on the configured store, with nothing running beside it. Nothing is
//! refreshed through it, so it takes no instance lock.

use std::sync::Arc;

use super::{
    StartFailure, Surroundings, client_manager::notes, outbound::Outbound, settings, storage::Storage, stored_clients,
};
use crate::{
    config::{self, Config, Engine, StoreConfig},
    credential::{self, TenantPolicy, coordinator::Parts},
    model::{Secret, Unobserved, Untraced},
};

pub use crate::credential::{CardQuery, Credentials, DisconnectOutcome};

/// What somebody sees who only looks.
#[derive(Debug)]
pub struct Looking {
    pub credentials: Credentials,
    /// A store that has still to be made is an empty one, and stays so for who looks at it.
    pub has_store: bool,
    /// What `client` commands have begun and not ended, each as a line that says what to do.
    pub notes: Vec<String>,
}

/// Stands for a PAT of the file that nobody has read.
const UNREAD: &str = "unread";

/// The door on a store that is open.
pub async fn open(config: &Config, storage: Storage, around: &Surroundings) -> Result<Credentials, StartFailure> {
    let stored = stored_clients::loaded(&storage.store, &config.upstream.origin).await;
    let server = Outbound::new(config)?.authorization_server(config, &stored, around)?;
    Ok(with(settings::credential(config, server), storage, around))
}

/// The door for who only looks. `file` says whose PATs the file sets; `config` need not have them.
pub async fn look(config: &Config, file: &StoreConfig, around: &Surroundings) -> Result<Looking, StartFailure> {
    let (storage, has_store) = match Storage::look(&config.store, around, Arc::new(Unobserved)).await? {
        Some(storage) => (storage, true),
        None => {
            let empty = config::Store { engine: Engine::Memory, ..config.store.clone() };
            (Storage::open(&empty, around, Arc::new(Unobserved)).await?, false)
        }
    };
    let stored = stored_clients::loaded(&storage.store, &config.upstream.origin).await;
    let server = Outbound::new(config)?.authorization_server(config, &stored, around)?;
    let mut settings = settings::credential(config, server);
    for (_, policy) in settings.tenants.iter_mut().filter(|(tenant, _)| file.sets_pat_of(tenant)) {
        let pat = policy.pat.clone().or_else(|| Some(Secret::new(UNREAD)));
        *policy = Arc::new(TenantPolicy { pat, ..(**policy).clone() });
    }
    // Whoever cannot read them is told so by what he came for.
    let notes = storage.store.clients().await.map(|kept| notes(&kept)).unwrap_or_default();
    Ok(Looking { credentials: with(settings, storage, around), has_store, notes })
}

fn with(settings: credential::Settings, storage: Storage, around: &Surroundings) -> Credentials {
    Credentials::new(Parts {
        settings,
        store: storage.store,
        spool: None, // it belongs to who renews
        instance: None,
        clock: Arc::clone(&around.clock),
        random: around.random.clone(),
        observer: Arc::new(Unobserved),
        tracer: Arc::new(Untraced),
    })
}
