//! The guard: whoever it lets in could not be a web page of elsewhere, a foreign name for this host, or an app without its
//! token. Hosts are judged once more as a browser reads them.
//!
//! Input: two bytes that say how the guard is set up and how the request reached it, then `METHOD target` and header lines,
//! with LF between them.

use std::net::{IpAddr, Ipv4Addr};

use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD};
use flexslot_proxy::{
    model::{Secret, SpeaksFor},
    proxy::{
        cors::{Readers, preflight},
        guard::{Admitted, Guard, Holder, NamedCaller, Pages, Reach},
    },
};
use http::{HeaderMap, HeaderValue, Method, Request, Version, header, request::Parts};
use url::{Host, Url};

use super::message::fields;

const OWN: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
const PAGE: &str = "https://app.example.com";
const UPSTREAM: &str = "api.flexslot.gg";
const MASTER: &str = "T0ken:of:all";
const APPS: [(&str, &str); 2] = [("shop", "shop-token"), ("ops", "ops-token")];

fn guard(how: u8) -> Guard {
    let caller = |(name, token): (&str, &str)| NamedCaller {
        name: name.into(),
        token: Secret::new(token),
        speaks_for: SpeaksFor::Everybody,
    };
    let mut guard =
        Guard { upstream: Some(format!("https://{UPSTREAM}").parse().expect("an origin")), ..Guard::default() };
    if how & 1 != 0 {
        guard.client_token = Some(Secret::new(MASTER));
    }
    if how & 2 != 0 {
        guard.callers = APPS.into_iter().map(caller).collect();
    }
    if how & 4 != 0 {
        guard.allowed_hosts = ["proxy.internal", "*.apps.example"].map(|host| host.parse().expect("a host")).into();
    }
    if how & 8 != 0 {
        guard.allowed_origins = vec![PAGE.parse().expect("an origin")];
    }
    guard.pages = if how & 16 != 0 { Pages::Own } else { Pages::None };
    guard
}

fn reach(how: u8) -> Reach {
    match how % 5 {
        0 => Reach::Tcp(Ipv4Addr::LOCALHOST.into()),
        1 => Reach::Tcp(OWN),
        2 => Reach::Tls(OWN),
        3 => Reach::Unix,
        _ => Reach::Barred { uid: 1001 },
    }
}

fn request(how: u8, text: &[u8]) -> Option<Parts> {
    let (line, rest) = match text.iter().position(|&byte| byte == b'\n') {
        Some(end) => (&text[..end], &text[end + 1..]),
        None => (text, &[][..]),
    };
    let (method, target) = str::from_utf8(line).ok()?.split_once(' ')?;
    let version = if how & 32 != 0 { Version::HTTP_2 } else { Version::HTTP_11 };
    let request = Request::builder().method(method).uri(target).version(version).body(()).ok()?;
    let mut parts = request.into_parts().0;
    parts.headers = fields(rest);
    Some(parts)
}

/// The tokens that a client could have meant to send, in every form that there is (RFC 6750 section 2.1, RFC 7617).
fn tokens(headers: &HeaderMap) -> Vec<String> {
    let values = ["authorization", "proxy-authorization"].into_iter().flat_map(|name| headers.get_all(name));
    let read = |value: &HeaderValue| {
        let (scheme, rest) = value.to_str().ok()?.split_once(' ')?;
        let rest = rest.trim_matches(' ');
        match scheme.to_ascii_lowercase().as_str() {
            "bearer" => Some(rest.to_owned()),
            "basic" => {
                let pair = BASE64_STANDARD_NO_PAD.decode(rest.trim_end_matches('=')).ok()?;
                Some(String::from_utf8(pair).ok()?.split_once(':')?.1.to_owned())
            }
            _ => None,
        }
    };
    values.filter_map(read).collect()
}

/// Whether a browser that is sent to `host` comes to this machine by one of its own names. What no browser could send as
/// a host is no page's doing.
fn is_ours(guard: &Guard, reach: Reach, host: &str) -> bool {
    let can_be_sent = |byte: u8| byte.is_ascii_alphanumeric() || b".-_~:[]%".contains(&byte);
    let Some(url) = Url::parse(&format!("http://{host}/")).ok().filter(|_| host.bytes().all(can_be_sent)) else {
        return true;
    };
    let own = |address: IpAddr| {
        let address = address.to_canonical();
        address.is_loopback() || matches!(reach, Reach::Tcp(own) | Reach::Tls(own) if own == address)
    };
    match url.host() {
        Some(Host::Ipv4(address)) => own(address.into()),
        Some(Host::Ipv6(address)) => own(address.into()),
        Some(Host::Domain(name)) => {
            let listed =
                !guard.allowed_hosts.is_empty() && (name == "proxy.internal" || name.ends_with(".apps.example"));
            name == "localhost" || name.ends_with(".localhost") || listed
        }
        None => false,
    }
}

/// The host that the request names.
fn named(parts: &Parts) -> Option<&str> {
    let authority = parts.uri.authority().map(|authority| authority.as_str());
    authority.or_else(|| parts.headers.get(header::HOST)?.to_str().ok())
}

fn check_origin(guard: &Guard, parts: &Parts, admitted: &Admitted, reach: Reach) {
    let origins: Vec<_> = parts.headers.get_all(header::ORIGIN).iter().collect();
    let says =
        |name: &str, what: &[&str]| parts.headers.get_all(name).iter().all(|value| what.iter().any(|w| value == w));
    match admitted {
        Admitted::FromOrigin(origin) | Admitted::Preflight(origin) => {
            assert!(!guard.allowed_origins.is_empty() && origins == [origin] && origin == PAGE, "{parts:?}");
        }
        Admitted::Direct if origins.is_empty() && says("sec-fetch-site", &["none", "same-origin"]) => {}
        Admitted::Direct => {
            assert_eq!(guard.pages, Pages::Own, "a page of another site: {parts:?}");
            let is_visit = parts.method == Method::GET
                && parts.headers.contains_key("sec-fetch-mode")
                && says("sec-fetch-mode", &["navigate"])
                && says("sec-fetch-dest", &["document"]);
            match origins[..] {
                [] => assert!(is_visit, "{parts:?}"),
                [origin] => {
                    let host = origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://")).expect("http");
                    assert!(named(parts).is_some_and(|named| named.eq_ignore_ascii_case(host)), "{parts:?}");
                    assert!(is_ours(guard, reach, host), "{parts:?}");
                }
                _ => panic!("two origins: {parts:?}"),
            }
        }
    }
}

fn check_token(guard: &Guard, parts: &Parts, holder: Holder<'_>) {
    let sent = tokens(&parts.headers);
    let has = |token: &str| sent.iter().any(|sent| sent == token);
    let (wants_master, wants_apps) = (guard.client_token.is_some(), !guard.callers.is_empty());
    let mut known: Vec<&str> =
        APPS.iter().filter(|(_, token)| wants_apps && has(token)).map(|(name, _)| *name).collect();
    if wants_master && has(MASTER) {
        known.push("");
    }
    match holder.name() {
        Some(name) => assert_eq!(known, [&*name], "{parts:?}"),
        None if wants_master || wants_apps => assert_eq!(known, [""], "{parts:?}"),
        None => {}
    }
}

fn check_host(guard: &Guard, parts: &Parts, reach: Reach) {
    if let Some(authority) = parts.uri.authority().filter(|_| parts.version < Version::HTTP_2) {
        let is_upstream =
            authority.host().eq_ignore_ascii_case(UPSTREAM) && authority.port_u16().is_none_or(|port| port == 443);
        assert!(is_upstream || is_ours(guard, reach, authority.as_str()), "{parts:?}");
        assert!(!authority.as_str().contains('@'));
        return;
    }
    let hosts: Vec<_> = parts.headers.get_all(header::HOST).iter().collect();
    assert!(hosts.len() <= 1, "{parts:?}");
    if guard.client_token.is_none() && guard.callers.is_empty() && reach != Reach::Unix {
        let host = named(parts).expect("a host");
        assert!(is_ours(guard, reach, host), "{host}");
    }
}

pub fn run(input: &[u8]) {
    let [how, way, text @ ..] = input else { return };
    let Some(parts) = request(*how, text) else { return };
    let (guard, reach) = (guard(*how), reach(*way));
    let readers = guard.readers(&parts.headers);
    if let Readers::Page(origin) = &readers {
        assert!(*how & 8 != 0 && origin == PAGE);
    }
    let Ok((admitted, holder)) = guard.admit_caller(&parts, reach) else { return };
    assert!(!matches!(reach, Reach::Barred { .. }));
    check_origin(&guard, &parts, &admitted, reach);
    if let Admitted::Preflight(origin) = &admitted {
        assert_eq!(parts.method, Method::OPTIONS);
        let answer = preflight(&parts, origin);
        assert!(!answer.contains_key("access-control-allow-credentials"));
        return;
    }
    check_token(&guard, &parts, holder);
    check_host(&guard, &parts, reach);
}
