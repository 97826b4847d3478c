//! Reads what the management endpoints answer. Pure, so that it can be fuzzed. Tolerant: the samples of Flexslot's documentation leave out fields that
//! its schema requires, and a field that nobody knows is none of ours.

use ::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::{Issued, ManagementError, PatMetadata, Refused, WhyRefused};
use crate::{
    flexslot::answer::retry_after,
    model::{ClientDescription, ClientStatus, ClientType, Secret, Timestamp},
};

/// How Flexslot's error codes begin; the envelope around them is not documented.
const CODE: &str = "FLEXSLOT_";

/// The longest code that is repeated.
const LONGEST_CODE: usize = 64;

/// A client object. Fields of a wrong type read as absent, except what it cannot do without.
#[derive(Deserialize)]
struct Client {
    client_id: String,
    #[serde(default)]
    application_name: Value,
    #[serde(default)]
    client_type: Value,
    #[serde(default)]
    status: Value,
    #[serde(default)]
    redirect_uris: Value,
    #[serde(default)]
    allowed_scopes: Value,
    #[serde(default)]
    dpop_bound_access_tokens: Value,
    #[serde(default)]
    created_at: Value,
    #[serde(default)]
    last_used_at: Value,
    #[serde(default)]
    secret_rotated_at: Value,
}

/// The answer that shows a secret.
#[derive(Deserialize)]
struct OneTime {
    client: Client,
    plaintext_client_secret: String,
    #[serde(default)]
    secret_rotated_at: Value,
}

#[derive(Deserialize)]
struct Pat {
    #[serde(default)]
    name: Value,
    #[serde(default)]
    scopes: Value,
    #[serde(default)]
    expires_at: Value,
    #[serde(default)]
    revoked_at: Value,
}

/// A list of clients: a bare array.
pub fn list(body: &[u8]) -> Result<Vec<ClientDescription>, ManagementError> {
    let clients: Vec<Client> = serde_json::from_slice(body)
        .map_err(|_| ManagementError::Unknown("a 200 that is no list of clients".into()))?;
    Ok(clients.into_iter().map(Client::described).collect())
}

/// A client with its secret.
pub fn issued(body: &[u8]) -> Result<Issued, ManagementError> {
    // The parser's own message could repeat the secret.
    let OneTime { client, plaintext_client_secret, secret_rotated_at } = serde_json::from_slice(body)
        .map_err(|_| ManagementError::Unknown("an answer that is no client with its secret".into()))?;
    let secret = Secret::new(plaintext_client_secret);
    let mut client = client.described();
    client.secret_rotated_at = time(&secret_rotated_at).or(client.secret_rotated_at);
    if !secret.is_empty() && !secret.is_header_safe() {
        return Err(ManagementError::Unknown("an answer whose secret no header can carry".into()));
    }
    let secret = Some(secret).filter(|secret| !secret.is_empty());
    // A secret tells what the samples leave out.
    let told = if secret.is_some() { ClientType::Confidential } else { ClientType::Public };
    if client.client_type == Some(ClientType::Confidential) && secret.is_none() {
        return Err(ManagementError::Unknown("an answer without the secret that it is for".into()));
    }
    client.client_type.get_or_insert(told);
    Ok(Issued { client, secret })
}

/// The metadata of a PAT.
pub fn pat(body: &[u8]) -> Result<PatMetadata, ManagementError> {
    let pat: Pat = serde_json::from_slice(body)
        .map_err(|_| ManagementError::Unknown("a 200 that is no metadata of a token".into()))?;
    Ok(PatMetadata {
        name: pat.name.as_str().map(str::to_owned),
        scopes: texts(&pat.scopes),
        expires_at: time(&pat.expires_at),
        revoked_at: time(&pat.revoked_at),
    })
}

/// What any other answer means. `now` is for a `Retry-After` that names a date.
pub fn failure(status: StatusCode, headers: &HeaderMap, body: &[u8], now: Timestamp) -> ManagementError {
    let code = code(body);
    let why = match status.as_u16() {
        401 => WhyRefused::Pat,
        403 => WhyRefused::NotAllowed,
        404 => WhyRefused::NotFound,
        400 | 409 | 422 => WhyRefused::Invalid,
        429 => WhyRefused::Busy { retry_after: retry_after(headers, now) },
        300..=499 => WhyRefused::Other,
        number => {
            return ManagementError::Unknown(match code {
                Some(code) => format!("the answer was {number} {code}"),
                None => format!("the answer was {number}"),
            });
        }
    };
    ManagementError::Refused(Refused { why, status: status.as_u16(), code })
}

/// Wherever in the body it stands.
fn code(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let rest = &text[text.find(CODE)?..];
    let is_of_code = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let code: String = rest.chars().take_while(|c| is_of_code(*c)).take(LONGEST_CODE).collect();
    (code.len() > CODE.len()).then_some(code)
}

// === impl Client ===

impl Client {
    fn described(self) -> ClientDescription {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        ClientDescription {
            name: text(&self.application_name).unwrap_or_default(),
            client_type: self.client_type.as_str().and_then(ClientType::from_name),
            // A list has no revoked ones, and who is created is active.
            status: self.status.as_str().and_then(ClientStatus::from_name).unwrap_or(ClientStatus::Active),
            redirect_uris: texts(&self.redirect_uris),
            scopes: texts(&self.allowed_scopes),
            dpop_bound_access_tokens: self.dpop_bound_access_tokens.as_bool().unwrap_or(false),
            created_at: time(&self.created_at),
            last_used_at: time(&self.last_used_at),
            secret_rotated_at: time(&self.secret_rotated_at),
            client_id: self.client_id,
        }
    }
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// RFC 3339.
fn time(value: &Value) -> Option<Timestamp> {
    let at: jiff::Timestamp = value.as_str()?.parse().ok()?;
    Some(Timestamp::from_millis(at.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The sample of "Create a new OAuth2 client", which has neither type nor status.
    const CREATED: &str = r#"{
        "client": {
            "id": "3c90c3cc-0d44-4b50-8888-8dd25736052a", "client_id": "flx_client_01HX2K",
            "application_name": "My Integration", "application_url": "", "redirect_uris": ["https://a.example/cb"],
            "allowed_scopes": ["decks:read"], "grant_types": ["authorization_code"], "require_pkce": true,
            "dpop_bound_access_tokens": true, "secret_rotated_at": null, "last_used_at": null,
            "created_at": "2023-11-07T05:31:56Z", "updated_at": "2023-11-07T05:31:56Z"
        },
        "plaintext_client_secret": "flx_cs_canary", "secret_rotated_at": "2026-06-02T18:00:00Z"
    }"#;

    #[test]
    fn the_samples_of_the_documentation_are_read() {
        let Issued { client, secret } = issued(CREATED.as_bytes()).unwrap();
        assert_eq!(secret, Some(Secret::new("flx_cs_canary")));
        assert_eq!((client.client_type, client.status), (Some(ClientType::Confidential), ClientStatus::Active));
        assert!(client.dpop_bound_access_tokens);
        assert_eq!(client.secret_rotated_at.unwrap().to_string(), "2026-06-02T18:00:00Z");
        let clients = list(br#"[{"client_id": "c", "status": "suspended", "client_type": "public", "x": 1}]"#).unwrap();
        assert_eq!((clients[0].client_type, clients[0].status), (Some(ClientType::Public), ClientStatus::Suspended));
        assert_eq!(list(b"[]"), Ok(vec![]));
    }

    #[test]
    fn a_public_client_has_no_secret() {
        let public = CREATED.replace("flx_cs_canary", "");
        let Issued { client, secret } = issued(public.as_bytes()).unwrap();
        assert_eq!((client.client_type, secret), (Some(ClientType::Public), None));
    }

    #[test]
    fn an_answer_without_what_it_is_for_is_of_unknown_outcome() {
        let without = CREATED.replace("\"flx_cs_canary\"", "null");
        let spaced = CREATED.replace("flx_cs_canary", "flx cs canary");
        let typed =
            CREATED.replace("flx_cs_canary", "").replace("\"id\":", "\"client_type\": \"confidential\", \"id\":");
        for body in ["", "[]", "{}", &without, &spaced, &typed] {
            let error = issued(body.as_bytes()).unwrap_err();
            assert!(matches!(error, ManagementError::Unknown(_)), "{body}");
            assert!(!error.to_string().contains("canary"), "{error}");
        }
        assert!(matches!(list(br#"{"results": []}"#), Err(ManagementError::Unknown(_))));
    }

    #[test]
    fn a_no_is_told_by_its_status_and_shows_flexslots_code_at_most() {
        let read = |status: u16, body: &str| {
            let status = StatusCode::from_u16(status).unwrap();
            failure(status, &HeaderMap::new(), body.as_bytes(), Timestamp::from_secs(0))
        };
        for (status, why) in [
            (401, WhyRefused::Pat),
            (403, WhyRefused::NotAllowed),
            (404, WhyRefused::NotFound),
            (400, WhyRefused::Invalid),
            (409, WhyRefused::Invalid),
            (422, WhyRefused::Invalid),
            (429, WhyRefused::Busy { retry_after: None }),
            (302, WhyRefused::Other),
            (405, WhyRefused::Other),
        ] {
            assert_eq!(read(status, ""), ManagementError::Refused(Refused { why, status, code: None }), "{status}");
        }
        assert!(matches!(read(500, ""), ManagementError::Unknown(_)));
        let error = read(422, r#"{"error": {"code": "FLEXSLOT_LIMIT_REACHED", "message": "canary"}}"#);
        assert_eq!(error.to_string(), "Flexslot does not take this (422 FLEXSLOT_LIMIT_REACHED)");
        let mut headers = HeaderMap::new();
        headers.insert(::http::header::RETRY_AFTER, "7".parse().unwrap());
        let busy = failure(StatusCode::TOO_MANY_REQUESTS, &headers, b"", Timestamp::from_secs(0));
        let retry_after = Some(Duration::from_secs(7));
        assert!(
            matches!(busy, ManagementError::Refused(Refused { why: WhyRefused::Busy { retry_after: asked }, .. }) if asked == retry_after)
        );
    }

    #[test]
    fn metadata_of_a_pat_is_read() {
        let metadata =
            pat(br#"{"name": "CI", "scopes": ["decks:read"], "expires_at": null, "revoked_at": 3}"#).unwrap();
        assert_eq!((metadata.name.as_deref(), metadata.expires_at, metadata.revoked_at), (Some("CI"), None, None));
        assert_eq!(metadata.scopes, ["decks:read"]);
    }
}
