//! No case is trusted before it was seen to fail: the server is broken for it, endpoint by endpoint.
//!
//! A case is played once, to learn which endpoints it meets and how they answer. Then it is played
//! again for each way in which one of them could be broken ([`Fault`](crate::tap::Fault)), and has
//! to notice. What a case does not notice is listed; a case that notices nothing beyond what is
//! needed to play at all is not trusted.

use crate::{
    case::Case,
    stage::Stage,
    tap::{Fault, Spoilt, Wire},
    theatre::Theatre,
};
use futures_util::{StreamExt, stream};
use std::{process::ExitCode, sync::Arc, time::Duration};
use tokio::time::{Instant, timeout};

/// A broken server may make a case wait; who waits longer than this has noticed.
const PATIENCE: Duration = Duration::from_secs(4);
/// How often slower a case may be than when it was played alone.
const SLOWER: u32 = 3;
/// A case is played for so many faults at the same time.
const FAULTS_AT_ONCE: usize = 4;
/// Without these no case can be played: that it needs them proves nothing.
const SCENERY: [&str; 2] =
    ["POST /_matrix/client/v3/register", "POST /_matrix/client/v3/createRoom"];

/// What a case made of each fault: did it notice?
type Tried = Vec<(Spoilt, bool)>;

/// Breaks everything for everybody.
pub async fn run(theatre: &Arc<Theatre>, cases: &[Case], at_once: usize) -> ExitCode {
    let tried =
        stream::iter(cases).map(|case| async move { (case, distrust(theatre, case).await) });
    let mut tried = tried.buffer_unordered(at_once);
    let (mut all, mut noticed, mut untrusted) = (0, 0, Vec::new());
    while let Some((case, tried)) = tried.next().await {
        all += tried.len();
        noticed += tried.iter().filter(|(_, noticed)| *noticed).count();
        report(case, &tried);
        if !is_trusted(&tried) {
            untrusted.push(case.name);
        }
    }
    println!("\n{noticed} of {all} faults were noticed");
    if untrusted.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("not to be trusted: {}", untrusted.join(", "));
    ExitCode::FAILURE
}

async fn distrust(theatre: &Arc<Theatre>, case: &Case) -> Tried {
    let (faults, took) = learn(theatre, case).await;
    let tried = stream::iter(faults).map(|fault| async move {
        let noticed = notices(theatre, case, fault.clone(), took).await;
        (fault, noticed)
    });
    tried.buffered(FAULTS_AT_ONCE).collect().await
}

async fn learn(theatre: &Arc<Theatre>, case: &Case) -> (Vec<Spoilt>, Duration) {
    let wire = Arc::new(Wire::default());
    let begun = Instant::now();
    let failures = case.play(Stage::new(Arc::clone(theatre), Arc::clone(&wire))).await;
    if !failures.is_empty() {
        // It is red anyway; nothing can be learned from it.
        println!("case {} fails on a server that nobody broke: {failures:?}", case.name);
        return (Vec::new(), begun.elapsed());
    }
    (wire.possible_faults().into_iter().collect(), begun.elapsed())
}

async fn notices(theatre: &Arc<Theatre>, case: &Case, fault: Spoilt, took: Duration) -> bool {
    let stage = Stage::new(Arc::clone(theatre), Arc::new(Wire::spoiling(fault)));
    let played = timeout(took * SLOWER + PATIENCE, case.play(stage.clone())).await;
    played.map_or(true, |failures| !failures.is_empty())
}

fn report(case: &Case, tried: &Tried) {
    let noticed = tried.iter().filter(|(_, noticed)| *noticed).count();
    println!("case {} notices {noticed} of {} faults", case.name, tried.len());
    for (Spoilt { endpoint, fault }, _) in tried.iter().filter(|(_, noticed)| !noticed) {
        println!("    not noticed: {} {endpoint}", word(*fault));
    }
}

/// Whether the case notices anything beyond the scenery, unless the scenery is what it is about.
fn is_trusted(tried: &Tried) -> bool {
    let is_scenery = |spoilt: &Spoilt| SCENERY.contains(&spoilt.endpoint.as_str());
    let all_is_scenery = tried.iter().all(|(spoilt, _)| is_scenery(spoilt));
    tried.iter().any(|(spoilt, noticed)| *noticed && (all_is_scenery || !is_scenery(spoilt)))
}

fn word(fault: Fault) -> &'static str {
    match fault {
        Fault::Empty => "an empty answer of",
        Fault::Idle => "no effect of",
        Fault::Lax => "permission by",
        Fault::Mute => "silence",
    }
}
