//! `redis://…` and `rediss://…`: rows in a Redis server, shared by sidecars on any number of hosts.
//!
//! Times are those of the server. Every operation is one script (`redis/lua`), which Redis runs whole and alone. What
//! the keys hold, all of them under `{flexslot-proxy}:`:
//!
//! | key | | |
//! |---|---|---|
//! | `store` | hash | `id` of the store, `format`, and `head`, the newest revision |
//! | `row:KIND:NAME` | hash | one row: `revision`, `state`, `grant`, `version`, `due`, `body`, `last_used` |
//! | `names:KIND:STATE` | sorted set | names of the rows of that kind and state, all with score 0: bytewise order |
//! | `feed` | sorted set | `KIND:NAME` of every row by its revision |
//! | `due:KIND` | sorted set | names by `due`, of rows that have one |
//! | `lease:TENANT` | string | end and owner of the tenant's lease; Redis forgets it at its end |
//!
//! Kinds and states are the numbers of [`Kind::code`] and [`RowState::code`], times are milliseconds since 1970.
//!
//! What the user needs is in docs/stores.md, as an `ACL SETUSER` command that the tests use. [`RedisBackend::open`]
//! tries every right before anything is written, as a script that Redis stops halfway is not undone.
//!
//! Neither Sentinel nor Cluster is spoken: see docs/stores.md.

mod address;
mod fault;
mod link;
mod rows;
mod scripts;

use std::{fmt, time::Duration};

use async_trait::async_trait;
use redis::{FromRedisValue, Script, ScriptInvocation};
use rustls::RootCertStore;

use self::{
    address::Address,
    fault::{Fault, is_right_missing},
    link::{Ask, Link, Repeat},
    rows::Fields,
    scripts::{SERVER_TIME, Scripts, call},
};
use super::{
    OpenError, Opening, StoreError,
    backend::{Backend, Bid, Change, Key, Kind, Listed, Names, Pulse, Revision, Row, RowState, Written},
};
use crate::model::{Random, Secret, TenantId, Timestamp, token::Owner};

/// What this version writes into a new store, and the newest that it reads.
const FORMAT: u32 = 1;

/// The most rows that a script reads, notes or deletes where its work can be parted: Redis serves nobody else
/// meanwhile.
const STEP: usize = 500;

/// Which server, and how it is spoken to.
#[derive(Debug, Clone)]
pub struct RedisParams {
    /// `redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]`, or `rediss:` for TLS; user and password percent-encoded.
    pub url: Secret,
    /// Who may vouch for a server that is spoken to over TLS; `None`: the system's trust roots.
    pub roots: Option<RootCertStore>,
    /// The most that one operation may take, connecting included.
    pub timeout: Duration,
    pub opening: Opening,
}

/// A store in a Redis server. It connects when there is something to ask, and again when the connection broke.
pub struct RedisBackend {
    link: Link,
    scripts: Scripts,
    random: Random,
}

// === impl RedisParams ===

impl RedisParams {
    /// The server at `url`, with the system's trust roots and three seconds for an operation.
    pub fn new(url: Secret) -> Self {
        Self { url, roots: None, timeout: Duration::from_secs(3), opening: Opening::Make }
    }

    /// Reads the URL, and connects to nothing. Answers what messages call the server, without user and password.
    ///
    /// # Errors
    ///
    /// A URL that is none, with a hint and without any part of it.
    pub fn place(&self) -> Result<String, OpenError> {
        Address::parse(&self.url).map(|address| address.to_string())
    }
}

// === impl RedisBackend ===

impl RedisBackend {
    /// Opens the store on the server, or makes it, as `opening` has it.
    ///
    /// # Errors
    ///
    /// A URL that is none, a server that refuses us or the rights we need, and a store that is not ours or newer than
    /// we are, with a hint; a server out of reach as [`OpenError::Store`]; a missing store that is not to be made as
    /// [`OpenError::NotYet`].
    pub async fn open(params: RedisParams, random: &Random) -> Result<Self, OpenError> {
        let RedisParams { url, roots, timeout, opening } = params;
        let address = Address::parse(&url)?;
        let tls = link::tls(&address, roots).await?;
        let store = Self::at(Link::new(address, tls, timeout), random, SERVER_TIME);
        store.check_rights().await?;
        store.check_format(opening).await?;
        Ok(store)
    }

    /// The store behind `link`, not looked at yet, with the clock that the Lua function in `time` reads.
    fn at(link: Link, random: &Random, time: &str) -> Self {
        Self { link, scripts: Scripts::new(time), random: random.clone() }
    }

    async fn check_rights(&self) -> Result<(), OpenError> {
        let faults = self.link.ask(Ask::Script(&call(&self.scripts.rights)), Repeat::Once).await;
        let faults: Vec<String> = faults.map_err(|fault| fault.at_open(self.place()))?;
        // A server that takes no writes right now, its memory being full or itself a replica, is an outage that may
        // pass.
        match faults.into_iter().find(|fault| is_right_missing(fault)) {
            None => Ok(()),
            Some(text) => Err(Fault::Refused { code: "NOPERM".into(), text }.at_open(self.place())),
        }
    }

    async fn check_format(&self, opening: Opening) -> Result<(), OpenError> {
        let found = match opening {
            Opening::Make => self.enter().await.map(Some),
            Opening::Look => self.link.ask(Ask::Script(&call(&self.scripts.enter)), Repeat::Once).await,
        };
        let found: Option<(String, String)> = found.map_err(|fault| fault.at_open(self.place()))?;
        let Some((_, format)) = found else { return Err(OpenError::NotYet { place: self.place().to_string() }) };
        let refuse = |what: String, hint: &str| {
            let what = format!("{}: {what}", self.place());
            Err(OpenError::Refused { what, hint: format!("{hint}; the store was left as it is") })
        };
        match format.parse::<u32>() {
            Ok(FORMAT) => Ok(()),
            Ok(found) if found > FORMAT => refuse(
                format!("written by a newer flexslot-proxy (format {found}; this one knows up to {FORMAT})"),
                "use the newer program",
            ),
            _ => refuse("not a store of flexslot-proxy".into(), "name another database in store.url"),
        }
    }

    /// The store's id and format, both made if it has none.
    async fn enter(&self) -> Result<(String, String), Fault> {
        let enter = self.entering(&self.scripts.enter);
        self.link.ask(Ask::Script(&enter), Repeat::Once).await
    }

    /// `script` with what it takes to make the store, if there is none.
    fn entering<'a>(&self, script: &'a Script) -> ScriptInvocation<'a> {
        let id = u128::from_be_bytes(self.random.bytes());
        let mut entering = call(script);
        entering.arg(format!("{id:032x}")).arg(FORMAT);
        entering
    }

    async fn run<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>, repeat: Repeat) -> Result<T, StoreError> {
        self.link.ask(Ask::Script(script), repeat).await.map_err(|fault| fault.unavailable(self.place()))
    }

    async fn info(&self, section: &str) -> Result<String, Fault> {
        self.link.ask(Ask::Command(redis::cmd("INFO").arg(section)), Repeat::Once).await
    }

    /// Up to a step of rows, the first of `names`, and the name to go on after, unless there is no more.
    async fn page(
        &self,
        kind: Kind,
        states: &[RowState],
        names: Names<'_>,
        limit: usize,
    ) -> Result<(Vec<Listed>, Option<String>), StoreError> {
        let mut list = call(&self.scripts.list);
        let (start, end) = rows::range(names);
        list.arg(kind.code()).arg(start).arg(end).arg(limit);
        for state in states {
            list.arg(state.code());
        }
        let mut found: Vec<(String, Fields)> = self.run(&list, Repeat::Once).await?;
        // The first of all states are among the first of each.
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        found.truncate(limit);
        let next = found.last().filter(|_| found.len() == limit).map(|(name, _)| name.clone());
        let mut rows = Vec::with_capacity(found.len());
        for (name, fields) in found {
            let key = Key::new(kind, name);
            // A name without a row is one that the server has evicted; `caveats` warns of servers that do.
            rows.extend(rows::row_of(&key, fields).transpose().map(|row| (key.name, row)));
        }
        Ok((rows, next))
    }

    fn strange(&self) -> StoreError {
        Fault::Strange.unavailable(self.place())
    }

    fn place(&self) -> &Address {
        self.link.address()
    }
}

#[async_trait]
impl Backend for RedisBackend {
    async fn store_id(&self) -> Result<[u8; 16], StoreError> {
        let (id, _) = self.enter().await.map_err(|fault| fault.unavailable(self.place()))?;
        rows::store_id(&id)
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.run(&call(&self.scripts.now), Repeat::Once).await.map(Timestamp::from_millis)
    }

    async fn pulse(&self, beside: &Key) -> Result<Pulse, StoreError> {
        let mut pulse = self.entering(&self.scripts.pulse);
        rows::push_key(&mut pulse, beside);
        let (id, newest, now, fields): (String, u64, i64, Fields) = self.run(&pulse, Repeat::Once).await?;
        let (store, row) = (rows::store_id(&id)?, rows::row_of(beside, fields)?);
        let (newest, now, connections) = (Revision(newest), Timestamp::from_millis(now), self.link.connections());
        Ok(Pulse { store, newest, now, row, connections })
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Row>>, StoreError> {
        let mut get = call(&self.scripts.get);
        keys.iter().for_each(|key| rows::push_key(&mut get, key));
        let found: Vec<Fields> = self.run(&get, Repeat::Once).await?;
        keys.iter().zip(found).map(|(key, fields)| rows::row_of(key, fields)).collect()
    }

    async fn write(&self, changes: Vec<Change>) -> Result<Written, StoreError> {
        let mut write = call(&self.scripts.write);
        changes.iter().for_each(|change| rows::push_change(&mut write, change));
        let answer = self.run(&write, Repeat::Never).await?;
        rows::written(answer).ok_or_else(|| self.strange())
    }

    async fn list(
        &self,
        kind: Kind,
        state: Option<RowState>,
        names: Names<'_>,
        limit: usize,
    ) -> Result<Vec<Listed>, StoreError> {
        let states = state.map_or(vec![RowState::Live, RowState::Disconnected], |state| vec![state]);
        let mut listed = Vec::new();
        let mut after = Some(names.after.to_owned());
        while let Some(name) = after.filter(|_| listed.len() < limit) {
            let step = STEP.min(limit - listed.len());
            let (rows, next) = self.page(kind, &states, Names { after: &name, ..names }, step).await?;
            listed.extend(rows);
            after = next;
        }
        Ok(listed)
    }

    async fn changes(&self, since: Revision, limit: usize) -> Result<(Revision, Vec<(Key, Revision)>), StoreError> {
        let limit = limit.clamp(1, i32::MAX as usize);
        let (mut since, mut keys) = (since.0, Vec::new());
        loop {
            let asked = limit - keys.len();
            let mut changes = call(&self.scripts.changes);
            changes.arg(since).arg(asked);
            let (head, members): (u64, Vec<(Vec<u8>, u64)>) = self.run(&changes, Repeat::Once).await?;
            keys.extend(members.iter().filter_map(|(member, at)| Some((rows::key_of(member)?, Revision(*at)))));
            match members.last() {
                // Some of them were passed over, and there may be more.
                Some((_, last)) if members.len() >= asked && keys.len() < limit => since = *last,
                _ => return Ok((Revision(head), keys)),
            }
        }
    }

    async fn bid(&self, tenant: &TenantId, owner: &Owner, length: Duration, by: Timestamp) -> Result<Bid, StoreError> {
        let mut bid = call(&self.scripts.bid);
        bid.arg(tenant.as_str()).arg(rows::owner(owner)).arg(length.as_millis().clamp(1, i64::MAX as u128).to_string());
        bid.arg(by.millis());
        let answer: Vec<String> = self.run(&bid, Repeat::Once).await?;
        rows::bid(&answer).ok_or_else(|| self.strange())
    }

    async fn release(&self, tenant: &TenantId, owner: &Owner) -> Result<(), StoreError> {
        let mut release = call(&self.scripts.release);
        release.arg(tenant.as_str()).arg(rows::owner(owner));
        self.run(&release, Repeat::Once).await
    }

    async fn touch(&self, used: &[(Key, Timestamp)]) -> Result<(), StoreError> {
        for step in used.chunks(STEP) {
            let mut touch = call(&self.scripts.touch);
            for (key, at) in step {
                rows::push_key(&mut touch, key);
                touch.arg(at.millis());
            }
            let () = self.run(&touch, Repeat::Once).await?;
        }
        Ok(())
    }

    async fn purge(&self, kind: Kind, before: Timestamp) -> Result<u64, StoreError> {
        let mut purged = 0;
        loop {
            let mut purge = call(&self.scripts.purge);
            purge.arg(kind.code()).arg(before.millis()).arg(STEP);
            let deleted: u64 = self.run(&purge, Repeat::Once).await?;
            purged += deleted;
            if deleted < STEP as u64 {
                return Ok(purged);
            }
        }
    }

    fn exposure(&self) -> Option<String> {
        let place = self.place();
        place.is_overheard().then(|| {
            format!("{place}: the connection is not encrypted, so whoever hears it has the password; use rediss://")
        })
    }

    /// Looked up with INFO, which hosted servers allow where they forbid CONFIG.
    async fn caveats(&self) -> Result<Vec<String>, StoreError> {
        let place = self.place();
        let (persistence, memory) = match (self.info("persistence").await, self.info("memory").await) {
            (Ok(persistence), Ok(memory)) => (persistence, memory),
            (Err(Fault::Refused { code, .. }), _) | (_, Err(Fault::Refused { code, .. })) if code == "NOPERM" => {
                let blind = "the user may not run INFO, so whether what is stored survives a restart is not known";
                return Ok(vec![format!("{place}: {blind}; give it that right: +info")]);
            }
            (Err(fault), _) | (_, Err(fault)) => return Err(fault.unavailable(place)),
        };
        let mut caveats = Vec::new();
        if value(&persistence, "aof_enabled") != Some("1") {
            let what = "what is stored may be lost when Redis restarts, as it keeps no append-only file";
            caveats.push(format!("{place}: {what}; set appendonly yes"));
        }
        match value(&memory, "maxmemory_policy") {
            Some("noeviction") => {}
            policy => {
                let policy = policy.unwrap_or("unknown");
                let what = format!("Redis may drop records when its memory is full (maxmemory-policy {policy})");
                caveats.push(format!("{place}: {what}; set maxmemory-policy noeviction"));
            }
        }
        Ok(caveats)
    }
}

impl fmt::Debug for RedisBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBackend").field("link", &self.link).finish_non_exhaustive()
    }
}

/// The value of `field` in an answer to INFO.
fn value<'a>(info: &'a str, field: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).map(str::trim)
}

#[cfg(test)]
mod tests;
