//! Another secret for a client. The one before is void from Flexslot's answer on, so that the store is told before and
//! after: whoever refreshes waits in between.

use super::{ClientManager, is_public};
use crate::{
    app::StartFailure,
    flexslot::clients::{Issued, ManagementError},
    model::{
        ClientDescription,
        failpoint::{Step, reach},
    },
    store::{BegunStep, ClientStep, SecretOutcome},
};

// === impl ClientManager ===

impl ClientManager {
    /// Has Flexslot give `client` another secret, which is in the store by the time that this comes back.
    pub async fn rotate(&self, client: &ClientDescription) -> Result<Issued, StartFailure> {
        let id = &client.client_id;
        if is_public(client) {
            return Err(StartFailure::new(format!("{id} is a public client, and has no secret"))
                .hint("only confidential clients have one"));
        }
        let begun = self.store.begin_step(client, &self.origin, &self.tenant, ClientStep::Rotate).await;
        let begun = begun.map_err(|error| StartFailure::store(&error))?;
        reach(Step::ClientNoted);
        let issued = match self.management.rotate_secret(&self.pat, id).await {
            Ok(issued) => issued,
            Err(error @ ManagementError::Unknown(_)) => {
                return Err(StartFailure::new(error.to_string())
                    .hint(format!("the secret may be another one by now: flexslot-proxy client rotate-secret {id}")));
            }
            Err(error) => {
                // That it stays is no harm: the next rotation is told of it.
                let _ = self.store.withdraw_step(id, &begun.intent).await;
                return Err(self.refused(&error));
            }
        };
        reach(Step::ClientAnswered);
        if issued.secret.is_none() {
            return Err(StartFailure::new(format!(
                "Flexslot has given {id} another secret, and its answer does not hold it"
            ))
            .hint(format!("have it give another one: flexslot-proxy client rotate-secret {id}")));
        }
        // What the answer leaves out, the list has said.
        let kind = client.client_type.or(issued.client.client_type);
        let issued = Issued {
            client: ClientDescription { client_type: kind, client_id: id.clone(), ..issued.client },
            ..issued
        };
        self.keep_rotation(&begun, &issued).await?;
        reach(Step::ClientStored);
        Ok(issued)
    }

    /// Has the store take the secret, which is nowhere else.
    async fn keep_rotation(&self, begun: &BegunStep, issued: &Issued) -> Result<(), StartFailure> {
        let id = &issued.client.client_id;
        let kept = self.kept(issued.clone());
        let again = format!("flexslot-proxy client rotate-secret {id}");
        match self.insist(async || self.store.finish_rotation(begun, &kept).await).await {
            Ok(SecretOutcome::Stored) => Ok(()),
            Ok(SecretOutcome::Overtaken) => Err(StartFailure::new(format!(
                "somebody else has rotated the secret of {id} after us; theirs is good, and is the one in the store"
            ))),
            Ok(SecretOutcome::Unsure) => Err(StartFailure::new(format!(
                "somebody else has rotated the secret of {id} at the same moment, and nobody can tell which is good"
            ))
            .hint(again)),
            Err(error) => Err(StartFailure::new(format!(
                "the secret of {id} is another one, and the store does not take it: {error}"
            ))
            .hint(format!("once the store is back: {again}"))),
        }
    }
}
