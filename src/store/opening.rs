//! What opening a store may do to it.

/// What to do where there is no store yet, or one of an older program. Servers are asked with it; a SQLite file shows
/// by itself whether it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// Make it, or bring it up to date.
    Make,
    /// Leave everything as it is, and say so; for who only looks.
    Look,
}
