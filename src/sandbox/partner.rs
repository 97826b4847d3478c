//! The endpoints that take a personal access token only.

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use url::{Host, Url};

use super::{
    Shared,
    answer::{self, Answer, AnswerExt},
    call::Call,
    ids,
    resources::Caller,
    settings::{Client, ClientRevocation, SCOPES},
    world::{Moment, Urls},
};
use crate::model::{Random, Secret, Timestamp, prefix};

/// Active clients per partner; revoked ones do not count.
const MAX_CLIENTS: usize = 10;

const GRANT_TYPES: [&str; 2] = ["authorization_code", "refresh_token"];

/// The partner behind a user.
pub(super) struct Partner {
    id: String,
    slug: String,
    created: Timestamp,
    api_key_prefix: String,
    secret_rotated: Moment,
}

/// What is wrong with each field of a body.
#[derive(Default)]
struct Faults(Map<String, Value>);

// === impl Partner ===

impl Partner {
    pub(super) fn new(user: &str, random: &Random, now: Timestamp) -> Self {
        let slug = user.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).collect();
        Self {
            id: ids::uuid(random, now),
            slug,
            created: now,
            api_key_prefix: String::new(),
            secret_rotated: Moment::never(),
        }
    }

    fn json(&self) -> Value {
        let created = self.created.to_string();
        json!({
            "id": self.id, "slug": self.slug, "name": self.slug, "contact_email": format!("{}@example.com", self.slug),
            "website_url": "https://example.com", "api_key_prefix": self.api_key_prefix, "scopes": SCOPES,
            "game_scopes": [], "allowed_origins": [], "rate_limit_tier": "standard", "status": "active",
            "secret_rotated_at": self.secret_rotated.json(), "last_used_at": null,
            "created_at": created, "updated_at": self.secret_rotated.get().map_or(created, |at| at.to_string()),
        })
    }
}

pub(super) async fn handle(shared: &Shared, call: &mut Call, caller: &Caller, rest: &[&str]) -> Answer {
    let Some(pat) = &caller.pat else {
        let message = "This endpoint takes a personal access token.";
        return answer::error(StatusCode::FORBIDDEN, "FLEXSLOT_PERMISSION_DENIED", message);
    };
    if let ["access-tokens", ""] = rest {
        return match call.method {
            Method::GET | Method::HEAD => answer::json(StatusCode::OK, &pat.json()),
            _ => answer::method_not_allowed("GET"),
        };
    }
    if caller.user.partner.lock().is_none() {
        return answer::not_found();
    }
    match (rest, call.method.clone()) {
        (["partner"], Method::GET | Method::HEAD) => {
            let row = caller.user.partner.lock().as_ref().map(Partner::json);
            answer::json(StatusCode::OK, &row.unwrap_or_default())
        }
        (["partner", "rotate-api-key"], Method::POST) => rotate_api_key(shared, caller),
        (["partner", "scope-requests"], Method::POST) => match call.json().await {
            Ok(body) => scope_request(shared, &body),
            Err(answer) => answer,
        },
        (["partner", "oauth2-clients"], Method::GET | Method::HEAD) => list(shared, caller),
        (["partner", "oauth2-clients"], Method::POST) => match call.json().await {
            Ok(body) => create(shared, caller, &body),
            Err(answer) => answer,
        },
        (["partner", "oauth2-clients", id, "rotate-secret"], Method::POST) => rotate_secret(shared, caller, id),
        (["partner", "oauth2-clients", id], Method::DELETE) => match shared.settings.client_revocation {
            ClientRevocation::Delete => revoke(shared, caller, id),
            ClientRevocation::Post | ClientRevocation::Neither => answer::method_not_allowed("GET"),
        },
        (["partner", "oauth2-clients", id, "revoke"], Method::POST)
            if shared.settings.client_revocation == ClientRevocation::Post =>
        {
            revoke(shared, caller, id)
        }
        (["partner"], _) => answer::method_not_allowed("GET"),
        (["partner", "oauth2-clients"], _) => answer::method_not_allowed("GET, POST"),
        (["partner", "rotate-api-key" | "scope-requests"], _) => answer::method_not_allowed("POST"),
        (["partner", "oauth2-clients", _, "rotate-secret"], _) => answer::method_not_allowed("POST"),
        _ => answer::not_found(),
    }
}

fn rotate_api_key(shared: &Shared, caller: &Caller) -> Answer {
    let key = ids::token(&shared.random, "flx_pk_");
    let prefix = key.expose()[..12].to_owned();
    if let Some(partner) = &mut *caller.user.partner.lock() {
        partner.api_key_prefix.clone_from(&prefix);
        partner.secret_rotated.set(shared.now());
    }
    answer::json(StatusCode::OK, &json!({"plaintext_api_key": key.expose(), "api_key_prefix": prefix})).no_store()
}

fn scope_request(shared: &Shared, body: &Map<String, Value>) -> Answer {
    let mut faults = Faults::default();
    faults.text(body, "justification", 10, 2000);
    faults.list(body, "requested_scopes", 20, |item| (1..=64).contains(&item.len()));
    let is_slug = |item: &str| item.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    faults.list(body, "requested_game_scopes", 10, |item| (1..=32).contains(&item.len()) && is_slug(item));
    if let Some(answer) = faults.answer() {
        return answer;
    }
    let id = ids::uuid(&shared.random, shared.now());
    answer::json(StatusCode::ACCEPTED, &json!({"id": id, "status": "pending", "message": "The request was received."}))
}

/// A bare array; revoked clients are left out.
fn list(shared: &Shared, caller: &Caller) -> Answer {
    let mut clients: Vec<Value> = owned(shared, caller);
    clients.sort_by_key(|client| client["id"].as_str().map(str::to_owned));
    answer::json(StatusCode::OK, &clients.into())
}

fn owned(shared: &Shared, caller: &Caller) -> Vec<Value> {
    let clients = shared.world.clients.iter();
    let mine = clients.filter(|client| client.is_active() && client.owner.as_ref() == Some(&caller.user.name));
    mine.map(|client| client.json()).collect()
}

fn create(shared: &Shared, caller: &Caller, body: &Map<String, Value>) -> Answer {
    let mut faults = Faults::default();
    let name = faults.text(body, "application_name", 1, 255);
    let redirect_uris = faults.list(body, "redirect_uris", usize::MAX, is_redirect_uri);
    let allowed_scopes = faults.list(body, "allowed_scopes", SCOPES.len(), |item| SCOPES.contains(&item));
    for required in ["redirect_uris", "allowed_scopes"] {
        if !body.contains_key(required) {
            faults.add(required, "This field is required.");
        }
    }
    let public = match body.get("client_type").map(|kind| kind.as_str()) {
        None | Some(Some("confidential")) => false,
        Some(Some("public")) => true,
        Some(_) => {
            faults.add("client_type", "Must be confidential or public.");
            false
        }
    };
    let mut grant_types = faults.list(body, "grant_types", GRANT_TYPES.len(), |item| GRANT_TYPES.contains(&item));
    if !body.contains_key("grant_types") {
        grant_types = GRANT_TYPES.map(String::from).into();
    }
    let urls = Urls {
        application: faults.optional_text(body, "application_url"),
        logo: faults.optional_text(body, "application_logo_url"),
        privacy: faults.optional_text(body, "privacy_policy_url"),
        tos: faults.optional_text(body, "tos_url"),
    };
    // Held until the client is there, so that two creations at once do not pass the limit.
    let partner = caller.user.partner.lock();
    if owned(shared, caller).len() >= MAX_CLIENTS {
        faults.add("non_field_errors", "A partner may hold at most 10 clients.");
    }
    if let Some(answer) = faults.answer() {
        return answer;
    }
    let now = shared.now();
    let secret = (!public).then(|| ids::token(&shared.random, prefix::CLIENT_SECRET));
    let client = Client {
        client_id: format!("{}{}", prefix::CLIENT_ID, ids::ulid(&shared.random, now)),
        secret: secret.clone(),
        name,
        redirect_uris,
        allowed_scopes,
        grant_types,
        owner: Some(caller.user.name.clone()),
        dpop_bound_access_tokens: false,
    };
    let client = shared.add_client(client, urls);
    drop(partner);
    one_time(StatusCode::CREATED, &client.json(), secret.as_ref())
}

/// Client and secret; the only answer that shows the secret.
fn one_time(status: StatusCode, client: &Value, secret: Option<&Secret>) -> Answer {
    let rotated = client["secret_rotated_at"].clone();
    let plaintext = secret.map_or("", Secret::expose);
    let value = json!({"client": client, "plaintext_client_secret": plaintext, "secret_rotated_at": rotated});
    answer::json(status, &value).no_store()
}

fn rotate_secret(shared: &Shared, caller: &Caller, client_id: &str) -> Answer {
    let client = shared.world.client(client_id).filter(|client| client.is_active());
    let Some(client) = client.filter(|client| client.owner.as_ref() == Some(&caller.user.name)) else {
        return answer::not_found();
    };
    if client.is_public() {
        return answer::invalid(&json!({"client_type": ["A public client has no secret."]}));
    }
    let secret = client.rotate_secret(&shared.random, shared.now());
    one_time(StatusCode::OK, &client.json(), Some(&secret))
}

fn revoke(shared: &Shared, caller: &Caller, client_id: &str) -> Answer {
    let client = shared.world.client(client_id).filter(|client| client.is_active());
    match client.filter(|client| client.owner.as_ref() == Some(&caller.user.name)) {
        Some(client) => {
            shared.revoke_client(&client);
            answer::empty(StatusCode::NO_CONTENT)
        }
        None => answer::not_found(),
    }
}

/// The rules of section 5: https, or http on a loopback host; no wildcard, no fragment, no custom scheme; 1 to 512
/// characters.
fn is_redirect_uri(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip == std::net::Ipv4Addr::LOCALHOST,
        Some(Host::Ipv6(ip)) => ip == std::net::Ipv6Addr::LOCALHOST,
        None => false,
    };
    (1..=512).contains(&text.len())
        && !text.contains(['*', '#'])
        && (url.scheme() == "https" || (url.scheme() == "http" && loopback))
}

// === impl Faults ===

impl Faults {
    fn add(&mut self, field: &str, message: &str) {
        self.0.insert(field.to_owned(), json!([message]));
    }

    /// A required text of that many characters.
    fn text(&mut self, body: &Map<String, Value>, field: &str, min: usize, max: usize) -> String {
        match body.get(field).map(Value::as_str) {
            Some(Some(text)) if (min..=max).contains(&text.chars().count()) => return text.to_owned(),
            Some(_) => self.add(field, &format!("Must be a string of {min} to {max} characters.")),
            None => self.add(field, "This field is required."),
        }
        String::new()
    }

    /// A text of at most 512 characters, empty where it is left out.
    fn optional_text(&mut self, body: &Map<String, Value>, field: &str) -> String {
        if body.contains_key(field) { self.text(body, field, 0, 512) } else { String::new() }
    }

    /// A list of at most `max` valid texts, empty where it is left out.
    fn list(
        &mut self,
        body: &Map<String, Value>,
        field: &str,
        max: usize,
        valid: impl Fn(&str) -> bool,
    ) -> Vec<String> {
        let Some(value) = body.get(field) else { return Vec::new() };
        let items: Option<Vec<&str>> = value.as_array().and_then(|items| items.iter().map(Value::as_str).collect());
        match items {
            Some(items) if items.len() <= max && items.iter().all(|item| valid(item)) => {
                items.into_iter().map(str::to_owned).collect()
            }
            Some(_) | None => {
                self.add(field, "Must be a list of valid strings.");
                Vec::new()
            }
        }
    }

    fn answer(self) -> Option<Answer> {
        (!self.0.is_empty()).then(|| answer::invalid(&Value::Object(self.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::is_redirect_uri;

    #[test]
    fn redirect_uris_are_https_or_loopback() {
        for uri in ["https://a.example/cb?x=1", "http://localhost:1/cb", "http://127.0.0.1/cb", "http://[::1]:9/cb"] {
            assert!(is_redirect_uri(uri), "{uri}");
        }
        let long = format!("https://a.example/{}", "x".repeat(512));
        for uri in
            ["http://a.example/cb", "https://*.example/cb", "https://a.example/#x", "com.app://cb", "/cb", "", &long]
        {
            assert!(!is_redirect_uri(uri), "{uri}");
        }
    }
}
