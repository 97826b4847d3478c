//! What is left in memory of a secret once nobody has it any more.

use std::{fs::File, os::unix::fs::FileExt};

use flexslot_proxy::model::Secret;
use http::HeaderValue;

/// As long as tokens are, so that it has a place of its own, and an allocator's notes cover its beginning at most.
const TOKEN: &str = "flx_pat_canary-0123456789-0123456789-0123456789-0123456789-0123456789";

/// The end of it.
const TAIL: usize = 32;

/// What stands at `address`, whoever owns it now. Nothing is allocated in between.
fn tail_at(memory: &File, address: usize) -> [u8; TAIL] {
    let mut found = [0; TAIL];
    memory.read_exact_at(&mut found, u64::try_from(address + TOKEN.len() - TAIL).unwrap()).unwrap();
    found
}

fn expected() -> [u8; TAIL] {
    TOKEN.as_bytes()[TOKEN.len() - TAIL..].try_into().unwrap()
}

#[test]
fn a_secret_is_wiped_when_it_is_dropped() {
    let memory = File::open("/proc/self/mem").unwrap();
    let secret = Secret::new(TOKEN);
    let address = secret.expose().as_ptr().addr();
    assert_eq!(tail_at(&memory, address), expected(), "it is looked for at the right place");
    drop(secret);
    assert_ne!(tail_at(&memory, address), expected());
}

#[test]
fn a_header_with_a_secret_is_wiped_by_the_last_who_has_it() {
    let memory = File::open("/proc/self/mem").unwrap();
    let value = HeaderValue::from_maybe_shared(Secret::new(TOKEN).into_bytes()).unwrap();
    let address = value.as_bytes().as_ptr().addr();
    let of_a_request = value.clone();
    drop(value);
    assert_eq!(tail_at(&memory, address), expected(), "somebody has it");
    drop(of_a_request);
    assert_ne!(tail_at(&memory, address), expected());
}
