//! The browser of whoever sits at the terminal.

use std::process::{Command, Stdio};

use crate::{config::Environment, model::prefix};

/// What opens an address where `BROWSER` does not say.
const OPENER: &str = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };

/// What a word of a variable's name ends in, where that holds a secret.
const SECRETS: [&str; 5] = ["TOKEN", "SECRET", "PASSWORD", "KEY", "CREDENTIALS"];

/// Whether there was something to open an address with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opened {
    Yes,
    No,
}

/// Has a browser show `url`. That there is none is no failure: the address has been printed.
pub(super) fn open(url: &str, environment: &dyn Environment) -> Opened {
    let mut words = command(environment.variable("BROWSER").and_then(|text| text.into_string().ok()).as_deref(), url);
    let program = words.remove(0);
    let mut browser = Command::new(program);
    browser.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    for (name, value) in std::env::vars_os() {
        if looks_secret(&name.to_string_lossy(), &value.to_string_lossy()) {
            browser.env_remove(name);
        }
    }
    // Nobody waits for its end; it may stay open for days.
    match browser.spawn() {
        Ok(_) => Opened::Yes,
        Err(_) => Opened::No,
    }
}

/// Whether a variable looks like a secret. A browser may stay open for days, and hands its environment to all that it
/// starts. To ask the configuration is not enough: `connect` does not read every secret that it names.
fn looks_secret(name: &str, value: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let ends_in = |word: &str| SECRETS.iter().any(|secret| word.ends_with(secret));
    name.starts_with("FLEXSLOT")
        || has_password(value)
        || prefix::holds_credential(value)
        || name.split('_').any(|word| word == "PAT" || ends_in(word))
}

/// Whether it is a URL with a password in it, as those of databases are.
fn has_password(value: &str) -> bool {
    value.split_once("://").and_then(|(_, rest)| rest.split_once('@')).is_some_and(|(user, _)| user.contains(':'))
}

/// The program and its arguments. `BROWSER` may name several, the best first, and say by `%s` where the address goes.
fn command(browser: Option<&str>, url: &str) -> Vec<String> {
    let best = browser.and_then(|browsers| browsers.split(':').find(|browser| !browser.trim().is_empty()));
    let mut words: Vec<String> = best.unwrap_or(OPENER).split_whitespace().map(str::to_owned).collect();
    if words.iter().any(|word| word.contains("%s")) {
        words.iter_mut().for_each(|word| *word = word.replace("%s", url));
    } else {
        words.push(url.to_owned());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::{OPENER, command, looks_secret};

    #[test]
    fn a_browser_inherits_no_secret_and_what_it_needs() {
        for (name, value) in [
            ("FLEXSLOT_PROXY_STORE", "redis://cache/"),
            ("FLEXSLOT_PAT", "x"),
            ("ACME_PAT", "x"),
            ("ADMIN_TOKEN", "x"),
            ("CLIENT_SECRET_1", "x"),
            ("PGPASSWORD", "x"),
            ("DATABASE_PASSWORD_1", "x"),
            ("APIKEY", "x"),
            ("DATABASE_URL", "postgres://u:canary@db/flexslot"),
            ("MINE", "flx_pat_canary"),
        ] {
            assert!(looks_secret(name, value), "{name}");
        }
        for name in ["PATH", "HOME", "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "DBUS_SESSION_BUS_ADDRESS", "LANG"] {
            assert!(!looks_secret(name, "x"), "{name}");
        }
    }

    #[test]
    fn the_best_browser_is_given_the_address() {
        let url = "http://127.0.0.1:3540/connect/x y;z";
        for (browser, expected) in [
            (None, vec![OPENER, url]),
            (Some(""), vec![OPENER, url]),
            (Some("firefox"), vec!["firefox", url]),
            (Some(":firefox --new-window:w3m"), vec!["firefox", "--new-window", url]),
            (Some("open-with %s --wait"), vec!["open-with", url, "--wait"]),
        ] {
            assert_eq!(command(browser, url), expected, "{browser:?}");
        }
    }
}
