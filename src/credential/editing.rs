//! Credentials that apps and people put in and take away.

use super::{Credentials, works::Works};
use crate::{
    model::{Secret, TenantId, TokenSet},
    store::{Existing, Imported, NewGrant, NewTenant, Removed, StoreError, StoredPat},
};

/// A credential that an app brings.
#[derive(Debug, Clone)]
pub struct Brought {
    pub pat: Option<Secret>,
    pub grant: Option<BroughtGrant>,
}

/// A grant among these.
#[derive(Debug, Clone)]
pub struct BroughtGrant {
    pub client_id: String,
    pub tokens: TokenSet,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Import {
    Added,
    Replaced,
    /// The tenant has a credential, and that was to stay.
    Skipped,
    /// The very refresh token that was brought is being presented; the grant stays as it is. A PAT that came with it was
    /// taken.
    Uncertain,
}

/// Why a tenant's credential is not changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EditError {
    /// proxy.toml, or `FLEXSLOT_PAT`, sets the PAT.
    PatIsConfigured,
    /// It cannot stand in a header.
    Malformed,
    /// Neither the configuration nor the store has the OAuth client that the grant was given to.
    UnknownClient(String),
    Store(StoreError),
}

// === impl EditError ===

impl From<StoreError> for EditError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl std::fmt::Display for EditError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::PatIsConfigured => f.write_str("proxy.toml sets the tenant's PAT; change it there"),
            Self::Malformed => f.write_str("the token has characters that cannot stand in a header"),
            Self::UnknownClient(client) => write!(f, "neither [oauth] nor the store has the OAuth client {client}"),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for EditError {}

// === impl Credentials ===

impl Credentials {
    /// Stores a PAT in place of whatever PAT the tenant had.
    pub async fn set_pat(&self, tenant: &TenantId, pat: Secret) -> Result<(), EditError> {
        let pat = self.works.new_pat(tenant, pat)?;
        self.works.store.put_pat(tenant, &pat).await?;
        self.works.look_again_at(tenant).await;
        Ok(())
    }

    /// Forgets the tenant's PAT. Answers whether there was one.
    pub async fn remove_pat(&self, tenant: &TenantId) -> Result<bool, EditError> {
        self.works.may_change_pat(tenant)?;
        let removed = self.works.store.remove_pat(tenant).await?;
        self.works.look_again_at(tenant).await;
        Ok(removed)
    }

    /// Stores what an app brings; `existing` says what happens where the tenant has a credential.
    pub async fn import_grant(
        &self,
        tenant: &TenantId,
        brought: Brought,
        existing: Existing,
    ) -> Result<Import, EditError> {
        let Brought { pat, grant } = brought;
        let settings = self.works.settings();
        let pat = pat.map(|pat| self.works.new_pat(tenant, pat)).transpose()?;
        if let Some(grant) = &grant {
            if !settings.endpoint.knows(&grant.client_id) {
                return Err(EditError::UnknownClient(grant.client_id.clone()));
            }
            // Without an access token the grant is refreshed at first need.
            if !grant.tokens.access.is_empty() && !grant.tokens.access.is_header_safe() {
                return Err(EditError::Malformed);
            }
        }
        let grant = grant.map(|grant| NewGrant {
            client_id: grant.client_id,
            origin: settings.origin.clone(),
            tokens: grant.tokens,
        });
        let new = NewTenant { tenant: tenant.clone(), pat, grant };
        let imported = self.works.store.import(vec![new], existing).await?;
        self.works.look_again_at(tenant).await;
        Ok(of_one(&imported))
    }

    /// Forgets both credentials of the tenant, and revokes nothing.
    pub async fn remove(&self, tenant: &TenantId) -> Result<Removed, StoreError> {
        let removed = self.works.store.remove(tenant).await?;
        self.works.look_again_at(tenant).await;
        Ok(removed)
    }
}

/// What became of the only tenant of an import.
fn of_one(imported: &Imported) -> Import {
    match imported {
        Imported { added: 1.., .. } => Import::Added,
        Imported { replaced: 1.., .. } => Import::Replaced,
        Imported { uncertain: 1.., .. } => Import::Uncertain,
        Imported { .. } => Import::Skipped,
    }
}

// === impl Works ===

impl Works {
    /// A PAT for the store, of the configured upstream.
    fn new_pat(&self, tenant: &TenantId, pat: Secret) -> Result<StoredPat, EditError> {
        self.may_change_pat(tenant)?;
        if !pat.is_header_safe() {
            return Err(EditError::Malformed);
        }
        Ok(StoredPat { pat, origin: self.settings().origin.clone() })
    }

    /// What the configuration says of a PAT wins over the store, so that a change there would have no effect.
    fn may_change_pat(&self, tenant: &TenantId) -> Result<(), EditError> {
        match &self.settings().policy(tenant).pat {
            Some(_) => Err(EditError::PatIsConfigured),
            None => Ok(()),
        }
    }
}
