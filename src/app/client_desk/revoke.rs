//! The end of a client: at Flexslot, with all that it was given; then here.

use super::{ClientDesk, Clients};
use crate::{
    app::StartFailure,
    flexslot::clients::ManagementError,
    model::{
        ClientDescription,
        failpoint::{Step, reach},
    },
    store::{ClientGrants, ClientStep},
};

/// What a revocation came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Tenants that were signed out here.
    pub tenants: u64,
    /// Whether Flexslot did not list it any more, and so was not asked.
    pub was_over: bool,
}

// === impl ClientDesk ===

impl ClientDesk {
    /// The tenants that are connected here through `client`.
    pub async fn grants_of(&self, client_id: &str) -> Result<ClientGrants, StartFailure> {
        self.store.grants_of(client_id, &self.origin).await.map_err(|error| StartFailure::store(&error))
    }

    /// Has Flexslot revoke `client`, marks the tenants that were connected through it, and forgets it.
    ///
    /// One that Flexslot does not list is over there: to whoever manages it here, that is. The rest is done then.
    pub async fn revoke(&self, client: &ClientDescription, clients: &Clients) -> Result<Ended, StartFailure> {
        let id = &client.client_id;
        let listed = clients.is_listed(id);
        if !listed && clients.kept(id).is_none_or(|kept| kept.tenant != self.tenant) {
            return Err(StartFailure::new(format!("Flexslot does not list {id} to the PAT of {}", self.tenant))
                .hint("name the tenant whose PAT manages it: --tenant TENANT"));
        }
        if listed {
            self.ask_to_revoke(client).await?;
        }
        let failed = |error| {
            StartFailure::new(format!("{id} is revoked at Flexslot, and the store does not take note of it: {error}"))
                .hint(format!("run it again: flexslot-proxy client revoke {id}"))
        };
        let tenants = self.insist(async || self.store.end_grants_of(id, &self.origin).await).await.map_err(failed)?;
        self.insist(async || self.store.forget_client(id).await).await.map_err(failed)?;
        reach(Step::ClientStored);
        Ok(Ended { tenants, was_over: !listed })
    }

    async fn ask_to_revoke(&self, client: &ClientDescription) -> Result<(), StartFailure> {
        let id = &client.client_id;
        let begun = self.store.begin_step(client, &self.origin, &self.tenant, ClientStep::Revoke).await;
        let begun = begun.map_err(|error| StartFailure::store(&error))?;
        reach(Step::ClientNoted);
        match self.management.revoke(&self.pat, id).await {
            Ok(()) => {
                reach(Step::ClientAnswered);
                Ok(())
            }
            Err(error @ ManagementError::Unknown(_)) => {
                Err(StartFailure::new(error.to_string())
                    .hint(format!("run it again: flexslot-proxy client revoke {id}")))
            }
            Err(error) => {
                let _ = self.store.withdraw_step(id, &begun.intent).await;
                let failure = self.refused(&error);
                let again = "afterwards run this command again, which then signs the tenants out here";
                Err(match failure.hint.clone() {
                    Some(hint) if hint.contains(super::CLIENTS_PAGE) => failure.hint(format!("{hint}; {again}")),
                    _ => failure,
                })
            }
        }
    }
}
