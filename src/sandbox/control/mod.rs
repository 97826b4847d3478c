//! The handle over HTTP; docs/sandbox.md describes every call.

mod fault;
mod proofs;

use std::time::Duration;

use http::{Method, StatusCode, header};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    Consent, Effect, Endpoint, Fault, Gate, Moment, Sandbox, Unknown,
    answer::{self, Answer, AnswerExt},
    call::{Call, ReadError},
    ids, oauth,
    params::Params,
    settings::Client,
};
use crate::model::{GrantId, Secret};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewUser {
    name: String,
    #[serde(default)]
    partner: bool,
    #[serde(default)]
    decks: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignIn {
    user: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewClient {
    client_id: String,
    secret: Option<String>,
    #[serde(default)]
    redirect_uris: Vec<String>,
    scopes: Option<String>,
    owner: Option<String>,
    #[serde(default)]
    dpop_bound_access_tokens: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientChange {
    dpop_bound_access_tokens: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPat {
    user: String,
    scopes: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OldPat {
    pat: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewGrant {
    user: String,
    client_id: String,
    scope: Option<String>,
    /// Seconds that the first access token lives.
    expires_in: Option<u64>,
    /// The thumbprint of the key that the tokens are bound to.
    dpop_jkt: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewGate {
    endpoint: Endpoint,
    #[serde(default)]
    moment: Moment,
    user: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockOffset {
    offset_seconds: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConsentMode {
    mode: Mode,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    Automatic,
    Page,
}

/// What can be done to a grant.
#[derive(Clone, Copy)]
enum Act {
    Expire,
    ExpireRefresh,
    Revoke,
}

pub(super) async fn handle(sandbox: &Sandbox, call: &mut Call, path: &str) -> Answer {
    if call.headers.contains_key(header::ORIGIN) {
        // Any page in the browser of whoever runs the sandbox could steer it otherwise.
        return answer::json(StatusCode::FORBIDDEN, &json!({"message": "The control API is not for web pages."}));
    }
    let segments: Vec<&str> = path.split('/').collect();
    let answer = match call.method {
        Method::GET => get(sandbox, call, &segments).await,
        Method::POST => post(sandbox, call, &segments).await,
        Method::DELETE => delete(sandbox, &segments),
        _ => Err(answer::method_not_allowed("GET, POST, DELETE")),
    };
    answer.unwrap_or_else(|answer| answer).no_store()
}

async fn get(sandbox: &Sandbox, call: &Call, segments: &[&str]) -> Result<Answer, Answer> {
    match *segments {
        ["dpop"] => Ok(answer::json(StatusCode::OK, &proofs::describe(sandbox.proof_rules()))),
        ["grants"] => shown(&sandbox.grants()),
        ["grants", id] => shown(&sandbox.grant(grant_id(id)?).map_err(unknown)?),
        ["faults"] => {
            Ok(answer::json(StatusCode::OK, &sandbox.shared.faults.list().iter().map(fault::describe).collect()))
        }
        ["gates", id] => {
            let gate = sandbox.shared.gates.get(id).map(|gate| gate.clone()).ok_or_else(nothing)?;
            let wanted = Params::parse(&call.query).unwrap_or_default().number("arrived").unwrap_or(0);
            gate.arrived(usize::try_from(wanted).unwrap_or(usize::MAX)).await;
            Ok(answer::json(StatusCode::OK, &json!({"arrived": gate.count()})))
        }
        ["counters"] => shown(&sandbox.counters()),
        ["requests"] => shown(&sandbox.requests()),
        ["events"] => {
            let lines = sandbox.shared.log.recent();
            let text: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
            Ok(answer::of(StatusCode::OK, answer::body(text)).with(header::CONTENT_TYPE, "text/plain; charset=utf-8"))
        }
        _ => Err(nothing()),
    }
}

async fn post(sandbox: &Sandbox, call: &mut Call, segments: &[&str]) -> Result<Answer, Answer> {
    match *segments {
        ["users"] => add_user(sandbox, &read(call).await?),
        ["sign-in"] => sandbox.sign_in(&read::<SignIn>(call).await?.user),
        ["clients"] => add_client(sandbox, read(call).await?),
        ["clients", id] => {
            let ClientChange { dpop_bound_access_tokens } = read(call).await?;
            sandbox.set_dpop_bound(id, dpop_bound_access_tokens).map_err(unknown)?;
        }
        ["dpop"] => sandbox.set_proof_rules(proofs::changed(sandbox.proof_rules(), read(call).await?)),
        ["pats"] => {
            let NewPat { user, scopes } = read(call).await?;
            let pat = scopes.map_or_else(|| sandbox.add_pat(&user), |scopes| sandbox.add_pat_with(&user, &scopes));
            return Ok(answer::json(StatusCode::CREATED, &json!({"pat": pat.expose()})));
        }
        ["pats", "revoke"] => sandbox.revoke_pat(&Secret::new(read::<OldPat>(call).await?.pat)),
        ["grants"] => return add_grant(sandbox, &read(call).await?),
        ["grants", id, act] => {
            let grant = grant_id(id)?;
            Act::named(act)?.on(sandbox, grant).map_err(unknown)?;
        }
        ["users", name, act] => {
            let act = Act::named(act)?;
            let user = sandbox.shared.world.user(name).ok_or_else(nothing)?;
            let grants: Vec<GrantId> = user.grants.lock().iter().map(|grant| grant.id).collect();
            grants.into_iter().try_for_each(|grant| act.on(sandbox, grant)).map_err(unknown)?;
        }
        ["faults"] => sandbox.fault(fault::from_json(read(call).await?).map_err(bad)?),
        ["gates"] => return Ok(add_gate(sandbox, read(call).await?)),
        ["clock"] => sandbox.set_clock_offset(read::<ClockOffset>(call).await?.offset_seconds.saturating_mul(1000)),
        ["consent"] => sandbox.set_consent(match read::<ConsentMode>(call).await?.mode {
            Mode::Automatic => Consent::Automatic,
            Mode::Page => Consent::Page,
        }),
        _ => return Err(nothing()),
    }
    Ok(answer::empty(StatusCode::NO_CONTENT))
}

fn delete(sandbox: &Sandbox, segments: &[&str]) -> Result<Answer, Answer> {
    match *segments {
        ["dpop", "nonces"] => sandbox.forget_nonces(),
        ["faults"] => sandbox.clear_faults(),
        ["counters"] => sandbox.reset_counters(),
        ["gates", id] => sandbox.shared.gates.remove(id).ok_or_else(nothing)?.1.release(),
        _ => return Err(nothing()),
    }
    Ok(answer::empty(StatusCode::NO_CONTENT))
}

fn add_user(sandbox: &Sandbox, new: &NewUser) {
    sandbox.add_user(&new.name);
    if new.partner {
        sandbox.add_partner(&new.name);
    }
    (1..=new.decks).for_each(|n| drop(sandbox.add_deck(&new.name, &format!("Deck {n} of {}", new.name))));
}

fn add_client(sandbox: &Sandbox, new: NewClient) {
    let client = match new.secret {
        Some(secret) => Client::confidential(new.client_id, Secret::new(secret)),
        None => Client::public(new.client_id),
    };
    let client = Client {
        redirect_uris: new.redirect_uris,
        owner: new.owner,
        dpop_bound_access_tokens: new.dpop_bound_access_tokens,
        ..client
    };
    sandbox.add_client(new.scopes.iter().fold(client, |client, scopes| client.scopes(scopes)));
}

fn add_grant(sandbox: &Sandbox, new: &NewGrant) -> Result<Answer, Answer> {
    let every = super::SCOPES.join(" ");
    let scope = new.scope.as_deref().unwrap_or(&every);
    let life = new.expires_in.map_or(sandbox.shared.settings.access_life, Duration::from_secs);
    let pair = match &new.dpop_jkt {
        Some(jkt) => sandbox.issue_grant_bound_to(&new.user, &new.client_id, scope, life, Some(jkt)),
        None => sandbox.issue_grant_for(&new.user, &new.client_id, scope, life),
    };
    let pair = pair.map_err(unknown)?;
    let mut value = oauth::token_body(&pair);
    value["grant"] = pair.grant.to_string().into();
    if let Some(key) = &pair.key {
        value["dpop_jwk"] = serde_json::from_str(key.private_jwk().expose()).unwrap_or_default();
    }
    Ok(answer::json(StatusCode::CREATED, &value))
}

fn add_gate(sandbox: &Sandbox, new: NewGate) -> Answer {
    let (id, gate) = (ids::nonce(&sandbox.shared.random), Gate::new());
    let effect = Effect::Hold(gate.clone());
    sandbox.fault(Fault { moment: new.moment, user: new.user, ..Fault::new(new.endpoint, effect) });
    sandbox.shared.gates.insert(id.clone(), gate);
    answer::json(StatusCode::CREATED, &json!({"id": id}))
}

async fn read<T: DeserializeOwned>(call: &mut Call) -> Result<T, Answer> {
    let body = call.read().await.map_err(ReadError::answer)?;
    // serde_json's message holds the name of a field or a position; with an unknown variant, a word of the caller's
    // own.
    serde_json::from_slice(&body).map_err(|error| bad(error.to_string()))
}

fn shown(value: &impl serde::Serialize) -> Result<Answer, Answer> {
    let value = serde_json::to_value(value).map_err(|error| bad(error.to_string()))?;
    Ok(answer::json(StatusCode::OK, &value))
}

fn grant_id(text: &str) -> Result<GrantId, Answer> {
    text.parse().map_err(|_| nothing())
}

fn bad(message: impl Into<Value>) -> Answer {
    answer::json(StatusCode::BAD_REQUEST, &json!({"message": message.into()}))
}

fn nothing() -> Answer {
    answer::json(StatusCode::NOT_FOUND, &json!({"message": "The control API has no such thing."}))
}

fn unknown(what: Unknown) -> Answer {
    answer::json(StatusCode::NOT_FOUND, &json!({"message": what.to_string()}))
}

// === impl Act ===

impl Act {
    fn named(word: &str) -> Result<Self, Answer> {
        match word {
            "expire" => Ok(Self::Expire),
            "expire-refresh" => Ok(Self::ExpireRefresh),
            "revoke" => Ok(Self::Revoke),
            _ => Err(nothing()),
        }
    }

    fn on(self, sandbox: &Sandbox, grant: GrantId) -> Result<(), Unknown> {
        match self {
            Self::Expire => sandbox.expire_access(grant),
            Self::ExpireRefresh => sandbox.expire_refresh(grant),
            Self::Revoke => sandbox.revoke_grant(grant),
        }
    }
}
