use super::{CallerBase, CallerScheme, rewrite};
use crate::model::Origin;
use http::{HeaderMap, HeaderValue};

fn upstream() -> Origin {
    "https://api.flexslot.gg".parse().unwrap()
}

const PLAIN: CallerBase<'_> = CallerBase { scheme: CallerScheme::Http, authority: Some("localhost:3539"), prefix: "" };
const TENANT: CallerBase<'_> = CallerBase { prefix: "/t/acme", ..PLAIN };

fn rewritten(name: &'static str, value: &str, caller: CallerBase<'_>) -> String {
    let mut headers = HeaderMap::new();
    headers.insert(name, HeaderValue::from_str(value).unwrap());
    rewrite(&mut headers, &upstream(), caller);
    headers[name].to_str().unwrap().to_owned()
}

#[test]
fn the_upstreams_own_urls_point_back_at_the_caller() {
    for (url, plain, tenant) in [
        ("https://api.flexslot.gg/a?b#c", "http://localhost:3539/a?b#c", "http://localhost:3539/t/acme/a?b#c"),
        ("HTTPS://API.flexslot.gg:443/a", "http://localhost:3539/a", "http://localhost:3539/t/acme/a"),
        ("https://api.flexslot.gg", "http://localhost:3539/", "http://localhost:3539/t/acme/"),
        ("https://api.flexslot.gg?x", "http://localhost:3539/?x", "http://localhost:3539/t/acme/?x"),
        ("//api.flexslot.gg/a", "http://localhost:3539/a", "http://localhost:3539/t/acme/a"),
        ("/a//b", "/a//b", "/t/acme/a//b"),
    ] {
        for name in ["location", "content-location"] {
            assert_eq!(rewritten(name, url, PLAIN), plain, "{url}");
            assert_eq!(rewritten(name, url, TENANT), tenant, "{url}");
        }
    }
}

#[test]
fn other_urls_stay_as_they_are() {
    for url in [
        "https://flexslot.gg/a",
        "https://api.flexslot.gg.evil.example/a",
        "https://api.flexslot.gg@evil.example/a",
        "https://u:p@api.flexslot.gg/a",
        "https://api.flexslot.gg:8443/a",
        "https://api.flexslot.gg:x/a",
        "http://api.flexslot.gg/a",
        "https:api.flexslot.gg/a",
        "https:\\\\api.flexslot.gg/a",
        "/\\evil.example/a",
        "//evil.example/a",
        "../a",
        "a",
        "?page=2",
        "",
    ] {
        assert_eq!(rewritten("location", url, TENANT), url);
    }
}

#[test]
fn a_caller_without_host_gets_a_path() {
    let caller = CallerBase { authority: None, ..TENANT };
    assert_eq!(rewritten("location", "https://api.flexslot.gg/a", caller), "/t/acme/a");
}

#[test]
fn every_link_is_rewritten_and_its_parameters_are_not() {
    let links = r#"<https://api.flexslot.gg/a,b>; rel="next, \"<https://api.flexslot.gg/>\""; x=1 ,<https://other/>;rel=o, </c>; a="/d", <?e>"#;
    let expected = r#"<http://localhost:3539/t/acme/a,b>; rel="next, \"<https://api.flexslot.gg/>\""; x=1 ,<https://other/>;rel=o, </t/acme/c>; a="/d", <?e>"#;
    assert_eq!(rewritten("link", links, TENANT), expected);
}

#[test]
fn malformed_links_stay_as_they_are() {
    for links in [
        "https://api.flexslot.gg/a",
        "<https://api.flexslot.gg/a",
        r#"<https://api.flexslot.gg/a>; rel="next"#,
        "<https://api.flexslot.gg/a>, b",
        ", ,",
    ] {
        assert_eq!(rewritten("link", links, TENANT), links);
    }
}

#[test]
fn every_line_of_a_header_is_rewritten() {
    let mut headers = HeaderMap::new();
    headers.append("link", HeaderValue::from_static("</a>"));
    headers.append("link", HeaderValue::from_static("</b>"));
    rewrite(&mut headers, &upstream(), TENANT);
    assert_eq!(headers.get_all("link").iter().collect::<Vec<_>>(), ["</t/acme/a>", "</t/acme/b>"]);
}

#[test]
fn a_caller_over_tls_is_sent_back_over_tls() {
    let caller = CallerBase { scheme: CallerScheme::Https, ..TENANT };
    let location = rewritten("location", "https://api.flexslot.gg/api/public/v1/x", caller);
    assert_eq!(location, "https://localhost:3539/t/acme/api/public/v1/x");
}
