//! What the tests are made of: a world in a sentence, callers, and neighbours that do as they are told.

mod browser;
pub(crate) mod chromium;
mod client;
mod collector;
mod frail;
pub(crate) mod process;
mod raw;
mod upstream;
mod world;

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;

pub(crate) use browser::{Browser, Page};
pub(crate) use client::{Call, Reach, Reply, http2_connection, http2_over, in_time, sha256, until};
pub(crate) use collector::{Collector, Seen as SeenSpan};
pub(crate) use raw::{Raw, RawReply, field};
pub(crate) use upstream::{Part, Received, Script, Upstream};
pub(crate) use world::{ADMIN_TOKEN, CLIENT, GrantOf, World};

/// The longest that anything is waited for. Far more than it takes, also on a busy machine; what is not there by then
/// hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// An address of this machine where connections are refused, and where nobody else comes to listen meanwhile.
pub(crate) struct ClosedPort {
    pub(crate) address: SocketAddr,
    _bound: Socket,
}

/// A port that nobody else is given meanwhile, and that a process of ours can listen on.
pub(crate) struct ReservedPort {
    pub(crate) address: SocketAddr,
    _bound: Socket,
}

impl ReservedPort {
    pub(crate) fn new() -> Self {
        let bound = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        // Others can bind the same as long as neither listens (socket(7)), if both say so.
        bound.set_reuse_address(true).unwrap();
        bound.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        Self { address: bound.local_addr().unwrap().as_socket().unwrap(), _bound: bound }
    }
}

impl ClosedPort {
    pub(crate) fn new() -> Self {
        let bound = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        bound.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        Self { address: bound.local_addr().unwrap().as_socket().unwrap(), _bound: bound }
    }
}

/// A listener on a free port of this machine.
pub(crate) fn free_port() -> TcpListener {
    flexslot_proxy::app::bind_tcp((Ipv4Addr::LOCALHOST, 0).into()).unwrap()
}
