//! A sidecar with two tenants, and bytes as the cases write them.

use tempfile::TempDir;

use crate::support::process::{Exit, Launch, Sidecar};

/// A sidecar in front of one upstream.
pub(super) struct Setup {
    pub(super) sidecar: Sidecar,
    _dir: TempDir,
}

/// What a sidecar wrote about one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) path: String,
    /// What the upstream answered; absent where nothing was sent to it, or nothing came back.
    pub(super) upstream_status: Option<u64>,
}

// === impl Setup ===

impl Setup {
    /// Its configuration has these lines besides; the tenants `acme` and `beta` have a PAT each.
    pub(super) async fn before(upstream: &str, config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let toml = format!(
            r#"{config}
server.listen = "127.0.0.1:0"
admin.listen = "127.0.0.1:0"
admin.token = {{ env = "ADMIN_TOKEN" }}
upstream.url = {upstream:?}
upstream.proxy = "off"
store.url = "memory:"
log.format = "json"
[[tenants]]
name = "acme"
pat = {{ env = "ACME" }}
[[tenants]]
name = "beta"
pat = {{ env = "BETA" }}
"#
        );
        std::fs::write(dir.path().join("proxy.toml"), toml).unwrap();
        let launch = Launch::sidecar(dir.path(), &["serve", "--config", "proxy.toml"])
            .env("ADMIN_TOKEN", "the-admin-token-of-this-test")
            .env("ACME", "flx_pat_of_acme_for_this_test")
            .env("BETA", "flx_pat_of_beta_for_this_test");
        Self { sidecar: launch.listening().await, _dir: dir }
    }

    /// Ends the sidecar, and answers what its access log says.
    pub(super) async fn lines(self) -> Vec<Line> {
        let Exit { status, stderr, .. } = self.sidecar.stop().await;
        assert!(status.success(), "{status}: {stderr}");
        let lines = stderr.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        lines
            .filter(|line| line["target"] == "access")
            .map(|line| Line {
                path: line["path"].as_str().expect("a path").to_owned(),
                upstream_status: line["upstream_status"].as_u64(),
            })
            .collect()
    }
}

// === bytes ===

/// The bytes of a text in which a character up to U+00FF stands for the byte of that number; any other is in UTF-8.
pub(super) fn bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for character in text.chars() {
        match u8::try_from(character) {
            Ok(byte) => bytes.push(byte),
            Err(_) => bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

/// The same text with every occurrence of `{mark}` replaced.
pub(super) fn marked(bytes: &[u8], mark: &str) -> Vec<u8> {
    const PLACE: &[u8] = b"{mark}";
    let (mut out, mut rest) = (Vec::with_capacity(bytes.len()), bytes);
    while let Some(at) = rest.iter().position(|&byte| byte == PLACE[0]) {
        out.extend_from_slice(&rest[..at]);
        let (written, length) =
            if rest[at..].starts_with(PLACE) { (mark.as_bytes(), PLACE.len()) } else { (&PLACE[..1], 1) };
        out.extend_from_slice(written);
        rest = &rest[at + length..];
    }
    out.extend_from_slice(rest);
    out
}

/// A text short enough to be part of a case's name, with everything that is not to be seen escaped.
pub(super) fn shown(text: &str) -> String {
    let escaped: String = text.chars().flat_map(char::escape_default).collect();
    match escaped.char_indices().nth(80) {
        Some((at, _)) => format!("{}… ({} bytes)", &escaped[..at], text.len()),
        None => escaped,
    }
}
