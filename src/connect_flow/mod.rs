//! From "Connect Flexslot" to a grant: the authorization code flow with PKCE (RFC 6749 section 4.1, RFC 7636).
//!
//! A connect session is a link for one tenant, open for ten minutes. What happens to it, in order:
//!
//! - [`begin`]: what its page shows, which consumes nothing; then the flow at Flexslot: `state`, verifier and binding.
//! - [`callback`]: what the browser brings back. `state` and the binding are checked first, then `iss`, then the rest.
//! - `finish`: the code is redeemed; whose grant it is decides what becomes of it.
//! - [`confirm`]: the last word of a browser that has consented as another Flexslot user than before.
//!
//! These know nothing of HTTP, so that a terminal can walk the same way. For browsers there are `http`, which has the
//! routes, `cookie` and `pages`. [`outcome`] names every end, and [`settings`] what the configuration says.
//!
//! Nothing in here logs a session's id, a `state`, a code, a verifier, a binding or a token.

pub mod begin;
pub mod callback;
pub mod confirm;
mod cookie;
mod finish;
pub mod http;
pub mod outcome;
mod pages;
mod return_to;
pub mod settings;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc};

use arc_swap::ArcSwap;

use crate::{
    credential::Credentials,
    model::{Clock, Random},
};

pub use self::{
    callback::Answer,
    outcome::{Explained, Outcome, Refusal, Refused},
    settings::Settings,
};

/// The way of every consent. Cheap to clone.
#[derive(Clone)]
pub struct ConnectFlow(Arc<Works>);

/// What all of its steps share.
struct Works {
    credentials: Credentials,
    settings: ArcSwap<Settings>,
    clock: Arc<dyn Clock>,
    random: Random,
}

// === impl ConnectFlow ===

impl ConnectFlow {
    /// Builds the room.
    pub fn new(credentials: Credentials, settings: Settings, clock: Arc<dyn Clock>, random: Random) -> Self {
        Self(Arc::new(Works { credentials, settings: ArcSwap::from_pointee(settings), clock, random }))
    }

    /// Takes over a new configuration. A flow that is under way goes on as it began.
    pub fn reload(&self, settings: Settings) {
        self.0.settings.store(Arc::new(settings));
    }

    /// What the configuration says now.
    pub fn settings(&self) -> Arc<Settings> {
        self.0.settings.load_full()
    }

    /// Why it came to nothing, for who reads no page.
    pub fn explain(&self, why: &Refusal) -> Explained {
        pages::explained(why, &self.settings())
    }

    fn credentials(&self) -> &Credentials {
        &self.0.credentials
    }
}

impl fmt::Debug for ConnectFlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectFlow").field("settings", &self.settings()).finish_non_exhaustive()
    }
}
