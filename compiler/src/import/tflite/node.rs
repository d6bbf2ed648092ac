//! An operator as the tables' functions see it: operands, options, a builder.

use frit_ir::ops::{add::Add, cast::Cast, clip::Clip, dequantize::Dequantize, max::Max, mul::Mul, quantize::Quantize, relu::Relu, sub::Sub, tanh::Tanh};
use frit_ir::{Builder, DType, Op, OpError, Scalar, Tensor, ValueId};

use super::flat::Table;
use super::schema::{Described, Operator, Quantisation, Subgraph, dtype};
use super::{Importer, Scope};

pub(super) type Value = Result<ValueId, OpError>;
pub(super) type Values = Result<Vec<ValueId>, OpError>;

/// An operator under import.
pub(super) struct Node<'a, 'f> {
    /// Where values are added.
    pub(super) builder: &'a mut Builder,
    pub(super) importer: &'a mut Importer<'f>,
    pub(super) scope: &'a mut Scope,
    pub(super) graph: &'f Subgraph<'f>,
    pub(super) operator: &'f Operator<'f>,
    /// The operands; nothing where an optional one is left out. Quantised ones are floats if `real`.
    pub(super) inputs: Vec<Option<ValueId>>,
    /// The op's name.
    pub(super) op: &'static str,
    /// Are quantised operands and results taken for the numbers that they stand for, rather than as they are stored?
    pub(super) real: bool,
}

/// What of the elements is quantised, if they are bytes or shorts.
pub(super) fn quantised<'d>(tensor: &'d Described<'_>) -> Option<&'d Quantisation> {
    let narrow = matches!(dtype(tensor.number), Ok(DType::I8 | DType::U8 | DType::I16 | DType::I4 | DType::U4 | DType::I2));
    tensor.quantisation.as_ref().filter(|_| narrow)
}

/// Scales and zero points as constants: one number or a vector.
pub(super) fn parameters(builder: &mut Builder, quantisation: &Quantisation, dtype: DType) -> Result<(ValueId, ValueId), OpError> {
    let extents: &[i64] = if quantisation.scales.len() == 1 { &[] } else { &[quantisation.scales.len() as i64] };
    let scale = builder.constant(Tensor::from_slice(extents, &quantisation.scales));
    let zeros = quantisation.zeros.iter().map(|zero| Scalar::Int(i128::from(*zero)));
    let zero = builder.constant(Tensor::from_scalars(dtype, extents, zeros)?);
    Ok((scale, zero))
}

/// What quantised numbers stand for.
pub(super) fn dequantised(builder: &mut Builder, value: ValueId, quantisation: &Quantisation) -> Value {
    let (scale, zero) = parameters(builder, quantisation, builder.dtype(value))?;
    builder.apply(Dequantize { to: DType::F32, axis: quantisation.axis as i64, block: 0 }, &[value, scale, zero])
}

impl<'f> Node<'_, 'f> {
    /// A required operand.
    pub(super) fn input(&self, at: usize) -> Value {
        self.optional(at).ok_or_else(|| OpError::invalid(format!("operand {at} of '{}' is missing", self.op)))
    }

    /// An optional operand.
    pub(super) fn optional(&self, at: usize) -> Option<ValueId> {
        self.inputs.get(at).copied().flatten()
    }

    /// All operands; none may be left out.
    pub(super) fn all_inputs(&self) -> Values {
        (0..self.inputs.len()).map(|at| self.input(at)).collect()
    }

    /// What the file says of an operand, if it is there.
    pub(super) fn operand(&self, at: usize) -> Option<&'f Described<'f>> {
        self.operator.inputs.get(at).copied().flatten().map(|tensor| &self.graph.tensors[tensor])
    }

    /// What the file says of a result.
    pub(super) fn result(&self, at: usize) -> Result<&'f Described<'f>, OpError> {
        self.operator.outputs.get(at).map(|tensor| &self.graph.tensors[*tensor]).ok_or_else(|| OpError::invalid(format!("'{}' has no result {at}", self.op)))
    }

    /// What a variable among the operands holds now.
    pub(super) fn state(&mut self, at: usize) -> Value {
        let tensor = self.operator.inputs.get(at).copied().flatten().ok_or_else(|| OpError::invalid(format!("operand {at} of '{}' is missing", self.op)))?;
        self.importer.state(self.builder, self.scope, self.graph, tensor)
    }

    /// Says what it holds from now on.
    pub(super) fn set_state(&mut self, at: usize, value: ValueId) -> Result<(), OpError> {
        let tensor = self.operator.inputs.get(at).copied().flatten().ok_or_else(|| OpError::invalid(format!("operand {at} of '{}' is missing", self.op)))?;
        self.scope.values.insert(tensor, super::Bound::Value(value));
        Ok(())
    }

    /// The dtype that the file declares for a result.
    pub(super) fn result_dtype(&self, at: usize) -> Result<DType, OpError> {
        dtype(self.result(at)?.number)
    }

    /// How an operand is quantised, if it is.
    pub(super) fn quantised(&self, at: usize) -> Option<&'f Quantisation> {
        self.operand(at).and_then(quantised)
    }

    /// How a result is quantised, if it is.
    pub(super) fn quantised_result(&self, at: usize) -> Result<Option<&'f Quantisation>, OpError> {
        Ok(quantised(self.result(at)?))
    }

    fn option<T>(&self, default: T, read: impl Fn(&Table<'f>) -> Result<T, OpError>) -> Result<T, OpError> {
        self.operator.options.as_ref().map_or(Ok(default), read)
    }

    /// An option that is a flag.
    pub(super) fn flag(&self, slot: usize) -> Result<bool, OpError> {
        self.option(false, |table| table.flag(slot))
    }

    /// An option that is an integer: 0 unless the file says more, as in the schema.
    pub(super) fn int(&self, slot: usize) -> Result<i64, OpError> {
        self.option(0, |table| table.i32(slot, 0)).map(i64::from)
    }

    /// A dilation: the only integers that are 1 unless the file says more.
    pub(super) fn dilation(&self, slot: usize) -> Result<i64, OpError> {
        self.option(1, |table| table.i32(slot, 1)).map(i64::from)
    }

    /// An option that is one of a few.
    pub(super) fn choice(&self, slot: usize) -> Result<i8, OpError> {
        self.option(0, |table| table.i8(slot, 0))
    }

    /// An option that is a float.
    pub(super) fn float(&self, slot: usize) -> Result<f64, OpError> {
        self.option(0.0, |table| table.f32(slot, 0.0)).map(f64::from)
    }

    /// An option that is a list of integers.
    pub(super) fn ints(&self, slot: usize) -> Result<Vec<i64>, OpError> {
        self.option(Vec::new(), |table| table.i32s(slot)).map(|list| list.into_iter().map(i64::from).collect())
    }

    /// An axis of an operand, counted as in Python.
    pub(super) fn axis(&self, axis: i64, at: usize) -> Result<usize, OpError> {
        frit_ir::shape::axis(axis, self.builder.rank(self.input(at)?)?)
    }

    /// An operand that holds shapes, axes or the like, as i64.
    pub(super) fn indices(&mut self, at: usize) -> Value {
        let value = self.input(at)?;
        self.cast(value, DType::I64)
    }

    /// The same as a vector: one number becomes one of one element.
    pub(super) fn index_list(&mut self, at: usize) -> Value {
        let value = self.indices(at)?;
        if self.builder.rank(value)? == 0 { self.reshaped(value, &[1]) } else { Ok(value) }
    }

    /// The integers of an operand that must be known.
    pub(super) fn known(&mut self, at: usize) -> Result<Vec<i64>, OpError> {
        let value = self.indices(at)?;
        self.builder.as_ints(value)
    }

    /// Adds an op of one result.
    pub(super) fn apply(&mut self, op: impl Into<Op>, inputs: &[ValueId]) -> Value {
        self.builder.apply(op, inputs)
    }

    /// Adds an op of one result whose operands are the node's first `count`.
    pub(super) fn simple(&mut self, op: impl Into<Op>, count: usize) -> Values {
        let inputs = (0..count).map(|at| self.input(at)).collect::<Result<Vec<_>, _>>()?;
        self.builder.apply_all(op, &inputs)
    }

    /// A conversion; nothing where the dtype is right already.
    pub(super) fn cast(&mut self, value: ValueId, to: DType) -> Value {
        if self.builder.dtype(value) == to { Ok(value) } else { self.apply(Cast { to }, &[value]) }
    }

    /// The same elements under another shape.
    pub(super) fn reshaped(&mut self, value: ValueId, extents: &[i64]) -> Value {
        self.apply(frit_ir::ops::reshape::Reshape { extents: extents.to_vec() }, &[value])
    }

    /// A number of a value's dtype.
    pub(super) fn number(&mut self, like: ValueId, number: f64) -> ValueId {
        self.builder.scalar(self.builder.dtype(like), number)
    }

    pub(super) fn add(&mut self, a: ValueId, b: ValueId) -> Value {
        self.apply(Add {}, &[a, b])
    }

    pub(super) fn sub(&mut self, a: ValueId, b: ValueId) -> Value {
        self.apply(Sub {}, &[a, b])
    }

    pub(super) fn mul(&mut self, a: ValueId, b: ValueId) -> Value {
        self.apply(Mul {}, &[a, b])
    }

    /// A value between two numbers.
    pub(super) fn between(&mut self, value: ValueId, low: f64, high: f64) -> Value {
        let bounds = [self.number(value, low), self.number(value, high)];
        self.apply(Clip {}, &[value, bounds[0], bounds[1]])
    }

    /// A value after the activation that an option names.
    pub(super) fn activated(&mut self, value: ValueId, slot: usize) -> Value {
        match self.choice(slot)? {
            0 => Ok(value),
            1 if self.builder.dtype(value).is_float() => self.apply(Relu {}, &[value]),
            1 => {
                let zero = self.number(value, 0.0);
                self.apply(Max {}, &[value, zero])
            }
            2 => self.between(value, -1.0, 1.0),
            3 => self.between(value, 0.0, 6.0),
            4 => self.apply(Tanh {}, &[value]),
            other => Err(OpError::unsupported(format!("activation {other} of '{}' is not supported", self.op))),
        }
    }

    /// Floats as the file stores a result.
    pub(super) fn quantise(&mut self, value: ValueId, at: usize) -> Value {
        let tensor = self.result(at)?;
        let Some(quantisation) = quantised(tensor) else { return Ok(value) };
        let to = dtype(tensor.number)?;
        let (scale, zero) = parameters(self.builder, quantisation, to)?;
        self.apply(Quantize { to, axis: quantisation.axis as i64, block: 0 }, &[value, scale, zero])
    }
}
