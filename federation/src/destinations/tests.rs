//! Pauses of servers that fail, on a clock that is turned by hand.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use model::ids::SeededIds;
use services::destinations::Failing;

use super::{LOST_AFTER_MS, LOST_PAUSE_MS, PAUSE_MS_MAX, after_failure};
use crate::worlds::{World, server};

#[test]
fn pauses_double_up_to_an_hour_and_become_a_day_after_a_week() {
    let ids = SeededIds::new(7);
    let (mut now_ms, mut failing): (u64, Option<Failing>) = (1_000_000, None);
    let mut expected_ms = 1_000;
    for _ in 0..30 {
        let next = after_failure(failing, now_ms, &ids);
        let pause_ms = next.retry_at_ms - now_ms;
        assert!(pause_ms >= expected_ms - expected_ms / 4, "{pause_ms} of {expected_ms}");
        assert!(pause_ms <= expected_ms + expected_ms / 4, "{pause_ms} of {expected_ms}");
        now_ms = next.retry_at_ms;
        expected_ms = (expected_ms * 2).min(PAUSE_MS_MAX);
        failing = Some(next);
    }
    let lost = after_failure(failing, 1_000_000 + LOST_AFTER_MS, &ids);
    let pause_ms = lost.retry_at_ms - 1_000_000 - LOST_AFTER_MS;
    assert!((LOST_PAUSE_MS / 4 * 3..=LOST_PAUSE_MS / 4 * 5).contains(&pause_ms));
}

#[tokio::test]
async fn requests_that_fail_together_are_one_failure() {
    let mut world = World::new();
    let a = world.home("a.example").await;
    let dead = server("dead.example");
    let started_ms = a.context().clock.now_ms();
    for _ in 0..20 {
        a.contacts.failed(&dead, started_ms).await;
    }
    let until_ms = a.contacts.paused_until(&dead).unwrap();
    assert!(until_ms - started_ms <= 1_250, "{}", until_ms - started_ms);
}

#[tokio::test]
async fn a_pause_survives_a_restart() {
    let mut world = World::new();
    let a = world.home("a.example").await;
    let dead = server("dead.example");
    a.contacts.failed(&dead, a.context().clock.now_ms()).await;
    let paused = a.contacts.paused_until(&dead);
    assert!(paused.is_some());
    let again = world.open("a.example", 1, [1; 32], Default::default()).await;
    assert_eq!(again.contacts.paused_until(&dead), None);
    again.contacts.load().await.unwrap();
    assert_eq!(again.contacts.paused_until(&dead), paused);
}

#[tokio::test]
async fn a_sign_of_life_ends_the_pause_and_is_told() {
    let mut world = World::new();
    let a = world.home("a.example").await;
    let told = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&told);
    a.contacts.on_recovery(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    let dead = server("dead.example");
    for _ in 0..12 {
        world.clock.advance(Duration::from_secs(3_000));
        a.contacts.failed(&dead, a.context().clock.now_ms()).await;
    }
    world.clock.advance(Duration::from_secs(60));
    assert!(a.contacts.paused_until(&dead).is_some());
    a.contacts.heard_from(&dead).await;
    assert_eq!(a.contacts.paused_until(&dead), None);
    a.contacts.heard_from(&dead).await;
    a.contacts.answered(&dead).await;
    assert_eq!(told.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_server_that_calls_but_does_not_answer_is_not_called_all_the_time() {
    let mut world = World::new();
    let a = world.home("a.example").await;
    let deaf = server("deaf.example");
    for _ in 0..12 {
        world.clock.advance(Duration::from_secs(4_600));
        a.contacts.failed(&deaf, a.context().clock.now_ms()).await;
    }
    let now_ms = a.context().clock.now_ms();
    a.contacts.heard_from(&deaf).await;
    assert_eq!(a.contacts.paused_until(&deaf), Some(now_ms + super::CONTACT_PAUSE_MS));
}
