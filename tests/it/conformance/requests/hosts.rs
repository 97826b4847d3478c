//! `Host` and the tenant header: what routes a request, said badly, twice, or in a disguise.

use super::{Case, TARGET, case, forwarded, get, refused};
use crate::conformance::setup::shown;

/// Values that are no host, and what is answered.
const BAD: [(&str, u16); 24] = [
    ("localhost/x", 400),
    ("localhost#x", 400),
    ("localhost?x", 400),
    ("a@localhost", 400),
    ("localhost@evil.example", 400),
    ("http://localhost", 400),
    ("localhost, localhost", 400),
    ("localhost localhost", 400),
    ("localhost\tevil.example", 400),
    ("localhost:", 204),
    ("localhost:80x", 400),
    ("localhost:999999", 400),
    ("localhost:-1", 400),
    ("localhost:80:80", 400),
    ("[::1", 400),
    ("[::1]x", 400),
    ("[localhost]", 400),
    ("::1", 400),
    (":80", 400),
    ("local\\host", 400),
    ("\u{ff}localhost", 400),
    ("", 421),
    ("*", 421),
    ("0.0.0.0", 421),
];

/// Hosts that are ours, and some that are not.
const HOSTS: [(&str, u16); 14] = [
    ("LOCALHOST", 204),
    ("localhost:3539", 204),
    ("a.b.localhost", 204),
    ("127.0.0.1", 204),
    ("127.1.2.3:9", 204),
    ("[::1]", 204),
    ("[::1]:80", 204),
    ("evil.example", 421),
    ("localhost.evil.example", 421),
    ("evillocalhost", 421),
    ("localhost.", 421),
    ("%6cocalhost", 421),
    ("0x7f.1", 421),
    ("2130706433", 421),
];

/// Further lines beside a good `Host` and a good tenant.
const BESIDE: [(&str, u16); 24] = [
    ("Host: localhost", 400),
    ("Host: evil.example", 400),
    ("host: localhost", 400),
    ("HOST:", 400),
    ("Host : localhost", 400),
    (" Host: evil.example", 400),
    ("Host\t: evil.example", 400),
    ("X-Forwarded-Host: evil.example", 204),
    ("X-Host: evil.example", 204),
    ("Forwarded: host=evil.example", 204),
    ("X-Original-URL: /smuggled", 204),
    ("X-Rewrite-URL: /smuggled", 204),
    ("X-HTTP-Method-Override: DELETE", 204),
    ("X-Flexslot-Tenant: acme", 400),
    ("x-flexslot-tenant: beta", 400),
    ("X_Flexslot_Tenant: beta", 400),
    ("X-Flexslot_Tenant: beta", 400),
    ("X-Flexslot-Tenant : beta", 400),
    ("Authorization: Bearer mine", 204),
    ("Authorization: Bearer one\r\nAuthorization: Bearer two", 204),
    ("AUTHORIZATION: Basic bWU6bWU=", 204),
    ("Cookie: a=b", 204),
    ("Connection: Authorization, Host, Via", 204),
    ("Connection: X-Flexslot-Tenant", 204),
];

fn fate(status: u16) -> super::Fate {
    if status == super::ANSWERED { forwarded("") } else { refused(status) }
}

pub(super) fn cases() -> Vec<Case> {
    let named = |host: &str| get("").replacen("Host: localhost", &format!("Host: {host}"), 1);
    let hosts = BAD
        .iter()
        .chain(&HOSTS)
        .map(|(host, status)| case("hosts", format!("Host: {}", shown(host)), &named(host), fate(*status)));
    let beside = BESIDE
        .iter()
        .map(|(line, status)| case("beside Host and tenant", shown(line), &get(&format!("{line}\r\n")), fate(*status)));
    let without = |what: &str| get("").replacen(what, "", 1);
    let by_path = |tenant: &str| get("").replacen(TARGET, &format!("/t/{tenant}{TARGET}"), 1);
    let rest = [
        case("hosts", "none", &without("Host: localhost\r\n"), refused(400)),
        case("hosts", "folded", &get("").replacen("Host: localhost", "Host:\r\n localhost", 1), refused(400)),
        case("tenants", "none", &without("X-Flexslot-Tenant: acme\r\n"), refused(400)),
        case("tenants", "by path, in agreement", &by_path("acme"), forwarded("")),
        case("tenants", "by path, escaped, in agreement", &by_path("%61cme"), forwarded("")),
        case("tenants", "by path, in disagreement", &by_path("beta"), refused(400)),
        case("tenants", "by path, escaped twice", &by_path("%2561cme"), refused(400)),
        case("tenants", "by path, a dot segment", &by_path(".."), refused(400)),
        case("tenants", "by path, a slash in it", &by_path("ac%2Fme"), refused(400)),
        case("tenants", "by path, no name", &by_path(""), refused(400)),
        case("tenants", "by path, twice", &by_path("acme/t/acme"), refused(404)),
    ];
    hosts.chain(beside).chain(rest).collect()
}
