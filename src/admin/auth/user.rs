//! Whose process on this host has opened a connection, as far as the system tells.
//!
//! A browser sends its cookies to every port of a host, and so to every server there, whoever runs it. That one learns
//! the cookie of the connections page; it cannot become the user whose browser it is.

use std::{
    fs,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use http::Extensions;

use crate::{admin::settings::Settings, model::Peer};

/// Where the kernel of Linux lists connections (proc(5), "/proc/net/tcp"), those of IPv6 apart.
const TABLES: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];

/// The list is not of one moment, and may miss a connection while others come and go.
const LOOKS: usize = 3;

/// Whom the kernel names where it must not say who it is (user_namespaces(7), "overflowuid").
const NOBODY: u32 = 65534;

/// The user id of whoever has opened the connection of a request with these extensions.
pub(super) async fn of(extensions: &Extensions) -> Option<u32> {
    let peer = *extensions.get::<Peer>()?;
    tokio::task::spawn_blocking(move || user_of(peer)).await.ok()?
}

/// The same of a browser that calls us by `host`. Behind a web server every connection is that server's, and of which user
/// it is another sidecar of the same store may see otherwise; then nobody is named.
pub(super) async fn behind(settings: &Settings, host: &str, extensions: &Extensions) -> Option<u32> {
    if settings.public_base(host).is_some() { None } else { of(extensions).await }
}

/// The user id of whoever has the other end. `None` where that is on another host, or behind something that hides it, and
/// where the system has no such list, or has a user namespace between us and names all others by one id.
fn user_of(peer: Peer) -> Option<u32> {
    known(peer).filter(|&uid| uid != NOBODY)
}

fn known(peer: Peer) -> Option<u32> {
    let (ours, theirs) = match peer {
        Peer::Unix { uid } => return Some(uid),
        Peer::Tcp { ours, theirs } => (ours, theirs),
    };
    // The lists are long where connections are many, and have nobody of elsewhere.
    let (here, there) = (ours.ip().to_canonical(), theirs.ip().to_canonical());
    if !there.is_loopback() && there != here {
        return None;
    }
    (0..LOOKS).find_map(|_| TABLES.iter().find_map(|table| user_in(&fs::read_to_string(table).ok()?, theirs, ours)))
}

/// The user id in the line of the connection from `local` to `remote`.
fn user_in(table: &str, local: SocketAddr, remote: SocketAddr) -> Option<u32> {
    let (mapped, plain) = (ends(local, remote, true), ends(local, remote, false));
    table.lines().skip(1).find_map(|line| {
        let mut columns = line.split_ascii_whitespace().skip(1);
        let ends = (columns.next()?, columns.next()?);
        let is_it = |(local, remote): &(String, String)| ends == (local.as_str(), remote.as_str());
        (is_it(&mapped) || is_it(&plain)).then(|| columns.nth(4)?.parse().ok())?
    })
}

/// Both ends as the lists write them. A socket of IPv6 may have an address of IPv4.
fn ends(local: SocketAddr, remote: SocketAddr, mapped: bool) -> (String, String) {
    let written = |end: SocketAddr| {
        let bytes = match end.ip().to_canonical() {
            IpAddr::V4(ip) if mapped => ip.to_ipv6_mapped().octets().to_vec(),
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => Ipv6Addr::octets(&ip).to_vec(),
        };
        let words: String = bytes
            .chunks_exact(4)
            .map(|word| format!("{:08X}", u32::from_ne_bytes([word[0], word[1], word[2], word[3]])))
            .collect();
        format!("{words}:{:04X}", end.port())
    };
    (written(local), written(remote))
}

#[cfg(test)]
mod tests {
    use super::{user_in, user_of};
    use crate::model::Peer;
    use tokio::net::{TcpListener, TcpStream};

    #[tokio::test]
    async fn a_connection_of_this_host_is_its_users() {
        let us = rustix::process::geteuid().as_raw();
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address).await else { continue };
            let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (server, theirs) = listener.accept().await.unwrap();
            assert_eq!(user_of(Peer::Tcp { ours: server.local_addr().unwrap(), theirs }), Some(us), "{address}");
            drop(client);
        }
        assert_eq!(user_of(Peer::Unix { uid: 7 }), Some(7));
    }

    #[test]
    fn one_that_is_not_listed_is_nobodys() {
        let (ours, theirs) = ("192.0.2.1:3540".parse().unwrap(), "192.0.2.2:1".parse().unwrap());
        assert_eq!(user_of(Peer::Tcp { ours, theirs }), None);
    }

    /// As Linux writes it on a machine whose numbers begin with their lowest byte.
    #[cfg(target_endian = "little")]
    #[test]
    fn the_line_of_the_callers_end_counts_and_not_that_of_ours() {
        let table = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0DD4 0100007F:C350 01 00000000:00000000 00:00000000 00000000   101        0 12 1 0 20 4 30 10 -1
   1: 0100007F:C350 0100007F:0DD4 01 00000000:00000000 00:00000000 00000000  1000        0 13 1 0 20 4 30 10 -1
   2: 0000000000000000FFFF00000100007F:C351 0000000000000000FFFF00000100007F:0DD4 01 00000000:00000000 00:00000000 00000000  1001 0 14
";
        let at = |port: u16| user_in(table, ([127, 0, 0, 1], port).into(), "127.0.0.1:3540".parse().unwrap());
        assert_eq!((at(50000), at(50001), at(50002)), (Some(1000), Some(1001), None));
    }
}
