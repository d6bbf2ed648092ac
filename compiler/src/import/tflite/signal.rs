//! Complex numbers, as far as Fourier transforms need them: a tensor of them is a real one whose last axis holds real and imaginary part.

use frit_ir::OpError;
use frit_ir::ops::{concat::Concat, dft::Dft, reshape_to::ReshapeTo, slice_by::SliceBy, sqrt::Sqrt, squeeze::Squeeze, unsqueeze::Unsqueeze};

use super::How::Stored;
use super::Row;
use super::node::{Node, Value, Values};
use super::schema::Described;

pub(super) const OPS: &[Row] = &[
    (133, "IMAG", Stored, |n| Ok(vec![part(n, 1)?])),
    (134, "REAL", Stored, |n| Ok(vec![part(n, 0)?])),
    (131, "RFFT2D", Stored, transform),
];

/// Made of several of ours.
pub(super) const EXPANDED: &[Row] = &[(135, "COMPLEX_ABS", Stored, |n| {
    let (real, imaginary) = (part(n, 0)?, part(n, 1)?);
    let (real, imaginary) = (n.mul(real, real)?, n.mul(imaginary, imaginary)?);
    let square = n.add(real, imaginary)?;
    Ok(vec![n.apply(Sqrt {}, &[square])?])
})];

/// The ops that know of complex numbers.
pub(super) const COMPLEX: &[&str] = &["COMPLEX_ABS", "IMAG", "REAL", "RESHAPE", "RFFT2D"];

/// Are the elements complex?
pub(super) fn is_complex(tensor: &Described<'_>) -> bool {
    tensor.number == 8
}

/// The operand as what it says it is: an op on complex numbers may be given others in a broken file.
fn complex(n: &Node<'_, '_>) -> Value {
    match n.operand(0) {
        Some(operand) if is_complex(operand) => n.input(0),
        _ => Err(OpError::invalid(format!("the operand of '{}' is not complex", n.op))),
    }
}

/// Real or imaginary part of the operand.
fn part(n: &mut Node<'_, '_>, at: i64) -> Value {
    let x = complex(n)?;
    let bounds = [at, at + 1, -1].map(|bound| n.builder.ints(&[bound]));
    let part = n.apply(SliceBy {}, &[x, bounds[0], bounds[1], bounds[2]])?;
    n.apply(Squeeze {}, &[part, bounds[2]])
}

/// Complex numbers under another shape, a vector of i64.
pub(super) fn reshaped(n: &mut Node<'_, '_>, shape: frit_ir::ValueId) -> Value {
    let x = complex(n)?;
    let parts = n.builder.ints(&[2]);
    let shape = n.apply(Concat { axis: 0 }, &[shape, parts])?;
    n.apply(ReshapeTo { zero_copies: false }, &[x, shape])
}

/// Rows, then columns, cut off or filled with zeros to the lengths that the second operand has.
fn transform(n: &mut Node<'_, '_>) -> Values {
    let [height, width] = n.known(1)?[..] else { return Err(OpError::invalid(format!("'{}' wants two lengths", n.op))) };
    let x = n.input(0)?;
    let rank = n.builder.rank(x)?;
    if rank < 2 {
        return Err(OpError::invalid(format!("'{}' wants two axes", n.op)));
    }
    let last = n.builder.ints(&[-1]);
    let x = n.apply(Unsqueeze {}, &[x, last])?;
    let rows = n.apply(Dft { axis: rank - 1, length: width, inverse: false, onesided: true }, &[x])?;
    let single = height == 1 && n.builder.ty(rows).dims()?[rank - 2].known() == Some(1);
    Ok(vec![if single { rows } else { n.apply(Dft { axis: rank - 2, length: height, inverse: false, onesided: false }, &[rows])? }])
}
