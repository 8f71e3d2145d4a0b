use std::{future::pending, sync::Arc, task::Poll, time::Duration};

use futures_util::{FutureExt, poll};
use kv::HomeserverId;
use tokio::{sync::oneshot, time::advance};

use super::{MEMORY, TURN_TIME_MAX, Turns, Writers};

const ACME: HomeserverId = HomeserverId(1);
const GLOBEX: HomeserverId = HomeserverId(2);
const MOMENT: Duration = Duration::from_millis(1);

impl Turns {
    /// Whether a write may begin at once.
    fn is_free(&self) -> bool {
        self.take(async {}).now_or_never().is_some()
    }
}

/// Acme, and globex which has just written.
async fn beside_each_other(in_work_max: usize) -> (Arc<Turns>, Arc<Turns>) {
    let writers = Writers::new(in_work_max);
    let (acme, globex) = (writers.turns(ACME), writers.turns(GLOBEX));
    globex.take(async {}).await;
    (acme, globex)
}

#[tokio::test(start_paused = true)]
async fn who_writes_alone_has_as_many_writes_in_work_as_it_likes() {
    let turns = Writers::new(1).turns(ACME);
    let mut writes: Vec<_> = (0..100).map(|_| Box::pin(turns.take(pending::<()>()))).collect();
    for write in &mut writes {
        assert!(poll!(write).is_pending());
    }
    assert!(turns.is_free());
}

#[tokio::test(start_paused = true)]
async fn who_writes_beside_another_has_few_writes_in_work() {
    let (acme, globex) = beside_each_other(2).await;
    let (end, ended) = oneshot::channel::<()>();
    let mut first = Box::pin(acme.take(ended));
    let mut second = Box::pin(acme.take(pending::<()>()));
    assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending());
    assert!(!acme.is_free(), "a third waits");
    assert!(globex.is_free(), "the other has turns of its own");
    end.send(()).unwrap();
    assert_eq!(poll!(&mut first), Poll::Ready(Ok(())));
    assert!(acme.is_free(), "one has ended");
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_nobody_waits_for_any_more_is_another_s() {
    let (acme, _) = beside_each_other(1).await;
    let mut first = Box::pin(acme.take(pending::<()>()));
    let mut gone = Box::pin(acme.take(pending::<()>()));
    let mut next = Box::pin(acme.take(async {}));
    assert!(poll!(&mut first).is_pending());
    assert!(poll!(&mut gone).is_pending() && poll!(&mut next).is_pending());
    drop((gone, first));
    assert!(poll!(&mut next).is_ready());
}

#[tokio::test(start_paused = true)]
async fn what_waits_long_for_the_disk_holds_up_nobody() {
    let (acme, _) = beside_each_other(1).await;
    let mut slow = Box::pin(acme.take(pending::<()>()));
    assert!(poll!(&mut slow).is_pending() && !acme.is_free());
    advance(TURN_TIME_MAX + MOMENT).await;
    assert!(poll!(&mut slow).is_pending(), "it goes on");
    assert!(acme.is_free());
}

#[tokio::test(start_paused = true)]
async fn who_has_not_written_for_a_while_limits_nobody() {
    let (acme, _) = beside_each_other(1).await;
    advance(MEMORY - MOMENT).await;
    let mut first = Box::pin(acme.take(pending::<()>()));
    assert!(poll!(&mut first).is_pending());
    assert!(!acme.is_free(), "not yet");
    advance(MOMENT).await;
    assert!(acme.is_free());
}
