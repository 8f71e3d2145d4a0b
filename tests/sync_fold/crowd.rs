//! The users, their devices and what each device believes.

use crate::actions;
use harness::{Account, Server, View, differences, patiently};
use rand::{RngExt, rngs::StdRng};
use serde_json::{Value, json};
use std::time::Duration;

const USERS: usize = 3;
const ROOMS: usize = 3;
/// Every so many steps, somebody syncs.
const STEPS_PER_SYNC: u32 = 3;
const SETTLING: Duration = Duration::from_secs(3);

/// All that a random run holds.
pub struct Crowd {
    pub users: Vec<Account>,
    pub rooms: Vec<String>,
    /// Events that somebody sent: (room, event id).
    pub events: Vec<(String, String)>,
    pub rng: StdRng,
    devices: Vec<Device>,
    /// To-device messages per user, in the order of sending.
    pub sent_to_device: Vec<(String, u64)>,
}

/// A device, and what it made of its syncs.
struct Device {
    account: Account,
    view: View,
    lazy: bool,
    /// An older state of the view, from which a client that was restored from a backup goes on.
    bookmark: Option<View>,
}

impl Crowd {
    /// Registers the users and makes rooms in which all are.
    pub async fn new(server: &Server, world: usize, rng: StdRng) -> Self {
        let mut users = Vec::new();
        let mut devices = Vec::new();
        for number in 0..USERS {
            let user = server.register(&format!("user{number}-{world}")).await;
            for (filter, lazy) in filters() {
                let account = user.log_in_again().await;
                let view = filter.map_or_else(View::default, |filter| View::filtered(&filter));
                devices.push(Device { account, view, lazy, bookmark: None });
            }
            users.push(user);
        }
        let mut crowd = Self {
            users,
            rooms: Vec::new(),
            events: Vec::new(),
            rng,
            devices,
            sent_to_device: Vec::new(),
        };
        for _ in 0..ROOMS {
            actions::create_room(&mut crowd).await;
        }
        crowd
    }

    /// Somebody does something, and now and then a device syncs.
    pub async fn step(&mut self) {
        actions::random(self).await;
        if self.rng.random_ratio(1, STEPS_PER_SYNC) {
            let index = self.rng.random_range(0..self.devices.len());
            let bookmark = self.rng.random_ratio(1, 4);
            let device = &mut self.devices[index];
            device.account.sync(&mut device.view, false).await;
            println!("  sync of {}", device.name());
            if bookmark && !device.lazy {
                device.bookmark = Some(device.view.clone());
            }
        }
    }

    /// Brings every device up to date and compares it with a fresh start.
    pub async fn check(&mut self) {
        let mut wrong = Vec::new();
        for device in &mut self.devices {
            // What a user did may go on for a moment behind the answer: a new name reaches one
            // room after another. What is wrong stays wrong.
            let mut lines = Vec::new();
            let settled = patiently(SETTLING, async || {
                lines = device.check().await;
                lines.is_empty().then_some(())
            });
            if settled.await.is_none() {
                wrong.extend(lines);
            }
            let user = &device.account.user_id;
            let sent = self.sent_to_device.iter().filter(|(to, _)| to == user);
            let sent = sent.map(|(_, number)| json!(number)).collect::<Vec<_>>();
            let got = device.view.to_device.iter().map(|e| e["content"]["number"].clone());
            let got = got.collect::<Vec<_>>();
            if got != sent {
                wrong.push(format!("{}: to-device {got:?} instead of {sent:?}", device.name()));
            }
        }
        assert!(wrong.is_empty(), "folded | fresh:\n{}", wrong.join("\n"));
    }

    /// A random one of a list.
    pub fn one_of<T: Clone>(&mut self, list: impl Fn(&Self) -> &[T]) -> Option<T> {
        let length = list(self).len();
        (length > 0).then(|| self.rng.random_range(0..length)).map(|n| list(self)[n].clone())
    }
}

impl Device {
    async fn check(&mut self) -> Vec<String> {
        self.account.sync(&mut self.view, false).await;
        let mut fresh = match self.view.filter() {
            None => View::default(),
            Some(filter) => View::filtered(&serde_json::from_str(filter).expect("our filter")),
        };
        self.account.sync(&mut fresh, false).await;
        let mut wrong = differences(&self.view, &fresh, self.lazy);
        if let Some(old) = &mut self.bookmark {
            self.account.sync(old, false).await;
            let from_old = differences(old, &fresh, self.lazy);
            wrong.extend(from_old.into_iter().map(|line| format!("from a bookmark: {line}")));
        }
        wrong.into_iter().map(|line| format!("{}: {line}", self.name())).collect()
    }

    fn name(&self) -> String {
        format!("{} {}", self.account.user_id, self.view.filter().unwrap_or("unfiltered"))
    }
}

/// What devices ask for, and whether they load members lazily.
fn filters() -> [(Option<Value>, bool); 3] {
    let short = json!({ "room": { "timeline": { "limit": 2 } } });
    let lazy = json!({
        "room": { "timeline": { "limit": 4 }, "state": { "lazy_load_members": true } },
    });
    [(None, false), (Some(short), false), (Some(lazy), true)]
}
