//! Sums of products, by an equation.
use crate::build::Builder;
use crate::compute::{Combine, Compute};
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::Source;
use crate::graph::ValueId;
use crate::ops::compose::{reshape, transpose};
use crate::ops::{Arg, Arity, Body, Domain, OpDef, Sample, Tolerance, at_least, matmul::MatMul};
use crate::shape::{Dim, TensorType};

op! {
    /// `einsum(x..)` by an equation such as `bij,bjk->bik`: one letter names one axis, letters that the result does not name
    /// are summed over, `...` stands for any number of axes that broadcast. A letter twice in an operand takes the diagonal.
    /// Without `->` the result names the letters that occur once, in order, after the `...`. Narrow floats are accumulated in
    /// f32. Source: NumPy `einsum`, ONNX `Einsum`.
    pub struct Einsum = "einsum" {
        /// The equation.
        pub equation: String,
    }
}

/// What names an axis: a letter, or a place in the dots counted from the last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Label {
    Dots(usize),
    Letter(char),
}

/// An equation for operands of given ranks.
#[derive(Debug)]
struct Plan {
    operands: Vec<Vec<Label>>,
    result: Vec<Label>,
}

impl Plan {
    fn new(equation: &str, ranks: &[usize]) -> Result<Self, OpError> {
        let wrong = |why: &str| OpError::invalid(format!("equation '{equation}' for operands of {ranks:?} axes: {why}"));
        let text: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
        let (left, right) = text.split_once("->").map_or((text.as_str(), None), |(left, right)| (left, Some(right)));
        let terms: Vec<&str> = left.split(',').collect();
        if terms.len() != ranks.len() {
            return Err(wrong("the numbers of operands differ"));
        }
        let mut dots = 0;
        let mut operands = Vec::new();
        for (term, rank) in terms.iter().zip(ranks) {
            let letters = term.replacen("...", "", 1).chars().count();
            let hidden = rank.checked_sub(letters).ok_or_else(|| wrong("an operand has too few axes"))?;
            if hidden > 0 && !term.contains("...") {
                return Err(wrong("an operand has too many axes"));
            }
            if term.contains("...") {
                dots = dots.max(hidden);
            }
            operands.push(labels(term, hidden).ok_or_else(|| wrong("axes are named by letters"))?);
        }
        let result = match right {
            Some(right) => labels(right, dots).ok_or_else(|| wrong("axes are named by letters"))?,
            None => {
                let all: Vec<Label> = operands.iter().flatten().copied().collect();
                let mut once: Vec<Label> = all.iter().filter(|l| matches!(l, Label::Letter(_)) && all.iter().filter(|k| k == l).count() == 1).copied().collect();
                once.sort();
                (0..dots).rev().map(Label::Dots).chain(once).collect()
            }
        };
        let known = result.iter().all(|l| operands.iter().any(|operand| operand.contains(l)));
        let unique = result.iter().enumerate().all(|(k, l)| !result[..k].contains(l));
        if known && unique { Ok(Self { operands, result }) } else { Err(wrong("the result names an axis twice, or one that no operand has")) }
    }

    /// The extent of a label's axes, of which those of 1 broadcast.
    fn dim(&self, label: Label, shapes: &[&[Dim]]) -> Result<Dim, OpError> {
        let mut found = Dim::Known(1);
        for (labels, dims) in self.operands.iter().zip(shapes) {
            for (_, dim) in labels.iter().zip(*dims).filter(|(l, _)| **l == label) {
                match (found.known(), dim.known()) {
                    (_, Some(1)) => {}
                    (Some(1), _) => found = dim.clone(),
                    (Some(a), Some(b)) if a != b => return Err(OpError::invalid(format!("an axis of an equation is {a} in one operand and {b} in another"))),
                    (None, Some(_)) => found = dim.clone(),
                    // Either may turn out to be 1, and then the other counts.
                    (None, None) if !found.provably_equal(dim) => found = Dim::Unknown,
                    _ => {}
                }
            }
        }
        Ok(found)
    }

    /// Labels that are summed over, in the order of first use.
    fn summed(&self) -> Vec<Label> {
        let mut summed = Vec::new();
        for label in self.operands.iter().flatten() {
            if !self.result.contains(label) && !summed.contains(label) {
                summed.push(*label);
            }
        }
        summed
    }

    /// Is it a product of two (batched) matrices, but for the order of axes?
    fn is_product(&self, shapes: &[Vec<i64>]) -> bool {
        let [left, right] = &self.operands[..] else { return false };
        let distinct = |labels: &[Label]| labels.iter().enumerate().all(|(k, l)| !labels[..k].contains(l));
        let extent = |k: usize, label: &Label| self.operands[k].iter().position(|l| l == label).map(|at| shapes[k][at]);
        let shared_equal = left.iter().all(|l| extent(1, l).is_none_or(|n| Some(n) == extent(0, l)));
        let no_lone_sum = self.summed().iter().all(|l| left.contains(l) && right.contains(l));
        distinct(left) && distinct(right) && shared_equal && no_lone_sum
    }
}

fn labels(term: &str, dots: usize) -> Option<Vec<Label>> {
    let (before, after) = term.split_once("...").map_or((term, None), |(a, b)| (a, Some(b)));
    let letters = |text: &str| text.chars().map(|c| c.is_alphabetic().then_some(Label::Letter(c))).collect::<Option<Vec<_>>>();
    let mut all = letters(before)?;
    if let Some(after) = after {
        all.extend((0..dots).rev().map(Label::Dots));
        all.extend(letters(after)?);
    }
    Some(all)
}

impl OpDef for Einsum {
    derived!();
    fn arity(&self) -> Arity {
        at_least(1)
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let dtype = args[0].ty.dtype;
        if args.iter().any(|arg| arg.ty.dtype != dtype) {
            return Err(OpError::invalid("operands of 'einsum' have several dtypes").help("insert a cast"));
        }
        let shapes = args.iter().map(|arg| arg.ty.dims()).collect::<Result<Vec<_>, _>>()?;
        let plan = Plan::new(&self.equation, &shapes.iter().map(|dims| dims.len()).collect::<Vec<_>>())?;
        for label in plan.summed() {
            plan.dim(label, &shapes)?;
        }
        let dims = plan.result.iter().map(|label| plan.dim(*label, &shapes)).collect::<Result<_, _>>()?;
        Ok(vec![TensorType::ranked(dtype, dims)])
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        let dtype = args[0].dtype;
        let shapes = args.iter().map(|ty| ty.extents()).collect::<Result<Vec<_>, _>>()?;
        let plan = Plan::new(&self.equation, &shapes.iter().map(Vec::len).collect::<Vec<_>>())?;
        if plan.is_product(&shapes) {
            return Ok(Body::Expansion);
        }
        let dims = args.iter().map(|ty| ty.dims()).collect::<Result<Vec<_>, _>>()?;
        let extents = |labels: &[Label]| labels.iter().map(|l| plan.dim(*l, &dims)?.known().ok_or_else(OpError::unknown)).collect::<Result<Vec<i64>, _>>();
        let summed = plan.summed();
        let (outer, inner) = (extents(&plan.result)?, extents(&summed)?);
        Ok(Body::Loops(vec![Compute::reduction(dtype, &outer, &inner, Combine::Sum, |e, at, r| {
            let mut product = None;
            for (k, labels) in plan.operands.iter().enumerate() {
                let index = labels
                    .iter()
                    .zip(&shapes[k])
                    .map(|(label, extent)| {
                        if *extent == 1 {
                            return e.int(0);
                        }
                        let place = plan.result.iter().position(|l| l == label).map(|i| at[i]);
                        place.or_else(|| summed.iter().position(|l| l == label).map(|i| r[i])).unwrap_or_else(|| e.int(0))
                    })
                    .collect();
                let x = e.load(Source(k as u32), dtype, index);
                let x = e.cast(dtype.accumulator(), x);
                product = Some(product.map_or(x, |y| e.mul(y, x)));
            }
            product.unwrap_or_else(|| e.constant(crate::scalar::Scalar::one(dtype), dtype.accumulator()))
        })]))
    }
    fn expand(&self, b: &mut Builder, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let shapes = inputs.iter().map(|x| b.extents(*x)).collect::<Result<Vec<_>, _>>()?;
        let plan = Plan::new(&self.equation, &shapes.iter().map(Vec::len).collect::<Vec<_>>())?;
        let [left, right] = &plan.operands[..] else { return Err(OpError::bug("only a product of two operands is expanded")) };
        let pick = |labels: &[Label], test: &dyn Fn(&Label) -> bool| labels.iter().filter(|l| test(l)).copied().collect::<Vec<_>>();
        let batch = pick(left, &|l| right.contains(l) && plan.result.contains(l));
        let summed = pick(left, &|l| !plan.result.contains(l));
        let (rows, columns) = (pick(left, &|l| !right.contains(l)), pick(right, &|l| !left.contains(l)));
        let arrange = |b: &mut Builder, k: usize, groups: [&[Label]; 3]| {
            let labels = &plan.operands[k];
            let order: Vec<usize> = groups.iter().flat_map(|g| g.iter()).filter_map(|l| labels.iter().position(|m| m == l)).collect();
            let moved = transpose(b, inputs[k], &order)?;
            let extents: Vec<i64> = groups.iter().map(|g| g.iter().filter_map(|l| labels.iter().position(|m| m == l)).map(|at| shapes[k][at]).product()).collect();
            reshape(b, moved, &extents)
        };
        let x = arrange(b, 0, [&batch, &rows, &summed])?;
        let y = arrange(b, 1, [&batch, &summed, &columns])?;
        let product = b.apply(MatMul {}, &[x, y])?;
        let order: Vec<Label> = [batch, rows, columns].concat();
        let extent = |label: &Label| (0..2).find_map(|k| plan.operands[k].iter().position(|l| l == label).map(|at| shapes[k][at])).unwrap_or(1);
        let apart = reshape(b, product, &order.iter().map(extent).collect::<Vec<_>>())?;
        let perm: Vec<usize> = plan.result.iter().filter_map(|l| order.iter().position(|m| m == l)).collect();
        Ok(vec![transpose(b, apart, &perm)?])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 16.0)
    }
}

impl Einsum {
    pub(crate) fn samples() -> Vec<Sample> {
        let sample = |equation: &str, shapes: &[&[i64]]| {
            let inputs: Vec<(DType, &[i64])> = shapes.iter().map(|shape| (DType::F32, *shape)).collect();
            Sample::drawn(Einsum { equation: equation.into() }, Domain::Ordinary, &inputs)
        };
        vec![
            sample("bij,bjk->bik", &[&[2, 3, 4], &[2, 4, 5]]),
            sample("bhid,bjhd->bijh", &[&[2, 3, 4, 5], &[2, 6, 3, 5]]),
            sample("ii->i", &[&[5, 5]]),
            sample("...ij,...jk", &[&[2, 1, 3, 4], &[7, 4, 5]]),
            sample("ij,jk,kl->il", &[&[3, 4], &[4, 5], &[5, 2]]),
            sample("ij->", &[&[3, 4]]),
            sample("i,j->ji", &[&[3], &[4]]),
        ]
    }
}
