use super::{Aim, Bound};
use crate::figure::{Figure, Measure, Unit};

static COST: Measure = Measure { title: "cost", unit: Unit::Microseconds, over: Some("members") };
static RATE: Measure = Measure { title: "rate", unit: Unit::PerSecond, over: None };

fn check(aim: &Aim, ours: &[Figure], theirs: &[Figure], reached: Option<bool>) {
    let outcome = aim.outcome(ours, theirs).expect("it was measured");
    assert_eq!(outcome.reached, reached, "{outcome:?}");
}

#[test]
fn a_ratio_compares_the_largest_size_that_both_have() {
    let aim = Aim { measure: &COST, size: None, bound: Bound::TimesBetter(10.0) };
    let ours = [COST.at(10, 1.0), COST.at(100, 2.0), COST.at(1_000, 50.0)];
    check(&aim, &ours, &[COST.at(10, 5.0), COST.at(100, 20.0)], Some(true));
    check(&aim, &ours, &[COST.at(10, 90.0), COST.at(100, 19.0)], Some(false));
    check(&aim, &ours, &[], None);
}

#[test]
fn a_higher_rate_is_better() {
    let aim = Aim { measure: &RATE, size: None, bound: Bound::TimesBetter(10.0) };
    check(&aim, &[RATE.is(100.0)], &[RATE.is(10.0)], Some(true));
    check(&aim, &[RATE.is(99.0)], &[RATE.is(10.0)], Some(false));
}

#[test]
fn what_must_stay_the_same_is_held_to_the_smaller_size() {
    let aim = Aim { measure: &COST, size: None, bound: Bound::LikeAt(10) };
    check(&aim, &[COST.at(10, 1.0), COST.at(2_000, 1.2)], &[], Some(true));
    check(&aim, &[COST.at(10, 1.0), COST.at(2_000, 1.5)], &[], Some(false));
    check(&aim, &[COST.at(2_000, 1.5)], &[], None);
}

#[test]
fn what_was_not_measured_has_no_outcome() {
    let aim = Aim { measure: &COST, size: Some(8), bound: Bound::AtMost(1.0) };
    assert!(aim.outcome(&[COST.at(10, 1.0)], &[]).is_none());
}
