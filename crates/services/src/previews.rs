//! What a web page says of itself, for those who see a link to it; and what was found lately.
//!
//! Nothing in here fetches anything. A page is taken apart token by token and no tree is built, so
//! that no page can be too deep.
//! Specification: <https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediapreview_url>.

use std::{cell::RefCell, collections::BTreeMap, io::Cursor, num::NonZeroUsize};

use html5ever::tokenizer::{
    BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
    states::RawKind,
};
use lru::LruCache;
use parking_lot::Mutex;
use serde_json::{Map, Value};

use crate::Context;

#[cfg(test)]
mod tests;

/// Characters of one property.
const PROPERTY_CHARACTERS_MAX: usize = 1_000;
/// Properties of one page.
const PROPERTIES_MAX: usize = 50;
/// How long a preview is kept, and how many.
const KEPT_MS: u64 = 10 * 60 * 1000;
const KEPT_MAX: NonZeroUsize = NonZeroUsize::new(1_000).expect("not zero");

/// What is shown of a page.
pub type Preview = Map<String, Value>;

/// The previews that were made lately, by address.
pub struct Previews {
    context: Context,
    /// With the time.
    kept: Mutex<LruCache<String, (u64, Preview)>>,
}

impl Previews {
    pub fn new(context: Context) -> Self {
        Self { context, kept: Mutex::new(LruCache::new(KEPT_MAX)) }
    }

    pub fn kept(&self, url: &str) -> Option<Preview> {
        let now_ms = self.context.clock.now_ms();
        let mut kept = self.kept.lock();
        let (since_ms, preview) = kept.get(url)?;
        (now_ms < since_ms + KEPT_MS).then(|| preview.clone())
    }

    pub fn keep(&self, url: &str, preview: Preview) {
        let now_ms = self.context.clock.now_ms();
        self.kept.lock().put(url.to_owned(), (now_ms, preview));
    }
}

/// A page's properties by name: those of OpenGraph, and where it has none its title and description.
pub fn properties(html: &str) -> BTreeMap<String, String> {
    let input = BufferQueue::default();
    input.push_back(html.into());
    let tokenizer = Tokenizer::new(Head::default(), TokenizerOpts::default());
    // A script ends the first part: what a page says of itself is said before it runs any, or again.
    while let html5ever::TokenizerResult::Script(()) = tokenizer.feed(&input) {}
    tokenizer.end();
    let Found { mut properties, title, description, .. } = tokenizer.sink.0.into_inner();
    let mut or_else = |name: &str, value: String| {
        let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
        if !value.is_empty() {
            properties.entry(name.to_owned()).or_insert_with(|| short(&value));
        }
    };
    or_else("og:title", title);
    or_else("og:description", description);
    properties
}

/// Width and height of a picture, without looking at its pixels.
pub fn dimensions(bytes: &[u8]) -> Option<(u32, u32)> {
    let reader = image::ImageReader::new(Cursor::new(bytes)).with_guessed_format().ok()?;
    reader.into_dimensions().ok()
}

/// Collects what the head of a page says.
#[derive(Default)]
struct Head(RefCell<Found>);

#[derive(Default)]
struct Found {
    properties: BTreeMap<String, String>,
    title: String,
    description: String,
    in_title: bool,
}

impl TokenSink for Head {
    type Handle = ();

    fn process_token(&self, token: Token, _: u64) -> TokenSinkResult<()> {
        let mut found = self.0.borrow_mut();
        match token {
            Token::TagToken(tag) => return found.tag(&tag),
            Token::CharacterTokens(text) if found.in_title && found.title.len() < html_max() => {
                found.title.push_str(&text);
            }
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

fn html_max() -> usize {
    4 * PROPERTY_CHARACTERS_MAX
}

impl Found {
    fn tag(&mut self, tag: &Tag) -> TokenSinkResult<()> {
        let opens = tag.kind == TagKind::StartTag;
        match &*tag.name {
            "title" => {
                self.in_title = opens && self.title.is_empty();
                return match opens {
                    true => TokenSinkResult::RawData(RawKind::Rcdata),
                    false => TokenSinkResult::Continue,
                };
            }
            "script" if opens => return TokenSinkResult::RawData(RawKind::ScriptData),
            "style" | "noscript" if opens => return TokenSinkResult::RawData(RawKind::Rawtext),
            "meta" if opens => self.meta(tag),
            _ => {}
        }
        TokenSinkResult::Continue
    }

    fn meta(&mut self, tag: &Tag) {
        let attribute = |wanted: &str| {
            let mut attributes = tag.attrs.iter();
            let attribute = attributes.find(|attribute| &*attribute.name.local == wanted)?;
            Some(attribute.value.to_string())
        };
        let Some(content) = attribute("content") else { return };
        let name = attribute("property").or_else(|| attribute("name")).unwrap_or_default();
        if name == "description" {
            self.description = content;
        } else if name.starts_with("og:") && self.properties.len() < PROPERTIES_MAX {
            // Of several pictures the first is the page's own choice.
            self.properties.entry(short(&name)).or_insert_with(|| short(&content));
        }
    }
}

fn short(text: &str) -> String {
    text.chars().take(PROPERTY_CHARACTERS_MAX).collect()
}
