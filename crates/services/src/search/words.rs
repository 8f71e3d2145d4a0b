//! The words of a search, and how well a text has them.

/// Words that one search looks for.
const WORDS_MAX: usize = 16;

/// What is searched for: every word must be there, each at the beginning of a word of the text.
pub(super) struct Words(Vec<String>);

impl Words {
    pub(super) fn of(term: &str) -> Self {
        Self(split(term).take(WORDS_MAX).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_list(self) -> Vec<String> {
        self.0
    }

    /// The part of the text's words that are wanted ones, whole; those that only begin like one
    /// count half. `None` if one is missing.
    pub(super) fn rank(&self, text: &str) -> Option<f64> {
        let words: Vec<String> = split(text).collect();
        let mut hits = 0.0;
        for wanted in &self.0 {
            let of_word = |word: &String| match word {
                word if word == wanted => 1.0,
                word if word.starts_with(wanted.as_str()) => 0.5,
                _ => 0.0,
            };
            let found: f64 = words.iter().map(of_word).sum();
            if found == 0.0 {
                return None;
            }
            hits += found;
        }
        #[expect(clippy::cast_precision_loss, reason = "a text has few words")]
        let length = words.len().max(1) as f64;
        Some(hits / length)
    }
}

fn split(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase)
}
