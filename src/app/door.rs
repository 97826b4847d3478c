//! The door to the credentials, for a command: on the configured store, with nothing running beside it. Nothing is
//! refreshed through it, so it takes no instance lock.

use std::sync::Arc;

use super::{StartFailure, Surroundings, outbound::Outbound, settings, storage::Storage};
use crate::{
    config::{self, Config, Engine},
    credential::coordinator::Parts,
    model::Unobserved,
};

pub use crate::credential::{CardQuery, Credentials, DisconnectOutcome};

/// The door on a store that is open.
pub fn open(config: &Config, storage: Storage, around: &Surroundings) -> Result<Credentials, StartFailure> {
    let server = Outbound::new(config)?.authorization_server(config, around)?;
    Ok(Credentials::new(Parts {
        settings: settings::credential(config, server),
        store: storage.store,
        spool: None, // it belongs to who renews
        instance: None,
        clock: Arc::clone(&around.clock),
        random: around.random.clone(),
        observer: Arc::new(Unobserved),
    }))
}

/// The door for who only looks. A store that has still to be made is an empty one.
pub async fn look(config: &Config, around: &Surroundings) -> Result<Credentials, StartFailure> {
    let storage = match Storage::look(&config.store, around, Arc::new(Unobserved)).await? {
        Some(storage) => storage,
        None => {
            let empty = config::Store { engine: Engine::Memory, ..config.store.clone() };
            Storage::open(&empty, around, Arc::new(Unobserved)).await?
        }
    };
    open(config, storage, around)
}
