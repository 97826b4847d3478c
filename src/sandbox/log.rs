//! The running log, and the requests remembered. Neither ever holds a token.

use std::{collections::VecDeque, sync::Arc};

use http::{HeaderMap, Method, header};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::broadcast;

use super::{call::BodySeen, faults::Endpoint};
use crate::model::{Timestamp, prefix};

/// How many lines a slow subscriber may lag behind, and how many the control API shows.
const LINES: usize = 1024;

/// Lines such as `token refresh george ok v2` and `GET /decks/ 401 invalid_token`.
pub(super) struct Log {
    lines: broadcast::Sender<Arc<str>>,
    recent: Mutex<VecDeque<Arc<str>>>,
}

/// A request as it arrived, with the credential's kind in place of its value.
#[derive(Debug, Clone, Serialize)]
pub struct Seen {
    /// RFC 3339.
    pub at: String,
    pub endpoint: Endpoint,
    pub method: String,
    /// The request target, byte for byte.
    pub target: String,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub version: String,
    /// In the order of first arrival of each name, names in lower case.
    pub headers: Vec<(String, String)>,
    pub credential: SeenCredential,
    pub body_length: u64,
    /// Hexadecimal SHA-256 of as much of the body as was read.
    pub body_sha256: String,
    /// `None`: the connection was cut without an answer.
    pub status: Option<u16>,
}

/// Whose credential a request carried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SeenCredential {
    /// `oauth`, `pat`, `unknown` or `none`.
    pub kind: &'static str,
    pub user: Option<String>,
    /// The grant's id.
    pub grant: Option<String>,
    /// Which pair of the grant the token belongs to.
    pub version: Option<u64>,
}

/// The requests remembered; what the body's hash is made of may still be growing.
pub(super) struct Memory {
    capacity: usize,
    requests: Mutex<VecDeque<Arc<Remembered>>>,
}

pub(super) struct Remembered {
    pub(super) at: Timestamp,
    pub(super) endpoint: Endpoint,
    pub(super) method: Method,
    pub(super) target: String,
    pub(super) version: http::Version,
    pub(super) headers: Vec<(String, String)>,
    pub(super) credential: SeenCredential,
    pub(super) body: Arc<BodySeen>,
    pub(super) status: Option<u16>,
}

// === impl Log ===

impl Log {
    pub(super) fn new() -> Self {
        Self { lines: broadcast::Sender::new(LINES), recent: Mutex::default() }
    }

    pub(super) fn line(&self, line: String) {
        tracing::info!(target: "sandbox", "{line}");
        let line: Arc<str> = line.into();
        let mut recent = self.recent.lock();
        if recent.len() == LINES {
            recent.pop_front();
        }
        recent.push_back(Arc::clone(&line));
        drop(recent);
        // Nobody has to listen.
        let _ = self.lines.send(line);
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Arc<str>> {
        self.lines.subscribe()
    }

    pub(super) fn recent(&self) -> Vec<Arc<str>> {
        self.recent.lock().iter().cloned().collect()
    }
}

// === impl Memory ===

impl Memory {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, requests: Mutex::default() }
    }

    pub(super) fn remember(&self, request: Remembered) {
        let mut requests = self.requests.lock();
        if self.capacity > 0 && requests.len() == self.capacity {
            requests.pop_front();
        }
        if self.capacity > 0 {
            requests.push_back(Arc::new(request));
        }
    }

    pub(super) fn forget(&self) {
        self.requests.lock().clear();
    }

    pub(super) fn list(&self) -> Vec<Seen> {
        let requests: Vec<_> = self.requests.lock().iter().cloned().collect();
        requests.iter().map(|request| request.seen()).collect()
    }
}

// === impl Remembered ===

impl Remembered {
    fn seen(&self) -> Seen {
        let (body_length, body_sha256) = self.body.summary();
        Seen {
            at: self.at.to_string(),
            endpoint: self.endpoint,
            method: self.method.to_string(),
            target: self.target.clone(),
            version: format!("{:?}", self.version),
            headers: self.headers.clone(),
            credential: self.credential.clone(),
            body_length,
            body_sha256,
            status: self.status,
        }
    }
}

/// The header lines, with only the scheme and the known prefix of what may be a secret.
pub(super) fn visible(headers: &HeaderMap) -> Vec<(String, String)> {
    let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
        let secret =
            [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE].contains(name) || name == "dpop";
        (name.as_str().to_owned(), if secret { masked(&text) } else { text })
    };
    headers.iter().map(line).collect()
}

fn masked(value: &str) -> String {
    let (scheme, rest) = value.split_once(' ').unwrap_or(("", value));
    let prefix =
        [prefix::ACCESS_TOKEN, prefix::REFRESH_TOKEN, prefix::PAT].into_iter().find(|prefix| rest.starts_with(prefix));
    format!("{scheme} {}[redacted]", prefix.unwrap_or_default()).trim_start().to_owned()
}

#[cfg(test)]
mod tests {
    use super::masked;

    #[test]
    fn a_credential_shows_its_scheme_and_prefix_only() {
        assert_eq!(masked("Bearer flx_at_canary"), "Bearer flx_at_[redacted]");
        assert_eq!(masked("Basic Y2FuYXJ5"), "Basic [redacted]");
        assert_eq!(masked("canary"), "[redacted]");
    }
}
