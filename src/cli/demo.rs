//! `demo`: everything on one machine, with tenants in every state.

use std::{
    fmt,
    net::Ipv4Addr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::sync::oneshot;

use super::{Console, Failure, World, logging::Logging, serve::workers, signals::Signals};
use crate::{
    app::{self, App, Handed, Listeners, Surroundings, storage::Storage},
    config::{Config, ConfigSource, Overrides, SystemEnvironment},
    model::{Origin, ProofKey, Random, ScopeSet, Secret, SystemClock, TokenSet, TokenType},
    sandbox::{Client, Consent, Running, Sandbox, Settings, TokenPair},
    store::{Existing, NewGrant, NewTenant, StoredPat},
};

/// Run a stand-in of Flexslot with a sidecar in front of it, and print requests to try
///
/// Needs no account, no file and no network; what it keeps is removed when it stops.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct DemoArgs {
    /// Where the sidecar listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3539")]
    listen: String,
    /// Where its connections page, health and metrics are
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3540")]
    admin_listen: String,
}

/// The client that every grant of the demo was given to.
const CLIENT: &str = "flx_client_demo";

/// The scopes of the demo's grants: enough for some of the requests, so that one sees a PAT stand in for the rest.
const SCOPES: &str = "decks:read cards:read";

/// The tenant whose tokens are bound to a key.
const BOUND: &str = "bound";

/// The tenant that nobody has connected yet, and the user of the stand-in who will.
const UNCONNECTED: &str = "yours";
const USER: &str = "george";

/// A request to paste.
struct Line {
    /// What it shows.
    shows: &'static str,
    /// What curl is given besides the URL.
    arguments: String,
    /// Where it goes: a path at the sidecar, one at the admin listener, or a URL of the stand-in.
    to: To,
    status: u16,
}

enum To {
    Sidecar(&'static str),
    Admin(&'static str),
    Flexslot(String),
}

/// The command as it is pasted: 127.0.0.1 is where the demo listens, by whatever name it is called.
struct Curl<'a>(&'a Line, u16, u16);

// === impl DemoArgs ===

impl DemoArgs {
    pub(super) fn run(self, world: &mut World<'_>) -> Result<(), Failure> {
        let dir = tempfile::Builder::new()
            .prefix("flexslot-proxy-demo-")
            .permissions(PermissionsExt::from_mode(0o700))
            .tempdir();
        let dir = dir.map_err(|error| Failure::new(format!("no temporary directory could be made: {error}")))?;
        super::runtime()?.block_on(self.demo(dir.path(), world))
    }

    async fn demo(self, dir: &Path, world: &mut World<'_>) -> Result<(), Failure> {
        let mut signals = Signals::of_a_terminal()?;
        let settings = Settings { consent: Consent::Page, ..Settings::default() };
        let sandbox = Sandbox::new(settings, Arc::new(SystemClock), Random::system());
        let upstream = app::bind_tcp((Ipv4Addr::LOCALHOST, 0).into())
            .and_then(|listener| sandbox.spawn(listener))
            .map_err(|error| Failure::new(format!("the sandbox cannot listen: {error}")))?;
        let config = self.config(dir, &upstream)?;
        let (_logging, rest) = Logging::start(&config.log, world.console.err_kind())?;
        let metrics = app::metrics()?;
        let around = Surroundings::system();
        let storage = Storage::open(&config.store, &around, Arc::clone(&metrics) as _).await?;
        let listeners = Listeners::bind(&config, Handed::default())?;
        let ports = listeners.ports();
        let file = write_file(dir, upstream.origin(), Some(&listeners))?;
        sandbox.add_client(client(config.oauth.callback.bound_to(ports.1).as_str()));
        let leaked = furnish(&sandbox, &config.upstream.origin, &storage).await?;
        tracing::info!(target: "sandbox", "printed on purpose, the access token of the tenant {BOUND}, as a log that leaks would: {}", leaked.expose());
        let app = App::build(config, storage, &around, (workers()?, metrics))?;
        let page = app.sign_in_link(&listeners).await?;
        let (_reloader, reloads) = app::reloads();
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(app.run(listeners, reloads, async { drop(stopped.await) }));
        welcome(&mut world.console, page.as_deref(), ports, &upstream, &leaked, &file)?;
        let kept = dir.to_owned();
        // Nobody else would remove it: exiting runs no destructors.
        let last = move || {
            rest.write();
            drop(std::fs::remove_dir_all(kept));
        };
        signals.stop_or(last).await;
        drop(stop);
        let ended = running.await.map_err(|error| Failure::new(format!("the sidecar ended badly: {error}")))?;
        upstream.stop().await;
        ended?;
        Ok(())
    }

    /// The configuration of the demo's sidecar, written like any other. Whoever revokes what they connected moments ago
    /// sees it at the next call: Flexslot is asked again a second after a token answer, and not only after thirty.
    fn config(&self, dir: &Path, upstream: &Running) -> Result<Config, Failure> {
        let file = write_file(dir, upstream.origin(), None)?;
        let overrides = Overrides {
            listen: Some(self.listen.clone()),
            admin_listen: Some(self.admin_listen.clone()),
            upstream: Some(upstream.origin().to_owned()),
            store: Some(format!("sqlite:{}", dir.join("flexslot-proxy.db").display())),
            log_format: Some("text".to_owned()),
            log_level: Some("info".to_owned()),
        };
        Ok(Config::load(&ConfigSource::File(file), &overrides, &SystemEnvironment)?)
    }
}

/// Writes the demo's configuration into `dir`, and says where. With `listeners` it names them, whatever their ports have
/// come to, so that commands find the sidecar by this file alone.
fn write_file(dir: &Path, upstream: &str, listeners: Option<&Listeners>) -> Result<PathBuf, Failure> {
    let addresses = |list: String| {
        let addresses = list.split(", ").filter_map(|address| address.strip_prefix("http://"));
        format!("listen = [{}]\n", addresses.map(|address| format!("{address:?}")).collect::<Vec<_>>().join(", "))
    };
    let (server, admin) = listeners.map_or_else(Default::default, |listeners| {
        let (server, admin) = listeners.addresses();
        (addresses(server), addresses(admin))
    });
    let text = format!(
        "[server]\n{server}drain_timeout = \"3s\"\n[admin]\n{admin}[upstream]\nurl = \"{upstream}\"\n[oauth]\nclient_id = \"{CLIENT}\"\n\
         [log]\nformat = \"text\"\n[refresh]\nmin_interval = \"1s\"\n[[tenants]]\nname = \"{UNCONNECTED}\"\n"
    );
    let file = dir.join("proxy.toml");
    std::fs::write(&file, text)
        .map_err(|error| Failure::new(format!("{} cannot be written: {error}", file.display())))?;
    Ok(file)
}

/// The app that asks for consent, whose browsers come back to the demo's sidecar. It may ask for more than it does, so
/// that whoever is refused a call for want of a permission can allow it.
fn client(redirect_uri: &str) -> Client {
    Client { name: "The demo's app".to_owned(), ..Client::public(CLIENT).redirect_uri(redirect_uri) }
}

/// Puts users into the sandbox, and their tenants into the store, one in each state. Answers the access token that is of no
/// use without its key.
async fn furnish(sandbox: &Sandbox, origin: &Origin, storage: &Storage) -> Result<Secret, Failure> {
    sandbox.add_deck(USER, "Izzet Phoenix");
    sandbox.sign_in(USER);
    let tenants = ["fresh", "ageing", "expired", "refused", "revoked", "pat-only", "both", BOUND];
    let (mut batch, mut leaked) = (Vec::new(), None);
    for tenant in tenants {
        sandbox.add_partner(tenant);
        sandbox.add_deck(tenant, "Izzet Phoenix");
        let pat = matches!(tenant, "pat-only" | "both")
            .then(|| StoredPat { pat: sandbox.add_pat(tenant), origin: origin.clone() });
        let grant = (tenant != "pat-only").then(|| grant(sandbox, origin, tenant)).transpose()?;
        if tenant == BOUND {
            leaked = grant.as_ref().map(|grant| grant.tokens.access.clone());
        }
        let name = tenant.parse().map_err(|_| Failure::new("the demo's tenants have bad names"))?;
        batch.push(NewTenant { tenant: name, pat, grant });
    }
    let imported = storage.store.import(batch, Existing::Skip).await;
    imported.map_err(|error| Failure::new(format!("the demo's tenants cannot be stored: {error}")))?;
    leaked.ok_or_else(|| Failure::new("the demo has no bound token"))
}

/// A consent of `user`, and the state that its tenant shows.
fn grant(sandbox: &Sandbox, origin: &Origin, user: &str) -> Result<NewGrant, Failure> {
    let unknown = |_| Failure::new("the sandbox does not know its own users");
    let life = Duration::from_secs(if user == "ageing" { 120 } else { 3600 });
    let key = (user == BOUND).then(ProofKey::generate);
    let jkt = key.as_ref().map(ProofKey::thumbprint);
    let pair = sandbox.issue_grant_bound_to(user, CLIENT, SCOPES, life, jkt).map_err(unknown)?;
    let believed = match user {
        "expired" => {
            sandbox.expire_access(pair.grant).map_err(unknown)?;
            Duration::ZERO
        }
        // The sidecar believes that these are good, and learns better from Flexslot.
        "refused" => {
            sandbox.expire_access(pair.grant).map_err(unknown)?;
            life
        }
        "revoked" => {
            sandbox.revoke_grant(pair.grant).map_err(unknown)?;
            life
        }
        _ => life,
    };
    Ok(NewGrant { client_id: CLIENT.to_owned(), origin: origin.clone(), tokens: tokens(pair, believed, key) })
}

fn tokens(pair: TokenPair, life: Duration, key: Option<ProofKey>) -> TokenSet {
    use crate::model::Clock as _;
    TokenSet {
        access: pair.access,
        refresh: pair.refresh,
        token_type: if key.is_some() { TokenType::Dpop } else { TokenType::Bearer },
        scopes: ScopeSet::new(&pair.scope),
        expires_at: SystemClock.now().plus(life),
        answered_at: None,
        key,
    }
}

/// `leaked` is a token that is bound to a key.
fn lines(flexslot: &str, leaked: &Secret) -> Vec<Line> {
    let as_tenant = |tenant: &str| format!("-H 'x-flexslot-tenant: {tenant}' ");
    let line = |shows, arguments: String, path, status| Line { shows, arguments, to: To::Sidecar(path), status };
    let decks = "/api/public/v1/decks/";
    let post = |tenant: &str| {
        format!("{}-H 'content-type: application/json' -d '{{\"name\":\"Azorius Control\"}}' ", as_tenant(tenant))
    };
    vec![
        line("a fresh token: used as it is", as_tenant("fresh"), decks, 200),
        line("a token about to expire: used, and refreshed in the background", as_tenant("ageing"), decks, 200),
        line("an expired token: refreshed before the request is sent", as_tenant("expired"), decks, 200),
        line(
            "a token that Flexslot refuses: refreshed, and the request sent again, body and all",
            refused_post(),
            "/api/public/v1/cards/resolve",
            200,
        ),
        line(
            "a grant that its user has revoked: found out once, and never sent again",
            as_tenant("revoked"),
            decks,
            401,
        ),
        line(
            "a token that is bound to a key, which the sidecar proves with each request",
            as_tenant(BOUND),
            decks,
            200,
        ),
        Line {
            shows: "the same token in the hands of a thief, who has read it in the log here, and has no key",
            arguments: format!("-H 'authorization: Bearer {}' ", leaked.expose()),
            to: To::Flexslot(format!("{flexslot}{decks}")),
            status: 401,
        },
        line("a personal access token", as_tenant("pat-only"), decks, 200),
        line("both: the grant lacks decks:write, so the personal access token stands in", post("both"), decks, 201),
        line(
            "both: partner endpoints take the personal access token only",
            as_tenant("both"),
            "/api/public/v1/me/partner",
            200,
        ),
        line(
            "an app that can change only its base URL names the tenant in the path",
            String::new(),
            "/t/pat-only/api/public/v1/cards/autocomplete?q=fire",
            200,
        ),
        line(
            "never connected: connect it on the connections page, and this answers 200",
            as_tenant(UNCONNECTED),
            decks,
            401,
        ),
        line("no tenant named", String::new(), decks, 400),
        line("a tenant that nobody knows", as_tenant("nobody"), decks, 401),
        line(
            "the token endpoint is the sidecar's own business",
            format!("{}-X POST ", as_tenant("fresh")),
            "/api/public/v1/oauth/token",
            403,
        ),
        line(
            "a path that would lead elsewhere",
            format!("{}--path-as-is ", as_tenant("fresh")),
            "/api/public/v1/decks/%2e%2e/me/partner",
            400,
        ),
        Line { shows: "whether the sidecar is ready", arguments: String::new(), to: To::Admin("/readyz"), status: 200 },
    ]
}

fn refused_post() -> String {
    "-H 'x-flexslot-tenant: refused' -H 'content-type: application/json' -d '{\"identifiers\":[\"Lightning Bolt\"]}' "
        .to_owned()
}

/// What to do first, then the rest; `page` is a link to the connections page, where there is one.
fn welcome(
    console: &mut Console,
    page: Option<&str>,
    (sidecar, admin): (u16, u16),
    upstream: &Running,
    leaked: &Secret,
    file: &Path,
) -> Result<(), Failure> {
    let flexslot = upstream.origin();
    console
        .data_line("A sidecar, a stand-in of Flexslot behind it, and nine tenants. Nothing leaves this machine.\n")?;
    if let Some(page) = page {
        console.data_line(format_args!(
            "  The connections page (the link is for one browser, within five minutes). Connect the tenant {UNCONNECTED}:\n"
        ))?;
        console.data_line(format_args!("    {page}\n"))?;
        console.data_line(format_args!("  Where @{USER}, who does so, revokes it again:\n"))?;
        console.data_line(format_args!("    {flexslot}/account/connected-apps\n"))?;
    }
    console.data_line(format_args!("  sidecar   http://localhost:{sidecar}"))?;
    console.data_line(format_args!("  admin     http://localhost:{admin}"))?;
    console.data_line(format_args!("  Flexslot  {flexslot} (the stand-in; what it counts: /_sandbox/counters)\n"))?;
    console.data_line("Paste these into another terminal, and watch the log here.\n")?;
    for line in lines(flexslot, leaked) {
        console.data_line(format_args!("  # {} => HTTP {}", line.shows, line.status))?;
        console.data_line(format_args!("    {}\n", Curl(&line, sidecar, admin)))?;
    }
    console.data_line(
        "  # for the commands that answers and log name, in that terminal; ID is an answer's Flexslot-Proxy-Request-Id",
    )?;
    console.data_line(format_args!("    export FLEXSLOT_PROXY_CONFIG={}", quoted(&file.to_string_lossy())))?;
    let program = std::env::args().next().unwrap_or_else(|| "flexslot-proxy".to_owned());
    console.data_line(format_args!("    {} explain ID\n", quoted(&program)))?;
    console.data_line("Ready. Ctrl-C stops the demo and removes what it kept.")
}

/// The word as a shell takes it.
fn quoted(word: &str) -> String {
    match word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte)) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

// === impl Curl ===

impl fmt::Display for Curl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(line, sidecar, admin) = self;
        let url = match &line.to {
            To::Sidecar(path) => format!("http://localhost:{sidecar}{path}"),
            To::Admin(path) => format!("http://localhost:{admin}{path}"),
            To::Flexslot(url) => url.clone(),
        };
        write!(f, "curl -i {}'{url}'", line.arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::{SCOPES, client, quoted};
    use crate::sandbox::Client;

    #[test]
    fn who_is_refused_a_call_for_want_of_a_permission_can_allow_it() {
        let allowed = client("http://127.0.0.1:3540/oauth/callback").allowed_scopes;
        assert_eq!(allowed, Client::public("any").allowed_scopes, "all that the stand-in has");
        assert!(allowed.len() > SCOPES.split(' ').count());
    }

    #[test]
    fn a_path_is_one_word_of_a_shell() {
        assert_eq!(quoted("/tmp/flexslot-proxy-demo-Xy1/proxy.toml"), "/tmp/flexslot-proxy-demo-Xy1/proxy.toml");
        assert_eq!(quoted("/tmp/George's $HOME/x"), r"'/tmp/George'\''s $HOME/x'");
    }
}
