//! What one worker asked for, and what it was told: the books that the server must agree with.

/// A value that is overwritten: the last that was acknowledged, and one whose fate is unknown.
#[derive(Clone, Debug, Default)]
pub struct Register<T> {
    acknowledged: Option<T>,
    pending: Option<T>,
}

impl<T: Clone + PartialEq + std::fmt::Debug> Register<T> {
    /// The request is on its way.
    pub fn attempt(&mut self, value: T) {
        self.pending = Some(value);
    }

    /// The request was answered.
    pub fn done(&mut self) {
        self.acknowledged = self.pending.take();
    }

    /// Panics unless the server holds what it may hold.
    pub fn check(&self, what: &str, found: Option<T>) {
        let attempted = self.pending.is_some() && found == self.pending;
        assert!(found == self.acknowledged || attempted, "{what}: {found:?} instead of {self:?}");
    }
}

/// A thing that is asked for once, under a transaction id.
#[derive(Clone, Debug)]
pub struct Once {
    /// The id with which to ask again.
    pub transaction: String,
    /// What tells it from all others.
    pub mark: String,
    /// What the server called it; nothing, if no answer came.
    pub answer: Option<String>,
}

/// The books of one worker in one round.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// The room in which it worked.
    pub room: String,
    /// Messages.
    pub messages: Vec<Once>,
    /// To-device messages.
    pub notes: Vec<Once>,
    /// Files: what they hold, and their URI.
    pub files: Vec<(Vec<u8>, String)>,
    /// Its own piece of the room's state.
    pub state: Register<u64>,
    /// Its account data.
    pub account_data: Register<u64>,
    /// Its read receipt.
    pub receipt: Register<String>,
    /// Its membership in the room where it comes and goes.
    pub membership: Register<String>,
}

impl Ledger {
    /// How many things were acknowledged that are kept one by one.
    pub fn acknowledged(&self) -> usize {
        let answered = |list: &[Once]| list.iter().filter(|once| once.answer.is_some()).count();
        answered(&self.messages) + answered(&self.notes) + self.files.len()
    }
}
