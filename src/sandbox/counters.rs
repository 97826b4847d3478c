//! What was asked, counted.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use dashmap::DashMap;
use http::StatusCode;
use serde::Serialize;

use super::{dpop, faults::Endpoint};

#[derive(Default)]
pub(super) struct Counters {
    pub(super) connections: AtomicU64,
    pub(super) cut: AtomicU64,
    pub(super) replays: AtomicU64,
    pub(super) code_replays: AtomicU64,
    pub(super) presented_after_end: AtomicU64,
    pub(super) refreshes: AtomicU64,
    proofs: AtomicU64,
    proofs_refused: DashMap<&'static str, u64>,
    answers: DashMap<(Endpoint, u16), u64>,
    grant_types: DashMap<String, u64>,
    credentials: DashMap<&'static str, u64>,
}

/// The counters at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// TCP connections accepted.
    pub connections: u64,
    /// Connections that a fault closed.
    pub cut: u64,
    /// Requests by endpoint and status of the answer; status 0 stands for a connection cut without one.
    pub answers: BTreeMap<Endpoint, BTreeMap<u16, u64>>,
    /// Token requests by `grant_type`, whatever came of them; `other` for none and for unknown ones.
    pub token_requests: BTreeMap<String, u64>,
    /// Refreshes that rotated a pair, also where the answer was lost.
    pub refreshes: u64,
    /// Spent refresh tokens presented.
    pub replays: u64,
    /// Spent authorization codes presented.
    pub code_replays: u64,
    /// Requests, of resources or tokens, that carried a token of a grant that had ended before. Revocations and
    /// introspections do not count.
    pub presented_after_end: u64,
    /// DPoP proofs presented where one is looked at, whatever came of them.
    pub proofs: u64,
    /// Requests refused for their proof, by what was wrong with it; `missing` for none.
    pub proofs_refused: BTreeMap<String, u64>,
    /// Proofs whose `jti` had been seen before, which are among those refused.
    pub proof_replays: u64,
    /// Resource requests by credential: `oauth`, `pat`, `unknown`, `none`.
    pub credentials: BTreeMap<String, u64>,
}

// === impl Counters ===

impl Counters {
    pub(super) fn answered(&self, endpoint: Endpoint, status: Option<StatusCode>) {
        *self.answers.entry((endpoint, status.map_or(0, |status| status.as_u16()))).or_default() += 1;
    }

    pub(super) fn token_request(&self, grant_type: Option<&str>) {
        let known = ["authorization_code", "refresh_token"].into_iter().find(|known| grant_type == Some(known));
        *self.grant_types.entry(known.unwrap_or("other").to_owned()).or_default() += 1;
    }

    pub(super) fn proof(&self) {
        self.proofs.fetch_add(1, Relaxed);
    }

    pub(super) fn proof_refused(&self, fault: dpop::Fault) {
        *self.proofs_refused.entry(fault.word()).or_default() += 1;
    }

    pub(super) fn credential(&self, kind: &'static str) {
        *self.credentials.entry(kind).or_default() += 1;
    }

    pub(super) fn snapshot(&self) -> Counts {
        let mut answers: BTreeMap<Endpoint, BTreeMap<u16, u64>> = BTreeMap::new();
        for entry in &self.answers {
            let (endpoint, status) = *entry.key();
            answers.entry(endpoint).or_default().insert(status, *entry.value());
        }
        Counts {
            connections: self.connections.load(Relaxed),
            cut: self.cut.load(Relaxed),
            answers,
            token_requests: self.grant_types.iter().map(|entry| (entry.key().clone(), *entry.value())).collect(),
            refreshes: self.refreshes.load(Relaxed),
            replays: self.replays.load(Relaxed),
            code_replays: self.code_replays.load(Relaxed),
            presented_after_end: self.presented_after_end.load(Relaxed),
            proofs: self.proofs.load(Relaxed),
            proofs_refused: self.proofs_refused.iter().map(|e| ((*e.key()).to_owned(), *e.value())).collect(),
            proof_replays: self.proofs_refused.get(dpop::Fault::Jti.word()).map_or(0, |entry| *entry),
            credentials: self.credentials.iter().map(|entry| ((*entry.key()).to_owned(), *entry.value())).collect(),
        }
    }

    pub(super) fn reset(&self) {
        for counter in [
            &self.connections,
            &self.cut,
            &self.replays,
            &self.code_replays,
            &self.presented_after_end,
            &self.refreshes,
            &self.proofs,
        ] {
            counter.store(0, Relaxed);
        }
        self.answers.clear();
        self.grant_types.clear();
        self.proofs_refused.clear();
        self.credentials.clear();
    }
}

// === impl Counts ===

impl Counts {
    /// Requests to `endpoint`, whatever the answer.
    pub fn requests(&self, endpoint: Endpoint) -> u64 {
        self.answers.get(&endpoint).map_or(0, |answers| answers.values().sum())
    }

    /// Answers of `endpoint` with that status; 0 stands for a cut connection.
    pub fn with_status(&self, endpoint: Endpoint, status: u16) -> u64 {
        self.answers.get(&endpoint).and_then(|answers| answers.get(&status)).copied().unwrap_or(0)
    }

    /// Token requests with that `grant_type`.
    pub fn token_requests(&self, grant_type: &str) -> u64 {
        self.token_requests.get(grant_type).copied().unwrap_or(0)
    }

    /// Requests refused because that was wrong with their proof: `jti`, `nonce`, `iat`, ….
    pub fn proofs_refused(&self, fault: &str) -> u64 {
        self.proofs_refused.get(fault).copied().unwrap_or(0)
    }

    /// Resource requests with that kind of credential.
    pub fn credentials(&self, kind: &str) -> u64 {
        self.credentials.get(kind).copied().unwrap_or(0)
    }
}
