//! `client rotate-secret CLIENT`

use super::{CommonArgs, Managing, create};
use crate::cli::{Failure, GlobalArgs, World};

/// Give a confidential client another secret; the one that it has is void at once
///
/// The new secret is in the store, sealed, before anything uses it. Refreshes in the client's name wait until it is
/// there; no sidecar on this store has to be restarted. Killed at any moment, it can be run again.
#[derive(Debug, clap::Args)]
pub(super) struct RotateSecretArgs {
    /// The client's name or its client_id
    client: String,
    /// Print the secret, too; nobody needs it where the sidecar has it
    #[arg(long)]
    show_secret: bool,
    #[command(flatten)]
    common: CommonArgs,
}

// === impl RotateSecretArgs ===

impl RotateSecretArgs {
    pub(super) async fn run(self, global: &GlobalArgs, world: &mut World<'_>) -> Result<(), Failure> {
        let config = self.common.load(global, world)?;
        let Managing { config, manager, .. } = self.common.open(config, world).await?;
        let clients = manager.clients().await?;
        let issued = manager.rotate(clients.find(&self.client)?).await?;
        let id = &issued.client.client_id;
        world.console.tell(format_args!("The client {id} has another secret; the one before is void."));
        create::print(self.common.json, id, issued.secret.as_ref().filter(|_| self.show_secret), &mut world.console)?;
        world.console.tell("It is in the store, sealed; sidecars on this store use it from there.");
        if let Some(source) = config.secret_of(id) {
            world.console.tell(format_args!(
                "The configuration names another place for this secret, {source}, which still holds the void one: take it out of \
                 proxy.toml, or put the new one there (--show-secret)."
            ));
        }
        Ok(())
    }
}
