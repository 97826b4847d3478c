//! The data plane: what happens to one request between the client and the upstream.

pub mod replay;
pub mod upstream;
