//! Complex numbers, as far as Fourier transforms need them: a complex tensor is a real one whose last axis holds real and imaginary part.

use frit_ir::ops::{concat::Concat, dft::Dft, neg::Neg, sqrt::Sqrt};
use frit_ir::{OpError, ValueId};

use super::BoundHandler;
use super::evaluate::Bound;
use super::node::Node;

pub(super) const OPS: &[(&str, BoundHandler)] = &[
    ("Complex", |n| {
        let (real, imaginary) = (n.input(0)?, n.input(1)?);
        let (real, imaginary) = (n.unsqueeze(real, &[-1])?, n.unsqueeze(imaginary, &[-1])?);
        let axis = n.axis(-1, real)?;
        Ok(vec![Bound::Complex(n.apply(Concat { axis }, &[real, imaginary])?)])
    }),
    ("FFT", |n| transform(n, false)),
    ("IFFT", |n| transform(n, true)),
    ("IRFFT", |n| {
        let x = complex(n, 0)?;
        let length = n.known_int(1)?;
        let axis = n.axis(-2, x)?;
        let bins = length / 2 + 1;
        let x = fitted(n, x, axis, bins)?;
        let y = n.apply(Dft { axis, length, inverse: true, onesided: true }, &[x])?;
        Ok(vec![n.squeeze(y, &[-1])?.into()])
    }),
    ("RFFT", |n| {
        let x = n.input(0)?;
        let length = n.known_int(1)?;
        let x = n.unsqueeze(x, &[-1])?;
        let axis = n.axis(-2, x)?;
        Ok(vec![Bound::Complex(n.apply(Dft { axis, length, inverse: false, onesided: true }, &[x])?)])
    }),
];

/// Made of several of ours.
pub(super) const EXPANDED: &[(&str, BoundHandler)] = &[
    ("ComplexAbs", |n| {
        let (real, imaginary) = parts(n, 0)?;
        let (real, imaginary) = (n.mul(real, real)?, n.mul(imaginary, imaginary)?);
        let square = n.add(real, imaginary)?;
        Ok(vec![n.apply(Sqrt {}, &[square])?.into()])
    }),
    ("Conj", |n| {
        let (real, imaginary) = parts(n, 0)?;
        let imaginary = n.apply(Neg {}, &[imaginary])?;
        let (real, imaginary) = (n.unsqueeze(real, &[-1])?, n.unsqueeze(imaginary, &[-1])?);
        let axis = n.axis(-1, real)?;
        Ok(vec![Bound::Complex(n.apply(Concat { axis }, &[real, imaginary])?)])
    }),
    ("Imag", |n| Ok(vec![parts(n, 0)?.1.into()])),
    ("Real", |n| Ok(vec![parts(n, 0)?.0.into()])),
];

fn complex(n: &Node<'_, '_>, at: usize) -> Result<ValueId, OpError> {
    match n.bound(at)? {
        Bound::Complex(value) => Ok(*value),
        _ => Err(OpError::invalid(format!("operand {at} of '{}' is not complex", n.op))),
    }
}

/// Real and imaginary part.
fn parts(n: &mut Node<'_, '_>, at: usize) -> Result<(ValueId, ValueId), OpError> {
    let x = complex(n, at)?;
    let axis = n.axis(-1, x)?;
    let (real, imaginary) = (n.part(x, axis, 0, 1)?, n.part(x, axis, 1, 2)?);
    Ok((n.squeeze(real, &[-1])?, n.squeeze(imaginary, &[-1])?))
}

/// The first elements along an axis.
fn fitted(n: &mut Node<'_, '_>, x: ValueId, axis: usize, count: i64) -> Result<ValueId, OpError> {
    let extent = n.builder.ty(x).dims()?[axis].known().ok_or_else(OpError::unknown)?;
    match extent.cmp(&count) {
        std::cmp::Ordering::Equal => Ok(x),
        std::cmp::Ordering::Greater => n.part(x, axis, 0, count),
        std::cmp::Ordering::Less => Err(OpError::unsupported(format!("a transform of {extent} numbers to a length that needs {count} is not supported"))),
    }
}

fn transform(n: &mut Node<'_, '_>, inverse: bool) -> Result<Vec<Bound>, OpError> {
    let x = complex(n, 0)?;
    let axis = n.axis(-2, x)?;
    let length = n.builder.ty(x).dims()?[axis].known().ok_or_else(OpError::unknown)?;
    Ok(vec![Bound::Complex(n.apply(Dft { axis, length, inverse, onesided: false }, &[x])?)])
}
