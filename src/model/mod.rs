//! What exists: the words of this program, without any machinery behind them.
//!
//! Nothing in here imports another room. The clock ([`SystemClock`]) and the operating system's randomness
//! ([`Random::system`]) are the only I/O, and both are handed to whoever needs them. In builds for tests, [`failpoint`]
//! can end the process besides.

pub mod ago;
pub mod allow;
pub mod base_url;
pub mod clock;
pub mod connection;
pub mod credential;
pub mod failpoint;
pub mod file_access;
pub mod host;
pub mod import;
pub mod json;
pub mod listen;
pub mod oauth_client;
pub mod observe;
pub mod origin;
pub mod peer;
pub mod prefix;
pub mod problem;
pub mod proof_key;
pub mod random;
pub mod redirect_uri;
pub mod refresh;
pub mod request_id;
pub mod scope;
pub mod secret;
pub mod seldom;
pub mod speaks_for;
pub mod tenant;
pub mod token;
pub mod trace;
pub mod web_origin;

pub use ago::Ago;
pub use allow::AllowRule;
pub use base_url::BaseUrl;
pub use clock::{Clock, SystemClock, Timestamp};
pub use connection::{Card, ConnectionState, Identity, NextStep, PatState, Reason, SessionId};
pub use credential::{CredentialKind, PatFallback, PatSource};
pub use file_access::FileAccess;
pub use host::HostPattern;
pub use listen::{ListenAddress, ListenOn, Need};
pub use oauth_client::{ClientDescription, ClientStatus, ClientType, NewClient};
pub use observe::{Observer, Unobserved};
pub use origin::Origin;
pub use peer::Peer;
pub use problem::{Action, Problem};
pub use proof_key::ProofKey;
pub use random::Random;
pub use redirect_uri::RedirectUri;
pub use request_id::RequestId;
pub use scope::{Scope, ScopeSet};
pub use secret::Secret;
pub use seldom::Seldom;
pub use speaks_for::SpeaksFor;
pub use tenant::{NamedBy, TenantId};
pub use token::{Freshness, Grant, GrantId, GrantState, Provenance, TokenSet, TokenType, Version};
pub use trace::{SpanContext, Trace, Traced, Tracer, Untraced};
pub use web_origin::WebOrigin;
