//! The network between the homeservers: it delays, reorders, repeats, loses and cuts. Requests are
//! the real ones, signed by the sender's and checked by the receiver's real federation code.
//! The clock is paused (`start_paused = true`), so that a delay takes no time.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::Request, response::Response};
use bytes::Bytes;
use http_body_util::BodyExt;
use parking_lot::Mutex;
use rand::{RngExt, rngs::StdRng};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::trace::Trace;

/// Milliseconds that a request or an answer takes when all is well, at most.
const DELAY_MS_MAX: u64 = 40;
/// Out of how many the ratios of a [`Link`] are counted.
const OF: u32 = 1_000;
/// How much later a repeated request may arrive.
const REPEATED_MS_MAX: u64 = 20_000;
/// Of how many transactions a lying network loses one.
const LIES_ONE_IN: u32 = 10;
/// Bytes of a body, at most: a room's whole state fits.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How one direction between two homeservers is.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    pub cut: Cut,
    pub delay_ms: (u64, u64),
    /// Out of a thousand.
    pub lost: u32,
    pub repeated: u32,
}

/// What becomes of everything on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    No,
    /// The caller notices at once.
    Refused,
    /// The caller waits until it has waited long enough.
    Silent,
}

impl Link {
    pub const WELL: Self = Self { cut: Cut::No, delay_ms: (0, DELAY_MS_MAX), lost: 0, repeated: 0 };
}

/// See the module.
pub struct Wire {
    trace: Trace,
    state: Mutex<State>,
}

struct State {
    rng: StdRng,
    /// By sender, then receiver.
    links: Vec<Vec<Link>>,
    doors: Vec<Option<Door>>,
    /// Some transactions are answered and never delivered.
    lying: bool,
    /// By who asks: requests that have got no answer.
    in_vain: Vec<usize>,
    /// Who joined a room through another homeserver while not all was well.
    joined_in_trouble: BTreeSet<usize>,
    in_trouble: bool,
    under_way: usize,
    /// When something moved last.
    last: Instant,
}

/// Where a running homeserver takes requests.
#[derive(Clone)]
struct Door {
    router: Router,
    life: CancellationToken,
}

/// What chance has in store for one way of one request.
struct Chance {
    lied: bool,
    delay: Duration,
    lost: bool,
    repeated: Option<Duration>,
    cut: Cut,
}

impl Wire {
    pub fn new(homes: usize, rng: StdRng, trace: Trace) -> Arc<Self> {
        let state = State {
            rng,
            links: vec![vec![Link::WELL; homes]; homes],
            doors: vec![None; homes],
            lying: false,
            in_vain: vec![0; homes],
            joined_in_trouble: BTreeSet::new(),
            in_trouble: false,
            under_way: 0,
            last: Instant::now(),
        };
        Arc::new(Self { trace, state: Mutex::new(state) })
    }

    /// What `from` calls to reach `to`.
    pub fn towards(self: &Arc<Self>, from: usize, to: usize, life: &CancellationToken) -> Router {
        let (wire, life) = (Arc::clone(self), life.clone());
        Router::new().fallback(move |request: Request| {
            let (wire, life) = (Arc::clone(&wire), life.clone());
            async move {
                if life.is_cancelled() {
                    return std::future::pending().await;
                }
                wire.carry(from, to, request).await
            }
        })
    }

    pub fn open(&self, home: usize, router: Router, life: CancellationToken) {
        self.state.lock().doors[home] = Some(Door { router, life });
    }

    /// From now on some transactions are answered and never delivered.
    pub fn lie(&self) {
        self.state.lock().lying = true;
    }

    /// From now on not all is well.
    pub fn trouble(&self) {
        self.state.lock().in_trouble = true;
    }

    /// Whether a homeserver may have joined a room when it could not get all keys.
    pub fn may_have_missed_keys(&self, home: usize) -> bool {
        let state = self.state.lock();
        state.joined_in_trouble.contains(&home) && state.in_vain[home] > 0
    }

    pub fn close(&self, home: usize) {
        self.state.lock().doors[home] = None;
    }

    pub fn change(&self, mut change: impl FnMut(usize, usize, &mut Link)) {
        for (from, links) in self.state.lock().links.iter_mut().enumerate() {
            for (to, link) in links.iter_mut().enumerate() {
                change(from, to, link);
            }
        }
    }

    /// How long nothing has moved; nothing while something is under way.
    pub fn quiet_for(&self) -> Duration {
        let state = self.state.lock();
        match state.under_way {
            0 => state.last.elapsed(),
            _ => Duration::ZERO,
        }
    }

    fn chance(&self, from: usize, to: usize) -> Chance {
        let state = &mut *self.state.lock();
        let link = state.links[from][to];
        let delay =
            Duration::from_millis(state.rng.random_range(link.delay_ms.0..=link.delay_ms.1));
        let lost = state.rng.random_ratio(link.lost, OF);
        let repeated = state
            .rng
            .random_ratio(link.repeated, OF)
            .then(|| Duration::from_millis(state.rng.random_range(0..=REPEATED_MS_MAX)));
        let lied = state.lying && state.rng.random_ratio(1, LIES_ONE_IN);
        Chance { lied, delay, lost, repeated, cut: link.cut }
    }

    fn cut(&self, from: usize, to: usize) -> Cut {
        self.state.lock().links[from][to].cut
    }

    async fn carry(self: Arc<Self>, from: usize, to: usize, request: Request) -> Response {
        let _under_way = UnderWay::new(&self);
        let (head, body) = request.into_parts();
        let what = format!("{} {}", head.method, head.uri.path());
        self.count(from, &what);
        let body =
            axum::body::to_bytes(body, BODY_BYTES_MAX).await.expect("a request is in memory");
        let there = self.chance(from, to);
        if there.lied && what.contains("/send/") {
            self.note(from, to, &what, "swallowed, and answered");
            return Response::new(Body::from(r#"{"pdus":{}}"#));
        }
        if there.lost {
            self.note(from, to, &what, "lost");
            return std::future::pending().await;
        }
        self.pass(from, to, &what, there.cut).await;
        if let Some(later) = there.repeated {
            let (wire, head, body, what) =
                (Arc::clone(&self), head.clone(), body.clone(), what.clone());
            tokio::spawn(async move {
                sleep(later).await;
                wire.note(from, to, &what, "arrives again");
                drop(wire.deliver(to, head, body).await);
            });
        }
        sleep(there.delay).await;
        self.pass(from, to, &what, self.cut(from, to)).await;
        let Some(answer) = self.deliver(to, head, body).await else {
            self.note(from, to, &what, "nobody is there");
            broken()
        };
        let back = self.chance(to, from);
        sleep(back.delay).await;
        if back.lost {
            self.note(from, to, &what, "its answer is lost");
            return std::future::pending().await;
        }
        self.pass(from, to, &what, self.cut(to, from)).await;
        self.note(from, to, &what, answer.status());
        self.state.lock().in_vain[from] -= 1;
        answer
    }

    fn count(&self, from: usize, what: &str) {
        let state = &mut *self.state.lock();
        state.in_vain[from] += 1;
        if state.in_trouble && what.contains("/send_join/") {
            state.joined_in_trouble.insert(from);
        }
    }

    /// Lets nothing pass a cut.
    async fn pass(&self, from: usize, to: usize, what: &str, cut: Cut) {
        match cut {
            Cut::No => {}
            Cut::Refused => {
                self.note(from, to, what, "refused");
                broken()
            }
            Cut::Silent => {
                self.note(from, to, what, "swallowed");
                std::future::pending().await
            }
        }
    }

    /// The answer of the homeserver, if it lives until it has answered. It works on, even if the
    /// caller has lost his patience.
    async fn deliver(
        self: &Arc<Self>,
        to: usize,
        head: http::request::Parts,
        body: Bytes,
    ) -> Option<Response> {
        let Door { router, life } = self.state.lock().doors[to].clone()?;
        let wire = Arc::clone(self);
        let work = tokio::spawn(async move {
            let _under_way = UnderWay::new(&wire);
            let request = Request::from_parts(head, Body::from(body));
            let (head, body) = router.oneshot(request).await.expect("it cannot fail").into_parts();
            let body = body.collect().await.expect("an answer is in memory").to_bytes();
            Response::from_parts(head, Body::from(body))
        });
        let abort = work.abort_handle();
        match life.run_until_cancelled(work).await {
            Some(answer) => Some(answer.expect("no handler panics")),
            None => {
                abort.abort();
                None
            }
        }
    }

    fn note(&self, from: usize, to: usize, what: &str, how: impl std::fmt::Display) {
        self.state.lock().last = Instant::now();
        self.trace.note(format!("s{from}>s{to}"), format!("{what}: {how}"));
    }
}

/// Breaks the connection: the transport takes an unwinding router for that.
fn broken() -> ! {
    std::panic::resume_unwind(Box::new("the connection is broken"))
}

/// Counts what is under way.
struct UnderWay(Arc<Wire>);

impl UnderWay {
    fn new(wire: &Arc<Wire>) -> Self {
        wire.state.lock().under_way += 1;
        Self(Arc::clone(wire))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.under_way -= 1;
        state.last = Instant::now();
    }
}
