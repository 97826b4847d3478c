//! The browser of whoever sits at the terminal.

use std::process::{Command, Stdio};

use crate::{config::Environment, model::prefix};

/// What opens an address where `BROWSER` does not say.
const OPENER: &str = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };

/// Has a browser show `url`. That there is none is no failure: the address has been printed.
pub(super) fn open(url: &str, environment: &dyn Environment) {
    let mut words = command(environment.variable("BROWSER").and_then(|text| text.into_string().ok()).as_deref(), url);
    let program = words.remove(0);
    let mut browser = Command::new(program);
    browser.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    for (name, value) in std::env::vars_os() {
        if is_secret(&name.to_string_lossy(), &value.to_string_lossy()) {
            browser.env_remove(name);
        }
    }
    // Nobody waits for its end; it may stay open for days.
    let _ = browser.spawn();
}

/// Whether a variable is none that a browser needs, and one that it should not have: it may stay open for days, and all
/// that it starts inherits it. Which ones the configuration names for secrets is not enough: `connect` reads not all.
fn is_secret(name: &str, value: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let mut words = name.split('_');
    name.starts_with("FLEXSLOT")
        || prefix::holds_credential(value)
        || words.any(|word| ["TOKEN", "SECRET", "PASSWORD", "PASS", "PAT", "KEY", "CREDENTIALS"].contains(&word))
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
    use super::{OPENER, command, is_secret};

    #[test]
    fn a_browser_inherits_no_secret_and_what_it_needs() {
        for (name, value) in [
            ("FLEXSLOT_PROXY_STORE", "redis://cache/"),
            ("FLEXSLOT_PAT", "x"),
            ("ACME_PAT", "x"),
            ("ADMIN_TOKEN", "x"),
            ("CLIENT_SECRET_1", "x"),
            ("PGPASSWORD_FILE_KEY", "x"),
            ("MINE", "flx_pat_canary"),
        ] {
            assert!(is_secret(name, value), "{name}");
        }
        for name in ["PATH", "HOME", "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "DBUS_SESSION_BUS_ADDRESS", "LANG"] {
            assert!(!is_secret(name, "x"), "{name}");
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
