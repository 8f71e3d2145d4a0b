//! The command `kontor-bench`: runs the workloads against each target in turn, and writes the page.

use bench::{ALL, Bench, Machine, Run, Scale, Target, Workload, markdown, svg};
use clap::Parser;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Measures what homeservers cost.
#[derive(Debug, Parser)]
struct Arguments {
    /// The release binary of Kontor.
    #[arg(long, value_name = "FILE")]
    kontor: PathBuf,
    /// Run Synapse too, in turn, and compare.
    #[arg(long)]
    synapse: bool,
    /// How thoroughly.
    #[arg(long, value_enum, default_value = "full")]
    scale: Scale,
    /// Only these workloads.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// The folder for results.md and results.svg; notes.md in it is put at the page's end.
    /// Without it, the page goes to the terminal.
    #[arg(long, value_name = "FOLDER")]
    results: Option<PathBuf>,
}

// One thread: what the generator does not use, the servers have.
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments = Arguments::parse();
    let kontor = std::path::absolute(&arguments.kontor).expect("a path");
    let mut targets = vec![Target::Kontor(kontor)];
    if arguments.synapse {
        targets.push(Target::Synapse);
    }
    let mut runs = Vec::new();
    for target in targets {
        runs.push(run(target, &arguments).await);
    }
    let machine = machine();
    let Some(folder) = arguments.results else {
        println!("{}", markdown(&machine, &runs, ""));
        return;
    };
    let notes = std::fs::read_to_string(folder.join("notes.md")).unwrap_or_default();
    write(&folder.join("results.md"), &markdown(&machine, &runs, &notes));
    write(&folder.join("results.svg"), &svg(&runs));
}

async fn run(target: Target, arguments: &Arguments) -> Run {
    let (name, durability) = (target.name(), target.durability());
    let bench = Bench::new(target, arguments.scale);
    let (mut figures, mut loads) = (Vec::new(), Vec::new());
    for workload in ALL.iter().filter(|workload| wanted(workload, &arguments.only)) {
        loads.push(first_words("/proc/loadavg", 1));
        eprintln!("{name}: {} (load {})", workload.name, loads.last().expect("it was pushed"));
        let started = tokio::time::Instant::now();
        let found = (workload.run)(bench.clone()).await;
        for figure in &found {
            let (measure, size) = (figure.measure, figure.size);
            eprintln!("    {} [{size}]: {}", measure.title, measure.unit.show(figure.value));
        }
        eprintln!("    took {:.0?}", started.elapsed());
        figures.extend(found);
    }
    Run { target: name, durability, load: loads.join(", "), figures }
}

fn wanted(workload: &Workload, only: &[String]) -> bool {
    only.is_empty() || only.iter().any(|name| name == workload.name)
}

fn machine() -> Machine {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let of = |key: &str| {
        let mut lines = cpu.lines().filter(|line| line.starts_with(key));
        lines.next().and_then(|line| line.split_once(": ")).map_or("?", |(_, value)| value)
    };
    let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let disk = said("stat", &["-f", "-c", "%T", &std::env::temp_dir().display().to_string()]);
    let kernel = said("uname", &["-sr"]);
    let memory = first_words("/proc/meminfo", 3);
    Machine {
        date: said("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
        commit: said("git", &["describe", "--always", "--dirty", "--abbrev=12"]),
        hardware: format!("{cores} × {}, {memory}, {kernel}, {disk}", of("model name")),
    }
}

fn first_words(file: &str, count: usize) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.split_whitespace().take(count).collect::<Vec<_>>().join(" ")
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.unwrap_or_else(|_| "?".into())
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    eprintln!("wrote {}", path.display());
}
