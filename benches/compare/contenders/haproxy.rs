//! haproxy with the same work.

use std::{fmt::Write as _, path::PathBuf};

use super::Plan;
use crate::{
    failure::Result,
    process,
    upstream::{Form, NAME},
    work::{PLAYER, STUDIO, Tenant},
};

/// Headers of requests that end here, by name and by the front of the name. haproxy takes off the hop-by-hop ones by
/// itself.
const REQUEST: [&str; 15] = [
    "X-Flexslot-Tenant",
    "Proxy-Authorization",
    "DPoP",
    "Cookie",
    "Forwarded",
    "X-Real-IP",
    "X-HTTP-Method-Override",
    "X-HTTP-Method",
    "X-Method-Override",
    "X-Original-URL",
    "X-Rewrite-URL",
    "Origin",
    "Referer",
    "X-Forwarded- -m beg",
    "Sec- -m beg",
];

/// Headers of answers that end here.
const ANSWER: [&str; 6] =
    ["Set-Cookie", "Alt-Svc", "Strict-Transport-Security", "Clear-Site-Data", "DPoP-Nonce", "Access-Control- -m beg"];

pub(super) fn prepare(plan: &Plan<'_>, port: u16) -> Result<(PathBuf, Vec<String>)> {
    let map = |value: fn(&Tenant) -> String| {
        [STUDIO, PLAYER].map(|tenant| format!("{} {}\n", tenant.name, value(&tenant))).concat()
    };
    let credentials = plan.write("credentials", map(Tenant::authorization))?;
    let kinds = plan.write("kinds", map(|tenant| tenant.kind.to_owned()))?;
    let file = plan.write("haproxy.cfg", config(plan, port, &credentials, &kinds))?;
    Ok((process::find("haproxy")?, vec!["-db".into(), "-f".into(), file]))
}

fn config(plan: &Plan<'_>, port: u16, credentials: &str, kinds: &str) -> String {
    let address = format!("127.0.0.1:{}", plan.upstream.port(plan.form));
    let (threads, server, rules) = (plan.workers(), server(plan), rules());
    format!(
        r#"global
    nbthread {threads}
    maxconn 12000
    no strict-limits
    log stdout format raw local0 info
defaults
    mode http
    log global
    option httplog
    timeout connect 5s
    timeout client 75s
    timeout server 60s
    timeout http-keep-alive 75s
    http-reuse always
frontend proxy
    bind 127.0.0.1:{port}
    unique-id-format %{{+X}}o\ %ci:%cp_%fi:%fp_%Ts_%rt:%pid
    http-request return status 421 unless {{ hdr(host) -i localhost 127.0.0.1 }}
    http-request return status 404 unless {{ path_beg /api/public/v1/ }}
    http-request return status 403 if {{ path_beg -i /api/public/v1/oauth/ }}
    http-request set-var(txn.credential) req.hdr(x-flexslot-tenant),map_str({credentials})
    http-request set-var(txn.kind) req.hdr(x-flexslot-tenant),map_str({kinds})
    http-request return status 401 unless {{ var(txn.credential) -m found }}
{rules}    http-request set-header Authorization %[var(txn.credential)]
    http-request set-header Host {address}
    http-request add-header Via "1.1 flexslot-proxy"
    http-response set-header Flexslot-Proxy-Request-Id %[unique-id]
    http-response set-header Flexslot-Proxy-Credential %[var(txn.kind)]
    default_backend flexslot
backend flexslot
    server flexslot {address}{server}
"#
    )
}

fn server(plan: &Plan<'_>) -> String {
    let authority = plan.upstream.authority.display();
    let tls = format!(" ssl verify required ca-file {authority} verifyhost {NAME} sni str({NAME})");
    match plan.form {
        Form::Plain => String::new(),
        Form::Tls => tls,
        Form::H2 => format!("{tls} alpn h2"),
    }
}

fn rules() -> String {
    let mut rules = String::new();
    for name in REQUEST {
        let _ = writeln!(rules, "    http-request del-header {name}");
    }
    for name in ANSWER {
        let _ = writeln!(rules, "    http-response del-header {name}");
    }
    rules
}
