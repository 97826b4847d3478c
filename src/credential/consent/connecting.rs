//! What becomes of a grant that Flexslot has just given.

use super::{Awaiting, Connected, ConsentError, Consented, not_built};
use crate::{
    credential::Credentials,
    model::{Identity, Secret, SessionId, TenantId},
    store::StoreError,
};

// === impl Credentials ===

impl Credentials {
    /// Whose the tenant's grant is, or was before it ended by itself.
    pub async fn identity(&self, tenant: &TenantId) -> Result<Option<Identity>, StoreError> {
        let _ = tenant;
        Err(not_built())
    }

    /// Makes what the session has brought the tenant's grant.
    pub async fn connect(&self, id: &SessionId, new: Consented) -> Result<Connected, ConsentError> {
        let _ = (id, new);
        Err(not_built().into())
    }

    /// Keeps what the session has brought until somebody has the last word; who does not have it in time has it
    /// revoked.
    pub async fn park(&self, id: &SessionId, new: Consented, awaiting: Awaiting) -> Result<(), ConsentError> {
        let _ = (id, new, awaiting);
        Err(not_built().into())
    }

    /// The browser's last word on a parked grant.
    pub async fn confirm(&self, id: &SessionId, binding: &str) -> Result<Connected, ConsentError> {
        let _ = (id, binding);
        Err(not_built().into())
    }

    /// The browser's word on a grant that an app has the very last word on: from now on it waits for that one's code.
    pub async fn hand_over(&self, id: &SessionId, binding: &str, code: Secret) -> Result<(), ConsentError> {
        let _ = (id, binding, code);
        Err(not_built().into())
    }

    /// The app's last word on a parked grant.
    pub async fn complete(&self, id: &SessionId, code: &str) -> Result<Connected, ConsentError> {
        let _ = (id, code);
        Err(not_built().into())
    }
}
