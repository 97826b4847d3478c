//! The upstream: nginx on the second core, which answers from memory, and 401 without a tenant's credential.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::{
    failure::{Result, Trying},
    process::{self, Cores, Pinned, Process},
    work::{PLAYER, STUDIO, Tenant, Work},
};

/// How a proxy speaks with the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Plain,
    /// HTTP/1.1 over TLS
    Tls,
    /// HTTP/2 over TLS
    H2,
}

#[derive(Debug)]
pub(crate) struct Upstream {
    ports: [u16; 3],
    /// The roots that its certificate is checked against, in PEM.
    pub(crate) authority: PathBuf,
    _process: Process,
}

/// The name in its certificate, besides its address.
pub(crate) const NAME: &str = "localhost";

// === impl Upstream ===

impl Upstream {
    pub(crate) fn start(dir: &Path, cores: Cores) -> Result<Self> {
        let what = || format!("preparing the upstream in {}", dir.display());
        fs::create_dir_all(dir).trying(what)?;
        let authority = make_certificates(dir)?;
        let exports = fs::File::create(dir.join("64m")).trying(what)?;
        exports.set_len(Work::Download.receives()).trying(what)?;
        let ports = [process::free_port()?, process::free_port()?, process::free_port()?];
        fs::write(dir.join("nginx.conf"), config(dir, ports)).trying(what)?;
        let process = cores.start(Pinned::Second, &mut nginx(dir)?)?;
        Ok(Self { ports, authority, _process: process })
    }

    pub(crate) fn port(&self, form: Form) -> u16 {
        self.ports[form as usize]
    }
}

// === nginx ===

/// nginx with the configuration in this directory, in which it keeps all that it writes.
pub(crate) fn nginx(dir: &Path) -> Result<Command> {
    let mut command = process::command(&process::find("nginx")?)?;
    command.arg("-p").arg(dir).arg("-e").arg(dir.join("log")).arg("-c").arg(dir.join("nginx.conf"));
    process::logging_to(&dir.join("log"), command)
}

/// What both nginxes have in common. The limits of requests per connection are those of the others: none.
pub(crate) fn preamble(dir: &Path, workers: usize) -> String {
    let dir = dir.display();
    let mut text = format!(
        "daemon off;\nuser root;\nworker_processes {workers};\npid {dir}/pid;\nevents {{ worker_connections 16384; }}\nhttp {{\n\
         keepalive_requests 1000000000;\nkeepalive_time 1d;\nclient_max_body_size 64m;\n"
    );
    for name in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        let _ = writeln!(text, "{name}_temp_path {dir}/{name};");
    }
    text
}

/// Its answers bring headers along that a proxy has to take off. What is sent to it is read whole, into memory, before its
/// answer: over HTTP/2 it takes many bodies that it has not read for an attack, and ends the connection.
fn config(dir: &Path, [plain, tls, h2]: [u16; 3]) -> String {
    let preamble = preamble(dir, 1);
    let known = [STUDIO, PLAYER].map(|tenant: Tenant| format!("\"{}\" 1;", tenant.authorization())).concat();
    let [get, post, download, upload] = [Work::Get, Work::Post, Work::Download, Work::Upload].map(Work::path);
    let body = body();
    let dir = dir.display();
    format!(
        r#"{preamble}
access_log off;
keepalive_timeout 1h;
sendfile on;
default_type application/json;
map_hash_bucket_size 256;
map $http_authorization $known {{ default 0; {known} }}
upstream read {{ server unix:{dir}/read; keepalive 64; }}
server {{
    listen 127.0.0.1:{plain};
    listen 127.0.0.1:{tls} ssl;
    listen 127.0.0.1:{h2} ssl http2;
    ssl_certificate {dir}/certificate.pem;
    ssl_certificate_key {dir}/key.pem;
    add_header Set-Cookie "session=upstream; Path=/";
    add_header Strict-Transport-Security "max-age=31536000";
    add_header Cache-Control "private, max-age=60";
    if ($known = 0) {{ return 401; }}
    location = {get} {{ return 200 '{body}'; }}
    proxy_http_version 1.1;
    proxy_pass_request_body off;
    proxy_set_header Connection "";
    proxy_set_header Content-Length "";
    location = {post} {{ proxy_pass http://read; }}
    location = {download} {{ alias {dir}/64m; }}
    location = {upload} {{
        client_body_buffer_size 65m;
        proxy_pass http://read;
    }}
}}
server {{
    listen unix:{dir}/read;
    location / {{ return 200 '{{"id":"76543210"}}'; }}
}}
}}
"#
    )
}

/// The 1 KiB of a deck.
fn body() -> String {
    let (front, end) = (r#"{"id":"0190c2f4-7b1e-7c3a-9d52-6f1e8a4b2c10","cards":""#, r#""}"#);
    let length = usize::try_from(Work::Get.receives()).unwrap_or(0) - front.len() - end.len();
    format!("{front}{}{end}", "x".repeat(length))
}

// === certificates ===

/// An authority, which stays in memory, and a certificate of its making. Returns where the authority's own certificate is.
fn make_certificates(dir: &Path) -> Result<PathBuf> {
    let what = || "making certificates".to_owned();
    let mut params = CertificateParams::new(Vec::new()).trying(what)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().trying(what)?;
    let authority = params.self_signed(&key).trying(what)?;
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().trying(what)?;
    let mut params = CertificateParams::new(vec![NAME.into(), "127.0.0.1".into()]).trying(what)?;
    params.distinguished_name.push(DnType::CommonName, NAME);
    let certificate = params.signed_by(&key, &issuer).trying(what)?;
    let path = dir.join("authority.pem");
    fs::write(&path, authority.pem()).trying(what)?;
    fs::write(dir.join("certificate.pem"), certificate.pem()).trying(what)?;
    fs::write(dir.join("key.pem"), key.serialize_pem()).trying(what)?;
    Ok(path)
}
