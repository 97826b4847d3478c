//! How a stored record looks in bytes.
//!
//! A record is a JSON object. What describes it is plain, what is secret is sealed (see [`seal`](super::seal)) and in
//! base64, and `format` says which shape follows. What is sealed opens only beside the plain fields that it was sealed
//! with, all of them; a record without a secret that others must not write has a sealed `mark`. A grant, with the intent of a token request that is on its way:
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
//! Times are milliseconds since 1970. `scope` and `answered_at` are missing where nobody knows them (an imported pair),
//! `intent` where no request is on its way. The others:
//!
//! | kind | row's name | fields besides `format` |
//! |---|---|---|
//! | grant, disconnected | tenant | `grant`, `version`, `client_id`, `reason`, `at` |
//! | pat | tenant | `origin`, `pat` (sealed) |
//! | flow, `session …` | SHA-256 of the session's id | `tenant`, `scope`, `return_to`, `client`, `opened_at`, `expires_at`, `progress` (`open`, `parked`, `ok`, `denied`, `failed`), `tries` (`one`) where somebody waits for what comes of it; `grant` once there is one; parked: `awaits` (`confirmation`, `completion`), `proof`, `sub`, `username`; failed: `why`; `mark` |
//! | flow, `state …` | SHA-256 of the `state` | `client_id`, `redirect_uri`, `binding`, `session` and `verifier` (sealed), `expires_at` |
//! | flow, `sign-in …` | SHA-256 of the link's secret | `expires_at`, `mark` |
//! | revocation | tenant and grant id | `grant`, `client_id`, `origin`, `refresh_token` (sealed), `sub`, `beside`, `from`, `until`, `claimed_until`, `attempts`; of a parked grant also `access_token` (sealed), `token_type`, `scope`, `expires_at`, `answered_at` |
//! | client | `client_id` | `name`, `client_type`, `status`, `redirect_uris`, `scopes`, `dpop_bound_access_tokens`, `created_at`, `last_used_at`, `secret_rotated_at`, `origin`, `tenant` (whose PAT manages it), `generation`, `client_secret` (sealed), `intent` (`id`, `step`, `at`) while Flexslot is asked to change it; `mark` where there is no secret |
//! | client, `creation …` | a random number | `name`, `origin`, `tenant`, `at`, `before` (the ids that there were), `mark` |
//! | identity | tenant | `grant`, `sub`, `username`, `checked_at`, `other_sub`, `lacks`, `mark` |
//! | tombstone | grant id; `pat` and tenant | none |
//! | meta | `key`, `probe` | `check` (sealed) |
//! | meta | `era` | `era`, `quiet_since`, `before`, `past` |
//! | client, gone | as it was | `generation`, `why` (`revoked`, `only_noted`) |
//! | any other, gone | as it was | none |
//!
//! A record of a tenant that was written back to a store that had come back older says in `found` where it comes from:
//! `era` and `revision` of the row that was lost (see [`era`](super::era)).
//!
//! `proof` and `binding` are the SHA-256, in base64, of what somebody else keeps, so that whoever has a copy of the
//! store has nothing to open a session, a flow or a link with.
//!
//! A row's label repeats `grant` and `version`, and both must agree. A field that is missing, of another kind or
//! unknown makes the record unreadable as a whole: whoever stores something new raises `format`.

mod clients;
mod fields;
mod flows;
mod grants;
mod identities;
mod reseal;
mod revocations;

pub use self::grants::GrantSummary;
pub(super) use self::{
    clients::{client, client_gone, creation, read_client, read_client_gone},
    fields::{Fault, What},
    flows::{StoredSession, Tries, flow, link, read_flow, read_link, read_session, session},
    grants::{PlainState, disconnected, grant, read_grant, read_plain_grant},
    identities::{identity, read_identity_record},
    reseal::{examine, resealed, resealed_spooled, sealed_with},
    revocations::{read_revocation, revocation},
};
use self::{
    fields::{Home, Reader, Writer},
    grants::{SealedGrant, read_intent, write_grant, write_intent},
};
use super::{
    StoreError, StoredPat,
    backend::{Key, Kind, Label, Revision, Row, RowState},
    era::{ERA, Era, Found},
    seal::{Beside, Sealed, Sealer},
};
use crate::model::{Grant, GrantId, Origin, ProofKey, Secret, TenantId, Timestamp, token::Intent};

/// The kind that a pair in the spool is sealed for: it cannot be put into the store by copying bytes.
const SPOOL: &str = "spool";

/// The bytes of a record. Only this module makes one, out of plain descriptions and sealed secrets; engines hand back
/// what they were given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Body(Vec<u8>);

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

// === PATs, marks and checks ===

/// A PAT's row.
pub(super) fn pat(sealer: &Sealer, tenant: &TenantId, stored: &StoredPat) -> (Label, Body) {
    let writer = Writer::new().with("origin", stored.origin.as_str());
    (Label::default(), Body(writer.sealed(sealer, home_of_pat(tenant), [("pat", &stored.pat)]).bytes()))
}

/// A tenant's PAT, opened; `None` where only the marker of a removed one is left.
pub(super) fn read_pat(sealer: &Sealer, tenant: &TenantId, row: &Row) -> Result<Option<StoredPat>, StoreError> {
    let read = || {
        let (origin, sealed, beside) = read_pat_fields(row)?;
        Ok(StoredPat { pat: home_of_pat(tenant).open(sealer, "pat", beside, &sealed)?, origin })
    };
    match row.label.state {
        RowState::Gone => Ok(None),
        _ => read().map(Some).map_err(unreadable(Kind::Pat, tenant.as_str())),
    }
}

/// The origin of a tenant's PAT, which needs no key.
pub(super) fn read_pat_origin(tenant: &TenantId, row: &Row) -> Result<Origin, StoreError> {
    read_pat_fields(row).map(|(origin, ..)| origin).map_err(unreadable(Kind::Pat, tenant.as_str()))
}

fn read_pat_fields(row: &Row) -> Result<(Origin, Sealed, Beside), Fault> {
    let mut fields = Reader::new(row.body.as_bytes())?;
    let read = (fields.origin("origin")?, fields.sealed("pat")?, fields.beside());
    fields.end().map(|()| read)
}

fn home_of_pat(tenant: &TenantId) -> Home<'_> {
    Home { kind: Kind::Pat.as_str(), name: tenant.as_str() }
}

/// What stays for a grant id that must not come back before `until`.
pub(super) fn tombstone(grant: GrantId, until: Timestamp) -> (Label, Body) {
    let label = Label { grant: Some(grant), due: Some(until), ..Label::default() };
    (label, Body(Writer::new().bytes()))
}

/// What stays where the removal of a PAT was written back to a store that had come back older.
pub(super) fn pat_tombstone(until: Timestamp) -> (Label, Body) {
    (Label { due: Some(until), ..Label::default() }, Body(Writer::new().bytes()))
}

/// What stays of a removed row until other processes have seen it go.
pub(super) fn gone(until: Timestamp) -> (Label, Body) {
    let label = Label { state: RowState::Gone, due: Some(until), ..Label::default() };
    (label, Body(Writer::new().bytes()))
}

/// A known text, sealed: it tells a right key from a wrong one, and a store that keeps what it is given from one that
/// does not.
pub(super) fn check(sealer: &Sealer, name: &str, text: &Secret) -> (Label, Body) {
    (Label::default(), Body(Writer::new().sealed(sealer, home_of_check(name), [("check", text)]).bytes()))
}

/// The text of such a record.
pub(super) fn read_check(sealer: &Sealer, name: &str, row: &Row) -> Result<Secret, Fault> {
    let mut fields = Reader::new(row.body.as_bytes())?;
    let (sealed, beside) = (fields.sealed("check")?, fields.beside());
    fields.end()?;
    home_of_check(name).open(sealer, "check", beside, &sealed)
}

fn home_of_check(name: &str) -> Home<'_> {
    Home { kind: Kind::Meta.as_str(), name }
}

// === eras ===

/// The row of an era.
pub(super) fn era(era: &Era) -> (Label, Body) {
    let quiet_since = era.quiet_since.map(Timestamp::millis);
    let writer = Writer::new().with("era", era.id.to_string()).with_some("quiet_since", quiet_since);
    let writer = writer.with_some("before", era.before.map(|era| era.to_string())).with("past", era.past.0);
    (Label::default(), Body(writer.bytes()))
}

/// The era that such a row names.
pub(super) fn read_era(row: &Row) -> Result<Era, StoreError> {
    let read = || {
        let mut fields = Reader::new(row.body.as_bytes())?;
        let era = Era {
            id: fields.era("era")?,
            quiet_since: fields.optional_time("quiet_since")?,
            before: fields.optional_era("before")?,
            past: Revision(fields.number("past")?),
        };
        fields.end().map(|()| era)
    };
    read().map_err(unreadable(Kind::Meta, ERA))
}

/// The same record, written back: it says where it was found.
pub(super) fn written_back((label, body): (Label, Body), found: Found) -> (Label, Body) {
    let origin = Writer::inner().with("era", found.era.to_string()).with("revision", found.revision.0);
    (label, Body(Writer::again(&body.0).with("found", origin).bytes()))
}

/// Where a record that was written back comes from.
pub(super) fn found(key: &Key, row: &Row) -> Result<Option<Found>, StoreError> {
    Reader::new(row.body.as_bytes()).map(|fields| fields.found).map_err(unreadable(key.kind, &key.name))
}

// === the spool ===

/// A pair that the store has still to take: `tenant`, `intent` and, in `pair`, the fields of the grant.
pub(super) fn spooled(sealer: &Sealer, tenant: &TenantId, intent: &Intent, grant: &Grant) -> Vec<u8> {
    Writer::new()
        .with("tenant", tenant.as_str())
        .with("intent", write_intent(intent))
        .with("pair", write_grant(Writer::inner(), sealer, Home { kind: SPOOL, name: tenant.as_str() }, grant))
        .bytes()
}

/// Reads what [`spooled`] wrote. The pair is the next one of the grant that the intent names.
pub(super) fn read_spooled(sealer: &Sealer, bytes: &[u8]) -> Result<(TenantId, Intent, Grant), Fault> {
    let mut fields = Reader::new(bytes)?;
    let tenant = fields.tenant("tenant")?;
    let intent = fields.object("intent", "intent.")?.ok_or_else(|| fields.fault("intent", "an object"))?;
    let mut pair = fields.object("pair", "pair.")?.ok_or_else(|| fields.fault("pair", "an object"))?;
    fields.end()?;
    let intent = read_intent(intent)?;
    let sealed = SealedGrant::read(&mut pair)?;
    if sealed.plain.id != intent.grant || sealed.plain.version <= intent.version {
        return Err(pair.fault("version", "a later version of the intent's grant"));
    }
    pair.end()?;
    let (grant, _) = sealed.open(sealer, Home { kind: SPOOL, name: tenant.as_str() })?;
    Ok((tenant, intent, grant))
}

// === faults ===

fn proof_key(jwk: &Secret) -> Result<ProofKey, Fault> {
    let expected = What::Expected("a private key on P-256 as JWK");
    ProofKey::from_jwk(jwk).map_err(|_| Fault { field: "dpop_jwk".into(), what: expected })
}

fn unreadable(kind: Kind, name: &str) -> impl FnOnce(Fault) -> StoreError + '_ {
    move |fault| StoreError::Unreadable { record: Key::new(kind, name).to_string(), what: fault.to_string() }
}

#[cfg(test)]
mod tests;
