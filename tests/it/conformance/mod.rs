//! HTTP conformance: hostile bytes from either side against the real binary, by cases that each say what must come of
//! them.
//!
//! - [`requests`]: HTTP/1.1 requests, in front of nginx and of a strict upstream, which must see the same
//! - [`answers`]: HTTP/1.1 answers of an upstream, and what the client and the next request get
//! - [`frames`]: HTTP/2 frames of a client

mod answers;
mod frames;
mod requests;
mod setup;
mod strict;
