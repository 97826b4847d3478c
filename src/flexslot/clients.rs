//! The management of OAuth clients, by a personal access token of their partner (Flexslot's documentation, client
//! management).
//!
//! [`ClientManagement`] is a trait so that commands can be tested against a scripted server; [`HttpClientManagement`] is
//! the real thing, and [`answer`] reads what it is told without doing any I/O. Nothing here is sent a second time by itself: a rotation that is asked for twice makes the first
//! secret void, and a creation makes two clients.

pub mod answer;
mod http;

use std::{fmt, time::Duration};

use async_trait::async_trait;

use crate::model::{ClientDescription, NewClient, Secret, Timestamp};

pub use self::http::HttpClientManagement;

/// Where people manage clients by hand.
pub const CLIENTS_PAGE: &str = "https://flexslot.gg/account?section=api-access";

/// How long one request may take. Who waits for it is a person.
pub const MANAGEMENT_TIMEOUT: Duration = Duration::from_secs(30);

/// A client with its secret, which Flexslot shows this once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    pub client: ClientDescription,
    /// `None` for a public client.
    pub secret: Option<Secret>,
}

/// What Flexslot says of the PAT that asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatMetadata {
    pub name: Option<String>,
    pub scopes: Vec<String>,
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
}

/// Why Flexslot did not do what it was asked.
///
/// `Display` is for operators: in our own words, and of Flexslot's its `FLEXSLOT_…` code at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManagementError {
    /// It never left: nothing has changed.
    NotSent(String),
    /// It was sent, and no usable answer came: it may have been done.
    Unknown(String),
    /// Flexslot has said no: nothing has changed.
    Refused(Refused),
}

/// A no of Flexslot's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub why: WhyRefused,
    pub status: u16,
    /// `FLEXSLOT_…`, where the answer has one.
    pub code: Option<String>,
}

/// What a no means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyRefused {
    /// It does not take the PAT.
    Pat,
    /// The PAT's owner is no partner, or may not do this.
    NotAllowed,
    /// There is no such client among the partner's, or there is no partner.
    NotFound,
    /// It does not take what was asked for: the eleventh client, or something in it.
    Invalid,
    /// Not now.
    Busy { retry_after: Option<Duration> },
    /// It offers no way to revoke a client that we know of.
    NoRevocation,
    /// Anything else.
    Other,
}

/// The endpoints that manage a partner's clients. Every call presents `pat`.
#[async_trait]
pub trait ClientManagement: Send + Sync + 'static {
    /// The partner's clients, without revoked ones.
    async fn list(&self, pat: &Secret) -> Result<Vec<ClientDescription>, ManagementError>;

    /// Makes a client.
    async fn create(&self, pat: &Secret, new: &NewClient) -> Result<Issued, ManagementError>;

    /// Gives a confidential client another secret; the one before is void from that moment on.
    async fn rotate_secret(&self, pat: &Secret, client_id: &str) -> Result<Issued, ManagementError>;

    /// Ends a client with all of its grants and tokens.
    async fn revoke(&self, pat: &Secret, client_id: &str) -> Result<(), ManagementError>;

    /// What the PAT is; a probe that changes nothing.
    async fn pat_metadata(&self, pat: &Secret) -> Result<PatMetadata, ManagementError>;
}

// === impl ManagementError ===

impl ManagementError {
    /// What mends it, where there is something to do.
    pub fn hint(&self) -> Option<String> {
        let Self::Refused(Refused { why, .. }) = self else { return None };
        match why {
            WhyRefused::Pat => {
                Some("make a new PAT at Flexslot, and store it: flexslot-proxy tenant set-pat TENANT".into())
            }
            WhyRefused::NotAllowed => Some(
                "only an approved partner's PAT manages clients; name a tenant that has one: --tenant NAME".into(),
            ),
            WhyRefused::NotFound => Some(
                "client list shows the clients of the PAT's owner; one of another partner takes that partner's PAT, by \
                 --tenant"
                    .into(),
            ),
            WhyRefused::NoRevocation => Some(format!("revoke it by hand: {CLIENTS_PAGE}")),
            WhyRefused::Busy { retry_after: Some(after) } => Some(format!("try again in {} s", after.as_secs().max(1))),
            WhyRefused::Busy { retry_after: None } => Some("try again in a minute".into()),
            WhyRefused::Invalid => {
                Some(format!("try the same on Flexslot's page, which says what it objects to: {CLIENTS_PAGE}"))
            }
            WhyRefused::Other => None,
        }
    }
}

impl fmt::Display for ManagementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent(what) => write!(f, "Flexslot was not asked: {what}"),
            Self::Unknown(what) => write!(f, "Flexslot was asked, and nobody knows what came of it: {what}"),
            Self::Refused(refused) => refused.fmt(f),
        }
    }
}

impl std::error::Error for ManagementError {}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.why {
            WhyRefused::Pat => "Flexslot refuses the personal access token",
            WhyRefused::NotAllowed => "Flexslot does not let this personal access token manage clients",
            WhyRefused::NotFound => "Flexslot knows no such client of this partner, or no partner of this token",
            WhyRefused::Invalid => "Flexslot does not take this",
            WhyRefused::Busy { .. } => "Flexslot refuses it for now",
            WhyRefused::NoRevocation => "Flexslot has no way to revoke a client that this version knows",
            WhyRefused::Other => "Flexslot refuses it",
        })?;
        match &self.code {
            Some(code) => write!(f, " ({} {code})", self.status),
            None => write!(f, " ({})", self.status),
        }
    }
}
