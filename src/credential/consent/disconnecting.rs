//! How a grant ends here.

use super::{DisconnectOutcome, not_built};
use crate::{credential::Credentials, model::TenantId, store::StoreError};

// === impl Credentials ===

impl Credentials {
    /// Forgets the tenant's grant, whatever Flexslot says, and has Flexslot revoke it.
    pub async fn disconnect(&self, tenant: &TenantId) -> Result<DisconnectOutcome, StoreError> {
        let _ = tenant;
        Err(not_built())
    }

    /// Tells Flexslot what it has still to be told to revoke of the tenant, and waits for who is telling it. To be
    /// called before a code is redeemed.
    pub async fn clear_revocations(&self, tenant: &TenantId) {
        let _ = tenant;
    }
}
