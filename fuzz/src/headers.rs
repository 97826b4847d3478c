//! Which headers pass, in both directions and in trailers, held against lists of the contract's own words: what goes out
//! is what came in less the lists, in its order and byte for byte, however a name is written.
//!
//! Input: a byte that says which way, and header lines with LF between them.

use std::collections::HashSet;

use flexslot_proxy::proxy::headers::{inbound, inbound_trailers, outbound, outbound_trailers, withhold};
use http::{HeaderMap, HeaderName, HeaderValue, Version, header::VIA};

use super::message::fields;

const TENANT: HeaderName = HeaderName::from_static("x-flexslot-tenant");

/// The credential that a request was sent with; the corpus has answers that repeat it.
const TOKEN: &str = "flx_at_CANARY0123456789";

const HOP_BY_HOP: &str = "connection keep-alive proxy-authenticate proxy-authentication-info proxy-authorization proxy-connection te \
                          transfer-encoding upgrade";

const REQUEST: &str = "authorization dpop cookie forwarded x-forwarded-* x-real-ip x-http-method-override x-http-method x-method-override \
                       x-original-url x-rewrite-url origin referer sec-* host";

const RESPONSE: &str =
    "set-cookie alt-svc strict-transport-security clear-site-data access-control-* dpop-nonce authorization";

/// RFC 9110 section 6.5.1.
const NOT_IN_TRAILERS: &str = "authorization cache-control content-encoding content-length content-range content-type cookie expect host \
                               if-match if-modified-since if-none-match if-range if-unmodified-since location max-forwards pragma range \
                               set-cookie trailer www-authenticate";

/// Whether `list` names `name`, which some servers read with `-` for `_`.
fn lists(list: &str, name: &str) -> bool {
    let name = name.replace('_', "-");
    list.split_whitespace().any(|entry| match entry.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == entry,
    })
}

/// What of `received` is left when `own` is taken out of it, and what belongs to the connection.
fn left(received: &HeaderMap, own: impl Fn(&str) -> bool) -> Vec<(String, HeaderValue)> {
    let connection = received.get_all("connection").iter().flat_map(|line| line.as_bytes().split(|&byte| byte == b','));
    let named: HashSet<String> = connection
        .map(|option| String::from_utf8_lossy(option.trim_ascii()).to_ascii_lowercase())
        .filter(|option| option != "close" && option != "keep-alive")
        .collect();
    let poses_as_length = |name: &str| name != "content-length" && name.replace('_', "-") == "content-length";
    let gone = |name: &str| lists(HOP_BY_HOP, name) || named.contains(name) || poses_as_length(name) || own(name);
    sorted(received.iter().filter(|(name, _)| !gone(name.as_str())))
}

/// Lines by their names; those of one name in their order.
fn sorted<'a>(lines: impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)>) -> Vec<(String, HeaderValue)> {
    let mut lines: Vec<_> = lines.map(|(name, value)| (name.to_string(), value.clone())).collect();
    lines.sort_by(|(one, _), (other, _)| one.cmp(other));
    lines
}

/// Takes the one `Via` out that was added behind all others.
fn without_our_via(mut headers: HeaderMap) -> HeaderMap {
    let mut values: Vec<_> = headers.get_all(VIA).iter().cloned().collect();
    assert_eq!(values.pop().as_ref().map(HeaderValue::as_bytes), Some(&b"1.1 flexslot-proxy"[..]));
    headers.remove(VIA);
    headers.extend(values.into_iter().map(|value| (VIA, value)));
    headers
}

fn is_lookalike(name: &str) -> bool {
    [TENANT.as_str(), "authorization"].iter().any(|real| name != *real && name.replace('_', "-") == *real)
}

pub fn run(input: &[u8]) {
    let [which, text @ ..] = input else { return };
    let received = fields(text);
    let of_request = |name: &str| name == TENANT || lists(REQUEST, name);
    let of_trailers = |name: &str| lists(NOT_IN_TRAILERS, name);
    match which % 4 {
        0 => {
            let lookalike = received.keys().any(|name| is_lookalike(name.as_str()));
            let Ok(sent) = outbound(received.clone(), &TENANT, Version::HTTP_11) else {
                return assert!(lookalike, "refused without a reason: {received:?}");
            };
            assert!(!lookalike, "{received:?}");
            let mut sent = without_our_via(sent);
            let te = received.get_all("te").iter().flat_map(|line| line.as_bytes().split(|&byte| byte == b','));
            let wants_trailers = te.map(<[u8]>::trim_ascii).any(|coding| coding.eq_ignore_ascii_case(b"trailers"));
            assert_eq!(sent.remove("te").is_some(), wants_trailers);
            assert_eq!(sorted(sent.iter()), left(&received, of_request));
        }
        1 => {
            let sent = outbound_trailers(received.clone(), &TENANT);
            let gone = |name: &str| of_request(name) || is_lookalike(name) || of_trailers(name);
            assert_eq!(sorted(sent.iter()), left(&received, gone));
        }
        2 => {
            let mut given = without_our_via(inbound(received.clone(), Version::HTTP_11));
            assert_eq!(sorted(given.iter()), left(&received, |name| lists(RESPONSE, name)));
            let before = given.clone();
            let value = format!("Bearer {TOKEN}");
            withhold(&mut given, &HeaderValue::from_str(&value).expect("a value"));
            let repeats =
                |value: &HeaderValue| value.as_bytes().windows(TOKEN.len()).any(|part| part == TOKEN.as_bytes());
            let harmless = before.keys().filter(|name| !before.get_all(*name).iter().any(repeats));
            assert_eq!(given.keys().collect::<HashSet<_>>(), harmless.collect(), "the credential, and nothing else");
        }
        _ => {
            let given = inbound_trailers(received.clone());
            assert_eq!(sorted(given.iter()), left(&received, |name| lists(RESPONSE, name) || of_trailers(name)));
        }
    }
}
