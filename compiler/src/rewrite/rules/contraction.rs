//! Matrix products and convolutions.

use super::{Class, Rule};

rules! {
    exact "merge-linear": "add(matmul(?x, ?w*), ?b*)" => "slice[starts=start(?w*, 1), extents=extents(?@), steps=ones(?@)](add(matmul(?x, concat[axis=1](?w*)), concat[axis=0](?b*)))",
        if "constant(?w), constant(?b), same(rank(?w), 2), same(rank(?b), 1), same(extent(?w, 1), extent(?b, 0))",
        "Products of one operand with several constants are one product: its operand is read once, and it is one kernel.";
}
