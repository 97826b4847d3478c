//! A strict local stand-in of Flexslot, for the demo, our tests and the users' own CI.
//!
//! It does what Flexslot's documentation says. Where that is silent it is as strict as the RFCs allow, and [`Settings`]
//! names the choices. Bodies of resources and the codes in their errors are made up, `FLEXSLOT_NOT_FOUND` aside. Rate
//! limits are not kept: a fault makes a 429.
//!
//! # The map
//!
//! ```text
//! server       accepts, speaks HTTP/1.1 and HTTP/2, cuts connections
//! dispatch     one request: whose is it, faults before, routing, faults after, counting, log
//! oauth/       token, authorize and consent, revoke, introspect, the user's connected apps
//! resources/   /api/public/v1: bearer check, decks, guides, sideboards, cards, exports, and the test-only probes
//! dpop/        proofs of possession: what one has to be, nonces, what was seen before
//! partner      the PAT-only endpoints, OAuth-client management among them
//! world, grants   what exists; issue, rotation, replay and end of grants
//! faults, counters, log   what goes wrong on demand; what was asked
//! control/     the same handle over HTTP
//! ```
//!
//! # Paths that Flexslot does not document
//!
//! `POST /decks/{id}/rollback`, `/decks/{id}/guide`, `/sideboards/…`, `GET /cards/autocomplete`, `POST /cards/resolve`,
//! `GET /cards/{name}`, `GET /exports/{deck}.pdf` (also `.docx`, `.xlsx`; `?size=` up to 64 MiB), and, for tests only,
//! `/sandbox/echo`, `/sandbox/mirror`, `/sandbox/stream`, all below `/api/public/v1`.
//!
//! # The control API
//!
//! `control/` has it over HTTP. Its calls, faults and counters are described in `docs/sandbox.md`, and a test holds
//! that page to the routes.

#![allow(clippy::result_large_err, reason = "an answer made early is moved once per request, next to work far larger")]

mod answer;
mod call;
mod control;
mod counters;
mod dispatch;
mod dpop;
mod faults;
mod grants;
mod ids;
mod log;
mod oauth;
mod params;
mod partner;
mod resources;
mod server;
mod settings;
mod shared;
#[cfg(test)]
mod tests;
mod world;

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::sync::broadcast;

pub use self::{
    counters::Counts,
    dpop::{KeyPair, Nonces, ProofRules, UnaskedProofs},
    faults::{Canned, Effect, Endpoint, Fault, Gate, Moment, RequestBody},
    grants::{End, GrantView, TokenPair},
    log::{Seen, SeenCredential},
    server::Running,
    settings::{
        Client, ClientRevocation, Consent, LoopbackPorts, PreviousAccess, Role, SCOPES, Seed, SeedUser, Settings,
    },
};
use self::{shared::Shared, world::Urls};
use crate::model::{Clock, GrantId, Random, ScopeSet, Secret};

/// The stand-in and the handle to it; clones are the same sandbox.
#[derive(Clone)]
pub struct Sandbox {
    shared: Arc<Shared>,
}

/// A user, a client or a grant that the sandbox does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unknown {
    User(String),
    Client(String),
    Grant(GrantId),
}

// === impl Sandbox ===

impl Sandbox {
    /// A sandbox with what `settings.seed` names.
    pub fn new(settings: Settings, clock: Arc<dyn Clock>, random: Random) -> Self {
        let seed = settings.seed.clone();
        let sandbox = Self { shared: Arc::new(Shared::new(settings, clock, random)) };
        for user in &seed.users {
            sandbox.add_user(&user.name);
            if user.role == Role::Partner {
                sandbox.add_partner(&user.name);
            }
            (1..=user.decks).for_each(|n| drop(sandbox.add_deck(&user.name, &format!("Deck {n} of {}", user.name))));
        }
        seed.clients.into_iter().for_each(|client| sandbox.add_client(client));
        sandbox
    }

    /// The issuer, which is the origin of every absolute URL. Empty until the sandbox serves, where the settings name
    /// none.
    pub fn origin(&self) -> &str {
        self.shared.origin()
    }

    /// Adds a user; one that is there stays as it is. The first is signed in.
    pub fn add_user(&self, name: &str) {
        self.shared.add_user(name);
    }

    /// Adds a user with an approved partner.
    pub fn add_partner(&self, name: &str) {
        let user = self.shared.add_user(name);
        user.partner.lock().get_or_insert_with(|| partner::Partner::new(name, &self.shared.random, self.shared.now()));
    }

    /// Adds a deck for a user, and the user where there is none. Answers the deck's id.
    pub fn add_deck(&self, user: &str, name: &str) -> String {
        let user = self.shared.add_user(user);
        user.shelf.lock().add_deck(name, &self.shared.random, self.shared.now())
    }

    /// Adds a client, in place of one with that `client_id`.
    pub fn add_client(&self, client: Client) {
        self.shared.add_client(client, Urls::default());
    }

    /// Revokes a client and with it every grant under it.
    pub fn revoke_client(&self, client_id: &str) -> Result<(), Unknown> {
        self.shared.revoke_client(&self.shared.registered(client_id)?);
        Ok(())
    }

    /// Whether the tokens that a client gets from now on are bound to a key.
    pub fn set_dpop_bound(&self, client_id: &str, bound: bool) -> Result<(), Unknown> {
        self.shared.registered(client_id)?.dpop_bound.store(bound, Ordering::Relaxed);
        Ok(())
    }

    /// What is asked of proofs now.
    pub fn proof_rules(&self) -> ProofRules {
        *self.shared.desk.rules.read()
    }

    /// Asks something else of proofs from now on.
    pub fn set_proof_rules(&self, rules: ProofRules) {
        *self.shared.desk.rules.write() = rules;
    }

    /// Every nonce so far is unknown from now on.
    pub fn forget_nonces(&self) {
        self.shared.desk.forget_nonces();
    }

    /// A new grant without the consent flow; `scopes` are separated by spaces. For a client whose tokens are bound the
    /// sandbox makes the key pair too, [`TokenPair::key`].
    pub fn issue_grant(&self, user: &str, client_id: &str, scopes: &str) -> Result<TokenPair, Unknown> {
        self.issue_grant_for(user, client_id, scopes, self.shared.settings.access_life)
    }

    /// The same, with another life of the first access token.
    pub fn issue_grant_for(
        &self,
        user: &str,
        client_id: &str,
        scopes: &str,
        life: Duration,
    ) -> Result<TokenPair, Unknown> {
        let bound = self.shared.registered(client_id)?.is_dpop_bound();
        let key = bound.then(|| KeyPair::generate(&self.shared.random));
        let jkt = key.as_ref().map(KeyPair::thumbprint);
        let pair = self.issue_grant_bound_to(user, client_id, scopes, life, jkt.as_deref())?;
        Ok(TokenPair { key, ..pair })
    }

    /// The same, bound to the key of that thumbprint, or to none, whatever the client asks for.
    pub fn issue_grant_bound_to(
        &self,
        user: &str,
        client_id: &str,
        scopes: &str,
        life: Duration,
        jkt: Option<&str>,
    ) -> Result<TokenPair, Unknown> {
        let user = self.shared.world.user(user).ok_or_else(|| Unknown::User(user.to_owned()))?;
        let client = self.shared.registered(client_id)?;
        Ok(self.shared.issue(&user, &client, &ScopeSet::new(scopes), life, jkt.map(Arc::from)).1)
    }

    /// A personal access token for everything that a user may do. Adds the user where there is none.
    pub fn add_pat(&self, user: &str) -> Secret {
        self.add_pat_with(user, &SCOPES.join(" "))
    }

    /// A personal access token for these scopes, separated by spaces.
    pub fn add_pat_with(&self, user: &str, scopes: &str) -> Secret {
        self.shared.add_pat(user, scopes)
    }

    /// Revokes a personal access token; one that is unknown is none already.
    pub fn revoke_pat(&self, pat: &Secret) {
        if let Some(pat) = self.shared.world.pat(pat.expose()) {
            pat.revoked.set(self.shared.now());
        }
    }

    /// Whose browser it is that comes to the consent page and to the connected apps.
    pub fn sign_in(&self, user: &str) {
        self.shared.add_user(user);
        *self.shared.world.signed_in.write() = Some(user.to_owned());
    }

    /// Switches between automatic consent and the page.
    pub fn set_consent(&self, consent: Consent) {
        *self.shared.consent.write() = consent;
    }

    /// The newest access token of a grant, and those before it, are expired from now on.
    pub fn expire_access(&self, grant: GrantId) -> Result<(), Unknown> {
        self.shared.known(grant).map(|grant| grant.expire_access())
    }

    /// The refresh token of a grant is expired from now on.
    pub fn expire_refresh(&self, grant: GrantId) -> Result<(), Unknown> {
        self.shared.known(grant).map(|grant| grant.expire_refresh(self.shared.now()))
    }

    /// Ends a grant, as its user would.
    pub fn revoke_grant(&self, grant: GrantId) -> Result<(), Unknown> {
        self.shared.known(grant).map(|grant| grant.end(End::Control))
    }

    /// Moves the sandbox's clock against the one that it was given; negative is earlier.
    pub fn set_clock_offset(&self, millis: i64) {
        self.shared.clock_offset.store(millis, Ordering::Relaxed);
    }

    /// Sets a fault, after those that are set already.
    pub fn fault(&self, fault: Fault) {
        self.shared.faults.add(fault);
    }

    /// Forgets every fault and releases every gate.
    pub fn clear_faults(&self) {
        self.shared.faults.clear();
    }

    /// Holds every request to `endpoint` before it is processed, until the gate is released.
    pub fn hold(&self, endpoint: Endpoint) -> Gate {
        let gate = Gate::new();
        self.fault(Fault::new(endpoint, Effect::Hold(gate.clone())));
        gate
    }

    /// Holds every answer of `endpoint` after its processing, until the gate is released.
    pub fn hold_answers(&self, endpoint: Endpoint) -> Gate {
        let gate = Gate::new();
        self.fault(Fault::new(endpoint, Effect::Hold(gate.clone())).after());
        gate
    }

    /// The counters now.
    pub fn counters(&self) -> Counts {
        self.shared.counters.snapshot()
    }

    /// Sets the counters to zero and forgets the requests; the counters of grants stay.
    pub fn reset_counters(&self) {
        self.shared.counters.reset();
        self.shared.memory.forget();
    }

    /// One grant with its counters.
    pub fn grant(&self, grant: GrantId) -> Result<GrantView, Unknown> {
        self.shared.known(grant).map(|grant| grant.view())
    }

    /// Every grant, oldest first.
    pub fn grants(&self) -> Vec<GrantView> {
        self.shared.world.all_grants().iter().map(|grant| grant.view()).collect()
    }

    /// The last requests, oldest first.
    pub fn requests(&self) -> Vec<Seen> {
        self.shared.memory.list()
    }

    /// The lines of the running log from now on; they go to tracing too, with the target `sandbox`.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<str>> {
        self.shared.log.subscribe()
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").field("origin", &self.origin()).finish_non_exhaustive()
    }
}

// === impl Unknown ===

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "the sandbox has no user {name}"),
            Self::Client(id) => write!(f, "the sandbox has no client {id}"),
            Self::Grant(id) => write!(f, "the sandbox has no grant {id}"),
        }
    }
}

impl std::error::Error for Unknown {}
