//! The one integration binary: what of the program can be seen from outside, and how it is laid out.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../layering.rs"]
mod layering;

mod bodies;
mod docs;
mod headers;
mod process;
mod protocols;
mod support;
mod tenants;
mod urls;
