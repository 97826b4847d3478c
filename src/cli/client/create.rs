//! `client create`

use std::ffi::OsStr;

use clap::{
    Arg, Command, ValueEnum,
    builder::{PossibleValue, StringValueParser, TypedValueParser},
};
use serde_json::json;

use super::{CommonArgs, Managing};
use crate::{
    app::client_manager::Made,
    cli::{Failure, GlobalArgs, World, console::printable},
    model::{
        ClientType, NewClient, Secret,
        oauth_client::{ClientFault, ClientField, ClientUrls, ClientWish},
        scope::CATALOGUE,
    },
};

/// Make an OAuth client at Flexslot, and keep its secret in the store
///
/// Flexslot shows the secret once. It is in the store, sealed, before this command says anything; a sidecar on the same
/// store uses it at once. Where an earlier run was killed, the same command again finishes what it began.
#[derive(Debug, clap::Args)]
pub(super) struct CreateArgs {
    /// What users who are asked see: 1 to 255 characters
    #[arg(long)]
    name: String,
    /// Where Flexslot may send browsers back to, byte for byte; can be given several times; by default where the sidecar
    /// of this configuration has them come back to
    #[arg(long = "redirect-uri", value_name = "URI")]
    redirect_uris: Vec<String>,
    /// What the client may ask for; can be given several times; by default oauth.scopes
    #[arg(long = "scope", value_name = "SCOPE", value_parser = ScopeParser)]
    scopes: Vec<String>,
    /// Whether it can keep a secret
    #[arg(long = "type", value_name = "TYPE", value_enum, default_value_t = Kind::Confidential)]
    kind: Kind,
    /// The app's page
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The app's logo
    #[arg(long, value_name = "URL")]
    logo_url: Option<String>,
    /// The app's privacy policy
    #[arg(long, value_name = "URL")]
    privacy_url: Option<String>,
    /// The app's terms of service
    #[arg(long, value_name = "URL")]
    tos_url: Option<String>,
    /// Print the secret, too; nobody needs it where the sidecar has it
    #[arg(long)]
    show_secret: bool,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A server keeps its secret
    Confidential,
    /// It runs where no secret can be kept; PKCE alone protects it
    Public,
}

/// Takes any text for a scope, and names those that there are: what is no scope is told with all else that is wrong.
#[derive(Debug, Clone, Copy)]
struct ScopeParser;

// === impl CreateArgs ===

impl CreateArgs {
    pub(super) async fn run(self, global: &GlobalArgs, world: &mut World<'_>) -> Result<(), Failure> {
        let config = self.common.load(global, world)?;
        let usual_uri = config.config.oauth.callback.known().map(|uri| uri.as_str().to_owned());
        let redirect_uris = match &self.redirect_uris[..] {
            [] => usual_uri.iter().cloned().collect(),
            uris => uris.to_vec(),
        };
        let usual_scopes = || config.config.oauth.scopes.names().map(str::to_owned).collect();
        let wish = ClientWish {
            name: self.name.clone(),
            redirect_uris,
            scopes: if self.scopes.is_empty() { usual_scopes() } else { self.scopes.clone() },
            client_type: self.kind.into(),
            urls: ClientUrls {
                application: self.url.clone(),
                logo: self.logo_url.clone(),
                privacy_policy: self.privacy_url.clone(),
                tos: self.tos_url.clone(),
            },
        };
        let new = NewClient::check(wish).map_err(|faults| misuse(faults, usual_uri.is_none()))?;
        if let (Some(uri), []) = (usual_uri, &self.redirect_uris[..]) {
            // Said aloud, since it cannot be changed later.
            world.console.tell(format_args!("Browsers will come back to {uri}, as the configuration has it."));
        }
        let Managing { manager, tenant, .. } = self.common.open(config, world).await?;
        let made = manager.create(&new, &mut |news| world.console.tell(printable(&news))).await?;
        self.tell(&made, &tenant.to_string(), world)
    }

    fn tell(&self, made: &Made, tenant: &str, world: &mut World<'_>) -> Result<(), Failure> {
        let Made { client, secret, was_there } = made;
        let shown = secret.as_ref().filter(|_| self.show_secret);
        let console = &mut world.console;
        console.tell(match was_there {
            true => format!("An earlier run had made {:?}; it is finished now.", printable(&client.name)),
            false => format!("Made the OAuth client {:?}.", printable(&client.name)),
        });
        print(self.common.json, &client.client_id, shown, console)?;
        if secret.is_some() {
            console.tell("Its secret is in the store, sealed; sidecars on this store use it from there.");
        }
        console.tell(format_args!(
            "Next: flexslot-proxy connect TENANT asks a user in its name. The PAT of {tenant} manages it."
        ));
        if client.dpop_bound_access_tokens {
            console.tell("Flexslot binds its tokens to a key (DPoP).");
        }
        Ok(())
    }
}

/// The id, and the secret where that was asked for.
pub(super) fn print(
    as_json: bool,
    client_id: &str,
    secret: Option<&Secret>,
    console: &mut crate::cli::Console,
) -> Result<(), Failure> {
    if as_json {
        let mut document = json!({ "client_id": client_id });
        if let Some(secret) = secret {
            document["client_secret"] = secret.expose().into();
        }
        return console.data_line(document);
    }
    console.data_line(format_args!("client_id      {client_id}"))?;
    match secret {
        Some(secret) => console.data_line(format_args!("client_secret  {}", secret.expose())),
        None => Ok(()),
    }
}

/// All that is wrong, at once. `is_homeless`: the configuration does not say where browsers come back to.
fn misuse(mut faults: Vec<ClientFault>, is_homeless: bool) -> Failure {
    for fault in faults.iter_mut().filter(|fault| is_homeless && fault.field == ClientField::RedirectUris) {
        fault.what = "is needed: the admin listener has no fixed port for browsers to come back to".into();
    }
    let lines: Vec<_> = faults.iter().map(ToString::to_string).collect();
    match &lines[..] {
        [one] => Failure::misuse(format!("Flexslot would not take this: {one}")),
        all => Failure::misuse(format!("Flexslot would not take this:\n  {}", all.join("\n  "))),
    }
}

// === impl ScopeParser ===

impl TypedValueParser for ScopeParser {
    type Value = String;

    fn parse_ref(&self, command: &Command, argument: Option<&Arg>, value: &OsStr) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(CATALOGUE.iter().map(|(name, _)| PossibleValue::new(*name))))
    }
}

// === impl Kind ===

impl From<Kind> for ClientType {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Confidential => Self::Confidential,
            Kind::Public => Self::Public,
        }
    }
}
