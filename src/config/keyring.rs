//! The desktop's keyring: which item of it is meant, and how the session is reached that it belongs to.

use std::{ffi::OsString, fmt, path::PathBuf};

use super::{environment::Environment, fault::Wrong};
use crate::model::prefix;

/// An item of the desktop's keyring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyringItem {
    /// Tells it from the items of other stores: `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`.
    pub name: String,
    /// Variables of the session, as far as they are set: by them it is found, and no others are handed on.
    pub session: Vec<(&'static str, OsString)>,
    /// Where processes of this user find each other's locks; `None` where nothing tells.
    pub lock_dir: Option<PathBuf>,
}

/// What leads to the session's bus, and to the program that speaks to it. None of them holds a secret.
const SESSION: [&str; 4] = ["DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR", "HOME", "PATH"];

/// Longer names serve nobody.
const MAX_NAME: usize = 64;

// === impl KeyringItem ===

impl KeyringItem {
    /// The item of this name, in the session that the process was started in.
    pub fn new(name: String, environment: &dyn Environment) -> Self {
        let set = |variable| environment.variable(variable).filter(|value| !value.is_empty());
        let absolute = |variable| set(variable).map(PathBuf::from).filter(|path| path.is_absolute());
        let session = SESSION.into_iter().filter_map(|variable| Some((variable, set(variable)?))).collect();
        // Not the store's directory: two stores may name one item by mistake, and must not both make it.
        let lock_dir = absolute("XDG_RUNTIME_DIR")
            .or_else(|| absolute("XDG_STATE_HOME"))
            .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
            .map(|dir| dir.join("flexslot-proxy"));
        Self { name, session, lock_dir }
    }
}

impl fmt::Display for KeyringItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the item \"{}\" of the desktop's keyring", self.name)
    }
}

/// The name of an item; it stands in commands and in a file's name as it is.
pub(super) fn item_name(text: &str) -> Result<String, Wrong> {
    let mut bytes = text.bytes();
    let is_name = bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        && text.len() <= MAX_NAME
        && !prefix::is_credential(text);
    is_name.then(|| text.to_owned()).ok_or_else(|| {
        Wrong::new("not the name of an item")
            .hint("letters, digits, \".\", \"_\" and \"-\", 64 at most, such as \"laptop\"; one for each store")
    })
}

/// The name of an item as a command takes it.
///
/// # Errors
///
/// What is wrong with it, without the text.
pub fn parse_item_name(text: &str) -> Result<String, String> {
    item_name(text).map_err(|wrong| match wrong.hint {
        Some(hint) => format!("{} ({hint})", wrong.what),
        None => wrong.what,
    })
}

#[cfg(test)]
mod tests {
    use super::parse_item_name;

    #[test]
    fn a_name_can_stand_in_a_command_and_a_path_as_it_is() {
        let longest = "a".repeat(64);
        for name in ["laptop", "a", "7", "my.store_2-b", longest.as_str()] {
            assert_eq!(parse_item_name(name).as_deref(), Ok(name));
        }
        for name in ["", ".", "-a", "../a", "a b", "a/b", "a;b", "ä", "a\n", "flx_pat_canary", &"a".repeat(65)] {
            let wrong = parse_item_name(name).expect_err(name);
            assert!(wrong.contains("such as \"laptop\"") && !wrong.contains("canary"), "{wrong}");
        }
    }
}
