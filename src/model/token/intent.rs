//! What is written down before a token request, so that whoever comes after knows that there was one.

use super::{GrantId, Version};
use crate::model::Timestamp;

/// Written before a token request and removed with its outcome: who presented which refresh token, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    pub grant: GrantId,
    pub version: Version,
    /// SHA-256 of the refresh token that is presented.
    pub refresh_hash: [u8; 32],
    pub owner: Owner,
    /// By the store's clock.
    pub at: Timestamp,
    pub attempt: Attempt,
}

/// How often the refresh token of an [`Intent`] has been presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    First,
    /// After a first attempt whose outcome is unknown; there is no third.
    LastResort,
}

/// A process that renews: the host it runs on and the random name of its instance lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    pub host: String,
    pub instance: String,
}
