//! The address that a browser ended on, as somebody has pasted it.

use crate::model::Secret;

/// Why a text is not that address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotIt {
    Nothing,
    /// It is where the flow begins.
    Beginning,
    /// It says nothing of a consent.
    Other,
}

/// The query of an address, or of what was copied of one; in whatever it is wrapped.
pub(super) fn query(pasted: &Secret) -> Result<Secret, NotIt> {
    let text = pasted.expose().trim().trim_matches(['"', '\'', '<', '>', '`']).trim();
    if text.is_empty() {
        return Err(NotIt::Nothing);
    }
    let query = text.split_once('?').map_or(text, |(_, query)| query);
    let query = query.split_once('#').map_or(query, |(query, _)| query);
    let has = |name: &str| query.split('&').any(|pair| pair.split_once('=').is_some_and(|(found, _)| found == name));
    match (has("code") || has("error"), has("code_challenge")) {
        (_, true) => Err(NotIt::Beginning),
        (true, false) => Ok(Secret::new(query)),
        (false, false) => Err(NotIt::Other),
    }
}

// === impl NotIt ===

impl NotIt {
    /// For who has pasted it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "nothing was pasted",
            Self::Beginning => "that is the address where it begins; the one is wanted on which the browser ended",
            Self::Other => "that address says nothing of a consent: code= or error= has to be in it",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{NotIt, query};
    use crate::model::Secret;

    fn read(text: &str) -> Result<String, NotIt> {
        query(&Secret::new(text)).map(|query| query.expose().to_owned())
    }

    #[test]
    fn an_address_is_taken_whole_or_from_its_query_on() {
        let query = "code=flx_code_1&state=s-1&iss=https%3A%2F%2Fapi.flexslot.gg";
        for text in [
            format!("http://127.0.0.1:3540/oauth/callback?{query}"),
            format!("  <https://app.example.com/flexslot/cb?{query}#top>\r\n"),
            format!("\"127.0.0.1:3540/oauth/callback?{query}\""),
            format!("?{query}"),
            query.to_owned(),
        ] {
            assert_eq!(read(&text).as_deref(), Ok(query), "{text}");
        }
        assert_eq!(
            read("http://localhost:1/cb?error=access_denied&state=s").as_deref(),
            Ok("error=access_denied&state=s")
        );
    }

    #[test]
    fn what_says_nothing_of_a_consent_is_not_it() {
        assert_eq!(read(" \n"), Err(NotIt::Nothing));
        assert_eq!(read("\"\""), Err(NotIt::Nothing));
        assert_eq!(read("http://127.0.0.1:3540/oauth/callback"), Err(NotIt::Other));
        assert_eq!(read("http://127.0.0.1:3540/?decode=1&x"), Err(NotIt::Other));
        let beginning =
            "https://api.flexslot.gg/api/public/v1/oauth/authorize?response_type=code&state=s&code_challenge=c";
        assert_eq!(read(beginning), Err(NotIt::Beginning));
    }
}
