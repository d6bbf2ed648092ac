//! Arithmetic on elements.

use super::{Class, Rule};

rules! {
    exact "neg-neg": "neg(neg(?x))" => "?x",
        "A sign that changes twice is the old one.";
    exact "mul-one": "mul(?x, 1)" => "?x", if "same_type(?x, ?@)",
        "1 is neutral, also for NaN and signed zeros.";
    exact "div-one": "div(?x, 1)" => "?x", if "same_type(?x, ?@)",
        "1 is neutral, also for NaN and signed zeros.";
}
