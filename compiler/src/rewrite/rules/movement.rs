//! Ops that move elements and compute nothing.

use super::{Class, Rule};

rules! {
    exact "transpose-transpose": "transpose[perm=?p](transpose[perm=?q](?x))" => "transpose[perm=compose(?p, ?q)](?x)",
        "Two orders of axes are one.";
    exact "transpose-none": "transpose[perm=?p](?x)" => "?x", if "identity(?p)",
        "The axes stay where they are.";
    exact "reshape-reshape": "reshape[extents=?e](reshape(?x))" => "reshape[extents=?e](?x)",
        "Only the last shape counts.";
    exact "reshape-none": "reshape(?x)" => "?x", if "same_type(?x, ?@)",
        "The shape stays what it is.";
    exact "broadcast-none": "broadcast(?x)" => "?x", if "same_type(?x, ?@)",
        "The shape stays what it is.";
    exact "cast-none": "cast(?x)" => "?x", if "same_type(?x, ?@)",
        "The dtype stays what it is.";
    exact "slice-none": "slice[steps=?s](?x)" => "?x", if "same_type(?x, ?@), all(?s, 1)",
        "All elements are kept.";
    exact "concat-one": "concat(?x)" => "?x",
        "One part is the whole.";
}
