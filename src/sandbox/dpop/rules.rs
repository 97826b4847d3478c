//! What the sandbox asks of proofs; Flexslot documents none of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Server;

/// What is asked of proofs. The control API shows and sets it as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProofRules {
    /// How far a proof's `iat` may be from the sandbox's clock, on either side.
    pub tolerance: Duration,
    pub token_nonces: Nonces,
    pub api_nonces: Nonces,
    /// How long a nonce is good.
    pub nonce_life: Duration,
    pub unasked: UnaskedProofs,
}

/// Whether a proof needs a nonce of the server's, and how often there is a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nonces {
    Off,
    /// A proof without a good one gets one, with `use_dpop_nonce`.
    Demanded,
    /// The same, and every answer has a new one. All are good until their time is over.
    Rotated,
    /// The same, and each is good once.
    Once,
}

/// What comes of a proof at the token endpoint for a client without `dpop_bound_access_tokens`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnaskedProofs {
    /// Nothing: the tokens are bearer tokens.
    Ignored,
    /// It is checked, and the tokens are bound to its key.
    Bind,
}

/// How often one nonce is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Uses {
    Many,
    Once,
}

// === impl ProofRules ===

impl ProofRules {
    pub(super) fn nonces(&self, server: Server) -> Nonces {
        match server {
            Server::Token => self.token_nonces,
            Server::Api => self.api_nonces,
        }
    }
}

impl Default for ProofRules {
    fn default() -> Self {
        Self {
            tolerance: Duration::from_secs(60),
            token_nonces: Nonces::Off,
            api_nonces: Nonces::Off,
            nonce_life: Duration::from_secs(60),
            unasked: UnaskedProofs::Ignored,
        }
    }
}

// === impl Nonces ===

impl Nonces {
    /// `None`: no nonce is needed.
    pub(super) fn uses(self) -> Option<Uses> {
        match self {
            Self::Off => None,
            Self::Demanded | Self::Rotated => Some(Uses::Many),
            Self::Once => Some(Uses::Once),
        }
    }

    pub(super) fn rotate(self) -> bool {
        matches!(self, Self::Rotated | Self::Once)
    }
}
