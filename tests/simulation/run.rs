//! One run: a calm beginning, a troubled time, and the peace in which everything must become right.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use services::rooms::create::{NewRoom, Preset};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{
    acts::{Act, Deed, Room},
    check,
    eyes::Eyes,
    home::Home,
    ledger::Ledger,
    script::{self, Person},
    trace::Trace,
    weather::Weather,
    wire::{Link, Wire},
};

/// Acts of a run.
const ACTS: std::ops::Range<u64> = 20..50;
/// Until the weather changes, in milliseconds.
const WEATHER_MS: std::ops::Range<u64> = 500..9_000;
/// Nothing has moved for so long: nobody is about to move.
const QUIET: Duration = Duration::from_secs(20);
/// Everything must have become quiet by then: longer than any pause between two attempts.
const QUIET_WITHIN: Duration = Duration::from_secs(3 * 60 * 60);
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// An act may wait for that many servers that do not answer.
const ACT_TIME_MAX: Duration = Duration::from_secs(30 * 60);

/// What is broken on purpose, so that it can be seen that breaking is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// The network swallows some transactions and answers that they arrived.
    LoseTransactions,
    /// Readers are told of everything that their homeserver has.
    ShowEverything,
    /// Disks say that they have synced what a crash will lose.
    LoseWrites,
}

/// How a run ended.
#[derive(Debug, Default)]
pub struct Outcome {
    pub seed: u64,
    /// What is wrong; nothing is.
    pub complaints: Vec<String>,
    pub story: Vec<String>,
    pub counts: check::Counts,
}

/// Everything in a run.
pub struct World {
    pub homes: Vec<Home>,
    pub wire: Arc<Wire>,
    pub people: Vec<Person>,
    pub rooms: Vec<Room>,
    /// Homeservers vouch for each other's keys.
    pub notaries: bool,
    pub ledger: Ledger,
    pub eyes: Eyes,
    pub trace: Trace,
    rng: StdRng,
    acts: JoinSet<()>,
    said: u64,
}

/// Runs a seed from its beginning to its end, in a world of its own.
pub fn seed(seed: u64, loud: bool, sabotage: Option<Sabotage>) -> Outcome {
    if loud {
        // What the homeservers themselves say stands between the steps.
        let log = tracing_subscriber::fmt().without_time().with_ansi(false).with_test_writer();
        let log = log.with_env_filter("info,ruma_state_res=off");
        return tracing::subscriber::with_default(log.finish(), || lived(seed, loud, sabotage));
    }
    lived(seed, loud, sabotage)
}

fn lived(seed: u64, loud: bool, sabotage: Option<Sabotage>) -> Outcome {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let mut world = World::new(seed, loud, sabotage).await;
        world.trouble().await;
        let mut outcome = Outcome { seed, ..Outcome::default() };
        outcome.complaints = world.peace(sabotage, &mut outcome.counts).await;
        outcome.story = world.trace.lines();
        world.end();
        let mut told = BTreeSet::new();
        outcome.complaints.retain(|complaint| told.insert(complaint.clone()));
        outcome
    })
}

impl World {
    /// Some companies with people, who are together in some rooms.
    async fn new(seed: u64, loud: bool, sabotage: Option<Sabotage>) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let began = Instant::now();
        let trace = Trace::new(began, loud);
        let count = rng.random_range(3..=5);
        let notaries = rng.random_ratio(3, 4);
        let wire = Wire::new(count, StdRng::seed_from_u64(rng.random()), trace.clone());
        let mut world = Self {
            homes: Vec::new(),
            wire,
            people: Vec::new(),
            rooms: Vec::new(),
            notaries,
            ledger: Ledger::default(),
            eyes: Eyes::default(),
            trace,
            rng,
            acts: JoinSet::new(),
            said: 0,
        };
        for number in 0..count {
            let skew_ms = world.rng.random_range(-3_000..3_000);
            let mut home = Home::new(number, seed, notaries, (began, skew_ms));
            if sabotage == Some(Sabotage::LoseWrites) {
                home.disk.lie();
            }
            home.start(count, &world.wire).await;
            for nth in 0..world.rng.random_range(1..=2) {
                let id = home.register(&format!("u{nth}")).await;
                world.people.push(Person { home: number, id });
            }
            world.homes.push(home);
        }
        for _ in 0..world.rng.random_range(1..=2) {
            world.make_room().await;
        }
        if sabotage == Some(Sabotage::LoseTransactions) {
            world.wire.lie();
        }
        world
    }

    async fn make_room(&mut self) {
        let creator = self.people[self.rng.random_range(0..self.people.len())].clone();
        let version = script::version(&mut self.rng);
        let public = self.rng.random_ratio(3, 4);
        let preset = if public { Preset::PublicChat } else { Preset::PrivateChat };
        let new = NewRoom::new(creator.id.clone(), version, preset);
        let running = self.homes[creator.home].running.clone().expect("it runs");
        let id = running.federation.services.rooms.create(new).await.expect("a room");
        self.trace.note(&creator.id, format!("creates {id}, version {version}"));
        let room = Room { id, version, creator: creator.id.clone() };
        for person in self.people.clone() {
            if person.id != creator.id && self.rng.random_ratio(2, 3) {
                let invite = Deed::Invite(person.id.clone());
                self.act(creator.home, &creator, &room, invite).await;
                let join = Deed::Join(script::via(&room));
                self.act(person.home, &person, &room, join).await;
            }
        }
        self.rooms.push(room);
    }

    /// Somebody does something, and everybody waits for it.
    async fn act(&mut self, home: usize, person: &Person, room: &Room, deed: Deed) {
        let act = Act { home, user: person.id.clone(), room: room.clone(), deed };
        self.start(act);
        while self.acts.join_next().await.is_some() {}
    }

    /// Lets somebody do something, while everything else goes on.
    fn start(&mut self, act: Act) {
        let home = act.home;
        let Some(running) = self.homes[home].running.clone() else { return };
        let (ledger, trace) = (self.ledger.clone(), self.trace.clone());
        self.acts.spawn(async move {
            let what = format!("{} in {}: {:?}", act.user, act.room.id, act.deed);
            trace.note(format!("s{home}"), &what);
            let acting = running.life.run_until_cancelled(act.perform(&running, &ledger));
            let answer = timeout(ACT_TIME_MAX, acting).await.expect("an act ends");
            let is_message = matches!(act.deed, Deed::Say(_));
            match answer {
                Some(Ok(done)) => trace.note(format!("s{home}"), format!("{what}: {done}")),
                Some(Err(why)) => {
                    trace.note(format!("s{home}"), format!("{what}: {why}"));
                    if is_message && why.contains("store") {
                        ledger.unanswered(act);
                    }
                }
                None => {
                    trace.note(format!("s{home}"), format!("{what}: no answer"));
                    if is_message {
                        ledger.unanswered(act);
                    }
                }
            }
        });
    }

    /// People act, and everything goes wrong.
    async fn trouble(&mut self) {
        let mut comebacks: Vec<(Instant, usize)> = Vec::new();
        let mut emptied: Vec<(Instant, usize)> = Vec::new();
        let mut next_weather = Instant::now();
        self.wire.trouble();
        for _ in 0..self.rng.random_range(ACTS) {
            sleep(script::pause(&mut self.rng)).await;
            let now = Instant::now();
            let due = |at: &mut (Instant, usize)| at.0 <= now;
            for (_, home) in comebacks.extract_if(.., due) {
                self.come_back(home).await;
            }
            for (_, home) in emptied.extract_if(.., due) {
                self.trace.note(format!("s{home}"), "the disk has space again");
                self.homes[home].disk.fill(false);
            }
            if next_weather <= now {
                let pause_ms = self.rng.random_range(WEATHER_MS);
                next_weather = now + Duration::from_millis(pause_ms);
                let weather = Weather::random(&mut self.rng, self.homes.len());
                self.change(&weather, &mut comebacks, &mut emptied);
            }
            let again = self.ledger.to_repeat(self.rng.random_range(0..self.homes.len()));
            self.said += 1;
            let act = again.unwrap_or_else(|| {
                script::act(&mut self.rng, &self.people, &self.rooms, &self.ledger, self.said)
            });
            self.start(act);
            self.somebody_looks();
        }
    }

    /// Somebody's client asks what is new, or nobody's.
    fn somebody_looks(&mut self) {
        if !self.rng.random_ratio(1, 2) {
            return;
        }
        let person = self.people[self.rng.random_range(0..self.people.len())].clone();
        let Some(running) = self.homes[person.home].running.clone() else { return };
        let eyes = self.eyes.clone();
        self.acts.spawn(async move {
            let looking = eyes.look(&running, &person.id);
            // Who gets no answer has seen nothing.
            let _answered = running.life.run_until_cancelled(looking).await;
        });
    }

    fn change(
        &mut self,
        weather: &Weather,
        comebacks: &mut Vec<(Instant, usize)>,
        emptied: &mut Vec<(Instant, usize)>,
    ) {
        self.trace.note("weather", format!("{weather:?}"));
        match *weather {
            Weather::Crash { home, down } => {
                if self.homes[home].running.is_some() {
                    self.homes[home].crash(&self.wire);
                    comebacks.push((Instant::now() + down, home));
                }
            }
            Weather::SlowDisk { home, sync_ms } => self.homes[home].disk.slow_down(sync_ms),
            Weather::FullDisk { home, full } => {
                self.homes[home].disk.fill(true);
                emptied.push((Instant::now() + full, home));
            }
            _ => self.wire.change(|from, to, link| weather.blow(from, to, link)),
        }
    }

    async fn come_back(&mut self, home: usize) {
        self.trace.note(format!("s{home}"), "starts again");
        self.homes[home].disk.heal();
        let count = self.homes.len();
        self.homes[home].start(count, &self.wire).await;
    }

    /// Everything is well again, and after some time everything must be right.
    async fn peace(
        &mut self,
        sabotage: Option<Sabotage>,
        counts: &mut check::Counts,
    ) -> Vec<String> {
        self.trace.note("weather", "peace");
        self.wire.change(|_, _, link| *link = Link::WELL);
        for home in 0..self.homes.len() {
            self.homes[home].disk.heal();
            if self.homes[home].running.is_none() {
                self.come_back(home).await;
            }
        }
        while self.acts.join_next().await.is_some() {}
        for home in 0..self.homes.len() {
            while let Some(act) = self.ledger.to_repeat(home) {
                self.start(act);
                while self.acts.join_next().await.is_some() {}
            }
        }
        if !self.quiet().await {
            return vec!["it never became quiet".to_owned()];
        }
        let mut complaints = check::delivered(self).await;
        // State that was forked becomes one when somebody goes on from all ends of the fork.
        for home in 0..self.homes.len() {
            self.speak(home).await;
            if !self.quiet().await {
                complaints.push("it never became quiet after the peace".to_owned());
            }
        }
        for person in &self.people {
            let running = self.homes[person.home].running.as_ref().expect("everybody runs");
            self.eyes.look(running, &person.id).await;
            self.eyes.look_anew(running, &person.id).await;
        }
        complaints.extend(check::converged(self, sabotage, counts).await);
        complaints
    }

    /// Somebody of the homeserver says something in each of its rooms.
    async fn speak(&mut self, home: usize) {
        let people: Vec<Person> =
            self.people.iter().filter(|person| person.home == home).cloned().collect();
        for room in self.rooms.clone() {
            for person in &people {
                self.said += 1;
                self.act(home, person, &room, Deed::Say(self.said)).await;
                if self.ledger.was_answered(self.said) {
                    break;
                }
            }
        }
    }

    /// Waits until nothing moves any more; says whether that came to be.
    async fn quiet(&self) -> bool {
        let waiting = async {
            while self.wire.quiet_for() < QUIET || self.is_waiting() {
                sleep(LOOK_EVERY).await;
            }
        };
        timeout(QUIET_WITHIN, waiting).await.is_ok()
    }

    /// Whether somebody is about to try again.
    fn is_waiting(&self) -> bool {
        let running = self.homes.iter().filter_map(|home| home.running.as_ref());
        running.into_iter().any(|running| {
            let contacts = &running.federation.contacts;
            let names = self.homes.iter().map(|home| &home.name);
            !running.federation.intake.is_idle()
                || !running.federation.sender.is_idle()
                || names.into_iter().any(|name| contacts.paused_until(name).is_some())
        })
    }

    /// Lets go of what holds itself.
    fn end(&mut self) {
        for home in &mut self.homes {
            home.crash(&self.wire);
        }
    }
}
