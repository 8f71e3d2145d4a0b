//! TOML as a tree in which every value knows where it was written.

use std::collections::BTreeMap;

use toml_edit::{Document, Item, TableLike};

use super::Mistake;

const ENVIRONMENT_PREFIX: &str = "KONTOR__";

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// Of the file, from 1.
    Line(usize),
    Environment(String),
}

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) place: Place,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Table(BTreeMap<String, Node>),
    List(Vec<Node>),
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Date,
}

impl Node {
    pub(super) fn parse(text: &str) -> Result<Self, Mistake> {
        let lines = &Lines::of(text);
        let document = Document::parse(text).map_err(|error| {
            let line = error.span().map_or(1, |span| lines.at(span.start));
            Mistake { place: Place::Line(line), what: error.message().trim().to_owned() }
        })?;
        let value = Value::Table(table(document.as_table(), lines, 1));
        Ok(Self { value, place: Place::Line(1) })
    }

    /// Puts the value of an environment variable in its place, if it is one of ours.
    pub(super) fn overlay(&mut self, name: &str, value: &str, mistakes: &mut Vec<Mistake>) {
        let Some(path) = name.strip_prefix(ENVIRONMENT_PREFIX) else { return };
        let place = Place::Environment(name.to_owned());
        let keys: Vec<String> = path.split("__").map(str::to_lowercase).collect();
        let new = Self::from_environment(value, place.clone());
        if let Err(what) = self.put(&keys, new) {
            mistakes.push(Mistake { place, what });
        }
    }

    /// `value` is TOML, or else text.
    fn from_environment(value: &str, place: Place) -> Self {
        let parsed = format!("value = {value}");
        let value = Document::parse(parsed.as_str())
            .ok()
            .filter(|document| document.as_table().len() == 1)
            .and_then(|document| {
                document.get("value").map(|item| node(item, &Lines::of(&parsed), 1).value)
            })
            .unwrap_or_else(|| Value::Text(value.to_owned()));
        let mut node = Self { value, place: place.clone() };
        node.set_place(&place);
        node
    }

    fn set_place(&mut self, place: &Place) {
        self.place = place.clone();
        match &mut self.value {
            Value::Table(entries) => entries.values_mut().for_each(|node| node.set_place(place)),
            Value::List(items) => items.iter_mut().for_each(|node| node.set_place(place)),
            _ => {}
        }
    }

    fn put(&mut self, keys: &[String], new: Self) -> Result<(), String> {
        let Some((key, rest)) = keys.split_first() else {
            *self = new;
            return Ok(());
        };
        match &mut self.value {
            Value::Table(entries) => entries
                .entry(key.clone())
                .or_insert_with(|| empty_for(rest, &new.place))
                .put(rest, new),
            Value::List(items) => match key.parse::<usize>() {
                Ok(index) if index < items.len() => items[index].put(rest, new),
                Ok(index) if index == items.len() => {
                    let mut item = empty_for(rest, &new.place);
                    item.put(rest, new)?;
                    items.push(item);
                    Ok(())
                }
                _ => Err(format!("{key} is no index of the list, which has {}", items.len())),
            },
            _ => Err(format!("{key} is inside of what is no table")),
        }
    }
}

/// What to create on the way to `rest`: a list if its next step is a number.
fn empty_for(rest: &[String], place: &Place) -> Node {
    let is_index = rest.first().is_some_and(|key| key.parse::<usize>().is_ok());
    let value = if is_index { Value::List(Vec::new()) } else { Value::Table(BTreeMap::new()) };
    Node { value, place: place.clone() }
}

fn table(table: &dyn TableLike, lines: &Lines, parent_line: usize) -> BTreeMap<String, Node> {
    let entry = |(key, item): (&str, &Item)| {
        let span = table.key(key).and_then(|key| key.span());
        let line = span.map_or(parent_line, |span| lines.at(span.start));
        (key.to_owned(), node(item, lines, line))
    };
    table.iter().map(entry).collect()
}

fn node(item: &Item, lines: &Lines, key_line: usize) -> Node {
    let line = item.span().map_or(key_line, |span| lines.at(span.start));
    let value = match item {
        Item::Value(value) => return leaf(value, lines, line),
        Item::ArrayOfTables(tables) => Value::List(
            tables
                .iter()
                .map(|entry| {
                    let line = entry.span().map_or(line, |span| lines.at(span.start));
                    Node {
                        value: Value::Table(table(entry, lines, line)),
                        place: Place::Line(line),
                    }
                })
                .collect(),
        ),
        Item::Table(entries) => Value::Table(table(entries, lines, line)),
        Item::None => Value::Table(BTreeMap::new()),
    };
    Node { value, place: Place::Line(line) }
}

fn leaf(value: &toml_edit::Value, lines: &Lines, key_line: usize) -> Node {
    let line = value.span().map_or(key_line, |span| lines.at(span.start));
    let value = match value {
        toml_edit::Value::String(value) => Value::Text(value.value().clone()),
        toml_edit::Value::Integer(value) => Value::Integer(*value.value()),
        toml_edit::Value::Float(value) => Value::Float(*value.value()),
        toml_edit::Value::Boolean(value) => Value::Boolean(*value.value()),
        toml_edit::Value::Datetime(_) => Value::Date,
        toml_edit::Value::Array(items) => {
            Value::List(items.iter().map(|item| leaf(item, lines, line)).collect())
        }
        toml_edit::Value::InlineTable(entries) => Value::Table(table(entries, lines, line)),
    };
    Node { value, place: Place::Line(line) }
}

/// Where the lines of a text end.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self(ends.map(|(at, _)| at).collect())
    }

    /// The line of what is written here, from 1.
    fn at(&self, offset: usize) -> usize {
        self.0.partition_point(|end| *end < offset) + 1
    }
}
