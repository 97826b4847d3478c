//! The fuzz targets without a fuzzer: every seed, and many inputs that come of seeds by chance, the same in every run.
//!
//! What fails says with which input; put into a file, `cargo fuzz run TARGET FILE` in `fuzz/` plays it again.

#[allow(unreachable_pub, reason = "a library of its own in fuzz/")]
#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::{
    collections::BTreeSet,
    fs,
    panic::{self, AssertUnwindSafe},
    path::Path,
};

use targets::bytes::Dice;

/// Makes inputs out of seeds.
struct Maker {
    dice: Dice,
    seeds: Vec<Vec<u8>>,
    /// Of the dictionary.
    words: Vec<Vec<u8>>,
}

/// No input is longer.
const LONGEST: usize = 4096;

macro_rules! played {
    ($(fn $name:ident($inputs:literal);)*) => {
        /// Every target, as its file is called.
        const NAMES: &[&str] = &[$(stringify!($name)),*];

        $(
            #[test]
            fn $name() {
                play(stringify!($name), targets::$name::run, $inputs);
            }
        )*
    };
}

// So many inputs of each, beside the seeds: a second or two.
played! {
    fn admin_request(100);
    fn body_urls(3000);
    fn guard(3000);
    fn headers(3000);
    fn import_line(3000);
    fn links(3000);
    fn management_answer(3000);
    fn proof_demand(300);
    fn proxy_toml(500);
    fn record(1000);
    fn request(100);
    fn sidecar(100);
    fn store_rows(300);
    fn store_url(500);
    fn target_check(3000);
    fn token_answer(3000);
    fn upstream_answer(100);
    fn wire_head(1000);
}

#[test]
fn no_target_is_left_out() {
    let files = |folder: &str, suffix: &str| -> BTreeSet<String> {
        let names = fs::read_dir(fuzz().join(folder)).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter_map(|name| name.to_str()?.strip_suffix(suffix).map(str::to_owned)).collect()
    };
    let names: BTreeSet<String> = NAMES.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(files("fuzz_targets", ".rs"), names);
    assert_eq!(files("dictionaries", ".dict"), names);
    assert_eq!(files("seeds", ""), names);
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for name in names {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
    }
}

fn fuzz() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz"))
}

fn play(name: &str, run: fn(&[u8]), inputs: usize) {
    let mut maker = Maker::of(name);
    let seeds = maker.seeds.clone();
    for input in seeds.into_iter().chain((0..inputs).map(|_| maker.make())) {
        let played = panic::catch_unwind(AssertUnwindSafe(|| run(&input)));
        assert!(played.is_ok(), "{name} does not hold for b\"{}\"", input.escape_ascii());
    }
}

// === impl Maker ===

impl Maker {
    fn of(name: &str) -> Self {
        let mut files: Vec<_> =
            fs::read_dir(fuzz().join("seeds").join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let seeds = files.iter().map(|file| fs::read(file).unwrap()).collect();
        let dictionary = fs::read_to_string(fuzz().join("dictionaries").join(format!("{name}.dict"))).unwrap();
        Self { dice: Dice::of(name.as_bytes()), seeds, words: dictionary.lines().filter_map(word).collect() }
    }

    fn make(&mut self) -> Vec<u8> {
        let mut input = self.seed();
        for _ in 0..1 + self.dice.below(4) {
            self.change(&mut input);
        }
        input.truncate(LONGEST);
        input
    }

    fn seed(&mut self) -> Vec<u8> {
        self.seeds[self.dice.below(self.seeds.len())].clone()
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.dice.below(input.len() + 1);
        let end = at + self.dice.below(input.len() + 1 - at);
        match self.dice.below(9) {
            0 if at < input.len() => input[at] ^= 1 << self.dice.below(8),
            1 if at < input.len() => input[at] = self.byte(),
            2 => input.insert(at, self.byte()),
            3 => drop(input.drain(at..end.min(at + 16))),
            4 => drop(input.splice(at..at, input[at..end].to_vec())),
            5 => {
                let word = self.words[self.dice.below(self.words.len())].clone();
                drop(input.splice(at..at, word));
            }
            6 => {
                let word = self.words[self.dice.below(self.words.len())].clone();
                drop(input.splice(at..(at + word.len()).min(input.len()), word));
            }
            7 => {
                let other = self.seed();
                let from = self.dice.below(other.len() + 1);
                drop(input.splice(at..end, other[from..].iter().copied()));
            }
            _ => {
                let noise: Vec<u8> = (0..1 + self.dice.below(24)).map(|_| self.byte()).collect();
                drop(input.splice(at..at, noise));
            }
        }
    }

    fn byte(&mut self) -> u8 {
        self.dice.next() as u8
    }
}

/// A word of a libFuzzer dictionary: `"…"` with `\xNN`, `\\` and `\"`.
fn word(line: &str) -> Option<Vec<u8>> {
    let text = line.trim().strip_prefix('"')?.strip_suffix('"')?.as_bytes();
    let (mut word, mut at) = (Vec::new(), 0);
    while let Some(&byte) = text.get(at) {
        at += 1;
        match (byte, text.get(at)) {
            (b'\\', Some(b'x')) => {
                word.push(u8::from_str_radix(str::from_utf8(text.get(at + 1..at + 3)?).ok()?, 16).ok()?);
                at += 3;
            }
            (b'\\', Some(&escaped)) => {
                word.push(escaped);
                at += 1;
            }
            _ => word.push(byte),
        }
    }
    Some(word)
}
