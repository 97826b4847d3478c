//! nginx with the same work. What it keeps of its defaults: buffers for answers, which spill into files. What it does
//! not: bodies of requests pass as they come.

use std::{fmt::Write as _, path::PathBuf};

use super::Plan;
use crate::{
    failure::Result,
    process,
    upstream::{self, Form},
    work::{PLAYER, STUDIO},
};

/// Headers of requests that end here. nginx takes off the hop-by-hop ones by itself.
const REQUEST: [&str; 19] = [
    "X-Flexslot-Tenant",
    "Proxy-Authorization",
    "DPoP",
    "Cookie",
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Real-IP",
    "X-HTTP-Method-Override",
    "X-HTTP-Method",
    "X-Method-Override",
    "X-Original-URL",
    "X-Rewrite-URL",
    "Origin",
    "Referer",
    "Sec-Fetch-Site",
    "Sec-Fetch-Mode",
    "Sec-Fetch-Dest",
];

/// Headers of answers that end here.
const ANSWER: [&str; 9] = [
    "Set-Cookie",
    "Alt-Svc",
    "Strict-Transport-Security",
    "Clear-Site-Data",
    "Access-Control-Allow-Origin",
    "Access-Control-Allow-Credentials",
    "Access-Control-Allow-Methods",
    "Access-Control-Allow-Headers",
    "DPoP-Nonce",
];

pub(super) fn prepare(plan: &Plan<'_>, port: u16) -> Result<(PathBuf, Vec<String>)> {
    let file = plan.write("nginx.conf", config(plan, port))?;
    let dir = plan.dir.display();
    let arguments = ["-p", &dir.to_string(), "-e", &format!("{dir}/log"), "-c", &file].map(str::to_owned);
    Ok((process::find("nginx")?, arguments.into()))
}

fn config(plan: &Plan<'_>, port: u16) -> String {
    let preamble = upstream::preamble(plan.dir, plan.workers());
    let address = format!("127.0.0.1:{}", plan.upstream.port(plan.form));
    let (dir, scheme, rules) = (plan.dir.display(), scheme(plan), rules());
    let credentials =
        [STUDIO, PLAYER].map(|tenant| format!("{} \"{}\";", tenant.name, tenant.authorization())).concat();
    let kinds = [STUDIO, PLAYER].map(|tenant| format!("{} {};", tenant.name, tenant.kind)).concat();
    format!(
        r#"{preamble}
log_format line escape=json '{{"time":"$time_iso8601","request_id":"$request_id","tenant":"$http_x_flexslot_tenant","credential":"$kind","method":"$request_method","path":"$uri","status":$status,"bytes":$body_bytes_sent,"duration":$request_time,"upstream":"$upstream_response_time"}}';
access_log {dir}/access line;
map_hash_bucket_size 256;
map $http_x_flexslot_tenant $credential {{ default ""; {credentials} }}
map $http_x_flexslot_tenant $kind {{ default ""; {kinds} }}
upstream flexslot {{
    server {address};
    keepalive 128;
    keepalive_requests 1000000000;
}}
server {{
    listen 127.0.0.1:{port} default_server;
    return 421;
}}
server {{
    listen 127.0.0.1:{port};
    server_name localhost 127.0.0.1;
    location / {{ return 404; }}
    location ^~ /api/public/v1/oauth/ {{ return 403; }}
    location /api/public/v1/ {{
        if ($credential = "") {{ return 401; }}
        proxy_pass {scheme};
        proxy_http_version 1.1;
        proxy_request_buffering off;
        proxy_set_header Connection "";
        proxy_set_header Host {address};
        proxy_set_header Authorization $credential;
        proxy_set_header Via "1.1 flexslot-proxy";
        add_header Flexslot-Proxy-Request-Id $request_id always;
        add_header Flexslot-Proxy-Credential $kind always;
{rules}    }}
}}
}}
"#
    )
}

/// nginx has no HTTP/2 to an upstream: it then speaks HTTP/1.1 over TLS.
fn scheme(plan: &Plan<'_>) -> String {
    if plan.form == Form::Plain {
        return "http://flexslot".into();
    }
    let (authority, name) = (plan.upstream.authority.display(), upstream::NAME);
    format!(
        "https://flexslot;\n        proxy_ssl_verify on;\n        proxy_ssl_trusted_certificate {authority};\n        \
         proxy_ssl_name {name};\n        proxy_ssl_server_name on;\n        proxy_ssl_session_reuse on"
    )
}

fn rules() -> String {
    let mut rules = String::new();
    for name in REQUEST {
        let _ = writeln!(rules, "        proxy_set_header {name} \"\";");
    }
    for name in ANSWER {
        let _ = writeln!(rules, "        proxy_hide_header {name};");
    }
    rules
}
