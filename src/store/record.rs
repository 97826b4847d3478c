//! How a stored record looks in bytes.

/// The bytes of a record. Only this module makes one, out of plain descriptions and sealed secrets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Body(Vec<u8>);
