//! The management endpoints over HTTP, one fresh connection per request.

use std::{fmt, sync::Arc};

use ::http::{
    Method, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};
use async_trait::async_trait;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::HeaderValue;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{ClientManagement, Issued, ManagementError, PatMetadata, Refused, WhyRefused, answer};
use crate::{
    flexslot::transport::{Answer, Unanswered, cannot_be_asked, read_answer, unanswered},
    model::{
        ClientDescription, Clock, NewClient, Origin, RedirectUri, Secret,
        oauth_client::{ClientUrl, ClientUrls},
    },
};

/// Where they lie under the upstream.
const CLIENTS: &str = "/api/public/v1/me/partner/oauth2-clients";
const PAT: &str = "/api/public/v1/me/access-tokens/";

/// What a client of ours uses.
const GRANT_TYPES: [&str; 2] = ["authorization_code", "refresh_token"];

/// Flexslot's management endpoints.
pub struct HttpClientManagement {
    http: reqwest::Client,
    origin: Origin,
    clock: Arc<dyn Clock>,
}

// === impl HttpClientManagement ===

impl HttpClientManagement {
    /// `http` is a client made by [`client_builder`](crate::flexslot::transport::client_builder).
    pub fn new(http: reqwest::Client, origin: Origin, clock: Arc<dyn Clock>) -> Self {
        Self { http, origin, clock }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        pat: &Secret,
        body: Option<&Value>,
    ) -> Result<Answer, ManagementError> {
        let url = self.origin.at(path);
        let bearer = Zeroizing::new(format!("Bearer {}", pat.expose()));
        let mut bearer = HeaderValue::try_from(bearer.as_str()).map_err(|_| {
            let what = "the personal access token has characters that cannot stand in a header";
            ManagementError::NotSent(what.into())
        })?;
        bearer.set_sensitive(true);
        let mut request =
            self.http.request(method, url.clone()).header(ACCEPT, "application/json").header(AUTHORIZATION, bearer);
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        let request = request.build().map_err(|_| cannot_be_asked(&url))?;
        let response = self.http.execute(request).await.map_err(|error| unanswered(&url, &error))?;
        Ok(read_answer(response).await?)
    }

    fn failed(&self, Answer { status, headers, body }: &Answer) -> ManagementError {
        answer::failure(*status, headers, body, self.clock.now())
    }
}

#[async_trait]
impl ClientManagement for HttpClientManagement {
    async fn list(&self, pat: &Secret) -> Result<Vec<ClientDescription>, ManagementError> {
        match self.ask(Method::GET, CLIENTS, pat, None).await? {
            answer if answer.status == StatusCode::OK => answer::list(&answer.body),
            answer => Err(self.failed(&answer)),
        }
    }

    async fn create(&self, pat: &Secret, new: &NewClient) -> Result<Issued, ManagementError> {
        match self.ask(Method::POST, CLIENTS, pat, Some(&body(new))).await? {
            // 201 is documented; whatever says that it was done brings the secret.
            answer if answer.status.is_success() => answer::issued(&answer.body),
            answer => Err(self.failed(&answer)),
        }
    }

    async fn rotate_secret(&self, pat: &Secret, client_id: &str) -> Result<Issued, ManagementError> {
        match self.ask(Method::POST, &format!("{}/rotate-secret", path_of(client_id)), pat, None).await? {
            answer if answer.status.is_success() => answer::issued(&answer.body),
            answer => Err(self.failed(&answer)),
        }
    }

    /// Neither method nor path is documented, so that two are tried, the likelier first.
    async fn revoke(&self, pat: &Secret, client_id: &str) -> Result<(), ManagementError> {
        let is_no_way = |status: StatusCode| matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED);
        let deleted = self.ask(Method::DELETE, &path_of(client_id), pat, None).await?;
        let last = match deleted.status {
            status if status.is_success() => return Ok(()),
            status if is_no_way(status) => {
                self.ask(Method::POST, &format!("{}/revoke", path_of(client_id)), pat, None).await?
            }
            _ => return Err(self.failed(&deleted)),
        };
        match last.status {
            status if status.is_success() => Ok(()),
            status if is_no_way(status) => {
                let (why, status) = (WhyRefused::NoRevocation, status.as_u16());
                Err(ManagementError::Refused(Refused { why, status, code: None }))
            }
            _ => Err(self.failed(&last)),
        }
    }

    async fn pat_metadata(&self, pat: &Secret) -> Result<PatMetadata, ManagementError> {
        match self.ask(Method::GET, PAT, pat, None).await? {
            answer if answer.status == StatusCode::OK => answer::pat(&answer.body),
            answer => Err(self.failed(&answer)),
        }
    }
}

/// A client's own path. Its id is data, and stays one segment whatever is in it.
fn path_of(client_id: &str) -> String {
    const ENCODED: &percent_encoding::AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');
    format!("{CLIENTS}/{}", utf8_percent_encode(client_id, ENCODED))
}

/// Every field of the documentation, none left to a default that nobody has written down.
fn body(new: &NewClient) -> Value {
    let NewClient { name, redirect_uris, scopes, client_type, urls } = new;
    let ClientUrls { application, logo, privacy_policy, tos } = urls;
    let url = |url: &Option<ClientUrl>| url.as_ref().map_or("", ClientUrl::as_str).to_owned();
    json!({
        "application_name": name.as_str(),
        "redirect_uris": redirect_uris.iter().map(RedirectUri::as_str).collect::<Vec<_>>(),
        "allowed_scopes": scopes,
        "client_type": client_type.as_str(),
        "grant_types": GRANT_TYPES,
        "application_url": url(application),
        "application_logo_url": url(logo),
        "privacy_policy_url": url(privacy_policy),
        "tos_url": url(tos),
    })
}

impl From<Unanswered> for ManagementError {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::NotSent(what) => Self::NotSent(what),
            Unanswered::Unknown(what) => Self::Unknown(what),
        }
    }
}

impl fmt::Debug for HttpClientManagement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClientManagement").field("origin", &self.origin).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{body, path_of};
    use crate::model::{
        NewClient,
        oauth_client::{ClientType, ClientUrls, ClientWish},
    };

    #[test]
    fn a_clients_id_stays_one_segment() {
        assert_eq!(path_of("flx_client_01"), "/api/public/v1/me/partner/oauth2-clients/flx_client_01");
        assert!(path_of("a/../b?c#d%2f e").ends_with("/a%2F%2E%2E%2Fb%3Fc%23d%252f%20e"));
    }

    #[test]
    fn the_body_of_a_creation_has_every_documented_field() {
        let new = NewClient::check(ClientWish {
            name: "App".into(),
            redirect_uris: vec!["https://a.example/cb".into()],
            scopes: vec!["decks:read".into()],
            client_type: ClientType::Public,
            urls: ClientUrls { tos: Some("https://a.example/tos".into()), ..ClientUrls::default() },
        })
        .unwrap();
        assert_eq!(
            body(&new),
            serde_json::json!({
                "application_name": "App", "redirect_uris": ["https://a.example/cb"], "allowed_scopes": ["decks:read"],
                "client_type": "public", "grant_types": ["authorization_code", "refresh_token"],
                "application_url": "", "application_logo_url": "", "privacy_policy_url": "",
                "tos_url": "https://a.example/tos",
            })
        );
    }
}
