//! `oauth.redirect_uri`: where Flexslot sends browsers back to, which has to be this sidecar.

use super::{Admin, admin::PORT};
use crate::{
    config::{
        fault::Wrong,
        meaning::Resolver,
        report::{At, Setting, Spot},
    },
    model::{
        BaseUrl, RedirectUri,
        redirect_uri::{CALLBACK, InvalidRedirectUri},
    },
};

/// Where Flexslot sends browsers back to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Callback {
    /// As written, or below `admin.public_url`.
    Fixed(RedirectUri),
    /// At the loopback address and the admin listener's port, as it is configured: 0 where binding it will tell.
    AdminPort(u16),
}

/// What the callback is made of, as written.
pub(super) struct Sources<'a> {
    pub(super) redirect_uri: Setting<RedirectUri>,
    pub(super) public_url: &'a Setting<BaseUrl>,
    pub(super) admin: &'a Admin,
}

// === impl Callback ===

impl Callback {
    /// The redirect URI while the admin listener is bound to `port`.
    pub fn bound_to(&self, port: u16) -> RedirectUri {
        match self {
            Self::Fixed(uri) => uri.clone(),
            Self::AdminPort(_) => RedirectUri::on_loopback(port),
        }
    }

    /// What it is already known to be; `None` where only binding the listener will tell.
    pub fn known(&self) -> Option<RedirectUri> {
        match self {
            Self::AdminPort(0) => None,
            Self::Fixed(_) => Some(self.bound_to(0)),
            Self::AdminPort(port) => Some(self.bound_to(*port)),
        }
    }
}

// === impl Sources ===

impl Sources<'_> {
    /// What was written, checked; below `public_url` where nothing was; else on loopback.
    pub(super) fn meaning(self, resolver: &Resolver<'_>) -> Callback {
        let on_loopback = Callback::AdminPort(self.admin.port().unwrap_or(PORT));
        match (&self.redirect_uri, self.public_url) {
            (Setting::Given(At { value, spot }), _) => {
                self.check(value, spot, resolver);
                Callback::Fixed(value.clone())
            }
            (Setting::Absent, Setting::Given(At { value, spot })) => match value.at(CALLBACK).parse() {
                Ok(uri) => Callback::Fixed(uri),
                Err(invalid) => {
                    resolver.fault(spot, wrong(&invalid).hint("the callback lies below it"));
                    on_loopback
                }
            },
            (Setting::Faulty, _) | (Setting::Absent, Setting::Absent | Setting::Faulty) => on_loopback,
        }
    }

    /// A browser that comes back to anybody but this sidecar brings a code that nobody can redeem, at best.
    fn check(&self, uri: &RedirectUri, spot: &Spot, resolver: &Resolver<'_>) {
        let ports = self.admin.ports();
        // Without a port of its own the callback is the listener of the command `connect`.
        let any_port = ports.is_empty() || ports.contains(&0);
        let public = match self.public_url {
            Setting::Given(at) => Some(&at.value),
            Setting::Absent => None,
            Setting::Faulty => return,
        };
        let is_ours = uri.is_loopback() && (any_port || ports.contains(&uri.origin().port()));
        let instead = match public {
            // Which path leads here is for the web server there to say.
            Some(public) if public.origin() == uri.origin() => return,
            Some(public) => public.at(CALLBACK),
            None => RedirectUri::on_loopback(self.admin.port().unwrap_or(PORT)).to_string(),
        };
        if !is_ours {
            let wrong = Wrong::new("not the origin of the admin listener, where browsers have to come back to");
            resolver.fault(
                spot,
                wrong.hint(match public {
                    Some(_) => format!("write \"{instead}\""),
                    None => {
                        format!("write \"{instead}\", or set admin.public_url to where browsers reach this sidecar")
                    }
                }),
            );
        } else if uri.path() != CALLBACK {
            let wrong = Wrong::new("browsers would come back to a path that is nothing here");
            resolver.fault(spot, wrong.hint(format!("write \"{}{CALLBACK}\"", uri.origin())));
        }
    }
}

/// Another client's redirect URI has to be of the same origin as the first one's: that is where browsers are given what
/// they have to bring back.
pub(super) fn check_further(callback: &Callback, uri: &RedirectUri, spot: &Spot, resolver: &Resolver<'_>) {
    let first = match callback {
        Callback::Fixed(first) => first.clone(),
        Callback::AdminPort(0) => {
            let wrong = Wrong::new("the admin listener has no fixed port for browsers to come back to");
            resolver.fault(spot, wrong.hint("set oauth.redirect_uri, too"));
            return;
        }
        Callback::AdminPort(port) => RedirectUri::on_loopback(*port),
    };
    if uri.origin() != first.origin() {
        let wrong = Wrong::new(format!("not of the origin {}, where browsers have to come back to", first.origin()));
        resolver.fault(spot, wrong.hint(format!("write \"{first}\", or another path there")));
    } else if uri.is_loopback() && uri.path() != CALLBACK {
        let wrong = Wrong::new("browsers would come back to a path that is nothing here");
        resolver.fault(spot, wrong.hint(format!("write \"{}{CALLBACK}\"", uri.origin())));
    }
}

/// A redirect URI as Flexslot registers them.
pub(super) fn redirect_uri(text: &str) -> Result<RedirectUri, Wrong> {
    text.parse().map_err(|invalid| {
        wrong(&invalid).hint(
            "write it as it is registered at Flexslot, such as \"https://app.example.com/flexslot/oauth/callback\"",
        )
    })
}

fn wrong(invalid: &InvalidRedirectUri) -> Wrong {
    Wrong::new(invalid.to_string())
}
