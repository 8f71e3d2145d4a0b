//! Taking values out of a table, one key at a time: what is wrong is noted and reading goes on, and
//! what nobody took is unknown.

use std::{
    collections::BTreeMap, fmt::Display, num::NonZeroU32, ops::RangeInclusive, str::FromStr,
};

use web::limits::Rate;

use super::{
    Mistake, Place,
    tree::{Node, Value},
};

pub(super) struct Section<'a> {
    /// Of this table, with a dot at its end, for messages.
    path: String,
    place: Place,
    entries: BTreeMap<String, Node>,
    mistakes: &'a mut Vec<Mistake>,
}

impl<'a> Section<'a> {
    pub(super) fn root(root: Node, mistakes: &'a mut Vec<Mistake>) -> Self {
        Self::of(root, String::new(), mistakes)
    }

    fn of(node: Node, path: String, mistakes: &'a mut Vec<Mistake>) -> Self {
        let entries = match node.value {
            Value::Table(entries) => entries,
            _ => {
                let what = format!("{} must be a table", path.trim_end_matches('.'));
                mistakes.push(Mistake { place: node.place.clone(), what });
                BTreeMap::new()
            }
        };
        Self { path, place: node.place, entries, mistakes }
    }

    /// The table under a key; an empty one if there is none. It must be finished.
    pub(super) fn table(&mut self, key: &str) -> Section<'_> {
        let node = self.entries.remove(key).unwrap_or_else(|| Node {
            value: Value::Table(BTreeMap::new()),
            place: self.place.clone(),
        });
        Section::of(node, format!("{}{key}.", self.path), self.mistakes)
    }

    /// What `read` makes of each table of a list of tables.
    pub(super) fn tables<T>(
        &mut self,
        key: &str,
        mut read: impl FnMut(&mut Section<'_>) -> Option<T>,
    ) -> Vec<T> {
        let Some(node) = self.entries.remove(key) else { return Vec::new() };
        let Value::List(items) = node.value else {
            self.mistake(node.place, key, "must be a list of tables");
            return Vec::new();
        };
        let mut found = Vec::new();
        for item in items {
            let mut section = Section::of(item, format!("{}{key}.", self.path), self.mistakes);
            found.extend(read(&mut section));
            section.finish();
        }
        found
    }

    pub(super) fn boolean(&mut self, key: &str, default: bool) -> bool {
        let Some(node) = self.entries.remove(key) else { return default };
        match node.value {
            Value::Boolean(value) => value,
            _ => {
                self.mistake(node.place, key, "must be true or false");
                default
            }
        }
    }

    pub(super) fn number(&mut self, key: &str, default: u64, range: RangeInclusive<u64>) -> u64 {
        let Some(node) = self.entries.remove(key) else { return default };
        match node.value {
            Value::Integer(value) if u64::try_from(value).is_ok_and(|v| range.contains(&v)) => {
                value.unsigned_abs()
            }
            _ => {
                let what =
                    format!("must be a whole number from {} to {}", range.start(), range.end());
                self.mistake(node.place, key, &what);
                default
            }
        }
    }

    /// A text; an empty one is none.
    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        let node = self.entries.remove(key)?;
        let place = node.place.clone();
        match text_of(node) {
            Some(text) => Some(text).filter(|text| !text.is_empty()),
            None => {
                self.mistake(place, key, "must be a text");
                None
            }
        }
    }

    /// A text that means something; an empty one is none.
    pub(super) fn parsed<T: FromStr<Err: Display>>(&mut self, key: &str) -> Option<T> {
        let place = self.place_of(key);
        let text = self.text(key)?;
        self.parse(place, key, &text)
    }

    /// A list of texts that mean something; a single one may stand alone.
    pub(super) fn list<T: FromStr<Err: Display>>(&mut self, key: &str) -> Option<Vec<T>> {
        let node = self.entries.remove(key)?;
        let items = match (node.value, &node.place) {
            (Value::List(items), _) => items,
            // In the environment a list is most easily written with commas.
            (Value::Text(text), place) => split(&text, place),
            (value, place) => vec![Node { value, place: place.clone() }],
        };
        let mut found = Vec::new();
        for item in items {
            let place = item.place.clone();
            match text_of(item) {
                Some(text) if text.is_empty() => {}
                Some(text) => found.extend(self.parse(place, key, &text)),
                None => self.mistake(place, key, "must be a list of texts"),
            }
        }
        Some(found)
    }

    /// `{ per_second = 0.5, burst = 10 }`
    pub(super) fn rate(&mut self, key: &str, default: Rate) -> Rate {
        if !self.entries.contains_key(key) {
            return default;
        }
        let mut section = self.table(key);
        let per_second = section.positive("per_second", default.per_second);
        let burst = section.number("burst", default.burst.get().into(), 1..=1_000_000);
        section.finish();
        let burst = u32::try_from(burst).ok().and_then(NonZeroU32::new).unwrap_or(default.burst);
        Rate { per_second, burst }
    }

    fn positive(&mut self, key: &str, default: f64) -> f64 {
        let Some(node) = self.entries.remove(key) else { return default };
        let value = match node.value {
            Value::Float(value) => value,
            Value::Integer(value) => f64::from(i32::try_from(value).unwrap_or(i32::MAX)),
            _ => f64::NAN,
        };
        if value.is_finite() && value > 0.0 {
            return value;
        }
        self.mistake(node.place, key, "must be a number above 0");
        default
    }

    /// How many have been noted so far.
    pub(super) fn mistakes(&self) -> usize {
        self.mistakes.len()
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    pub(super) fn place_of(&self, key: &str) -> Place {
        self.entries.get(key).map_or_else(|| self.place.clone(), |node| node.place.clone())
    }

    pub(super) fn mistake(&mut self, place: Place, key: &str, what: &str) {
        self.mistakes.push(Mistake { place, what: format!("{}{key} {what}", self.path) });
    }

    /// Everything that was not taken is unknown.
    pub(super) fn finish(self) {
        for (key, node) in self.entries {
            let what = format!("{}{key} is unknown", self.path);
            self.mistakes.push(Mistake { place: node.place, what });
        }
    }

    fn parse<T: FromStr<Err: Display>>(
        &mut self,
        place: Place,
        key: &str,
        text: &str,
    ) -> Option<T> {
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.mistake(place, key, &format!("cannot be {text:?}: {error}"));
                None
            }
        }
    }
}

/// The node's text. A variable of the environment that looks like a number may be meant as text.
fn text_of(node: Node) -> Option<String> {
    match (node.value, node.place) {
        (Value::Text(text), _) => Some(text),
        (Value::Integer(number), Place::Environment(_)) => Some(number.to_string()),
        (Value::Boolean(truth), Place::Environment(_)) => Some(truth.to_string()),
        _ => None,
    }
}

fn split(text: &str, place: &Place) -> Vec<Node> {
    let parts: Vec<&str> = match place {
        Place::Environment(_) => text.split(',').map(str::trim).collect(),
        Place::Line(_) => vec![text],
    };
    let node = |part: &str| Node { value: Value::Text(part.to_owned()), place: place.clone() };
    parts.into_iter().map(node).collect()
}
