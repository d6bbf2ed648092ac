//! Sums of products: which operand is vectorised, which is broadcast.
//!
//! In: a nest. Out: [`Contraction`], the roles of its axes. Must not know: tiles, targets.
//!
//! The operand that the last output axis belongs to is the *vector* operand: a panel of it is staged with that axis
//! innermost. Elements of the other, the *scalar* operand, are broadcast. An axis that only the first has is an
//! `n` axis, one that only the second has an `m` axis, any other is a batch axis.

use std::collections::BTreeSet;

use frit_ir::DType;
use frit_ir::compute::{Combine, Compute};
use frit_ir::expr::{Expr, ExprId, Exprs, Source, Var};
use frit_ir::scalar::Binary;

/// The dtypes whose products are summed in register tiles.
pub(super) const CONTRACTED: [DType; 3] = [DType::F32, DType::F64, DType::I32];
/// Sums of fewer products than this are not worth tiles.
const MIN_DEPTH: i64 = 4;
/// Rows of fewer elements than this are not worth panels.
const MIN_WIDTH: i64 = 4;

/// The roles of a nest's operands and output axes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Contraction {
    /// What is staged in panels.
    pub vector: ExprId,
    /// What is broadcast.
    pub scalar: ExprId,
    /// How an element of each becomes what is summed: [`Binary::Mul`] or [`Binary::DotPairs`].
    pub product: Binary,
    /// The first thing that `vector` loads.
    pub vector_operand: Source,
    /// Trailing output axes that only `vector` has.
    pub n: Vec<usize>,
    /// Output axes that only `scalar` has.
    pub m: Vec<usize>,
    /// The other output axes.
    pub batch: Vec<usize>,
}

/// Bytes from which something is subtracted that is the same for all steps of a sum.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Bytes {
    /// The load of a byte.
    pub load: ExprId,
    /// What is subtracted from it, in i32.
    pub zero: Option<ExprId>,
}

impl Bytes {
    /// An operand as bytes, if it is that; `rank`: the number of output axes, whose variables come first.
    pub(super) fn of(exprs: &Exprs, operand: ExprId, rank: usize) -> Option<Self> {
        let (byte, zero) = match *exprs.get(operand) {
            Expr::Binary(Binary::Sub, byte, zero) => (byte, Some(zero)),
            _ => (operand, None),
        };
        let Expr::Cast(load) = *exprs.get(byte) else { return None };
        let is_byte = exprs.dtype(byte) == DType::I32 && matches!(exprs.dtype(load), DType::I8 | DType::U8) && matches!(exprs.get(load), Expr::Load { guard: None, .. });
        let constant = zero.is_none_or(|zero| variables(exprs, zero).iter().all(|var| (var.0 as usize) < rank));
        (is_byte && constant).then_some(Self { load, zero })
    }
}

impl Contraction {
    /// The roles in a nest, if it is a sum of products worth tiles.
    pub(super) fn of(nest: &Compute) -> Option<Self> {
        Self::find(&nest.exprs, nest.value, &nest.extents, &nest.reduce, nest.combine)
    }

    /// As [`Contraction::of`], for the parts of a nest.
    pub(super) fn find(exprs: &Exprs, value: ExprId, extents: &[i64], reduce: &[i64], combine: Combine) -> Option<Self> {
        Self::operands(exprs, value, extents, reduce, combine).filter(|roles| width(extents, &roles.n) >= MIN_WIDTH)
    }

    /// The roles where the last output axis is too short to be panels: the other operand's axes are.
    pub(super) fn exchanged(exprs: &Exprs, value: ExprId, extents: &[i64], reduce: &[i64], combine: Combine) -> Option<Self> {
        let roles = Self::operands(exprs, value, extents, reduce, combine).filter(|roles| width(extents, &roles.n) < MIN_WIDTH && width(extents, &roles.m) >= MIN_WIDTH)?;
        let own = variables(exprs, roles.scalar);
        let (batch, rows): (Vec<usize>, Vec<usize>) = roles.batch.iter().partition(|k| own.contains(&Var(**k as u32)));
        Some(Self { vector: roles.scalar, scalar: roles.vector, product: roles.product, vector_operand: first_load(exprs, roles.scalar)?, n: roles.m, m: rows.into_iter().chain(roles.n).collect(), batch })
    }

    /// The roles, however short the axes.
    fn operands(exprs: &Exprs, value: ExprId, extents: &[i64], reduce: &[i64], combine: Combine) -> Option<Self> {
        let Expr::Binary(product @ (Binary::Mul | Binary::DotPairs), a, b) = *exprs.get(value) else { return None };
        let depth: i64 = reduce.iter().product();
        if combine != Combine::Sum || reduce.is_empty() || depth < MIN_DEPTH || extents.contains(&0) {
            return None;
        }
        let (in_a, in_b) = (variables(exprs, a), variables(exprs, b));
        let role = |k: usize| (in_a.contains(&Var(k as u32)), in_b.contains(&Var(k as u32)));
        let wide: Vec<usize> = (0..extents.len()).filter(|k| extents[*k] > 1).collect();
        let (vector, scalar, own) = match role(*wide.last()?) {
            (true, false) => (a, b, (true, false)),
            (false, true) => (b, a, (false, true)),
            _ => return None,
        };
        let n: Vec<usize> = wide.iter().rev().copied().take_while(|k| role(*k) == own).collect::<Vec<_>>().into_iter().rev().collect();
        let m: Vec<usize> = wide.iter().copied().filter(|k| role(*k) == (own.1, own.0)).collect();
        let batch: Vec<usize> = wide.iter().copied().filter(|k| !n.contains(k) && !m.contains(k)).collect();
        Some(Self { vector, scalar, product, vector_operand: first_load(exprs, vector)?, n, m, batch })
    }
}

/// How many points axes have.
fn width(extents: &[i64], axes: &[usize]) -> i64 {
    axes.iter().map(|k| extents[*k]).product()
}

/// The first thing that an expression loads.
fn first_load(exprs: &Exprs, root: ExprId) -> Option<Source> {
    exprs.reachable(&[root]).into_iter().find_map(|id| match exprs.get(id) {
        Expr::Load { source, .. } => Some(*source),
        _ => None,
    })
}

/// The variables that an expression depends on.
fn variables(exprs: &Exprs, root: ExprId) -> BTreeSet<Var> {
    exprs
        .reachable(&[root])
        .into_iter()
        .filter_map(|id| match exprs.get(id) {
            Expr::Var(var) => Some(*var),
            _ => None,
        })
        .collect()
}
