//! The pages of a flow, in the words of Flexslot's own guide where it has any. All of it is text to maud, whoever wrote
//! it.

#[cfg(test)]
mod tests;
mod words;

use http::StatusCode;
use maud::{Markup, html};

use self::words::{Next, Words};
use super::{
    Refusal, Refused, Settings,
    begin::{Offer, Standing},
    cookie::Reader,
    outcome::{Confirmation, Explained},
};
use crate::{
    credential::Connected,
    model::{Identity, ScopeSet, connection},
    web::{Forms, Page, Sign},
};

/// Before Flexslot asks: who, for whom, and what.
pub(super) fn offer(offer: &Offer, settings: &Settings) -> Page {
    let act = match offer.standing {
        Standing::New => connection::CONNECT,
        Standing::AllowsLess(_) => connection::ALLOW_MORE,
        Standing::Connected(_) | Standing::Ended(_) => connection::RECONNECT,
    };
    let main = html! {
        div.panel.narrow {
            h1 { (act) }
            p {
                @match &offer.standing {
                    Standing::AllowsLess(_) => {
                        "You are about to let " strong { (offer.tenant) } " do more with your Flexslot account."
                    },
                    _ => { "You are about to connect " strong { (offer.tenant) } " to your Flexslot account." },
                }
                " Flexslot will ask you whether you allow it."
            }
            (permissions("This app wants to:", &offer.scopes))
            @match &offer.standing {
                Standing::New => {},
                Standing::Connected(name) | Standing::AllowsLess(name) => p {
                    "It is connected" (as_whom(name.as_deref())) ". That stays until you have allowed this."
                },
                Standing::Ended(name) => p { "It was connected" (as_whom(name.as_deref())) " before." },
            }
            form method="post" { div.acts { button.main { (act) } } }
            p.soft { "The app is known to Flexslot as " code { (offer.client_id) } "." }
            details.soft {
                summary { "If Flexslot says that it cannot continue" }
                p {
                    "Then whoever runs this app has to register this redirect URI for it at Flexslot, letter by letter: "
                    code { (settings.redirect_uri.as_str()) }
                }
            }
        }
    };
    // Flexslot may lead its user on to sign in, and from there to the app.
    let known = settings.flexslot.iter().chain(&settings.return_origins).cloned().collect();
    Page::new(act, main).forms(Forms::Away(known))
}

/// The tenant is connected.
pub(super) fn connected(connected: &Connected, settings: &Settings, reader: Reader) -> Page {
    let username = connected.identity.as_ref().and_then(|identity| identity.username.as_deref());
    let says = connection::connected(username);
    let main = html! {
        div.panel.narrow {
            h1.says.ok { (Sign::Ok) span { (says) } }
            p {
                strong { (connected.tenant) } " can use your Flexslot account now."
                @if reader == Reader::User { " You can close this window." }
            }
            (permissions("This app can:", &connected.scopes))
            div.acts {
                @if reader == Reader::Operator {
                    a.button.main href={ (settings.home().path()) "/" } { "Back to the connections" }
                }
                a.button href=(settings.manage_url) { "Manage on Flexslot" }
            }
        }
    };
    Page::new(says, main)
}

/// Another Flexslot user than before: is that meant?
pub(super) fn confirm(asked: &Confirmation, settings: &Settings) -> Page {
    let (title, tenant) = ("Another Flexslot account", &asked.tenant);
    let now = asked.now.as_ref().map(Identity::handle);
    let path = |last| format!("{}/{last}", settings.path_of(&asked.session));
    let main = html! {
        div.panel.narrow {
            h1.says.warn { (Sign::Warn) span { (title) } }
            @match &asked.before {
                Some(before) => p { strong { (tenant) } " has been connected as " strong { (before.handle()) } "." },
                None => p { strong { (tenant) } " has been connected as somebody else." },
            }
            @match &now {
                Some(now) => p { "On Flexslot you have just allowed access as " strong { (now) } "." },
                None => p { "You have just allowed access, and Flexslot does not say as whom." },
            }
            p { "From then on " strong { (tenant) } " would see and change what belongs to that account." }
            div.acts {
                form method="post" action=(path("confirm")) {
                    button { @match &now { Some(now) => { "Use " (now) }, None => "Use the new account" } }
                }
                form method="post" action=(path("cancel")) { button.main { "Leave it as it was" } }
            }
        }
    };
    Page::new(title, main).forms(Forms::Away(settings.return_origins.clone()))
}

/// It came to nothing: why, and what to do.
pub(super) fn refused(refused: &Refused, settings: &Settings) -> Page {
    let Words { status, sign, title, what, next, operator } = Words::of(&refused.why, settings);
    let main = html! {
        div.panel.narrow {
            h1.says.(sign.class()) { (sign) span { (title) } }
            p { (what) }
            @match (next, &refused.again) {
                (Next::Again, Some(id)) => div.acts { a.button.main href=(settings.path_of(id)) { "Try again" } },
                (Next::Again, None) => p { "Please go back to where you began, and start again." },
                (Next::Nothing, _) => {},
                (Next::Do(words), _) => p { (words) },
            }
            @if let Some(operator) = operator { p.soft { "For whoever runs this app: " (operator) } }
        }
    };
    Page::new(title, main).status(status)
}

/// The same for who reads no page.
pub(super) fn explained(why: &Refusal, settings: &Settings) -> Explained {
    let Words { title, what, operator, .. } = Words::of(why, settings);
    Explained { what: format!("{title}. {what}"), operator }
}

/// A path that is here, asked in a way that it is not asked.
pub(super) fn not_allowed() -> Page {
    let main = html! {
        div.panel.narrow {
            h1 { "This does not work like that" }
            p { "Please open the link in a browser." }
        }
    };
    Page::new("This does not work like that", main).status(StatusCode::METHOD_NOT_ALLOWED)
}

/// What is asked for, or was given, in plain words.
fn permissions(says: &str, scopes: &ScopeSet) -> Markup {
    let mut scopes = scopes.in_words().peekable();
    html! {
        @if scopes.peek().is_some() {
            p { (says) }
            ul { @for scope in scopes { li { (scope) } } }
        }
    }
}

/// " as @george", where that is known.
fn as_whom(name: Option<&str>) -> String {
    name.map(|name| format!(" as @{name}")).unwrap_or_default()
}
