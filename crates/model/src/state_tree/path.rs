//! Paths: where in the tree a (type, state key) stands. 128 bits: 32 of the type, 96 of the key.

use sha2::{Digest, Sha256};

use super::{NodeId, StateTree, TYPE_BYTES};

/// How many 4-bit steps a path has.
pub(super) const STEPS: usize = 32;

/// A path, read four bits at a time.
pub(super) type Path = [u8; 16];

/// The four bits at one step, 0 to 15.
pub(super) fn step(path: &Path, index: usize) -> u8 {
    let byte = path[index / 2];
    if index.is_multiple_of(2) { byte >> 4 } else { byte & 0xf }
}

/// How many steps two paths have in common from the start.
pub(super) fn common_steps(a: &Path, b: &Path) -> usize {
    let differing = u128::from_be_bytes(*a) ^ u128::from_be_bytes(*b);
    (differing.leading_zeros() / 4) as usize
}

/// The path with everything from a step on set to zero.
pub(super) fn truncated(path: &Path, steps: usize) -> Path {
    match steps {
        0 => [0; 16],
        STEPS.. => *path,
        _ => (u128::from_be_bytes(*path) & (u128::MAX << (128 - 4 * steps))).to_be_bytes(),
    }
}

impl StateTree {
    pub(super) fn path(&self, event_type: &str, state_key: &str) -> Path {
        let mut path = [0; 16];
        path[..TYPE_BYTES].copy_from_slice(&self.type_steps(event_type));
        path[TYPE_BYTES..].copy_from_slice(&self.hash(b"k", state_key.as_bytes())[..12]);
        path
    }

    /// The beginning that the paths of all entries of a type share.
    pub(super) fn type_steps(&self, event_type: &str) -> [u8; TYPE_BYTES] {
        let mut steps = [0; TYPE_BYTES];
        steps.copy_from_slice(&self.hash(b"t", event_type.as_bytes())[..TYPE_BYTES]);
        steps
    }

    pub(super) fn id_of(&self, node: &[u8]) -> NodeId {
        let mut id = [0; 16];
        id.copy_from_slice(&self.hash(b"n", node)[..16]);
        id
    }

    fn hash(&self, purpose: &[u8; 1], bytes: &[u8]) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.salt);
        hash.update(purpose);
        hash.update(bytes);
        hash.finalize().into()
    }
}
