//! Reading many entries: all of them, those of one type, those newer than an event.

use super::{
    Entry, NodeId, NodeReader, StateTree, TYPE_BYTES,
    node::{Branch, Child, Node},
    path::step,
    read,
};
use crate::EventNumber;

/// One entry with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub event_type: String,
    pub state_key: String,
    pub entry: Entry,
}

/// The entries of a state, read node by node as they are asked for. Their order is that of their
/// hashes: stable, and otherwise without meaning.
pub struct Entries<'a, R> {
    reader: &'a R,
    /// Subtrees to read, the next one last.
    left: Vec<NodeId>,
    /// Entries of the leaf that was read last.
    items: std::vec::IntoIter<Item>,
    filter: Filter<'a>,
}

#[derive(Clone, Copy)]
enum Filter<'a> {
    All,
    Type(&'a str, [u8; TYPE_BYTES]),
    NewerThan(EventNumber),
}

impl StateTree {
    /// All entries.
    pub fn entries<'a, R: NodeReader>(&self, reader: &'a R, root: NodeId) -> Entries<'a, R> {
        Entries::new(reader, root, Filter::All)
    }

    /// The entries of one type, without touching the others: all members of a room.
    pub fn entries_of_type<'a, R: NodeReader>(
        &self,
        reader: &'a R,
        root: NodeId,
        event_type: &'a str,
    ) -> Entries<'a, R> {
        Entries::new(reader, root, Filter::Type(event_type, self.type_steps(event_type)))
    }

    /// The entries whose event has a greater number than `event`, without touching the others.
    pub fn entries_newer_than<'a, R: NodeReader>(
        &self,
        reader: &'a R,
        root: NodeId,
        event: EventNumber,
    ) -> Entries<'a, R> {
        Entries::new(reader, root, Filter::NewerThan(event))
    }

    /// The whole tree as a subtree; `None` if it is empty.
    pub(super) fn top<R: NodeReader>(
        &self,
        reader: &R,
        root: NodeId,
    ) -> Result<Option<Child>, R::Error> {
        if root == Self::EMPTY {
            return Ok(None);
        }
        let node = read(reader, &root)?;
        Ok(Some(Child { id: root, ..node.as_child(self, &[]) }))
    }
}

impl<'a, R: NodeReader> Entries<'a, R> {
    fn new(reader: &'a R, root: NodeId, filter: Filter<'a>) -> Self {
        let left = if root == StateTree::EMPTY { Vec::new() } else { vec![root] };
        Self { reader, left, items: Vec::new().into_iter(), filter }
    }
}

impl Filter<'_> {
    fn admits(&self, item: &Item) -> bool {
        match self {
            Self::All => true,
            Self::Type(event_type, _) => item.event_type == *event_type,
            Self::NewerThan(event) => item.entry.event > *event,
        }
    }

    /// Whether a child of a branch can have entries that are asked for.
    fn admits_child(&self, branch: &Branch, at: u8, child: &Child) -> bool {
        match self {
            Self::All => true,
            Self::NewerThan(event) => child.newest > *event,
            Self::Type(_, steps) => {
                let mut wanted = branch.prefix;
                wanted[..TYPE_BYTES].copy_from_slice(steps);
                let same = super::path::common_steps(&wanted, &branch.prefix);
                let type_steps = 2 * TYPE_BYTES;
                // Either the branch is below the type, or it stands on the way there.
                same >= type_steps.min(branch.steps)
                    && (branch.steps >= type_steps || step(&wanted, branch.steps) == at)
            }
        }
    }
}

impl<R: NodeReader> Iterator for Entries<'_, R> {
    type Item = Result<Item, R::Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let filter = self.filter;
            if let Some(item) = self.items.find(|item| filter.admits(item)) {
                return Some(Ok(item));
            }
            let id = self.left.pop()?;
            match read(self.reader, &id) {
                Ok(Node::Leaf(items)) => self.items = items.into_iter(),
                Ok(Node::Branch(branch)) => {
                    let children = branch.children.iter().rev();
                    let wanted =
                        children.filter(|(at, child)| filter.admits_child(&branch, *at, child));
                    self.left.extend(wanted.map(|(_, child)| child.id));
                }
                Err(error) => {
                    self.left.clear();
                    return Some(Err(error));
                }
            }
        }
    }
}
