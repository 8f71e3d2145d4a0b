//! The load generator at work, so small that it measures nothing: it must not rot between the days
//! on which somebody measures.

use bench::{ALL, Bench, Figure, Scale, Target, Workload, unmeasured};

#[tokio::test]
async fn every_workload_runs_and_measures_what_the_aims_are_about() {
    let target = Target::Kontor(env!("CARGO_BIN_EXE_kontor").into());
    let figures = run(target, ALL).await;
    assert_eq!(unmeasured(&figures), Vec::<&str>::new(), "aims that nothing measures");
}

#[tokio::test]
async fn the_generator_loads_synapse_just_as_well() {
    let of_both = ALL.iter().filter(|workload| ["send", "delivery"].contains(&workload.name));
    run(Target::Synapse, &of_both.copied().collect::<Vec<_>>()).await;
}

async fn run(target: Target, workloads: &[Workload]) -> Vec<Figure> {
    let bench = Bench::new(target, Scale::Smoke);
    let mut figures = Vec::new();
    for workload in workloads {
        let found = (workload.run)(bench.clone()).await;
        assert!(!found.is_empty(), "{} measures nothing", workload.name);
        for Figure { measure, value, .. } in &found {
            assert!(value.is_finite(), "{}: {value}", measure.title);
            assert!(measure.title != "lost wake-ups" || *value == 0.0, "lost wake-ups: {value}");
        }
        figures.extend(found);
    }
    figures
}
