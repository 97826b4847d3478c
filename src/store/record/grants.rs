//! Grants: connected, uncertain, disconnected.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    Body, Fault,
    fields::{Home, Reader, Whole, Writer},
    proof_key, unreadable,
};
use crate::{
    model::{
        Grant, GrantId, GrantState, Origin, Provenance, ScopeSet, TenantId, Timestamp, TokenSet, TokenType, Version,
        token::{Attempt, DisconnectReason, Disconnected, Intent, Owner},
    },
    store::{
        StoreError,
        backend::{Kind, Label, Row, RowState},
        seal::{Beside, Sealed, Sealer},
    },
};

/// What can be told of a grant without opening anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantSummary {
    pub id: GrantId,
    pub version: Version,
    pub client_id: String,
    pub origin: Origin,
    pub token_type: TokenType,
    pub scopes: ScopeSet,
    pub expires_at: Timestamp,
    pub answered_at: Option<Timestamp>,
    /// The token request whose outcome is not known.
    pub intent: Option<Intent>,
}

/// A grant as read, its tokens still sealed.
pub(super) struct SealedGrant {
    pub(super) plain: GrantSummary,
    provenance: Provenance,
    access: Sealed,
    refresh: Sealed,
    key: Option<Sealed>,
    beside: Beside,
}

/// How a grant is marked that its user has consented to.
const CONSENT: &str = "consent";

/// A tenant's grant row without its secrets.
pub(in crate::store) enum PlainState {
    Gone,
    Held(GrantSummary),
    Disconnected(Disconnected),
}

// === grants ===

/// A connected grant's row.
pub(in crate::store) fn grant(
    sealer: &Sealer,
    tenant: &TenantId,
    grant: &Grant,
    intent: Option<&Intent>,
) -> (Label, Body) {
    let writer = Writer::new().with_some("intent", intent.map(write_intent));
    let label = Label { grant: Some(grant.id), version: Some(grant.version), ..Label::default() };
    (label, Body(write_grant(writer, sealer, home(tenant), grant).bytes()))
}

/// The row of a grant whose tokens are deleted.
pub(in crate::store) fn disconnected(end: &Disconnected) -> (Label, Body) {
    let writer = Writer::new()
        .with("grant", end.id.to_string())
        .with("version", end.version.number())
        .with_some("client_id", end.client_id.as_deref())
        .with("reason", end.reason.as_str())
        .with_time("at", end.at);
    let label =
        Label { grant: Some(end.id), version: Some(end.version), state: RowState::Disconnected, ..Label::default() };
    (label, Body(writer.bytes()))
}

/// A tenant's grant, opened.
pub(in crate::store) fn read_grant(sealer: &Sealer, tenant: &TenantId, row: &Row) -> Result<GrantState, StoreError> {
    let read = || match row.label.state {
        RowState::Gone => Ok(GrantState::NeverConnected),
        RowState::Disconnected => read_disconnected(row).map(GrantState::Disconnected),
        RowState::Live => {
            let (grant, intent) = SealedGrant::of_row(row)?.open(sealer, home(tenant))?;
            Ok(match intent {
                None => GrantState::Connected(grant),
                Some(intent) => GrantState::Uncertain(grant, intent),
            })
        }
    };
    read().map_err(unreadable(Kind::Grant, tenant.as_str()))
}

/// A tenant's grant as far as it can be told without a key.
pub(in crate::store) fn read_plain_grant(tenant: &TenantId, row: &Row) -> Result<PlainState, StoreError> {
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
        client_id: fields.optional_text("client_id")?,
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

fn home(tenant: &TenantId) -> Home<'_> {
    Home { kind: Kind::Grant.as_str(), name: tenant.as_str() }
}

/// The fields of a grant, behind those that there are.
pub(super) fn write_grant(writer: Writer, sealer: &Sealer, home: Home<'_>, grant: &Grant) -> Whole {
    let TokenSet { access, refresh, token_type, scopes, expires_at, answered_at, key } = &grant.tokens;
    let tokens = [("access_token", access), ("refresh_token", refresh)];
    let secrets = tokens.into_iter().chain(key.as_ref().map(|key| ("dpop_jwk", key.jwk())));
    writer
        .with("grant", grant.id.to_string())
        .with("version", grant.version.number())
        .with("client_id", grant.client_id.as_str())
        .with("origin", grant.origin.as_str())
        .with_some("came_by", (grant.provenance == Provenance::Consent).then_some(CONSENT))
        .with("token_type", token_type.as_str())
        .with_some("scope", scopes.as_str())
        .with_time("expires_at", *expires_at)
        .with_some("answered_at", answered_at.map(Timestamp::millis))
        .sealed(sealer, home, secrets)
}

pub(super) fn write_intent(intent: &Intent) -> Writer {
    Writer::inner()
        .with("grant", intent.grant.to_string())
        .with("version", intent.version.number())
        .with("refresh_hash", STANDARD.encode(intent.refresh_hash))
        .with("host", intent.owner.host.as_str())
        .with("instance", intent.owner.instance.as_str())
        .with_time("at", intent.at)
        .with("attempt", attempt_name(intent.attempt))
}

pub(super) fn read_intent(mut fields: Reader) -> Result<Intent, Fault> {
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

    pub(super) fn read(fields: &mut Reader) -> Result<Self, Fault> {
        Ok(Self {
            plain: GrantSummary {
                id: fields.grant_id("grant")?,
                version: fields.version("version")?,
                client_id: fields.text("client_id")?,
                origin: fields.origin("origin")?,
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
            provenance: match fields.optional_text("came_by")?.as_deref() {
                None => Provenance::Import,
                Some(CONSENT) => Provenance::Consent,
                Some(_) => return Err(fields.fault("came_by", "consent, or nothing")),
            },
            access: fields.sealed("access_token")?,
            refresh: fields.sealed("refresh_token")?,
            key: fields.optional_sealed("dpop_jwk")?,
            beside: fields.beside(),
        })
    }

    pub(super) fn open(self, sealer: &Sealer, home: Home<'_>) -> Result<(Grant, Option<Intent>), Fault> {
        let Self { plain, provenance, access, refresh, key, beside } = self;
        let open = |field, sealed| home.open(sealer, field, beside, sealed);
        let tokens = TokenSet {
            access: open("access_token", &access)?,
            refresh: open("refresh_token", &refresh)?,
            token_type: plain.token_type,
            scopes: plain.scopes,
            expires_at: plain.expires_at,
            answered_at: plain.answered_at,
            key: key.as_ref().map(|key| open("dpop_jwk", key).and_then(|jwk| proof_key(&jwk))).transpose()?,
        };
        let GrantSummary { id, version, client_id, origin, intent, .. } = plain;
        Ok((Grant { id, version, client_id, origin, provenance, tokens }, intent))
    }
}
