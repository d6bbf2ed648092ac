//! Operations of `keras.ops`, as models keep them between layers.

use super::Handler;

/// The operations, by class.
pub(super) const OPS: &[(&str, Handler)] = &[];

/// How an operation is made, if it is known.
pub(super) fn handler(class: &str) -> Option<Handler> {
    OPS.iter().find(|(name, _)| *name == class).map(|(_, handler)| *handler)
}

/// Is there such an operation?
pub(super) fn known(class: &str) -> bool {
    handler(class).is_some()
}
