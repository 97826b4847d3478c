//! OAuth clients, and what is under way with them at Flexslot.

use super::{
    Body, Fault,
    fields::{Home, Reader, Writer},
    gone, unreadable,
};
use crate::{
    model::{ClientDescription, ClientStatus, ClientType, Timestamp},
    store::{
        StoreError,
        backend::{Key, Label, Row},
        clients::{ClientIntent, ClientRecord, ClientRow, ClientStep, Creation, Generation, Removal},
        seal::Sealer,
    },
};

/// Stands before texts of other people's choosing, so that none of them can look like a sealed value.
const TEXT: char = '=';

/// A client's row, named by its `client_id`.
pub(in crate::store) fn client(sealer: &Sealer, key: &Key, kept: &ClientRecord) -> (Label, Body) {
    let ClientRecord { client, origin, tenant, secret, intent, generation } = kept;
    let ClientDescription {
        client_id: _, // the row's name
        name,
        client_type,
        status,
        redirect_uris,
        scopes,
        dpop_bound_access_tokens,
        created_at,
        last_used_at,
        secret_rotated_at,
    } = client;
    let writer = Writer::new()
        .with("name", text(name))
        .with_some("client_type", client_type.map(ClientType::as_str))
        .with("status", status.as_str())
        .with("redirect_uris", texts(redirect_uris))
        .with("scopes", texts(scopes))
        .with("dpop_bound_access_tokens", *dpop_bound_access_tokens)
        .with_some("created_at", created_at.map(Timestamp::millis))
        .with_some("last_used_at", last_used_at.map(Timestamp::millis))
        .with_some("secret_rotated_at", secret_rotated_at.map(Timestamp::millis))
        .with("origin", origin.as_str())
        .with("tenant", tenant.as_str())
        .with("generation", generation.0)
        .with_some("intent", intent.as_ref().map(write_intent));
    let writer = match secret {
        Some(secret) => writer.sealed(sealer, key.into(), [("client_secret", secret)]),
        None => writer.marked(sealer, key.into()),
    };
    (Label::default(), Body(writer.bytes()))
}

/// The row of a creation that is under way.
pub(in crate::store) fn creation(sealer: &Sealer, key: &Key, creation: &Creation) -> (Label, Body) {
    let Creation { id: _, name, origin, tenant, at, before } = creation;
    let writer = Writer::new()
        .with("name", text(name))
        .with("origin", origin.as_str())
        .with("tenant", tenant.as_str())
        .with_time("at", *at)
        .with("before", texts(before))
        .marked(sealer, key.into());
    (Label::default(), Body(writer.bytes()))
}

/// What a row of either says.
pub(in crate::store) fn read_client(sealer: &Sealer, key: &Key, row: &Row) -> Result<ClientRow, StoreError> {
    let read = || {
        let mut fields = Reader::new(row.body.as_bytes())?;
        if fields.has("before") {
            fields.marked(sealer, key.into())?;
            let creation = read_creation(key, &mut fields)?;
            return fields.end().map(|()| ClientRow::Creation(creation));
        }
        let expected = "a type that this version knows";
        let client = ClientDescription {
            client_id: key.name.clone(),
            name: read_text(&mut fields, "name")?,
            client_type: match fields.has("client_type") {
                true => Some(fields.parsed("client_type", expected, ClientType::from_name)?),
                false => None,
            },
            status: fields.parsed("status", "a status that this version knows", ClientStatus::from_name)?,
            redirect_uris: read_texts(&mut fields, "redirect_uris")?,
            scopes: read_texts(&mut fields, "scopes")?,
            dpop_bound_access_tokens: fields.flag("dpop_bound_access_tokens")?,
            created_at: fields.optional_time("created_at")?,
            last_used_at: fields.optional_time("last_used_at")?,
            secret_rotated_at: fields.optional_time("secret_rotated_at")?,
        };
        let (origin, tenant) = (fields.origin("origin")?, fields.tenant("tenant")?);
        let generation = Generation(fields.number("generation")?);
        let intent = fields.object("intent", "intent.")?.map(read_intent).transpose()?;
        let secret = match fields.optional_sealed("client_secret")? {
            Some(sealed) => Some(Home::from(key).open(sealer, "client_secret", fields.beside(), &sealed)?),
            None => fields.marked(sealer, key.into()).map(|()| None)?,
        };
        fields.end()?;
        Ok(ClientRow::Client(Box::new(ClientRecord { client, origin, tenant, secret, intent, generation })))
    };
    read().map_err(unreadable(key.kind, &key.name.escape_debug().to_string()))
}

/// What stays of a removed client, or of a creation that is over.
pub(in crate::store) fn client_gone(until: Timestamp, generation: Generation, why: Removal) -> (Label, Body) {
    let (label, _) = gone(until);
    (label, Body(Writer::new().with("generation", generation.0).with("why", why.as_str()).bytes()))
}

/// The generation of a client's removal, and why that was.
pub(in crate::store) fn read_client_gone(key: &Key, row: &Row) -> Result<(Generation, Removal), StoreError> {
    let read = || {
        let mut fields = Reader::new(row.body.as_bytes())?;
        let generation = Generation(fields.number("generation")?);
        let why = fields.parsed("why", "revoked or only_noted", Removal::from_name)?;
        fields.end().map(|()| (generation, why))
    };
    read().map_err(unreadable(key.kind, &key.name.escape_debug().to_string()))
}

fn read_creation(key: &Key, fields: &mut Reader) -> Result<Creation, Fault> {
    Ok(Creation {
        id: key.name.clone(),
        name: read_text(fields, "name")?,
        origin: fields.origin("origin")?,
        tenant: fields.tenant("tenant")?,
        at: fields.time("at")?,
        before: read_texts(fields, "before")?,
    })
}

fn write_intent(intent: &ClientIntent) -> Writer {
    Writer::inner().with("id", intent.id.as_str()).with("step", intent.step.as_str()).with_time("at", intent.at)
}

fn read_intent(mut fields: Reader) -> Result<ClientIntent, Fault> {
    let intent = ClientIntent {
        id: fields.text("id")?,
        step: fields.parsed("step", "rotate or revoke", ClientStep::from_name)?,
        at: fields.time("at")?,
    };
    fields.end().map(|()| intent)
}

fn text(text: &str) -> String {
    format!("{TEXT}{text}")
}

fn texts(all: &[String]) -> Vec<String> {
    all.iter().map(|one| text(one)).collect()
}

fn read_text(fields: &mut Reader, field: &str) -> Result<String, Fault> {
    fields.parsed(field, "a text with = in front", untext)
}

fn read_texts(fields: &mut Reader, field: &str) -> Result<Vec<String>, Fault> {
    let texts = fields.texts(field)?;
    let texts: Option<Vec<_>> = texts.iter().map(|text| untext(text)).collect();
    texts.ok_or_else(|| fields.fault(field, "texts with = in front"))
}

fn untext(text: &str) -> Option<String> {
    text.strip_prefix(TEXT).map(str::to_owned)
}
