//! Compile a model and run it.
