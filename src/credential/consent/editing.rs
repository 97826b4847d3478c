//! Credentials that apps and people put in and take away.

use super::{Brought, EditError, Import, not_built};
use crate::{
    credential::Credentials,
    model::{Secret, TenantId},
    store::{Existing, Removed, StoreError},
};

// === impl Credentials ===

impl Credentials {
    /// Stores a PAT in place of whatever PAT the tenant had.
    pub async fn set_pat(&self, tenant: &TenantId, pat: Secret) -> Result<(), EditError> {
        let _ = (tenant, pat);
        Err(not_built().into())
    }

    /// Forgets the tenant's PAT. Answers whether there was one.
    pub async fn remove_pat(&self, tenant: &TenantId) -> Result<bool, EditError> {
        let _ = tenant;
        Err(not_built().into())
    }

    /// Stores what an app brings; `existing` says what happens where the tenant has a credential.
    pub async fn import_grant(
        &self,
        tenant: &TenantId,
        brought: Brought,
        existing: Existing,
    ) -> Result<Import, EditError> {
        let _ = (tenant, brought, existing);
        Err(not_built().into())
    }

    /// Forgets both credentials of the tenant, and revokes nothing.
    pub async fn remove(&self, tenant: &TenantId) -> Result<Removed, StoreError> {
        let _ = tenant;
        Err(not_built())
    }
}
