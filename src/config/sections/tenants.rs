//! `[[tenants]]`: what the file knows of a tenant. Others live in the store alone.

use super::super::ConfiguredSecret;
use crate::model::{AllowRule, CredentialKind, PatFallback, TenantId};

/// One of `[[tenants]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    pub name: TenantId,
    /// Wins over the store's.
    pub pat: Option<ConfiguredSecret>,
    /// Which kinds may be used, best first; at least one, none twice.
    pub credentials: Vec<CredentialKind>,
    pub pat_fallback: PatFallback,
    /// `None`: everything that the proxy forwards at all.
    pub allow: Option<Vec<AllowRule>>,
}
