//! A plain client that walks like a browser: keeps cookies, follows redirects, sends forms.

use std::collections::BTreeMap;

use url::Url;

use super::http::{Answer, Connection};
use crate::support::field;

/// A browser with a jar of its own. Cookies are kept by host, whatever the port, as browsers do.
#[derive(Debug, Default)]
pub(crate) struct Browser {
    cookies: BTreeMap<(String, String), String>,
}

/// What a browser ended on.
#[derive(Debug)]
pub(crate) struct Page {
    /// The last address, whether anybody answered there or not.
    pub(crate) at: Url,
    /// `None` where nobody listens.
    pub(crate) answer: Option<Answer>,
}

// === impl Browser ===

impl Browser {
    pub(crate) async fn open(&mut self, url: &str) -> Page {
        self.walk("GET", url.parse().unwrap(), "").await
    }

    /// Sends a form.
    pub(crate) async fn submit(&mut self, url: &str, form: &str) -> Page {
        self.walk("POST", url.parse().unwrap(), form).await
    }

    async fn walk(&mut self, method: &str, url: Url, form: &str) -> Page {
        let (mut method, mut at, mut form) = (method, url, form);
        for _ in 0..10 {
            let Some(answer) = self.ask(method, &at, form).await else { return Page { at, answer: None } };
            let location = field(&answer.head, "location").filter(|_| (300..400).contains(&answer.status));
            let Some(location) = location else { return Page { at, answer: Some(answer) } };
            at = at.join(location).unwrap();
            if answer.status != 307 {
                (method, form) = ("GET", "");
            }
        }
        panic!("redirects without end, the last to {at}");
    }

    async fn ask(&mut self, method: &str, at: &Url, form: &str) -> Option<Answer> {
        let host = at.host_str().unwrap().to_owned();
        let address = format!("{host}:{}", at.port_or_known_default().unwrap());
        let target = &at[url::Position::BeforePath..url::Position::AfterQuery];
        let ours = self.cookies.iter().filter(|((of, _), _)| *of == host);
        let cookies: Vec<_> = ours.map(|((_, name), value)| format!("{name}={value}")).collect();
        let mut fields = String::new();
        if !cookies.is_empty() {
            fields += &format!("Cookie: {}\r\n", cookies.join("; "));
        }
        if method == "POST" {
            let origin = at.origin().ascii_serialization();
            fields += &format!("Origin: {origin}\r\nContent-Type: application/x-www-form-urlencoded\r\n");
        }
        let length = form.len();
        let request =
            format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\n{fields}Content-Length: {length}\r\n\r\n{form}");
        let mut connection = Connection::open(address.parse().unwrap()).await.ok()?;
        let answer = connection.ask(request.as_bytes()).await.unwrap();
        for line in answer.head.lines().filter(|line| line.to_ascii_lowercase().starts_with("set-cookie:")) {
            let (name, rest) = line["set-cookie:".len()..].trim().split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            match rest.to_ascii_lowercase().contains("max-age=0") {
                true => self.cookies.remove(&(host.clone(), name.to_owned())),
                false => self.cookies.insert((host.clone(), name.to_owned()), value.to_owned()),
            };
        }
        Some(answer)
    }
}

// === impl Page ===

impl Page {
    #[track_caller]
    pub(crate) fn says(&self, status: u16, words: &str) {
        let answer = self.answer.as_ref().unwrap_or_else(|| panic!("nobody listens at {}", self.at));
        let text = answer.text();
        assert!(answer.status == status && text.contains(words), "{words}: {}: {}\n{text}", self.at, answer.head);
    }
}
