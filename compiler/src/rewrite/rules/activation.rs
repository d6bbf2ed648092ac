//! Activation functions, as exporters and people write them.

use super::{Class, Rule};

rules! {
    exact "sigmoid": "div(1, add(1, exp(neg(?x))))" => "sigmoid(?x)", if "same_type(?x, ?@), wide(?x)",
        "That is its definition.";
    exact "swish-quotient": "div(?x, add(1, exp(neg(?x))))" => "swish[alpha=1.0](?x)", if "same_type(?x, ?@), wide(?x)",
        "That is its definition.";
    reassociating "swish": "mul(?x, sigmoid(?x))" => "swish[alpha=1.0](?x)",
        "A product with a quotient of 1 is a quotient. Exporters have no SiLU.";
    reassociating "swish-scaled": "mul(?x, sigmoid(mul(?x, ?a)))" => "swish[alpha=number(?a)](?x)", if "same_type(?x, ?@), constant(?a), scalar(?a), known(number(?a))",
        "As swish; with 1.702 it stands for GELU in some models.";
    exact "swiglu": "mul(swish[alpha=?a](?x), ?y)" => "swiglu[alpha=?a](?x, ?y)", if "same_type(?x, ?y), !constant(?y)",
        "That is its definition. Gated layers of language models are written so.";
    exact "softplus-threshold": "select(less(20, ?x), ?x, softplus(?x))" => "softplus(?x)", if "same_type(?x, ?@), up_to_f32(?x)",
        "What is added to x beyond 20 is less than half of its last place.";
    reassociating "softplus-log1p": "select(less(20, ?x), ?x, select(less(abs(exp(?x)), ?c), mul(atanh(div(exp(?x), add(exp(?x), 2))), 2), log(add(exp(?x), 1))))" => "softplus(?x)", if "same_type(?x, ?@), up_to_f32(?x), constant(?c)",
        "The logarithm of 1 and a number, by way of another function where the number is small. Decomposed programs of PyTorch hold it.";
    finite "softplus": "log(add(1, exp(?x)))" => "softplus(?x)", if "same_type(?x, ?@)",
        "That is its definition, but for exponentials that overflow.";
    reassociating "mish": "mul(?x, tanh(softplus(?x)))" => "mish(?x)", if "wide(?x)",
        "The tangent of a logarithm is a quotient of exponentials.";
    reassociating "mish-logarithm": "mul(?x, tanh(log(add(1, exp(?x)))))" => "mish(?x)", if "same_type(?x, ?@)",
        "An exponential that overflows gives 1 in the end, as it should.";
    reassociating "hard-sigmoid": "mul(clip(add(?x, 3), 0, 6), ?s)" => "hard_sigmoid[alpha=number(?s), beta=0.5](?x)", if "constant(?s), scalar(?s), near(number(?s), 0.16666667)",
        "Shifted, cut off and scaled, or scaled first.";
    reassociating "hard-swish": "mul(?x, hard_sigmoid[alpha=?a, beta=0.5](?x))" => "hard_swish(?x)", if "near(?a, 0.16666667), up_to_f32(?x)",
        "That is its definition.";
    reassociating "hard-swish-late": "mul(mul(?x, clip(add(?x, 3), 0, 6)), ~0.16666667)" => "hard_swish(?x)", if "same_type(?x, ?@), up_to_f32(?x)",
        "The product is scaled rather than the gate.";
    reassociating "half-gate": "mul(?x, mul(add(?t, 1), 0.5))" => "mul(mul(?x, 0.5), add(?t, 1))", if "same_type(?x, ?@), float(?x)",
        "Of the orders in which GELU's three factors are multiplied, one.";
    reassociating "half-product": "mul(mul(?x, add(?t, 1)), 0.5)" => "mul(mul(?x, 0.5), add(?t, 1))", if "same_type(?x, ?@), float(?x)",
        "Of the orders in which GELU's three factors are multiplied, one.";
    reassociating "gelu": "mul(mul(?x, 0.5), add(erf(mul(?x, ~0.70710678)), 1))" => "gelu[tanh=false](?x)", if "same_type(?x, ?@), up_to_f32(?x)",
        "That is its definition.";
    reassociating "gelu-tanh": "mul(mul(?x, 0.5), add(tanh(mul(add(?x, mul(mul(mul(?x, ?x), ?x), ~0.044715)), ~0.79788456)), 1))" => "gelu[tanh=true](?x)", if "same_type(?x, ?@), up_to_f32(?x)",
        "That is the definition of its approximation.";
    reassociating "gelu-tanh-factored": "mul(mul(?x, 0.5), add(tanh(mul(mul(?x, ~0.79788456), add(mul(mul(?x, ~0.044715), ?x), 1))), 1))" => "gelu[tanh=true](?x)", if "same_type(?x, ?@), up_to_f32(?x)",
        "The same, with x taken out of the polynomial.";
}
