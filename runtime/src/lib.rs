//! Frit's run time.
