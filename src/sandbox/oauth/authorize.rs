//! `GET /oauth/authorize` (RFC 6749 section 4.1, RFC 7636, RFC 9207).

use std::{net::IpAddr, sync::Arc};

use http::{Method, StatusCode};
use url::{Host, Url};

use super::{
    consent::{self, Pending},
    html::document,
    scopes,
};
use crate::{
    model::ScopeSet,
    sandbox::{
        Consent, LoopbackPorts, Shared,
        answer::{self, Answer, AnswerExt},
        call::Call,
        params::{self, Params},
        world::Registered,
    },
};

/// Where the browser goes back to, once client and redirect URI are known to belong together.
struct Return<'a> {
    shared: &'a Shared,
    redirect_uri: &'a str,
    state: Option<&'a str>,
}

pub(in crate::sandbox) async fn authorize(shared: &Shared, call: &mut Call) -> Answer {
    match call.method {
        Method::GET => get(shared, call),
        Method::POST => consent::decide(shared, call).await,
        _ => answer::method_not_allowed("GET, POST"),
    }
}

/// The redirect with an error of a fault's choice, or the 400 page where there is nowhere to go.
pub(in crate::sandbox) fn authorize_error(shared: &Shared, call: &Call, error: &str) -> Answer {
    let params = Params::parse(&call.query).unwrap_or_default();
    match known(shared, &params) {
        Ok((_, redirect_uri)) => {
            Return { shared, redirect_uri, state: params.get("state") }.error(error, "A fault set for this test.")
        }
        Err(page) => page,
    }
}

fn get(shared: &Shared, call: &Call) -> Answer {
    let Ok(params) = Params::parse(&call.query) else { return page("The query is badly encoded.") };
    let (client, redirect_uri) = match known(shared, &params) {
        Ok(known) => known,
        Err(page) => return page,
    };
    let state = params.get("state").filter(|_| !params.is_repeated("state"));
    let back = Return { shared, redirect_uri, state };
    let pending = match request(shared, &params, &client, &back) {
        Ok(pending) => pending,
        Err(redirect) => return redirect,
    };
    let consent = *shared.consent.read();
    match consent {
        Consent::Page => consent::page(shared, pending),
        Consent::Automatic => match shared.world.signed_in.read().as_deref().and_then(|name| shared.world.user(name)) {
            Some(user) => consent::allow(shared, &pending, &user, StatusCode::FOUND),
            None => back.error("server_error", "Nobody is signed in: add a user first."),
        },
    }
}

/// Client and redirect URI; where they do not belong together there must be no redirect.
fn known<'a>(shared: &Shared, params: &'a Params) -> Result<(Arc<Registered>, &'a str), Answer> {
    let unique = |name| params.get(name).filter(|_| !params.is_repeated(name));
    let client = unique("client_id").and_then(|id| shared.world.client(id)).filter(|client| client.is_active());
    let client = client.ok_or_else(|| page("This application is not known."))?;
    let ports = shared.settings.loopback_ports;
    match unique("redirect_uri").filter(|uri| client.redirect_uris.iter().any(|known| same_uri(known, uri, ports))) {
        Some(redirect_uri) => Ok((client, redirect_uri)),
        None => Err(page("The redirect URI is not registered for this application.")),
    }
}

fn request(shared: &Shared, params: &Params, client: &Arc<Registered>, back: &Return<'_>) -> Result<Pending, Answer> {
    let invalid = |description: &str| back.error("invalid_request", description);
    let required = |name: &str| params.get(name).ok_or_else(|| invalid(&format!("The parameter {name} is missing.")));
    if let Some(name) = params.repeated() {
        return Err(invalid(&format!("The parameter {name} is there twice.")));
    }
    if required("response_type")? != "code" {
        return Err(back.error("unsupported_response_type", "Only code is supported."));
    }
    if !client.may_use("authorization_code") {
        return Err(back.error("unauthorized_client", "The application may not use this flow."));
    }
    let state = required("state")?;
    let challenge = required("code_challenge")?;
    if challenge.len() != 43 || !challenge.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)) {
        return Err(invalid("code_challenge is not the base64url of a SHA-256."));
    }
    if required("code_challenge_method")? != "S256" {
        return Err(invalid("code_challenge_method must be S256."));
    }
    let allowed = |scope: &&str| client.allowed_scopes.iter().any(|allowed| allowed == scope);
    let scopes = scopes::requested(required("scope")?).filter(|scopes| scopes.iter().all(allowed));
    let scopes =
        scopes.ok_or_else(|| back.error("invalid_scope", "A scope is unknown or not allowed for the application."))?;
    Ok(Pending {
        client: Arc::clone(client),
        redirect_uri: back.redirect_uri.to_owned(),
        state: state.to_owned(),
        challenge: challenge.to_owned(),
        scope: ScopeSet::new(&scopes.join(" ")),
        expires: shared.now().plus(consent::LIFE),
    })
}

/// Byte for byte; with the switch on, `127.0.0.1` and `[::1]` on any port (RFC 8252 section 7.3).
fn same_uri(registered: &str, asked: &str, ports: LoopbackPorts) -> bool {
    let portless = |uri: &str| {
        let mut url = Url::parse(uri).ok().filter(|url| url.scheme() == "http")?;
        let ip = match url.host()? {
            Host::Ipv4(ip) => IpAddr::V4(ip),
            Host::Ipv6(ip) => IpAddr::V6(ip),
            Host::Domain(_) => return None,
        };
        url.set_port(None).ok()?;
        ip.is_loopback().then_some(url)
    };
    registered == asked
        || (ports == LoopbackPorts::Flexible && portless(registered).is_some_and(|url| Some(url) == portless(asked)))
}

/// The error page of section 5: never a redirect.
pub(super) fn page(message: &str) -> Answer {
    let main = format!("<h1>Cannot continue</h1>\n<p>{message}</p>\n");
    answer::html(StatusCode::BAD_REQUEST, document("Cannot continue", &main)).note(message)
}

/// `uri` with these parameters added to its query.
pub(super) fn location(uri: &str, params: &[(&str, &str)]) -> String {
    let query: Vec<String> = params.iter().map(|(name, value)| format!("{name}={}", params::encode(value))).collect();
    format!("{uri}{}{}", if uri.contains('?') { '&' } else { '?' }, query.join("&"))
}

// === impl Return ===

impl Return<'_> {
    fn error(&self, error: &str, description: &str) -> Answer {
        let mut params = vec![("error", error), ("error_description", description)];
        params.extend(self.state.map(|state| ("state", state)));
        params.push(("iss", self.shared.origin()));
        answer::redirect(StatusCode::FOUND, &location(self.redirect_uri, &params)).no_store().note(error)
    }
}

#[cfg(test)]
mod tests {
    use super::{location, same_uri};
    use crate::sandbox::LoopbackPorts::{Exact, Flexible};

    #[test]
    fn redirect_uris_match_byte_for_byte() {
        let registered = "https://app.example.com/cb";
        assert!(same_uri(registered, registered, Exact));
        for other in [
            "https://app.example.com/cb/",
            "https://app.example.com/cb?",
            "https://APP.example.com/cb",
            "http://app.example.com/cb",
        ] {
            assert!(!same_uri(registered, other, Exact) && !same_uri(registered, other, Flexible), "{other}");
        }
    }

    #[test]
    fn loopback_addresses_match_on_any_port_only_with_the_switch() {
        for (registered, asked) in
            [("http://127.0.0.1:1/cb", "http://127.0.0.1:2/cb"), ("http://[::1]/cb", "http://[::1]:2/cb")]
        {
            assert!(same_uri(registered, asked, Flexible) && !same_uri(registered, asked, Exact));
        }
        assert!(!same_uri("http://localhost:1/cb", "http://localhost:2/cb", Flexible));
        assert!(!same_uri("http://127.0.0.1:1/cb", "http://127.0.0.1:2/other", Flexible));
    }

    #[test]
    fn parameters_are_added_to_a_query_that_is_there() {
        assert_eq!(location("http://a/cb?x=1", &[("code", "a b")]), "http://a/cb?x=1&code=a+b");
        assert_eq!(location("http://a/cb", &[("iss", "http://b")]), "http://a/cb?iss=http%3A%2F%2Fb");
    }
}
