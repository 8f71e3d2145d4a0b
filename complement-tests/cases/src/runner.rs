//! Plays the cases at the same time and says what came of them, in the manner of `cargo test`.

use crate::{
    areas,
    case::{Case, Failure},
    deviations::Deviations,
    distrust,
    stage::Stage,
    tap::Wire,
    theatre::Theatre,
};
use clap::Parser;
use futures_util::{StreamExt, stream};
use harness::target_is_synapse;
use std::{path::Path, process::ExitCode, sync::Arc, time::Duration};
use tokio::time::{Instant, timeout};

/// A case that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(240);

/// Plays the conformance cases. `TARGET=synapse` plays them on Synapse.
#[derive(Debug, Parser)]
struct Arguments {
    /// Only cases with one of these texts in their names.
    filters: Vec<String>,
    /// Says which cases there are.
    #[arg(long)]
    list: bool,
    /// The filters are whole names.
    #[arg(long)]
    exact: bool,
    /// Breaks the server in every way that a case could see, and says what no case noticed.
    #[arg(long)]
    distrust: bool,
    /// How many cases at the same time.
    #[arg(long, default_value_t = 6)]
    test_threads: usize,
    /// As for other test binaries; says nothing here.
    #[arg(long, hide = true)]
    nocapture: bool,
}

/// What came of a case.
enum Outcome {
    Held,
    Deviates,
    Failed(String),
}

/// The whole of a test binary, for a `kontor` that was just built.
pub fn main(kontor: &str) -> ExitCode {
    let arguments = Arguments::parse();
    let mut cases = areas::cases();
    cases.retain(|case| arguments.wants(case.name));
    if arguments.list {
        cases.iter().for_each(|case| println!("{}: test", case.name));
        return ExitCode::SUCCESS;
    }
    if cases.is_empty() {
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let theatre = Theatre::open(Path::new(kontor), arguments.distrust).await;
        let theatre = Arc::new(theatre);
        if arguments.distrust {
            return distrust::run(&theatre, &cases, arguments.test_threads).await;
        }
        run(&theatre, &cases, arguments.test_threads).await
    })
}

impl Arguments {
    fn wants(&self, name: &str) -> bool {
        let fits = |filter: &String| name == filter || (!self.exact && name.contains(filter));
        self.filters.is_empty() || self.filters.iter().any(fits)
    }
}

async fn run(theatre: &Arc<Theatre>, cases: &[Case], at_once: usize) -> ExitCode {
    let deviations =
        if target_is_synapse() { Deviations::of_synapse() } else { Deviations::default() };
    let begun = Instant::now();
    println!("\nrunning {} cases", cases.len());
    let played = stream::iter(cases).map(|case| play(theatre, &deviations, case));
    let mut played = played.buffer_unordered(at_once);
    let (mut held, mut known, mut failed) = (0, 0, Vec::new());
    while let Some((name, outcome, took)) = played.next().await {
        let word = match outcome {
            Outcome::Held => "ok",
            Outcome::Deviates => "deviates, as known",
            Outcome::Failed(_) => "FAILED",
        };
        println!("test {name} ... {word} ({:.1} s)", took.as_secs_f32());
        match outcome {
            Outcome::Held => held += 1,
            Outcome::Deviates => known += 1,
            Outcome::Failed(why) => failed.push((name, why)),
        }
    }
    for (name, why) in &failed {
        println!("\n---- {name} ----\n{why}");
    }
    if !failed.is_empty() {
        theatre.show_logs();
        println!("\nfailures:");
        failed.iter().for_each(|(name, _)| println!("    {name}"));
    }
    let result = if failed.is_empty() { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {result}. {held} passed; {} failed; {known} deviate as known; finished in {:.1} s\n",
        failed.len(),
        begun.elapsed().as_secs_f32()
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn play<'a>(
    theatre: &Arc<Theatre>,
    deviations: &Deviations,
    case: &'a Case,
) -> (&'a str, Outcome, Duration) {
    let begun = Instant::now();
    let stage = Stage::new(Arc::clone(theatre), Arc::new(Wire::default()));
    let failures = timeout(PATIENCE, case.play(stage.clone())).await.unwrap_or_else(|_| {
        let mut failures = stage.failures();
        failures.push(Failure { row: None, why: format!("no end after {PATIENCE:?}") });
        failures
    });
    (case.name, judge(deviations, case.name, &failures), begun.elapsed())
}

fn judge(deviations: &Deviations, name: &str, failures: &[Failure]) -> Outcome {
    let mut complaints = Vec::new();
    for failure in failures.iter().filter(|failure| !deviations.explain(name, failure)) {
        let row = failure.row.as_deref().map(|row| format!("[{row}] ")).unwrap_or_default();
        complaints.push(format!("{row}{}", failure.why));
    }
    for row in deviations.gone(name, failures) {
        complaints.push(format!("[{row}] is listed as a deviation, and holds"));
    }
    match (complaints.is_empty(), failures.is_empty()) {
        (true, true) => Outcome::Held,
        (true, false) => Outcome::Deviates,
        (false, _) => Outcome::Failed(complaints.join("\n")),
    }
}
