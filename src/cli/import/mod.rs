//! `tenant import`: credentials from another program, in JSON Lines.

pub mod line;
