//! The look of the stand-in's pages: plain, and not to be taken for Flexslot's own.

/// Nothing is loaded, not even an icon.
const HEAD: &str = "<meta charset=utf-8>\n<meta name=viewport content=\"width=device-width, initial-scale=1\">\n\
                    <link rel=icon href=\"data:,\">\n<style>\n\
                    :root { color-scheme: light dark; --line: #c9c2d6; --act: #5b3fa8; --ink: #fff }\n\
                    @media (prefers-color-scheme: dark) { :root { --line: #4b4458; --act: #c3b1f5; --ink: #1d1430 } }\n\
                    body { font: 100%/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 34rem; padding: 1rem; overflow-wrap: anywhere }\n\
                    header { border-bottom: 1px solid var(--line); padding-bottom: .5rem }\n\
                    h1 { font-size: 1.4rem; line-height: 1.25 }\n\
                    h2 { font-size: 1.05rem; margin: 0 }\n\
                    section { border: 1px solid var(--line); border-radius: 8px; margin: 1rem 0; padding: 1rem }\n\
                    label, input { display: block; font: inherit }\n\
                    input { box-sizing: border-box; margin: .25rem 0 1rem; max-width: 100%; padding: .4rem .5rem }\n\
                    button { font: inherit; margin-right: .5rem; padding: .4rem 1rem; border: 1px solid var(--act); border-radius: 4px; cursor: pointer }\n\
                    .main { background: var(--act); color: var(--ink) }\n\
                    </style>\n";

/// A whole page. `main` is HTML; `title` is text.
pub(super) fn document(title: &str, main: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=en>\n<head>\n{HEAD}<title>{title}</title>\n</head>\n<body>\n\
         <header>Flexslot sandbox: a local stand-in, without real accounts</header>\n<main>\n{main}</main>\n</body>\n</html>\n"
    )
}

/// `text` inside HTML, attribute values included.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::document;

    #[test]
    fn a_title_is_text() {
        assert!(document("<b>'s app", "").contains("<title>&lt;b&gt;&#39;s app</title>"));
    }
}
