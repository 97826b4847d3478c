//! `connect TENANT`

mod browser;
mod carried;
mod pasted;
mod received;

use std::time::Duration;

use clap::builder::PossibleValuesParser;

use super::{
    AdminListen, Console, Failure, GlobalArgs, StoreOverrides, World, console::printable, signals::Signals,
    status::card::permissions, store,
};
use crate::{
    app::connecting::{Connecting, NoClient, OpenedSession, Refusal, SessionOutcome, SessionWish},
    config::{Config, Overrides, ServiceSecrets},
    model::{ScopeSet, TenantId, scope::CATALOGUE},
};

/// Connect a tenant to Flexslot: its user is asked in the browser
///
/// Opens the browser, and waits until its user has answered. It comes back to the sidecar that runs on the same store;
/// where none runs, to this command, which listens at the redirect URI meanwhile. Both are where the admin listener is,
/// unless oauth.redirect_uri or admin.public_url says otherwise. A connection that is there stays until
/// the new one is.
#[derive(Debug, clap::Args)]
pub(super) struct ConnectArgs {
    /// The tenant's name
    tenant: TenantId,
    /// What to ask for, in place of oauth.scopes; can be given several times
    #[arg(long = "scope", value_name = "SCOPE", value_parser = PossibleValuesParser::new(CATALOGUE.map(|(name, _)| name)))]
    scopes: Vec<String>,
    /// Which OAuth client asks, by its name or its client_id; by default that of the tenant's last connection, else that
    /// of [oauth], else the newest of the store that knows where browsers come back to
    #[arg(long, value_name = "NAME")]
    client: Option<String>,
    /// Open nothing: print the address at Flexslot, and read from standard input the one that the browser ends on
    ///
    /// For machines without a browser; any browser anywhere will do. It does not matter whether its last page loads.
    #[arg(long)]
    no_browser: bool,
    #[command(flatten)]
    admin: AdminListen,
    #[command(flatten)]
    overrides: StoreOverrides,
}

/// A consent that is being asked for.
struct Asking<'a> {
    tenant: &'a TenantId,
    connecting: Connecting,
    session: OpenedSession,
}

/// What a session is ended with that its command gives up.
const GIVEN_UP: &str = "given_up";

/// How long the command stays for a code that is being redeemed when it is given up.
const LAST_WAIT: Duration = Duration::from_secs(20);

// === impl ConnectArgs ===

impl ConnectArgs {
    pub(super) fn run(self, global: &GlobalArgs, world: &mut World<'_>) -> Result<(), Failure> {
        super::runtime()?.block_on(self.connect(global, world))
    }

    async fn connect(self, global: &GlobalArgs, world: &mut World<'_>) -> Result<(), Failure> {
        let Self { tenant, scopes, client, no_browser, admin, overrides } = self;
        let source = global.source(world.environment);
        let overrides = Overrides { admin_listen: admin.admin_listen, ..overrides.into() };
        let config = Config::load_with(ServiceSecrets::OfClient, &source, &overrides, world.environment)?;
        if !config.oauth.names_a_client() && !store::exists(&config.store) {
            return Err(no_client(&NoClient::None, &tenant));
        }
        let mut signals = Signals::of_a_terminal()?;
        let storage = store::open_storage(&config.store, world).await?;
        let connecting = Connecting::new(&config, storage, &world.surroundings()).await?;
        let scopes = (!scopes.is_empty()).then(|| ScopeSet::new(&scopes.join(" ")));
        let wish = SessionWish { tenant: tenant.clone(), scopes, return_to: None, client };
        let wish = connecting.choose_client(wish).await?.map_err(|none| no_client(&none, &tenant))?;
        let session = connecting.credentials.open_awaited_session(wish).await?;
        let mut asking = Asking { tenant: &tenant, connecting, session };
        let walk =
            async { if no_browser { asking.carried(&mut world.console).await } else { asking.received(world).await } };
        let walked = tokio::select! {
            walked = walk => walked,
            () = signals.stop() => Err(Failure::new(format!("given up; {tenant} is as it was"))),
        };
        match walked {
            Ok(()) => {
                asking.leave_nothing().await;
                asking.tell(&mut world.console).await
            }
            Err(failure) => {
                // Whoever still has the link could go on with it.
                let given_up = SessionOutcome::Failed(GIVEN_UP.to_owned());
                let _ = asking.connecting.credentials.end_session(&asking.session.id, given_up).await;
                asking.leave_nothing().await;
                Err(failure)
            }
        }
    }
}

fn no_client(why: &NoClient, tenant: &TenantId) -> Failure {
    match why {
        NoClient::None => Failure::misuse(
            "only personal access tokens work: neither the configuration nor the store has an OAuth client",
        )
        .hint(format!(
            "set oauth.client_id, make one with flexslot-proxy client create, or give {tenant} a token: flexslot-proxy \
             tenant set-pat {tenant}"
        )),
        NoClient::Undecided(_) => Failure::misuse(why.to_string()).hint(format!(
            "choose one: flexslot-proxy connect {tenant} --client NAME; oauth.client_id is for those who choose none"
        )),
        NoClient::Unregistered { client, .. } => Failure::misuse(why.to_string()).hint(format!(
            "a client cannot be changed at Flexslot: make one that has it (client create), or set oauth.redirect_uri to \
             one that {client} has"
        )),
        NoClient::Unknown(_) | NoClient::Ambiguous(_) => {
            Failure::misuse(why.to_string()).hint("flexslot-proxy client list shows those of the store")
        }
    }
}

// === impl Asking ===

impl Asking<'_> {
    /// Lets a code that is being redeemed come to its end, and has Flexslot revoke what nobody holds any more: where no
    /// sidecar runs, nobody else does.
    async fn leave_nothing(&self) {
        let credentials = &self.connecting.credentials;
        credentials.idle(LAST_WAIT).await;
        credentials.clear_revocations(self.tenant).await;
    }

    /// Tells what there is now.
    async fn tell(&self, console: &mut Console) -> Result<(), Failure> {
        let tenant = self.tenant;
        let credentials = &self.connecting.credentials;
        let (identity, card) = (credentials.identity(tenant).await?, credentials.card(tenant).await?);
        match identity.and_then(|identity| identity.username) {
            Some(name) => console.tell(format_args!("Connected {tenant} to Flexslot as @{}.", printable(&name))),
            None => console.tell(format_args!("Connected {tenant} to Flexslot.")),
        }
        if let Some(card) = card {
            console.tell(printable(&permissions(&card.scopes)));
        }
        Ok(())
    }

    /// That it came to nothing.
    fn refused(&self, why: &Refusal) -> Failure {
        let explained = self.connecting.explain(why);
        let failure = Failure::new(explained.what);
        match explained.operator {
            Some(hint) => failure.hint(hint),
            None => failure.hint(format!("to begin again: flexslot-proxy connect {}", self.tenant)),
        }
    }
}
