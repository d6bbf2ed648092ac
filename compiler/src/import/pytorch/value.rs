//! What a PyTorch program computes with while it is imported.
//!
//! In: what files and handlers say. Out: [`Value`]s. Must not know: file layouts, single ops.

use frit_ir::{DType, Dim, OpError, ValueId};

use super::alias::TensorId;
use super::storage;

/// A value of a program: a tensor, or what Python knows beside tensors.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// A tensor, see [`Aliases`](super::alias::Aliases).
    Tensor(TensorId),
    /// A tensor of complex numbers: real and imaginary parts.
    Complex(TensorId, TensorId),
    /// Nothing.
    None,
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// A complex number: real and imaginary part.
    ComplexNumber(f64, f64),
    /// A number that is only known when the program runs.
    Symbol(Symbol),
    /// Text.
    Str(String),
    /// A list.
    List(Vec<Value>),
    /// A tuple.
    Tuple(Vec<Value>),
    /// A dictionary, in the order of its entries.
    Dict(Vec<(Value, Value)>),
    /// A dtype.
    Dtype(DType),
    /// A dtype of complex numbers, by that of their parts.
    ComplexDtype(DType),
    /// Where tensors live. It means nothing here.
    Device(String),
    /// How tensors lie in memory, a layout or a memory format. It means nothing here: shapes don't depend on it.
    Layout,
}

/// A number of Python's that is only known when the program runs.
#[derive(Clone, Debug)]
pub(crate) struct Symbol {
    /// Of rank 0; i64, f64 or bool.
    pub(crate) value: ValueId,
    /// What is known of an integer.
    pub(crate) dim: Dim,
}

/// Dimensions whose text is longer than this are taken to be unknown: products of them would be without end.
const MAX_TEXT: usize = 1000;

impl Symbol {
    /// A number and what is known of it.
    pub(crate) fn new(value: ValueId, dim: Dim) -> Self {
        let dim = if dim.to_string().len() > MAX_TEXT { Dim::Unknown } else { dim };
        Self { value, dim }
    }
}

impl Value {
    /// What it is, for messages.
    pub(crate) fn words(&self) -> &'static str {
        match self {
            Value::Tensor(_) => "a tensor",
            Value::Complex(..) => "a tensor of complex numbers",
            Value::ComplexNumber(..) => "a complex number",
            Value::None => "None",
            Value::Bool(_) => "a bool",
            Value::Int(_) => "an integer",
            Value::Float(_) => "a float",
            Value::Symbol(_) => "a number that is not known yet",
            Value::Str(_) => "text",
            Value::List(_) => "a list",
            Value::Tuple(_) => "a tuple",
            Value::Dict(_) => "a dictionary",
            Value::Dtype(_) | Value::ComplexDtype(_) => "a dtype",
            Value::Device(_) => "a device",
            Value::Layout => "a layout",
        }
    }

    /// The elements of a list or tuple.
    pub(crate) fn elements(&self) -> Option<&[Value]> {
        match self {
            Value::List(list) | Value::Tuple(list) => Some(list),
            _ => None,
        }
    }

    /// Is it nothing?
    pub(crate) fn is_none(&self) -> bool {
        matches!(self, Value::None)
    }
}

/// The dtype that PyTorch numbers so (`c10::ScalarType`).
///
/// # Errors
/// Unsupported where it is neither a dtype of Frit's nor one of complex numbers.
pub(crate) fn dtype(number: i64) -> Result<Value, OpError> {
    match number {
        8 => Ok(Value::ComplexDtype(DType::F16)),
        9 => Ok(Value::ComplexDtype(DType::F32)),
        10 => Ok(Value::ComplexDtype(DType::F64)),
        _ => storage::dtype(number).map(Value::Dtype),
    }
}
