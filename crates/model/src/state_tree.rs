//! Room state as a persistent tree: a snapshot of a room's state is the id of a root node, two
//! snapshots share what they have in common, and saving one change costs a handful of small nodes.
//!
//! The tree is a radix tree over 128-bit paths, 16 children per branch, with up to [`LEAF_ENTRIES_MAX`]
//! entries in a leaf. Invariants:
//! - A node's id is a hash of its bytes, so nodes never change and may be stored and cached freely.
//! - The shape depends on nothing but the set of entries: a subtree is a leaf exactly if it has no
//!   more than [`LEAF_ENTRIES_MAX`] entries, and a branch stands at the first place where its
//!   entries' paths differ. So equal states have equal roots, whatever way led there.
//! - Paths and ids are salted with a secret of the homeserver: nobody outside can search for state
//!   keys that share a path, or for two nodes with one id.
//! - A path begins with a hash of the event type: all members are one subtree.

use bytes::Bytes;

use crate::{EventNumber, membership::Membership, pdu::Pdu};

mod change;
mod diff;
mod node;
mod path;
#[cfg(test)]
mod tests;
mod walk;

pub use change::Nodes;
pub use diff::Difference;
pub use walk::{Entries, Item};

/// The most entries of a leaf. The longest entry has about 530 bytes, so a leaf stays below 20 kB.
pub const LEAF_ENTRIES_MAX: usize = 32;

/// What a node is found by: the first 16 bytes of a salted SHA-256 of its bytes.
pub type NodeId = [u8; 16];

/// What the state holds for one (type, state key).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The state event.
    pub event: EventNumber,
    /// What a member event says, so that listing members reads no events.
    pub membership: Option<Membership>,
}

impl Entry {
    /// The entry for a state event that was stored under this number.
    pub fn of(event: EventNumber, pdu: &Pdu) -> Self {
        let membership = pdu.membership().as_ref().and_then(Membership::of);
        Self { event, membership }
    }
}

/// Where nodes come from.
pub trait NodeReader {
    /// Why a node cannot be read.
    type Error;

    /// The bytes of a node. A node that is not there is an error: trees have no loose ends.
    fn node(&self, id: &NodeId) -> Result<Bytes, Self::Error>;

    /// The error for a node whose bytes this version of Kontor did not write.
    fn damaged(&self, id: &NodeId) -> Self::Error;
}

impl<R: NodeReader + ?Sized> NodeReader for &R {
    type Error = R::Error;

    fn node(&self, id: &NodeId) -> Result<Bytes, R::Error> {
        (**self).node(id)
    }

    fn damaged(&self, id: &NodeId) -> R::Error {
        (**self).damaged(id)
    }
}

/// The state trees of one homeserver: the operations on them, and the salt that they share.
#[derive(Clone, Copy)]
pub struct StateTree {
    salt: [u8; 16],
}

impl StateTree {
    /// The root of the empty state. It has no node.
    pub const EMPTY: NodeId = [0; 16];

    /// The trees of the homeserver with this salt.
    pub const fn new(salt: [u8; 16]) -> Self {
        Self { salt }
    }

    /// The entry at one place of the state.
    pub fn get<R: NodeReader>(
        &self,
        reader: &R,
        root: NodeId,
        event_type: &str,
        state_key: &str,
    ) -> Result<Option<Entry>, R::Error> {
        let path = self.path(event_type, state_key);
        let mut id = root;
        while id != Self::EMPTY {
            let bytes = reader.node(&id)?;
            match node::find(&bytes, &path, event_type, state_key) {
                Some(node::Found::Entry(entry)) => return Ok(Some(entry)),
                Some(node::Found::Nothing) => return Ok(None),
                Some(node::Found::Below(child)) => id = child,
                None => return Err(reader.damaged(&id)),
            }
        }
        Ok(None)
    }

    /// The state with one entry put or replaced: its root, and the nodes that are new.
    pub fn set<R: NodeReader>(
        &self,
        reader: &R,
        root: NodeId,
        event_type: &str,
        state_key: &str,
        entry: Entry,
    ) -> Result<(NodeId, Nodes), R::Error> {
        let change = (event_type.to_owned(), state_key.to_owned(), Some(entry));
        self.apply(reader, root, vec![change])
    }

    /// How many entries the state has.
    pub fn count<R: NodeReader>(&self, reader: &R, root: NodeId) -> Result<usize, R::Error> {
        Ok(self.top(reader, root)?.map_or(0, |top| top.count as usize))
    }

    /// Calls `visit` with every node of the trees with these roots, parents before children. What
    /// `visit` answers `false` to is not looked into: answer so for nodes that were visited before.
    pub fn reachable<R: NodeReader>(
        &self,
        reader: &R,
        roots: impl IntoIterator<Item = NodeId>,
        mut visit: impl FnMut(&NodeId) -> bool,
    ) -> Result<(), R::Error> {
        let mut left: Vec<NodeId> = roots.into_iter().collect();
        while let Some(id) = left.pop() {
            if id == Self::EMPTY || !visit(&id) {
                continue;
            }
            if let node::Node::Branch(branch) = read(reader, &id)? {
                left.extend(branch.children.iter().map(|(_, child)| child.id));
            }
        }
        Ok(())
    }
}

fn read<R: NodeReader>(reader: &R, id: &NodeId) -> Result<node::Node, R::Error> {
    node::decode(&reader.node(id)?).ok_or_else(|| reader.damaged(id))
}

/// A path begins with this many bytes of the event type's hash.
const TYPE_BYTES: usize = 4;
