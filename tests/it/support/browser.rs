//! A browser without a screen: it keeps cookies by host, follows redirects, and sends forms, as the rules of browsers
//! have it.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
};

use flexslot_proxy::model::WebOrigin;
use http::{Method, header::SET_COOKIE};
use tokio::net::TcpStream;
use url::{Position, Url, form_urlencoded::Serializer};

use super::{Call, Reply, client::Reach};

/// One browser with its cookies.
#[derive(Default)]
pub(crate) struct Browser {
    /// By host, whatever the port is, and by name.
    cookies: BTreeMap<String, BTreeMap<String, String>>,
}

/// What a window shows.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) url: Url,
    pub(crate) reply: Reply,
}

/// A form of a page.
struct Form {
    action: Url,
    fields: Vec<(String, String)>,
}

/// More redirects than any way here takes.
const REDIRECTS: usize = 10;

// === impl Browser ===

impl Browser {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Types an address, and follows where it leads.
    pub(crate) async fn open(&mut self, url: &str) -> Page {
        let page = self.step(Method::GET, &url.parse().unwrap(), None, None).await;
        self.follow(page, None).await
    }

    /// The same without following.
    pub(crate) async fn look(&mut self, url: &str) -> Page {
        self.step(Method::GET, &url.parse().unwrap(), None, None).await
    }

    /// Presses the button of the page's form whose action ends in `action`, with these fields besides its own; follows
    /// where that leads, as far as the page's policy lets it.
    pub(crate) async fn submit(&mut self, page: &Page, action: &str, fields: &[(&str, &str)]) -> Page {
        let answer = self.submit_only(page, action, fields).await;
        self.follow(answer, Some(page)).await
    }

    /// The same without following.
    pub(crate) async fn submit_only(&mut self, page: &Page, action: &str, fields: &[(&str, &str)]) -> Page {
        let form = page.form(action);
        page.lets_forms_lead_to(&form.action);
        let own = form.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let body = Serializer::new(String::new()).extend_pairs(own).extend_pairs(fields).finish();
        self.step(Method::POST, &form.action, Some(&page.url), Some(body)).await
    }

    /// Types an address, and presses the only button of its page.
    pub(crate) async fn press_at(&mut self, url: &str) -> Page {
        let page = self.open(url).await;
        self.submit(&page, "", &[]).await
    }

    async fn follow(&mut self, mut page: Page, sender: Option<&Page>) -> Page {
        for _ in 0..REDIRECTS {
            let Some(next) = page.leads_to() else { return page };
            if let Some(sender) = sender {
                sender.lets_forms_lead_to(&next);
            }
            // Where nobody listens, somebody else's page would be.
            if !is_here(&next) || TcpStream::connect(address(&next)).await.is_err() {
                return Page { url: next, reply: page.reply };
            }
            page = self.step(Method::GET, &next, Some(&page.url), None).await;
        }
        panic!("redirected without end: {page:?}")
    }

    /// One request of a window, that `from` has led to.
    async fn step(&mut self, method: Method, url: &Url, from: Option<&Url>, form: Option<String>) -> Page {
        let site = match from {
            None => "none",
            Some(from) if from.origin() == url.origin() => "same-origin",
            Some(from) if from.host() == url.host() => "same-site",
            Some(_) => "cross-site",
        };
        let mut call = Call::new(Reach::Tcp(address(url)), method, &url[Position::BeforePath..])
            .header("host", url.authority())
            .header("sec-fetch-site", site)
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document");
        let cookies = self.cookies.entry(url.host_str().unwrap().to_owned()).or_default();
        if !cookies.is_empty() {
            let line: Vec<_> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            call = call.header("cookie", &line.join("; "));
        }
        if let Some(form) = form {
            let origin = from.unwrap().origin().ascii_serialization();
            call =
                call.header("origin", &origin).header("content-type", "application/x-www-form-urlencoded").body(form);
        }
        let reply = call.send().await;
        for line in reply.headers.get_all(SET_COOKIE) {
            let line = line.to_str().unwrap();
            let (name, rest) = line.split_once('=').unwrap();
            let (value, attributes) = rest.split_once(';').unwrap();
            if attributes.contains("Max-Age=0") {
                cookies.remove(name);
            } else if !attributes.contains("Secure") || url.scheme() == "https" {
                cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        Page { url: url.clone(), reply }
    }

    /// The names of the cookies that it keeps for a host.
    pub(crate) fn cookies(&self, host: &str) -> Vec<&str> {
        self.cookies.get(host).into_iter().flatten().map(|(name, _)| name.as_str()).collect()
    }
}

fn is_here(url: &Url) -> bool {
    matches!(url.host_str(), Some("127.0.0.1" | "localhost"))
}

fn address(url: &Url) -> SocketAddr {
    assert!(is_here(url), "{url} is not on this machine");
    (Ipv4Addr::LOCALHOST, url.port().unwrap()).into()
}

// === impl Page ===

impl Page {
    pub(crate) fn text(&self) -> &str {
        self.reply.text()
    }

    /// Fails unless this is a page of that status with all these words.
    #[track_caller]
    pub(crate) fn says(&self, status: u16, words: &[&str]) -> &Self {
        self.reply.is(status);
        for words in words {
            assert!(self.text().contains(words), "{words:?} is not in {}", self.text());
        }
        self
    }

    /// Where it redirects to.
    pub(crate) fn leads_to(&self) -> Option<Url> {
        let location = self.reply.header("location").filter(|_| (300..400).contains(&self.reply.status))?;
        Some(self.url.join(location).unwrap())
    }

    /// A link of the page, by its words.
    pub(crate) fn link(&self, words: &str) -> String {
        let before = self.text().split_once(&format!(">{words}</a>")).unwrap_or_else(|| panic!("no {words:?}")).0;
        let tag = before.rsplit_once('<').unwrap().1;
        self.url.join(&attribute(tag, "href").unwrap()).unwrap().into()
    }

    fn form(&self, action: &str) -> Form {
        let forms = self.text().split("<form").skip(1).map(|form| form.split_once("</form>").unwrap().0);
        let mut forms = forms.map(|form| {
            let (tag, inside) = form.split_once('>').unwrap();
            let to = attribute(tag, "action").map_or(self.url.clone(), |action| self.url.join(&action).unwrap());
            let inputs = inside.split("<input").skip(1).map(|input| input.split_once('>').unwrap().0);
            let fields =
                inputs.map(|tag| (attribute(tag, "name").unwrap(), attribute(tag, "value").unwrap_or_default()));
            Form { action: to, fields: fields.collect() }
        });
        let found = forms.find(|form| form.action.path().ends_with(action));
        found.unwrap_or_else(|| panic!("no form to {action:?} in {}", self.text()))
    }

    /// Fails where the policy of this page does not let its forms lead there, by however many redirects (CSP level 3,
    /// section 6.4.1).
    #[track_caller]
    fn lets_forms_lead_to(&self, url: &Url) {
        let Some(policy) = self.reply.header("content-security-policy") else { return };
        let sources = policy.split("form-action ").nth(1).unwrap().split(';').next().unwrap();
        let origin = url.origin().ascii_serialization();
        let lets = sources.split(' ').any(|source| match source {
            "'self'" => url.origin() == self.url.origin(),
            "https:" => url.scheme() == "https",
            origin_of => origin_of.parse::<WebOrigin>().is_ok_and(|allowed| allowed.as_str() == origin),
        });
        assert!(lets, "{policy} does not let forms lead to {origin}");
    }
}

/// The value of an attribute, with or without quotes.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let value = tag.split_once(&format!(" {name}="))?.1;
    let value = match value.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"').unwrap().0,
        None => value.split([' ', '>']).next().unwrap(),
    };
    Some(value.replace("&amp;", "&").replace("&quot;", "\""))
}
