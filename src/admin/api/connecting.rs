//! Connecting and disconnecting.

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
};
use http::StatusCode;
use serde_json::Value;
use url::Url;

use crate::{
    admin::{
        Admin, Settings,
        client::{Completed, ConnectSession, Disconnected, Revocation, ScopeDocument},
        error::{Code, Failure},
        request::{self, Named},
    },
    credential::{DisconnectOutcome, NoClient, SessionWish},
    model::{
        ScopeSet, SessionId,
        json::{self, Fault},
        scope,
    },
};

/// The longest address that a browser is sent back to.
const LONGEST_RETURN: usize = 2048;

/// `POST /v1/tenants/{tenant}/connect-sessions`
pub(super) async fn open(
    State(admin): State<Admin>,
    Named(tenant): Named,
    request::Json(body): request::Json,
) -> Result<(StatusCode, Json<ConnectSession>), Failure> {
    let settings = admin.settings.get();
    let [scopes, return_to, client] = body.fields([&["scopes"], &["return_to"], &["client"]])?;
    let scopes = scopes.map(wished).transpose()?;
    let return_to = json::text("return_to", return_to)?.map(|text| allowed_return(&text, &settings)).transpose()?;
    let client = json::text("client", client)?;
    let wish = SessionWish { tenant: tenant.clone(), scopes, return_to, client };
    let session = open_session(&admin, wish).await?;
    tracing::info!(%tenant, "the admin API has opened a connect session");
    Ok((StatusCode::CREATED, Json(session)))
}

/// A new connect session, with the link to its page.
pub(in crate::admin) async fn open_session(admin: &Admin, wish: SessionWish) -> Result<ConnectSession, Failure> {
    let settings = admin.settings.get();
    let wish = match admin.credentials.choose_client(wish, &settings.redirect_uri).await? {
        Ok(wish) => wish,
        Err(NoClient::None) => {
            let what =
                "Nobody can connect before oauth.client_id is set, or a client is made: flexslot-proxy client create.";
            return Err(Failure::from(Code::Conflict.problem(what)).for_operator());
        }
        Err(NoClient::Undecided(names)) => {
            let what = format!(
                "There are several OAuth clients, and nothing says which is to ask: {}. Name one, as \"client\" or with \
                 flexslot-proxy connect TENANT --client NAME, or set oauth.client_id.",
                names.join(", ")
            );
            return Err(Failure::from(Code::Conflict.problem(what)).for_operator());
        }
        // In words that do not repeat what was given, whatever that is.
        Err(NoClient::Unknown(_)) => return Err(Fault::field("client", "no OAuth client has this name or id").into()),
        Err(NoClient::Ambiguous(_)) => {
            return Err(Fault::field("client", "more than one OAuth client has this name; give its client_id").into());
        }
        Err(NoClient::Unregistered { callback, .. }) => {
            let what = format!("browsers come back to {callback}, which is none of its redirect URIs");
            return Err(Fault::field("client", &what).into());
        }
    };
    let opened = admin.credentials.open_session(wish).await?;
    Ok(ConnectSession {
        url: settings.connect_at.at(&opened.id.path()),
        id: opened.id.expose().to_owned(),
        expires_at: opened.expires_at.to_string(),
    })
}

/// `POST /v1/connect-sessions/{id}/complete`
pub(super) async fn complete(
    State(admin): State<Admin>,
    id: Result<Path<String>, PathRejection>,
    request::Json(body): request::Json,
) -> Result<Json<Completed>, Failure> {
    let [code] = body.fields([&["code"]])?;
    let code = json::text("code", code)?.ok_or_else(|| Fault::missing("code"))?;
    // Of what cannot be decoded there is no session either.
    let id = id.map(|Path(id)| id).unwrap_or_default();
    let connected = admin.credentials.complete(&SessionId::from_text(id), &code).await?;
    Ok(Json(Completed {
        tenant: connected.tenant.to_string(),
        username: connected.identity.and_then(|identity| identity.username),
        scopes: ScopeDocument::of(&connected.scopes),
    }))
}

/// `POST /v1/tenants/{tenant}/disconnect`
pub(super) async fn disconnect(
    State(admin): State<Admin>,
    Named(tenant): Named,
) -> Result<Json<Disconnected>, Failure> {
    let outcome = admin.credentials.disconnect(&tenant).await?;
    if outcome != DisconnectOutcome::NothingToDisconnect {
        tracing::info!(%tenant, "the admin API has disconnected a tenant");
    }
    let revocation = match outcome {
        DisconnectOutcome::Revoked => Revocation::Done,
        DisconnectOutcome::Queued => Revocation::Queued,
        DisconnectOutcome::Ended | DisconnectOutcome::NothingToDisconnect => Revocation::None,
    };
    Ok(Json(Disconnected { revocation }))
}

/// The scopes that an app asks for: an array, or one text as in OAuth (RFC 6749 section 3.3).
fn wished(value: Value) -> Result<ScopeSet, Fault> {
    let fault = |what: &str| Fault::field("scopes", what);
    let names: Vec<String> = match value {
        Value::String(text) => text.split_whitespace().map(str::to_owned).collect(),
        Value::Array(names) => {
            let name = |name| if let Value::String(name) = name { Ok(name) } else { Err(fault("not all are strings")) };
            names.into_iter().map(name).collect::<Result<_, _>>()?
        }
        _ => return Err(fault("neither an array nor a string")),
    };
    if names.is_empty() {
        return Err(fault("empty; leave it out for those of the configuration"));
    }
    if let Some(at) = names.iter().position(|name| scope::in_words(name).is_none()) {
        let known = scope::CATALOGUE.map(|(name, _)| name).join(", ");
        return Err(fault(&format!("number {} is no scope of Flexslot; these are: {known}", at + 1)));
    }
    Ok(ScopeSet::new(&names.join(" ")))
}

/// Where the app's user goes in the end: one of the operator's own origins, or else a link made here could lead anybody
/// anywhere.
fn allowed_return(text: &str, settings: &Settings) -> Result<String, Fault> {
    let fault = |what: &str| Fault::field("return_to", what);
    let url = Url::parse(text).map_err(|_| fault("not an absolute URL"))?;
    if text.len() > LONGEST_RETURN {
        return Err(fault(&format!("longer than {LONGEST_RETURN} bytes")));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(fault("credentials do not belong in this URL"));
    }
    let origin = url.origin().ascii_serialization();
    if !settings.return_origins.iter().any(|allowed| allowed.as_str() == origin) {
        return Err(fault("its origin is not one of admin.return_origins"));
    }
    Ok(url.into())
}
