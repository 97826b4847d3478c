//! A new client, with its secret in the store before anybody sees it.

use super::{ClientDesk, Clients, is_public};
use crate::{
    app::StartFailure,
    flexslot::clients::{Issued, ManagementError},
    model::{
        ClientDescription, ClientType, NewClient, Secret,
        failpoint::{Step, reach},
        oauth_client::MOST_CLIENTS,
    },
    store::{Creation, Rotated},
};

/// A client that there is now.
#[derive(Debug, Clone)]
pub struct Made {
    pub client: ClientDescription,
    /// It is in the store by now. `None` for a public client.
    pub secret: Option<Secret>,
    /// Whether an earlier run had made it, and had died before it could keep the secret: that one is void.
    pub was_there: bool,
}

// === impl ClientDesk ===

impl ClientDesk {
    /// Makes what `new` asks for. Where an earlier run for the same had died before it knew what came of it, that is
    /// found out first, and finished.
    pub async fn create(&self, new: &NewClient) -> Result<Made, StartFailure> {
        let clients = self.clients().await?;
        let begun = clients.kept.creations.iter();
        let begun: Vec<_> =
            begun.filter(|creation| creation.name == new.name.as_str() && creation.tenant == self.tenant).collect();
        for creation in begun {
            match left_behind(creation, new, &clients) {
                Some(client) => return self.finish(creation, client, &clients).await,
                // Its request has come to nothing.
                None => self.drop_note(creation).await?,
            }
        }
        let counted = clients.counted();
        if counted >= MOST_CLIENTS {
            return Err(StartFailure::new(format!("there are {counted} of {MOST_CLIENTS} clients; Flexslot takes no more")).hint(
                "revoke one that is not used any more (flexslot-proxy client list, client revoke), or ask Flexslot for a \
                 higher limit",
            ));
        }
        self.make(new, &clients).await
    }

    async fn make(&self, new: &NewClient, clients: &Clients) -> Result<Made, StartFailure> {
        let before = clients.listed.iter().map(|client| client.client_id.clone()).collect();
        let begun = self.store.begin_creation(new.name.as_str(), &self.origin, &self.tenant, before).await;
        let creation = begun.map_err(|error| StartFailure::store(&error))?;
        reach(Step::ClientNoted);
        let issued = match self.management.create(&self.pat, new).await {
            Ok(issued) => issued,
            Err(error @ ManagementError::Unknown(_)) => {
                return Err(StartFailure::new(error.to_string())
                    .hint("run the same command again: it finds out whether there is such a client, and finishes it"));
            }
            Err(error) => {
                self.drop_note(&creation).await?;
                return Err(self.refused(&error));
            }
        };
        reach(Step::ClientAnswered);
        if new.client_type == ClientType::Confidential && issued.secret.is_none() {
            return Err(StartFailure::new("Flexslot has made the client, and its answer does not hold the secret")
                .hint("run the same command again: it finds the client, and has Flexslot give it another secret"));
        }
        let made = Made { client: issued.client.clone(), secret: issued.secret.clone(), was_there: false };
        self.keep(&creation, issued).await?;
        reach(Step::ClientStored);
        Ok(made)
    }

    /// An earlier run has made this client, and its secret died with it: a confidential one gets another.
    async fn finish(
        &self,
        creation: &Creation,
        client: &ClientDescription,
        clients: &Clients,
    ) -> Result<Made, StartFailure> {
        let kept = clients.kept(&client.client_id).filter(|kept| kept.is_presentable());
        let (client, secret) = if let Some(kept) = kept {
            // That run has died only when it had finished.
            self.drop_note(creation).await?;
            (client.clone(), kept.secret.clone())
        } else if is_public(client) {
            self.keep(creation, Issued { client: client.clone(), secret: None }).await?;
            (client.clone(), None)
        } else {
            let issued = self.rotate(client).await?;
            self.drop_note(creation).await?;
            (issued.client, issued.secret)
        };
        Ok(Made { client, secret, was_there: true })
    }

    async fn keep(&self, creation: &Creation, issued: Issued) -> Result<(), StartFailure> {
        let name = issued.client.client_id.clone();
        let kept = self.kept(issued);
        match self.insist(async || self.store.finish_creation(creation, &kept).await).await {
            Ok(Rotated::Stored) => Ok(()),
            Ok(Rotated::Overtaken | Rotated::Unsure) => Err(StartFailure::new(format!(
                "somebody else has run the same command, and given the client {name} another secret; it is in the store"
            ))),
            Err(error) => Err(StartFailure::new(format!(
                "the client {name} was made, and the store does not take its secret: {error}"
            ))
            .hint("the secret is lost; once the store is back, run the same command again, which gets another")),
        }
    }

    async fn drop_note(&self, creation: &Creation) -> Result<(), StartFailure> {
        self.store.drop_creation(creation).await.map_err(|error| StartFailure::store(&error))
    }
}

/// The client that an earlier run had made, if it had: one that was not there before.
fn left_behind<'a>(creation: &Creation, new: &NewClient, clients: &'a Clients) -> Option<&'a ClientDescription> {
    let is_new = |client: &&ClientDescription| !creation.before.contains(&client.client_id);
    clients.listed.iter().filter(is_new).find(|client| client.is_as(new))
}
