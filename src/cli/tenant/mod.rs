//! `tenant …`: the credentials in the store.

mod import;
mod list;
mod remove;
mod set_pat;

use super::{Failure, GlobalArgs, StoreOverrides, World};
use crate::config::StoreConfig;

/// The tenants and their credentials in the store
///
/// These commands work on the store directly; a running sidecar takes notice of what they change within two seconds.
#[derive(Debug, clap::Args)]
pub(super) struct TenantArgs {
    #[command(subcommand)]
    command: TenantCommand,
}

#[derive(Debug, clap::Subcommand)]
enum TenantCommand {
    List(list::ListArgs),
    SetPat(set_pat::SetPatArgs),
    Import(import::ImportArgs),
    Remove(remove::RemoveArgs),
}

// === impl TenantArgs ===

impl TenantArgs {
    pub(super) fn run(self, global: &GlobalArgs, world: &mut World<'_>) -> Result<(), Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new(format!("the command cannot start: {error}")))?;
        runtime.block_on(async {
            match self.command {
                TenantCommand::List(args) => args.run(global, world).await,
                TenantCommand::SetPat(args) => args.run(global, world).await,
                TenantCommand::Import(args) => args.run(global, world).await,
                TenantCommand::Remove(args) => args.run(global, world).await,
            }
        })
    }
}

fn load(global: &GlobalArgs, overrides: StoreOverrides, world: &World<'_>) -> Result<StoreConfig, Failure> {
    Ok(StoreConfig::load(&global.source(world.environment), &overrides.into(), world.environment)?)
}
