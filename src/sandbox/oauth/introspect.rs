//! `POST /oauth/introspect` (RFC 7662): for the owning client only; everybody else learns nothing.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use super::{client, form};
use crate::{
    model::{ScopeSet, Timestamp},
    sandbox::{
        Shared,
        answer::{self, Answer, AnswerExt},
        call::Call,
        grants::{Grant, Standing},
        params::Params,
    },
};

pub(in crate::sandbox) async fn introspect(shared: &Shared, call: &mut Call) -> Answer {
    let active = match form(call).await {
        Ok(form) => active(shared, call, &form),
        Err(answer) if answer.status() == StatusCode::METHOD_NOT_ALLOWED => return answer,
        Err(_) => None,
    };
    let note = if active.is_some() { "active" } else { "inactive" };
    answer::json(StatusCode::OK, &active.unwrap_or_else(|| json!({"active": false}))).no_store().note(note)
}

fn active(shared: &Shared, call: &Call, form: &Params) -> Option<Value> {
    let client = client(shared, call, form).ok()?;
    let token = form.get("token")?;
    let owned = |grant: &Grant| Arc::ptr_eq(&grant.client, &client);
    if let Some(token) = shared.world.access(token) {
        let live = token.standing(shared.now(), shared.settings.previous_access) == Standing::Live;
        let mut value = (live && owned(&token.grant)).then(|| describe(&token.grant, &token.scope, token.expires))?;
        value["iat"] = token.issued.secs().into();
        value["token_type"] = token.token_type().into();
        if let Some(key) = &token.key {
            // RFC 9449 section 6.2.
            value["cnf"] = json!({"jkt": **key});
        }
        return Some(value);
    }
    let token = shared.world.refresh(token)?;
    let live = token.grant.refresh_standing(token.version, shared.now()) == Standing::Live;
    (live && owned(&token.grant)).then(|| describe(&token.grant, &token.grant.scope, token.grant.refresh_expires()))
}

fn describe(grant: &Grant, scope: &ScopeSet, expires: Timestamp) -> Value {
    json!({
        "active": true, "sub": grant.user.sub, "username": grant.user.name, "client_id": grant.client.client_id,
        "scope": scope.as_str(), "exp": expires.secs(),
    })
}
