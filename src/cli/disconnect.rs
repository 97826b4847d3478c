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
        let credentials = door::open(&config, storage, &around).await?;
        let card = credentials.card(&tenant).await?;
        let connected = card.as_ref().filter(|card| card.state != ConnectionState::NotConnected);
        if connected.is_none() && !credentials.has_parked(&tenant).await? {
            return Err(if card.is_some() { nothing(&tenant) } else { status::unknown(&tenant) });
        }
        if !yes {
            let question = match connected {
                Some(card) => {
                    let whose = card.username.as_ref().map(|name| format!(" (@{})", printable(name)));
                    format!(
                        "Disconnect {tenant}{} from Flexslot? Your synced data will stay; future syncs will stop until \
                         you reconnect.",
                        whose.unwrap_or_default()
                    )
                }
                None => format!(
                    "{tenant} is not connected yet: its user has allowed it on Flexslot, and the last word on that is \
                     still awaited. Revoke it?"
                ),
            };
            if !world.console.confirm(question).await? {
                return Err(Failure::new(format!("{tenant} stays as it is; nothing was done")));
            }
        }
        match credentials.disconnect(&tenant).await? {
            DisconnectOutcome::NothingToDisconnect => Err(nothing(&tenant)),
            DisconnectOutcome::Ended => {
                world.console.tell(format_args!(
                    "Disconnected {tenant}. The connection had ended before, so there was nothing left to revoke. What \
                     Flexslot still lists for the user can be ended at {}.",
                    settings::manage_url(&config),
                ));
                Ok(())
            }
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
