//! What is asked of proofs, as JSON.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::sandbox::{Nonces, ProofRules, UnaskedProofs};

/// What is left out stays as it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    tolerance_seconds: Option<u64>,
    token_nonces: Option<Nonces>,
    api_nonces: Option<Nonces>,
    nonce_seconds: Option<u64>,
    unasked: Option<UnaskedProofs>,
}

pub(super) fn changed(rules: ProofRules, change: Change) -> ProofRules {
    ProofRules {
        tolerance: change.tolerance_seconds.map_or(rules.tolerance, Duration::from_secs),
        token_nonces: change.token_nonces.unwrap_or(rules.token_nonces),
        api_nonces: change.api_nonces.unwrap_or(rules.api_nonces),
        nonce_life: change.nonce_seconds.map_or(rules.nonce_life, Duration::from_secs),
        unasked: change.unasked.unwrap_or(rules.unasked),
    }
}

pub(super) fn describe(rules: ProofRules) -> Value {
    json!({
        "tolerance_seconds": rules.tolerance.as_secs(), "token_nonces": rules.token_nonces,
        "api_nonces": rules.api_nonces, "nonce_seconds": rules.nonce_life.as_secs(), "unasked": rules.unasked,
    })
}
