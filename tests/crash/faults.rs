//! The long runs of `faults`, which need release code.

use crate::faults::{corruption, full, nth};

fn is_night() -> bool {
    super::points_wanted() >= 1_000_000
}

/// Corruptions that must be detected: ten thousand by day, ten times as many by night.
fn corruptions_wanted() -> u64 {
    if is_night() { 100_000 } else { 10_000 }
}

#[test]
fn ten_thousand_corruptions_are_detected_and_none_is_served() {
    corruption::detects(corruptions_wanted(), 1_000);
}

#[test]
fn every_single_request_may_fail() {
    nth::every_call(1);
}

#[test]
fn a_shelf_may_be_full_at_any_moment() {
    full::every_capacity(if is_night() { 1 } else { 3 });
}
