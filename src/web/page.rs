//! A page: its frame, and the headers that keep it safe.

use std::fmt;

use axum::response::{Html, IntoResponse, Response};
use http::{
    HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY},
};
use maud::{DOCTYPE, Markup, html};

use super::{sign, style::STYLE};
use crate::model::WebOrigin;

/// The icon in the browser's tab: what the header shows. Inside the page, so that nothing else is asked for.
const ICON: &str = "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24' fill='none' \
                    stroke='%23478be6' stroke-width='2.6'><circle cx='8.5' cy='12' r='6'/>\
                    <circle cx='15.5' cy='12' r='6'/></svg>";

/// A page for people, without anything that would be loaded or run.
#[derive(Debug, Clone)]
pub struct Page {
    title: String,
    main: Markup,
    status: StatusCode,
    forms: Forms,
}

/// Where what a page's forms send may end up. Browsers hold the whole chain of redirects to it (CSP level 3, section
/// 6.4.1), and not only the first request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Forms {
    /// At the page's own origin.
    #[default]
    Here,
    /// Also at this one.
    Also(WebOrigin),
    /// At pages that nobody knows beforehand, such as those at which a user signs in to Flexslot: whatever is https,
    /// and these, which may be http.
    Away(Vec<WebOrigin>),
}

// === impl Page ===

impl Page {
    /// A page that is titled so and has this in its `main`: the heading first.
    pub fn new(title: impl Into<String>, main: Markup) -> Self {
        Self { title: title.into(), main, status: StatusCode::OK, forms: Forms::Here }
    }

    /// The same as the answer to what failed.
    #[must_use]
    pub fn status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// The same with forms that lead elsewhere.
    #[must_use]
    pub fn forms(self, forms: Forms) -> Self {
        Self { forms, ..self }
    }

    /// The whole document.
    pub fn document(&self) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { (self.title) }
                    link rel="icon" href=(ICON);
                    style { (maud::PreEscaped(&STYLE.text)) }
                }
                body {
                    header {
                        svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2.6" aria-hidden="true" {
                            (sign::shapes())
                            circle cx="8.5" cy="12" r="6" {}
                            circle cx="15.5" cy="12" r="6" {}
                        }
                        "Flexslot connections"
                    }
                    main { (self.main) }
                }
            }
        }
    }

    /// Nothing runs, nothing is loaded, no other site frames it, and only our own style applies.
    fn policy(&self) -> String {
        let style = &STYLE.source;
        let forms = &self.forms;
        format!(
            "default-src 'none'; style-src {style}; img-src data:; form-action {forms}; base-uri 'none'; \
             frame-ancestors 'none'"
        )
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let mut response = (self.status, Html(self.document().into_string())).into_response();
        let headers = response.headers_mut();
        if let Ok(policy) = HeaderValue::try_from(self.policy()) {
            headers.insert(CONTENT_SECURITY_POLICY, policy);
        }
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // An address may open a session. No other site is told it; and "no-referrer" would make forms of our own come
        // from the origin "null".
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
        response
    }
}

// === impl Forms ===

impl fmt::Display for Forms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("'self'")?;
        match self {
            Self::Here => Ok(()),
            Self::Also(origin) => write!(f, " {}", origin.as_str()),
            Self::Away(known) => {
                f.write_str(" https:")?;
                known.iter().try_for_each(|origin| write!(f, " {}", origin.as_str()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Forms, Page};
    use axum::response::IntoResponse;
    use http::StatusCode;
    use maud::html;

    fn header(page: Page, name: &str) -> String {
        page.into_response().headers()[name].to_str().unwrap().to_owned()
    }

    #[test]
    fn what_is_put_into_a_page_is_text() {
        let page = Page::new("<a>", html! { p title="\"" { "<script>" } });
        let document = page.document().into_string();
        assert!(document.contains("<title>&lt;a&gt;</title>"), "{document}");
        assert!(document.contains("<p title=\"&quot;\">&lt;script&gt;</p>"), "{document}");
    }

    #[test]
    fn nothing_runs_and_nothing_is_loaded() {
        let policy = header(Page::new("t", html! {}), "content-security-policy");
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        assert!(policy.ends_with("; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("script") && !policy.contains("unsafe"), "{policy}");
    }

    #[test]
    fn forms_lead_only_where_the_page_says() {
        let at = |text: &str| text.parse().unwrap();
        let policy = |forms| header(Page::new("t", html! {}).forms(forms), "content-security-policy");
        let also = policy(Forms::Also(at("https://app.example.com")));
        assert!(also.contains("; form-action 'self' https://app.example.com; "), "{also}");
        let away = policy(Forms::Away(vec![at("http://127.0.0.1:3541")]));
        assert!(away.contains("; form-action 'self' https: http://127.0.0.1:3541; "), "{away}");
    }

    #[test]
    fn a_page_is_kept_by_nobody_and_told_to_nobody() {
        let page = Page::new("t", html! {}).status(StatusCode::NOT_FOUND);
        assert_eq!(page.clone().into_response().status(), 404);
        assert_eq!(header(page.clone(), "cache-control"), "no-store");
        assert_eq!(header(page, "referrer-policy"), "same-origin");
    }
}
