//! The bytes of a node.
//!
//! ```text
//! leaf   = 1, entry*
//! entry  = varint(0: type of the entry before, else length of the type + 1), type,
//!          varint(length of the state key), state key, varint(event number), membership or 0
//! branch = 2, steps, prefix of 16 bytes, bitmap u16 of children, child*
//! child  = id of 16 bytes, entries below u32, greatest event number below u64
//! ```
//! Entries stand in the order of their paths. Integers of fixed size are big-endian.

use bytes::Bytes;

use super::{
    Entry, NodeId, StateTree,
    path::{Path, step, truncated},
    walk::Item,
};
use crate::{EventNumber, membership::Membership};

const LEAF: u8 = 1;
const BRANCH: u8 = 2;
const BRANCH_HEAD_BYTES: usize = 20;
const CHILD_BYTES: usize = 28;

#[derive(Clone, Debug)]
pub(super) enum Node {
    /// In the order of their paths.
    Leaf(Vec<Item>),
    Branch(Branch),
}

#[derive(Clone, Debug)]
pub(super) struct Branch {
    /// How many steps all paths below have in common.
    pub(super) steps: usize,
    /// Those steps; the rest is zero.
    pub(super) prefix: Path,
    /// By the step that follows, ascending.
    pub(super) children: Vec<(u8, Child)>,
}

/// A subtree, as its parent knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Child {
    pub(super) id: NodeId,
    pub(super) count: u32,
    pub(super) newest: EventNumber,
}

/// What a node has to say about one path.
pub(super) enum Found {
    Entry(Entry),
    Nothing,
    Below(NodeId),
}

impl Branch {
    /// Whether a path leads into this branch.
    pub(super) fn covers(&self, path: &Path) -> bool {
        truncated(path, self.steps) == self.prefix
    }
}

impl Node {
    pub(super) fn encode(&self) -> Bytes {
        match self {
            Self::Leaf(items) => encode_leaf(items),
            Self::Branch(branch) => encode_branch(branch),
        }
    }

    /// The node as its parent will know it.
    pub(super) fn as_child(&self, tree: &StateTree, bytes: &[u8]) -> Child {
        let id = tree.id_of(bytes);
        match self {
            Self::Leaf(items) => Child {
                id,
                count: u32::try_from(items.len()).unwrap_or(u32::MAX),
                newest: items.iter().map(|item| item.entry.event).max().unwrap_or(EventNumber(0)),
            },
            Self::Branch(branch) => {
                let children = || branch.children.iter().map(|(_, child)| child);
                Child {
                    id,
                    count: children().map(|child| child.count).fold(0, u32::saturating_add),
                    newest: children().map(|child| child.newest).max().unwrap_or(EventNumber(0)),
                }
            }
        }
    }
}

fn encode_leaf(items: &[Item]) -> Bytes {
    let mut out = Vec::with_capacity(64 * items.len());
    out.push(LEAF);
    let mut type_before: Option<&str> = None;
    for Item { event_type, state_key, entry } in items {
        if type_before == Some(event_type) {
            out.push(0);
        } else {
            put_varint(event_type.len() as u64 + 1, &mut out);
            out.extend_from_slice(event_type.as_bytes());
            type_before = Some(event_type);
        }
        put_varint(state_key.len() as u64, &mut out);
        out.extend_from_slice(state_key.as_bytes());
        put_varint(entry.event.0, &mut out);
        out.push(entry.membership.map_or(0, Membership::to_byte));
    }
    out.into()
}

fn encode_branch(branch: &Branch) -> Bytes {
    let mut out = Vec::with_capacity(BRANCH_HEAD_BYTES + CHILD_BYTES * branch.children.len());
    let bitmap = branch.children.iter().fold(0_u16, |bitmap, (at, _)| bitmap | 1 << at);
    out.extend_from_slice(&[BRANCH, branch.steps as u8]);
    out.extend_from_slice(&branch.prefix);
    out.extend_from_slice(&bitmap.to_be_bytes());
    for (_, child) in &branch.children {
        out.extend_from_slice(&child.id);
        out.extend_from_slice(&child.count.to_be_bytes());
        out.extend_from_slice(&child.newest.0.to_be_bytes());
    }
    out.into()
}

/// Reads a whole node. `None` if its bytes are damaged.
pub(super) fn decode(bytes: &[u8]) -> Option<Node> {
    match bytes.split_first()? {
        (&LEAF, rest) => {
            let mut items: Vec<Item> = Vec::new();
            for entry in LeafEntries::new(rest) {
                let (event_type, state_key, entry) = entry?;
                let (event_type, state_key) = (event_type.to_owned(), state_key.to_owned());
                items.push(Item { event_type, state_key, entry });
            }
            Some(Node::Leaf(items))
        }
        (&BRANCH, _) => decode_branch(bytes).map(Node::Branch),
        _ => None,
    }
}

fn decode_branch(bytes: &[u8]) -> Option<Branch> {
    let (steps, prefix, bitmap) = branch_head(bytes)?;
    let mut children = Vec::with_capacity(bitmap.count_ones() as usize);
    for (index, at) in (0..16).filter(|at| bitmap & 1 << at != 0).enumerate() {
        children.push((at, child_at(bytes, index)?));
    }
    Some(Branch { steps, prefix, children })
}

fn branch_head(bytes: &[u8]) -> Option<(usize, Path, u16)> {
    let head: &[u8; BRANCH_HEAD_BYTES] = bytes.first_chunk()?;
    let (prefix, bitmap) = head[2..].split_first_chunk::<16>()?;
    Some((usize::from(head[1]), *prefix, u16::from_be_bytes(bitmap.try_into().ok()?)))
}

fn child_at(bytes: &[u8], index: usize) -> Option<Child> {
    let from = BRANCH_HEAD_BYTES + index * CHILD_BYTES;
    let child: &[u8; CHILD_BYTES] = bytes.get(from..)?.first_chunk()?;
    let (id, rest) = child.split_first_chunk::<16>()?;
    let (count, newest) = rest.split_first_chunk::<4>()?;
    Some(Child {
        id: *id,
        count: u32::from_be_bytes(*count),
        newest: EventNumber(u64::from_be_bytes(newest.try_into().ok()?)),
    })
}

/// Looks one place up without reading the rest of the node. `None` if the bytes are damaged.
pub(super) fn find(bytes: &[u8], path: &Path, event_type: &str, state_key: &str) -> Option<Found> {
    match bytes.split_first()? {
        (&LEAF, rest) => {
            for entry in LeafEntries::new(rest) {
                let (entry_type, entry_key, entry) = entry?;
                if entry_key == state_key && entry_type == event_type {
                    return Some(Found::Entry(entry));
                }
            }
            Some(Found::Nothing)
        }
        (&BRANCH, _) => {
            let (steps, prefix, bitmap) = branch_head(bytes)?;
            let at = 1_u16 << step(path, steps.min(super::path::STEPS - 1));
            if truncated(path, steps) != prefix || bitmap & at == 0 {
                return Some(Found::Nothing);
            }
            let before = (bitmap & (at - 1)).count_ones() as usize;
            Some(Found::Below(child_at(bytes, before)?.id))
        }
        _ => None,
    }
}

/// The entries of a leaf, one by one; `None` once where the bytes are damaged.
struct LeafEntries<'a> {
    rest: &'a [u8],
    event_type: &'a str,
}

impl<'a> LeafEntries<'a> {
    fn new(rest: &'a [u8]) -> Self {
        Self { rest, event_type: "" }
    }

    fn entry(&mut self) -> Option<(&'a str, &'a str, Entry)> {
        let type_length = self.varint()?;
        if let Some(length) = type_length.checked_sub(1) {
            self.event_type = self.text(length)?;
        }
        let key_length = self.varint()?;
        let state_key = self.text(key_length)?;
        let event = EventNumber(self.varint()?);
        let membership = match self.byte()? {
            0 => None,
            byte => Some(Membership::from_byte(byte)?),
        };
        Some((self.event_type, state_key, Entry { event, membership }))
    }

    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    fn text(&mut self, length: u64) -> Option<&'a str> {
        let (text, rest) = self.rest.split_at_checked(usize::try_from(length).ok()?)?;
        self.rest = rest;
        std::str::from_utf8(text).ok()
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }
}

impl<'a> Iterator for LeafEntries<'a> {
    type Item = Option<(&'a str, &'a str, Entry)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let entry = self.entry();
        if entry.is_none() {
            self.rest = &[];
        }
        Some(entry)
    }
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
