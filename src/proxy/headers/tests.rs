use super::{LookalikeHeader, inbound, inbound_trailers, outbound, outbound_trailers};
use http::{HeaderMap, HeaderName, HeaderValue, Version, header};
use proptest::prelude::*;

const TENANT: HeaderName = HeaderName::from_static("x-flexslot-tenant");

fn map(lines: &[(&str, &str)]) -> HeaderMap {
    lines
        .iter()
        .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
        .collect()
}

fn lines(map: &HeaderMap) -> Vec<(&str, &str)> {
    map.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect()
}

fn sent(received: &[(&str, &str)]) -> HeaderMap {
    let mut headers = outbound(map(received), &TENANT, Version::HTTP_11).unwrap();
    headers.remove(header::VIA).expect("every request gets a Via");
    headers
}

fn delivered(received: &[(&str, &str)]) -> HeaderMap {
    let mut headers = inbound(map(received), Version::HTTP_11);
    headers.remove(header::VIA).expect("every response gets a Via");
    headers
}

#[test]
fn requests_lose_exactly_what_is_promised() {
    for name in [
        "X-Flexslot-Tenant",
        "Authorization",
        "Proxy-Authorization",
        "DPoP",
        "Cookie",
        "Forwarded",
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-",
        "X-Real-IP",
        "X-HTTP-Method-Override",
        "X-HTTP-Method",
        "X-Method-Override",
        "X-Original-URL",
        "X-Rewrite-URL",
        "Origin",
        "Referer",
        "Sec-Fetch-Site",
        "Sec-CH-UA",
        "Connection",
        "Keep-Alive",
        "Proxy-Connection",
        "TE",
        "Transfer-Encoding",
        "Upgrade",
        "Host",
    ] {
        assert_eq!(lines(&sent(&[(name, "x"), ("accept", "a")])), [("accept", "a")], "{name}");
    }
    for name in [
        "Content-Length",
        "Content-Type",
        "Traceparent",
        "Tracestate",
        "Expect",
        "Range",
        "If-None-Match",
        "Accept-Encoding",
        "Trailer",
        "User-Agent",
        "X-Signature",
        "X-Forwarded",
        "X-Request-Id",
        "Security",
        "DPoP-Nonce",
        "Set-Cookie",
    ] {
        assert_eq!(sent(&[(name, "x")]).len(), 1, "{name}");
    }
}

#[test]
fn responses_lose_exactly_what_is_promised() {
    for name in [
        "Connection",
        "Keep-Alive",
        "Proxy-Connection",
        "TE",
        "Transfer-Encoding",
        "Upgrade",
        "Proxy-Authenticate",
        "Set-Cookie",
        "Alt-Svc",
        "Strict-Transport-Security",
        "Clear-Site-Data",
        "Access-Control-Allow-Origin",
        "Access-Control-Max-Age",
        "DPoP-Nonce",
        "Authorization",
        "NEL",
        "Report-To",
        "Reporting-Endpoints",
        "Content-Security-Policy-Report-Only",
    ] {
        assert_eq!(lines(&delivered(&[(name, "x"), ("etag", "a")])), [("etag", "a")], "{name}");
    }
    for name in [
        "Content-Length",
        "WWW-Authenticate",
        "Location",
        "Retry-After",
        "X-RateLimit-Limit",
        "Trailer",
        "Date",
        "Server",
        "Content-Security-Policy",
    ] {
        assert_eq!(delivered(&[(name, "x")]).len(), 1, "{name}");
    }
}

#[test]
fn an_underscore_for_a_dash_gets_nothing_past_the_lists() {
    for name in [
        "X_HTTP_Method_Override",
        "X_Forwarded_For",
        "x-forwarded_host",
        "X_Real_IP",
        "X_Original-URL",
        "Sec_Fetch_Site",
        "Transfer_Encoding",
        "Content_Length",
        "Proxy_Authorization",
        "Keep_Alive",
    ] {
        assert_eq!(lines(&sent(&[(name, "x"), ("x_custom", "a")])), [("x_custom", "a")], "{name}");
        assert!(outbound_trailers(map(&[(name, "x")]), &TENANT).is_empty(), "{name} after the body");
    }
    for name in [
        "Set_Cookie",
        "Alt_Svc",
        "Strict_Transport-Security",
        "Access_Control_Allow_Origin",
        "Transfer_Encoding",
        "Content_Length",
    ] {
        assert_eq!(lines(&delivered(&[(name, "x"), ("x_custom", "a")])), [("x_custom", "a")], "{name}");
        assert!(inbound_trailers(map(&[(name, "x")])).is_empty(), "{name} after the body");
    }
    assert!(outbound_trailers(map(&[("Content_Length", "1")]), &TENANT).is_empty());
}

#[test]
fn every_connection_line_is_honoured() {
    let received = [
        ("connection", "close, X-One"),
        ("x-one", "1"),
        ("connection", "x-TWO ,, keep-alive"),
        ("x-two", "2"),
        ("x-three", "3"),
        ("connection", "a b, \"x-three\""),
    ];
    assert_eq!(lines(&sent(&received)), [("x-three", "3")]);
    assert_eq!(lines(&delivered(&received)), [("x-three", "3")]);
}

#[test]
fn a_connection_line_cannot_take_away_what_the_sidecar_adds() {
    let headers =
        outbound(map(&[("connection", "via, te, authorization, host"), ("te", "trailers")]), &TENANT, Version::HTTP_2);
    assert_eq!(lines(&headers.unwrap()), [("te", "trailers"), ("via", "2 flexslot-proxy")]);
}

#[test]
fn via_names_the_protocol_of_the_received_message_after_earlier_hops() {
    let earlier = map(&[("via", "1.1 lb")]);
    let headers = outbound(earlier.clone(), &TENANT, Version::HTTP_10).unwrap();
    assert_eq!(lines(&headers), [("via", "1.1 lb"), ("via", "1.0 flexslot-proxy")]);
    assert_eq!(lines(&inbound(earlier, Version::HTTP_2)), [("via", "1.1 lb"), ("via", "2 flexslot-proxy")]);
}

#[test]
fn te_says_no_more_than_trailers() {
    assert_eq!(lines(&sent(&[("te", "gzip;q=0.5, Trailers")])), [("te", "trailers")]);
    assert!(sent(&[("te", "gzip, chunked")]).is_empty());
}

#[test]
fn lookalikes_of_the_tenant_header_are_refused() {
    for name in ["x_flexslot_tenant", "X-Flexslot_Tenant", "x_flexslot-tenant"] {
        let refused = outbound(map(&[(name, "a")]), &TENANT, Version::HTTP_11);
        assert_eq!(refused, Err(LookalikeHeader(name.parse().unwrap())), "{name}");
        assert!(outbound_trailers(map(&[(name, "a")]), &TENANT).is_empty());
    }
    let own = HeaderName::from_static("x_tenant");
    assert!(outbound(map(&[("x_tenant", "a")]), &own, Version::HTTP_11).is_ok());
    assert!(outbound(map(&[("x-tenant", "a")]), &own, Version::HTTP_11).is_err());
}

#[test]
fn trailers_follow_the_same_rules_and_carry_no_framing() {
    let received = [
        ("x-checksum", "1"),
        ("authorization", "Bearer x"),
        ("content-length", "3"),
        ("host", "h"),
        ("transfer-encoding", "chunked"),
        ("set-cookie", "a"),
        ("content-type", "t"),
        ("connection", "x-gone"),
        ("x-gone", "1"),
        ("trailer", "x"),
        ("grpc-status", "0"),
        ("nel", "{}"),
    ];
    let kept = [("x-checksum", "1"), ("grpc-status", "0"), ("nel", "{}")];
    assert_eq!(lines(&outbound_trailers(map(&received), &TENANT)), kept);
    assert_eq!(lines(&inbound_trailers(map(&received))), kept[..2]);
    assert!(inbound_trailers(map(&[("proxy-status", "flexslot-proxy; error=dns_error")])).is_empty());
}

fn received() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    const NAMES: [&str; 14] = [
        "authorization",
        "cookie",
        "sec-fetch-mode",
        "x-forwarded-host",
        "x-flexslot-tenant",
        "accept",
        "x-a",
        "x-b",
        "x-c",
        "content-type",
        "upgrade",
        "connection",
        "connection",
        "connection",
    ];
    const VALUES: [&str; 8] =
        ["x-a", "X-B, close", "keep-alive", "x-c,x-a", "accept , ", ",", "authorization", "content-type"];
    prop::collection::vec((prop::sample::select(&NAMES[..]), prop::sample::select(&VALUES[..])), 0..30)
}

proptest! {
    #[test]
    fn what_is_not_listed_survives_in_order_and_number(received in received()) {
        let named: Vec<String> = received
            .iter()
            .filter(|(name, _)| *name == "connection")
            .flat_map(|(_, value)| value.split(',').map(|option| option.trim().to_lowercase()))
            .collect();
        let listed = ["authorization", "cookie", "sec-fetch-mode", "x-forwarded-host", "x-flexslot-tenant", "upgrade", "connection"];
        let survives = |name: &str| !listed.contains(&name) && !named.iter().any(|option| option == name);
        // A header map groups the values of one name at its first place.
        let kept: HeaderMap = map(&received.iter().copied().filter(|(name, _)| survives(name)).collect::<Vec<_>>());
        let headers = sent(&received);
        prop_assert_eq!(lines(&headers), lines(&kept));
        let again = sent(&lines(&headers));
        prop_assert_eq!(lines(&again), lines(&headers), "a second pass changes nothing");
    }
}

#[test]
fn a_response_that_repeats_the_credential_does_not_hand_it_on() {
    let sent = HeaderValue::from_static("Bearer flx_pat_canary");
    let other = "\"flx_pat_of_somebody_else\"";
    let mut headers = map(&[("x-echo", "Bearer flx_pat_canary"), ("x-part", "a=flx_pat_canary;b"), ("etag", other)]);
    super::withhold(&mut headers, &sent);
    assert_eq!(headers.keys().collect::<Vec<_>>(), ["etag"]);
}

/// Nobody's secret is that short, and a word that has it in it by chance is no echo.
#[test]
fn a_credential_of_a_few_letters_is_looked_for_as_a_whole() {
    let sent = HeaderValue::from_static("Bearer close");
    let mut headers = map(&[("x-echo", "Bearer close"), ("connection-was", "closed"), ("x-word", "close")]);
    super::withhold(&mut headers, &sent);
    assert!(!headers.contains_key("x-echo") && headers.len() == 2, "{headers:?}");
}

#[test]
fn what_ends_or_keeps_a_connection_names_no_header() {
    let received = [("connection", "Close, keep-alive, x-one"), ("close", "1"), ("x-one", "1")];
    assert_eq!(lines(&sent(&received)), [("close", "1")]);
}
