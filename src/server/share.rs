//! How much of all places one caller may have, so that there are some left for the others.
//!
//! A caller is an address, or the user of a unix socket. Over loopback all have one address, and nobody is told from
//! anybody else.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use parking_lot::Mutex;

use super::under_way::{Place, UnderWay};
use crate::model::{Peer, Seldom};

/// What each caller has.
#[derive(Debug)]
pub(super) struct Shares {
    most: usize,
    /// Those who have anything.
    callers: Mutex<HashMap<Key, Held>>,
    refused: Seldom,
}

/// One connection's part of its caller's share; given back when dropped.
#[derive(Debug)]
pub struct Share {
    shares: Arc<Shares>,
    key: Key,
    requests: Arc<UnderWay>,
}

#[derive(Debug)]
struct Held {
    connections: usize,
    requests: Arc<UnderWay>,
}

/// Its caller has its share already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spent;

/// Whom a connection counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Address(IpAddr),
    /// The first 64 bits, below which one host has as many addresses as it likes (RFC 6177 section 2).
    Network(Ipv6Addr),
    User(u32),
}

// === impl Shares ===

impl Shares {
    /// Each caller may have `most` connections at a time, and as many requests under way.
    pub(super) fn of(most: usize) -> Arc<Self> {
        Arc::new(Self { most, callers: Mutex::default(), refused: Seldom::default() })
    }

    /// A connection's part; `None` where nobody can be told from others.
    pub(super) fn take(self: &Arc<Self>, peer: Peer) -> Result<Option<Share>, Spent> {
        let Some(key) = Key::of(peer) else { return Ok(None) };
        let mut callers = self.callers.lock();
        let nothing = || Held { connections: 0, requests: Arc::new(UnderWay::at_most(self.most)) };
        let held = callers.entry(key).or_insert_with(nothing);
        if held.connections >= self.most {
            drop(callers);
            if let Some(refused) = self.refused.note() {
                tracing::warn!(peer = %key, refused, "a caller has its share of connections; what more it opens is closed");
            }
            return Err(Spent);
        }
        held.connections += 1;
        Ok(Some(Share { shares: Arc::clone(self), key, requests: Arc::clone(&held.requests) }))
    }
}

// === impl Share ===

impl Share {
    /// A place for a request of the same caller, if it has not as many already.
    pub(super) fn enter(&self) -> Option<Place> {
        self.requests.enter()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut callers = self.shares.callers.lock();
        if let Some(held) = callers.get_mut(&self.key) {
            held.connections -= 1;
            if held.connections == 0 {
                callers.remove(&self.key);
            }
        }
    }
}

// === impl Key ===

impl Key {
    fn of(peer: Peer) -> Option<Self> {
        match peer {
            Peer::Unix { uid } => Some(Self::User(uid)),
            Peer::Tcp { theirs, .. } => match theirs.ip().to_canonical() {
                ip if ip.is_loopback() => None,
                IpAddr::V6(ip) => Some(Self::Network(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64))),
                ip @ IpAddr::V4(_) => Some(Self::Address(ip)),
            },
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(ip) => ip.fmt(f),
            Self::Network(ip) => write!(f, "{ip}/64"),
            Self::User(uid) => write!(f, "uid {uid}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Shares, Spent};
    use crate::model::Peer;

    fn from(address: &str) -> Peer {
        let theirs = address.parse().unwrap();
        Peer::Tcp { ours: "192.0.2.1:3539".parse().unwrap(), theirs }
    }

    #[test]
    fn one_caller_has_its_share_and_leaves_the_rest_to_others() {
        let shares = Shares::of(2);
        let one = shares.take(from("192.0.2.7:1"));
        let _two = shares.take(from("[::ffff:192.0.2.7]:2")).unwrap();
        assert_eq!(shares.take(from("192.0.2.7:3")).unwrap_err(), Spent);
        assert!(shares.take(from("192.0.2.8:1")).is_ok(), "somebody else");
        drop(one);
        assert!(shares.take(from("192.0.2.7:4")).is_ok(), "a place that was given back");
    }

    #[test]
    fn who_a_caller_is() {
        let shares = Shares::of(1);
        let of = |peer: Peer| shares.take(peer);
        let _held = [of(from("[2001:db8::1]:1")), of(Peer::Unix { uid: 7 })].map(Result::unwrap);
        assert!(of(from("[2001:db8::ffff:1]:2")).is_err(), "another address of the same host");
        assert!(of(from("[2001:db8:0:1::1]:1")).is_ok());
        assert!(of(Peer::Unix { uid: 7 }).is_err() && of(Peer::Unix { uid: 8 }).is_ok());
        for loopback in ["127.0.0.1:1", "127.9.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert!(of(from(loopback)).unwrap().is_none(), "{loopback}");
        }
    }

    #[test]
    fn a_callers_requests_have_the_same_bound_over_all_its_connections() {
        let shares = Shares::of(2);
        let connections = [1, 2].map(|_| shares.take(Peer::Unix { uid: 7 }).unwrap().unwrap());
        let places: Vec<_> = connections.iter().map(|connection| connection.enter()).collect();
        assert!(places.iter().all(Option::is_some) && connections[0].enter().is_none());
        drop(places);
        assert!(connections[1].enter().is_some());
        drop(connections);
        assert!(shares.callers.lock().is_empty(), "nothing is remembered of who has gone");
    }
}
