//! The sidecar that is measured: the whole of it, as `serve` builds it, on one thread.

use std::{
    fs,
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    thread,
};

use flexslot_proxy::{
    app::{self, App, Crew, Handed, Listeners, Surroundings, storage::Storage},
    cli::logging,
    config::{Config, ConfigSource, Overrides, SystemEnvironment},
};
use tokio::{runtime::Builder, sync::oneshot};

/// Serves in front of the upstream at the port that `args` name, prints its own port, and ends with standard input.
pub(crate) fn run(args: &[String]) -> io::Result<()> {
    let upstream = args.first().ok_or_else(|| io::Error::other("no port"))?;
    let dir = tempfile::tempdir()?;
    let pat = dir.path().join("pat");
    fs::write(&pat, "flx_pat_0123456789abcdef0123456789abcdef")?;
    fs::set_permissions(&pat, fs::Permissions::from_mode(0o600))?;
    let file = dir.path().join("proxy.toml");
    fs::write(&file, toml(upstream))?;
    let config = Config::load(&ConfigSource::File(file), &Overrides::default(), &SystemEnvironment)
        .map_err(|faults| io::Error::other(faults.to_string()))?;
    // Lines are made and dropped: when they are written depends on the time.
    logging::to_sink(&config.log).map_err(|failure| io::Error::other(failure.to_string()))?;
    Builder::new_current_thread().enable_all().build()?.block_on(serve(config))
}

async fn serve(config: Config) -> io::Result<()> {
    let failed = |failure: app::StartFailure| io::Error::other(failure.to_string());
    let (metrics, around) = (app::metrics().map_err(failed)?, Surroundings::system());
    let storage = Storage::open(&config.store, &around, metrics.clone()).await.map_err(failed)?;
    let listeners = Listeners::bind(&config, Handed::default()).map_err(failed)?;
    println!("{}", listeners.ports().0);
    let app = App::build(config, storage, &around, (Crew::here(), metrics)).map_err(failed)?;
    let (_reloader, reloads) = app::reloads();
    let (stop, stopped) = oneshot::channel::<()>();
    thread::spawn(move || {
        // Whatever ends it, it is the end.
        let _ = io::stdin().read(&mut [0]);
        drop(stop);
    });
    let ended = app.run(listeners, reloads, async { drop(stopped.await) }).await;
    ended.map(drop).map_err(failed)
}

/// Everything by default but where it listens and what it needs to work.
fn toml(upstream: &str) -> String {
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"off\"\n[upstream]\nurl = \"http://127.0.0.1:{upstream}\"\n\
         proxy = \"off\"\n[store]\nurl = \"memory:\"\n[[tenants]]\nname = \"acme\"\npat = {{ file = \"pat\" }}\n"
    )
}
