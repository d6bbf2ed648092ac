//! Frit's run time.

pub mod code;
