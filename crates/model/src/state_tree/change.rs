//! Changing a tree: old nodes stay, the changed ones are written anew in the one shape that the
//! entries allow.

use std::{cell::RefCell, cmp::Ordering, collections::HashMap};

use bytes::Bytes;

use super::{
    Entry, LEAF_ENTRIES_MAX, NodeId, NodeReader, StateTree,
    node::{Branch, Child, Node, decode},
    path::{Path, STEPS, common_steps, step, truncated},
    read,
    walk::Item,
};
use crate::EventNumber;

/// Nodes to be stored before their root is used.
pub type Nodes = Vec<(NodeId, Bytes)>;

/// An entry to put (`Some`) or to remove (`None`).
struct Change {
    path: Path,
    event_type: String,
    state_key: String,
    entry: Option<Entry>,
}

/// An item and its path.
type Placed = (Path, Item);

impl StateTree {
    /// The state that consists of these entries. Of two entries for one place the later counts.
    pub fn build(
        &self,
        entries: impl IntoIterator<Item = (String, String, Entry)>,
    ) -> (NodeId, Nodes) {
        let changes = entries.into_iter().map(|(event_type, state_key, entry)| {
            let path = self.path(&event_type, &state_key);
            Change { path, event_type, state_key, entry: Some(entry) }
        });
        let items = merged(self, Vec::new(), changes.collect());
        let draft = Draft { tree: *self, nodes: RefCell::default() };
        match draft.build(items) {
            None => (Self::EMPTY, Nodes::new()),
            Some(top) => (top.id, draft.finish(top.id)),
        }
    }

    /// The state with some entries put, replaced or (`None`) removed: its root, and the nodes that
    /// are new. Of two changes of one place the later counts.
    pub fn apply<R: NodeReader>(
        &self,
        reader: &R,
        root: NodeId,
        changes: Vec<(String, String, Option<Entry>)>,
    ) -> Result<(NodeId, Nodes), R::Error> {
        let mut changes: Vec<Change> = changes
            .into_iter()
            .map(|(event_type, state_key, entry)| {
                let path = self.path(&event_type, &state_key);
                Change { path, event_type, state_key, entry }
            })
            .collect();
        changes.sort_by_key(|change| change.path);
        let draft = Draft { tree: *self, nodes: RefCell::default() };
        let overlay = Overlay { draft: &draft, reader };
        let top = overlay.apply(self.top(reader, root)?, changes)?;
        Ok(match top {
            None => (Self::EMPTY, Nodes::new()),
            Some(top) => (top.id, draft.finish(top.id)),
        })
    }
}

fn by_place(a: &Placed, b: &Placed) -> Ordering {
    // Paths are equal only if places are, or by a collision of 128 bits: then the text decides.
    let text = |(_, item): &Placed| (item.event_type.clone(), item.state_key.clone());
    a.0.cmp(&b.0).then_with(|| text(a).cmp(&text(b)))
}

/// Nodes that were made, some of which may have been replaced again.
struct Draft {
    tree: StateTree,
    nodes: RefCell<HashMap<NodeId, Bytes>>,
}

impl Draft {
    fn keep(&self, node: &Node) -> Child {
        let bytes = node.encode();
        let child = node.as_child(&self.tree, &bytes);
        self.nodes.borrow_mut().insert(child.id, bytes);
        child
    }

    /// The subtree of these entries, which are in order and of different places.
    fn build(&self, items: Vec<Placed>) -> Option<Child> {
        let (first, last) = (items.first()?.0, items.last()?.0);
        let steps = common_steps(&first, &last);
        if items.len() <= LEAF_ENTRIES_MAX || steps >= STEPS {
            let items = items.into_iter().map(|(_, item)| item).collect();
            return Some(self.keep(&Node::Leaf(items)));
        }
        let mut groups: Vec<(u8, Vec<Placed>)> = Vec::new();
        for placed in items {
            let at = step(&placed.0, steps);
            match groups.last_mut() {
                Some((last, group)) if *last == at => group.push(placed),
                _ => groups.push((at, vec![placed])),
            }
        }
        let children = groups.into_iter().filter_map(|(at, group)| Some((at, self.build(group)?)));
        let prefix = truncated(&first, steps);
        Some(self.keep(&Node::Branch(Branch { steps, prefix, children: children.collect() })))
    }

    /// The nodes of the tree with this root that were made here.
    fn finish(self, root: NodeId) -> Nodes {
        let mut made = self.nodes.into_inner();
        let mut out = Nodes::new();
        let mut left = vec![root];
        while let Some(id) = left.pop() {
            let Some(bytes) = made.remove(&id) else { continue };
            if let Some(Node::Branch(branch)) = decode(&bytes) {
                left.extend(branch.children.iter().map(|(_, child)| child.id));
            }
            out.push((id, bytes));
        }
        out
    }
}

/// A tree under change: nodes made here before nodes that are stored.
struct Overlay<'a, R> {
    draft: &'a Draft,
    reader: &'a R,
}

impl<R: NodeReader> Overlay<'_, R> {
    /// The subtree after some changes, which are in order of their paths.
    fn apply(
        &self,
        subtree: Option<Child>,
        changes: Vec<Change>,
    ) -> Result<Option<Child>, R::Error> {
        let Some(child) = subtree else {
            return Ok(self.draft.build(merged(&self.draft.tree, Vec::new(), changes)));
        };
        if changes.is_empty() {
            return Ok(Some(child));
        }
        match self.node(&child.id)? {
            Node::Leaf(items) => Ok(self.draft.build(merged(&self.draft.tree, items, changes))),
            Node::Branch(branch) => {
                let (inside, outside): (Vec<_>, Vec<_>) =
                    changes.into_iter().partition(|change| branch.covers(&change.path));
                let prefix = (branch.prefix, branch.steps);
                let changed = match inside.is_empty() {
                    true => Some(child),
                    false => self.apply_inside(branch, inside)?,
                };
                // Nothing is there to be removed outside.
                let put: Vec<Placed> = merged(&self.draft.tree, Vec::new(), outside);
                if put.is_empty() { Ok(changed) } else { self.widen(changed, prefix, put) }
            }
        }
    }

    /// A branch after changes that lead into it.
    fn apply_inside(
        &self,
        branch: Branch,
        changes: Vec<Change>,
    ) -> Result<Option<Child>, R::Error> {
        let mut groups: [Vec<Change>; 16] = Default::default();
        for change in changes {
            groups[usize::from(step(&change.path, branch.steps))].push(change);
        }
        let mut old = branch.children.into_iter().peekable();
        let mut children: Vec<(u8, Child)> = Vec::new();
        for (at, group) in (0_u8..).zip(groups) {
            let subtree = old.next_if(|(old_at, _)| *old_at == at).map(|(_, child)| child);
            if let Some(child) = self.apply(subtree, group)? {
                children.push((at, child));
            }
        }
        let count: u64 = children.iter().map(|(_, child)| u64::from(child.count)).sum();
        if count <= LEAF_ENTRIES_MAX as u64 {
            let mut items = Vec::new();
            for (_, child) in children {
                self.collect(&child.id, &mut items)?;
            }
            return Ok(self.draft.build(items));
        }
        // A branch stands where paths differ: with one child left it is that child.
        if let [(_, only)] = children[..] {
            return Ok(Some(only));
        }
        let branch = Branch { steps: branch.steps, prefix: branch.prefix, children };
        Ok(Some(self.draft.keep(&Node::Branch(branch))))
    }

    /// A subtree, all of whose paths begin with `prefix`, together with entries that do not.
    fn widen(
        &self,
        subtree: Option<Child>,
        prefix: (Path, usize),
        mut put: Vec<Placed>,
    ) -> Result<Option<Child>, R::Error> {
        let Some(child) = subtree else { return Ok(self.draft.build(put)) };
        if child.count as usize <= LEAF_ENTRIES_MAX {
            self.collect(&child.id, &mut put)?;
            put.sort_by(by_place);
            return Ok(self.draft.build(put));
        }
        let Some(steps) = put.iter().map(|(path, _)| common_steps(path, &prefix.0)).min() else {
            return Ok(Some(child));
        };
        let mut groups: [Vec<Placed>; 16] = Default::default();
        for placed in put {
            groups[usize::from(step(&placed.0, steps))].push(placed);
        }
        let own = step(&prefix.0, steps);
        let mut children = Vec::new();
        for (at, group) in (0_u8..).zip(groups) {
            let subtree = match at == own {
                true => self.widen(Some(child), prefix, group)?,
                false => self.draft.build(group),
            };
            children.extend(subtree.map(|subtree| (at, subtree)));
        }
        let branch = Branch { steps, prefix: truncated(&prefix.0, steps), children };
        Ok(Some(self.draft.keep(&Node::Branch(branch))))
    }

    fn node(&self, id: &NodeId) -> Result<Node, R::Error> {
        let made = self.draft.nodes.borrow().get(id).cloned();
        match made {
            Some(bytes) => decode(&bytes).ok_or_else(|| self.reader.damaged(id)),
            None => read(self.reader, id),
        }
    }

    /// All entries below a node, in order.
    fn collect(&self, id: &NodeId, out: &mut Vec<Placed>) -> Result<(), R::Error> {
        match self.node(id)? {
            Node::Leaf(items) => {
                out.extend(items.into_iter().map(|item| self.draft.tree.placed(item)));
            }
            Node::Branch(branch) => {
                for (_, child) in branch.children {
                    self.collect(&child.id, out)?;
                }
            }
        }
        Ok(())
    }
}

impl StateTree {
    fn placed(&self, item: Item) -> Placed {
        (self.path(&item.event_type, &item.state_key), item)
    }
}

/// Entries after changes, in order.
fn merged(tree: &StateTree, items: Vec<Item>, changes: Vec<Change>) -> Vec<Placed> {
    let mut out: Vec<(Placed, bool)> =
        items.into_iter().map(|item| (tree.placed(item), true)).collect();
    out.extend(changes.into_iter().map(|Change { path, event_type, state_key, entry }| {
        let placeholder = Entry { event: EventNumber(0), membership: None };
        let item = Item { event_type, state_key, entry: entry.unwrap_or(placeholder) };
        ((path, item), entry.is_some())
    }));
    out.sort_by(|(a, _), (b, _)| by_place(a, b));
    // Of equal places the last one counts; dedup keeps the first.
    out.reverse();
    out.dedup_by(|(a, _), (b, _)| by_place(a, b).is_eq());
    out.reverse();
    out.into_iter().filter(|(_, stays)| *stays).map(|(placed, _)| placed).collect()
}
