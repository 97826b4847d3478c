//! The one integration binary: what of the program can be seen from outside.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bodies;
mod headers;
mod protocols;
mod support;
mod tenants;
mod urls;
