//! What differs between two states, at a cost that grows with the differences alone.

use super::{
    Entry, LEAF_ENTRIES_MAX, NodeId, NodeReader, StateTree,
    node::{Branch, Child, Node},
    path::step,
    read,
    walk::Item,
};

/// One place at which two states differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub event_type: String,
    pub state_key: String,
    /// In the first state.
    pub before: Option<Entry>,
    /// In the second state.
    pub after: Option<Entry>,
}

/// A side of the comparison: a subtree that may be empty.
type Side = Option<Child>;

impl StateTree {
    /// Every place at which the states differ.
    pub fn diff<R: NodeReader>(
        &self,
        reader: &R,
        before: NodeId,
        after: NodeId,
    ) -> Result<Vec<Difference>, R::Error> {
        let mut diff = Diff { reader, found: Vec::new() };
        if before != after {
            diff.compare(self.top(reader, before)?, self.top(reader, after)?)?;
        }
        Ok(diff.found)
    }
}

struct Diff<'a, R> {
    reader: &'a R,
    found: Vec<Difference>,
}

impl<R: NodeReader> Diff<'_, R> {
    fn compare(&mut self, before: Side, after: Side) -> Result<(), R::Error> {
        let (Some(a), Some(b)) = (before, after) else {
            return self.compare_entries(before, after);
        };
        if a.id == b.id {
            return Ok(());
        }
        let is_leaf = |child: Child| child.count as usize <= LEAF_ENTRIES_MAX;
        // A leaf against a branch: all but a leaf's worth of entries differ anyway.
        if is_leaf(a) || is_leaf(b) {
            return self.compare_entries(before, after);
        }
        match (read(self.reader, &a.id)?, read(self.reader, &b.id)?) {
            (Node::Branch(a_branch), Node::Branch(b_branch)) => {
                self.compare_branches((a, &a_branch), (b, &b_branch))
            }
            // Leaves beyond their size hold entries of one path.
            _ => self.compare_entries(before, after),
        }
    }

    fn compare_branches(
        &mut self,
        (a, a_branch): (Child, &Branch),
        (b, b_branch): (Child, &Branch),
    ) -> Result<(), R::Error> {
        if a_branch.steps == b_branch.steps && a_branch.prefix == b_branch.prefix {
            for at in 0..16 {
                self.compare(child(a_branch, at), child(b_branch, at))?;
            }
        } else if a_branch.steps < b_branch.steps && a_branch.covers(&b_branch.prefix) {
            // The second state lies below one child of the first.
            let below = step(&b_branch.prefix, a_branch.steps);
            for (at, child) in &a_branch.children {
                self.compare(Some(*child), (*at == below).then_some(b))?;
            }
            if child(a_branch, below).is_none() {
                self.compare(None, Some(b))?;
            }
        } else if b_branch.steps < a_branch.steps && b_branch.covers(&a_branch.prefix) {
            let below = step(&a_branch.prefix, b_branch.steps);
            for (at, child) in &b_branch.children {
                self.compare((*at == below).then_some(a), Some(*child))?;
            }
            if child(b_branch, below).is_none() {
                self.compare(Some(a), None)?;
            }
        } else {
            self.compare(Some(a), None)?;
            self.compare(None, Some(b))?;
        }
        Ok(())
    }

    /// Compares entry by entry.
    fn compare_entries(&mut self, before: Side, after: Side) -> Result<(), R::Error> {
        let before = self.entries(before)?;
        let mut after = self.entries(after)?;
        for Item { event_type, state_key, entry } in before {
            let same =
                |other: &Item| other.state_key == state_key && other.event_type == event_type;
            let other = after.iter().position(same).map(|index| after.swap_remove(index).entry);
            if other != Some(entry) {
                let before = Some(entry);
                self.found.push(Difference { event_type, state_key, before, after: other });
            }
        }
        self.found.extend(after.into_iter().map(|Item { event_type, state_key, entry }| {
            Difference { event_type, state_key, before: None, after: Some(entry) }
        }));
        Ok(())
    }

    fn entries(&self, side: Side) -> Result<Vec<Item>, R::Error> {
        let mut items = Vec::new();
        let mut left: Vec<NodeId> = side.map(|child| child.id).into_iter().collect();
        while let Some(id) = left.pop() {
            match read(self.reader, &id)? {
                Node::Leaf(mut leaf) => items.append(&mut leaf),
                Node::Branch(branch) => {
                    left.extend(branch.children.iter().map(|(_, child)| child.id));
                }
            }
        }
        Ok(items)
    }
}

fn child(branch: &Branch, at: u8) -> Side {
    branch.children.iter().find(|(child_at, _)| *child_at == at).map(|(_, child)| *child)
}
