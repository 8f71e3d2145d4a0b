//! The log, written and followed.
