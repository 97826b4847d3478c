//! Real servers for the tests, each in a directory of its own and on a free port.
//!
//! - [`desktop`]: the bus and the keyring of a desktop, for each test
//! - [`nginx`]: nginx, one for each test
//! - [`postgres`]: PostgreSQL, one for each test process with a database for each test, or one of a test's own
//! - [`redis`]: Redis, one for each test
//! - [`watched`]: a process that ends, and whose directory goes, with the test process, however that ends
//!
//! Included by the tests of the library and by those of the program, which is why not everything is used everywhere.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "each of the test programs uses its part")]

pub(crate) mod desktop;
pub(crate) mod nginx;
pub(crate) mod postgres;
pub(crate) mod redis;
pub(crate) mod watched;

use std::{
    net::{Ipv4Addr, TcpListener},
    process,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

/// Below what Linux gives to connections and to listeners that ask for any port (`ip_local_port_range`): between the moment
/// in which a port was found free and the start of its server, and while that is restarted, one of those would get it.
const PORTS: std::ops::Range<u16> = 15_000..32_000;

/// A port that nobody listens on right now, and that no other test of this process gets.
pub(crate) fn free_port() -> u16 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let count = u32::from(PORTS.end - PORTS.start);
    for _ in 0..count {
        // Other test processes begin elsewhere.
        let at = process::id().wrapping_mul(97).wrapping_add(TAKEN.fetch_add(1, Relaxed)) % count;
        let port = PORTS.start + u16::try_from(at).expect("less than their count");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port in {PORTS:?}");
}
