//! Addresses to listen on.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
};

use super::{
    fault::Wrong,
    meaning::Resolver,
    reader::Value,
    report::{At, Setting},
};
use crate::model::{ListenAddress, ListenOn, TenantId};

/// Who may be bound to what, in the table where addresses are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Apps: at least one address, each for all tenants or for one.
    Apps,
    /// Operators and probes: "off" means none.
    Operators,
}

/// The permission bits of a unix socket for which none are given.
const DEFAULT_SOCKET_MODE: u32 = 0o600;

/// The longest path of a unix socket: what `sockaddr_un` holds on Linux, less its terminating zero byte.
const MAX_SOCKET_PATH: usize = 107;

/// Addresses as a file writes them: one or an array of them, each a string or a table.
pub(super) fn read(value: &Value<'_>, purpose: Purpose) -> Option<Vec<At<ListenOn>>> {
    if purpose == Purpose::Operators && value.is_word("off") {
        return Some(Vec::new());
    }
    let items = value.items();
    if items.is_empty() {
        value.fault(match purpose {
            Purpose::Apps => Wrong::new("at least one address is needed"),
            Purpose::Operators => Wrong::new("no address").hint("write \"off\" to listen nowhere"),
        });
        return None;
    }
    let read: Vec<_> = items.iter().map(|item| read_one(item, purpose)).collect();
    let listeners: Option<Vec<_>> = read.into_iter().collect();
    Some(listeners?.into_iter().flatten().collect())
}

/// Addresses as a flag or a variable writes them: separated by commas.
pub(super) fn parse_list(text: &str, purpose: Purpose) -> Result<Vec<ListenOn>, Wrong> {
    if purpose == Purpose::Operators && text == "off" {
        return Ok(Vec::new());
    }
    let parts: Result<Vec<_>, _> = text.split(',').map(|part| parse(part.trim())).collect();
    Ok(parts?.into_iter().flatten().collect())
}

/// What the listeners mean: those of `default` where nothing was said, sockets' paths made whole.
pub(super) fn meaning(
    written: Setting<Vec<At<ListenOn>>>,
    default: impl FnOnce() -> Vec<ListenOn>,
    resolver: &Resolver<'_>,
) -> Vec<ListenOn> {
    let Some(written) = written.into_given() else { return default() };
    let made_whole = |At { value: listener, spot }: At<ListenOn>| {
        if listener.uids.as_ref().is_some_and(|uids| uids.contains(&strangers(resolver))) {
            let what =
                "uids has the id that the kernel gives to every user of another namespace, such as another container's";
            resolver.fault(&spot, Wrong::new(what).hint("have the app run as a user of its own, and name that one"));
        }
        let ListenAddress::Unix { path, mode } = listener.address else { return listener };
        let path = resolver.path(&path, spot.place);
        if path.as_os_str().len() > MAX_SOCKET_PATH {
            resolver.fault(&spot, Wrong::new(format!("the socket's path is longer than {MAX_SOCKET_PATH} bytes")));
        }
        ListenOn { address: ListenAddress::Unix { path, mode }, ..listener }
    };
    written.value.into_iter().map(made_whole).collect()
}

/// The id by which the kernel calls every user that has none in our user namespace (user_namespaces(7)).
fn strangers(resolver: &Resolver<'_>) -> u32 {
    let file = resolver.environment.read(Path::new("/proc/sys/kernel/overflowuid")).ok();
    let id = file.and_then(|file| str::from_utf8(&file.bytes).ok()?.trim().parse().ok());
    id.unwrap_or(65_534)
}

fn read_one(value: &Value<'_>, purpose: Purpose) -> Option<Vec<At<ListenOn>>> {
    let listeners = if value.is_table() { read_table(value, purpose)? } else { value.text("an address", parse)? };
    Some(listeners.into_iter().map(|listener| At { value: listener, spot: value.spot().clone() }).collect())
}

fn read_table(value: &Value<'_>, purpose: Purpose) -> Option<Vec<ListenOn>> {
    let mut table = value.table()?;
    let address = table.key("address", |value| value.text("an address", parse));
    let mode = table.key("mode", |value| value.text("permission bits", parse_mode));
    let tls = match purpose {
        Purpose::Apps => table.key("tls", Value::boolean),
        Purpose::Operators => Setting::Absent,
    };
    let uids = table.key("uids", |value| value.list("user ids", Value::user_id));
    let tenant = match purpose {
        Purpose::Apps => table.key("tenant", tenant_name),
        Purpose::Operators => Setting::Absent,
    };
    if matches!(address, Setting::Absent) {
        table.missing("address", "write { address = \"127.0.0.1:9001\" }");
    }
    table.finish();
    let is_faulty = matches!(mode, Setting::Faulty)
        || matches!(tenant, Setting::Faulty)
        || matches!(uids, Setting::Faulty)
        || matches!(tls, Setting::Faulty);
    if is_faulty {
        return None;
    }
    let mut listeners = address.into_given()?.value;
    if let Some(given) = mode.into_given() {
        let [ListenOn { address: ListenAddress::Unix { mode, .. }, .. }] = listeners.as_mut_slice() else {
            value.fault(Wrong::new("mode is for unix sockets only"));
            return None;
        };
        *mode = given.value;
    }
    if uids.given().is_some_and(|at| at.value.is_empty()) {
        value.fault(
            Wrong::new("uids is empty, so that nobody is served")
                .hint("leave it out to serve whoever can open the socket"),
        );
        return None;
    }
    let (uids, tls) = (uids.into_given().map(|at| at.value), tls.or(false));
    if tls && !listeners.iter().all(|listener| matches!(listener.address, ListenAddress::Tcp(_))) {
        value.fault(Wrong::new("tls is for TCP only").hint("who may open a socket is said by its mode and uids"));
        return None;
    }
    if uids.is_some() && !listeners.iter().all(|listener| matches!(listener.address, ListenAddress::Unix { .. })) {
        value.fault(
            Wrong::new("uids are for unix sockets only").hint("over TCP, callers show tokens: [[server.callers]]"),
        );
        return None;
    }
    let tenant = tenant.into_given().map(|at| at.value);
    Some(
        listeners
            .into_iter()
            .map(|listener| ListenOn { tenant: tenant.clone(), uids: uids.clone(), tls, ..listener })
            .collect(),
    )
}

/// A tenant's name.
pub(super) fn tenant_name(value: &Value<'_>) -> Option<TenantId> {
    value.text("a tenant's name", |text| text.parse::<TenantId>().map_err(|invalid| Wrong::new(invalid.to_string())))
}

/// `localhost` means both loopback addresses, of which the host may lack that of IPv6.
fn parse(text: &str) -> Result<Vec<ListenOn>, Wrong> {
    if let Some(path) = text.strip_prefix("unix:") {
        return match path {
            "" => Err(Wrong::new("no path after unix:")),
            path => Ok(vec![ListenOn::required(ListenAddress::Unix { path: path.into(), mode: DEFAULT_SOCKET_MODE })]),
        };
    }
    if let Some(port) = text.strip_prefix("localhost:").and_then(|port| port.parse::<u16>().ok()) {
        let v4 = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        let v6 = SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), port);
        return Ok(vec![ListenOn::required(ListenAddress::Tcp(v4)), ListenOn::by_default(v6)]);
    }
    match text.parse::<SocketAddr>() {
        Ok(address) => Ok(vec![ListenOn::required(ListenAddress::Tcp(address))]),
        Err(_) => Err(Wrong::new("not an address with a port").hint(
            "write \"127.0.0.1:3539\", \"[::1]:3539\", \"localhost:3539\" or \"unix:/run/flexslot-proxy/proxy.sock\"",
        )),
    }
}

fn parse_mode(text: &str) -> Result<u32, Wrong> {
    let octal = (3..=4).contains(&text.len()) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    match u32::from_str_radix(text, 8) {
        Ok(mode) if octal && mode <= 0o777 => Ok(mode),
        _ => Err(Wrong::new("not permission bits").hint("write them in octal, such as \"0660\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::{ListenAddress, ListenOn, Purpose, parse, parse_list, parse_mode};
    use crate::model::Need;

    fn shown(listeners: &[ListenOn]) -> Vec<(String, Need)> {
        listeners.iter().map(|listener| (listener.address.to_string(), listener.need)).collect()
    }

    #[test]
    fn localhost_means_both_loopback_addresses() {
        let listeners = parse("localhost:3539").unwrap();
        let both = [("127.0.0.1:3539".to_owned(), Need::Required), ("[::1]:3539".to_owned(), Need::IfPresent)];
        assert_eq!(shown(&listeners), both);
    }

    #[test]
    fn takes_tcp_and_unix_addresses() {
        for text in ["127.0.0.1:0", "[::]:80", "10.0.0.1:3539", "unix:/run/x.sock", "unix:x.sock"] {
            assert_eq!(shown(&parse(text).unwrap()), [(text.to_owned(), Need::Required)]);
        }
        for text in
            ["", "3539", ":3539", "127.0.0.1", "example.com:80", "localhost", "localhost:x", "127.0.0.1:70000", "unix:"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sockets_are_private_unless_told_otherwise() {
        let [ListenOn { address: ListenAddress::Unix { mode, .. }, .. }] = parse("unix:/x").unwrap()[..] else {
            panic!()
        };
        assert_eq!(mode, 0o600);
        assert_eq!(parse_mode("0660").ok(), Some(0o660));
        assert_eq!(parse_mode("666").ok(), Some(0o666));
        for text in ["", "6", "0o660", "0888", "1777", "+660", "rw"] {
            assert!(parse_mode(text).is_err(), "{text}");
        }
    }

    #[test]
    fn flags_take_several_addresses_and_operators_off() {
        assert_eq!(parse_list("127.0.0.1:1, [::1]:1", Purpose::Apps).unwrap().len(), 2);
        assert_eq!(parse_list("off", Purpose::Operators).unwrap(), []);
        assert!(parse_list("off", Purpose::Apps).is_err());
        assert!(parse_list("127.0.0.1:1,", Purpose::Apps).is_err());
    }
}
