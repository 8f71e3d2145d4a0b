//! The command `kontor`.

fn main() {}
