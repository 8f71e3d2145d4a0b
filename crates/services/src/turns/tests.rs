use std::time::Duration;

use futures_util::FutureExt;
use kv::HomeserverId;

use super::{MEMORY, Writers};

const ACME: HomeserverId = HomeserverId(1);
const GLOBEX: HomeserverId = HomeserverId(2);
const MOMENT: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn who_writes_alone_has_as_many_writes_in_work_as_it_likes() {
    let turns = Writers::new(2).turns(ACME);
    for _ in 0..100 {
        assert!(turns.take().now_or_never().is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn who_writes_beside_another_has_few_writes_in_work() {
    let writers = Writers::new(2);
    let (acme, globex) = (writers.turns(ACME), writers.turns(GLOBEX));
    globex.take().await;
    let first = acme.take().await;
    let _second = acme.take().await;
    assert!(acme.take().now_or_never().is_none(), "the third waits");
    assert!(globex.take().now_or_never().is_some(), "the other has turns of its own");
    drop(first);
    assert!(acme.take().now_or_never().is_some(), "one has ended");
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_nobody_waits_for_any_more_is_another_s() {
    let writers = Writers::new(1);
    let (acme, globex) = (writers.turns(ACME), writers.turns(GLOBEX));
    globex.take().await;
    let first = acme.take().await;
    let mut gone = Box::pin(acme.take());
    assert!(gone.as_mut().now_or_never().is_none());
    let mut next = Box::pin(acme.take());
    assert!(next.as_mut().now_or_never().is_none());
    drop(gone);
    drop(first);
    assert!(next.now_or_never().is_some());
}

#[tokio::test(start_paused = true)]
async fn who_has_not_written_for_a_while_limits_nobody() {
    let writers = Writers::new(1);
    let (acme, globex) = (writers.turns(ACME), writers.turns(GLOBEX));
    globex.take().await;
    let _first = acme.take().await;
    assert!(acme.take().now_or_never().is_none());
    tokio::time::advance(MEMORY - MOMENT).await;
    assert!(acme.take().now_or_never().is_none(), "not yet");
    tokio::time::advance(MOMENT).await;
    assert!(acme.take().now_or_never().is_some());
}
