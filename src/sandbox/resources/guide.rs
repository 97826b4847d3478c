//! `/decks/{id}/guide`: read, create or replace, delete.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    Caller,
    shelf::{Fields, touch},
};
use crate::sandbox::{
    Shared,
    answer::{self, Answer},
    call::Call,
};

pub(super) async fn handle(shared: &Shared, call: &mut Call, caller: &Caller, id: &str) -> Answer {
    match call.method {
        Method::GET | Method::HEAD => {
            let shelf = caller.user.shelf.lock();
            let Some(deck) = shelf.decks.get(id) else { return answer::not_found() };
            // A deck without a guide is no error.
            answer::json(StatusCode::OK, &deck.guide.clone().map_or(Value::Null, Value::Object))
        }
        Method::PUT => match call.json().await {
            Ok(body) => write(shared, caller, id, body),
            Err(answer) => answer,
        },
        Method::DELETE => {
            let mut shelf = caller.user.shelf.lock();
            match shelf.decks.get_mut(id).and_then(|deck| deck.guide.take()) {
                Some(_) => answer::empty(StatusCode::NO_CONTENT),
                None => answer::not_found(),
            }
        }
        _ => answer::method_not_allowed("GET, PUT, DELETE"),
    }
}

/// 201 for the first, 200 for the ones after it.
fn write(shared: &Shared, caller: &Caller, id: &str, mut body: Fields) -> Answer {
    if !body.get("content").is_some_and(Value::is_string) {
        return answer::invalid(&json!({"content": ["This field is required and must be a string."]}));
    }
    body.retain(|name, _| ["title", "content"].contains(&name.as_str()));
    body.insert("is_truncated".to_owned(), false.into());
    touch(&mut body, shared.now());
    let mut shelf = caller.user.shelf.lock();
    let Some(deck) = shelf.decks.get_mut(id) else { return answer::not_found() };
    let status = if deck.guide.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    deck.guide = Some(body.clone());
    answer::json(status, &Value::Object(body))
}
