//! What the caller of `cargo test` may choose, through the environment.

use std::path::PathBuf;

/// Repeats a random run: `KONTOR_SEED=17 cargo test ...`.
const SEED: &str = "KONTOR_SEED";
/// `TARGET=synapse` runs a suite against Synapse: a control of the suite itself.
const TARGET: &str = "TARGET";

/// The seed of a random run; it is printed, so that a failure can be repeated.
pub fn seed() -> u64 {
    let seed = variable(SEED).map_or_else(rand::random::<u32>, |text| {
        text.parse().unwrap_or_else(|_| panic!("{SEED} is not a number: {text}"))
    });
    println!("to repeat this run: {SEED}={seed}");
    seed.into()
}

/// The seed that the caller wants repeated, if any.
pub fn chosen_seed() -> Option<u64> {
    variable(SEED).map(|_| seed())
}

/// A number from the environment, or `otherwise`.
pub fn number(name: &str, otherwise: usize) -> usize {
    variable(name).map_or(otherwise, |text| {
        text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}"))
    })
}

/// Is this run a control against Synapse?
pub fn target_is_synapse() -> bool {
    match variable(TARGET).as_deref() {
        None | Some("kontor") => false,
        Some("synapse") => true,
        Some(other) => panic!("{TARGET} is neither kontor nor synapse: {other}"),
    }
}

/// Where tools/setup.sh puts what it builds.
pub(crate) fn cache() -> PathBuf {
    if let Some(cache) = variable("KONTOR_CACHE") {
        return cache.into();
    }
    let base = variable("XDG_CACHE_HOME").map_or_else(
        || PathBuf::from(variable("HOME").expect("HOME is set")).join(".cache"),
        PathBuf::from,
    );
    base.join("kontor")
}

#[expect(clippy::disallowed_methods, reason = "a test has no configuration file to be read from")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}
