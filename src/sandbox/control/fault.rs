//! Faults as JSON.

use std::{collections::BTreeMap, time::Duration};

use http::{HeaderName, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::sandbox::{Canned, Effect, Endpoint, Fault, Moment};

/// The shape is described in [`crate::sandbox`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FaultBody {
    endpoint: Endpoint,
    #[serde(default)]
    moment: Moment,
    times: Option<u32>,
    user: Option<String>,
    status: Option<u16>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<String>,
    #[serde(default)]
    unread: bool,
    oauth_error: Option<String>,
    delay_ms: Option<u64>,
    #[serde(default)]
    cut: bool,
    truncate: Option<usize>,
}

/// The fault that `body` describes; it has exactly one effect.
pub(super) fn from_json(body: FaultBody) -> Result<Fault, String> {
    let canned = body.status.map(|status| canned(status, &body)).transpose()?;
    let effects = [
        canned.map(Effect::Answer),
        body.oauth_error.map(Effect::OAuthError),
        body.delay_ms.map(|millis| Effect::Delay(Duration::from_millis(millis))),
        body.cut.then_some(Effect::Cut),
        body.truncate.map(Effect::Truncate),
    ];
    let mut effects = effects.into_iter().flatten();
    match (effects.next(), effects.next()) {
        (Some(effect), None) => {
            Ok(Fault { endpoint: body.endpoint, moment: body.moment, effect, times: body.times, user: body.user })
        }
        _ => Err("a fault has exactly one of status, oauth_error, delay_ms, cut and truncate".to_owned()),
    }
}

fn canned(status: u16, body: &FaultBody) -> Result<Canned, String> {
    let status = StatusCode::from_u16(status).ok().filter(|status| !status.is_informational());
    let mut canned = Canned::new(status.ok_or("status: not a final HTTP status")?);
    for (name, value) in &body.headers {
        let name = HeaderName::try_from(name).map_err(|_| format!("headers: {name} is no field name"))?;
        canned = canned.header(name, value);
    }
    if let Some(text) = &body.body {
        canned = canned.body(text);
    }
    Ok(if body.unread { canned.unread() } else { canned })
}

pub(super) fn describe(fault: &Fault) -> Value {
    let effect = match &fault.effect {
        Effect::Answer(canned) => json!({"status": canned.status.as_u16()}),
        Effect::OAuthError(code) => json!({"oauth_error": code}),
        Effect::Delay(time) => json!({"delay_ms": time.as_millis() as u64}),
        Effect::Hold(gate) => json!({"gate": {"arrived": gate.count()}}),
        Effect::Cut => json!({"cut": true}),
        Effect::Truncate(bytes) => json!({"truncate": bytes}),
    };
    json!({"endpoint": fault.endpoint, "moment": fault.moment, "times": fault.times, "user": fault.user, "effect": effect})
}
