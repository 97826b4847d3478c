use super::{Admitted, Denied, Guard, NamedCaller, Pages, Reach};
use crate::{
    model::{Secret, SpeaksFor},
    proxy::cors::Readers,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{Request, Version, request::Parts};

const LOCAL: Reach = Reach::Tcp(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

fn request(uri: &str, headers: &[(&str, &str)]) -> Parts {
    let request = headers.iter().fold(Request::get(uri), |request, (name, value)| request.header(*name, *value));
    request.body(()).unwrap().into_parts().0
}

fn guard() -> Guard {
    Guard {
        allowed_hosts: vec!["Proxy.Internal".parse().unwrap()],
        allowed_origins: vec!["https://app.example.com".parse().unwrap()],
        pages: Pages::None,
        client_token: None,
        callers: Vec::new(),
        upstream: Some("https://api.flexslot.gg".parse().unwrap()),
    }
}

fn with_token() -> Guard {
    Guard { client_token: Some(Secret::new("T0ken:x")), ..guard() }
}

fn caller(name: &str, token: &str) -> NamedCaller {
    NamedCaller { name: name.into(), token: Secret::new(token), speaks_for: SpeaksFor::Everybody }
}

/// Who calls, by the tokens in `headers`.
fn who(guard: &Guard, headers: &[(&str, &str)]) -> Result<Option<String>, Denied> {
    let headers: Vec<_> = [("host", "localhost")].into_iter().chain(headers.iter().copied()).collect();
    let admitted = guard.admit_caller(&request("/", &headers), LOCAL);
    admitted.map(|(_, holder)| holder.name().map(|name| name.to_string()))
}

#[test]
fn a_token_says_who_calls() {
    let callers = vec![caller("shop", "shop-token"), caller("ops", "ops-token")];
    let apart = Guard { callers: callers.clone(), ..guard() };
    let shop = Some("shop".to_owned());
    assert_eq!(who(&apart, &[("authorization", "Bearer shop-token")]), Ok(shop.clone()));
    assert_eq!(who(&apart, &[("proxy-authorization", "bearer ops-token")]), Ok(Some("ops".into())));
    let basic = format!("Basic {}", BASE64_STANDARD.encode("x:shop-token"));
    assert_eq!(who(&apart, &[("authorization", &basic)]), Ok(shop.clone()));
    for headers in [&[][..], &[("authorization", "Bearer shop-token2")], &[("authorization", "Bearer T0ken:x")]] {
        assert_eq!(who(&apart, headers), Err(Denied::Token), "{headers:?}");
    }
    let beside = Guard { callers, ..with_token() };
    assert_eq!(who(&beside, &[("authorization", "Bearer T0ken:x")]), Ok(None), "the one token for all");
    assert_eq!(who(&beside, &[("authorization", "Bearer shop-token")]), Ok(shop));
}

#[test]
fn two_tokens_say_nothing_unless_they_are_the_same_callers() {
    let callers = vec![caller("shop", "shop-token"), caller("ops", "ops-token")];
    let guard = Guard { callers, ..with_token() };
    let both = |one: &str, other: &str| {
        who(&guard, &[("proxy-authorization", &format!("Bearer {one}")), ("authorization", &format!("Bearer {other}"))])
    };
    assert_eq!(both("shop-token", "shop-token"), Ok(Some("shop".into())));
    assert_eq!(both("shop-token", "an app's own"), Ok(Some("shop".into())), "which means nothing here");
    for (one, other) in [("shop-token", "ops-token"), ("shop-token", "T0ken:x"), ("T0ken:x", "shop-token")] {
        assert_eq!(both(one, other), Err(Denied::Token), "{one} {other}");
    }
}

#[test]
fn a_socket_serves_no_other_user_than_it_is_for_whatever_they_send() {
    let barred = Reach::Barred { uid: 1001 };
    for guard in [guard(), with_token()] {
        let token = ("authorization", "Bearer T0ken:x");
        let request = request("/", &[("host", "localhost"), token]);
        assert_eq!(guard.admit(&request, barred), Err(Denied::Caller { uid: 1001 }));
        assert_eq!(guard.admit(&request, Reach::Unix), Ok(Admitted::Direct));
    }
}

fn by_host(host: &str, reach: Reach) -> Result<Admitted, Denied> {
    guard().admit(&request("/", &[("host", host)]), reach)
}

#[test]
fn loopback_names_listed_names_and_the_own_address_are_accepted() {
    let public = Reach::Tcp("192.0.2.7".parse().unwrap());
    let mapped = Reach::Tcp("::ffff:192.0.2.7".parse().unwrap());
    for host in [
        "localhost",
        "LOCALHOST:3539",
        "a.localhost",
        "a.b.LocalHost:80",
        "127.0.0.1:3539",
        "127.9.9.9",
        "[::1]:3539",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "proxy.internal:80",
        "localhost:",
    ] {
        assert_eq!(by_host(host, LOCAL), Ok(Admitted::Direct), "{host}");
        assert_eq!(by_host(host, public), Ok(Admitted::Direct), "{host}");
    }
    assert_eq!(by_host("192.0.2.7:3539", public), Ok(Admitted::Direct));
    assert_eq!(by_host("192.0.2.7", mapped), Ok(Admitted::Direct));
    assert_eq!(by_host("192.0.2.7", LOCAL), Err(Denied::Host));
}

#[test]
fn other_hosts_are_denied() {
    let unspecified = Reach::Tcp("0.0.0.0".parse().unwrap());
    for host in [
        "evil.example",
        "localhost.evil.example",
        "evil-localhost",
        ".localhost",
        "localhost.",
        "0.0.0.0:3539",
        "[::]:3539",
        "[::ffff:0.0.0.0]",
        "0",
        "0x7f.1",
        "2130706433",
        "127.1",
        "127.0.0.01",
        "::1",
        "localhost:x",
        "localhost:80:80",
        "api.flexslot.gg",
        "",
    ] {
        assert_eq!(by_host(host, LOCAL), Err(Denied::Host), "{host}");
        assert_eq!(by_host(host, unspecified), Err(Denied::Host), "{host}");
    }
    assert_eq!(guard().admit(&request("/", &[]), LOCAL), Err(Denied::Host));
}

#[test]
fn hosts_are_not_checked_on_unix_sockets_or_with_a_token() {
    assert_eq!(by_host("evil.example", Reach::Unix), Ok(Admitted::Direct));
    let request = request("/", &[("host", "evil.example"), ("authorization", "Bearer T0ken:x")]);
    assert_eq!(with_token().admit(&request, LOCAL), Ok(Admitted::Direct));
}

#[test]
fn two_hosts_are_invalid() {
    let twice = request("/", &[("host", "localhost"), ("host", "localhost")]);
    assert_eq!(guard().admit(&twice, LOCAL), Err(Denied::Invalid));
    let mut http2 = request("http://localhost/", &[("host", "evil.example")]);
    http2.version = Version::HTTP_2;
    assert_eq!(guard().admit(&http2, LOCAL), Err(Denied::Invalid));
}

#[test]
fn the_authority_of_http2_counts_as_host() {
    let by_authority = |uri| {
        let mut request = request(uri, &[]);
        request.version = Version::HTTP_2;
        guard().admit(&request, LOCAL)
    };
    assert_eq!(by_authority("http://localhost:3539/"), Ok(Admitted::Direct));
    let mut named_twice_alike = request("http://localhost:3539/", &[("host", "LOCALHOST:3539")]);
    named_twice_alike.version = Version::HTTP_2;
    assert_eq!(guard().admit(&named_twice_alike, LOCAL), Ok(Admitted::Direct));
    assert_eq!(by_authority("http://api.flexslot.gg/"), Err(Denied::Host));
}

#[test]
fn absolute_targets_name_an_accepted_host_or_the_upstream() {
    let absolute = |uri, guard: Guard, token| {
        guard.admit(&request(uri, &[("host", "ignored.example"), ("proxy-authorization", token)]), LOCAL)
    };
    for uri in
        ["http://localhost/", "http://API.flexslot.gg/", "https://api.flexslot.gg:443/", "http://proxy.internal/"]
    {
        assert_eq!(absolute(uri, guard(), ""), Ok(Admitted::Direct), "{uri}");
        assert_eq!(absolute(uri, with_token(), "Bearer T0ken:x"), Ok(Admitted::Direct), "{uri}");
    }
    for uri in ["http://evil.example/", "http://api.flexslot.gg:81/", "http://0.0.0.0/"] {
        assert_eq!(absolute(uri, guard(), ""), Err(Denied::Host), "{uri}");
        assert_eq!(absolute(uri, with_token(), "Bearer T0ken:x"), Err(Denied::Host), "{uri}");
    }
    for uri in ["ftp://localhost/", "http://a@localhost/"] {
        assert_eq!(absolute(uri, guard(), ""), Err(Denied::Invalid), "{uri}");
    }
}

#[test]
fn the_token_is_taken_in_every_form_that_clients_send() {
    let basic = |pair: &str| format!("Basic {}", BASE64_STANDARD.encode(pair));
    let sends = |name: &str, value: &str| {
        let request = request("/", &[("host", "localhost"), (name, value)]);
        with_token().admit(&request, LOCAL)
    };
    for name in ["authorization", "proxy-authorization"] {
        for value in [
            "Bearer T0ken:x",
            "bearer  T0ken:x",
            &basic("x:T0ken:x"),
            &basic(":T0ken:x"),
            basic("x:T0ken:x").trim_end_matches('='),
        ] {
            assert_eq!(sends(name, value), Ok(Admitted::Direct), "{name}: {value}");
        }
        for value in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer T0ken",
            "Bearer T0ken:xx",
            "T0ken:x",
            &basic("T0ken:x"),
            "Basic !",
            "Digest T0ken:x",
        ] {
            assert_eq!(sends(name, value), Err(Denied::Token), "{name}: {value}");
        }
    }
    let both = request("/", &[("authorization", "Bearer app"), ("proxy-authorization", "Bearer T0ken:x")]);
    assert_eq!(with_token().admit(&both, LOCAL), Ok(Admitted::Direct));
}

#[test]
fn pages_are_let_in_only_from_allowed_origins() {
    let from =
        |headers: &[(&str, &str)]| guard().admit(&request("/", &[&[("host", "localhost")], headers].concat()), LOCAL);
    let allowed = ("origin", "https://app.example.com");
    assert_eq!(from(&[allowed]), Ok(Admitted::FromOrigin(allowed.1.parse().unwrap())));
    assert_eq!(
        from(&[allowed, ("sec-fetch-site", "cross-site")]),
        Ok(Admitted::FromOrigin(allowed.1.parse().unwrap()))
    );
    assert_eq!(from(&[("sec-fetch-site", "none")]), Ok(Admitted::Direct));
    assert_eq!(from(&[("sec-fetch-site", "same-origin")]), Ok(Admitted::Direct));
    for denied in [
        &[("origin", "https://evil.example")][..],
        &[("origin", "null")],
        &[("origin", "")],
        &[("origin", "http://localhost:3539")],
        &[("origin", "https://app.example.com.evil.example")],
        &[allowed, ("origin", "https://evil.example")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")],
    ] {
        assert_eq!(from(denied), Err(Denied::Origin), "{denied:?}");
    }
}

#[test]
fn answers_are_for_pages_of_allowed_origins_to_read() {
    let (app, evil) = (("origin", "https://app.example.com"), ("origin", "https://evil.example"));
    let readers = |guard: &Guard, headers: &[(&str, &str)]| guard.readers(&request("/", headers).headers);
    assert_eq!(readers(&guard(), &[app]), Readers::Page(app.1.parse().unwrap()));
    for headers in [&[][..], &[evil], &[app, evil]] {
        assert_eq!(readers(&guard(), headers), Readers::NoPage, "{headers:?}");
    }
    let closed = Guard { allowed_origins: Vec::new(), ..guard() };
    for headers in [&[][..], &[app], &[evil]] {
        assert_eq!(readers(&closed, headers), Readers::Unsaid, "{headers:?}");
    }
}

#[test]
fn a_preflight_of_an_allowed_origin_needs_no_token() {
    let preflight = |origin| {
        let headers = [("host", "localhost"), ("origin", origin), ("access-control-request-method", "PUT")];
        let mut request = request("/", &headers);
        request.method = http::Method::OPTIONS;
        with_token().admit(&request, LOCAL)
    };
    assert_eq!(
        preflight("https://app.example.com"),
        Ok(Admitted::Preflight("https://app.example.com".parse().unwrap()))
    );
    assert_eq!(preflight("https://evil.example"), Err(Denied::Token));
}

#[test]
fn debug_shows_no_token() {
    assert!(!format!("{:?}", with_token()).contains("T0ken"));
}

fn with_pages(method: &str, headers: &[(&str, &str)]) -> Result<Admitted, Denied> {
    let mut request = request("/", headers);
    request.method = method.parse().unwrap();
    Guard { pages: Pages::Own, ..guard() }.admit(&request, LOCAL)
}

#[test]
fn pages_of_our_own_may_call() {
    for host in ["127.0.0.1:3540", "localhost:3540", "[::1]:3540", "proxy.internal"] {
        let origin = format!("http://{host}");
        let post = |origin: &str| with_pages("POST", &[("host", host), ("origin", origin)]);
        assert_eq!(post(&origin), Ok(Admitted::Direct), "{host}");
        for other in ["http://127.0.0.1:3539", "https://127.0.0.1:3540", "null", "http://evil.example", ""] {
            assert_eq!(post(other), Err(Denied::Origin), "{host} {other}");
        }
        assert_eq!(guard().admit(&request("/", &[("host", host), ("origin", &origin)]), LOCAL), Err(Denied::Origin));
    }
    let twice = [("host", "localhost"), ("origin", "http://localhost"), ("origin", "http://localhost")];
    assert_eq!(with_pages("POST", &twice), Err(Denied::Origin));
    let rebound = [("host", "evil.example"), ("origin", "http://evil.example")];
    assert_eq!(with_pages("POST", &rebound), Err(Denied::Host));
    let through_a_socket = Guard { pages: Pages::Own, ..guard() }.admit(&request("/", &rebound), Reach::Unix);
    assert_eq!(through_a_socket, Err(Denied::Origin));
}

#[test]
fn links_from_anywhere_lead_to_pages_of_our_own_and_nothing_else_does() {
    let visit = [
        ("host", "localhost"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document"),
    ];
    assert_eq!(with_pages("GET", &visit), Ok(Admitted::Direct));
    assert_eq!(guard().admit(&request("/", &visit), LOCAL), Err(Denied::Origin));
    assert_eq!(with_pages("POST", &visit), Err(Denied::Origin));
    assert_eq!(with_pages("GET", &[&visit[..], &[("origin", "https://evil.example")]].concat()), Err(Denied::Origin));
    for (at, other) in [(2, "no-cors"), (2, "cors"), (3, "iframe"), (3, "empty"), (3, "image")] {
        let mut other_than_a_visit = visit;
        other_than_a_visit[at].1 = other;
        assert_eq!(with_pages("GET", &other_than_a_visit), Err(Denied::Origin), "{other}");
    }
    assert_eq!(with_pages("GET", &visit[..2]), Err(Denied::Origin));
}
