//! `/sideboards/` and `/sideboards/{id}`.

use http::{Method, StatusCode, header};
use serde_json::{Value, json};

use super::{
    Caller, is_read, list,
    shelf::{Fields, touch},
    url,
};
use crate::sandbox::{
    Shared,
    answer::{self, Answer, AnswerExt},
    call::Call,
    ids,
};

/// The fields that a caller may write; others are dropped.
const WRITABLE: [&str; 4] = ["name", "visibility", "decks", "matchups"];

pub(super) async fn handle(shared: &Shared, call: &mut Call, caller: &Caller, rest: &[&str]) -> Answer {
    match *rest {
        [""] if is_read(&call.method) => {
            let shelf = caller.user.shelf.lock();
            list::page(shared, call, "/sideboards/", shelf.sideboards.len(), |start, size| {
                shelf.sideboards.values().skip(start).take(size).cloned().map(Value::Object).collect()
            })
        }
        [""] if call.method == Method::POST => match call.json().await {
            Ok(body) => create(shared, caller, &body),
            Err(answer) => answer,
        },
        [""] => answer::method_not_allowed("GET, POST"),
        [id] => one(shared, call, caller, id).await,
        _ => answer::not_found(),
    }
}

async fn one(shared: &Shared, call: &mut Call, caller: &Caller, id: &str) -> Answer {
    match call.method {
        Method::GET | Method::HEAD => {
            let found = caller.user.shelf.lock().sideboards.get(id).cloned();
            found.map_or_else(answer::not_found, |fields| answer::json(StatusCode::OK, &Value::Object(fields)))
        }
        Method::PUT | Method::PATCH => match call.json().await {
            Ok(body) => update(shared, caller, id, &body, &call.method),
            Err(answer) => answer,
        },
        Method::DELETE => match caller.user.shelf.lock().sideboards.remove(id) {
            Some(_) => answer::empty(StatusCode::NO_CONTENT),
            None => answer::not_found(),
        },
        _ => answer::method_not_allowed("GET, PUT, PATCH, DELETE"),
    }
}

fn create(shared: &Shared, caller: &Caller, body: &Fields) -> Answer {
    let mut fields = match writable(body, &Method::POST) {
        Ok(fields) => fields,
        Err(answer) => return answer,
    };
    let id = ids::uuid(&shared.random, shared.now());
    fields.insert("id".to_owned(), id.as_str().into());
    touch(&mut fields, shared.now());
    caller.user.shelf.lock().sideboards.insert(id.clone(), fields.clone());
    answer::json(StatusCode::CREATED, &Value::Object(fields))
        .with(header::LOCATION, &url(shared, &format!("/sideboards/{id}")))
}

fn update(shared: &Shared, caller: &Caller, id: &str, body: &Fields, method: &Method) -> Answer {
    let written = match writable(body, method) {
        Ok(fields) => fields,
        Err(answer) => return answer,
    };
    let mut shelf = caller.user.shelf.lock();
    let Some(fields) = shelf.sideboards.get_mut(id) else { return answer::not_found() };
    if method == Method::PUT {
        fields.retain(|name, _| !WRITABLE.contains(&name.as_str()));
    }
    fields.extend(written);
    touch(fields, shared.now());
    answer::json(StatusCode::OK, &Value::Object(fields.clone()))
}

fn writable(body: &Fields, method: &Method) -> Result<Fields, Answer> {
    match body.get("name") {
        Some(Value::String(name)) if !name.is_empty() => {}
        None if method == Method::PATCH => {}
        Some(_) | None => return Err(answer::invalid(&json!({"name": ["A name is required."]}))),
    }
    let written = body.iter().filter(|(name, _)| WRITABLE.contains(&name.as_str()));
    Ok(written.map(|(name, value)| (name.clone(), value.clone())).collect())
}
