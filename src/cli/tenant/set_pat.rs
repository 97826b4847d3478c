//! `tenant set-pat TENANT`

use super::load;
use crate::{
    cli::{Failure, GlobalArgs, StoreOverrides, World, store},
    model::{Secret, TenantId},
    store::StoredPat,
};

/// Store a tenant's PAT, read from standard input
///
/// The PAT is never an argument: arguments end up in the shell's history and in process lists.
///
///     flexslot-proxy tenant set-pat acme < acme.pat
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct SetPatArgs {
    /// The tenant's name
    tenant: TenantId,
    #[command(flatten)]
    overrides: StoreOverrides,
}

// === impl SetPatArgs ===

impl SetPatArgs {
    pub(super) async fn run(self, global: &GlobalArgs, world: &mut World<'_>) -> Result<(), Failure> {
        let Self { tenant, overrides } = self;
        let config = load(global, overrides, world)?;
        if config.sets_pat_of(&tenant) {
            return Err(Failure::new(format!(
                "the configuration file sets the PAT of {tenant}, and wins over the store"
            ))
            .hint("change it there, or take it out"));
        }
        let pat = checked(world.console.secret_line(&format!("PAT of {tenant}: "))?)?;
        let looks_right = pat.expose().starts_with("flx_pat_");
        let store = store::open(&config.store, world).await?;
        let origin = config.origin.clone();
        store.put_pat(&tenant, &StoredPat { pat, origin }).await?;
        let (place, origin) = (&config.store.engine, &config.origin);
        world.console.tell(format_args!("The PAT of {tenant} is stored in {place} for {origin}."));
        if !looks_right {
            world
                .console
                .tell("It does not begin with flx_pat_, as Flexslot's PATs do: make sure that it is the right one.");
        }
        Ok(())
    }
}

/// A PAT stands in a header (RFC 6750 section 2.1), so one with a space or a line end in it was copied wrongly.
fn checked(pat: Secret) -> Result<Secret, Failure> {
    let hint = "a PAT looks like flx_pat_… and stands on one line";
    if pat.is_empty() {
        return Err(Failure::new("there is no PAT on standard input").hint(hint));
    }
    if !pat.is_header_safe() {
        return Err(Failure::new("what is on standard input is no PAT").hint(hint));
    }
    Ok(pat)
}
