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

use std::net::TcpListener;

/// A port that nobody listens on right now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}
