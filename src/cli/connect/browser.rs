//! The browser of whoever sits at the terminal.

use std::process::{Command, Stdio};

use crate::config::Environment;

/// What opens an address where `BROWSER` does not say.
const OPENER: &str = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };

/// Has a browser show `url`. That there is none is no failure: the address has been printed.
pub(super) fn open(url: &str, environment: &dyn Environment) {
    let mut words = command(environment.variable("BROWSER").and_then(|text| text.into_string().ok()).as_deref(), url);
    let program = words.remove(0);
    let mut browser = Command::new(program);
    browser.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Nobody waits for its end; it may stay open for days.
    let _ = browser.spawn();
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
    use super::{OPENER, command};

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
