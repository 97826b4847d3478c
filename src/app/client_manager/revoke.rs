//! The end of a client: at Flexslot, with all that it was given; then here.

use super::{CLIENTS_PAGE, ClientManager, Clients};
use crate::{
    app::StartFailure,
    flexslot::clients::{ManagementError, Refused, WhyRefused},
    model::{
        ClientDescription, ClientStatus,
        failpoint::{Step, reach},
    },
    store::{ClientGrants, ClientStep},
};

/// What a revocation came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Tenants that were signed out here.
    pub tenants: u64,
    /// Whether it was over at Flexslot before, so that nobody was asked.
    pub was_over: bool,
}

/// Who vouches that a client is revoked at Flexslot, where Flexslot does not list it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assurance {
    /// Nobody: what was noted here has to do.
    None,
    /// Whoever runs the command has seen it.
    Operator,
}

// === impl ClientManager ===

impl ClientManager {
    /// The tenants that are connected here through `client`.
    pub async fn grants_of(&self, client_id: &str) -> Result<ClientGrants, StartFailure> {
        self.store.grants_of(client_id, &self.origin).await.map_err(|error| StartFailure::store(&error))
    }

    /// Has Flexslot revoke `client`, marks the tenants that were connected through it, and forgets it.
    ///
    /// That Flexslot does not list a client says little: the PAT may have become another partner's. Its end is believed
    /// where Flexslot was asked for it before, or where an operator has seen it. The rest is done then.
    pub async fn revoke(
        &self,
        client: &ClientDescription,
        clients: &Clients,
        assurance: Assurance,
    ) -> Result<Ended, StartFailure> {
        let id = &client.client_id;
        let listed = clients.is_listed(id) && client.status != ClientStatus::Revoked;
        match listed {
            true => self.ask_to_revoke(client).await?,
            false => self.believe_revoked(client, clients, assurance)?,
        }
        let failed = |error| {
            StartFailure::new(format!("{id} is revoked at Flexslot, and the store does not take note of it: {error}"))
                .hint(format!("run it again: flexslot-proxy client revoke {id}"))
        };
        let end_grants = async || self.insist(async || self.store.end_grants_of(id, &self.origin).await).await;
        let mut tenants = end_grants().await.map_err(failed)?;
        self.insist(async || self.store.forget_client(id).await).await.map_err(failed)?;
        // Whose consent was completed before it was known that the client is revoked.
        tenants += end_grants().await.map_err(failed)?;
        reach(Step::ClientStored);
        Ok(Ended { tenants, was_over: !listed })
    }

    /// Whether a client that Flexslot does not list, or lists as revoked, has ended there.
    fn believe_revoked(
        &self,
        client: &ClientDescription,
        clients: &Clients,
        assurance: Assurance,
    ) -> Result<(), StartFailure> {
        let (id, tenant) = (&client.client_id, &self.tenant);
        let Some(kept) = clients.kept(id).filter(|kept| kept.tenant == *tenant) else {
            return match clients.is_listed(id) {
                true => Ok(()),
                false => Err(StartFailure::new(format!("Flexslot does not list {id} to the PAT of {tenant}"))
                    .hint("name the tenant whose PAT manages it: --tenant TENANT")),
            };
        };
        let was_asked = kept.intent.as_ref().is_some_and(|intent| intent.step == ClientStep::Revoke);
        if was_asked || client.status == ClientStatus::Revoked || assurance == Assurance::Operator {
            return Ok(());
        }
        let status = kept.client.status.as_str();
        Err(StartFailure::new(format!(
            "Flexslot does not list {id} to the PAT of {tenant}, and it was {status} when it was seen last: either the PAT is \
             another partner's by now, or the client was revoked elsewhere; nothing was done"
        ))
        .hint(format!(
            "give {tenant} its partner's PAT (flexslot-proxy tenant set-pat {tenant}), and run this again; where {CLIENTS_PAGE} \
             shows that it is revoked, add --already-revoked"
        )))
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
            Err(error) if is_by_hand(&error) => {
                // The note stays: once Flexslot lists it no longer, it says that this was meant.
                Err(self.refused(&error).hint(format!(
                    "revoke it by hand: {CLIENTS_PAGE}; afterwards run this command again, which then signs the tenants out here"
                )))
            }
            Err(error) => {
                let _ = self.store.withdraw_step(id, &begun.intent).await;
                Err(self.refused(&error))
            }
        }
    }
}

/// Whether Flexslot has no way to revoke a client that we know of.
fn is_by_hand(error: &ManagementError) -> bool {
    matches!(error, ManagementError::Refused(Refused { why: WhyRefused::NoRevocation, .. }))
}
