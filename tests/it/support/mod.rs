//! What the tests are made of: a world in a sentence, callers, and neighbours that do as they are told.

pub(crate) mod process;
mod client;
mod frail;
mod raw;
mod upstream;
mod world;

pub(crate) use client::{Call, Reply, in_time, sha256};
pub(crate) use raw::{Raw, field};
pub(crate) use upstream::{Part, Script, Upstream};
pub(crate) use world::{CLIENT, GrantOf, World};
