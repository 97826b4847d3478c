//! `/decks/`, `/decks/{id}`, `/decks/{id}/versions`, `/decks/{id}/rollback`; the guide is next door.

use http::{Method, StatusCode, header};
use serde_json::{Value, json};

use super::{
    Caller, guide, is_read, list,
    shelf::{Fields, Provenance, Shelf},
    url,
};
use crate::sandbox::{
    Shared,
    answer::{self, Answer, AnswerExt},
    call::Call,
};

/// The fields that a caller may write; others are dropped.
const WRITABLE: [&str; 5] = ["name", "format", "visibility", "archetype", "text_list"];

/// The triple that must be unique per user.
const PROVENANCE: [&str; 3] = ["source_provider", "source_external_id", "source_external_version"];

pub(super) async fn handle(shared: &Shared, call: &mut Call, caller: &Caller, rest: &[&str]) -> Answer {
    match *rest {
        [""] if is_read(&call.method) => {
            let shelf = caller.user.shelf.lock();
            list::page(shared, call, "/decks/", shelf.decks.len(), |start, size| {
                let decks = shelf.decks.values().skip(start).take(size);
                decks.filter_map(|deck| deck.current().cloned().map(Value::Object)).collect()
            })
        }
        [""] if call.method == Method::POST => match call.json().await {
            Ok(body) => create(shared, caller, &body),
            Err(answer) => answer,
        },
        [""] => answer::method_not_allowed("GET, POST"),
        [id] => one(shared, call, caller, id).await,
        [id, "versions"] if is_read(&call.method) => {
            let shelf = caller.user.shelf.lock();
            shelf.decks.get(id).map_or_else(answer::not_found, |deck| answer::json(StatusCode::OK, &deck.history()))
        }
        [_, "versions"] => answer::method_not_allowed("GET"),
        [id, "rollback"] if call.method == Method::POST => match call.json().await {
            Ok(body) => roll_back(shared, caller, id, &body),
            Err(answer) => answer,
        },
        [_, "rollback"] => answer::method_not_allowed("POST"),
        [id, "guide"] => guide::handle(shared, call, caller, id).await,
        _ => answer::not_found(),
    }
}

async fn one(shared: &Shared, call: &mut Call, caller: &Caller, id: &str) -> Answer {
    match call.method {
        Method::GET | Method::HEAD => {
            let shelf = caller.user.shelf.lock();
            let fields = shelf.decks.get(id).and_then(|deck| deck.current().cloned());
            fields.map_or_else(answer::not_found, |fields| answer::json(StatusCode::OK, &Value::Object(fields)))
        }
        Method::PUT | Method::PATCH => match call.json().await {
            Ok(body) => update(shared, caller, id, &body, &call.method),
            Err(answer) => answer,
        },
        Method::DELETE => {
            let mut shelf = caller.user.shelf.lock();
            let Some(deck) = shelf.decks.remove(id) else { return answer::not_found() };
            if let Some(provenance) = deck.provenance {
                shelf.provenances.remove(&provenance);
            }
            answer::empty(StatusCode::NO_CONTENT)
        }
        _ => answer::method_not_allowed("GET, PUT, PATCH, DELETE"),
    }
}

fn create(shared: &Shared, caller: &Caller, body: &Fields) -> Answer {
    let (mut fields, provenance) = match (writable(body, &Method::POST), provenance(body)) {
        (Ok(fields), Ok(provenance)) => (fields, provenance),
        (Err(answer), _) | (_, Err(answer)) => return answer,
    };
    let mut shelf = caller.user.shelf.lock();
    if provenance.as_ref().is_some_and(|triple| shelf.provenances.contains(triple)) {
        let message = "A deck with this provenance exists already.";
        return answer::error(StatusCode::CONFLICT, "FLEXSLOT_CONFLICT", message);
    }
    for (name, value) in PROVENANCE.into_iter().zip(provenance.iter().flatten()) {
        fields.insert(name.to_owned(), value.as_str().into());
    }
    let id = shelf.insert_deck(fields, provenance, &shared.random, shared.now());
    let shown = shelf.decks.get(&id).and_then(|deck| deck.current().cloned()).unwrap_or_default();
    answer::json(StatusCode::CREATED, &Value::Object(shown))
        .with(header::LOCATION, &url(shared, &format!("/decks/{id}")))
}

fn update(shared: &Shared, caller: &Caller, id: &str, body: &Fields, method: &Method) -> Answer {
    let written = match writable(body, method) {
        Ok(fields) => fields,
        Err(answer) => return answer,
    };
    let mut shelf = caller.user.shelf.lock();
    let Some(deck) = shelf.decks.get_mut(id) else { return answer::not_found() };
    let mut fields = deck.current().cloned().unwrap_or_default();
    if method == Method::PUT {
        // PUT replaces: what it does not name is gone.
        fields.retain(|name, _| !WRITABLE.contains(&name.as_str()));
    }
    fields.extend(written);
    answer::json(StatusCode::OK, &deck.save(fields, shared.now()))
}

/// Forward-saving: the history grows by one. A version out of range is answered like a missing deck.
fn roll_back(shared: &Shared, caller: &Caller, id: &str, body: &Fields) -> Answer {
    let Some(number) = body.get("version_number").and_then(Value::as_u64).filter(|&number| number >= 1) else {
        return answer::invalid(&json!({"version_number": ["Must be an integer of at least 1."]}));
    };
    let mut shelf: parking_lot::MutexGuard<'_, Shelf> = caller.user.shelf.lock();
    let Some(deck) = shelf.decks.get_mut(id) else { return answer::not_found() };
    let at = usize::try_from(number - 1).unwrap_or(usize::MAX);
    match deck.versions.get(at).cloned() {
        Some(fields) => answer::json(StatusCode::OK, &deck.save(fields, shared.now())),
        None => answer::not_found(),
    }
}

/// The writable fields of `body`; all but PATCH need a name.
pub(super) fn writable(body: &Fields, method: &Method) -> Result<Fields, Answer> {
    match body.get("name") {
        Some(Value::String(name)) if (1..=255).contains(&name.chars().count()) => {}
        None if method == Method::PATCH => {}
        Some(_) => return Err(answer::invalid(&json!({"name": ["Must be a string of 1 to 255 characters."]}))),
        None => return Err(answer::invalid(&json!({"name": ["This field is required."]}))),
    }
    let written = body.iter().filter(|(name, _)| WRITABLE.contains(&name.as_str()));
    Ok(written.map(|(name, value)| (name.clone(), value.clone())).collect())
}

/// All three parts or none: what a partial triple means is not documented, so it is refused.
fn provenance(body: &Fields) -> Result<Option<Provenance>, Answer> {
    let part = |name| body.get(name).and_then(Value::as_str).filter(|part| !part.is_empty()).map(str::to_owned);
    match PROVENANCE.map(part) {
        [None, None, None] if !PROVENANCE.iter().any(|&name| body.contains_key(name)) => Ok(None),
        [Some(provider), Some(id), Some(version)] => Ok(Some([provider, id, version])),
        _ => {
            Err(answer::invalid(&json!({"source_provider": ["Provenance needs all three source fields, as strings."]})))
        }
    }
}
