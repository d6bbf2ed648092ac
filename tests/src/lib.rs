//! What the test suites share.

pub mod compare;
pub mod draw;
pub mod node_cases;
