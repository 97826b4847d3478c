//! Our own binary, as released and with its defaults: guard, pick from an SQLite store, access log, metrics, traces.

use std::{
    path::PathBuf,
    process::Command,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::Plan;
use crate::{
    failure::{Failure, Result, Trying},
    process,
    upstream::Form,
    work::{PLAYER, STUDIO},
};

/// How long the access token lives: nothing is refreshed meanwhile.
const LIFE: Duration = Duration::from_secs(12 * 3600);

pub(super) fn prepare(plan: &Plan<'_>, port: u16) -> Result<(PathBuf, Vec<String>)> {
    plan.write("proxy.toml", config(plan, port, process::free_port()?))?;
    let tenants = plan.write("tenants.jsonl", tenants()?)?;
    let mut import = Command::new(plan.binary);
    import.args(["tenant", "import", &tenants]).current_dir(plan.dir).env_clear();
    let output = import.output().trying(|| format!("starting {}", plan.binary.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Failure::new(format!("tenant import failed: {said}")));
    }
    Ok((plan.binary.to_owned(), vec!["serve".into()]))
}

/// What has no default, and what keeps the environment out.
fn config(plan: &Plan<'_>, port: u16, admin: u16) -> String {
    let upstream = plan.upstream.port(plan.form);
    let url = match plan.form {
        Form::Plain => format!("url = \"http://127.0.0.1:{upstream}\""),
        Form::Tls | Form::H2 => {
            let authority = plan.upstream.authority.display();
            format!("url = \"https://127.0.0.1:{upstream}\"\nca_file = \"{authority}\"")
        }
    };
    format!(
        r#"[server]
listen = "127.0.0.1:{port}"
[admin]
listen = "127.0.0.1:{admin}"
[upstream]
{url}
proxy = "off"
[oauth]
client_id = "flx_client_compare"
"#
    )
}

/// The lines to import.
fn tenants() -> Result<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).trying(|| "the clock".into())?;
    let studio = serde_json::json!({ "tenant": STUDIO.name, "pat": STUDIO.token });
    let player = serde_json::json!({
        "tenant": PLAYER.name,
        "access_token": PLAYER.token,
        "refresh_token": PLAYER.token.replace("flx_at_", "flx_rt_"),
        "expires_at": (now + LIFE).as_secs(),
        "scope": "decks:read decks:write cards:read",
    });
    Ok(format!("{studio}\n{player}\n"))
}
