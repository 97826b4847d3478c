//! What a link's page shows, and the beginning of a flow at Flexslot.

use std::fmt;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use url::Url;

use super::{ConnectFlow, Refusal, Refused, Settings, outcome::Confirmation};
use crate::{
    credential::{NewFlow, Progress, Session, consent::Awaited},
    flexslot::{AuthorizationRequest, ConsentClient, NoClient, Verifier},
    model::{Card, ConnectionState, Random, Reason, ScopeSet, Secret, SessionId, TenantId},
};

/// What its user is told before Flexslot asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub tenant: TenantId,
    /// The OAuth client that asks.
    pub client_id: String,
    pub scopes: ScopeSet,
    pub standing: Standing,
}

/// How the tenant stands before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    New,
    /// It has a grant, of this user as far as Flexslot has said.
    Connected(Option<String>),
    /// The same, and what is asked for is more than that allows.
    AllowsLess(Option<String>),
    /// It had one.
    Ended(Option<String>),
}

/// What a link is at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    Offer(Offer),
    Confirm(Confirmation),
}

/// A flow that has begun: where the browser goes, and what it has to bring back besides the answer.
pub struct Begun {
    pub url: Url,
    pub state: Secret,
    /// Proof that whoever comes back is who began.
    pub binding: Secret,
}

// === impl Begun ===

/// The URL has the `state` in it.
impl fmt::Debug for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Begun").finish_non_exhaustive()
    }
}

// === impl ConnectFlow ===

impl ConnectFlow {
    /// What the link is at. Consumes nothing. `bindings` are all that the browser has.
    pub async fn look(&self, id: &SessionId, bindings: &[&str]) -> Result<Look, Refused> {
        let settings = self.settings();
        let session = self.session(id).await?;
        let refused = |why| Refused { why, tenant: Some(session.tenant.clone()), again: None };
        match &session.progress {
            Progress::Open => {}
            Progress::Ended(outcome) => return Err(refused(Refusal::UsedLink(outcome.clone()))),
            Progress::Parked(parked) => {
                let Awaited::Confirmation { binding } = &parked.awaiting else { return Err(refused(Refusal::Waiting)) };
                if !bindings.iter().any(|own| binding.is_of(own)) {
                    return Err(refused(Refusal::Waiting));
                }
                let before =
                    self.credentials().identity(&session.tenant).await.map_err(|error| refused(error.into()))?;
                let (tenant, now) = (session.tenant.clone(), parked.identity.clone());
                return Ok(Look::Confirm(Confirmation { session: id.clone(), tenant, before, now }));
            }
        }
        let client = settings.client(&session).map_err(|none| refused(none.into()))?;
        let card = self.credentials().card(&session.tenant).await.map_err(|error| refused(error.into()))?;
        let identity = self.credentials().identity(&session.tenant).await.map_err(|error| refused(error.into()))?;
        let username = identity.and_then(|identity| identity.username);
        let scopes = wanted(&session, card.as_ref(), Some(&client), &settings);
        let allows_less = |card: &Card| {
            card.scopes.as_str().is_some() && scopes.names().any(|scope| !card.scopes.names().any(|held| held == scope))
        };
        Ok(Look::Offer(Offer {
            tenant: session.tenant,
            client_id: client.client_id,
            standing: match card.as_ref().map(|card| (card.state, allows_less(card))) {
                None | Some((ConnectionState::NotConnected, _)) => Standing::New,
                Some((ConnectionState::ReconnectRequired, _)) => Standing::Ended(username),
                Some((ConnectionState::Connected, true)) => Standing::AllowsLess(username),
                Some((ConnectionState::Connected | ConnectionState::Expiring | ConnectionState::Error, _)) => {
                    Standing::Connected(username)
                }
            },
            scopes,
        }))
    }

    /// Begins a flow at Flexslot.
    pub async fn begin(&self, id: &SessionId) -> Result<Begun, Refused> {
        let settings = self.settings();
        let outright = |none: NoClient| Refused::outright(none.into());
        let session = self.session(id).await?;
        let client = settings.client(&session).map_err(outright)?;
        let scopes = self.scopes(&session, &client, &settings).await?;
        let random = &self.0.random;
        let (verifier, state, binding) = (Verifier::random(random), secret(random), secret(random));
        let challenge = verifier.challenge();
        let flow = NewFlow {
            state: state.clone(),
            verifier: verifier.into_stored(),
            binding: binding.clone(),
            client_id: client.client_id.clone(),
            redirect_uri: client.redirect_uri.as_str().to_owned(),
            scopes: scopes.clone(),
        };
        self.credentials().begin_flow(id, flow).await.map_err(|error| Refused::outright(error.into()))?;
        let request = AuthorizationRequest {
            client_id: &client.client_id,
            redirect_uri: client.redirect_uri.as_str(),
            scope: scopes.as_str().unwrap_or_default(),
            state: &state,
            challenge: &challenge,
        };
        let url = settings.server.authorization_url(&request);
        tracing::debug!(tenant = %session.tenant, "a connect flow has begun");
        Ok(Begun { url, state, binding })
    }

    pub(super) async fn session(&self, id: &SessionId) -> Result<Session, Refused> {
        let found = self.credentials().session(id).await.map_err(|error| Refused::outright(error.into()))?;
        found.ok_or(Refused::outright(Refusal::UnknownLink))
    }

    async fn scopes(
        &self,
        session: &Session,
        client: &ConsentClient,
        settings: &Settings,
    ) -> Result<ScopeSet, Refused> {
        let card = self.credentials().card(&session.tenant).await;
        let refused = |error: crate::credential::StoreError| Refused {
            why: error.into(),
            tenant: Some(session.tenant.clone()),
            again: None,
        };
        Ok(wanted(session, card.map_err(refused)?.as_ref(), Some(client), settings))
    }
}

/// 32 random bytes in base64url.
pub(super) fn secret(random: &Random) -> Secret {
    Secret::new(BASE64_URL_SAFE_NO_PAD.encode(random.bytes::<32>()))
}

/// The scopes to ask for: the session's, or the client's, or the configuration's, and those that the tenant's grant has
/// already, as far as the client may ask for them. Flexslot does not say whether a new grant adds to the old one, so that
/// it is asked for everything each time.
pub(super) fn wanted(
    session: &Session,
    card: Option<&Card>,
    client: Option<&ConsentClient>,
    settings: &Settings,
) -> ScopeSet {
    let usual = || client.map_or_else(|| settings.scopes.clone(), |client| client.asks(&settings.scopes));
    let asked = session.scopes.clone().unwrap_or_else(&usual);
    let may = |scope: &&str| client.is_none_or(|client| client.may_ask(scope));
    // A grant of another client, or of another Flexslot, says nothing of what this client may ask for.
    let comparable = |card: &&Card| !matches!(card.reason, Some(Reason::OtherClient(_) | Reason::OtherOrigin(_)));
    let card = card.filter(comparable);
    // What a grant has that nobody has told: what is usual, at least.
    let untold = card.filter(|card| card.has_grant() && card.scopes.as_str().is_none()).map(|_| usual());
    let held = card.and_then(|card| card.scopes.as_str()).or(untold.as_ref().and_then(ScopeSet::as_str));
    let mut scopes: Vec<&str> = Vec::new();
    let held = held.into_iter().flat_map(str::split_ascii_whitespace).filter(may);
    for scope in asked.as_str().into_iter().flat_map(str::split_ascii_whitespace).chain(held) {
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    ScopeSet::new(&scopes.join(" "))
}
