//! nskit
fn main() {}
