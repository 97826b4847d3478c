use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use proptest::prelude::*;

use super::{Beside, Followed, InvalidKeys, KeyId, KeyRing, Place, SealFault, Sealed, Sealer};
use crate::model::{Random, Secret};

const PLACE: Place<'static> = Place { kind: "grant", name: "acme", field: "refresh_token", beside: Beside([7; 32]) };

fn line(fill: u8) -> String {
    STANDARD.encode([fill; 32])
}

fn ring(lines: &[u8]) -> KeyRing {
    let lines: Vec<_> = lines.iter().copied().map(line).collect();
    KeyRing::parse(&Secret::new(lines.join("\n"))).expect("keys")
}

fn sealer(keys: &[u8]) -> Sealer {
    Sealer::new(ring(keys), Random::system())
}

#[test]
fn a_sealed_value_opens_in_its_place() {
    let sealer = sealer(&[1]);
    let sealed = sealer.seal(PLACE, &Secret::new("canary"));
    assert_eq!(sealer.open(PLACE, &sealed), Ok(Secret::new("canary")));
}

#[test]
fn the_same_secret_never_looks_the_same_twice() {
    let sealer = sealer(&[1]);
    let secret = Secret::new("canary");
    assert_ne!(sealer.seal(PLACE, &secret), sealer.seal(PLACE, &secret));
}

#[test]
fn the_first_key_seals_and_all_open() {
    let old = sealer(&[1]).seal(PLACE, &Secret::new("old"));
    let both = sealer(&[2, 1]);
    assert_eq!(both.open(PLACE, &old), Ok(Secret::new("old")));
    let new = both.seal(PLACE, &Secret::new("new"));
    assert_eq!(sealer(&[2]).open(PLACE, &new), Ok(Secret::new("new")));
}

#[test]
fn a_foreign_shape_is_told_from_what_does_not_open() {
    let sealer = sealer(&[1]);
    let shortest = sealer.seal(PLACE, &Secret::new(""));
    let cut = (0..shortest.0.len()).map(|len| shortest.0[..len].to_vec());
    let of_another_format = [&[2], &shortest.0[1..]].concat();
    for foreign in cut.chain([of_another_format]).map(Sealed) {
        let told = (foreign.key(), sealer.open(PLACE, &foreign));
        assert_eq!(told, (None, Err(SealFault::Format)), "{} bytes", foreign.0.len());
    }
    let mut altered = shortest.clone();
    altered.0[1 + 8 + 24] ^= 1;
    assert_eq!(altered.key(), Some(sealer.sealing_key()));
    assert_eq!(sealer.open(PLACE, &altered), Err(SealFault::Forged));
}

#[test]
fn an_unknown_key_is_named_by_its_id() {
    let other = sealer(&[2]);
    let sealed = other.seal(PLACE, &Secret::new("x"));
    assert_eq!(sealer(&[1]).open(PLACE, &sealed), Err(SealFault::UnknownKey(other.sealing_key())));
}

#[test]
fn an_unknown_key_id_makes_the_source_be_read_once() {
    let reads = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&reads);
    let source = move || {
        counted.fetch_add(1, SeqCst);
        Some(ring(&[2, 1]))
    };
    let running = Sealer::with_source(ring(&[1]), source, Random::system());
    let rotated = sealer(&[2]).seal(PLACE, &Secret::new("x"));
    let foreign = sealer(&[3]).seal(PLACE, &Secret::new("y"));
    assert!(running.open(PLACE, &rotated).is_ok() && running.open(PLACE, &rotated).is_ok());
    assert_eq!(reads.load(SeqCst), 1);
    assert!(running.open(PLACE, &foreign).is_err() && running.open(PLACE, &foreign).is_err());
    assert_eq!(reads.load(SeqCst), 2, "once for the second id, however many values bear it");
}

#[test]
fn a_source_without_the_key_sought_does_not_replace_the_ring() {
    let running = Sealer::with_source(ring(&[1]), || Some(ring(&[9])), Random::system());
    let ours = running.seal(PLACE, &Secret::new("x"));
    assert!(running.open(PLACE, &sealer(&[2]).seal(PLACE, &Secret::new("y"))).is_err());
    assert_eq!(running.open(PLACE, &ours), Ok(Secret::new("x")));
    assert_eq!((running.sealing_key(), running.changes()), (sealer(&[1]).sealing_key(), 0));
}

#[test]
fn a_replaced_ring_is_used_from_then_on() {
    let running = sealer(&[1]);
    running.replace(ring(&[2]));
    running.replace(ring(&[3, 2]));
    assert_eq!((running.sealing_key(), running.changes()), (sealer(&[3]).sealing_key(), 2));
}

#[test]
fn keys_that_vanish_go_on_opening_until_the_process_ends() {
    let running = sealer(&[1]);
    let late = running.seal(PLACE, &Secret::new("x"));
    running.replace(ring(&[2]));
    assert_eq!(running.open(PLACE, &late), Ok(Secret::new("x")));
    assert!(sealer(&[2]).open(PLACE, &late).is_err());
}

#[test]
fn the_stores_key_is_followed_by_one_reading_of_the_source() {
    let reads = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&reads);
    let source = move || {
        counted.fetch_add(1, SeqCst);
        Some(ring(&[2, 3, 1]))
    };
    let running = Sealer::with_source(ring(&[1]), source, Random::system());
    let id = |key| sealer(&[key]).sealing_key();
    assert_eq!(running.follow(id(1)), Followed::Nothing);
    assert_eq!(running.follow(id(4)), Followed::Unknown);
    assert_eq!((running.follow(id(4)), reads.load(SeqCst)), (Followed::Nothing, 1), "told once");
    assert_eq!(running.follow(id(2)), Followed::Sealing);
    assert_eq!(running.follow(id(3)), Followed::Opening);
    assert_eq!((running.follow(id(2)), reads.load(SeqCst)), (Followed::Nothing, 3));
}

#[test]
fn keys_are_one_per_line_with_or_without_padding() {
    let text = format!("\n{}\r\n  {}\n\n", line(1), line(2).trim_end_matches('='));
    let ring = KeyRing::parse(&Secret::new(text)).expect("two keys");
    assert_eq!(ring.others.len(), 1);
}

#[test]
fn a_key_is_named_by_the_beginning_of_its_hash() {
    let id = sealer(&[1]).sealing_key();
    assert_eq!(id.to_string(), "72cd6e8422c407fb");
    assert_eq!(KeyId::of_line(&format!(" {}\n", line(1))), Some(id));
    assert_eq!(KeyId::of_line("# keys"), None);
}

#[test]
fn a_ring_names_the_keys_that_only_open_once_each() {
    let ring = ring(&[1, 3, 2, 3, 1]);
    let id = |key| sealer(&[key]).sealing_key();
    let mut others = [id(2), id(3)];
    others.sort();
    assert_eq!((ring.first(), ring.others()), (id(1), others.to_vec()));
    assert!(ring.holds(id(3)) && !ring.holds(id(4)));
}

#[test]
fn a_bad_key_is_named_by_its_line() {
    let parse = |text: String| KeyRing::parse(&Secret::new(text)).map(|_| ()).unwrap_err();
    assert_eq!(parse("\n \n".into()), InvalidKeys::Empty);
    assert_eq!(parse(format!("{}\n\nnonsense", line(1))), InvalidKeys::Line(3));
    assert_eq!(parse(STANDARD.encode([1; 31])), InvalidKeys::Line(1));
    assert_eq!(parse(STANDARD.encode([1; 33])), InvalidKeys::Line(1));
    assert_eq!(parse(STANDARD.encode([1; 500])), InvalidKeys::Line(1));
}

#[test]
fn faults_are_told_in_words_and_by_key_ids() {
    let unknown = SealFault::UnknownKey(sealer(&[1]).sealing_key());
    for (fault, words) in [
        (SealFault::Format.to_string(), "not a sealed value"),
        (unknown.to_string(), "the key 72cd6e8422c407fb"),
        (SealFault::Forged.to_string(), "altered"),
        (InvalidKeys::Empty.to_string(), "no key"),
        (InvalidKeys::Line(3).to_string(), "line 3"),
    ] {
        assert!(fault.contains(words), "{fault}");
    }
}

#[test]
fn a_generated_line_is_a_key() {
    let random = Random::system();
    let line = Sealer::generate_key_line(&random);
    assert!(KeyRing::parse(&line).is_ok());
    assert_ne!(line, Sealer::generate_key_line(&random));
}

#[test]
fn debug_shows_key_ids_and_no_key() {
    let sealer = sealer(&[1]);
    let shown = format!("{sealer:?} {:?}", sealer.seal(PLACE, &Secret::new("canary")));
    assert_eq!(shown, format!("Sealer([{}]) [sealed]", sealer.sealing_key()));
}

/// Kinds, names and fields that border on each other, so that a sloppy concatenation would confuse them.
fn part() -> impl Strategy<Value = String> {
    "[ab|]{0,4}"
}

proptest! {
    #[test]
    fn any_secret_comes_back(secret in ".{0,200}", kind in part(), name in part(), field in part()) {
        let sealer = sealer(&[1]);
        let place = Place { kind: &kind, name: &name, field: &field, ..PLACE };
        let sealed = sealer.seal(place, &Secret::new(secret.as_str()));
        let stored = Sealed::from_text(&sealed.to_text()).expect("base64");
        prop_assert_eq!(sealer.open(place, &stored), Ok(Secret::new(secret)));
    }

    #[test]
    fn no_altered_byte_opens(secret in "[a-z]{0,40}", at in any::<prop::sample::Index>(), flip in 1..=255_u8) {
        let sealer = sealer(&[1]);
        let mut sealed = sealer.seal(PLACE, &Secret::new(secret));
        let at = at.index(sealed.0.len());
        sealed.0[at] ^= flip;
        prop_assert!(sealer.open(PLACE, &sealed).is_err());
    }

    #[test]
    fn no_shortened_value_opens(secret in "[a-z]{0,40}", cut in any::<prop::sample::Index>()) {
        let sealer = sealer(&[1]);
        let mut sealed = sealer.seal(PLACE, &Secret::new(secret));
        sealed.0.truncate(cut.index(sealed.0.len()));
        prop_assert!(sealer.open(PLACE, &sealed).is_err());
    }

    #[test]
    fn no_other_place_opens(here in (part(), part(), part()), there in (part(), part(), part())) {
        prop_assume!(here != there);
        let sealer = sealer(&[1]);
        let sealed = sealer.seal(Place { kind: &here.0, name: &here.1, field: &here.2, ..PLACE }, &Secret::new("canary"));
        let place = Place { kind: &there.0, name: &there.1, field: &there.2, ..PLACE };
        prop_assert_eq!(sealer.open(place, &sealed), Err(SealFault::Forged));
    }
}
