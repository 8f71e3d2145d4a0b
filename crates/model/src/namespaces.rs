//! Which users, aliases and rooms an appservice may act for.
//! Specification: <https://spec.matrix.org/v1.19/application-service-api/#registration>.

use regex::bytes::{Regex, RegexBuilder};

#[cfg(test)]
mod tests;

/// What one appservice has an interest in.
#[derive(Clone, Debug, Default)]
pub struct Namespaces {
    pub users: Vec<Namespace>,
    pub aliases: Vec<Namespace>,
    pub rooms: Vec<Namespace>,
}

/// Ids that begin with what a regular expression describes.
#[derive(Clone, Debug)]
pub struct Namespace {
    /// Nobody else may make users or aliases in it.
    pub exclusive: bool,
    pattern: Regex,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{pattern:?} is not a regular expression: {why}")]
pub struct InvalidNamespace {
    pattern: String,
    why: String,
}

impl Namespace {
    /// The expression must match from the id's first character, as every homeserver has it; it need
    /// not reach the last one. Matching takes time in proportion to the id, whatever it says.
    pub fn new(exclusive: bool, pattern: &str) -> Result<Self, InvalidNamespace> {
        let invalid = |why: regex::Error| InvalidNamespace {
            pattern: pattern.to_owned(),
            why: why.to_string(),
        };
        // By itself first: `a)|(b` is an expression only between the parentheses.
        compile(pattern).map_err(invalid)?;
        let pattern = compile(&format!("^(?:{pattern})")).map_err(invalid)?;
        Ok(Self { exclusive, pattern })
    }

    pub fn covers(&self, id: &str) -> bool {
        self.pattern.is_match(id.as_bytes())
    }
}

/// `\d` and `\w` are the digits and letters of ASCII, of which user ids are made.
fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).unicode(false).build()
}

/// Whether any of the namespaces has the id in it.
pub fn cover(namespaces: &[Namespace], id: &str) -> bool {
    namespaces.iter().any(|namespace| namespace.covers(id))
}

/// Whether any of the namespaces has the id in it and keeps others out.
pub fn reserve(namespaces: &[Namespace], id: &str) -> bool {
    namespaces.iter().any(|namespace| namespace.exclusive && namespace.covers(id))
}
