//! The outer wall: listeners, connections and their framing.

pub mod accept;
mod connection;
pub mod listen;
pub mod wire;
