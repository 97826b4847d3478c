//! A new client, with its secret in the store before anybody sees it.

use std::time::Duration;

use super::{ClientManager, Clients, is_public};
use crate::{
    app::StartFailure,
    flexslot::clients::{Issued, MANAGEMENT_TIMEOUT, ManagementError},
    model::{
        ClientDescription, ClientType, NewClient, Secret,
        failpoint::{Step, reach},
        oauth_client::MOST_CLIENTS,
    },
    store::{Creation, SecretOutcome},
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

/// How far apart Flexslot's clock and the store's may be.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(300);

// === impl ClientManager ===

impl ClientManager {
    /// Makes what `new` asks for. Where an earlier run for the same had died before it knew what came of it, that is
    /// found out first, and finished; or told by `tell`, where it has come to nothing that is asked for now.
    pub async fn create(&self, new: &NewClient, tell: &mut dyn FnMut(String)) -> Result<Made, StartFailure> {
        let clients = self.clients().await?;
        let begun = clients.kept.creations.iter();
        let begun: Vec<_> =
            begun.filter(|creation| creation.name == new.name.as_str() && creation.tenant == self.tenant).collect();
        for creation in begun {
            if let Some(client) = left_behind(creation, new, &clients)? {
                return self.finish(creation, client, &clients).await;
            }
            self.drop_note(creation).await?;
            tell(what_came_of(creation, &clients));
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
            Ok(SecretOutcome::Stored) => Ok(()),
            Ok(SecretOutcome::Overtaken | SecretOutcome::Unsure) => Err(StartFailure::new(format!(
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

/// The client that an earlier run had made, if it had: one that was not there before, was made at that time, and is what
/// is asked for now. Anybody else's would get another secret under their hands.
fn left_behind<'a>(
    creation: &Creation,
    new: &NewClient,
    clients: &'a Clients,
) -> Result<Option<&'a ClientDescription>, StartFailure> {
    let alike: Vec<_> =
        came_since(creation, clients).filter(|client| client.is_as(new) && is_of_then(creation, client)).collect();
    let is_kept =
        |client: &&&ClientDescription| clients.kept(&client.client_id).is_some_and(|kept| kept.is_presentable());
    match (&alike[..], alike.iter().find(is_kept)) {
        ([], _) => Ok(None),
        ([client], _) | (_, Some(client)) => Ok(Some(client)),
        (several, None) => {
            let ids: Vec<_> = several.iter().map(|client| client.client_id.as_str()).collect();
            Err(StartFailure::new(format!(
                "an earlier run, begun at {}, may have made any of {}; nobody can tell which",
                creation.at,
                ids.join(", ")
            ))
            .hint("flexslot-proxy client rotate-secret CLIENT_ID takes the one that is meant; revoke those that nobody uses"))
        }
    }
}

fn came_since<'a>(creation: &Creation, clients: &'a Clients) -> impl Iterator<Item = &'a ClientDescription> {
    clients.listed.iter().filter(|client| !creation.before.contains(&client.client_id))
}

/// Whether it was made while that run was asking, as far as two clocks can tell.
fn is_of_then(creation: &Creation, client: &ClientDescription) -> bool {
    let (from, until) =
        (creation.at.minus(CLOCK_TOLERANCE), creation.at.plus(MANAGEMENT_TIMEOUT).plus(CLOCK_TOLERANCE));
    client.created_at.is_none_or(|at| from <= at && at <= until)
}

/// What there is of an earlier run that is not what is asked for now, so that a client does not lie about unseen.
fn what_came_of(creation: &Creation, clients: &Clients) -> String {
    let named: Vec<_> = came_since(creation, clients).filter(|client| client.name == creation.name).collect();
    let begun = format!("An earlier run, begun at {},", creation.at);
    if named.is_empty() {
        return format!("{begun} came to nothing.");
    }
    let described = named.iter().map(|ClientDescription { client_id: id, created_at, scopes, .. }| {
        let made = created_at.map(|at| format!("made at {at}, ")).unwrap_or_default();
        format!("{id} ({made}scopes: {})", scopes.join(" "))
    });
    format!(
        "{begun} may have made one of these, which differ from what you ask for now, or were made at another time: {}. \
         Revoke it if it is not used: flexslot-proxy client revoke CLIENT_ID",
        described.collect::<Vec<_>>().join(", ")
    )
}
