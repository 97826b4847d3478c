//! Checks across tables: who could reach the listeners, and whether two want the same address.

use super::{
    fault::{Place, Wrong},
    meaning::Resolver,
    report::{At, Setting, Spot},
    sections::{Admin, Server},
    written::Written,
};
use crate::model::{ListenAddress, ListenOn};

const KEEP_STRANGERS_OUT: &str = "set server.client_token or [[server.callers]]; or tls = true here, with server.tls.client_ca; or \
                                 server.allow_remote = true";

/// Notes what the addresses, taken together, get wrong.
pub(super) fn check(written: &Written, resolver: &Resolver<'_>) {
    if resolver.is_whole() {
        check_reach(written, resolver);
        check_tls(written, resolver);
    }
    check_twice(written, resolver);
}

/// Whoever can connect can use the tenants' credentials, so leaving loopback takes a decision that is written down. The
/// metrics listener gives nothing away and is there for probes and scrapers from elsewhere.
fn check_reach(written: &Written, resolver: &Resolver<'_>) {
    let Some(allow_remote) = written.server.allow_remote.effective(&false) else { return };
    if *allow_remote {
        return;
    }
    if !written.server.wants_tokens() {
        let by_certificate = |listener: &&At<ListenOn>| listener.value.tls && written.server.wants_certificates();
        for listener in remote(&written.server.listen).filter(|listener| !by_certificate(listener)) {
            let wrong = Wrong::new("listens beyond loopback, where anybody could use the tenants' credentials");
            resolver.fault(&listener.spot, wrong.hint(KEEP_STRANGERS_OUT));
        }
    }
    for listener in remote(&written.admin.listen) {
        let wrong = Wrong::new("the admin listener leaves loopback only with server.allow_remote = true");
        resolver.fault(&listener.spot, wrong.hint("for probes and scrapers there is admin.metrics_listen"));
    }
}

/// A listener that speaks TLS needs a certificate to show, and a certificate somebody who shows it.
fn check_tls(written: &Written, resolver: &Resolver<'_>) {
    let listeners = written.server.listen.given().map_or(&[][..], |at| &at.value);
    let mut speaking = listeners.iter().filter(|listener| listener.value.tls);
    if let Setting::Given(at) = &written.server.tls {
        if speaking.next().is_none() && !matches!(written.server.listen, Setting::Faulty) {
            let wrong = Wrong::new("no address that is listened on says tls = true, so that all are served in clear");
            resolver.fault(
                &at.spot,
                wrong.hint("write { address = \"…\", tls = true } in server.listen; --listen has no TLS"),
            );
        }
        return;
    }
    if !matches!(written.server.tls, Setting::Absent) {
        return;
    }
    for listener in speaking {
        let wrong = Wrong::new("tls = true, and nothing says which certificate is shown");
        resolver.fault(&listener.spot, wrong.hint("write [server.tls] with certificate and key"));
    }
}

fn remote(listen: &Setting<Vec<At<ListenOn>>>) -> impl Iterator<Item = &At<ListenOn>> {
    let listeners = listen.given().map_or(&[][..], |at| &at.value);
    listeners.iter().filter(|listener| !listener.value.address.is_local())
}

fn check_twice(written: &Written, resolver: &Resolver<'_>) {
    let mut seen: Vec<(ListenAddress, Spot)> = Vec::new();
    for (address, spot) in addresses(written) {
        match seen.iter().find(|(other, _)| *other == address && !is_any_port(&address)) {
            // A default is nowhere to be mended: the fault belongs to whoever took its address.
            Some((_, first)) if spot.place == Place::Default => twice(first, &spot, resolver),
            Some((_, first)) => twice(&spot, first, resolver),
            None => seen.push((address, spot)),
        }
    }
}

fn twice(here: &Spot, there: &Spot, resolver: &Resolver<'_>) {
    let other = match there {
        Spot { place: Place::Line { line, .. }, .. } => format!("line {line}"),
        Spot { place: Place::Override(name), .. } => (*name).to_owned(),
        Spot { key, .. } => format!("{key}, by default"),
    };
    resolver.fault(here, Wrong::new(format!("the same address as in {other}")));
}

/// All addresses that will be bound, without unix sockets' modes.
fn addresses(written: &Written) -> Vec<(ListenAddress, Spot)> {
    let mut all = with_spots(&written.server.listen, "server.listen", Server::default_listeners);
    all.extend(with_spots(&written.admin.listen, "admin.listen", Admin::default_listeners));
    all.extend(with_spots(&written.admin.metrics_listen, "admin.metrics_listen", Vec::new));
    all
}

fn with_spots(
    setting: &Setting<Vec<At<ListenOn>>>,
    key: &str,
    default: impl FnOnce() -> Vec<ListenOn>,
) -> Vec<(ListenAddress, Spot)> {
    let by_default = || Spot::new(Place::Default, key);
    match setting {
        Setting::Given(at) => at.value.iter().map(|at| (plain(&at.value.address), at.spot.clone())).collect(),
        Setting::Absent => default().iter().map(|listener| (plain(&listener.address), by_default())).collect(),
        Setting::Faulty => Vec::new(),
    }
}

fn plain(address: &ListenAddress) -> ListenAddress {
    match address {
        ListenAddress::Unix { path, .. } => ListenAddress::Unix { path: path.clone(), mode: 0 },
        tcp @ ListenAddress::Tcp(_) => tcp.clone(),
    }
}

/// Port 0 is another port each time.
fn is_any_port(address: &ListenAddress) -> bool {
    matches!(address, ListenAddress::Tcp(address) if address.port() == 0)
}
