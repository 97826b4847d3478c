//! Tokens that are bound to a key: every request with them proves that the key is here (RFC 9449).

use std::{fmt, sync::Arc};

use arc_swap::ArcSwap;
use http::{HeaderMap, Method};

use super::{Credentials, Picked};
use crate::{
    flexslot::dpop::{AccessTokenHash, Proof, ProofDemand, ProofTarget, Prover},
    model::{Origin, ProofKey, Secret},
};

/// What an access token is bound to, with what a proof says of the token.
#[derive(Clone)]
pub struct Binding {
    key: ProofKey,
    token: AccessTokenHash,
}

/// What the API's servers want of proofs, as far as their answers have told: those of one origin, the configured one.
pub(super) struct Provers(ArcSwap<(Origin, Prover)>);

// === impl Binding ===

impl Binding {
    pub(super) fn new(key: ProofKey, access: &Secret) -> Self {
        Self { key, token: AccessTokenHash::of(access) }
    }
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Binding").field(&self.key).finish()
    }
}

// === impl Credentials ===

impl Credentials {
    /// A proof for one request with what was picked, of `path`, which has no query; `None` where its tokens are not bound.
    /// `wanted` is what the answer to an earlier send has said.
    pub fn prove(&self, picked: &Picked, method: &Method, path: &str, wanted: Option<ProofDemand>) -> Option<Proof> {
        let Binding { key, token } = picked.binding.as_ref()?;
        let works = &self.works;
        let provers = works.provers.0.load();
        let (origin, prover) = &**provers;
        let url = format!("{origin}{path}");
        let target = ProofTarget { method, url: &url, token: Some(token) };
        let (now, random) = (works.own_time(), &works.random);
        Some(prover.prove(wanted, key, &target, now, random))
    }

    /// Learns from the answer to a request that `proof` went with. Answers by what another proof would be made, where the
    /// answer refuses this one; `None` where it would be no other.
    pub fn answered(&self, proof: &Proof, headers: &HeaderMap) -> Option<ProofDemand> {
        let provers = self.works.provers.0.load();
        let (_, prover) = &**provers;
        prover.answered(proof, headers, self.works.own_time())
    }
}

// === impl Provers ===

impl Provers {
    pub(super) fn of(origin: Origin) -> Self {
        Self(ArcSwap::from_pointee((origin, Prover::default())))
    }

    /// Forgets what one origin has told where it is another's turn.
    pub(super) fn turn_to(&self, origin: &Origin) {
        if self.0.load().0 != *origin {
            self.0.store(Arc::new((origin.clone(), Prover::default())));
        }
    }
}
