//! Writes every answer that the sidecar makes itself: problem+json (RFC 9457) with `Proxy-Status` (RFC 9209), and the
//! bare ones.

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, PROXY_AUTHENTICATE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use http_body_util::Full;
use serde::Serialize;

use super::connections_page::ConnectionsPage;
use crate::model::{Action, Peer, Problem, RequestId, request_id};

/// On every response.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("flexslot-proxy-request-id");

/// Which credential was attached, on the answer to every request for which one was.
pub const CREDENTIAL: HeaderName = HeaderName::from_static("flexslot-proxy-credential");

/// RFC 9209.
pub const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"flexslot-proxy\"");

/// The members of RFC 9457 section 3.1, and ours.
#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    request_id: String,
    action: &'a str,
    /// For the codes that ask for a connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    connections_url: Option<String>,
}

/// The answer to a failure of ours, for who has sent the request with this id. One that asks for a connection names the
/// tenant's place on the `page`.
pub fn problem(
    problem: &Problem,
    (id, peer): (RequestId, Peer),
    page: Option<&ConnectionsPage>,
) -> Response<Full<Bytes>> {
    let page = page.filter(|_| problem.action == Action::Reconnect);
    let document = Document {
        r#type: format!("urn:flexslot-proxy:problem:{}", problem.code),
        title: problem.title,
        status: problem.status.as_u16(),
        detail: problem.detail_for(peer),
        code: problem.code,
        tenant: problem.tenant.as_ref().map(|tenant| tenant.as_str()),
        request_id: id.to_string(),
        action: problem.action.as_str(),
        connections_url: page.map(|page| page.url_of(problem.tenant.as_ref())),
    };
    // A struct of strings and a number has no way to fail.
    let body = serde_json::to_vec(&document).unwrap_or_default();
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = problem.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let status = format!("flexslot-proxy; error={}; details=\"{}\"", problem.cause.as_str(), problem.code);
    if let Ok(status) = HeaderValue::try_from(status) {
        headers.insert(PROXY_STATUS, status);
    }
    if let Some(wait) = problem.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs_f64().ceil().max(1.0) as u64));
    }
    match problem.status {
        StatusCode::UNAUTHORIZED => drop(headers.insert(WWW_AUTHENTICATE, CHALLENGE)),
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => drop(headers.insert(PROXY_AUTHENTICATE, CHALLENGE)),
        _ => {}
    }
    response
}

/// The id as a header's value.
pub fn id_header(id: RequestId) -> HeaderValue {
    // Hexadecimal digits and a dash are always fit.
    let mut room = [0; request_id::LONGEST];
    HeaderValue::from_str(id.written(&mut room)).unwrap_or(HeaderValue::from_static(""))
}

/// An answer without anything in it, after which the connection is closed: to what could not be parsed, and to what
/// came too late.
pub fn bare(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

#[cfg(test)]
mod tests {
    use super::problem;
    use crate::{
        model::{Peer, RequestId, TenantId},
        proxy::error::Code,
        server::connections_page::ConnectionsPage,
    };
    use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
    use http_body_util::BodyExt;
    use std::time::Duration;

    const HERE: Peer = Peer::Unix { uid: 0 };

    #[tokio::test]
    async fn a_problem_says_everything_that_is_promised() {
        let tenant: TenantId = "acme".parse().unwrap();
        let page = ConnectionsPage::at("127.0.0.1:3540".parse().unwrap());
        let response = problem(&Code::NotConnected.problem("d").of(&tenant), (RequestId::new(7, 1), HERE), Some(&page));
        assert_eq!(response.status(), 401);
        assert_eq!(response.headers()[WWW_AUTHENTICATE], "Bearer realm=\"flexslot-proxy\"");
        assert_eq!(
            response.headers()["proxy-status"],
            "flexslot-proxy; error=http_request_denied; details=\"not_connected\""
        );
        let body: serde_json::Value =
            serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap();
        assert_eq!(
            body,
            serde_json::json!({
                "type": "urn:flexslot-proxy:problem:not_connected", "title": "Not connected to Flexslot", "status": 401, "detail": "d",
                "code": "not_connected", "tenant": "acme", "request_id": "00000007-1", "action": "reconnect",
                "connections_url": "http://127.0.0.1:3540/?q=acme",
            })
        );
    }

    #[tokio::test]
    async fn who_calls_from_another_host_learns_no_address_of_this_side() {
        let told = Code::StoreUnavailable.problem("Redis at 192.0.2.7:6379: timed out.").from_afar("It cannot be had.");
        let tcp = |theirs: &str| Peer::Tcp { ours: "192.0.2.1:3539".parse().unwrap(), theirs: theirs.parse().unwrap() };
        for (peer, is_here) in [
            (HERE, true),
            (tcp("127.0.0.1:1"), true),
            (tcp("[::1]:1"), true),
            (tcp("[::ffff:127.0.0.1]:1"), true),
            (tcp("192.0.2.1:1"), false),
            (tcp("[2001:db8::1]:1"), false),
        ] {
            let body =
                problem(&told, (RequestId::new(7, 1), peer), None).into_body().collect().await.unwrap().to_bytes();
            let text = String::from_utf8_lossy(&body);
            assert_eq!(
                (text.contains("192.0.2.7"), text.contains("It cannot be had")),
                (is_here, !is_here),
                "{peer:?}"
            );
        }
    }

    #[tokio::test]
    async fn only_who_has_to_connect_is_sent_to_the_page() {
        let page = ConnectionsPage::at("127.0.0.1:3540".parse().unwrap());
        for code in Code::ALL {
            let response = problem(&code.problem("d"), (RequestId::new(7, 1), HERE), Some(&page));
            let body = response.into_body().collect().await.unwrap().to_bytes();
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let connects = matches!(code, Code::NotConnected | Code::ReconnectRequired);
            assert_eq!(body.get("connections_url").is_some(), connects, "{code:?}");
        }
    }

    #[test]
    fn a_wait_is_rounded_up_to_whole_seconds() {
        let response = problem(
            &Code::TenantBusy.problem("d").retry_after(Duration::from_millis(1200)),
            (RequestId::new(7, 1), HERE),
            None,
        );
        assert_eq!(response.headers()[RETRY_AFTER], "2");
    }
}
