//! A call of an operator as the tables' functions see it: arguments by name, a graph under construction.

use frit_ir::ops::{concat::Concat, reshape_to::ReshapeTo, shape_of::ShapeOf};
use frit_ir::shape::axis;
use frit_ir::{Builder, DType, Dim, Op, OpError, Scalar, Tensor, ValueId};

use super::promote::{self, Operand};
use super::schema::Schema;
use super::{Context, write};
use crate::import::pytorch::alias::{TensorId, View};
use crate::import::pytorch::storage;
use crate::import::pytorch::value::{Symbol, Value};

/// A call under import.
pub(crate) struct Call<'a> {
    pub(super) context: &'a mut Context,
    /// The operator's name, without its namespace if that is `aten`.
    pub(super) name: &'a str,
    pub(super) schema: &'static Schema,
    /// The arguments, in the order of the parameters.
    pub(super) values: Vec<Value>,
}

/// What handlers give.
pub(super) type Values = Result<Vec<Value>, OpError>;

impl Call<'_> {
    /// The graph.
    pub(super) fn builder(&mut self) -> &mut Builder {
        &mut self.context.builder
    }

    /// An argument; nothing where the signature has none of that name.
    pub(super) fn get(&self, name: &str) -> &Value {
        const NONE: &Value = &Value::None;
        self.schema.parameters.iter().position(|parameter| parameter.name == name).and_then(|at| self.values.get(at)).unwrap_or(NONE)
    }

    /// The first argument, whatever its name is.
    pub(super) fn first(&mut self) -> Result<ValueId, OpError> {
        let value = self.values.first().cloned().unwrap_or(Value::None);
        self.tensor_of(&value, "the first argument")
    }

    /// Complains about an argument.
    pub(super) fn wrong(&self, name: &str) -> OpError {
        OpError::unsupported(format!("argument '{name}' of '{}' is {}, which is not supported", self.name, self.get(name).words()))
    }

    fn tensor_of(&mut self, value: &Value, name: &str) -> Result<ValueId, OpError> {
        match value {
            Value::Tensor(tensor) => self.context.read(*tensor),
            Value::Symbol(symbol) => Ok(symbol.value),
            Value::Bool(_) | Value::Int(_) | Value::Float(_) => Ok(self.number(value, None)?.0),
            _ => Err(OpError::unsupported(format!("'{}' gets {} as {name}, which is not supported", self.name, value.words()))),
        }
    }

    /// A number as a tensor of rank 0: of its own dtype or the one that is given.
    pub(super) fn number(&mut self, value: &Value, dtype: Option<DType>) -> Result<(ValueId, DType), OpError> {
        let (own, scalar) = match value {
            Value::Bool(x) => (DType::Bool, Scalar::Bool(*x)),
            Value::Int(x) => (DType::I64, Scalar::Int(i128::from(*x))),
            Value::Float(x) => (promote::DEFAULT, Scalar::Float(*x)),
            Value::Symbol(symbol) => {
                let own = if self.context.builder.dtype(symbol.value).is_float() { promote::DEFAULT } else { self.context.builder.dtype(symbol.value) };
                return Ok((promote::cast(&mut self.context.builder, symbol.value, dtype.unwrap_or(own))?, own));
            }
            _ => return Err(OpError::unsupported(format!("'{}' gets {}, which is not a number", self.name, value.words()))),
        };
        let scalar = frit_ir::scalar::cast(scalar, dtype.unwrap_or(own));
        Ok((self.context.builder.constant(Tensor::scalar(dtype.unwrap_or(own), scalar)), own))
    }

    /// A tensor.
    pub(super) fn tensor(&mut self, name: &str) -> Result<ValueId, OpError> {
        let value = self.get(name).clone();
        self.tensor_of(&value, &format!("'{name}'"))
    }

    /// A tensor that may be left out.
    pub(super) fn maybe_tensor(&mut self, name: &str) -> Result<Option<ValueId>, OpError> {
        if self.get(name).is_none() { Ok(None) } else { self.tensor(name).map(Some) }
    }

    /// The tensor itself rather than its value.
    pub(super) fn id(&self, name: &str) -> Result<TensorId, OpError> {
        match self.get(name) {
            Value::Tensor(tensor) => Ok(*tensor),
            _ => Err(self.wrong(name)),
        }
    }

    /// A list of tensors.
    pub(super) fn tensors(&mut self, name: &str) -> Result<Vec<ValueId>, OpError> {
        let list = self.get(name).elements().ok_or_else(|| self.wrong(name))?.to_vec();
        list.iter().map(|value| self.tensor_of(value, &format!("an element of '{name}'"))).collect()
    }

    /// A list of tensors some of which may be left out.
    pub(super) fn maybe_tensors(&mut self, name: &str) -> Result<Vec<Option<ValueId>>, OpError> {
        let list = self.get(name).elements().ok_or_else(|| self.wrong(name))?.to_vec();
        list.iter().map(|value| if value.is_none() { Ok(None) } else { self.tensor_of(value, &format!("an element of '{name}'")).map(Some) }).collect()
    }

    /// Is an argument there, and not None?
    pub(super) fn has(&self, name: &str) -> bool {
        !self.get(name).is_none()
    }

    /// An integer that may be left out.
    pub(super) fn maybe_int(&self, name: &str) -> Result<Option<i64>, OpError> {
        match self.get(name) {
            Value::None => Ok(None),
            value => self.to_int(value, name).map(Some),
        }
    }

    fn to_int(&self, value: &Value, name: &str) -> Result<i64, OpError> {
        match value {
            Value::Int(n) => Ok(*n),
            Value::Bool(x) => Ok(i64::from(*x)),
            Value::Float(x) if x.fract() == 0.0 && x.abs() < 9e15 => Ok(*x as i64),
            Value::Symbol(symbol) => self.known(symbol.value),
            Value::Tensor(tensor) => self.known(self.context.aliases.content(self.context.aliases.cell(*tensor)).0),
            _ => Err(self.wrong(name)),
        }
    }

    fn known(&self, value: ValueId) -> Result<i64, OpError> {
        self.context.builder.as_ints(value)?.first().copied().ok_or_else(OpError::unknown)
    }

    /// An integer.
    pub(super) fn int(&self, name: &str) -> Result<i64, OpError> {
        self.maybe_int(name)?.ok_or_else(|| self.wrong(name))
    }

    /// A truth value.
    pub(super) fn flag(&self, name: &str) -> Result<bool, OpError> {
        match self.get(name) {
            Value::None => Ok(false),
            value => self.to_int(value, name).map(|n| n != 0),
        }
    }

    /// A float that may be left out.
    pub(super) fn maybe_float(&self, name: &str) -> Result<Option<f64>, OpError> {
        Ok(match self.get(name) {
            Value::None => None,
            Value::Float(x) => Some(*x),
            Value::Int(n) => Some(*n as f64),
            Value::Bool(x) => Some(f64::from(*x)),
            Value::Symbol(symbol) => Some(self.context.builder.as_constant(symbol.value).filter(|tensor| tensor.elems() == 1).ok_or_else(OpError::unknown)?.get(0).as_f64()),
            _ => return Err(self.wrong(name)),
        })
    }

    /// A float.
    pub(super) fn float(&self, name: &str) -> Result<f64, OpError> {
        self.maybe_float(name)?.ok_or_else(|| self.wrong(name))
    }

    /// Text that may be left out.
    pub(super) fn maybe_text(&self, name: &str) -> Result<Option<&str>, OpError> {
        match self.get(name) {
            Value::None => Ok(None),
            Value::Str(text) => Ok(Some(text)),
            _ => Err(self.wrong(name)),
        }
    }

    /// A dtype that may be left out.
    pub(super) fn maybe_dtype(&self, name: &str) -> Result<Option<DType>, OpError> {
        match self.get(name) {
            Value::None => Ok(None),
            Value::Dtype(dtype) => Ok(Some(*dtype)),
            Value::Int(number) => storage::dtype(*number).map(Some),
            Value::ComplexDtype(_) => Err(OpError::unsupported(format!("complex numbers are not supported in '{}'", self.name))),
            _ => Err(self.wrong(name)),
        }
    }

    /// A list of integers that may be left out. One number is a list of it.
    pub(super) fn maybe_ints(&self, name: &str) -> Result<Option<Vec<i64>>, OpError> {
        let value = self.get(name);
        match value.elements() {
            _ if value.is_none() => Ok(None),
            Some(list) => list.iter().map(|value| self.to_int(value, name)).collect::<Result<_, _>>().map(Some),
            None => Ok(Some(vec![self.to_int(value, name)?])),
        }
    }

    /// The integers of a tensor that is known.
    pub(super) fn known_ints(&mut self, name: &str) -> Result<Vec<i64>, OpError> {
        let value = self.tensor(name)?;
        self.context.builder.as_ints(value)
    }

    /// A list of integers.
    pub(super) fn ints(&self, name: &str) -> Result<Vec<i64>, OpError> {
        self.maybe_ints(name)?.ok_or_else(|| self.wrong(name))
    }

    /// One integer for each of `count` axes; a list of one stands for all.
    pub(super) fn per_axis(&self, name: &str, count: usize) -> Result<Vec<i64>, OpError> {
        let list = self.ints(name)?;
        match list.as_slice() {
            [one] => Ok(vec![*one; count]),
            _ if list.len() == count => Ok(list),
            _ => Err(OpError::invalid(format!("argument '{name}' of '{}' has {} numbers for {count} axes", self.name, list.len()))),
        }
    }

    /// A list of floats that may be left out.
    pub(super) fn maybe_floats(&self, name: &str) -> Result<Option<Vec<f64>>, OpError> {
        let number = |value: &Value| match value {
            Value::Float(x) => Ok(*x),
            Value::Int(n) => Ok(*n as f64),
            _ => Err(self.wrong(name)),
        };
        match self.get(name) {
            Value::None => Ok(None),
            Value::Float(x) => Ok(Some(vec![*x])),
            value => value.elements().ok_or_else(|| self.wrong(name))?.iter().map(number).collect::<Result<_, _>>().map(Some),
        }
    }

    /// An axis of a tensor, counted as in Python; a tensor without axes has one for this.
    pub(super) fn axis(&self, name: &str, of: ValueId) -> Result<usize, OpError> {
        axis(self.int(name)?, self.context.builder.rank(of)?.max(1))
    }

    /// Axes of a tensor, ascending; all of them where the list is left out or, as `empty_is_all` says, empty.
    pub(super) fn axes(&self, name: &str, of: ValueId, empty_is_all: bool) -> Result<Vec<usize>, OpError> {
        let rank = self.context.builder.rank(of)?;
        match self.maybe_ints(name)? {
            None => Ok((0..rank).collect()),
            Some(list) if list.is_empty() && empty_is_all => Ok((0..rank).collect()),
            Some(list) => {
                let mut axes = list.iter().map(|k| axis(*k, rank.max(1))).collect::<Result<Vec<_>, _>>()?;
                axes.retain(|axis| *axis < rank);
                axes.sort_unstable();
                axes.dedup();
                Ok(axes)
            }
        }
    }

    /// A shape (a list of integers, some of which may only be known when the program runs) as a vector, and what is known of it.
    pub(super) fn shape(&mut self, name: &str) -> Result<(ValueId, Vec<Dim>), OpError> {
        let value = self.get(name).clone();
        let list = match value.elements() {
            Some(list) => list.to_vec(),
            None => vec![value],
        };
        self.shape_of_values(&list, name)
    }

    /// As [`Call::shape`], of a list that is at hand.
    pub(super) fn shape_of_values(&mut self, list: &[Value], name: &str) -> Result<(ValueId, Vec<Dim>), OpError> {
        if let Ok(numbers) = list.iter().map(|value| self.to_int(value, name)).collect::<Result<Vec<_>, _>>() {
            return Ok((self.builder().ints(&numbers), numbers.into_iter().map(Dim::Known).collect()));
        }
        let mut parts = Vec::new();
        let mut dims = Vec::new();
        let one = self.builder().ints(&[1]);
        for value in list {
            let (part, dim) = match value {
                Value::Symbol(Symbol { value, dim }) => (*value, dim.clone()),
                value => {
                    let n = self.to_int(value, name)?;
                    (self.builder().ints(&[n]), Dim::Known(n))
                }
            };
            parts.push(self.apply(ReshapeTo { zero_copies: false }, &[part, one])?);
            dims.push(dim);
        }
        Ok((self.apply(Concat { axis: 0 }, &parts)?, dims))
    }

    /// A tensor's extents as a vector.
    pub(super) fn extents_of(&mut self, x: ValueId) -> Result<ValueId, OpError> {
        self.apply(ShapeOf { start: 0, end: None }, &[x])
    }

    /// A tensor or number as an operand of promotion.
    pub(super) fn operand(&mut self, name: &str) -> Result<Operand, OpError> {
        match self.get(name).clone() {
            Value::Tensor(tensor) => Ok(Operand::Tensor(self.context.read(tensor)?)),
            Value::Bool(_) => Ok(Operand::Number(DType::Bool)),
            Value::Int(_) => Ok(Operand::Number(DType::I64)),
            Value::Float(_) => Ok(Operand::Number(promote::DEFAULT)),
            Value::Symbol(symbol) => {
                let dtype = self.context.builder.dtype(symbol.value);
                Ok(Operand::Number(if dtype.is_float() { promote::DEFAULT } else { dtype }))
            }
            _ => Err(self.wrong(name)),
        }
    }

    /// Tensors or numbers, brought to the dtype that they have in common.
    pub(super) fn promoted(&mut self, names: &[&str]) -> Result<Vec<ValueId>, OpError> {
        let operands = names.iter().map(|name| self.operand(name)).collect::<Result<Vec<_>, _>>()?;
        let dtype = promote::result(&self.context.builder, &operands)?;
        names.iter().map(|name| self.as_dtype(name, dtype)).collect()
    }

    /// A tensor or number in a dtype.
    pub(super) fn as_dtype(&mut self, name: &str, dtype: DType) -> Result<ValueId, OpError> {
        match self.get(name).clone() {
            Value::Tensor(tensor) => {
                let value = self.context.read(tensor)?;
                self.cast(value, dtype)
            }
            value => Ok(self.number(&value, Some(dtype))?.0),
        }
    }

    /// A value as another dtype.
    pub(super) fn cast(&mut self, value: ValueId, to: DType) -> Result<ValueId, OpError> {
        promote::cast(&mut self.context.builder, value, to)
    }

    /// A value's dtype.
    pub(super) fn dtype(&self, value: ValueId) -> DType {
        self.context.builder.dtype(value)
    }

    /// A value's rank.
    pub(super) fn rank(&self, value: ValueId) -> Result<usize, OpError> {
        self.context.builder.rank(value)
    }

    /// A value's extents.
    pub(super) fn extents(&self, value: ValueId) -> Result<Vec<i64>, OpError> {
        self.context.builder.extents(value)
    }

    /// A number of a value's dtype.
    pub(super) fn like(&mut self, value: ValueId, number: f64) -> ValueId {
        let dtype = self.dtype(value);
        self.builder().scalar(dtype, number)
    }

    /// Adds an op of one result.
    pub(super) fn apply(&mut self, op: impl Into<Op>, inputs: &[ValueId]) -> Result<ValueId, OpError> {
        self.context.builder.apply(op, inputs)
    }

    /// A new tensor as the only result.
    pub(super) fn one(&mut self, value: ValueId) -> Values {
        Ok(vec![self.context.fresh(value)])
    }

    /// New tensors as the results.
    pub(super) fn several(&mut self, values: &[ValueId]) -> Values {
        Ok(values.iter().map(|value| self.context.fresh(*value)).collect())
    }

    /// A list of new tensors as the only result.
    pub(super) fn list(&mut self, values: &[ValueId]) -> Values {
        Ok(vec![Value::List(values.iter().map(|value| self.context.fresh(*value)).collect())])
    }

    /// A view of a tensor as the only result.
    pub(super) fn view(&mut self, of: TensorId, views: Vec<View>) -> Values {
        Ok(vec![Value::Tensor(self.context.aliases.view(&mut self.context.builder, of, views)?)])
    }

    /// Writes to a tensor, which is the only result.
    pub(super) fn written(&mut self, tensor: TensorId, value: ValueId) -> Values {
        write(self.context, tensor, value)?;
        Ok(vec![Value::Tensor(tensor)])
    }
}
