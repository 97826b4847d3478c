//! OAuth clients with their secrets, and the notes that keep a secret from getting lost.
//!
//! Flexslot shows a secret once, so whoever asks for one writes down before that they are about to: a [`Creation`] in a
//! row of its own, since a new client has no id yet; a [`ClientIntent`] in the client's row. What a process that dies
//! leaves behind then says what to do, and the secret itself is in the store before anybody uses or prints it.
//!
//! Two rotations at once are told apart by Flexslot's own time of each: the later secret is the one that is good. A store
//! that has come back older is told from one that knows more by the [`Generation`] of each client.

mod generation;
mod grants;
mod steps;
#[cfg(test)]
mod tests;

pub use self::{generation::Generation, grants::ClientGrants};
use super::{
    Cas, StoreError, TokenStore,
    backend::{Change, Expect, Key, Kind, Names, Row, RowState},
    record,
    tenants::is_there,
};
use crate::model::{ClientDescription, ClientType, Origin, Secret, TenantId, Timestamp};

/// An OAuth client as the store keeps it: Flexslot's description, our secret, and what is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientRecord {
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

/// A client that was removed here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoneClient {
    pub client_id: String,
    pub generation: Generation,
    pub why: Removal,
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
pub enum ClientRow {
    Client(Box<ClientRecord>),
    Creation(Creation),
}

/// Everything of the kind, at one moment.
#[derive(Debug, Clone, Default)]
pub struct ClientRecords {
    pub clients: Vec<ClientRecord>,
    /// That are under way, or were when their process died.
    pub creations: Vec<Creation>,
    /// Removed, with their markers still there.
    pub gone: Vec<GoneClient>,
    pub unreadable: Vec<UnreadableClient>,
}

/// Why a client is not kept any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It is revoked at Flexslot: whatever it was given is void.
    Revoked,
    /// Nothing but a note was kept of it. What Flexslot has of it may be in use.
    OnlyNoted,
}

/// What became of the secret that a creation or a rotation has brought.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretOutcome {
    Stored,
    /// Somebody else's rotation was later: its secret is the good one, and stands in the store.
    Overtaken,
    /// Somebody else's rotation was at the same time, and nobody can tell which secret is good. The note stays.
    Unsure,
}

/// What becomes of a client's row.
enum Next {
    Stay,
    Keep(Box<ClientRecord>),
    Gone(Removal),
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

// === impl Removal ===

impl Removal {
    /// The word in a record.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::OnlyNoted => "only_noted",
        }
    }

    /// The one with that word.
    pub fn from_name(text: &str) -> Option<Self> {
        [Self::Revoked, Self::OnlyNoted].into_iter().find(|why| why.as_str() == text)
    }
}

// === impl ClientRecord ===

impl ClientRecord {
    /// Whether it can be presented with what is here: its secret, unless it has none at all.
    pub fn is_presentable(&self) -> bool {
        self.secret.is_some() || self.client.client_type == Some(ClientType::Public)
    }
}

// === impl TokenStore ===

impl TokenStore {
    /// All clients and what is under way with them. What cannot be read spoils nothing else.
    pub async fn clients(&self) -> Result<ClientRecords, StoreError> {
        let mut found = ClientRecords::default();
        for state in [RowState::Live, RowState::Gone] {
            self.add_clients(state, &mut found).await?;
        }
        Ok(found)
    }

    async fn add_clients(&self, state: RowState, found: &mut ClientRecords) -> Result<(), StoreError> {
        let mut after = None::<String>;
        loop {
            let names = Names::after(after.as_deref());
            let rows = self.backend.list(Kind::Client, Some(state), names, PAGE).await?;
            let Some((last, _)) = rows.last() else { return Ok(()) };
            after = Some(last.clone());
            for (name, row) in rows {
                match row.and_then(|row| self.add_row(&name, &row, found)) {
                    Ok(()) => {}
                    Err(error @ StoreError::Unavailable(_)) => return Err(error),
                    Err(error) => found.unreadable.push(UnreadableClient { name, error }),
                }
            }
        }
    }

    fn add_row(&self, name: &str, row: &Row, found: &mut ClientRecords) -> Result<(), StoreError> {
        let key = client_key(name);
        match self.read_client(&key, Some(row))? {
            Some(ClientRow::Client(client)) => found.clients.push(*client),
            Some(ClientRow::Creation(creation)) => found.creations.push(creation),
            None if name.starts_with(CREATION) => {}
            None => {
                let (generation, why) = record::read_client_gone(&key, row)?;
                found.gone.push(GoneClient { client_id: name.to_owned(), generation, why });
            }
        }
        Ok(())
    }

    /// The client with this id.
    pub async fn client(&self, client_id: &str) -> Result<Option<ClientRecord>, StoreError> {
        let key = client_key(client_id);
        self.kept(&key, self.row(&key).await?.as_ref())
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
                    if differs { Next::Keep(Box::new(ClientRecord { client: described, ..found })) } else { Next::Stay }
                }
                None => Next::Stay,
            })
            .await?;
            changed += usize::from(differs);
        }
        Ok(changed)
    }

    /// Writes what `next` makes of the row, given the generation after the row's. It may be asked again where somebody else
    /// has written in between.
    async fn change_client(
        &self,
        client_id: &str,
        mut next: impl FnMut(Option<ClientRecord>, Generation) -> Next,
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

    fn kept(&self, key: &Key, row: Option<&Row>) -> Result<Option<ClientRecord>, StoreError> {
        match self.read_client(key, row)? {
            None => Ok(None),
            Some(ClientRow::Client(client)) => Ok(Some(*client)),
            Some(ClientRow::Creation(_)) => Err(StoreError::Unreadable {
                record: key.to_string().escape_debug().to_string(),
                what: "it is a creation's, and no client's".into(),
            }),
        }
    }

    fn read_client(&self, key: &Key, row: Option<&Row>) -> Result<Option<ClientRow>, StoreError> {
        let Some(row) = row.filter(|row| is_there(row)) else { return Ok(None) };
        record::read_client(&self.sealer, key, row).map(Some)
    }
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
