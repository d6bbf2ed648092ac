//! Arithmetic on elements.

use super::{Class, Rule};

rules! {
    exact "neg-neg": "neg(neg(?x))" => "?x",
        "A sign that changes twice is the old one. Exporters of hand-written losses and rotations write it.";
    exact "mul-one": "mul(?x, 1)" => "?x", if "same_type(?x, ?@)",
        "1 is neutral, also for NaN and signed zeros.";
    exact "div-one": "div(?x, 1)" => "?x", if "same_type(?x, ?@)",
        "1 is neutral, also for NaN and signed zeros.";
    exact "add-negative-zero": "add(?x, -0)" => "?x", if "same_type(?x, ?@)",
        "-0 is neutral, also for signed zeros, and 0 is for integers. Differences with 0, as with symmetric zero points, become it.";
    reassociating "add-zero": "add(?x, 0)" => "?x", if "same_type(?x, ?@), float(?x)",
        "0 is neutral but for -0, which it makes 0.";
    exact "sub-constant": "sub(?x, ?c)" => "add(?x, neg(?c))", if "constant(?c), !constant(?x)",
        "A difference is the sum with the negated number, also where integers wrap. Rules then need to know of sums only.";
    exact "add-neg": "add(?x, neg(?y))" => "sub(?x, ?y)",
        "A difference is the sum with the negated number. Rotations are written so.";
    exact "neg-scale": "neg(?x)" => "mul(?x, -1)", if "float(?x), !constant(?x)",
        "Both change the sign only; as a factor it can be folded into weights.";
    exact "mul-minus-one": "mul(?x, -1)" => "neg(?x)", if "float(?x), same_type(?x, ?@), !constant(?x)",
        "Both change the sign only, and no constant has to be read.";
    exact "div-power-of-two": "div(?x, ?c)" => "mul(?x, reciprocal(?c))", if "constant(?c), power_of_two(?c), !constant(?x)",
        "The reciprocal of a power of two is exact, and so both are the same number, rounded once. Products are faster.";
    reassociating "div-constant": "div(?x, ?c)" => "mul(?x, reciprocal(?c))", if "constant(?c), invertible(?c), !constant(?x)",
        "The reciprocal is rounded and the product again: two units in the last place at most. Products are faster, and fold into weights.";
    exact "integer-add-constants": "add(add(?x, ?a), ?b)" => "add(?x, add(?a, ?b))", if "integer(?x), constant(?a), constant(?b), contained(?a, ?b), !constant(?x), apart(1)",
        "Sums that wrap may be taken in any order. Index arithmetic is written so.";
    reassociating "add-constants": "add(add(?x, ?a), ?b)" => "add(?x, add(?a, ?b))", if "float(?x), constant(?a), constant(?b), contained(?a, ?b), bounded(?a), bounded(?b), !constant(?x), apart(1)",
        "Constants are added once, when compiling.";
    exact "integer-mul-constants": "mul(mul(?x, ?a), ?b)" => "mul(?x, mul(?a, ?b))", if "integer(?x), constant(?a), constant(?b), contained(?a, ?b), !constant(?x), apart(1)",
        "Products that wrap may be taken in any order. Index arithmetic is written so.";
    reassociating "mul-constants": "mul(mul(?x, ?a), ?b)" => "mul(?x, mul(?a, ?b))", if "float(?x), constant(?a), constant(?b), contained(?a, ?b), moderate(?a), moderate(?b), !constant(?x), apart(1)",
        "Constants are multiplied once, when compiling.";
    reassociating "pow-two": "pow(?x, 2)" => "mul(?x, ?x)", if "same_type(?x, ?@), float(?x), !constant(?x)",
        "Both are the square, rounded; a power takes a logarithm and an exponential.";
    reassociating "pow-three": "pow(?x, 3)" => "mul(mul(?x, ?x), ?x)", if "same_type(?x, ?@), float(?x), !constant(?x)",
        "Two roundings instead of those of a logarithm and an exponential. Approximations of GELU hold it.";
    exact "pow-one": "pow(?x, 1)" => "?x", if "float(?x), same_type(?x, ?@)",
        "The first power is the number. Generalised means and norms with their default exponent hold it.";
    reassociating "pow-half": "pow(?x, 0.5)" => "sqrt(?x)", if "same_type(?x, ?@), float(?x), !negative(?x)",
        "They differ for -0 and -inf only: nothing is below zero. Norms are written so.";
    finite "pow-minus-half": "pow(?x, -0.5)" => "reciprocal(sqrt(?x))", if "same_type(?x, ?@), float(?x), !constant(?x)",
        "Two roundings instead of those of a logarithm and an exponential; they differ for -0 and -inf. Normalisations are written so.";
    reassociating "pow-minus-one": "pow(?x, -1)" => "reciprocal(?x)", if "same_type(?x, ?@), float(?x)",
        "Both are the reciprocal, rounded. Normalisations are written so.";
    reassociating "square-sqrt": "mul(sqrt(?x), sqrt(?x))" => "?x", if "float(?x), !negative(?x)",
        "They undo each other, but for roundings. Powers of magnitudes are written so.";
    exact "relu-relu": "relu(relu(?x))" => "relu(?x)",
        "The second finds nothing below zero. Residual blocks in sequence are written so.";
    exact "max-zero": "max(?x, 0)" => "relu(?x)", if "same_type(?x, ?@)",
        "It is the definition.";
    exact "min-max": "min(max(?x, ?a), ?b)" => "clip(?x, ?a, ?b)", if "constant(?a), constant(?b)",
        "It is the definition. Older exporters write clamps so.";
    exact "min-relu": "min(relu(?x), ?b)" => "clip(?x, 0, ?b)", if "constant(?b), fits(?b, ?x)",
        "It is the definition. Clamps after a ReLU are written so.";
    exact "clip-relu": "clip(relu(?x), ?a, ?b)" => "clip(?x, max(?a, 0), ?b)", if "constant(?a)",
        "Maxima may be taken in any order. Activations of six are written so.";
    exact "clip-clip": "clip(clip(?x, ?a, ?b), ?c, ?d)" => "clip(?x, max(?a, ?c), min(max(?b, ?c), ?d))", if "constant(?a), constant(?b), constant(?c), constant(?d)",
        "Maxima distribute over minima. Clamps in sequence, as before a quantisation, are written so.";
    exact "select-true": "select(1, ?a, ?b)" => "?a", if "same_type(?a, ?@)",
        "The condition is known. Masks that turn out to hide nothing are so.";
    exact "select-false": "select(0, ?a, ?b)" => "?b", if "same_type(?b, ?@)",
        "The condition is known. Masks that turn out to hide nothing are so.";
    exact "not-not": "not(not(?x))" => "?x",
        "A truth that is negated twice is the old one. Masks are written so.";
    exact "cast-cast": "cast[to=?d](cast[to=?m](?x))" => "cast[to=?d](?x)", if "lossless(?x, ?m, ?d)",
        "The dtype between holds every number exactly.";
}
