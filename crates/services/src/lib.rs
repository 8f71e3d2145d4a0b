//! What a homeserver does, without HTTP: the use cases, each gather → decide → commit.
//!
//! One [`Services`] is one homeserver. It is built top to bottom: each service is given only what
//! was built above it.

pub mod context;
pub mod log;

pub use crate::context::Context;

/// One homeserver.
pub struct Services {
    pub context: Context,
}

impl Services {
    pub fn new(context: Context) -> Self {
        Self { context }
    }
}
