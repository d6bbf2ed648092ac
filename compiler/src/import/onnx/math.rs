//! Elementwise ops, reductions, activations, quantisation.

use frit_ir::ops::{abs::Abs, add::Add, cast::Cast, div::Div, equal::Equal, exp::Exp, max::Max, mul::Mul, neg::Neg, relu::Relu, select::Select, sub::Sub};
use frit_ir::{OpError, ValueId};

use super::{Handler, Node};

type Values = Result<Vec<ValueId>, OpError>;

pub(super) const OPS: &[(&str, Handler)] = &[
    ("Abs", |n| n.simple(Abs {}, 1)),
    ("Add", |n| n.simple(Add {}, 2)),
    ("Cast", cast),
    ("Div", |n| n.simple(Div {}, 2)),
    ("Equal", |n| n.simple(Equal {}, 2)),
    ("Exp", |n| n.simple(Exp {}, 1)),
    ("Max", variadic_max),
    ("Mul", |n| n.simple(Mul {}, 2)),
    ("Neg", |n| n.simple(Neg {}, 1)),
    ("Relu", |n| n.simple(Relu {}, 1)),
    ("Sub", |n| n.simple(Sub {}, 2)),
    ("Where", |n| n.simple(Select {}, 3)),
];

fn cast(n: &mut Node<'_, '_>) -> Values {
    let to = n.maybe_dtype("to")?.ok_or_else(|| n.missing("to"))?;
    n.simple(Cast { to }, 1)
}

fn variadic_max(n: &mut Node<'_, '_>) -> Values {
    let inputs = n.all_inputs()?;
    let mut result = n.input(0)?;
    for next in &inputs[1..] {
        result = n.apply(Max {}, &[result, *next])?;
    }
    Ok(vec![result])
}
