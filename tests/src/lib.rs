//! What the test suites share.

pub mod compare;
pub mod damage;
pub mod data;
pub mod device;
pub mod draw;
pub mod golden;
pub mod instance;
pub mod node_cases;
pub mod npz;
