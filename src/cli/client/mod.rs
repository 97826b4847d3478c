//! `client …`: the OAuth clients of a partner.

mod create;
mod list;
mod revoke;
mod rotate_secret;

use super::{Failure, GlobalArgs, StoreOverrides, World, store};
use crate::{
    app::{client_manager::ClientManager, storage::Storage},
    config::{ClientConfig, Overrides},
    model::{Secret, TenantId, Timestamp},
    store::TokenStore,
};

/// The OAuth clients at Flexslot in whose names users are asked
///
/// They are managed with the personal access token of a tenant whose owner is a partner at Flexslot. A client's secret
/// goes sealed into the store in the same step, and every sidecar on that store uses it from there, without a restart.
#[derive(Debug, clap::Args)]
pub(super) struct ClientArgs {
    #[command(subcommand)]
    command: ClientCommand,
}

#[derive(Debug, clap::Subcommand)]
enum ClientCommand {
    List(list::ListArgs),
    Create(create::CreateArgs),
    RotateSecret(rotate_secret::RotateSecretArgs),
    Revoke(revoke::RevokeArgs),
}

/// What each of them takes.
#[derive(Debug, clap::Args)]
struct CommonArgs {
    /// Whose personal access token to use; by default that of server.default_tenant
    #[arg(long, value_name = "TENANT")]
    tenant: Option<TenantId>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    overrides: StoreOverrides,
}

/// What a command works with.
struct Managing {
    config: ClientConfig,
    tenant: TenantId,
    store: TokenStore,
    manager: ClientManager,
}

// === impl ClientArgs ===

impl ClientArgs {
    pub(super) fn run(self, global: &GlobalArgs, world: &mut World<'_>) -> Result<(), Failure> {
        #[cfg(debug_assertions)]
        super::arm_failpoint(world.environment)?;
        super::runtime()?.block_on(async {
            match self.command {
                ClientCommand::List(args) => args.run(global, world).await,
                ClientCommand::Create(args) => args.run(global, world).await,
                ClientCommand::RotateSecret(args) => args.run(global, world).await,
                ClientCommand::Revoke(args) => args.run(global, world).await,
            }
        })
    }
}

// === impl CommonArgs ===

impl CommonArgs {
    fn load(&self, global: &GlobalArgs, world: &World<'_>) -> Result<ClientConfig, Failure> {
        let overrides: Overrides = self.overrides.clone().into();
        Ok(ClientConfig::load(&global.source(world.environment), &overrides, world.environment)?)
    }

    /// Opens the store, and finds the PAT.
    async fn open(&self, config: ClientConfig, world: &mut World<'_>) -> Result<Managing, Failure> {
        let tenant = self.tenant.clone().or_else(|| config.config.server.default_tenant.clone()).ok_or_else(|| {
            Failure::misuse("nobody says whose personal access token to use")
                .hint("name the tenant whose owner is the partner: --tenant TENANT")
        })?;
        let storage = store::open_storage(&config.config.store, world).await?;
        let pat = pat(&config, &storage, &tenant, world).await?;
        let manager = ClientManager::new(&config.config, &storage, (tenant.clone(), pat), &world.surroundings())?;
        Ok(Managing { config, tenant, store: storage.store, manager })
    }
}

/// The tenant's PAT: the file's, which wins, or the store's.
async fn pat(
    config: &ClientConfig,
    storage: &Storage,
    tenant: &TenantId,
    world: &World<'_>,
) -> Result<Secret, Failure> {
    let none = |what: String| {
        Failure::new(what).hint(format!("make one at Flexslot, and store it: flexslot-proxy tenant set-pat {tenant}"))
    };
    let of_file = config
        .pat_of(tenant, world.environment)
        .map_err(|unreadable| Failure::misuse(format!("the PAT of {tenant} cannot be read: {unreadable}")))?;
    if let Some(pat) = of_file {
        return Ok(pat);
    }
    let origin = &config.config.upstream.origin;
    match storage.store.load(tenant).await?.pat {
        Some(stored) if stored.origin == *origin => Ok(stored.pat),
        Some(stored) => Err(none(format!("the PAT of {tenant} belongs to {}, and not to {origin}", stored.origin))),
        None => Err(none(format!("{tenant} has no personal access token, and clients are managed with one"))),
    }
}

fn when(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| at.to_string())
}
