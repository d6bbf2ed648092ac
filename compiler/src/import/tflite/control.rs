//! Control flow and variables.

use super::Row;

pub(super) const OPS: &[Row] = &[];
