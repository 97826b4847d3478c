//! Requests in the name of a client, whose secret may be replaced meanwhile.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use form_urlencoded::byte_serialize;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use reqwest::header::HeaderValue;
use tokio::time::{Instant, timeout_at};
use url::Url;
use zeroize::Zeroizing;

use super::{HttpAuthorizationServer, tokens::ProofInput};
use crate::{
    flexslot::{
        TokenError, answer,
        dpop::{DPOP, Proof},
        transport::{Answer, Unanswered, cannot_be_asked, read_answer, unanswered},
    },
    model::{
        Secret,
        failpoint::{Step, reach},
        trace::operations::{Asked, note},
    },
};

/// How often the store is looked at for a secret that Flexslot takes.
const MOST_LOOKS: usize = 3;

// === impl HttpAuthorizationServer ===

impl HttpAuthorizationServer {
    /// Posts `form` in the name of `client_id`, with a proof where it is to be bound, and reads the answer to its
    /// end. Answers which proof that was for.
    ///
    /// A secret that Flexslot refuses (`invalid_client`) may have been replaced a moment ago: then the same form goes out
    /// with another one, and a proof of its own, where there is one. That presents no token twice, because a server
    /// authenticates the client before it looks at the grant (RFC 6749 sections 3.2.1 and 6), and spends nothing of a
    /// client that it does not know. The store is looked at again only where the last look has brought a secret. A secret
    /// that is on its way is waited for until it is `late`; then nothing was presented that counts.
    pub(super) async fn post(
        &self,
        url: &Url,
        client_id: &str,
        form: &[(&str, &str)],
        input: Option<ProofInput<'_>>,
        late: Instant,
    ) -> Result<(Answer, Option<Proof>), TokenError> {
        let mut refused = None;
        let (mut tried, mut looks, mut may_look) = (Vec::new(), 0, true);
        loop {
            if let Some(secret) = self.clients.secrets(client_id).into_iter().find(|secret| !tried.contains(secret)) {
                let proof = input.as_ref().map(|input| self.proof(input));
                let answer = self.send(url, (client_id, secret.as_ref()), form, proof.as_ref()).await?;
                if !answer::is_invalid_client(answer.status, &answer.body) {
                    secret.iter().for_each(|secret| self.clients.stored.took(client_id, secret));
                    return Ok((answer, proof));
                }
                tried.push(secret);
                refused = Some((answer, proof));
                // What the last look brought may have been replaced since.
                may_look = looks < MOST_LOOKS;
            } else if may_look {
                (may_look, looks) = (false, looks + 1);
                self.clients.stored.load().await;
                // Whoever replaces it may not have got it into the store yet.
                let settled = timeout_at(late, self.clients.stored.settled(client_id)).await;
                let what = "the secret of its OAuth client is being replaced";
                settled.map_err(|_| TokenError::NotSent(what.into()))?;
            } else {
                return refused.ok_or_else(|| unknown_client(client_id));
            }
        }
    }

    async fn send(
        &self,
        url: &Url,
        (client_id, secret): (&str, Option<&Secret>),
        form: &[(&str, &str)],
        proof: Option<&Proof>,
    ) -> Result<Answer, TokenError> {
        let mut request = self.http.post(url.clone()).header(ACCEPT, "application/json");
        if let Some(proof) = proof {
            request = request.header(DPOP, proof.value());
        }
        if let Some(secret) = secret {
            request = request.header(AUTHORIZATION, basic(client_id, secret)?);
        }
        let request = request
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body(client_id, secret, form).into_bytes())
            .build()
            .map_err(|_| cannot_be_asked(url))?;
        let began = Instant::now();
        let answered = self.execute(url, request).await;
        note(began, || Asked::OAuthServer(url.clone(), answered.as_ref().ok().map(|answer| answer.status)));
        Ok(answered?)
    }

    async fn execute(&self, url: &Url, request: reqwest::Request) -> Result<Answer, Unanswered> {
        let response = self.http.execute(request).await.map_err(|error| unanswered(url, &error))?;
        reach(Step::AnswerBegun);
        read_answer(response).await
    }
}

fn unknown_client(client_id: &str) -> TokenError {
    TokenError::Misconfigured(format!(
        "the grant's OAuth client {client_id} is neither in the configuration nor in the store; name it in \
         [[oauth.clients]], or connect the tenant again"
    ))
}

/// The body of a request, which may hold a refresh token or a code. A public client names itself in it; a confidential one
/// does so in its header.
pub(super) fn body(client_id: &str, secret: Option<&Secret>, form: &[(&str, &str)]) -> Secret {
    let own = secret.is_none().then_some(("client_id", client_id));
    let pairs = || form.iter().copied().chain(own);
    // Three bytes for one at most, `=` and `&`: a text that grew would leave shorter ones behind.
    let most = pairs().map(|(name, value)| 3 * (name.len() + value.len()) + 2).sum();
    let mut body = form_urlencoded::Serializer::new(String::with_capacity(most));
    body.extend_pairs(pairs());
    Secret::new(body.finish())
}

/// Client authentication by HTTP Basic; both parts are form-encoded first (RFC 6749 section 2.3.1).
pub(super) fn basic(client_id: &str, secret: &Secret) -> Result<HeaderValue, TokenError> {
    let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let pair = Zeroizing::new(format!("{}:{}", encode(client_id), encode(secret.expose())));
    let mut text = String::with_capacity("Basic ".len() + pair.len().div_ceil(3) * 4);
    text.push_str("Basic ");
    BASE64_STANDARD.encode_string(pair.as_bytes(), &mut text);
    let mut value = HeaderValue::from_maybe_shared(Secret::new(text).into_bytes())
        .map_err(|_| TokenError::Misconfigured("oauth.client_secret cannot stand in a header; check it".into()))?;
    value.set_sensitive(true);
    Ok(value)
}
