//! The look, written once into every page. A page names it in its policy by its hash, so that nothing else is applied.

use std::sync::LazyLock;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};

/// A style sheet as it stands in a page, with what a policy calls it.
pub(super) struct Style {
    pub(super) text: String,
    /// A `hash-source` of CSP level 3, section 2.3.1, with its quotes.
    pub(super) source: String,
}

/// The one that all pages have.
pub(super) static STYLE: LazyLock<Style> = LazyLock::new(|| Style::new(include_str!("style.css")));

// === impl Style ===

impl Style {
    fn new(written: &str) -> Self {
        let lines = written.lines().map(str::trim).filter(|line| !line.starts_with("/*"));
        let text: String = lines.collect();
        let source = format!("'sha256-{}'", STANDARD.encode(Sha256::digest(&text)));
        Self { text, source }
    }
}

#[cfg(test)]
mod tests {
    use super::{STYLE, Style};

    #[test]
    fn what_is_for_readers_of_the_source_is_left_out() {
        let style = Style::new("/* why */\na {\n  color: red;\n}\n");
        assert_eq!(style.text, "a {color: red;}");
        assert_eq!(style.source, "'sha256-pHtZe1ygBMdihI6NVfeU6l0HbQfDQwWldRDQZg9O6nw='");
    }

    /// Lines are put together with nothing between them.
    #[test]
    fn every_line_ends_where_a_token_does() {
        for line in include_str!("style.css").lines() {
            assert!(line.ends_with(['{', '}', ';']) || line.ends_with("*/"), "{line}");
        }
        assert!(!STYLE.text.contains("*/") && !STYLE.text.contains('<'));
    }
}
