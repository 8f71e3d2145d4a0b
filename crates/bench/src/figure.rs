//! What was measured.

/// A quantity, as every target's servers have it.
#[derive(Debug, PartialEq, Eq)]
pub struct Measure {
    /// What it is, as the report says it.
    pub title: &'static str,
    /// What its numbers are.
    pub unit: Unit,
    /// What it depends on, if it is measured at several sizes: "members", say.
    pub over: Option<&'static str>,
}

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Processor or wall time.
    Microseconds,
    /// Wall time.
    Milliseconds,
    /// Memory or disk.
    Bytes,
    /// More is better.
    PerSecond,
    /// A plain count.
    Count,
}

/// One measured value.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// Of what.
    pub measure: &'static Measure,
    /// At which size of what it depends on; 0 if it depends on nothing.
    pub size: u64,
    /// The value.
    pub value: f64,
}

impl Measure {
    /// A value that depends on nothing.
    pub fn is(&'static self, value: f64) -> Figure {
        self.at(0, value)
    }

    /// A value at a size.
    pub fn at(&'static self, size: u64, value: f64) -> Figure {
        Figure { measure: self, size, value }
    }
}

impl Unit {
    /// The value as people read it.
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Microseconds if value.abs() >= 10_000.0 => format!("{} ms", short(value / 1e3)),
            Self::Microseconds => format!("{} µs", short(value)),
            Self::Milliseconds => format!("{} ms", short(value)),
            Self::Bytes if value.abs() >= 1_048_576.0 => {
                format!("{} MiB", short(value / 1_048_576.0))
            }
            Self::Bytes if value.abs() >= 10_240.0 => format!("{} KiB", short(value / 1_024.0)),
            Self::Bytes => format!("{} B", short(value)),
            Self::PerSecond => format!("{}/s", short(value)),
            Self::Count => short(value),
        }
    }

    /// Whether a larger value is the better one.
    pub fn more_is_better(self) -> bool {
        self == Self::PerSecond
    }
}

/// Three digits, or all of a large number.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || size == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// The value below which this part of the sorted values lies.
pub(crate) fn quantile(values: &mut [f64], part: f64) -> f64 {
    assert!(!values.is_empty(), "nothing was measured");
    values.sort_by(f64::total_cmp);
    let last = values.len() - 1;
    values[((last as f64 * part).round() as usize).min(last)]
}

#[cfg(test)]
mod tests;
