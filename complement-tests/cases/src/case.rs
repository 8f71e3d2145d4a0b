//! A case: its name, its story, and what came of it.

use crate::stage::Stage;
use futures_util::FutureExt;
use std::{
    future::Future,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{Arc, Mutex, Once, PoisonError},
};

/// All stories are told by one thread, so they need not be `Send`.
type Story = Pin<Box<dyn Future<Output = ()>>>;

/// A case of the suite.
pub struct Case {
    /// The name of Complement's test for the same behaviour, or a sentence of our own.
    pub name: &'static str,
    story: Box<dyn Fn(Stage) -> Story>,
}

/// A name and the story that goes with it.
pub fn case<F, S>(name: &'static str, story: F) -> Case
where
    F: Fn(Stage) -> S + 'static,
    S: Future<Output = ()> + 'static,
{
    Case { name, story: Box::new(move |stage| Box::pin(story(stage))) }
}

/// A row of a case (or the whole, for `None`) that did not hold, and why.
#[derive(Clone, Debug)]
pub struct Failure {
    pub row: Option<String>,
    pub why: String,
}

impl Case {
    /// Plays the case; what did not hold is in the answer.
    pub async fn play(&self, stage: Stage) -> Vec<Failure> {
        let played = caught((self.story)(stage.clone())).await;
        let mut failures = stage.failures();
        failures.extend(played.err().map(|why| Failure { row: None, why }));
        failures
    }
}

tokio::task_local! {
    static LAST_WORDS: Arc<Mutex<String>>;
}

/// Runs a part of a case; a panic is its failure and ends nothing else.
pub async fn caught<T>(part: impl Future<Output = T>) -> Result<T, String> {
    listen_for_last_words();
    let words = Arc::new(Mutex::new(String::new()));
    let part = LAST_WORDS.scope(Arc::clone(&words), AssertUnwindSafe(part).catch_unwind());
    let done = part.await;
    done.map_err(|_| words.lock().unwrap_or_else(PoisonError::into_inner).clone())
}

/// A panic says where it was only to the hook, which is one for the process.
fn listen_for_last_words() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let heard = LAST_WORDS.try_with(|words| {
                *words.lock().unwrap_or_else(PoisonError::into_inner) = panic.to_string();
            });
            if heard.is_err() {
                usual(panic);
            }
        }));
    });
}
