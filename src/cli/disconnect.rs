//! `disconnect TENANT`

use super::{Failure, GlobalArgs, StoreOverrides, World, console::printable, status, store};
use crate::{
    app::{
        door::{self, DisconnectOutcome},
        settings,
    },
    config::{Config, ServiceSecrets},
    model::{ConnectionState, TenantId},
};

/// End a tenant's connection: revoke it at Flexslot, then forget it
///
/// It is forgotten whatever Flexslot answers. Where Flexslot cannot be reached, a running sidecar on the same store goes
/// on trying for a day. A personal access token stays; tenant remove forgets that, too.
#[derive(Debug, clap::Args)]
pub(super) struct DisconnectArgs {
    /// The tenant's name
    tenant: TenantId,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    overrides: StoreOverrides,
}

// === impl DisconnectArgs ===

impl DisconnectArgs {
    pub(super) fn run(self, global: &GlobalArgs, world: &mut World<'_>) -> Result<(), Failure> {
        super::runtime()?.block_on(self.disconnect(global, world))
    }

    async fn disconnect(self, global: &GlobalArgs, world: &mut World<'_>) -> Result<(), Failure> {
        let Self { tenant, yes, overrides } = self;
        if !yes && !world.console.can_ask() {
            return Err(Failure::misuse(format!("nobody is there to be asked whether {tenant} is to be disconnected"))
                .hint("if it is, say --yes"));
        }
        let source = global.source(world.environment);
        let config = Config::load_with(ServiceSecrets::OfClient, &source, &overrides.into(), world.environment)?;
        if !store::exists(&config.store) {
            return Err(status::unknown(&tenant));
        }
        let around = world.surroundings();
        let storage = store::open_storage(&config.store, world).await?;
        let credentials = door::open(&config, storage, &around)?;
        let card = credentials.card(&tenant).await?.ok_or_else(|| status::unknown(&tenant))?;
        if card.state == ConnectionState::NotConnected {
            return Err(nothing(&tenant));
        }
        if !yes {
            let whose = card.username.map(|name| format!(" (@{})", printable(&name))).unwrap_or_default();
            let question = format!(
                "Disconnect {tenant}{whose} from Flexslot? Your synced data will stay; future syncs will stop until you \
                 reconnect."
            );
            if !world.console.confirm(question).await? {
                return Err(Failure::new(format!("{tenant} stays connected; nothing was done")));
            }
        }
        match credentials.disconnect(&tenant).await? {
            DisconnectOutcome::NothingToDisconnect => Err(nothing(&tenant)),
            DisconnectOutcome::Revoked => {
                world.console.tell(format_args!("Disconnected {tenant} from Flexslot, and revoked the access there."));
                Ok(())
            }
            DisconnectOutcome::Queued => {
                world.console.tell(format_args!(
                    "Disconnected {tenant}: the grant is forgotten here. Flexslot did not take the revocation now; it is \
                     queued: a running sidecar on this store sends it within a day, and without one nothing sends it. The \
                     user can end the access at {}.",
                    settings::manage_url(&config),
                ));
                Ok(())
            }
        }
    }
}

fn nothing(tenant: &TenantId) -> Failure {
    Failure::new(format!("{tenant} is not connected, so there is nothing to disconnect"))
        .hint(format!("flexslot-proxy status {tenant} shows how it is"))
}
