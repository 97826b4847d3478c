//! The outer wall: listeners, connections and their framing, and everything that is written to a client.

pub mod accept;
pub mod access_log;
pub mod admin_front;
mod connection;
pub mod connections_page;
pub mod crew;
pub mod dispatch;
pub mod listen;
mod outgoing;
pub mod request_id;
pub mod respond;
mod share;
pub mod tls;
mod under_way;
pub mod wire;
