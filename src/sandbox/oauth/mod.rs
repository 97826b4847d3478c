//! The OAuth server: what its endpoints have in common is here.

mod apps;
mod authorize;
mod consent;
mod html;
mod introspect;
mod revoke;
mod scopes;
mod token;

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{Method, StatusCode, header};

use super::{
    Shared,
    answer::{self, Answer, AnswerExt},
    call::{Call, ReadError},
    params::{self, BadParams, Params},
    world::Registered,
};

pub(super) use self::{
    apps::site,
    authorize::{authorize, authorize_error},
    consent::Pending,
    introspect::introspect,
    revoke::revoke,
    token::{body as token_body, token},
};

/// Why a client was not let in.
enum ClientError {
    /// More than one way of authentication, or a broken header (RFC 6749 section 2.3).
    Request(&'static str),
    /// The wrong client, the wrong secret, or none.
    Refused,
}

/// The form of a POST to an OAuth endpoint, or the answer to what is none.
async fn form(call: &mut Call) -> Result<Params, Answer> {
    let invalid = |description: &str| answer::oauth_error(StatusCode::BAD_REQUEST, "invalid_request", description);
    if call.method != Method::POST {
        return Err(answer::method_not_allowed("POST"));
    }
    if !call.query.is_empty() {
        return Err(invalid("Parameters belong in the body (RFC 6749 section 3.2)."));
    }
    if !call.is("application/x-www-form-urlencoded") {
        return Err(invalid("The body must be application/x-www-form-urlencoded."));
    }
    let body = call.read().await.map_err(ReadError::answer)?;
    let text = std::str::from_utf8(&body).map_err(|_| invalid("The body is not UTF-8."))?;
    Params::parse_unique(text).map_err(|error| match error {
        BadParams::Encoding => invalid("The body is badly encoded."),
        BadParams::Repeated(name) => invalid(&format!("The parameter {name} is there twice.")),
    })
}

/// The client that a request comes from (RFC 6749 section 2.3.1): by HTTP Basic, or by form fields, never by both.
fn client(shared: &Shared, call: &Call, form: &Params) -> Result<Arc<Registered>, ClientError> {
    let (client_id, secret) = match call.only(header::AUTHORIZATION) {
        Err(()) => return Err(ClientError::Request("Authorization is there twice.")),
        Ok(Some(_)) if form.get("client_secret").is_some() => {
            return Err(ClientError::Request("The client authenticates by two methods at once."));
        }
        Ok(Some(value)) => {
            let (id, secret) = basic(value).ok_or(ClientError::Refused)?;
            if form.get("client_id").is_some_and(|other| other != id) {
                return Err(ClientError::Request("client_id differs from the client that authenticates."));
            }
            (id, Some(secret))
        }
        Ok(None) => {
            let id = form.get("client_id").ok_or(ClientError::Refused)?;
            (id.to_owned(), form.get("client_secret").map(str::to_owned))
        }
    };
    let client = shared.world.client(&client_id).ok_or(ClientError::Refused)?;
    if !client.is_active() || !client.accepts(secret.as_deref()) {
        return Err(ClientError::Refused);
    }
    client.last_used.set(shared.now());
    Ok(client)
}

/// Id and secret of a `Basic` header, each form-decoded after the split.
fn basic(value: &str) -> Option<(String, String)> {
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    Some((params::decode(id).ok()?, params::decode(secret).ok()?))
}

// === impl ClientError ===

impl ClientError {
    fn answer(&self) -> Answer {
        match self {
            Self::Request(description) => answer::oauth_error(StatusCode::BAD_REQUEST, "invalid_request", description),
            Self::Refused => {
                answer::oauth_error(StatusCode::UNAUTHORIZED, "invalid_client", "Client authentication failed.")
                    .with(header::WWW_AUTHENTICATE, r#"Basic realm="flexslot""#)
            }
        }
    }
}
