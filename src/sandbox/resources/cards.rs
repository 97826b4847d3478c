//! `/cards/autocomplete?q=`, `/cards/resolve`, `/cards/{name}`: a very small card database.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::is_read;
use crate::sandbox::{
    answer::{self, Answer},
    call::Call,
    params::Params,
};

const CARDS: [&str; 8] =
    ["Counterspell", "Fire // Ice", "Forest", "Island", "Lightning Bolt", "Mountain", "Plains", "Swamp"];

pub(super) async fn handle(call: &mut Call, rest: &[&str]) -> Answer {
    match *rest {
        ["autocomplete"] if is_read(&call.method) => autocomplete(&Params::parse(&call.query).unwrap_or_default()),
        ["resolve"] if call.method == Method::POST => match call.json().await {
            Ok(body) => resolve(&body, &Params::parse(&call.query).unwrap_or_default()),
            Err(answer) => answer,
        },
        ["resolve"] => answer::method_not_allowed("POST"),
        [name] if is_read(&call.method) => {
            find(name).map_or_else(answer::not_found, |card| answer::json(StatusCode::OK, &card))
        }
        [_] => answer::method_not_allowed("GET"),
        _ => answer::not_found(),
    }
}

fn autocomplete(params: &Params) -> Answer {
    let Some(prefix) = params.get("q").map(str::to_lowercase) else {
        return answer::invalid(&json!({"q": ["This parameter is required."]}));
    };
    let found = CARDS.iter().enumerate().filter(|(_, name)| name.to_lowercase().contains(&prefix));
    answer::json(StatusCode::OK, &found.map(|(at, name)| card(at, name)).collect())
}

/// Identifiers to cards; with `strict`, in the query or the body, one that is unknown makes it a 422.
fn resolve(body: &serde_json::Map<String, Value>, params: &Params) -> Answer {
    let identifiers = body.get("identifiers").and_then(Value::as_array);
    let identifiers: Option<Vec<&str>> = identifiers.and_then(|all| all.iter().map(Value::as_str).collect());
    let Some(identifiers) = identifiers else {
        return answer::invalid(&json!({"identifiers": ["This field is required and must be a list of strings."]}));
    };
    let strict = params.get("strict") == Some("true") || body.get("strict") == Some(&Value::Bool(true));
    let (known, unknown): (Vec<&str>, Vec<&str>) = identifiers.into_iter().partition(|name| find(name).is_some());
    if strict && !unknown.is_empty() {
        let message = "Some identifiers are not known.";
        let value = json!({"code": "FLEXSLOT_UNRESOLVED_CARDS", "message": message, "unresolved": unknown});
        return answer::json(StatusCode::UNPROCESSABLE_ENTITY, &value);
    }
    let resolved: Vec<Value> = known.iter().map(|name| json!({"identifier": name, "card": find(name)})).collect();
    answer::json(StatusCode::OK, &json!({"resolved": resolved, "unresolved": unknown}))
}

fn find(name: &str) -> Option<Value> {
    CARDS.iter().position(|known| known.eq_ignore_ascii_case(name)).map(|at| card(at, CARDS[at]))
}

fn card(at: usize, name: &str) -> Value {
    json!({"id": format!("00000000-0000-7000-8000-{:012}", at + 1), "name": name})
}
