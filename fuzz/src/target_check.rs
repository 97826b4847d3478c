//! The check of request targets against servers that decode and normalise in their own ways: what is accepted reaches
//! the OAuth endpoints under none of them, a partner endpoint only with a PAT, and what goes out is what came in.

use flexslot_proxy::credential::PathClass;
use flexslot_proxy::proxy::path::{BASE, Target};
use http::uri::PathAndQuery;
use percent_encoding::percent_decode;

/// What a server behind us may do before it routes.
#[derive(Debug, Clone, Copy)]
struct Habits {
    decodes: usize,
    /// Splits into segments first, so that `%2F` is data.
    splits_first: bool,
    cuts_parameters: bool,
    merges_slashes: bool,
}

impl Habits {
    fn all() -> impl Iterator<Item = Self> {
        (0..3 * 8).map(|n| Self {
            decodes: n / 8,
            splits_first: n & 1 != 0,
            cuts_parameters: n & 2 != 0,
            merges_slashes: n & 4 != 0,
        })
    }

    /// The segments that such a server routes by.
    fn segments(self, path: &[u8]) -> Vec<Vec<u8>> {
        let mut segments: Vec<Vec<u8>> = match self.splits_first {
            true => split(path).map(|segment| self.decode(segment)).collect(),
            false => split(&self.decode(path)).map(<[u8]>::to_vec).collect(),
        };
        for segment in &mut segments {
            if self.cuts_parameters {
                segment.truncate(segment.iter().position(|&byte| byte == b';').unwrap_or(segment.len()));
            }
            segment.truncate(segment.iter().position(|&byte| byte == 0).unwrap_or(segment.len()));
        }
        let mut resolved = Vec::new();
        for segment in segments {
            match segment.as_slice() {
                b"." => {}
                b".." => drop(resolved.pop()),
                b"" if self.merges_slashes => {}
                _ => resolved.push(segment.to_ascii_lowercase()),
            }
        }
        resolved
    }

    fn decode(self, text: &[u8]) -> Vec<u8> {
        (0..self.decodes).fold(text.to_vec(), |text, _| percent_decode(&text).collect())
    }
}

fn split(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.strip_prefix(b"/").unwrap_or(path).split(|byte| matches!(byte, b'/' | b'\\'))
}

pub fn run(input: &[u8]) {
    let Ok(written) = str::from_utf8(input) else { return };
    let Ok(received) = written.parse::<PathAndQuery>() else { return };
    let Ok(target) = Target::check(&received) else { return };

    let forward = target.forward().as_str();
    assert_eq!(format!("{}{forward}", target.prefix()), received.as_str(), "forwarded byte for byte");
    assert_eq!(target.prefix().is_empty(), target.tenant().is_none());
    assert!(!target.prefix().starts_with("/t/") || target.prefix().matches('/').count() == 2);

    let path = forward.split('?').next().unwrap_or_default();
    assert!(!path.bytes().any(|byte| byte.is_ascii_control()));
    for habits in Habits::all() {
        let segments = habits.segments(path.as_bytes());
        let words: Vec<&[u8]> = segments.iter().map(Vec::as_slice).collect();
        match (&words[..], habits.decodes) {
            ([b"api", b"public", b"v1", b"oauth", ..], _) => {
                panic!("{path:?} reaches the OAuth endpoints with {habits:?}")
            }
            ([b"api", b"public", b"v1", b"me", word, ..], _)
                if word.starts_with(b"partner") || word == b"access-tokens" =>
            {
                assert_eq!(target.class(), PathClass::PatOnly, "{path:?} with {habits:?}");
            }
            ([b"api", b"public", b"v1", ..], _) => {}
            // A server that decodes nothing sees other words where BASE itself is encoded; it finds nothing there.
            (_, 0) => {}
            _ => panic!("{path:?} leaves {BASE} with {habits:?}"),
        }
    }
}
