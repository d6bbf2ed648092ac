//! attention.

use super::Handler;

pub(super) const OPS: &[(&str, Handler)] = &[];
