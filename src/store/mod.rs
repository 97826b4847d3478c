//! The sealed records, and the one type that reads and writes them.
//!
//! [`TokenStore`] speaks of tenants, grants and PATs: `intent` has the two writes around a token request, `tenants` the
//! lists and the change feed, `look` tells who of many has changed, `import` takes what comes from outside in numbers,
//! [`consent`] what Flexslot has just given; [`clients`] keeps OAuth clients; `disconnect` and [`revocation`] are how that ends, [`identity`] is whose it is;
//! [`key`] knows which encryption key seals, and [`rotate`] the change to another; [`era`] and `write_back` are for a store that comes back empty or older. Below it
//! a [`Backend`] keeps rows and compares before it writes, and never sees a secret: [`record`] makes the bytes, [`seal`]
//! closes them. The engines are [`sqlite`], [`redis`], [`postgres`] and [`memory`]; one suite, `conformance`, holds for
//! each, and [`metered`] counts what any of them does. Next to the store lie the [`keyfile`], in whose
//! place may be an item of the desktop's [`keyring`], and, in `state_dir`, the [`spool`] for pairs that the store would
//! not take and the [`instance`] lock that tells the others whether we are still alive.

pub mod backend;
pub mod clients;
pub mod consent;
mod disconnect;
pub mod era;
pub mod error;
pub mod files;
pub mod identity;
mod import;
pub mod instance;
mod intent;
pub mod key;
pub mod keyfile;
pub mod keyring;
mod look;
pub mod memory;
pub mod metered;
mod opening;
pub mod postgres;
pub mod record;
pub mod redis;
pub mod revocation;
pub mod rotate;
pub mod seal;
pub mod spool;
pub mod sqlite;
mod tenants;
mod turns;
mod write_back;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use self::{
    backend::{Backend, Bid, Change, Expect, Key, Kind, Revision, Row, Written},
    era::EraId,
    record::What,
    seal::{SealFault, Sealer},
};
pub use self::{
    clients::{
        BegunStep, ClientGrants, ClientIntent, ClientRecord, ClientRecords, ClientStep, Creation, Generation,
        GoneClient, Removal, SecretOutcome, UnreadableClient,
    },
    consent::{
        Again, Awaited, Awaiting, Connected, Connecting, ConsentError, Flow, NewConsent, NewFlow, OpenedSession,
        Outset, Parked, Progress, Proof, Session, SessionOutcome, SessionWish, SignIn, Word,
    },
    disconnect::Disconnection,
    error::{KeyFileError, OpenError, StoreError},
    identity::{FoundIdentity, IdentityRecord},
    import::{Existing, Imported, NewGrant, NewTenant, Skipped, There},
    look::{Look, Looked},
    opening::Opening,
    record::GrantSummary,
    revocation::{Claim, Claimed, Patience, Revocation, RevocationId},
    rotate::Survey,
    tenants::{
        Changed, ConnectedGrant, FEED, GrantPage, GrantStanding, PatStanding, Removed, Standing, TenantPage,
        TenantSummary,
    },
    write_back::{Known, KnownGrant, KnownPat, Reconciled},
};
use crate::model::{
    CredentialKind, Grant, GrantState, Origin, Random, Secret, TenantId, Timestamp,
    token::{Disconnected, Intent, Owner},
};

/// How long a forgotten grant id, and the marker of a removed row, are kept.
pub const TOMBSTONE_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);

/// The record of kind [`Kind::Meta`] that tells a right key from a wrong one, and what it says.
const KEY_CHECK: &str = "key";
const KEY_CHECK_TEXT: &str = "flexslot-proxy key check";

/// The record of kind [`Kind::Meta`] that [`TokenStore::probe`] writes.
const PROBE: &str = "probe";

/// A tenant as stored.
#[derive(Debug, Clone)]
pub struct TenantRecord {
    pub grant: GrantState,
    /// Names the grant's row as it was read; `None` when there is no row.
    pub revision: Option<Revision>,
    pub pat: Option<StoredPat>,
    /// The PAT's row, in the same way; that of a removed PAT too.
    pub pat_revision: Option<Revision>,
    /// The era that the record was read in.
    pub era: EraId,
    pub last_used: Option<Timestamp>,
}

/// A PAT with the origin that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPat {
    pub pat: Secret,
    pub origin: Origin,
}

/// How a token request ended, as the store sees it.
#[derive(Debug, Clone)]
pub enum Settlement {
    /// Flexslot answered with a new pair.
    Renewed(Grant),
    /// The refresh token was provably not taken; the grant is as before, with the intent without outcome that it had
    /// before, if any.
    Untouched { earlier: Option<Intent> },
    /// Flexslot has refused the refresh token: the grant is over; its tokens are deleted.
    Ended(Disconnected),
    /// Nobody knows how it ended, and there is no further try: the same, if the record still has this very intent.
    Abandoned(Disconnected),
}

/// Whether a conditional write found what it expected.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cas {
    Stored,
    /// Somebody else was faster; nothing was written. Load again.
    Moved,
}

/// The one reader and writer of tenants' credentials. Cheap to clone.
///
/// Every method may fail with [`StoreError::Unavailable`]; a write that failed so may or may not have happened.
#[derive(Clone)]
pub struct TokenStore {
    backend: Arc<dyn Backend>,
    sealer: Sealer,
    random: Random,
    /// The newest revision that was written here.
    written: Arc<AtomicU64>,
    /// How often that was forgotten.
    forgotten: Arc<AtomicU64>,
    looked: key::Looked,
}

// === impl TenantRecord ===

impl TenantRecord {
    /// Whether nothing at all is known of the tenant.
    pub fn is_absent(&self) -> bool {
        self.grant == GrantState::NeverConnected && self.pat.is_none()
    }
}

// === impl TokenStore ===

impl TokenStore {
    /// Takes `backend` into use. An unused store is given its key check; of a used one the key check must open.
    ///
    /// # Errors
    ///
    /// With a key that did not seal this store nothing is written.
    pub async fn open(backend: Arc<dyn Backend>, sealer: Sealer, random: Random) -> Result<Self, OpenError> {
        let store = Self::over(backend, sealer, random);
        store.put_check().await?;
        let opened = store.checked().await?;
        opened.ok_or_else(|| StoreError::Unavailable("it forgot what was written".into()).into())
    }

    /// The same for who only looks: `None` where nobody has taken `backend` into use yet, and nothing is written.
    pub async fn look(backend: Arc<dyn Backend>, sealer: Sealer, random: Random) -> Result<Option<Self>, OpenError> {
        Self::over(backend, sealer, random).checked().await
    }

    fn over(backend: Arc<dyn Backend>, sealer: Sealer, random: Random) -> Self {
        Self { backend, sealer, random, written: Arc::default(), forgotten: Arc::default(), looked: key::Looked::now() }
    }

    /// Itself, if its key check opens; `None` where there is none.
    async fn checked(self) -> Result<Option<Self>, OpenError> {
        let Some(row) = self.row(&Key::new(Kind::Meta, KEY_CHECK)).await? else { return Ok(None) };
        match record::read_check(&self.sealer, KEY_CHECK, &row) {
            Ok(text) if text.expose() == KEY_CHECK_TEXT => Ok(Some(self)),
            Ok(_) => Err(OpenError::KeyCheckDamaged { what: "another text than expected".into() }),
            Err(record::Fault { what: What::Sealed(SealFault::UnknownKey(sealed_with)), .. }) => {
                Err(OpenError::WrongKey { sealed_with, configured: self.sealer.sealing_key() })
            }
            Err(fault) => Err(OpenError::KeyCheckDamaged { what: fault.to_string() }),
        }
    }

    /// Gives a store that has none the record that tells a right key from a wrong one.
    pub(crate) async fn put_check(&self) -> Result<(), StoreError> {
        let key = Key::new(Kind::Meta, KEY_CHECK);
        if self.row(&key).await?.is_none() {
            let (label, body) = record::check(&self.sealer, KEY_CHECK, &Secret::new(KEY_CHECK_TEXT));
            let change = Change { key, expect: Expect::Absent, label, body };
            // In a conflict another process was first, with a key that may not be ours.
            let _ = self.write(vec![change]).await?;
        }
        Ok(())
    }

    /// How often the encryption keys have become others, or were taken over again: what could not be opened before may
    /// open afterwards.
    pub fn key_changes(&self) -> u64 {
        self.sealer.changes()
    }

    /// The store's clock, by which every stored time is meant.
    pub async fn now(&self) -> Result<Timestamp, StoreError> {
        self.backend.now().await
    }

    /// What is stored for `tenant`; a tenant that nobody knows is one without anything.
    pub async fn load(&self, tenant: &TenantId) -> Result<TenantRecord, StoreError> {
        let known = Known::default();
        loop {
            // Who knows nothing has nothing to write back.
            if let Reconciled::TakeOver(record) = self.reconcile(tenant, &known).await? {
                return Ok(record);
            }
        }
    }

    /// A tenant's rows, opened.
    fn record(
        &self,
        tenant: &TenantId,
        grant: Option<&Row>,
        pat: Option<&Row>,
        era: EraId,
    ) -> Result<TenantRecord, StoreError> {
        Ok(TenantRecord {
            revision: grant.map(|row| row.revision),
            grant: match grant {
                None => GrantState::NeverConnected,
                Some(row) => record::read_grant(&self.sealer, tenant, row)?,
            },
            pat: match pat {
                None => None,
                Some(row) => record::read_pat(&self.sealer, tenant, row)?,
            },
            pat_revision: pat.map(|row| row.revision),
            era,
            last_used: [grant, pat].into_iter().flatten().filter_map(|row| row.last_used).max(),
        })
    }

    /// Bids for `tenant`'s lease: whoever has it may talk to the token endpoint. It elects and no more; what may be
    /// stored is decided by grant id and version. The bid is void after `by`, by the store's clock.
    pub async fn bid(
        &self,
        tenant: &TenantId,
        owner: &Owner,
        length: Duration,
        by: Timestamp,
    ) -> Result<Bid, StoreError> {
        self.backend.bid(tenant, owner, length, by).await
    }

    /// Gives the lease back, if `owner` still has it.
    pub async fn release(&self, tenant: &TenantId, owner: &Owner) -> Result<(), StoreError> {
        self.backend.release(tenant, owner).await
    }

    /// Notes when which of the tenants' credentials were last used. Not a change: no other process is told.
    pub async fn touch(&self, used: &[(TenantId, CredentialKind, Timestamp)]) -> Result<(), StoreError> {
        let key = |tenant: &TenantId, kind| match kind {
            CredentialKind::OAuth => Key::new(Kind::Grant, tenant.as_str()),
            CredentialKind::Pat => Key::new(Kind::Pat, tenant.as_str()),
        };
        let used: Vec<_> = used.iter().map(|(tenant, kind, at)| (key(tenant, *kind), *at)).collect();
        self.backend.touch(&used).await
    }

    /// Deletes tombstones, markers, sessions and flows whose time is over; answers how many.
    pub async fn purge(&self) -> Result<u64, StoreError> {
        let now = self.backend.now().await?;
        let mut purged = 0;
        for kind in Kind::ALL {
            purged += self.backend.purge(kind, now).await?;
        }
        Ok(purged)
    }

    /// What about the way to the store an operator should know and mend, as one line.
    pub fn exposure(&self) -> Option<String> {
        self.backend.exposure()
    }

    /// Why the store may lose what it has been given, each as one line.
    pub async fn caveats(&self) -> Result<Vec<String>, StoreError> {
        self.backend.caveats().await
    }

    /// Writes a sealed random text and reads it back, to find out whether the store works.
    pub async fn probe(&self) -> Result<(), StoreError> {
        let text = Secret::new(u128::from_le_bytes(self.random.bytes()).to_string());
        let (label, body) = record::check(&self.sealer, PROBE, &text);
        let key = Key::new(Kind::Meta, PROBE);
        let change = Change { key: key.clone(), expect: Expect::Anything, label, body };
        let Written::Done(revision) = self.write(vec![change]).await? else {
            return Err(StoreError::Unavailable("it refused a write that nothing was in the way of".into()));
        };
        let row = self.row(&key).await?;
        match row.as_ref().map(|row| (row.revision, record::read_check(&self.sealer, PROBE, row))) {
            Some((_, Ok(read))) if read == text => Ok(()),
            // Somebody else probes at the same time.
            Some((newer, Ok(_))) if newer > revision => Ok(()),
            _ => Err(StoreError::Unavailable("it does not give back what was written".into())),
        }
    }

    /// The newest revision that this process has written since [`TokenStore::forget_written`]: a store without it has
    /// travelled.
    pub fn written(&self) -> Revision {
        Revision(self.written.load(Ordering::Relaxed))
    }

    /// The store has travelled: what was written before tells nothing of it any more.
    pub fn forget_written(&self) {
        self.forgotten.fetch_add(1, Ordering::Relaxed);
        self.written.store(0, Ordering::Relaxed);
    }

    /// The same store as another process has it.
    #[cfg(test)]
    pub(crate) fn of_another_process(&self) -> Self {
        Self { written: Arc::default(), forgotten: Arc::default(), ..self.clone() }
    }

    async fn row(&self, key: &Key) -> Result<Option<Row>, StoreError> {
        let rows = self.backend.get(std::slice::from_ref(key)).await?;
        Ok(rows.into_iter().next().flatten())
    }
}

impl fmt::Debug for TokenStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenStore").field("sealer", &self.sealer).finish_non_exhaustive()
    }
}

/// A tenant's rows: its grant's and its PAT's.
fn keys_of(tenant: &TenantId) -> [Key; 2] {
    [Key::new(Kind::Grant, tenant.as_str()), Key::new(Kind::Pat, tenant.as_str())]
}

/// As many rows as were asked for. Fewer would look as if the store had lost some.
fn all<const N: usize>(rows: Vec<Option<Row>>) -> Result<[Option<Row>; N], StoreError> {
    rows.try_into().map_err(|_| StoreError::Unavailable("it answered for another number of records than asked".into()))
}

// === impl Cas ===

impl From<Written> for Cas {
    fn from(written: Written) -> Self {
        match written {
            Written::Done(_) => Self::Stored,
            Written::Conflict(_) => Self::Moved,
        }
    }
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
#[path = "../../tests/servers/mod.rs"]
mod servers;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
