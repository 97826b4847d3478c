//! Which headers pass, on the way out and on the way back.

use criterion::{BatchSize, Criterion};
use flexslot_proxy::proxy::headers::{inbound, outbound, withhold};
use http::{HeaderMap, HeaderName, HeaderValue, Version};

const TENANT: HeaderName = HeaderName::from_static("x-flexslot-tenant");

/// What an HTTP library sends: nothing that has to go but the tenant and the host.
const FEW: [(&str, &str); 5] = [
    ("host", "localhost:3539"),
    ("user-agent", "python-requests/2.32.3"),
    ("accept", "*/*"),
    ("accept-encoding", "gzip, deflate"),
    ("x-flexslot-tenant", "acme"),
];

/// What a browser sends by way of an app behind a reverse proxy.
const MANY: [(&str, &str); 24] = [
    ("host", "localhost:3539"),
    ("connection", "keep-alive, x-hop"),
    ("x-hop", "1"),
    (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    ),
    ("accept", "application/json, text/plain, */*"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("accept-language", "en-GB,en;q=0.9,de;q=0.8"),
    ("authorization", "Bearer app-session-0123456789abcdef"),
    ("cache-control", "no-cache"),
    ("content-length", "4096"),
    ("content-type", "application/json"),
    ("cookie", "session=0123456789abcdef0123456789abcdef; theme=dark"),
    ("if-none-match", "\"5f1d-61c2\""),
    ("origin", "http://localhost:3000"),
    ("referer", "http://localhost:3000/decks/42"),
    ("sec-fetch-dest", "empty"),
    ("sec-fetch-mode", "cors"),
    ("sec-fetch-site", "same-origin"),
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("x-forwarded-for", "203.0.113.7"),
    ("x-forwarded-host", "app.example"),
    ("x-forwarded-proto", "https"),
    ("x-flexslot-tenant", "acme"),
    ("x-request-id", "01JDZ8Q4T5V6W7X8Y9Z0A1B2C3"),
];

/// What comes back: of these, three are not for the client.
const ANSWER: [(&str, &str); 14] = [
    ("server", "nginx"),
    ("date", "Mon, 30 Nov 2026 12:00:00 GMT"),
    ("content-type", "application/json"),
    ("content-length", "1024"),
    ("connection", "keep-alive"),
    ("vary", "Accept, Origin"),
    ("allow", "GET, HEAD, OPTIONS"),
    ("x-frame-options", "DENY"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "same-origin"),
    ("strict-transport-security", "max-age=31536000; includeSubDomains"),
    ("set-cookie", "sessionid=0123456789abcdef; HttpOnly; Secure; SameSite=Lax"),
    ("etag", "\"5f1d-61c2\""),
    ("x-request-id", "01JDZ8Q4T5V6W7X8Y9Z0A1B2C3"),
];

pub(crate) fn both_ways(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("headers");
    for (name, headers) in [("out, 5", map(&FEW)), ("out, 24", map(&MANY))] {
        let kept = outbound(headers.clone(), &TENANT, Version::HTTP_11).expect("no lookalike");
        assert!(kept.contains_key("accept") && !kept.contains_key(TENANT) && !kept.contains_key("x-hop"), "{name}");
        group.bench_function(name, |bencher| {
            let out = |headers| outbound(headers, &TENANT, Version::HTTP_11);
            bencher.iter_batched(|| headers.clone(), out, BatchSize::SmallInput);
        });
    }
    let answer = map(&ANSWER);
    assert!(!inbound(answer.clone(), Version::HTTP_11).contains_key("set-cookie"));
    group.bench_function("back, 14", |bencher| {
        bencher.iter_batched(|| answer.clone(), |headers| inbound(headers, Version::HTTP_11), BatchSize::SmallInput);
    });
    let mut kept = inbound(answer, Version::HTTP_11);
    let sent = HeaderValue::from_static("Bearer flx_pat_0123456789abcdef0123456789abcdef");
    group.bench_function("the credential in what comes back", |bencher| {
        bencher.iter(|| withhold(&mut kept, &sent));
    });
    group.finish();
}

fn map(headers: &[(&'static str, &'static str)]) -> HeaderMap {
    let header = |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
    headers.iter().map(header).collect()
}
