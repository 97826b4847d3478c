//! Real servers for tests, each on a free port in a directory of its own.
//!
//! ```text
//! watched.rs   a process that ends, and whose directory goes, with the test process, however that ends
//! redis.rs     redis-server
//! ```
#![allow(dead_code, reason = "every test binary includes all of it and uses its own part")]

pub(crate) mod redis;
pub(crate) mod watched;
