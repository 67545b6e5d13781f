//! Pitaya on the command line.
fn main() {}
