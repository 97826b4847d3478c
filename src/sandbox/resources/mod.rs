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
    grants::Standing,
    partner,
    world::{Pat, User},
};
use crate::model::{Scope, ScopeSet};

pub(super) use self::shelf::Shelf;

/// Whoever a valid credential stands for.
pub(super) struct Caller {
    pub(super) user: Arc<User>,
    scopes: ScopeSet,
    /// `None`: an OAuth access token.
    pub(super) pat: Option<Arc<Pat>>,
}

pub(super) async fn handle(shared: &Shared, call: &mut Call) -> Answer {
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
        return insufficient(need);
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

/// The token of a `Bearer` header, if that is what there is.
pub(super) fn bearer_token(call: &Call) -> Option<&str> {
    let (scheme, token) = call.only(header::AUTHORIZATION).ok()??.split_once(' ')?;
    // RFC 6750 section 2.1; the scheme's case does not matter (RFC 9110 section 11.1).
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.bytes().all(is_token)).then_some(token)
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
    let token = bearer_token(call).ok_or_else(|| malformed("Authorization is no bearer token."))?;
    if let Some(token) = shared.world.access(token) {
        return match token.standing(shared.now(), shared.settings.previous_access) {
            Standing::Live => {
                Ok(Caller { user: Arc::clone(&token.grant.user), scopes: token.scope.clone(), pat: None })
            }
            Standing::Expired => Err(invalid_token("expired")),
            Standing::Spent => Err(invalid_token("rotated out")),
            Standing::Revoked => Err(invalid_token("revoked")),
            Standing::GrantEnded => Err(invalid_token("revoked grant")),
        };
    }
    match shared.world.pat(token).filter(|pat| !pat.revoked.has_come()) {
        Some(pat) => {
            pat.last_used.set(shared.now());
            Ok(Caller { user: Arc::clone(&pat.user), scopes: pat.scopes.clone(), pat: Some(pat) })
        }
        None => Err(invalid_token("unknown")),
    }
}

fn malformed(message: &str) -> Answer {
    answer::error(StatusCode::BAD_REQUEST, "invalid_request", message)
        .with(header::WWW_AUTHENTICATE, r#"Bearer realm="flexslot", error="invalid_request""#)
}

/// The same for every cause; only the log tells them apart.
fn invalid_token(cause: &str) -> Answer {
    answer::error(StatusCode::UNAUTHORIZED, "invalid_token", "The access token is not valid.")
        .with(header::WWW_AUTHENTICATE, r#"Bearer realm="flexslot", error="invalid_token""#)
        .note(format!("invalid_token ({cause})"))
}

fn insufficient(need: Scope) -> Answer {
    let challenge = format!(r#"Bearer realm="flexslot", error="insufficient_scope", scope="{need}""#);
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
