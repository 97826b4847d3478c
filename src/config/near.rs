//! What somebody may have meant.

/// The name that `text` most likely misspells: one slip away, or two in a longer name.
pub(super) fn nearest(text: &str, names: &[&'static str]) -> Option<&'static str> {
    // A long key is no near miss of ours, and the distance takes time that grows with its length.
    if text.len() > 64 {
        return None;
    }
    let text = text.to_ascii_lowercase().replace('-', "_");
    let (slips, name) = names.iter().map(|name| (slips(&text, name), *name)).min_by_key(|&(slips, _)| slips)?;
    (slips <= if name.len() > 5 { 2 } else { 1 }).then_some(name)
}

/// How many characters were left out, put in, mistaken or swapped with their neighbour (optimal string alignment).
fn slips(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut best = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            best[i][j] = match (i, j) {
                (0, made) | (made, 0) => made,
                _ => {
                    let replaced = best[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                    let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                    let swap = if swapped { best[i - 2][j - 2] + 1 } else { usize::MAX };
                    replaced.min(best[i - 1][j] + 1).min(best[i][j - 1] + 1).min(swap)
                }
            };
        }
    }
    best[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    const NAMES: &[&str] = &["listen", "tenant_header", "allow_remote", "url"];

    #[test]
    fn finds_what_was_meant() {
        for (text, name) in [
            ("listn", "listen"),
            ("tenant-header", "tenant_header"),
            ("Listen", "listen"),
            ("lsiten", "listen"),
            ("rul", "url"),
            ("urls", "url"),
            ("allow_remotes", "allow_remote"),
        ] {
            assert_eq!(nearest(text, NAMES), Some(name), "{text}");
        }
    }

    #[test]
    fn does_not_guess_wildly() {
        for text in [
            "",
            "colour",
            "xyz",
            "curled",
            "a-key-that-is-longer-than-anything-that-this-program-has-ever-known-by-name",
        ] {
            assert_eq!(nearest(text, NAMES), None, "{text}");
        }
    }
}
