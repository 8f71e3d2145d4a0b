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
const PATIENCE: Duration = Duration::from_secs(8);
/// How often slower a case may be than when it was played alone.
const SLOWER: u32 = 4;
/// Without these no case can be played: that it needs them proves nothing.
const SCENERY: [&str; 2] =
    ["POST /_matrix/client/v3/register", "POST /_matrix/client/v3/createRoom"];

/// Breaks everything for everybody.
pub async fn run(theatre: &Arc<Theatre>, cases: &[Case], at_once: usize) -> ExitCode {
    let learned = stream::iter(cases).map(|case| learn(theatre, case)).buffered(at_once);
    let learned = learned.collect::<Vec<_>>().await;
    let faults = cases.iter().zip(learned).flat_map(|(case, (faults, took))| {
        faults.into_iter().map(move |fault| (case, fault, took))
    });
    let tried = stream::iter(faults).map(|(case, fault, took)| async move {
        let noticed = notices(theatre, case, fault.clone(), took).await;
        (case.name, fault, noticed)
    });
    let tried = tried.buffered(at_once).collect::<Vec<_>>().await;
    report(cases, &tried)
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

fn report(cases: &[Case], tried: &[(&str, Spoilt, bool)]) -> ExitCode {
    let mut untrusted = Vec::new();
    for case in cases {
        let of_case = tried.iter().filter(|(name, ..)| *name == case.name).collect::<Vec<_>>();
        let noticed = of_case.iter().filter(|(.., noticed)| *noticed).count();
        println!("case {} notices {noticed} of {} faults", case.name, of_case.len());
        for (_, Spoilt { endpoint, fault }, _) in of_case.iter().filter(|(.., noticed)| !noticed) {
            println!("    not noticed: {} {endpoint}", word(*fault));
        }
        let is_scenery = |spoilt: &Spoilt| SCENERY.contains(&spoilt.endpoint.as_str());
        let all_is_scenery = of_case.iter().all(|(_, spoilt, _)| is_scenery(spoilt));
        let proves = |spoilt: &Spoilt| all_is_scenery || !is_scenery(spoilt);
        if !of_case.iter().any(|(_, spoilt, noticed)| *noticed && proves(spoilt)) {
            untrusted.push(case.name);
        }
    }
    let noticed = tried.iter().filter(|(.., noticed)| *noticed).count();
    println!("\n{noticed} of {} faults were noticed", tried.len());
    if untrusted.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("not to be trusted: {}", untrusted.join(", "));
    ExitCode::FAILURE
}

fn word(fault: Fault) -> &'static str {
    match fault {
        Fault::Empty => "an empty answer of",
        Fault::Idle => "no effect of",
        Fault::Lax => "permission by",
        Fault::Mute => "silence",
    }
}
