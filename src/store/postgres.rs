//! `postgres://…`: rows in a database that several hosts share, durable when a write is answered.
//!
//! A sidecar has two connections: on one, writes are made one after the other (`writer`); the other answers everything
//! else, with as many questions under way at a time as there are. Times are the server's.
//!
//! # Rights
//!
//! Whoever may create in the database, or owns the (empty) schema `flexslot_proxy`, makes and changes the tables by
//! opening the store. A role that only works on them needs no more than this, given by their owner:
//!
//! ```sql
//! GRANT USAGE ON SCHEMA flexslot_proxy TO sidecar;
//! GRANT SELECT ON flexslot_proxy.schema_version TO sidecar;
//! GRANT SELECT, UPDATE (head) ON flexslot_proxy.store TO sidecar;
//! GRANT SELECT, INSERT, UPDATE, DELETE ON flexslot_proxy.records, flexslot_proxy.leases TO sidecar;
//! ```

mod faults;
mod hosts;
mod params;
mod plan;
mod rows;
mod schema;
mod session;
mod tls;
mod values;
mod writer;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;

pub use self::params::{PostgresParams, Trust};
use self::{
    params::Target,
    session::{Lane, Opener, Session},
    writer::Writer,
};
use super::{
    OpenError, StoreError,
    backend::{Backend, Bid, Change, Key, Kind, Listed, Names, Pulse, Revision, Row, RowState, Written},
};
use crate::model::{Random, TenantId, Timestamp, token::Owner};

/// How many rows one transaction of a purge deletes.
const PURGE_STEP: u64 = 1000;

/// A store in PostgreSQL, version 13 or newer.
pub struct Postgres {
    target: Arc<Target>,
    writer: Writer,
    reader: Lane,
}

// === impl Postgres ===

impl Postgres {
    /// Connects, and makes the tables or brings them up to date if the role may. Connections that are lost later are
    /// made anew, and tables that are then gone too.
    ///
    /// # Errors
    ///
    /// [`OpenError::Refused`] where somebody has to do something: a wrong URL or password, missing rights, tables of a
    /// newer program. [`StoreError::Unavailable`] where the server is out of reach. Neither carries the password.
    pub async fn open(params: &PostgresParams, random: Random) -> Result<Self, OpenError> {
        let target = Arc::new(Target::new(params)?);
        let opener = Opener { target: Arc::clone(&target), random };
        let reader = Lane::new(opener.clone());
        reader.open().await.map_err(|fault| fault.into_open_error(&target))?;
        Ok(Self { target, writer: Writer::start(opener), reader })
    }
}

#[async_trait]
impl Backend for Postgres {
    async fn store_id(&self) -> Result<[u8; 16], StoreError> {
        self.reader.run(|session| async move { rows::store_id(&session).await }).await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.reader.run(|session| async move { rows::now(&session).await }).await
    }

    async fn pulse(&self, beside: &Key) -> Result<Pulse, StoreError> {
        let pulse = self.reader.run(|session| async move { rows::pulse(&session, beside).await }).await?;
        Ok(Pulse { connections: self.reader.sessions(), ..pulse })
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Row>>, StoreError> {
        self.reader.run(|session| async move { rows::get(&session, keys).await }).await
    }

    async fn write(&self, changes: Vec<Change>) -> Result<Written, StoreError> {
        self.writer.write(changes).await
    }

    async fn list(
        &self,
        kind: Kind,
        state: Option<RowState>,
        names: Names<'_>,
        limit: usize,
    ) -> Result<Vec<Listed>, StoreError> {
        self.reader.run(|session| async move { rows::list(&session, kind, state, names, limit).await }).await
    }

    async fn changes(&self, since: Revision, limit: usize) -> Result<(Revision, Vec<(Key, Revision)>), StoreError> {
        self.reader.run(|session| async move { rows::changes(&session, since, limit).await }).await
    }

    async fn bid(&self, tenant: &TenantId, owner: &Owner, length: Duration, by: Timestamp) -> Result<Bid, StoreError> {
        self.reader.run(|session| async move { rows::bid(&session, tenant, owner, length, by).await }).await
    }

    async fn release(&self, tenant: &TenantId, owner: &Owner) -> Result<(), StoreError> {
        self.reader.run(|session| async move { rows::release(&session, tenant, owner).await }).await
    }

    async fn touch(&self, used: &[(Key, Timestamp)]) -> Result<(), StoreError> {
        self.reader.run(|session| async move { rows::touch(&session, used).await }).await
    }

    async fn purge(&self, kind: Kind, before: Timestamp) -> Result<u64, StoreError> {
        let mut purged = 0;
        loop {
            let step = |session: Arc<Session>| async move { rows::purge(&session, kind, before, PURGE_STEP).await };
            let deleted = self.reader.run(step).await?;
            purged += deleted;
            if deleted < PURGE_STEP {
                return Ok(purged);
            }
        }
    }

    fn exposure(&self) -> Option<String> {
        self.target.exposure.clone()
    }

    /// What about the server's settings keeps an answered write from being durable.
    async fn caveats(&self) -> Result<Vec<String>, StoreError> {
        self.reader.run(|session| async move { rows::caveats(&session).await }).await
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("address", &self.target.address).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
