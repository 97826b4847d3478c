//! `tenant remove TENANT`

use super::load;
use crate::{
    cli::{Failure, GlobalArgs, StoreOverrides, World, store},
    model::TenantId,
    store::Removed,
};

/// Forget both credentials of a tenant, without revoking them at Flexslot
///
/// The user can end the grant at flexslot.gg/account/connected-apps.
#[derive(Debug, clap::Args)]
pub(super) struct RemoveArgs {
    /// The tenant's name
    tenant: TenantId,
    #[command(flatten)]
    overrides: StoreOverrides,
}

// === impl RemoveArgs ===

impl RemoveArgs {
    pub(super) async fn run(self, global: &GlobalArgs, world: &mut World<'_>) -> Result<(), Failure> {
        let Self { tenant, overrides } = self;
        let config = load(global, overrides, world)?;
        let removed = match store::exists(&config.store) {
            true => store::open(&config.store, world).await?.remove(&tenant).await?,
            false => Removed { grant: false, pat: false },
        };
        let what = match removed {
            Removed { grant: true, pat: true } => "grant and PAT",
            Removed { grant: true, pat: false } => "grant",
            Removed { grant: false, pat: true } => "PAT",
            Removed { grant: false, pat: false } => {
                return Err(
                    Failure::new(format!("nothing is stored for {tenant}")).hint("tenant list shows who is there")
                );
            }
        };
        world.console.tell(format_args!("Forgot the {what} of {tenant}. Nothing was revoked at Flexslot."));
        if config.sets_pat_of(&tenant) {
            world.console.tell(format_args!("The configuration file still sets a PAT for {tenant}."));
        }
        Ok(())
    }
}
