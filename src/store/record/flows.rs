//! What is on its way to a consent: connect sessions, flows at Flexslot, sign-in links; and visits to the page.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    Body, Fault,
    fields::{Home, Reader, Writer},
    unreadable,
};
use crate::{
    model::{GrantId, Identity, ScopeSet, Secret, SessionId, Timestamp},
    store::{
        StoreError,
        backend::{Key, Label, Row},
        consent::{Awaited, Flow, Parked, Progress, Proof, Session, SessionOutcome},
        seal::Sealer,
    },
};

/// A session with what nobody outside has to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct StoredSession {
    pub(in crate::store) session: Session,
    pub(in crate::store) opened_at: Timestamp,
    /// The grant that is parked for it, or that it has brought.
    pub(in crate::store) grant: Option<GrantId>,
    pub(in crate::store) tries: Tries,
    /// How many flows it has begun.
    pub(in crate::store) flows: u64,
}

/// How often a session's user can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Tries {
    /// Until a grant comes of it: a no can have been a slip.
    Many,
    /// Once, because somebody waits for what comes of it, whatever that is.
    One,
}

// === sessions ===

/// A session's row.
pub(in crate::store) fn session(sealer: &Sealer, key: &Key, stored: &StoredSession) -> (Label, Body) {
    let StoredSession { session, opened_at, grant, tries, flows } = stored;
    let Session { tenant, scopes, return_to, client, expires_at, progress } = session;
    let writer = Writer::new()
        .with("tenant", tenant.as_str())
        .with_some("scope", scopes.as_ref().and_then(ScopeSet::as_str))
        .with_some("return_to", return_to.as_deref())
        .with_some("client", client.as_ref().map(|client| format!("={client}")))
        .with_time("opened_at", *opened_at)
        .with_time("expires_at", *expires_at)
        .with_some("grant", grant.map(|grant| grant.to_string()))
        .with_some("tries", (*tries == Tries::One).then_some("one"))
        .with("flows", *flows);
    let writer = match progress {
        Progress::Open => writer.with("progress", "open"),
        Progress::Parked(Parked { identity, awaiting }) => {
            let (awaited, proof) = match awaiting {
                Awaited::Confirmation { binding } => ("confirmation", binding),
                Awaited::Completion { code } => ("completion", code),
            };
            let writer = writer.with("progress", "parked").with("awaits", awaited).with("proof", proof_text(proof));
            write_identity(writer, identity.as_ref())
        }
        Progress::Ended(outcome) => {
            let why = match outcome {
                SessionOutcome::Failed(why) => Some(why.as_str()),
                SessionOutcome::Connected | SessionOutcome::Denied => None,
            };
            writer.with("progress", outcome.as_str()).with_some("why", why)
        }
    };
    let label = Label { grant: *grant, due: Some(*expires_at), ..Label::default() };
    (label, Body(writer.marked(sealer, key.into()).bytes()))
}

/// What such a row says.
pub(in crate::store) fn read_session(sealer: &Sealer, key: &Key, row: &Row) -> Result<StoredSession, StoreError> {
    let read = || {
        let mut fields = Reader::new(row.body.as_bytes())?;
        fields.marked(sealer, key.into())?;
        let (tenant, scopes) = (fields.tenant("tenant")?, fields.optional_text("scope")?);
        let stored = StoredSession {
            opened_at: fields.time("opened_at")?,
            grant: fields.optional_grant_id("grant")?,
            tries: read_tries(&mut fields)?,
            // An earlier version did not count.
            flows: if fields.has("flows") { fields.number("flows")? } else { 0 },
            session: Session {
                tenant,
                scopes: scopes.map(|text| ScopeSet::new(&text)),
                return_to: fields.optional_text("return_to")?,
                client: read_client(&mut fields)?,
                expires_at: fields.time("expires_at")?,
                progress: read_progress(&mut fields)?,
            },
        };
        fields.end().map(|()| stored)
    };
    read().map_err(unreadable(key.kind, &key.name))
}

fn read_tries(fields: &mut Reader) -> Result<Tries, Fault> {
    match fields.optional_text("tries")?.as_deref() {
        None => Ok(Tries::Many),
        Some("one") => Ok(Tries::One),
        Some(_) => Err(fields.fault("tries", "one, or nothing")),
    }
}

/// An id of Flexslot's stands behind an `=`, so that it never looks like a sealed value.
fn read_client(fields: &mut Reader) -> Result<Option<String>, Fault> {
    match fields.optional_text("client")?.as_deref().map(|client| client.strip_prefix('=')) {
        None => Ok(None),
        Some(Some(client)) => Ok(Some(client.to_owned())),
        Some(None) => Err(fields.fault("client", "an id with = in front")),
    }
}

fn read_progress(fields: &mut Reader) -> Result<Progress, Fault> {
    let expected = "how far a session can have come";
    Ok(match fields.text("progress")?.as_str() {
        "open" => Progress::Open,
        "ok" => Progress::Ended(SessionOutcome::Connected),
        "denied" => Progress::Ended(SessionOutcome::Denied),
        "failed" => Progress::Ended(SessionOutcome::Failed(fields.text("why")?)),
        "parked" => {
            let awaits = fields.text("awaits")?;
            let proof = fields.parsed("proof", "32 bytes in base64", proof)?;
            let awaiting = match awaits.as_str() {
                "confirmation" => Awaited::Confirmation { binding: proof },
                "completion" => Awaited::Completion { code: proof },
                _ => return Err(fields.fault("awaits", "confirmation or completion")),
            };
            Progress::Parked(Parked { identity: read_identity(fields)?, awaiting })
        }
        _ => return Err(fields.fault("progress", expected)),
    })
}

// === flows and links ===

/// A flow's row: it opens with the `state` that its name is the hash of, and is over with its session.
pub(in crate::store) fn flow(sealer: &Sealer, key: &Key, flow: &Flow, expires_at: Timestamp) -> (Label, Body) {
    let session = Secret::new(flow.session.expose());
    let writer = Writer::new()
        .with("client_id", flow.client_id.as_str())
        .with("redirect_uri", flow.redirect_uri.as_str())
        .with_some("scope", flow.scopes.as_ref().map(|scopes| scopes.as_str().unwrap_or_default()))
        .with("binding", proof_text(&flow.binding))
        .with_time("expires_at", expires_at)
        .sealed(sealer, key.into(), [("session", &session), ("verifier", &flow.verifier)]);
    (Label { due: Some(expires_at), ..Label::default() }, Body(writer.bytes()))
}

/// What such a row says, and when the flow is over.
pub(in crate::store) fn read_flow(sealer: &Sealer, key: &Key, row: &Row) -> Result<(Flow, Timestamp), StoreError> {
    let read = || {
        let mut fields = Reader::new(row.body.as_bytes())?;
        let (client_id, redirect_uri) = (fields.text("client_id")?, fields.text("redirect_uri")?);
        let scopes = fields.optional_text("scope")?.map(|text| ScopeSet::new(&text));
        let binding = fields.parsed("binding", "32 bytes in base64", proof)?;
        let (session, verifier, beside) = (fields.sealed("session")?, fields.sealed("verifier")?, fields.beside());
        let expires_at = fields.time("expires_at")?;
        fields.end()?;
        let open = |field, sealed| Home::from(key).open(sealer, field, beside, sealed);
        let session = SessionId::from_text(open("session", &session)?.expose());
        let verifier = open("verifier", &verifier)?;
        Ok((Flow { session, verifier, binding, client_id, redirect_uri, scopes }, expires_at))
    };
    read().map_err(unreadable(key.kind, &key.name))
}

/// The row of a one-time link, or of a visit that began with one.
pub(in crate::store) fn link(sealer: &Sealer, key: &Key, expires_at: Timestamp) -> (Label, Body) {
    let writer = Writer::new().with_time("expires_at", expires_at).marked(sealer, key.into());
    (Label { due: Some(expires_at), ..Label::default() }, Body(writer.bytes()))
}

/// When it is over.
pub(in crate::store) fn read_link(sealer: &Sealer, key: &Key, row: &Row) -> Result<Timestamp, StoreError> {
    let read = || {
        let mut fields = Reader::new(row.body.as_bytes())?;
        fields.marked(sealer, key.into())?;
        let expires_at = fields.time("expires_at")?;
        fields.end().map(|()| expires_at)
    };
    read().map_err(unreadable(key.kind, &key.name))
}

// === identities ===

/// A username is its owner's text, and stands behind an `@` so that none of them can look like a sealed value.
pub(super) fn write_identity(writer: Writer, identity: Option<&Identity>) -> Writer {
    let username = identity.and_then(|identity| identity.username.as_deref());
    writer
        .with_some("sub", identity.map(|identity| identity.sub.as_str()))
        .with_some("username", username.map(|name| format!("@{name}")))
}

pub(super) fn read_identity(fields: &mut Reader) -> Result<Option<Identity>, Fault> {
    let (sub, username) = (fields.optional_text("sub")?, fields.optional_text("username")?);
    let username = match username.as_deref().map(|name| name.strip_prefix('@')) {
        None => None,
        Some(Some(name)) => Some(name.to_owned()),
        Some(None) => return Err(fields.fault("username", "a name with an @ in front")),
    };
    match (sub, username) {
        (Some(sub), username) => Ok(Some(Identity { sub, username })),
        (None, None) => Ok(None),
        (None, Some(_)) => Err(fields.fault("sub", "a text")),
    }
}

// === proofs ===

fn proof_text(proof: &Proof) -> String {
    STANDARD.encode(proof.as_bytes())
}

fn proof(text: &str) -> Option<Proof> {
    STANDARD.decode(text).ok()?.try_into().ok().map(Proof::from_stored)
}
