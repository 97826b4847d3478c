//! `sandbox`

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tracing_subscriber::filter::{LevelFilter, Targets};

use super::{Console, Failure, World, logging::Logging, signals::Signals};
use crate::{
    app,
    config::{Log, LogFormat, parse_duration},
    model::{Random, SystemClock},
    sandbox::{Consent, Sandbox, Seed, Settings},
};

/// Run a local stand-in of Flexslot, for your own tests and CI
///
/// It starts with two users, ada and george, and the public OAuth client flx_client_sandbox. It is strict: refresh
/// tokens rotate, and one that is presented twice revokes its grant. Faults are made, and requests counted, through its
/// control API below /_sandbox/ (docs/sandbox.md).
#[derive(Debug, Clone, clap::Args)]
pub(super) struct SandboxArgs {
    /// Where it listens; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3541")]
    listen: SocketAddr,
    /// What happens when an app asks for consent
    #[arg(long, value_enum, default_value_t = ConsentMode::Automatic)]
    consent: ConsentMode,
    /// How long access tokens live, such as 30s to see refreshes often
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_duration)]
    access_life: Duration,
    /// The origin in iss, Location and links; by default http:// and the address
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// The redirect URI of the client flx_client_sandbox
    #[arg(long, value_name = "URI", default_value = "http://127.0.0.1:3540/oauth/callback")]
    redirect_uri: String,
}

/// `--consent`
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum ConsentMode {
    /// The signed-in user allows at once
    Automatic,
    /// A page with Allow and Deny
    Page,
}

// === impl SandboxArgs ===

impl SandboxArgs {
    pub(super) fn run(self, world: &mut World<'_>) -> Result<(), Failure> {
        let log =
            Log { format: LogFormat::Auto, access: false, filter: Targets::new().with_default(LevelFilter::INFO) };
        let _logging = Logging::start(&log, world.console.err_kind())?;
        super::runtime()?.block_on(self.serve(&mut world.console))
    }

    async fn serve(self, console: &mut Console) -> Result<(), Failure> {
        let settings = Settings {
            access_life: self.access_life,
            issuer: self.issuer,
            consent: match self.consent {
                ConsentMode::Automatic => Consent::Automatic,
                ConsentMode::Page => Consent::Page,
            },
            seed: Seed::sample(&self.redirect_uri),
            ..Settings::default()
        };
        let mut signals = Signals::of_a_terminal()?;
        let listener = app::bind_tcp(self.listen).map_err(|error| {
            Failure::new(format!("{} cannot be listened on: {error}", self.listen))
                .hint("choose another address with --listen")
        })?;
        let sandbox = Sandbox::new(settings, Arc::new(SystemClock), Random::system());
        let pat = sandbox.add_pat("ada");
        let address =
            listener.local_addr().map_err(|error| Failure::new(format!("the sandbox has no address: {error}")))?;
        console.data_line(format_args!("sandbox: http://{address}"))?;
        console
            .data_line(format_args!("  a personal access token of ada, who exists only in here: {}", pat.expose()))?;
        console
            .data_line(format_args!("  FLEXSLOT_PAT={} flexslot-proxy --upstream http://{address}", pat.expose()))?;
        let consent = match self.consent {
            ConsentMode::Automatic => "whoever is signed in, george at first, allows at once; --consent page asks",
            ConsentMode::Page => "a page with Allow and Deny, and who is signed in",
        };
        console.data_line(format_args!("  consent, at /api/public/v1/oauth/authorize: {consent}"))?;
        console.data_line(format_args!("  where a user revokes an app: http://{address}/account/connected-apps"))?;
        sandbox.serve(listener, signals.stop()).await;
        Ok(())
    }
}
