//! `client revoke CLIENT`

use super::{CommonArgs, Managing};
use crate::{
    app::client_manager::{Assurance, Ended},
    cli::{Console, Failure, GlobalArgs, World, console::printable, progress::counted},
    model::ClientDescription,
    store::ClientGrants,
};

/// Revoke a client at Flexslot, and with it every grant that it was given
///
/// Every user who has connected through it is signed out. The tenants here are marked so, and the stored secret goes.
/// Killed at any moment, it can be run again.
#[derive(Debug, clap::Args)]
pub(super) struct RevokeArgs {
    /// The client's name or its client_id
    client: String,
    /// Do not ask: the client's name once more, or its client_id
    #[arg(long, value_name = "NAME")]
    confirm: Option<String>,
    /// Flexslot has revoked it already, as its page shows, and does not list it any more: end it here
    #[arg(long)]
    already_revoked: bool,
    #[command(flatten)]
    common: CommonArgs,
}

// === impl RevokeArgs ===

impl RevokeArgs {
    pub(super) async fn run(self, global: &GlobalArgs, world: &mut World<'_>) -> Result<(), Failure> {
        if self.confirm.is_none() && !world.console.can_ask() {
            return Err(Failure::misuse("nobody is there to be asked whether this client is to be revoked")
                .hint("if it is, say its name: --confirm NAME"));
        }
        let config = self.common.load(global, world)?;
        let Managing { config, manager, .. } = self.common.open(config, world).await?;
        let clients = manager.clients().await?;
        let client = clients.find(&self.client)?;
        let grants = manager.grants_of(&client.client_id).await?;
        self.confirm(client, &grants, &mut world.console).await?;
        let Ended { tenants, was_over } = manager.revoke(client, &clients, self.assurance()).await?;
        let id = &client.client_id;
        world.console.tell(match was_over {
            true => format!("Flexslot has no client {id} any more; it is forgotten here, too."),
            false => format!("Revoked the client {id} at Flexslot; its secret is forgotten."),
        });
        if tenants > 0 {
            let tenants = counted(tenants, "tenant");
            world.console.tell(format_args!("Signed out {tenants} here; status says who has to connect again."));
        }
        for place in config.names(id) {
            world.console.tell(format_args!(
                "{place} still names this client: take it out of the configuration, or put another one there."
            ));
        }
        if self.common.json {
            world.console.data_line(serde_json::json!({ "client_id": id, "tenants_signed_out": tenants }))?;
        }
        Ok(())
    }

    fn assurance(&self) -> Assurance {
        if self.already_revoked { Assurance::Operator } else { Assurance::None }
    }

    /// Says what it would do, and takes the client's name for a yes.
    async fn confirm(
        &self,
        client: &ClientDescription,
        grants: &ClientGrants,
        console: &mut Console,
    ) -> Result<(), Failure> {
        let name = printable(&client.name);
        console.tell(format_args!(
            "Revoking {name:?} signs out every user who has connected through it. {}",
            signed_out(grants)
        ));
        let answer = match &self.confirm {
            Some(word) => word.clone(),
            None => {
                console.tell_part(format_args!("To revoke it, type its name ({name}): "));
                console.line().await?.map(|line| line.expose().to_owned()).unwrap_or_default()
            }
        };
        match is_its_name(client, answer.trim()) {
            true => Ok(()),
            false => Err(Failure::new("that is not its name; nothing was done")),
        }
    }
}

/// Whether `text` says that this client is meant. A client may have no name; Enter alone never is one.
fn is_its_name(client: &ClientDescription, text: &str) -> bool {
    !text.is_empty() && (text == client.name || text == client.client_id)
}

fn signed_out(ClientGrants { count, named }: &ClientGrants) -> String {
    let names: Vec<_> = named.iter().map(ToString::to_string).collect();
    let (tenants, names) = (counted(*count, "tenant"), names.join(", "));
    match count {
        0 => "No tenant is connected through it here.".to_owned(),
        count if *count as usize == named.len() => format!("Connected through it here: {tenants} ({names})."),
        _ => format!("Connected through it here: {tenants} ({names} and others)."),
    }
}

#[cfg(test)]
mod tests {
    use super::is_its_name;
    use crate::model::{ClientDescription, ClientStatus};

    #[test]
    fn enter_alone_revokes_nothing_not_even_a_client_without_a_name() {
        let named = |name: &str| ClientDescription {
            client_id: "flx_client_1".into(),
            name: name.into(),
            client_type: None,
            status: ClientStatus::Active,
            redirect_uris: Vec::new(),
            scopes: Vec::new(),
            dpop_bound_access_tokens: false,
            created_at: None,
            last_used_at: None,
            secret_rotated_at: None,
        };
        assert!(is_its_name(&named("App"), "App") && is_its_name(&named(""), "flx_client_1"));
        for (name, answer) in [("App", ""), ("", ""), ("App", "app"), ("App", "flx_client_2")] {
            assert!(!is_its_name(&named(name), answer), "{name:?} {answer:?}");
        }
    }
}
