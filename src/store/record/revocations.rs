//! Refresh tokens that Flexslot has to be told to revoke, and the pairs of grants that are parked until then.

use super::{
    Body, Fault,
    fields::{Home, Reader, Writer},
    proof_key, unreadable,
};
use crate::{
    model::{GrantId, Origin, ScopeSet, Secret, Timestamp, TokenSet, TokenType},
    store::{
        StoreError,
        backend::{Key, Label, Row},
        revocation::Revocation,
        seal::{Sealed, Sealer},
    },
};

/// What else there is of a grant that is parked.
struct SealedRest {
    access: Sealed,
    token_type: TokenType,
    scopes: ScopeSet,
    expires_at: Timestamp,
    answered_at: Option<Timestamp>,
    key: Option<Sealed>,
}

/// A revocation's row.
pub(in crate::store) fn revocation(sealer: &Sealer, key: &Key, revocation: &Revocation) -> (Label, Body) {
    let Revocation { grant, client_id, origin, refresh, sub, beside, from, until, claimed_until, attempts, parked } =
        revocation;
    let mut writer = Writer::new()
        .with("grant", grant.to_string())
        .with("client_id", client_id.as_str())
        .with("origin", origin.as_str())
        .with_some("sub", sub.as_deref())
        .with_some("beside", beside.map(|grant| grant.to_string()))
        .with_time("from", *from)
        .with_time("until", *until)
        .with_some("claimed_until", claimed_until.map(Timestamp::millis))
        .with("attempts", *attempts);
    let mut secrets = vec![("refresh_token", refresh)];
    if let Some(TokenSet { access, token_type, scopes, expires_at, answered_at, key, .. }) = parked {
        writer = writer
            .with("token_type", token_type.as_str())
            .with_some("scope", scopes.as_str())
            .with_time("expires_at", *expires_at)
            .with_some("answered_at", answered_at.map(Timestamp::millis));
        secrets.push(("access_token", access));
        secrets.extend(key.as_ref().map(|key| ("dpop_jwk", key.jwk())));
    }
    let label = Label { grant: Some(*grant), due: Some(*until), ..Label::default() };
    (label, Body(writer.sealed(sealer, key.into(), secrets).bytes()))
}

/// What such a row says.
pub(in crate::store) fn read_revocation(sealer: &Sealer, key: &Key, row: &Row) -> Result<Revocation, StoreError> {
    read(sealer, key, row).map_err(unreadable(key.kind, &key.name))
}

fn read(sealer: &Sealer, key: &Key, row: &Row) -> Result<Revocation, Fault> {
    let mut fields = Reader::new(row.body.as_bytes())?;
    let grant = fields.grant_id("grant")?;
    if row.label.grant != Some(grant) {
        return Err(fields.fault("grant", "the grant id of the row's label"));
    }
    let client_id = fields.text("client_id")?;
    let origin: Origin = fields.origin("origin")?;
    let refresh = fields.sealed("refresh_token")?;
    let sub = fields.optional_text("sub")?;
    let beside: Option<GrantId> = fields.optional_grant_id("beside")?;
    let (from, until) = (fields.time("from")?, fields.time("until")?);
    let claimed_until = fields.optional_time("claimed_until")?;
    let attempts = fields.number("attempts")?;
    let (rest, sealed_beside) = (read_rest(&mut fields)?, fields.beside());
    fields.end()?;
    let open = |field: &str, sealed: &Sealed| Home::from(key).open(sealer, field, sealed_beside, sealed);
    let refresh: Secret = open("refresh_token", &refresh)?;
    let parked = match rest {
        None => None,
        Some(SealedRest { access, token_type, scopes, expires_at, answered_at, key: bound_to }) => {
            let access = open("access_token", &access)?;
            let jwk = bound_to.map(|jwk| open("dpop_jwk", &jwk)).transpose()?;
            let refresh = refresh.clone();
            let key = jwk.map(|jwk| proof_key(&jwk)).transpose()?;
            Some(TokenSet { access, refresh, token_type, scopes, expires_at, answered_at, key })
        }
    };
    Ok(Revocation { grant, client_id, origin, refresh, sub, beside, from, until, claimed_until, attempts, parked })
}

fn read_rest(fields: &mut Reader) -> Result<Option<SealedRest>, Fault> {
    if !fields.has("access_token") {
        return Ok(None);
    }
    let expected = "a token type that this version knows";
    Ok(Some(SealedRest {
        access: fields.sealed("access_token")?,
        token_type: fields.parsed("token_type", expected, TokenType::from_name)?,
        scopes: fields.optional_text("scope")?.map_or(ScopeSet::unknown(), |text| ScopeSet::new(&text)),
        expires_at: fields.time("expires_at")?,
        answered_at: fields.optional_time("answered_at")?,
        key: fields.optional_sealed("dpop_jwk")?,
    }))
}
