//! A line of an import: whatever it says is a tenant's credentials or a fault that repeats none of its values.

use flexslot_proxy::model::import::ImportLine;
use http::HeaderValue;

/// What the corpus writes into values. Names are shown only in lower case, so no fault contains it.
const CANARY: &str = "CANARY";

pub fn run(line: &[u8]) {
    match ImportLine::parse(line) {
        Ok(read) => {
            if let Some(pat) = &read.pat {
                assert!(!pat.is_empty() && HeaderValue::from_str(pat.expose()).is_ok());
            }
            if let Some(grant) = &read.grant {
                assert!(!grant.refresh.is_empty());
                assert!(HeaderValue::from_str(grant.access.expose()).is_ok());
                assert!(grant.expires_at.secs() >= 0);
                assert!(
                    !grant.access.is_empty() || grant.expires_at.secs() == 0,
                    "nothing to send until it is refreshed"
                );
            }
        }
        Err(fault) => assert!(!format!("{fault} {fault:?}").contains(CANARY), "{fault}"),
    }
}
