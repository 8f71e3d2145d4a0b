//! What goes wrong around the homeservers: links, disks and power.

use std::time::Duration;

use rand::{RngExt, rngs::StdRng};

use crate::wire::{Cut, Link};

/// One thing that goes wrong, or well again.
#[derive(Clone, Debug)]
pub enum Weather {
    /// All links are well again.
    Calm,
    /// The homeservers of the group and the others cannot reach each other.
    Partition {
        group: Vec<usize>,
        cut: Cut,
    },
    /// The first cannot reach the second, but the second the first.
    OneWay {
        from: usize,
        to: usize,
        cut: Cut,
    },
    /// Whatever goes to this homeserver takes very long.
    Slow {
        home: usize,
        delay_ms: (u64, u64),
    },
    /// Every link delays and loses and repeats; so it reorders, too.
    Storm {
        delay_ms: u64,
        lost: u32,
        repeated: u32,
    },
    Crash {
        home: usize,
        down: Duration,
    },
    SlowDisk {
        home: usize,
        sync_ms: u64,
    },
    FullDisk {
        home: usize,
        full: Duration,
    },
}

impl Weather {
    pub fn random(rng: &mut StdRng, homes: usize) -> Self {
        let home = rng.random_range(0..homes);
        let cut = if rng.random_ratio(1, 3) { Cut::Silent } else { Cut::Refused };
        match rng.random_range(0..12) {
            0 | 1 => Self::Calm,
            2 | 3 => {
                let group = (0..homes).filter(|_| rng.random_ratio(1, 2)).collect();
                Self::Partition { group, cut }
            }
            4 => Self::OneWay { from: home, to: (home + 1) % homes, cut },
            5 => Self::Slow { home, delay_ms: (2_000, rng.random_range(5_000..70_000)) },
            6 | 7 => Self::Storm {
                delay_ms: rng.random_range(50..8_000),
                lost: rng.random_range(0..300),
                repeated: rng.random_range(0..300),
            },
            8 | 9 => Self::Crash { home, down: Duration::from_secs(rng.random_range(0..40)) },
            10 => Self::SlowDisk { home, sync_ms: rng.random_range(100..1_500) },
            _ => Self::FullDisk { home, full: Duration::from_secs(rng.random_range(1..15)) },
        }
    }

    /// How it changes a link; nothing for what is no matter of links.
    pub fn blow(&self, from: usize, to: usize, link: &mut Link) {
        match self {
            Self::Calm => *link = Link::WELL,
            Self::Partition { group, cut } => {
                if group.contains(&from) != group.contains(&to) {
                    link.cut = *cut;
                }
            }
            Self::OneWay { from: cut_from, to: cut_to, cut } => {
                if (from, to) == (*cut_from, *cut_to) {
                    link.cut = *cut;
                }
            }
            Self::Slow { home, delay_ms } => {
                if to == *home {
                    link.delay_ms = *delay_ms;
                }
            }
            Self::Storm { delay_ms, lost, repeated } => {
                *link =
                    Link { delay_ms: (0, *delay_ms), lost: *lost, repeated: *repeated, ..*link };
            }
            Self::Crash { .. } | Self::SlowDisk { .. } | Self::FullDisk { .. } => {}
        }
    }
}
