//! What the test suites share.

pub mod node_cases;
