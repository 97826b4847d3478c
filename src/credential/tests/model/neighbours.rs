//! The store and the token endpoint as one process sees them: everything goes over the stage, and the monitor looks on.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use parking_lot::Mutex;
use url::Url;

use super::{
    monitor::{Monitor, Outcome},
    stage::{Fate, Kind as Asked, Process, Stage, at_once},
};
use crate::{
    credential::tests::world::CLIENT,
    flexslot::{
        AuthorizationRequest, AuthorizationServer, Introspection, Redemption, Revocation, Revoke, TokenAnswer,
        TokenEndpoint, TokenError,
    },
    model::{GrantId, GrantState, ProofKey, Secret, TenantId, Timestamp, token::Owner},
    store::{
        Known, KnownGrant, KnownPat, StoreError, StoredPat, TokenStore,
        backend::{Backend, Bid, Change, Key, Kind, Listed, Names, Pulse, Revision, Row, RowState, Written},
        memory::MemoryBackend,
    },
};

/// How long a process waits for the store before it takes it for unavailable; what was asked may still happen.
const STORE_PATIENCE: Duration = Duration::from_secs(20);

/// How long a token request is kept open. A question that has not arrived by then never does.
const GIVE_UP: Duration = Duration::from_secs(90);

/// What all processes share.
pub(super) struct Shared {
    pub(super) backend: Arc<MemoryBackend>,
    /// The same store without the stage: for commands, and to look at records.
    pub(super) store: TokenStore,
    pub(super) stage: Stage,
    pub(super) monitor: Monitor,
    /// Records as they were opened last: opening is what takes the time.
    opened: Mutex<HashMap<TenantId, (Option<Revision>, GrantState)>>,
}

/// The neighbours of one process.
pub(super) struct Neighbours {
    pub(super) shared: Arc<Shared>,
    pub(super) process: Process,
}

// === impl Shared ===

impl Shared {
    pub(super) fn new(backend: Arc<MemoryBackend>, store: TokenStore, monitor: Monitor) -> Self {
        Self { backend, store, stage: Stage::default(), monitor, opened: Mutex::default() }
    }

    pub(super) fn grant_of(&self, tenant: &TenantId) -> GrantState {
        let key = Key::new(Kind::Grant, tenant.as_str());
        let row = at_once(self.backend.get(&[key])).expect("the store can be read").remove(0);
        let revision = row.map(|row| row.revision);
        let mut opened = self.opened.lock();
        if let Some((_, state)) = opened.get(tenant).filter(|(of, _)| *of == revision) {
            return state.clone();
        }
        let state = at_once(self.store.load(tenant)).expect("the store can be read").grant;
        opened.insert(tenant.clone(), (revision, state.clone()));
        state
    }

    /// What was opened is of another store, or of another time.
    pub(super) fn forget_opened(&self) {
        self.opened.lock().clear();
    }

    pub(super) fn pat_of(&self, tenant: &TenantId) -> Option<StoredPat> {
        at_once(self.store.load(tenant)).expect("the store can be read").pat
    }

    /// Whether the store has a tombstone of the grant.
    pub(super) fn is_buried(&self, grant: GrantId) -> bool {
        let key = Key::new(Kind::Tombstone, grant.to_string());
        at_once(self.backend.get(&[key])).expect("the store can be read").remove(0).is_some()
    }

    /// What the store says of a tenant, as if somebody had read it.
    pub(super) fn known_of(&self, tenant: &TenantId) -> Known {
        let record = at_once(self.store.load(tenant)).expect("the store can be read");
        let grant = match record.grant {
            GrantState::NeverConnected if record.revision.is_none() => KnownGrant::Nothing,
            // Which one, nobody asks of a marker.
            GrantState::NeverConnected => KnownGrant::Removed(GrantId::from_stored([0; 16])),
            GrantState::Connected(grant) => KnownGrant::Live(grant, None),
            GrantState::Uncertain(grant, intent) => KnownGrant::Live(grant, Some(intent)),
            GrantState::Disconnected(end) => KnownGrant::Ended(end),
        };
        let pat = match (record.pat, record.pat_revision) {
            (Some(pat), _) => KnownPat::Stored(pat),
            (None, Some(_)) => KnownPat::Removed,
            (None, None) => KnownPat::Nothing,
        };
        let (era, grant_at, pat_at) = (Some(record.era), record.revision, record.pat_revision);
        Known { grant, pat, era, grant_at, pat_at, waiting: false }
    }

    /// Writes, and shows the monitor what has become of the tenants' grants.
    fn write(&self, process: Process, changes: Vec<Change>) -> Result<Written, StoreError> {
        let of_grant = |change: &&Change| change.key.kind == Kind::Grant;
        let tenants: Vec<TenantId> =
            changes.iter().filter(of_grant).map(|change| change.key.name.parse().expect("a tenant")).collect();
        let before: Vec<_> = tenants.iter().map(|tenant| self.grant_of(tenant)).collect();
        let written = at_once(self.backend.write(changes));
        if matches!(written, Ok(Written::Done(_))) {
            for (tenant, before) in tenants.iter().zip(before) {
                self.monitor.written(process, tenant, &before, &self.grant_of(tenant));
            }
        }
        written
    }
}

// === impl Neighbours ===

impl Neighbours {
    async fn ask<T: Send + 'static>(
        &self,
        kind: Asked,
        what: String,
        happen: impl FnOnce(&Shared) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let what = format!("{}: {what}", self.process);
        let shared = Arc::clone(&self.shared);
        let happen = move |fate, _listening| match fate {
            Fate::Done => happen(&shared),
            Fate::AnswerLost => happen(&shared).and(Err(unavailable())),
            _ => Err(unavailable()),
        };
        let answer = self.shared.stage.ask(self.process, kind, what, STORE_PATIENCE, happen).await;
        answer.unwrap_or_else(|| Err(unavailable()))
    }
}

fn unavailable() -> StoreError {
    StoreError::Unavailable("scripted".into())
}

#[async_trait]
impl Backend for Neighbours {
    async fn store_id(&self) -> Result<[u8; 16], StoreError> {
        self.ask(Asked::Read, "store_id".into(), |shared| at_once(shared.backend.store_id())).await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.ask(Asked::Read, "now".into(), |shared| at_once(shared.backend.now())).await
    }

    async fn pulse(&self, beside: &Key) -> Result<Pulse, StoreError> {
        let beside = beside.clone();
        self.ask(Asked::Read, "pulse".into(), move |shared| at_once(shared.backend.pulse(&beside))).await
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Row>>, StoreError> {
        let what = format!("get {}", keys.first().map_or("", |key| &key.name));
        let (asked, keys) = (keys.to_vec(), keys);
        let rows = self.ask(Asked::Read, what, move |shared| at_once(shared.backend.get(&asked))).await;
        if rows.is_err() {
            self.shared.monitor.refused_to_read(self.process, keys);
        }
        rows
    }

    async fn write(&self, changes: Vec<Change>) -> Result<Written, StoreError> {
        let what = changes.first().map(|change| {
            let version = change.label.version.map_or(0, |version| version.number());
            let grant = change.label.grant.map_or_else(String::new, |grant| grant.to_string()[..4].to_owned());
            format!("write {} {grant} v{version} {:?}", change.key, change.label.state)
        });
        let label = changes.first().map(|change| change.label);
        let (shared, process) = (Arc::clone(&self.shared), self.process);
        let written =
            self.ask(Asked::Write, what.unwrap_or_default(), move |shared| shared.write(process, changes)).await;
        if let Some((grant, version)) = label.and_then(|label| label.grant.zip(label.version)) {
            // Taken or refused: from now on the process may use the pair.
            shared.monitor.offered(self.process, grant, version);
        }
        written
    }

    async fn list(
        &self,
        kind: Kind,
        state: Option<RowState>,
        names: Names<'_>,
        limit: usize,
    ) -> Result<Vec<Listed>, StoreError> {
        at_once(self.shared.backend.list(kind, state, names, limit))
    }

    async fn changes(&self, since: Revision, limit: usize) -> Result<(Revision, Vec<(Key, Revision)>), StoreError> {
        let what = format!("changes since {}", since.0);
        self.ask(Asked::Read, what, move |shared| at_once(shared.backend.changes(since, limit))).await
    }

    async fn bid(&self, tenant: &TenantId, owner: &Owner, length: Duration, by: Timestamp) -> Result<Bid, StoreError> {
        let (tenant, owner) = (tenant.clone(), owner.clone());
        let (what, process) = (format!("bid {tenant}"), self.process);
        let bid = move |shared: &Shared| {
            let bid = at_once(shared.backend.bid(&tenant, &owner, length, by));
            if bid == Ok(Bid::Won) {
                shared.monitor.elected(process, &tenant);
            }
            bid
        };
        self.ask(Asked::Write, what, bid).await
    }

    async fn release(&self, tenant: &TenantId, owner: &Owner) -> Result<(), StoreError> {
        self.shared.monitor.resigned(self.process, tenant);
        let (tenant, owner) = (tenant.clone(), owner.clone());
        let what = format!("release {tenant}");
        self.ask(Asked::Write, what, move |shared| at_once(shared.backend.release(&tenant, &owner))).await
    }

    async fn touch(&self, used: &[(Key, Timestamp)]) -> Result<(), StoreError> {
        let used = used.to_vec();
        self.ask(Asked::Write, "touch".into(), move |shared| at_once(shared.backend.touch(&used))).await
    }

    async fn purge(&self, kind: Kind, before: Timestamp) -> Result<u64, StoreError> {
        self.ask(Asked::Write, "purge".into(), move |shared| at_once(shared.backend.purge(kind, before))).await
    }
}

#[async_trait]
impl TokenEndpoint for Neighbours {
    fn knows(&self, client_id: &str) -> bool {
        client_id == CLIENT
    }

    async fn refresh(
        &self,
        _client_id: &str,
        refresh: &Secret,
        _: Option<&ProofKey>,
    ) -> Result<TokenAnswer, TokenError> {
        let question = self.shared.monitor.asked(self.process, refresh);
        let what = format!("{}: present {}", self.process, refresh.expose());
        let (shared, token) = (Arc::clone(&self.shared), refresh.clone());
        let happen = move |fate: Fate, listening: bool| {
            let monitor = &shared.monitor;
            let unknown = || {
                monitor.ended(question, Outcome::Unknown);
                Err(TokenError::Unknown("scripted".into()))
            };
            let not_taken = |error| {
                monitor.ended(question, Outcome::NotTaken);
                Err(error)
            };
            match fate {
                _ if !listening => unknown(),
                Fate::Done => monitor.rotate(question, &token),
                Fate::AnswerLost => {
                    let _ = monitor.rotate(question, &token);
                    unknown()
                }
                Fate::NotSent => not_taken(TokenError::NotSent("scripted".into())),
                Fate::Misconfigured => not_taken(TokenError::Misconfigured("scripted".into())),
                Fate::Busy | Fate::Refused => {
                    let retry_after = Some(Duration::from_secs(7));
                    not_taken(TokenError::RefusedForNow { what: "scripted".into(), retry_after })
                }
                Fate::QuestionLost => unknown(),
            }
        };
        let answer = self.shared.stage.ask(self.process, Asked::Token, what, GIVE_UP, happen).await;
        let Some(answer) = answer else {
            self.shared.monitor.ended(question, Outcome::Unknown);
            return Err(TokenError::Unknown("gave up".into()));
        };
        match &answer {
            Ok(_) => self.shared.monitor.delivered(self.process, question),
            Err(TokenError::Revoked) => self.shared.monitor.told_revoked(self.process, question),
            Err(_) => {}
        }
        answer
    }
}

#[async_trait]
impl AuthorizationServer for Neighbours {
    fn authorization_url(&self, _: &AuthorizationRequest<'_>) -> Url {
        unreachable!("consents are asked for elsewhere")
    }

    async fn redeem(&self, _: &str, _: Redemption<'_>) -> Result<TokenAnswer, TokenError> {
        unreachable!("codes are redeemed elsewhere")
    }

    async fn revoke(&self, _client_id: &str, what: Revoke<'_>) -> Result<Revocation, TokenError> {
        let asked = format!("{}: revoke {}", self.process, what.token().expose());
        let (shared, process, token) = (Arc::clone(&self.shared), self.process, what.token().clone());
        shared.monitor.may_revoke(process, &token, |tenant| shared.grant_of(tenant));
        let happen = move |fate: Fate, listening: bool| {
            let lost = || Err(TokenError::Unknown("scripted".into()));
            let revoke = || {
                shared.monitor.may_revoke(process, &token, |tenant| shared.grant_of(tenant));
                shared.monitor.end_line(&token);
            };
            match fate {
                _ if !listening => lost(),
                Fate::Done => {
                    revoke();
                    Ok(Revocation::Accepted)
                }
                Fate::AnswerLost => {
                    revoke();
                    lost()
                }
                Fate::NotSent => Err(TokenError::NotSent("scripted".into())),
                Fate::Busy => Err(TokenError::RefusedForNow { what: "scripted".into(), retry_after: None }),
                Fate::Misconfigured | Fate::Refused | Fate::QuestionLost => lost(),
            }
        };
        let answer = self.shared.stage.ask(self.process, Asked::Token, asked, GIVE_UP, happen).await;
        answer.unwrap_or_else(|| Err(TokenError::Unknown("gave up".into())))
    }

    async fn introspect(&self, _client_id: &str, _token: &Secret) -> Result<Introspection, TokenError> {
        Ok(Introspection::Inactive)
    }
}
