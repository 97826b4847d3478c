use http::HeaderMap;
use proptest::prelude::*;

use super::{Incoming, SpanContext, TRACEPARENT, TRACESTATE, TraceState};

const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn parsed(text: &str) -> Option<SpanContext> {
    SpanContext::parse(text.as_bytes())
}

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    lines.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

#[test]
fn a_traceparent_is_read_as_it_is_written() {
    let context = parsed(GOOD).unwrap();
    assert!(context.flags.is_sampled());
    assert_eq!(context.traceparent(), GOOD);
    assert!(!parsed(&GOOD.replace("-01", "-00")).unwrap().flags.is_sampled());
}

#[test]
fn flags_that_nobody_knows_are_not_handed_on() {
    assert_eq!(parsed(&GOOD.replace("-01", "-ff")).unwrap().traceparent(), GOOD.replace("-01", "-03").as_str());
}

#[test]
fn what_is_no_traceparent_is_not_read() {
    for text in [
        "",
        "00",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
        "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.more",
        " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ] {
        assert_eq!(parsed(text), None, "{text}");
    }
}

#[test]
fn a_later_version_is_read_as_far_as_it_is_known() {
    for text in [
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-is-to-come",
    ] {
        assert_eq!(parsed(text), parsed(GOOD), "{text}");
    }
}

#[test]
fn two_parents_are_none() {
    let of = |lines: &[(&str, &str)]| Incoming::of(&headers(lines));
    let parent = parsed(GOOD).unwrap();
    assert_eq!(of(&[("traceparent", GOOD)]), Incoming::Parent(parent, TraceState::Carried));
    assert_eq!(of(&[("traceparent", GOOD), ("traceparent", GOOD)]), Incoming::Nothing);
    assert_eq!(of(&[("tracestate", "a=1")]), Incoming::Nothing);
}

#[test]
fn a_tracestate_goes_on_only_where_it_is_well_formed() {
    let state = |lines: &[&str]| {
        let mut all = headers(&[(TRACEPARENT.as_str(), GOOD)]);
        for line in lines {
            all.append(TRACESTATE, line.parse().unwrap());
        }
        match Incoming::of(&all) {
            Incoming::Parent(_, state) => state,
            Incoming::Nothing => panic!("the parent is good"),
        }
    };
    let (many, too_many) = (vec!["a=1"; 32].join(","), vec!["a=1"; 33].join(","));
    for good in [&["congo=t61rcWkgMzE,rojo=00f0"][..], &["a=1", " b@x=2 ,, "], &[""], &[], &[&many]] {
        assert_eq!(state(good), TraceState::Carried, "{good:?}");
    }
    let long = format!("a={}", "x".repeat(257));
    for bad in
        [&["a"][..], &["A=1"], &["=1"], &["a="], &["a=1=2"], &["a=1,b"], &["a=1", "b\tc=1"], &[&long], &[&too_many]]
    {
        assert_eq!(state(bad), TraceState::Discarded, "{bad:?}");
    }
}

#[test]
fn spans_below_one_are_all_different() {
    let parent = parsed(GOOD).unwrap();
    let mut ids: Vec<_> = (1..=1000).map(|n| parent.child(n).bytes()).collect();
    ids.push(parent.span.bytes());
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 1001);
}

proptest! {
    #[test]
    fn bytes_never_panic_and_what_is_read_can_be_written(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        if let Some(context) = SpanContext::parse(&bytes) {
            prop_assert_eq!(SpanContext::parse(context.traceparent().as_bytes()), Some(context));
        }
    }
}
