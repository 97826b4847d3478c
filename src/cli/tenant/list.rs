//! `tenant list`

use std::collections::BTreeMap;

use super::load;
use crate::{
    cli::{Console, Failure, GlobalArgs, StoreOverrides, World, store},
    config::FilePat,
    model::TenantId,
    store::{GrantStanding, PatStanding, TenantSummary, backend::Names},
};

/// List the tenants, those of the store and those of the configuration file
///
/// A grant is connected, uncertain (a token request went out and nobody knows how it ended), disconnected with the
/// reason, or unreadable. A PAT is stored, in the file (which wins), or unreadable.
#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    overrides: StoreOverrides,
}

/// Tenants of the file that are not written yet, and what the file says of their PAT.
type OfFile = BTreeMap<TenantId, FilePat>;

/// Tenants in memory at a time.
const PAGE: usize = 1000;

// === impl ListArgs ===

impl ListArgs {
    pub(super) async fn run(self, global: &GlobalArgs, world: &mut World<'_>) -> Result<(), Failure> {
        let config = load(global, self.overrides, world)?;
        let mut of_file: OfFile = config.tenants.clone();
        let store = if store::exists(&config.store) { Some(store::open(&config.store, world).await?) } else { None };
        let mut is_empty = of_file.is_empty();
        world.console.data_line(row("TENANT", "GRANT", "PAT", "LAST USED"))?;
        if let Some(store) = store {
            let mut after: Option<String> = None;
            loop {
                let page = store.list(Names::after(after.as_deref()), PAGE, None).await?;
                is_empty &= page.tenants.is_empty();
                for summary in &page.tenants {
                    write_file_tenants(&mut of_file, Some(&summary.tenant), &mut world.console)?;
                    let file_pat = of_file.remove(&summary.tenant).unwrap_or(FilePat::Absent);
                    world.console.data_line(row_of(summary, file_pat))?;
                }
                match page.next {
                    Some(next) => after = Some(next),
                    None => break,
                }
            }
        }
        write_file_tenants(&mut of_file, None, &mut world.console)?;
        if is_empty {
            // It may be another store than the sidecar's.
            world.console.tell(format_args!("There are no tenants in {} yet.", config.store.engine));
        }
        Ok(())
    }
}

/// Writes the tenants that only the file knows, up to the name `before`, so that the list stays in order.
fn write_file_tenants(of_file: &mut OfFile, before: Option<&TenantId>, console: &mut Console) -> Result<(), Failure> {
    while let Some(entry) = of_file.first_entry() {
        if before.is_some_and(|before| entry.key() >= before) {
            return Ok(());
        }
        let (tenant, pat) = entry.remove_entry();
        let pat = if pat == FilePat::Set { "in the file" } else { "-" };
        console.data_line(row(tenant.as_str(), "-", pat, "-"))?;
    }
    Ok(())
}

fn row_of(summary: &TenantSummary, file_pat: FilePat) -> String {
    let grant = match &summary.grant {
        GrantStanding::NeverConnected => "-".to_owned(),
        GrantStanding::Connected(grant) if grant.intent.is_some() => "uncertain".to_owned(),
        GrantStanding::Connected(_) => "connected".to_owned(),
        GrantStanding::Disconnected(end) => format!("disconnected ({})", end.reason.as_str()),
        GrantStanding::Unreadable(_) => "unreadable".to_owned(),
    };
    let pat = match (file_pat, &summary.pat) {
        (FilePat::Set, _) => "in the file",
        (FilePat::Absent, PatStanding::Absent) => "-",
        (FilePat::Absent, PatStanding::Stored { .. }) => "stored",
        (FilePat::Absent, PatStanding::Unreadable(_)) => "unreadable",
    };
    let used = summary.last_used.map_or_else(|| "-".to_owned(), |at| at.to_string());
    row(summary.tenant.as_str(), &grant, pat, &used)
}

/// Columns wide enough for most names; a longer one moves the rest of its row.
fn row(tenant: &str, grant: &str, pat: &str, used: &str) -> String {
    format!("{tenant:<32}  {grant:<35}  {pat:<11}  {used}")
}
