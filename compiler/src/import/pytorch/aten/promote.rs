//! Which dtype an operator computes in.
//!
//! In: operands. Out: dtypes, and operands of one dtype. Must not know: single operators.
//!
//! Source: PyTorch, "Type promotion" (torch.result_type): of tensors with axes, tensors without and Python numbers, a kind is only
//! asked where it is of a higher class (bool, integer, float) than those before it.

use frit_ir::ops::cast::Cast;
use frit_ir::{Builder, DType, OpError, ValueId};

/// An operand, as far as promotion cares.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operand {
    /// A tensor.
    Tensor(ValueId),
    /// A number of Python's that is of this dtype by default.
    Number(DType),
}

/// The dtype that floats of Python's are.
pub(crate) const DEFAULT: DType = DType::F32;

/// The dtype of the result of an operator on operands.
///
/// # Errors
/// Unsupported where dtypes have none in common.
pub(crate) fn result(builder: &Builder, operands: &[Operand]) -> Result<DType, OpError> {
    let (mut ranked, mut single, mut number) = (None, None, None);
    for operand in operands {
        let (slot, dtype) = match operand {
            Operand::Tensor(value) if builder.rank(*value)? > 0 => (&mut ranked, builder.dtype(*value)),
            Operand::Tensor(value) => (&mut single, builder.dtype(*value)),
            Operand::Number(dtype) => (&mut number, *dtype),
        };
        *slot = Some(slot.map_or(Ok(dtype), |known| joined(known, dtype))?);
    }
    combined(ranked, combined(single, number)?)?.ok_or_else(|| OpError::bug("a dtype of nothing was asked for"))
}

fn class(dtype: DType) -> u8 {
    match dtype {
        DType::Bool => 0,
        _ if dtype.is_int() => 1,
        _ => 2,
    }
}

fn combined(higher: Option<DType>, lower: Option<DType>) -> Result<Option<DType>, OpError> {
    match (higher, lower) {
        (Some(a), Some(b)) if class(b) > class(a) => joined(a, b).map(Some),
        (Some(a), _) => Ok(Some(a)),
        (None, b) => Ok(b),
    }
}

/// The least dtype that two are brought to.
fn joined(a: DType, b: DType) -> Result<DType, OpError> {
    use DType::{BF16, F16, F32, F64, I8, I16, I32, I64, U8};
    let none = || OpError::unsupported(format!("PyTorch brings {a} and {b} to no dtype in common")).help("convert one of them before");
    Ok(match (class(a), class(b)) {
        _ if a == b => a,
        (x, y) if x < y && (y == 2 || x == 0) => b,
        (x, y) if x > y && (x == 2 || y == 0) => a,
        (2, 2) => {
            let place = |dtype| [F16, BF16, F32, F64].iter().position(|known| *known == dtype).ok_or_else(none);
            match (place(a)?, place(b)?) {
                (0, 1) | (1, 0) => F32,
                (x, y) if x > y => a,
                _ => b,
            }
        }
        _ => {
            let place = |dtype| [U8, I8, I16, I32, I64].iter().position(|known| *known == dtype).ok_or_else(none);
            match (place(a)?, place(b)?) {
                (0, 1) | (1, 0) => I16,
                (x, y) if x > y => a,
                _ => b,
            }
        }
    })
}

/// A value as another dtype.
///
/// # Errors
/// Unsupported for text.
pub(crate) fn cast(builder: &mut Builder, value: ValueId, to: DType) -> Result<ValueId, OpError> {
    if builder.dtype(value) == to { Ok(value) } else { builder.apply(Cast { to }, &[value]) }
}

/// The dtype that functions such as `sin` and true division compute in: the default for integers.
pub(crate) fn float(dtype: DType) -> DType {
    if dtype.is_float() { dtype } else { DEFAULT }
}
