//! Who may use the admin listener: whoever has the admin token, and browsers that have signed in by a one-time link.
//!
//! - [`caller`]: every request of the API.
//! - [`browser`]: the pages' sessions, and their forms. `session`: what such a cookie says; `user`: whose browser it is.
//! - [`sign_in`]: how a browser gets a session, and how it ends it.

mod browser;
mod caller;
mod session;
mod sign_in;
mod user;

pub(super) use browser::{Browser, is_secure};
pub(super) use caller::authenticated;
pub(super) use sign_in::{make_link, routes};
