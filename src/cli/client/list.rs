//! `client list`

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{CommonArgs, Managing, when};
use crate::{
    app::client_manager::{Clients, notes},
    cli::{Failure, GlobalArgs, World, console::printable, progress::counted},
    model::{ClientDescription, ClientType, oauth_client::MOST_CLIENTS},
};

/// List a partner's OAuth clients, as Flexslot has them, and what is kept of them here
#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    common: CommonArgs,
}

/// What is known here of a client: where its secret is, and who uses it.
struct Here {
    secret: &'static str,
    tenants: u64,
}

const HEAD: [&str; 8] = ["CLIENT ID", "NAME", "TYPE", "STATUS", "SCOPES", "SECRET ROTATED", "SECRET", "IN USE BY"];

// === impl ListArgs ===

impl ListArgs {
    pub(super) async fn run(self, global: &GlobalArgs, world: &mut World<'_>) -> Result<(), Failure> {
        let config = self.common.load(global, world)?;
        let Managing { config, manager, store, .. } = self.common.open(config, world).await?;
        let clients = manager.clients().await?;
        let in_use = store.grants_by_client(&config.config.upstream.origin).await?;
        let here = |client: &ClientDescription| Here {
            secret: match (config.secret_of(&client.client_id), clients.kept(&client.client_id)) {
                (_, _) if client.client_type == Some(ClientType::Public) => "none",
                (Some(_), _) => "in proxy.toml",
                (None, Some(kept)) if kept.secret.is_some() => "stored",
                (None, _) => "not here",
            },
            tenants: in_use.get(&client.client_id).copied().unwrap_or_default(),
        };
        let console = &mut world.console;
        if self.common.json {
            let all: Vec<_> = clients.listed.iter().map(|client| document(client, &here(client))).collect();
            console.data_line(Value::from(all))?;
        } else {
            let rows: Vec<_> = clients.listed.iter().map(|client| row(client, &here(client))).collect();
            for line in table(&rows) {
                console.data_line(line)?;
            }
            console.tell(format_args!("{} of {MOST_CLIENTS} clients.", clients.counted()));
        }
        unlisted(&clients, &in_use)
            .into_iter()
            .chain(notes(&clients.kept))
            .for_each(|line| console.tell(printable(&line)));
        Ok(())
    }
}

/// Clients that are kept here and that Flexslot does not list for this PAT.
fn unlisted(clients: &Clients, in_use: &HashMap<String, u64>) -> Vec<String> {
    let kept = clients.kept.clients.iter().filter(|kept| !clients.is_listed(&kept.client.client_id));
    kept.map(|kept| {
        let (id, tenant) = (&kept.client.client_id, &kept.tenant);
        let tenants = counted(in_use.get(id).copied().unwrap_or_default(), "tenant");
        format!(
            "{id} ({tenants}) is kept here too, and not in this list: the PAT of {tenant} manages it. If it was \
             revoked at Flexslot: flexslot-proxy client revoke {id} --tenant {tenant} --already-revoked"
        )
    })
    .collect()
}

fn row(client: &ClientDescription, here: &Here) -> [String; 8] {
    [
        client.client_id.clone(),
        client.name.clone(),
        client.client_type.map_or("-", ClientType::as_str).to_owned(),
        client.status.as_str().to_owned(),
        client.scopes.join(" "),
        when(client.secret_rotated_at),
        here.secret.to_owned(),
        format!("{} here", counted(here.tenants, "tenant")),
    ]
    .map(|text| printable(&text))
}

/// Every column as wide as what is in it.
fn table(rows: &[[String; 8]]) -> Vec<String> {
    let head = HEAD.map(str::to_owned);
    let all = || std::iter::once(&head).chain(rows);
    let width = |at: usize| all().map(|row| row[at].chars().count()).max().unwrap_or_default();
    let widths: [usize; 8] = std::array::from_fn(width);
    let line = |row: &[String; 8]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    all().map(line).collect()
}

fn document(client: &ClientDescription, here: &Here) -> Value {
    json!({
        "client_id": client.client_id,
        "name": client.name,
        "type": client.client_type.map(ClientType::as_str),
        "status": client.status.as_str(),
        "redirect_uris": client.redirect_uris,
        "scopes": client.scopes,
        "dpop_bound_access_tokens": client.dpop_bound_access_tokens,
        "created_at": client.created_at.map(|at| at.to_string()),
        "last_used_at": client.last_used_at.map(|at| at.to_string()),
        "secret_rotated_at": client.secret_rotated_at.map(|at| at.to_string()),
        "secret": here.secret,
        "tenants": here.tenants,
    })
}
