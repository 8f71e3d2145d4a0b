//! Labels: how Complement marks what is its own, and keeps what it learnt while it built an image.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::Error;

#[cfg(test)]
mod tests;

pub(crate) type Labels = BTreeMap<String, String>;

/// Which objects a caller means: those that have all of some labels.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Selection(Vec<(String, Option<String>)>);

impl Selection {
    /// Reads the parameter `filters`: `{"label": ["a", "b=c"]}`, or the same with objects.
    pub(crate) fn parse(filters: Option<&str>) -> Result<Self, Error> {
        let Some(filters) = filters.filter(|text| !text.is_empty()) else {
            return Ok(Self::default());
        };
        let filters: BTreeMap<String, Wanted> = serde_json::from_str(filters)
            .map_err(|error| Error::Misunderstood(format!("filters: {error}")))?;
        let mut selection = Self::default();
        for (key, wanted) in filters {
            if key != "label" {
                return Err(Error::Misunderstood(format!("filters by {key} are not known here")));
            }
            selection.0.extend(wanted.into_list().into_iter().map(
                |text| match text.split_once('=') {
                    Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                    None => (text, None),
                },
            ));
        }
        Ok(selection)
    }

    pub(crate) fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|(name, wanted)| {
            labels.get(name).is_some_and(|value| wanted.as_ref().is_none_or(|want| want == value))
        })
    }
}

/// Both forms in which clients have written a filter over time.
#[derive(Deserialize)]
#[serde(untagged)]
enum Wanted {
    List(Vec<String>),
    Set(BTreeMap<String, bool>),
}

impl Wanted {
    fn into_list(self) -> Vec<String> {
        match self {
            Self::List(list) => list,
            Self::Set(set) => set.into_keys().collect(),
        }
    }
}

/// Reads a change to an image as a line of a Dockerfile: `LABEL "key"="value"`.
pub(crate) fn label_change(line: &str) -> Result<(String, String), Error> {
    let misunderstood = || Error::Misunderstood(format!("the change {line:?} is no label"));
    let rest = line.strip_prefix("LABEL ").ok_or_else(misunderstood)?.trim_start();
    let (key, rest) = word(rest);
    let (value, rest) = word(rest.strip_prefix('=').ok_or_else(misunderstood)?);
    if key.is_empty() || !rest.trim().is_empty() {
        return Err(misunderstood());
    }
    Ok((key, value))
}

/// A word in quotes or without them, and what follows. A backslash takes their meaning from `"`,
/// `$` and itself, and stays before everything else: `\n` remains two characters.
fn word(text: &str) -> (String, &str) {
    let quoted = text.starts_with('"');
    let mut word = String::new();
    let mut characters = text.char_indices().skip(usize::from(quoted)).peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' if quoted => return (word, &text[at + 1..]),
            '=' | ' ' if !quoted => return (word, &text[at..]),
            '\\' => {
                let escaped = characters.next_if(|(_, next)| matches!(next, '"' | '$' | '\\'));
                word.push(escaped.map_or('\\', |(_, next)| next));
            }
            _ => word.push(character),
        }
    }
    (word, "")
}
