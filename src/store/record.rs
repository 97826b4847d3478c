//! How a stored record looks in bytes.
//!
//! A record is a JSON object. What describes it is plain, what is secret is sealed (see [`seal`](super::seal)) and in base64, and `format`
//! says which shape follows. A grant, with the intent of a token request that is on its way:
//!
//! ```json
//! {
//!   "format": 1,
//!   "grant": "6f1d5b0a3c8e4f7792b4a1d0c3e5f607", "version": 3,
//!   "client_id": "flx_client_01HX2K", "origin": "https://api.flexslot.gg",
//!   "token_type": "Bearer", "scope": "decks:read cards:read",
//!   "expires_at": 1795200000000, "answered_at": 1795196400000,
//!   "access_token": "AQ3v…sealed…", "refresh_token": "AQ3v…sealed…",
//!   "intent": {
//!     "grant": "6f1d5b0a3c8e4f7792b4a1d0c3e5f607", "version": 3, "refresh_hash": "SHA-256 in base64",
//!     "host": "4c1f…/web-1", "instance": "0b7e…", "at": 1795199800000, "attempt": "first"
//!   }
//! }
//! ```
//!
//! Times are milliseconds since 1970. `scope` and `answered_at` are missing where nobody knows them (an imported pair), `intent` where no
//! request is on its way. The others:
//!
//! | kind | row's name | fields besides `format` |
//! |---|---|---|
//! | grant, disconnected | tenant | `grant`, `version`, `reason`, `at` |
//! | pat | tenant | `origin`, `pat` (sealed) |
//! | tombstone | grant id | none |
//! | meta | `key`, `probe` | `check` (sealed) |
//! | any, gone | as it was | none |
//!
//! A row's label repeats `grant` and `version`, and both must agree. A field that is missing, of another kind or unknown makes the record
//! unreadable as a whole: whoever stores something new raises `format`.

mod fields;

use base64::{Engine, engine::general_purpose::STANDARD};

pub(super) use self::fields::{Fault, What};
use self::fields::{Reader, Writer};
use super::{
    StoreError, StoredPat,
    backend::{Key, Kind, Label, Row, RowState},
    seal::{Place, Sealed, Sealer},
};
use crate::model::{
    Grant, GrantId, GrantState, ScopeSet, Secret, TenantId, Timestamp, TokenSet, TokenType, Version,
    token::{Attempt, DisconnectReason, Disconnected, Intent, Owner},
};

/// The kind that a pair in the spool is sealed for: it cannot be put into the store by copying bytes.
const SPOOL: &str = "spool";

/// The bytes of a record. Only this module makes one, out of plain descriptions and sealed secrets; engines hand back what they were given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Body(Vec<u8>);

/// What can be told of a grant without opening anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantSummary {
    pub id: GrantId,
    pub version: Version,
    pub client_id: String,
    pub origin: String,
    pub token_type: TokenType,
    pub scopes: ScopeSet,
    pub expires_at: Timestamp,
    pub answered_at: Option<Timestamp>,
    /// The token request whose outcome is not known.
    pub intent: Option<Intent>,
}

/// A grant as read, its tokens still sealed.
struct SealedGrant {
    plain: GrantSummary,
    access: Sealed,
    refresh: Sealed,
}

/// A tenant's grant row without its secrets.
pub(super) enum PlainState {
    Gone,
    Held(GrantSummary),
    Disconnected(Disconnected),
}

// === impl Body ===

impl Body {
    /// As an engine has read it.
    pub fn from_stored(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// What an engine stores.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

// === grants ===

/// A connected grant's row.
pub(super) fn grant(sealer: &Sealer, tenant: &TenantId, grant: &Grant, intent: Option<&Intent>) -> (Label, Body) {
    let writer = write_grant(Writer::new(), sealer, Kind::Grant.as_str(), tenant, grant);
    let label = Label { grant: Some(grant.id), version: Some(grant.version), ..Label::default() };
    (label, Body(writer.with_some("intent", intent.map(write_intent)).bytes()))
}

/// The row of a grant whose tokens are deleted.
pub(super) fn disconnected(end: &Disconnected) -> (Label, Body) {
    let writer = Writer::new()
        .with("grant", end.id.to_string())
        .with("version", end.version.number())
        .with("reason", end.reason.as_str())
        .with_time("at", end.at);
    let label =
        Label { grant: Some(end.id), version: Some(end.version), state: RowState::Disconnected, ..Label::default() };
    (label, Body(writer.bytes()))
}

/// A tenant's grant, opened.
pub(super) fn read_grant(sealer: &Sealer, tenant: &TenantId, row: &Row) -> Result<GrantState, StoreError> {
    let read = || match row.label.state {
        RowState::Gone => Ok(GrantState::NeverConnected),
        RowState::Disconnected => read_disconnected(row).map(GrantState::Disconnected),
        RowState::Live => {
            let (grant, intent) = SealedGrant::of_row(row)?.open(sealer, Kind::Grant.as_str(), tenant)?;
            Ok(match intent {
                None => GrantState::Connected(grant),
                Some(intent) => GrantState::Uncertain(grant, intent),
            })
        }
    };
    read().map_err(unreadable(Kind::Grant, tenant.as_str()))
}

/// A tenant's grant as far as it can be told without a key.
pub(super) fn read_plain_grant(tenant: &TenantId, row: &Row) -> Result<PlainState, StoreError> {
    let read = || match row.label.state {
        RowState::Gone => Ok(PlainState::Gone),
        RowState::Disconnected => read_disconnected(row).map(PlainState::Disconnected),
        RowState::Live => SealedGrant::of_row(row).map(|grant| PlainState::Held(grant.plain)),
    };
    read().map_err(unreadable(Kind::Grant, tenant.as_str()))
}

fn read_disconnected(row: &Row) -> Result<Disconnected, Fault> {
    let mut fields = Reader::new(row.body.as_bytes())?;
    let end = Disconnected {
        id: fields.grant_id("grant")?,
        version: fields.version("version")?,
        reason: fields.parsed("reason", "a reason that this version knows", DisconnectReason::from_name)?,
        at: fields.time("at")?,
    };
    agrees(&fields, &row.label, end.id, end.version)?;
    fields.end().map(|()| end)
}

/// The label and the body speak of the same grant and version.
fn agrees(fields: &Reader, label: &Label, id: GrantId, version: Version) -> Result<(), Fault> {
    match (label.grant == Some(id), label.version == Some(version)) {
        (true, true) => Ok(()),
        (false, _) => Err(fields.fault("grant", "the grant id of the row's label")),
        (_, false) => Err(fields.fault("version", "the version of the row's label")),
    }
}

fn write_grant(writer: Writer, sealer: &Sealer, kind: &str, tenant: &TenantId, grant: &Grant) -> Writer {
    let TokenSet { access, refresh, token_type, scopes, expires_at, answered_at } = &grant.tokens;
    let seal = |field, secret| sealer.seal(Place { kind, name: tenant.as_str(), field }, secret);
    writer
        .with("grant", grant.id.to_string())
        .with("version", grant.version.number())
        .with("client_id", grant.client_id.as_str())
        .with("origin", grant.origin.as_str())
        .with("token_type", token_type.as_str())
        .with_some("scope", scopes.as_str())
        .with_time("expires_at", *expires_at)
        .with_some("answered_at", answered_at.map(Timestamp::millis))
        .with_sealed("access_token", &seal("access_token", access))
        .with_sealed("refresh_token", &seal("refresh_token", refresh))
}

fn write_intent(intent: &Intent) -> Writer {
    Writer::inner()
        .with("grant", intent.grant.to_string())
        .with("version", intent.version.number())
        .with("refresh_hash", STANDARD.encode(intent.refresh_hash))
        .with("host", intent.owner.host.as_str())
        .with("instance", intent.owner.instance.as_str())
        .with_time("at", intent.at)
        .with("attempt", attempt_name(intent.attempt))
}

fn read_intent(mut fields: Reader) -> Result<Intent, Fault> {
    let intent = Intent {
        grant: fields.grant_id("grant")?,
        version: fields.version("version")?,
        refresh_hash: fields
            .parsed("refresh_hash", "32 bytes in base64", |text| STANDARD.decode(text).ok()?.try_into().ok())?,
        owner: Owner { host: fields.text("host")?, instance: fields.text("instance")? },
        at: fields.time("at")?,
        attempt: fields.parsed("attempt", "first or last_resort", |text| {
            [Attempt::First, Attempt::LastResort].into_iter().find(|attempt| attempt_name(*attempt) == text)
        })?,
    };
    fields.end().map(|()| intent)
}

const fn attempt_name(attempt: Attempt) -> &'static str {
    match attempt {
        Attempt::First => "first",
        Attempt::LastResort => "last_resort",
    }
}

// === impl SealedGrant ===

impl SealedGrant {
    fn of_row(row: &Row) -> Result<Self, Fault> {
        let mut fields = Reader::new(row.body.as_bytes())?;
        let mut grant = Self::read(&mut fields)?;
        agrees(&fields, &row.label, grant.plain.id, grant.plain.version)?;
        if let Some(inner) = fields.object("intent", "intent.")? {
            let intent = read_intent(inner)?;
            if (intent.grant, intent.version) != (grant.plain.id, grant.plain.version) {
                return Err(fields.fault("intent", "the grant's own id and version"));
            }
            grant.plain.intent = Some(intent);
        }
        fields.end().map(|()| grant)
    }

    fn read(fields: &mut Reader) -> Result<Self, Fault> {
        Ok(Self {
            plain: GrantSummary {
                id: fields.grant_id("grant")?,
                version: fields.version("version")?,
                client_id: fields.text("client_id")?,
                origin: fields.text("origin")?,
                token_type: fields.parsed(
                    "token_type",
                    "a token type that this version knows",
                    TokenType::from_name,
                )?,
                scopes: fields.optional_text("scope")?.map_or(ScopeSet::unknown(), |text| ScopeSet::new(&text)),
                expires_at: fields.time("expires_at")?,
                answered_at: fields.optional_time("answered_at")?,
                intent: None,
            },
            access: fields.sealed("access_token")?,
            refresh: fields.sealed("refresh_token")?,
        })
    }

    fn open(self, sealer: &Sealer, kind: &str, tenant: &TenantId) -> Result<(Grant, Option<Intent>), Fault> {
        let open = |field, sealed| open(sealer, Place { kind, name: tenant.as_str(), field }, sealed);
        let Self { plain, access, refresh } = self;
        let tokens = TokenSet {
            access: open("access_token", &access)?,
            refresh: open("refresh_token", &refresh)?,
            token_type: plain.token_type,
            scopes: plain.scopes,
            expires_at: plain.expires_at,
            answered_at: plain.answered_at,
        };
        let GrantSummary { id, version, client_id, origin, intent, .. } = plain;
        Ok((Grant { id, version, client_id, origin, tokens }, intent))
    }
}

// === PATs, marks and checks ===

/// A PAT's row.
pub(super) fn pat(sealer: &Sealer, tenant: &TenantId, stored: &StoredPat) -> (Label, Body) {
    let sealed = sealer.seal(place_of_pat(tenant), &stored.pat);
    let writer = Writer::new().with("origin", stored.origin.as_str()).with_sealed("pat", &sealed);
    (Label::default(), Body(writer.bytes()))
}

/// A tenant's PAT, opened; `None` where only the marker of a removed one is left.
pub(super) fn read_pat(sealer: &Sealer, tenant: &TenantId, row: &Row) -> Result<Option<StoredPat>, StoreError> {
    let read = || {
        let (origin, sealed) = read_pat_fields(row)?;
        Ok(StoredPat { pat: open(sealer, place_of_pat(tenant), &sealed)?, origin })
    };
    match row.label.state {
        RowState::Gone => Ok(None),
        _ => read().map(Some).map_err(unreadable(Kind::Pat, tenant.as_str())),
    }
}

/// The origin of a tenant's PAT, which needs no key.
pub(super) fn read_pat_origin(tenant: &TenantId, row: &Row) -> Result<String, StoreError> {
    read_pat_fields(row).map(|(origin, _)| origin).map_err(unreadable(Kind::Pat, tenant.as_str()))
}

fn read_pat_fields(row: &Row) -> Result<(String, Sealed), Fault> {
    let mut fields = Reader::new(row.body.as_bytes())?;
    let (origin, sealed) = (fields.text("origin")?, fields.sealed("pat")?);
    fields.end().map(|()| (origin, sealed))
}

fn place_of_pat(tenant: &TenantId) -> Place<'_> {
    Place { kind: Kind::Pat.as_str(), name: tenant.as_str(), field: "pat" }
}

/// What stays for a grant id that must not come back before `until`.
pub(super) fn tombstone(grant: GrantId, until: Timestamp) -> (Label, Body) {
    let label = Label { grant: Some(grant), due: Some(until), ..Label::default() };
    (label, Body(Writer::new().bytes()))
}

/// What stays of a removed row until other processes have seen it go.
pub(super) fn gone(until: Timestamp) -> (Label, Body) {
    let label = Label { state: RowState::Gone, due: Some(until), ..Label::default() };
    (label, Body(Writer::new().bytes()))
}

/// A known text, sealed: it tells a right key from a wrong one, and a store that keeps what it is given from one that does not.
pub(super) fn check(sealer: &Sealer, name: &str, text: &Secret) -> (Label, Body) {
    let sealed = sealer.seal(place_of_check(name), text);
    (Label::default(), Body(Writer::new().with_sealed("check", &sealed).bytes()))
}

/// The text of such a record.
pub(super) fn read_check(sealer: &Sealer, name: &str, row: &Row) -> Result<Secret, Fault> {
    let mut fields = Reader::new(row.body.as_bytes())?;
    let sealed = fields.sealed("check")?;
    fields.end()?;
    open(sealer, place_of_check(name), &sealed)
}

fn place_of_check(name: &str) -> Place<'_> {
    Place { kind: Kind::Meta.as_str(), name, field: "check" }
}

// === the spool ===

/// A pair that the store has still to take: `tenant`, `intent` and, in `pair`, the fields of the grant.
pub(super) fn spooled(sealer: &Sealer, tenant: &TenantId, intent: &Intent, grant: &Grant) -> Vec<u8> {
    Writer::new()
        .with("tenant", tenant.as_str())
        .with("intent", write_intent(intent))
        .with("pair", write_grant(Writer::inner(), sealer, SPOOL, tenant, grant))
        .bytes()
}

/// Reads what [`spooled`] wrote. The pair is the next one of the grant that the intent names.
pub(super) fn read_spooled(sealer: &Sealer, bytes: &[u8]) -> Result<(TenantId, Intent, Grant), Fault> {
    let mut fields = Reader::new(bytes)?;
    let tenant = fields.parsed("tenant", "a tenant's name", |text| text.parse().ok())?;
    let intent = fields.object("intent", "intent.")?.ok_or_else(|| fields.fault("intent", "an object"))?;
    let mut pair = fields.object("pair", "pair.")?.ok_or_else(|| fields.fault("pair", "an object"))?;
    fields.end()?;
    let intent = read_intent(intent)?;
    let sealed = SealedGrant::read(&mut pair)?;
    if sealed.plain.id != intent.grant || sealed.plain.version <= intent.version {
        return Err(pair.fault("version", "a later version of the intent's grant"));
    }
    pair.end()?;
    let (grant, _) = sealed.open(sealer, SPOOL, &tenant)?;
    Ok((tenant, intent, grant))
}

// === faults ===

fn open(sealer: &Sealer, place: Place<'_>, sealed: &Sealed) -> Result<Secret, Fault> {
    sealer.open(place, sealed).map_err(|fault| Fault { field: place.field.into(), what: What::Sealed(fault) })
}

fn unreadable(kind: Kind, name: &str) -> impl FnOnce(Fault) -> StoreError + '_ {
    move |fault| StoreError::Unreadable { record: Key::new(kind, name).to_string(), what: fault.to_string() }
}

#[cfg(test)]
mod tests {}
