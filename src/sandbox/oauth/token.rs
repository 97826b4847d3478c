//! `POST /oauth/token` (RFC 6749 sections 4.1.3 and 6, RFC 7636 section 4.6).

use std::{
    mem,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use http::StatusCode;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{client, form, scopes};
use crate::sandbox::{
    End, Shared,
    answer::{self, Answer, AnswerExt},
    call::Call,
    dpop::{Fault, Server, Thumbprint, UnaskedProofs},
    grants::{self, Code, CodeUse, RefreshToken, Standing, TokenPair},
    ids,
    params::Params,
    world::Registered,
};

pub(in crate::sandbox) async fn token(shared: &Shared, call: &mut Call) -> Answer {
    match answer(shared, call).await {
        Ok(answer) | Err(answer) => shared.with_next_nonce(answer, Server::Token),
    }
}

async fn answer(shared: &Shared, call: &mut Call) -> Result<Answer, Answer> {
    let form = form(call).await?;
    let client = client(shared, call, &form).map_err(|error| error.answer())?;
    let grant_type = required(&form, "grant_type")?;
    if !["authorization_code", "refresh_token"].contains(&grant_type) {
        return Err(refuse("unsupported_grant_type", "Only authorization_code and refresh_token are supported."));
    }
    if !client.may_use(grant_type) {
        return Err(refuse("unauthorized_client", "The client may not use this grant type."));
    }
    if grant_type == "refresh_token" {
        refresh(shared, call, &client, &form)
    } else {
        redeem(shared, call, &client, &form)
    }
}

/// The key that the tokens are bound to, proved by this request (RFC 9449 section 5). It is asked for before the code or
/// the refresh token is looked at, so that neither is spent by a bad proof.
fn key(
    shared: &Shared,
    call: &Call,
    client: &Arc<Registered>,
    token: Option<&RefreshToken>,
) -> Result<Option<Thumbprint>, Answer> {
    let bound =
        token.filter(|token| Arc::ptr_eq(&token.grant.client, client)).and_then(|token| token.grant.refresh_key());
    let binds = shared.desk.rules.read().unasked == UnaskedProofs::Bind && call.headers.contains_key("dpop");
    if !client.is_dpop_bound() && bound.is_none() && !binds {
        return Ok(None);
    }
    let refuse = |fault| shared.refuse_token_proof(fault);
    let key = shared.proved(call, None).map_err(refuse)?;
    if bound.is_some_and(|bound| bound != key) {
        // Not `invalid_grant`: the grant is as good as it was, and a client told otherwise would throw it away.
        return Err(refuse(Fault::Key));
    }
    Ok(Some(key))
}

/// Section 6, with rotation: each refresh token works once, and a spent one ends the grant.
fn refresh(shared: &Shared, call: &Call, client: &Arc<Registered>, form: &Params) -> Result<Answer, Answer> {
    let unknown = || refuse("invalid_grant", "The refresh token is not valid.");
    let token = shared.world.refresh(required(form, "refresh_token")?);
    let key = key(shared, call, client, token.as_ref())?;
    let token = token.ok_or_else(unknown)?;
    let grant = &token.grant;
    if !Arc::ptr_eq(&grant.client, client) {
        return Err(refuse("invalid_grant", "The refresh token was issued to another client."));
    }
    let scope = match form.get("scope") {
        None => grant.scope.clone(),
        // A spent token is a replay whatever else is wrong.
        Some(asked) => match scopes::narrowed(&grant.scope, asked) {
            None if grant.refresh_standing(token.version, shared.now()) == Standing::Live => {
                return Err(refuse("invalid_scope", "A refresh cannot ask for more than was granted."));
            }
            narrowed => narrowed.unwrap_or_default(),
        },
    };
    match shared.rotate(&token, &scope, key) {
        Ok(pair) => {
            shared.counters.refreshes.fetch_add(1, Relaxed);
            grant.tally.refreshes.fetch_add(1, Relaxed);
            Ok(granted(&pair).note(format!("refresh {} ok v{}", grant.user.name, pair.version)))
        }
        Err(Standing::Spent) => {
            shared.counters.replays.fetch_add(1, Relaxed);
            grant.tally.replays.fetch_add(1, Relaxed);
            Err(refuse("invalid_grant", "The refresh token was used before; the grant is revoked.")
                .note("invalid_grant (replay: the grant is revoked)"))
        }
        Err(Standing::Expired) => Err(refuse("invalid_grant", "The refresh token has expired.")),
        Err(_) => Err(refuse("invalid_grant", "The grant is revoked.").note("invalid_grant (revoked grant)")),
    }
}

/// Section 4.1.3. A code works once; a second use ends the grant that it made, and a failed try makes it void.
fn redeem(shared: &Shared, call: &Call, client: &Arc<Registered>, form: &Params) -> Result<Answer, Answer> {
    let code = required(form, "code")?;
    let redirect_uri = required(form, "redirect_uri")?;
    let verifier = required(form, "code_verifier")?;
    if !is_verifier(verifier) {
        return Err(refuse("invalid_request", "code_verifier has 43 to 128 unreserved characters."));
    }
    let key = key(shared, call, client, None)?;
    let invalid = || refuse("invalid_grant", "The code is not valid.");
    let code = shared.world.code(code).ok_or_else(invalid)?;
    if !Arc::ptr_eq(&code.client, client) {
        return Err(refuse("invalid_grant", "The code was issued to another client."));
    }
    let mut state = code.use_.lock();
    match mem::replace(&mut *state, CodeUse::Void) {
        CodeUse::Void => return Err(invalid()),
        CodeUse::Redeemed(grant) => {
            grant.end(End::CodeReplay);
            shared.counters.code_replays.fetch_add(1, Relaxed);
            grant.tally.replays.fetch_add(1, Relaxed);
            *state = CodeUse::Redeemed(grant);
            return Err(refuse("invalid_grant", "The code was used before; the grant that it made is revoked."));
        }
        CodeUse::Fresh => check(shared, &code, redirect_uri, verifier)?,
    }
    let (grant, pair) = shared.issue(&code.user, client, &code.scope, shared.settings.access_life, key);
    grant.tally.token_requests.fetch_add(1, Relaxed);
    *state = CodeUse::Redeemed(grant);
    Ok(granted(&pair).note(format!("code {} ok v{}", code.user.name, pair.version)))
}

fn check(shared: &Shared, code: &Code, redirect_uri: &str, verifier: &str) -> Result<(), Answer> {
    if shared.now() >= code.expires {
        return Err(refuse("invalid_grant", "The code has expired."));
    }
    if code.redirect_uri != redirect_uri {
        return Err(refuse("invalid_grant", "redirect_uri is not that of the authorization request."));
    }
    if ids::base64url(&Sha256::digest(verifier.as_bytes())) != code.challenge {
        return Err(refuse("invalid_grant", "code_verifier does not match the challenge."));
    }
    Ok(())
}

/// RFC 7636 section 4.1.
fn is_verifier(text: &str) -> bool {
    (43..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
}

fn required<'a>(form: &'a Params, name: &str) -> Result<&'a str, Answer> {
    form.get(name).ok_or_else(|| refuse("invalid_request", &format!("The parameter {name} is missing.")))
}

fn refuse(error: &str, description: &str) -> Answer {
    answer::oauth_error(StatusCode::BAD_REQUEST, error, description)
}

/// The token response, all five fields.
fn granted(pair: &TokenPair) -> Answer {
    answer::json(StatusCode::OK, &body(pair)).no_store()
}

pub(in crate::sandbox) fn body(pair: &TokenPair) -> serde_json::Value {
    json!({
        "access_token": pair.access.expose(), "token_type": grants::token_type(pair.jkt.is_some()),
        "expires_in": pair.expires_in.as_secs(),
        "refresh_token": pair.refresh.expose(), "scope": pair.scope,
    })
}
