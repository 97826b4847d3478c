//! How Flexslot's credentials and identifiers begin.
//!
//! All of them are opaque, and nothing is decided by a prefix but this: what looks like a credential is not shown, and
//! not taken where only the name of one belongs. The sandbox makes its own to look like these.

/// Every one of them.
pub const ANY: &str = "flx_";

/// Personal access tokens (Flexslot's documentation).
pub const PAT: &str = "flx_pat_";

/// Secrets of OAuth clients (Flexslot's documentation).
pub const CLIENT_SECRET: &str = "flx_cs_";

/// Ids of OAuth clients, on one of the two pages of Flexslot's documentation that show any.
pub const CLIENT_ID: &str = "flx_client_";

/// The sandbox's access tokens; Flexslot does not document the form of its own.
pub const ACCESS_TOKEN: &str = "flx_at_";

/// The sandbox's refresh tokens; Flexslot does not document the form of its own.
pub const REFRESH_TOKEN: &str = "flx_rt_";

/// What people copy from Flexslot's pages, and may paste into the wrong place.
const COPIED: [&str; 2] = [PAT, CLIENT_SECRET];

/// Whether `text` is one of Flexslot's credentials rather than the name of one. Case and leading space do not matter.
pub fn is_credential(text: &str) -> bool {
    let text = text.trim_start().to_ascii_lowercase();
    COPIED.iter().any(|prefix| text.starts_with(prefix))
}

/// Whether one of Flexslot's credentials may stand anywhere in `text`. Case makes no difference.
pub fn holds_credential(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    COPIED.iter().any(|prefix| text.contains(prefix))
}

#[cfg(test)]
mod tests {
    use super::{holds_credential, is_credential};

    #[test]
    fn a_credential_is_told_from_the_name_of_one() {
        for text in ["flx_pat_x", " flx_cs_x", "FLX_PAT_X"] {
            assert!(is_credential(text) && holds_credential(text), "{text}");
        }
        for text in ["ACME_FLX_PAT_FILE", "--pat=flx_pat_x"] {
            assert!(!is_credential(text) && holds_credential(text), "{text}");
        }
        for text in ["", "flx_client_1", "pat"] {
            assert!(!is_credential(text) && !holds_credential(text), "{text}");
        }
    }
}
