//! Recurrent nets.

use super::Row;

pub(super) const OPS: &[Row] = &[];
