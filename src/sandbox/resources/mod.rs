//! `/api/public/v1/…`: who calls, may they, and which resource is it.
//!
//! Trailing slashes are exact. A list without its slash is answered as Django does: 301 to the right form, on the
//! sandbox's own origin. Bodies are made up: the documentation does not show any.

mod cards;
mod decks;
mod exports;
mod guide;
mod list;
mod pattern;
mod probes;
mod shelf;
mod sideboards;

use std::sync::Arc;

use http::{Method, StatusCode, header};

use super::{
    Shared,
    answer::{self, Answer, AnswerExt},
    call::{API, Call},
    dpop::{self, Fault, Server},
    grants::{AccessToken, Standing},
    partner,
    world::{Pat, User},
};
use crate::model::{Scope, ScopeSet};

pub(super) use self::shelf::Shelf;

/// Whoever a valid credential stands for.
pub(super) struct Caller {
    pub(super) user: Arc<User>,
    scopes: ScopeSet,
    scheme: Scheme,
    /// `None`: an OAuth access token.
    pub(super) pat: Option<Arc<Pat>>,
}

/// How a token is presented.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// RFC 6750 section 2.1.
    Bearer,
    /// RFC 9449 section 7.1.
    Dpop,
}

pub(super) async fn handle(shared: &Shared, call: &mut Call) -> Answer {
    let answer = answer(shared, call).await;
    shared.with_next_nonce(answer, Server::Api)
}

async fn answer(shared: &Shared, call: &mut Call) -> Answer {
    let segments = call.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    if let ["decks"] | ["sideboards"] | ["me", "access-tokens"] = segments.as_slice() {
        return with_slash(shared, call);
    }
    let caller = match authenticate(shared, call) {
        Ok(caller) => caller,
        Err(refusal) => return refusal,
    };
    if let Some(need) = Scope::needed(&call.method, segments.iter().copied())
        && !caller.scopes.covers(need)
    {
        return insufficient(need, caller.scheme);
    }
    match segments.as_slice() {
        ["decks", rest @ ..] => decks::handle(shared, call, &caller, rest).await,
        ["sideboards", rest @ ..] => sideboards::handle(shared, call, &caller, rest).await,
        ["cards", rest @ ..] => cards::handle(call, rest).await,
        ["exports", file] => exports::handle(call, &caller, file),
        ["me", rest @ ..] => partner::handle(shared, call, &caller, rest).await,
        ["sandbox", rest @ ..] => probes::handle(call, rest).await,
        _ => answer::not_found(),
    }
}

/// The token of `Authorization`, if that is what there is, and how it is presented.
pub(super) fn access_token(call: &Call) -> Option<(Scheme, &str)> {
    let (scheme, token) = call.only(header::AUTHORIZATION).ok()??.split_once(' ')?;
    // The scheme's case does not matter (RFC 9110 section 11.1).
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "bearer" => Scheme::Bearer,
        "dpop" => Scheme::Dpop,
        _ => return None,
    };
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
    (!token.is_empty() && token.bytes().all(is_token)).then_some((scheme, token))
}

fn authenticate(shared: &Shared, call: &Call) -> Result<Caller, Answer> {
    match call.only(header::AUTHORIZATION) {
        Err(()) => return Err(malformed("Authorization is there twice.")),
        Ok(None) => {
            // No error code where no credential was sent (RFC 6750 section 3.1).
            let answer = answer::error(StatusCode::UNAUTHORIZED, "not_authenticated", "Credentials are missing.");
            return Err(answer.with(header::WWW_AUTHENTICATE, r#"Bearer realm="flexslot""#));
        }
        Ok(Some(_)) => {}
    }
    let (scheme, token) = access_token(call).ok_or_else(|| malformed("Authorization is no access token."))?;
    // The proof before the token: whatever else is wrong, it has to be good.
    let key = match scheme {
        Scheme::Bearer => None,
        Scheme::Dpop => Some(shared.proved(call, Some(token)).map_err(|fault| shared.refuse_api_proof(fault))?),
    };
    if let Some(token) = shared.world.access(token) {
        held(&token, key.as_deref()).map_err(|fault| shared.refuse_api_proof(fault))?;
        return match token.standing(shared.now(), shared.settings.previous_access) {
            Standing::Live => {
                Ok(Caller { user: Arc::clone(&token.grant.user), scopes: token.scope.clone(), scheme, pat: None })
            }
            Standing::Expired => Err(invalid_token(scheme, "expired")),
            Standing::Spent => Err(invalid_token(scheme, "rotated out")),
            Standing::Revoked => Err(invalid_token(scheme, "revoked")),
            Standing::GrantEnded => Err(invalid_token(scheme, "revoked grant")),
        };
    }
    match shared.world.pat(token).filter(|pat| !pat.revoked.has_come()) {
        Some(_) if scheme == Scheme::Dpop => Err(shared.refuse_api_proof(Fault::Unbound)),
        Some(pat) => {
            pat.last_used.set(shared.now());
            Ok(Caller { user: Arc::clone(&pat.user), scopes: pat.scopes.clone(), scheme, pat: Some(pat) })
        }
        None => Err(invalid_token(scheme, "unknown")),
    }
}

/// Whether whoever presents `token` holds the key that it is bound to.
fn held(token: &AccessToken, proved: Option<&str>) -> Result<(), Fault> {
    match (token.key.as_deref(), proved) {
        (None, None) => Ok(()),
        (Some(bound), Some(proved)) if bound == proved => Ok(()),
        (Some(_), Some(_)) => Err(Fault::Key),
        (Some(_), None) => Err(Fault::Scheme),
        (None, Some(_)) => Err(Fault::Unbound),
    }
}

fn malformed(message: &str) -> Answer {
    answer::error(StatusCode::BAD_REQUEST, "invalid_request", message)
        .with(header::WWW_AUTHENTICATE, r#"Bearer realm="flexslot", error="invalid_request""#)
}

/// The same for every cause; only the log tells them apart.
fn invalid_token(scheme: Scheme, cause: &str) -> Answer {
    let description = "The access token is not valid.";
    let answer = match scheme {
        Scheme::Bearer => answer::error(StatusCode::UNAUTHORIZED, "invalid_token", description)
            .with(header::WWW_AUTHENTICATE, r#"Bearer realm="flexslot", error="invalid_token""#),
        Scheme::Dpop => dpop::challenged("invalid_token", description),
    };
    answer.note(format!("invalid_token ({cause})"))
}

fn insufficient(need: Scope, scheme: Scheme) -> Answer {
    let scheme = if scheme == Scheme::Dpop { "DPoP" } else { "Bearer" };
    let challenge = format!(r#"{scheme} realm="flexslot", error="insufficient_scope", scope="{need}""#);
    answer::error(StatusCode::FORBIDDEN, "insufficient_scope", "The token does not cover this.")
        .with(header::WWW_AUTHENTICATE, &challenge)
        .note(format!("insufficient_scope (needs {need})"))
}

fn with_slash(shared: &Shared, call: &Call) -> Answer {
    let query = if call.query.is_empty() { String::new() } else { format!("?{}", call.query) };
    let location = format!("{}{}/{query}", shared.origin(), call.path);
    answer::redirect(StatusCode::MOVED_PERMANENTLY, &location)
}

/// An absolute URL of the API.
fn url(shared: &Shared, path: &str) -> String {
    format!("{}{API}{path}", shared.origin())
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}
