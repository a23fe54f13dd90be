//! Placeholder until its suite is written.
fn main() {}
