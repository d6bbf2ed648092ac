//! Quantised numbers: integers are moved rather than floats, and as few of them as can be are made from each other.

use super::{Class, Rule};

rules! {
    exact "dequantize-reshape": "reshape[extents=?e](dequantize@d(?x, ?s, ?z))" => "dequantize@d(reshape[extents=?e](?x), ?s, ?z)", if "scalar(?s), scalar(?z)",
        "With one scale for all elements it does not matter where they stand, and integers are fewer bytes.";
    exact "dequantize-transpose": "transpose[perm=?p](dequantize@d(?x, ?s, ?z))" => "dequantize@d(transpose[perm=?p](?x), ?s, ?z)", if "scalar(?s), scalar(?z)",
        "With one scale for all elements it does not matter where they stand, and integers are fewer bytes.";
    exact "dequantize-slice": "slice@c(dequantize@d(?x, ?s, ?z))" => "dequantize@d(slice@c(?x), ?s, ?z)", if "scalar(?s), scalar(?z)",
        "With one scale for all elements it does not matter where they stand, and fewer are converted. Heads of attention are cut so.";
    exact "quantize-reshape": "quantize@q(reshape[extents=?e](?x), ?s, ?z)" => "reshape[extents=?e](quantize@q(?x, ?s, ?z))", if "scalar(?s), scalar(?z)",
        "With one scale for all elements it does not matter where they stand, and what makes them can store integers.";
    exact "quantize-transpose": "quantize@q(transpose[perm=?p](?x), ?s, ?z)" => "transpose[perm=?p](quantize@q(?x, ?s, ?z))", if "scalar(?s), scalar(?z)",
        "With one scale for all elements it does not matter where they stand, and what makes them can store integers.";
    exact "concat-dequantize": "concat[axis=?a](dequantize@d(?x, ?s, ?z), dequantize@d(?y, ?s, ?z))" => "dequantize@d(concat[axis=?a](?x, ?y), ?s, ?z)", if "scalar(?s), scalar(?z)",
        "Numbers of one scale are joined as integers. Branches of quantised networks share a scale so that this can be done.";
    exact "max-pool-dequantize": "max_pool@m[indices=false](dequantize@d(?x, ?s, ?z))" => "dequantize@d(max_pool@m(?x), ?s, ?z)", if "less(bits(?x), 17), scalar(?s), scalar(?z), positive(?s)",
        "Positive scales keep the order, and so the largest is the largest before and after. Quantised convolutional networks hold it.";
    exact "relu-dequantize": "relu(dequantize@d(?x, ?s, ?z))" => "dequantize@d(?x, ?s, ?z)", if "less(bits(?x), 17), lowest(?z), positive(?s)",
        "No integer lies below the zero point, and so no float below zero. Quantised convolutional networks hold it.";
    reassociating "dequantize-matmul": "matmul(dequantize[to=f32](?x, ?s, ?z), dequantize[to=f32, axis=1](?w, ?t, ?u))" => "mul(cast[to=f32](matmul_integer(?x, ?w, ?z, ?u)), mul(?s, ?t))",
        if "constant(?w), constant(?s), constant(?t), scalar(?s), scalar(?z), less(rank(?s), 2), less(rank(?t), 2), same(rank(?w), 2), same(bits(?x), 8), same(bits(?w), 8), less(extent(?w, 0), 33025), same(dtype(?s), f32), same(dtype(?t), f32), moderate(?s), moderate(?t)",
        "The sum of so few products of bytes is exact in 32 bits and scaled once, with one number for each column. Quantised transformers hold it.";
    reassociating "dequantize-conv": "conv@c[groups=1](dequantize[to=f32](?x, ?s, ?z), dequantize[to=f32, axis=?a, block=0](?w, ?t, ?u))" => "mul(cast[to=f32](conv_integer@c(?x, ?w, ?z, ?u)), mul(?s, reshape[extents=spread(?t, ?w, 1)](?t)))",
        if "constant(?w), constant(?s), constant(?t), constant(?z), constant(?u), scalar(?s), scalar(?z), less(rank(?s), 2), less(rank(?t), 2), same(bits(?x), 8), scales(?t, ?a, 0), scales(?u, ?a, 0), signed_bytes(?w, ?u), less(depth(?w), 33025), same(dtype(?s), f32), same(dtype(?t), f32), moderate(?s), moderate(?t)",
        "The sum of so few products of bytes is exact in 32 bits and scaled once, with one number for each channel. Quantised convolutional networks hold it.";
    reassociating "scale-integers": "mul(add(mul(cast[to=f32](?x), ?s), ?b), ?t)" => "add(mul(cast[to=f32](?x), mul(?s, ?t)), mul(?b, ?t))",
        if "integer(?x), constant(?s), constant(?b), constant(?t), !constant(?x), scalar(?t), fits(?t, ?s), fits(?t, ?b), moderate(?s), moderate(?t), bounded(?b)",
        "Sums of integers are scaled once, also for what quantises them again, and the bias when compiling.";
    reassociating "quantize-constant": "quantize[to=?t](?x, ?s, ?z)" => "cast[to=?t](add(round(mul(?x, reciprocal(?s))), cast[to=f32](?z)))",
        if "same(bits(?z), 8), same(dtype(?z), ?t), constant(?s), scalar(?s), scalar(?z), fits(?s, ?x), fits(?z, ?x), invertible(?s), same(dtype(?s), f32), same(dtype(?x), f32), !constant(?x)",
        "The reciprocal is rounded and the product again: two units in the last place at most before numbers are rounded to integers. Products are faster, and fold into what scales the numbers anyway.";
    exact "dequantize-rows": "transpose[perm=[1, 0]](dequantize@d[axis=0, block=0](?x, ?s, ?z))" => "dequantize@d[axis=1](transpose[perm=[1, 0]](?x), ?s, ?z)", if "same(rank(?s), 1)",
        "Scales stay with their rows, which become columns. Fully connected layers of quantised networks hold it.";
    exact "quantize-dequantize": "quantize[to=?t](dequantize[to=f32](?x, ?s, ?z), ?s, ?z)" => "?x", if "scalar(?s), scalar(?z), same(dtype(?x), ?t), less(bits(?x), 17), invertible(?s), moderate(?s), same(dtype(?s), f32)",
        "A quotient of a product is off by less than a hundredth for numbers of 17 bits, and rounding restores it. Fused blocks of quantised networks hold it where they meet.";
}
