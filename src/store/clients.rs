//! OAuth clients with their secrets, and the notes that keep a secret from getting lost.
//!
//! Flexslot shows a secret once, so whoever asks for one writes down before that they are about to: a [`Creation`] in a
//! row of its own, since a new client has no id yet; a [`ClientIntent`] in the client's row. What a process that dies
//! leaves behind then says what to do, and the secret itself is in the store before anybody uses or prints it.
//!
//! Two rotations at once are told apart by Flexslot's own time of each: the later secret is the one that is good. A store
//! that has come back older is told from one that knows more by the [`Generation`] of each client.

mod grants;

use std::cmp::Ordering;

pub use self::grants::ClientGrants;
use super::{
    Cas, StoreError, TOMBSTONE_LIFE, TokenStore,
    backend::{Change, Expect, Key, Kind, Names, Row, RowState},
    record,
    tenants::is_there,
};
use crate::model::{ClientDescription, ClientType, Origin, Secret, TenantId, Timestamp};

/// A client of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptClient {
    pub client: ClientDescription,
    /// The origin that it is registered at.
    pub origin: Origin,
    /// Whose PAT manages it.
    pub tenant: TenantId,
    /// `None` for a public client, and where only Flexslot and others have it.
    pub secret: Option<Secret>,
    /// What is under way with it at Flexslot, or was when its process died.
    pub intent: Option<ClientIntent>,
    /// Tells a store that has come back older from one that knows more.
    pub generation: Generation,
}

/// Which state of a client is the later one. It rises with every secret and with a removal, and not with what is only
/// noted or described beside the secret.
///
/// It is the time of the store at that moment, and one more than before where that is no later: what is written to a store
/// that has come back older counts more than all that it has lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Generation(pub(super) u64);

/// A client that was removed here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoneClient {
    pub client_id: String,
    pub generation: Generation,
    pub why: Parting,
}

/// Why a client is not kept any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parting {
    /// It is revoked at Flexslot: whatever it was given is void.
    Revoked,
    /// Nothing but a note was kept of it. What Flexslot has of it may be in use.
    Unkept,
}

/// A row that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableClient {
    /// The client's id, where it is a client's.
    pub name: String,
    pub error: StoreError,
}

/// What somebody is about to ask Flexslot to do with a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIntent {
    /// Random: tells it from every other.
    pub id: String,
    pub step: ClientStep,
    /// When, by the store's clock.
    pub at: Timestamp,
}

/// A step that has been noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BegunStep {
    pub intent: ClientIntent,
    /// The secret that was kept then: whichever else is found later, somebody else has brought.
    before: Option<Secret>,
}

/// What Flexslot is asked to do with a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientStep {
    Rotate,
    Revoke,
}

/// A client that Flexslot is about to be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Creation {
    /// Its row's name.
    pub id: String,
    pub name: String,
    pub origin: Origin,
    /// Whose PAT asks.
    pub tenant: TenantId,
    /// When, by the store's clock.
    pub at: Timestamp,
    /// The ids of the clients that there were: whichever comes to them is the new one.
    pub before: Vec<String>,
}

/// What a row of kind [`Kind::Client`] holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredRow {
    Client(Box<KeptClient>),
    Creation(Creation),
}

/// Everything of the kind, at one moment.
#[derive(Debug, Clone, Default)]
pub struct KeptClients {
    pub clients: Vec<KeptClient>,
    /// That are under way, or were when their process died.
    pub creations: Vec<Creation>,
    /// Removed, with their markers still there.
    pub gone: Vec<GoneClient>,
    pub unreadable: Vec<UnreadableClient>,
}

/// What became of the secret that a rotation has brought.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotated {
    Stored,
    /// Another rotation was later: its secret is the good one, and stands in the store.
    Overtaken,
    /// Another rotation was at the same time, and nobody can tell which secret is good. The note stays.
    Unsure,
}

/// Rows per look.
const PAGE: usize = 200;

/// How the row of a creation is named. The rest is random.
const CREATION: &str = "creation ";

// === impl ClientStep ===

impl ClientStep {
    /// The word in a record.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rotate => "rotate",
            Self::Revoke => "revoke",
        }
    }

    /// The step with that word.
    pub fn from_name(text: &str) -> Option<Self> {
        [Self::Rotate, Self::Revoke].into_iter().find(|step| step.as_str() == text)
    }
}

// === impl Parting ===

impl Parting {
    /// The word in a record.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Unkept => "unkept",
        }
    }

    /// The one with that word.
    pub fn from_name(text: &str) -> Option<Self> {
        [Self::Revoked, Self::Unkept].into_iter().find(|why| why.as_str() == text)
    }
}

// === impl Generation ===

impl Generation {
    /// The one after `before`, at `now` by the store's clock.
    fn next(before: Self, now: Timestamp) -> Self {
        let now = u64::try_from(now.millis()).unwrap_or_default();
        Self(now.max(before.0.saturating_add(1)))
    }
}

// === impl KeptClient ===

impl KeptClient {
    /// Whether it can be presented with what is here: its secret, unless it has none at all.
    pub fn is_presentable(&self) -> bool {
        self.secret.is_some() || self.client.client_type == Some(ClientType::Public)
    }
}

// === impl TokenStore ===

impl TokenStore {
    /// All clients and what is under way with them. What cannot be read spoils nothing else.
    pub async fn clients(&self) -> Result<KeptClients, StoreError> {
        let mut found = KeptClients::default();
        for state in [RowState::Live, RowState::Gone] {
            self.add_clients(state, &mut found).await?;
        }
        Ok(found)
    }

    async fn add_clients(&self, state: RowState, found: &mut KeptClients) -> Result<(), StoreError> {
        let mut after = None::<String>;
        loop {
            let names = Names::after(after.as_deref());
            let rows = self.backend.list(Kind::Client, Some(state), names, PAGE).await?;
            let Some((last, _)) = rows.last() else { return Ok(()) };
            after = Some(last.clone());
            for (name, row) in rows {
                match row.and_then(|row| self.sort_in(&name, &row, found)) {
                    Ok(()) => {}
                    Err(error @ StoreError::Unavailable(_)) => return Err(error),
                    Err(error) => found.unreadable.push(UnreadableClient { name, error }),
                }
            }
        }
    }

    fn sort_in(&self, name: &str, row: &Row, found: &mut KeptClients) -> Result<(), StoreError> {
        let key = client_key(name);
        match self.read_client(&key, Some(row))? {
            Some(StoredRow::Client(client)) => found.clients.push(*client),
            Some(StoredRow::Creation(creation)) => found.creations.push(creation),
            None if name.starts_with(CREATION) => {}
            None => {
                let (generation, why) = record::read_client_gone(&key, row)?;
                found.gone.push(GoneClient { client_id: name.to_owned(), generation, why });
            }
        }
        Ok(())
    }

    /// The client with this id.
    pub async fn client(&self, client_id: &str) -> Result<Option<KeptClient>, StoreError> {
        let key = client_key(client_id);
        self.kept(&key, self.row(&key).await?.as_ref())
    }

    /// Writes down that Flexslot is about to be asked for a client.
    pub async fn begin_creation(
        &self,
        name: &str,
        origin: &Origin,
        tenant: &TenantId,
        before: Vec<String>,
    ) -> Result<Creation, StoreError> {
        let creation = Creation {
            id: format!("{CREATION}{}", self.random_name()),
            name: name.to_owned(),
            origin: origin.clone(),
            tenant: tenant.clone(),
            at: self.backend.now().await?,
            before,
        };
        let (label, body) = record::creation(&creation);
        let change = Change { key: client_key(&creation.id), expect: Expect::Absent, label, body };
        match self.write(vec![change]).await?.into() {
            Cas::Stored => Ok(creation),
            Cas::Moved => Err(StoreError::Unavailable("a name that was to be new is there already".into())),
        }
    }

    /// Keeps what came of a creation, and its note no longer. Where somebody has found the client meanwhile, taken it for
    /// left behind, and given it another secret, that one stays.
    pub async fn finish_creation(&self, creation: &Creation, client: &KeptClient) -> Result<Rotated, StoreError> {
        let key = client_key(&client.client.client_id);
        loop {
            let row = self.row(&key).await?;
            let mut changes = vec![self.over_with(&creation.id).await?];
            let generation = self.next_generation(&key, row.as_ref()).await?;
            let found = self.kept(&key, row.as_ref())?;
            let is_overtaken =
                found.is_some_and(|found| found.client.secret_rotated_at > client.client.secret_rotated_at);
            if !is_overtaken {
                let (label, body) = record::client(&self.sealer, &key, &KeptClient { generation, ..client.clone() });
                changes.push(Change { key: key.clone(), expect: Expect::as_read(row.as_ref()), label, body });
            }
            if Cas::from(self.write(changes).await?) == Cas::Stored {
                return Ok(if is_overtaken { Rotated::Overtaken } else { Rotated::Stored });
            }
        }
    }

    /// Nothing came of the creation.
    pub async fn drop_creation(&self, creation: &Creation) -> Result<(), StoreError> {
        self.write(vec![self.over_with(&creation.id).await?]).await.map(drop)
    }

    /// Writes down that Flexslot is about to be asked to do `step` with a client, as it is described now. The secret
    /// that is kept stays until there is another.
    pub async fn begin_step(
        &self,
        client: &ClientDescription,
        origin: &Origin,
        tenant: &TenantId,
        step: ClientStep,
    ) -> Result<BegunStep, StoreError> {
        let at = self.backend.now().await?;
        let intent = ClientIntent { id: self.random_name(), step, at };
        let mut before = None;
        self.change_client(&client.client_id, |found, next| {
            before = found.as_ref().and_then(|kept| kept.secret.clone());
            let described = found.as_ref().map(|found| known_better(client.clone(), &found.client));
            Next::Keep(Box::new(KeptClient {
                client: described.unwrap_or_else(|| client.clone()),
                origin: origin.clone(),
                // A note makes no secret newer; one beside which there is no client stands for what is to come.
                generation: found.as_ref().map_or(next, |found| found.generation),
                // Whose PAT manages it does not change because another's has asked: Flexslot may not know it by that.
                tenant: found.map_or_else(|| tenant.clone(), |found| found.tenant),
                secret: before.clone(),
                intent: Some(intent.clone()),
            }))
        })
        .await?;
        Ok(BegunStep { intent, before })
    }

    /// Keeps the secret that a rotation has brought, with Flexslot's time of it, and its note no longer. Where another
    /// rotation has come in between, the later one by Flexslot's time stays.
    pub async fn finish_rotation(&self, begun: &BegunStep, rotated: &KeptClient) -> Result<Rotated, StoreError> {
        let mut outcome = Rotated::Stored;
        self.change_client(&rotated.client.client_id, |found, generation| {
            let rotated = KeptClient { generation, ..rotated.clone() };
            let (next, became) = after_rotation(begun, rotated, found);
            outcome = became;
            next
        })
        .await?;
        Ok(outcome)
    }

    /// Flexslot has provably not done it: the note goes, and so does a client of whom nothing else is kept.
    pub async fn withdraw_step(&self, client_id: &str, intent: &ClientIntent) -> Result<(), StoreError> {
        self.change_client(client_id, |found, _| match found {
            Some(found) if found.intent.as_ref() == Some(intent) => {
                let without = KeptClient { intent: None, ..found };
                if without.is_presentable() { Next::Keep(Box::new(without)) } else { Next::Gone(Parting::Unkept) }
            }
            _ => Next::Stay,
        })
        .await
    }

    /// Takes over how Flexslot describes clients that are kept. Answers how many that changed.
    pub async fn describe_clients(&self, described: &[ClientDescription]) -> Result<usize, StoreError> {
        let mut changed = 0;
        for client in described {
            let mut differs = false;
            self.change_client(&client.client_id, |found, _| match found {
                Some(found) => {
                    let described = known_better(client.clone(), &found.client);
                    differs = described != found.client;
                    if differs { Next::Keep(Box::new(KeptClient { client: described, ..found })) } else { Next::Stay }
                }
                None => Next::Stay,
            })
            .await?;
            changed += usize::from(differs);
        }
        Ok(changed)
    }

    /// Gives a store that has come back empty or older a client again, as it was known before; upwards only, and never
    /// over a removal. What is noted in the store stays noted. Answers whether there was anything to give.
    pub async fn restore_client(&self, kept: &KeptClient) -> Result<bool, StoreError> {
        let key = client_key(&kept.client.client_id);
        let row = self.row(&key).await?;
        let found = self.kept(&key, row.as_ref())?;
        let intent = match (&row, found) {
            (None, _) => kept.intent.clone(),
            (Some(_), Some(found)) if found.generation < kept.generation => found.intent.or(kept.intent.clone()),
            (Some(_), _) => return Ok(false),
        };
        let (label, body) = record::client(&self.sealer, &key, &KeptClient { intent, ..kept.clone() });
        let change = Change { key, expect: Expect::as_read(row.as_ref()), label, body };
        // In a conflict somebody else has given it, or something newer.
        Ok(Cas::from(self.write(vec![change]).await?) == Cas::Stored)
    }

    /// Takes a client out of a store that has come back from before its removal. Answers whether there was one.
    pub async fn remove_again(&self, gone: &GoneClient) -> Result<bool, StoreError> {
        let key = client_key(&gone.client_id);
        let row = self.row(&key).await?;
        if self.kept(&key, row.as_ref())?.is_none_or(|found| found.generation >= gone.generation) {
            return Ok(false);
        }
        let marker = self.gone(&gone.client_id, gone.generation, gone.why).await?;
        let change = Change { expect: Expect::as_read(row.as_ref()), ..marker };
        Ok(Cas::from(self.write(vec![change]).await?) == Cas::Stored)
    }

    /// Whether the client was revoked here. That is known for as long as its marker stays, and a consent is not under way
    /// for as long.
    pub async fn is_revoked_client(&self, client_id: &str) -> Result<bool, StoreError> {
        let key = client_key(client_id);
        match self.row(&key).await?.filter(|row| !is_there(row)) {
            Some(row) => Ok(record::read_client_gone(&key, &row)?.1 == Parting::Revoked),
            None => Ok(false),
        }
    }

    /// Forgets a revoked client with its secret. What is not kept here is remembered as revoked all the same.
    pub async fn forget_client(&self, client_id: &str) -> Result<(), StoreError> {
        self.change_client(client_id, |_, _| Next::Gone(Parting::Revoked)).await
    }

    /// Writes what `next` makes of the row, given the generation after the row's. It may be asked again where somebody else
    /// has written in between.
    async fn change_client(
        &self,
        client_id: &str,
        mut next: impl FnMut(Option<KeptClient>, Generation) -> Next,
    ) -> Result<(), StoreError> {
        let key = client_key(client_id);
        loop {
            let row = self.row(&key).await?;
            let generation = self.next_generation(&key, row.as_ref()).await?;
            let change = match next(self.kept(&key, row.as_ref())?, generation) {
                Next::Stay => return Ok(()),
                Next::Gone(why) => self.gone(client_id, generation, why).await?,
                Next::Keep(kept) => {
                    let (label, body) = record::client(&self.sealer, &key, &kept);
                    Change { key: key.clone(), expect: Expect::Anything, label, body }
                }
            };
            let change = Change { expect: Expect::as_read(row.as_ref()), ..change };
            if Cas::from(self.write(vec![change]).await?) == Cas::Stored {
                return Ok(());
            }
        }
    }

    fn kept(&self, key: &Key, row: Option<&Row>) -> Result<Option<KeptClient>, StoreError> {
        match self.read_client(key, row)? {
            None => Ok(None),
            Some(StoredRow::Client(client)) => Ok(Some(*client)),
            Some(StoredRow::Creation(_)) => Err(StoreError::Unreadable {
                record: key.to_string().escape_debug().to_string(),
                what: "it is a creation's, and no client's".into(),
            }),
        }
    }

    fn read_client(&self, key: &Key, row: Option<&Row>) -> Result<Option<StoredRow>, StoreError> {
        let Some(row) = row.filter(|row| is_there(row)) else { return Ok(None) };
        record::read_client(&self.sealer, key, row).map(Some)
    }

    async fn next_generation(&self, key: &Key, row: Option<&Row>) -> Result<Generation, StoreError> {
        let before = match row {
            None => Generation::default(),
            Some(row) if is_there(row) => {
                self.kept(key, Some(row))?.map_or(Generation::default(), |kept| kept.generation)
            }
            Some(row) => record::read_client_gone(key, row)?.0,
        };
        Ok(Generation::next(before, self.backend.now().await?))
    }

    /// What stays of a row until every process has seen it go.
    async fn gone(&self, name: &str, generation: Generation, why: Parting) -> Result<Change, StoreError> {
        let (label, body) = record::client_gone(self.backend.now().await?.plus(TOMBSTONE_LIFE), generation, why);
        debug_assert_eq!(label.state, RowState::Gone);
        Ok(Change { key: client_key(name), expect: Expect::Anything, label, body })
    }

    /// The same of a creation's note.
    async fn over_with(&self, creation: &str) -> Result<Change, StoreError> {
        self.gone(creation, Generation::default(), Parting::Unkept).await
    }

    fn random_name(&self) -> String {
        format!("{:032x}", u128::from_le_bytes(self.random.bytes()))
    }
}

/// What becomes of a client's row with the secret of a rotation, and what that comes to.
fn after_rotation(begun: &BegunStep, rotated: KeptClient, found: Option<KeptClient>) -> (Next, Rotated) {
    let keep = |kept| Next::Keep(Box::new(kept));
    let Some(found) = found else { return (keep(rotated), Rotated::Stored) };
    let of_others = found.intent.clone().filter(|other| other.id != begun.intent.id);
    if found.secret != begun.before && found.secret != rotated.secret {
        match found.client.secret_rotated_at.cmp(&rotated.client.secret_rotated_at) {
            Ordering::Less => {}
            Ordering::Greater => return (keep(KeptClient { intent: of_others, ..found }), Rotated::Overtaken),
            Ordering::Equal => {
                let intent = Some(begun.intent.clone());
                return (keep(KeptClient { intent, ..found }), Rotated::Unsure);
            }
        }
    }
    (keep(KeptClient { intent: of_others, ..rotated }), Rotated::Stored)
}

/// What becomes of a client's row.
enum Next {
    Stay,
    Keep(Box<KeptClient>),
    Gone(Parting),
}

fn client_key(name: &str) -> Key {
    Key::new(Kind::Client, name)
}

/// What Flexslot leaves out is as it was; and so is the time of the secret, which is that of the one that is kept.
fn known_better(described: ClientDescription, before: &ClientDescription) -> ClientDescription {
    let client_type = described.client_type.or(before.client_type);
    let secret_rotated_at = before.secret_rotated_at;
    // That changes with every use, and is no news.
    ClientDescription { client_type, secret_rotated_at, last_used_at: before.last_used_at, ..described }
}

#[cfg(test)]
mod tests;
