//! What every engine has to keep, as tests. A new engine implements [`Engine`] and calls [`conformance!`] in its tests.

pub(super) mod feed;
pub(super) mod leases;
pub(super) mod model;
pub(super) mod pulse;
pub(super) mod rows;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
    time::Duration,
};

use super::{
    backend::{Backend, Change, Expect, Key, Kind, Label, Revision, Row, Written},
    record::Body,
};
use crate::model::{Clock, Timestamp};

/// A store of the engine under test, empty in the beginning.
pub(super) trait Engine: Send + Sync {
    /// Another handle on the same store, as another process would have it.
    fn handle(&self) -> Arc<dyn Backend>;

    /// Lets time pass on the store's clock.
    fn pass(&self, time: Duration);
}

/// A clock that moves when it is told to.
#[derive(Debug)]
pub(super) struct ManualClock(AtomicI64);

impl ManualClock {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(1_795_200_000_000)))
    }

    pub(super) fn pass(&self, time: Duration) {
        self.0.fetch_add(i64::try_from(time.as_millis()).expect("a sensible time"), SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(SeqCst))
    }
}

/// Makes a test of everything in this module; `$engine` makes an [`Engine`].
macro_rules! conformance {
    ($engine:expr) => {
        $crate::store::conformance::conformance! { @each $engine;
            rows::a_row_comes_back_as_it_was_written;
            rows::rows_come_in_the_order_of_their_keys;
            rows::each_expectation_holds_where_it_should_and_nowhere_else;
            rows::a_batch_is_written_whole_or_not_at_all;
            rows::a_batch_sees_its_own_earlier_writes;
            rows::of_many_writers_at_once_one_wins;
            rows::lists_go_by_name_from_a_cursor;
            rows::lists_by_prefix_end_where_names_begin_otherwise;
            rows::lists_filter_by_state_and_show_markers_only_when_asked;
            rows::a_use_is_noted_and_is_no_change;
            rows::a_purge_deletes_what_is_due_of_its_kind;
            rows::the_store_keeps_its_id;
            pulse::it_agrees_with_what_is_asked_one_by_one;
            pulse::it_shows_what_another_handle_has_just_written;
            pulse::its_newest_revision_and_its_row_are_of_one_moment;
            feed::the_feed_names_each_row_once_by_its_last_write;
            feed::clients_are_told_by_their_ids;
            feed::a_revision_is_never_split;
            feed::the_feed_goes_on_where_it_was_left;
            feed::the_counter_never_goes_back;
            feed::nobody_misses_a_write_of_many_at_once;
            leases::one_bidder_wins_and_the_other_learns_whose_it_is_and_for_how_long;
            leases::its_owner_extends_it;
            leases::it_ends_by_the_stores_clock;
            leases::an_end_further_away_than_one_length_counts_as_ended;
            leases::a_bid_that_the_store_comes_to_after_its_time_wins_nothing;
            leases::a_bid_is_good_until_the_last_moment_of_its_time;
            leases::only_its_owner_gives_it_back;
            leases::of_many_bidders_at_once_one_wins;
            model::any_sequence_of_operations_is_answered_as_in_memory;
        }
    };
    (@each $engine:expr; $($part:ident :: $test:ident;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                $crate::store::conformance::$part::$test(&$engine).await;
            }
        )*
    };
}
pub(super) use conformance;

fn key(name: &str) -> Key {
    Key::new(Kind::Grant, name)
}

fn change(key: Key, expect: Expect, label: Label) -> Change {
    Change { key, expect, label, body: Body::from_stored(b"{}".to_vec()) }
}

fn put(name: &str) -> Change {
    change(key(name), Expect::Anything, Label::default())
}

async fn done(backend: &dyn Backend, changes: Vec<Change>) -> Revision {
    match backend.write(changes).await.expect("written") {
        Written::Done(revision) => revision,
        Written::Conflict(at) => panic!("change {at} is in conflict"),
    }
}

async fn row(backend: &dyn Backend, key: Key) -> Option<Row> {
    backend.get(&[key]).await.expect("read").pop().expect("one answer for one key")
}
