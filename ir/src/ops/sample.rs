//! What ops share: checks of dtypes, broadcasting loop nests, and sample applications for tests.
//!
//! In: operand types. Out: loop nests and [`Sample`]s. Must not know: single ops.

use crate::compute::Compute;
use crate::dtype::{Class, DType};
use crate::error::OpError;
use crate::expr::{ExprId, Exprs, Source};
use crate::ops::Op;
use crate::shape::{TensorType, broadcast};
use crate::tensor::Tensor;

/// Which dtypes an op takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Classes {
    /// Floats.
    Floats,
    /// Integers.
    Ints,
    /// Floats and integers.
    Numbers,
    /// Bool only.
    Bools,
    /// Integers and bool.
    Bits,
    /// Anything but text.
    All,
}

impl Classes {
    /// Is the dtype among them?
    pub fn contain(self, dtype: DType) -> bool {
        match dtype.class() {
            Class::Float => matches!(self, Classes::Floats | Classes::Numbers | Classes::All),
            Class::Signed | Class::Unsigned => matches!(self, Classes::Ints | Classes::Numbers | Classes::Bits | Classes::All),
            Class::Bool => matches!(self, Classes::Bools | Classes::Bits | Classes::All),
            Class::Text => false,
        }
    }

    fn examples(self) -> Vec<DType> {
        [DType::F32, DType::F64, DType::F16, DType::I32, DType::I64, DType::U8, DType::I8, DType::Bool].into_iter().filter(|d| self.contain(*d)).collect()
    }
}

/// Checks that all operands have one dtype of the given classes.
///
/// # Errors
/// Invalid where they don't.
pub fn one_dtype(op: &str, types: &[&TensorType], classes: Classes) -> Result<(), OpError> {
    let first = types[0].dtype;
    if let Some(other) = types.iter().find(|ty| ty.dtype != first) {
        return Err(OpError::invalid(format!("op '{op}' takes operands of one dtype, not {first} and {}", other.dtype)).help("insert a cast"));
    }
    if classes.contain(first) { Ok(()) } else { Err(OpError::invalid(format!("op '{op}' does not take {first}"))) }
}

/// The dtype that `elementwise!` names as a result.
pub(crate) fn result_dtype(name: &str) -> DType {
    name.parse().unwrap_or(DType::Bool)
}

/// The index of an operand of shape `extents` that is broadcast to the axes `at`.
pub fn broadcast_index(e: &mut Exprs, extents: &[i64], at: &[ExprId]) -> Vec<ExprId> {
    let skipped = at.len() - extents.len();
    extents.iter().zip(&at[skipped..]).map(|(extent, i)| if *extent == 1 { e.int(0) } else { *i }).collect()
}

/// A nest that applies an expression to the elements of operands that are broadcast together.
///
/// # Errors
/// As [`broadcast`]; unknown where an extent is open.
pub fn broadcast_nest(dtype: DType, args: &[&TensorType], value: impl FnOnce(&mut Exprs, &[ExprId]) -> ExprId) -> Result<Compute, OpError> {
    let extents = TensorType::ranked(dtype, broadcast(args)?).extents()?;
    let operands = args.iter().map(|ty| ty.extents()).collect::<Result<Vec<_>, _>>()?;
    Ok(Compute::map(dtype, &extents, |e, at| {
        let loads: Vec<ExprId> = operands
            .iter()
            .zip(args)
            .enumerate()
            .map(|(k, (shape, ty))| {
                let index = broadcast_index(e, shape, at);
                e.load(Source(k as u32), ty.dtype, index)
            })
            .collect();
        value(e, &loads)
    }))
}

/// Computes in the accumulator's dtype of `x` and rounds the result to the dtype of `x`.
pub fn wide(e: &mut Exprs, x: ExprId, value: impl FnOnce(&mut Exprs, ExprId) -> ExprId) -> ExprId {
    let dtype = e.dtype(x);
    let x = e.cast(dtype.accumulator(), x);
    let y = value(e, x);
    e.cast(dtype, y)
}

/// Which values a sample draws.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Domain {
    /// Ordinary values around zero, with NaN, infinities and both zeros (floats) or extremes (integers) mixed in.
    Any,
    /// Ordinary values around zero and nothing else.
    Ordinary,
    /// Values between two bounds.
    Between(f64, f64),
}

/// One operand of a sample.
#[derive(Clone, PartialEq, Debug)]
pub enum Input {
    /// Drawn at random.
    Drawn(DType, Vec<i64>, Domain),
    /// A given tensor, passed at run time.
    Given(Tensor),
    /// A given tensor that must be a constant of the program.
    Constant(Tensor),
}

/// An application of an op for tests.
#[derive(Clone, PartialEq, Debug)]
pub struct Sample {
    /// The op.
    pub op: Op,
    /// Its operands.
    pub inputs: Vec<Input>,
}

impl Sample {
    /// A sample with drawn operands.
    pub fn drawn(op: impl Into<Op>, domain: Domain, inputs: &[(DType, &[i64])]) -> Self {
        Self { op: op.into(), inputs: inputs.iter().map(|(dtype, extents)| Input::Drawn(*dtype, extents.to_vec(), domain)).collect() }
    }
}

/// Samples of an elementwise op: every dtype it takes; odd, empty, size-1 and large shapes; broadcasting.
pub fn elementwise_samples(op: impl Into<Op>, operands: usize, classes: Classes, domain: Domain) -> Vec<Sample> {
    let op = op.into();
    let mut samples = Vec::new();
    for dtype in classes.examples() {
        for extents in [&[2i64, 3, 5][..], &[], &[0, 4], &[1], &[67]] {
            samples.push(Sample::drawn(op.clone(), domain, &vec![(dtype, extents); operands]));
        }
    }
    let dtype = classes.examples()[0];
    samples.push(Sample::drawn(op.clone(), domain, &vec![(dtype, &[70_001i64][..]); operands]));
    if operands > 1 {
        for shapes in [[&[3i64, 1, 5][..], &[4, 1], &[1]], [&[7], &[3, 7], &[]], [&[2, 1, 1], &[2, 3, 17], &[17]]] {
            let inputs: Vec<(DType, &[i64])> = (0..operands).map(|k| (dtype, shapes[k % 3])).collect();
            samples.push(Sample::drawn(op.clone(), domain, &inputs));
        }
    }
    samples
}
