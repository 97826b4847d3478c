//! Who may use the admin listener: whoever has the admin token, and browsers that have signed in by a one-time link.
//!
//! - [`caller`]: every request of the API.
//! - [`browser`]: the pages' sessions, and their forms.
//! - [`sign_in`]: how a browser gets a session, and how it ends it.

mod browser;
mod caller;
mod session;
mod sign_in;

pub(super) use browser::Browser;
pub(super) use caller::authenticated;
pub(super) use sign_in::{make_link, routes};
