//! Scalar expressions over loop variables: what one point of a loop nest computes.
//!
//! In: variables, constants, loads. Out: [`Exprs`], an arena in which equal expressions are one
//! node and children come before parents. Index arithmetic and element arithmetic are the same
//! language; indices are `i64`. Must not know: which buffers the loads mean, how loops run.

use std::collections::HashMap;

use crate::column::Value;
use crate::dtype::DType;
use crate::scalar::{Binary, Scalar, Unary, cast, lossless};

/// An expression in an [`Exprs`] arena.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ExprId(pub u32);

/// A loop variable; its number is given meaning by whoever owns the arena.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Var(pub u32);

/// What a load reads from; its number is given meaning by whoever owns the arena: an operand of a
/// [`crate::compute::Compute`], a place of a [`crate::loops::Kernel`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Source(pub u32);

/// One node of an expression.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Expr {
    /// A number.
    Const(Scalar),
    /// The current value of a loop variable, an `i64`.
    Var(Var),
    /// One element of a source. `index` has one `i64` per axis of the source (one in all, counting
    /// elements, where the owner treats sources as flat). Where `guard` (a bool) is false the
    /// memory is not touched and the value is zero.
    Load {
        /// Where from.
        source: Source,
        /// Which element.
        index: Vec<ExprId>,
        /// Read only if this is true.
        guard: Option<ExprId>,
    },
    /// A unary operation.
    Unary(Unary, ExprId),
    /// A binary operation on two expressions of one dtype.
    Binary(Binary, ExprId, ExprId),
    /// `a * b + c` rounded once.
    Fma(ExprId, ExprId, ExprId),
    /// The second if the first (a bool) is true, else the third. Both are evaluated.
    Select(ExprId, ExprId, ExprId),
    /// Conversion to the node's dtype, see [`cast`].
    Cast(ExprId),
    /// The same bits read as the node's dtype, which has the same size.
    Bitcast(ExprId),
    /// The result of the reduction that the owner's loops hold, in an epilogue.
    Reduced,
}

impl Expr {
    /// The expressions it is made of.
    pub fn children(&self) -> Vec<ExprId> {
        match self {
            Expr::Const(_) | Expr::Var(_) | Expr::Reduced => Vec::new(),
            Expr::Load { index, guard, .. } => index.iter().copied().chain(*guard).collect(),
            Expr::Unary(_, a) | Expr::Cast(a) | Expr::Bitcast(a) => vec![*a],
            Expr::Binary(_, a, b) => vec![*a, *b],
            Expr::Fma(a, b, c) | Expr::Select(a, b, c) => vec![*a, *b, *c],
        }
    }
}

/// An arena of expressions. Constants are folded and neutral elements dropped as they are added.
#[derive(Clone, Debug, Default)]
pub struct Exprs {
    nodes: Vec<(Expr, DType)>,
    known: HashMap<(Expr, DType), ExprId>,
}

impl PartialEq for Exprs {
    fn eq(&self, other: &Self) -> bool {
        self.nodes == other.nodes
    }
}

impl Exprs {
    /// An empty arena.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of nodes; ids run from 0 to here.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Has it no nodes?
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The nodes with their dtypes, children before parents.
    pub fn nodes(&self) -> &[(Expr, DType)] {
        &self.nodes
    }

    /// A node.
    pub fn get(&self, id: ExprId) -> &Expr {
        &self.nodes[id.0 as usize].0
    }

    /// A node's dtype.
    pub fn dtype(&self, id: ExprId) -> DType {
        self.nodes[id.0 as usize].1
    }

    /// Adds a node as it is, sharing an equal one.
    pub fn add_node(&mut self, expr: Expr, dtype: DType) -> ExprId {
        let key = (expr, dtype);
        if let Some(id) = self.known.get(&key) {
            return *id;
        }
        let id = ExprId(self.nodes.len() as u32);
        self.nodes.push(key.clone());
        self.known.insert(key, id);
        id
    }

    /// A constant of a dtype.
    pub fn constant(&mut self, value: Scalar, dtype: DType) -> ExprId {
        self.add_node(Expr::Const(cast(value, dtype)), dtype)
    }

    /// An `i64` constant.
    pub fn int(&mut self, value: i64) -> ExprId {
        self.constant(Scalar::Int(i128::from(value)), DType::I64)
    }

    /// A float constant of a dtype.
    pub fn float(&mut self, value: f64, dtype: DType) -> ExprId {
        self.constant(Scalar::Float(value), dtype)
    }

    /// A loop variable.
    pub fn var(&mut self, var: Var) -> ExprId {
        self.add_node(Expr::Var(var), DType::I64)
    }

    /// An unguarded load.
    pub fn load(&mut self, source: Source, dtype: DType, index: Vec<ExprId>) -> ExprId {
        self.add_node(Expr::Load { source, index, guard: None }, dtype)
    }

    /// A load that is zero where `guard` is false.
    pub fn guarded_load(&mut self, source: Source, dtype: DType, index: Vec<ExprId>, guard: ExprId) -> ExprId {
        let guard = if self.as_const(guard) == Some(Scalar::Bool(true)) { None } else { Some(guard) };
        self.add_node(Expr::Load { source, index, guard }, dtype)
    }

    /// The number, if the node is a constant.
    pub fn as_const(&self, id: ExprId) -> Option<Scalar> {
        match self.get(id) {
            Expr::Const(value) => Some(*value),
            _ => None,
        }
    }

    /// The number, if the node is an integer constant.
    pub fn as_int(&self, id: ExprId) -> Option<i64> {
        match self.as_const(id)? {
            Scalar::Int(n) => i64::try_from(n).ok(),
            Scalar::Float(_) | Scalar::Bool(_) => None,
        }
    }

    /// A unary operation. A sign or a truth that changes twice is the old one.
    pub fn unary(&mut self, op: Unary, a: ExprId) -> ExprId {
        let dtype = self.dtype(a);
        match self.get(a) {
            Expr::Unary(before, x) if *before == op && matches!(op, Unary::Neg | Unary::Not) => return *x,
            _ => {}
        }
        if let Some(value) = self.as_const(a) {
            return self.constant(op.apply(value, dtype), op.result(dtype));
        }
        self.add_node(Expr::Unary(op, a), op.result(dtype))
    }

    /// A binary operation on two expressions of one dtype.
    ///
    /// # Panics
    /// Where the dtypes differ.
    pub fn binary(&mut self, op: Binary, a: ExprId, b: ExprId) -> ExprId {
        let dtype = self.dtype(a);
        assert_eq!(dtype, self.dtype(b), "{} of two dtypes", op.name());
        let (ca, cb) = (self.as_const(a), self.as_const(b));
        if let (Some(x), Some(y)) = (ca, cb) {
            return self.constant(op.apply(x, y, dtype), op.result(dtype));
        }
        if dtype.is_float() {
            // What is neutral to the bit: x + 0 is not x for -0.0, x * 0 not 0 for NaN.
            let is = |c: Option<Scalar>, number: f64| matches!(c, Some(Scalar::Float(x)) if x.to_bits() == number.to_bits());
            match op {
                Binary::Add if is(cb, -0.0) => return a,
                Binary::Add if is(ca, -0.0) => return b,
                Binary::Sub if is(cb, 0.0) => return a,
                Binary::Mul | Binary::Div if is(cb, 1.0) => return a,
                Binary::Mul if is(ca, 1.0) => return b,
                _ => {}
            }
        } else {
            let zero = Some(Scalar::zero(dtype));
            let one = Some(Scalar::one(dtype));
            match op {
                Binary::Add | Binary::Or if dtype != DType::Bool || op == Binary::Or => {
                    if cb == zero {
                        return a;
                    }
                    if ca == zero {
                        return b;
                    }
                }
                Binary::Sub if cb == zero && dtype != DType::Bool => return a,
                Binary::Mul if dtype.is_int() => {
                    if cb == one || ca == zero {
                        return a;
                    }
                    if ca == one || cb == zero {
                        return b;
                    }
                }
                Binary::And if dtype == DType::Bool => {
                    if cb == one || ca == zero {
                        return a;
                    }
                    if ca == one || cb == zero {
                        return b;
                    }
                }
                Binary::FloorDiv | Binary::Div if cb == one => return a,
                Binary::Mod | Binary::Rem if cb == one => return self.constant(Scalar::Int(0), dtype),
                _ => {}
            }
        }
        self.add_node(Expr::Binary(op, a, b), op.result(dtype))
    }

    /// Sum.
    pub fn add(&mut self, a: ExprId, b: ExprId) -> ExprId {
        self.binary(Binary::Add, a, b)
    }

    /// Difference.
    pub fn sub(&mut self, a: ExprId, b: ExprId) -> ExprId {
        self.binary(Binary::Sub, a, b)
    }

    /// Product.
    pub fn mul(&mut self, a: ExprId, b: ExprId) -> ExprId {
        self.binary(Binary::Mul, a, b)
    }

    /// Logical and of two bools.
    pub fn and(&mut self, a: ExprId, b: ExprId) -> ExprId {
        self.binary(Binary::And, a, b)
    }

    /// `a * b + c`, rounded once.
    pub fn fma(&mut self, a: ExprId, b: ExprId, c: ExprId) -> ExprId {
        let dtype = self.dtype(a);
        self.add_node(Expr::Fma(a, b, c), dtype)
    }

    /// `low <= index < high`, a bool. A side that always holds is left out by the caller passing `None`.
    pub fn within(&mut self, index: ExprId, low: Option<i64>, high: Option<i64>) -> ExprId {
        let mut both = self.constant(Scalar::Bool(true), DType::Bool);
        if let Some(low) = low {
            let low = self.int(low);
            let holds = self.binary(Binary::Le, low, index);
            both = self.and(both, holds);
        }
        if let Some(high) = high {
            let high = self.int(high);
            let holds = self.binary(Binary::Lt, index, high);
            both = self.and(both, holds);
        }
        both
    }

    /// The second if the first is true, else the third.
    pub fn select(&mut self, cond: ExprId, yes: ExprId, no: ExprId) -> ExprId {
        match self.as_const(cond) {
            Some(value) if value.as_bool() => yes,
            Some(_) => no,
            None if yes == no => yes,
            None => {
                let dtype = self.dtype(yes);
                self.add_node(Expr::Select(cond, yes, no), dtype)
            }
        }
    }

    /// The one of several values that `which` (an `i64`) says; the last one where it says none of the others.
    ///
    /// # Panics
    /// Where there are no values.
    pub fn pick(&mut self, which: ExprId, values: &[ExprId]) -> ExprId {
        let (last, others) = values.split_last().expect("there are values");
        others.iter().enumerate().rev().fold(*last, |rest, (k, value)| {
            let number = self.int(k as i64);
            let is = self.binary(Binary::Eq, which, number);
            self.select(is, *value, rest)
        })
    }

    /// Conversion to a dtype, without a detour through one that holds all numbers.
    pub fn cast(&mut self, dtype: DType, a: ExprId) -> ExprId {
        if self.dtype(a) == dtype {
            return a;
        }
        if let Expr::Cast(x) = *self.get(a)
            && lossless(self.dtype(x), self.dtype(a), dtype)
        {
            return self.cast(dtype, x);
        }
        if let Some(value) = self.as_const(a) {
            return self.constant(value, dtype);
        }
        self.add_node(Expr::Cast(a), dtype)
    }

    /// The same bits as another dtype of the same size.
    pub fn bitcast(&mut self, dtype: DType, a: ExprId) -> ExprId {
        if self.dtype(a) == dtype {
            return a;
        }
        self.add_node(Expr::Bitcast(a), dtype)
    }

    /// Adds a copy of a node with other children, folding again.
    pub fn rebuild(&mut self, expr: &Expr, dtype: DType, mut child: impl FnMut(ExprId) -> ExprId) -> ExprId {
        match expr {
            Expr::Const(_) | Expr::Var(_) | Expr::Reduced => self.add_node(expr.clone(), dtype),
            Expr::Load { source, index, guard } => {
                let index = index.iter().map(|i| child(*i)).collect();
                let guard = guard.map(&mut child);
                match guard {
                    Some(guard) => self.guarded_load(*source, dtype, index, guard),
                    None => self.load(*source, dtype, index),
                }
            }
            Expr::Unary(op, a) => {
                let a = child(*a);
                self.unary(*op, a)
            }
            Expr::Binary(op, a, b) => {
                let (a, b) = (child(*a), child(*b));
                self.binary(*op, a, b)
            }
            Expr::Fma(a, b, c) => {
                let (a, b, c) = (child(*a), child(*b), child(*c));
                self.fma(a, b, c)
            }
            Expr::Select(a, b, c) => {
                let (a, b, c) = (child(*a), child(*b), child(*c));
                self.select(a, b, c)
            }
            Expr::Cast(a) => {
                let a = child(*a);
                self.cast(dtype, a)
            }
            Expr::Bitcast(a) => {
                let a = child(*a);
                self.bitcast(dtype, a)
            }
        }
    }

    /// The nodes that `roots` need, children first.
    pub fn reachable(&self, roots: &[ExprId]) -> Vec<ExprId> {
        let mut wanted = vec![false; self.nodes.len()];
        for root in roots {
            wanted[root.0 as usize] = true;
        }
        for at in (0..self.nodes.len()).rev() {
            if wanted[at] {
                for child in self.nodes[at].0.children() {
                    wanted[child.0 as usize] = true;
                }
            }
        }
        (0..self.nodes.len()).filter(|at| wanted[*at]).map(|at| ExprId(at as u32)).collect()
    }
}

/// Evaluates expressions, at one point or at many (see [`Value`]). `load` answers loads: it gets the source, its dtype,
/// the index and the guard. `order` has children first; what they are is left in `values`, by the numbers of their ids.
pub(crate) fn evaluate<V: Value>(
    exprs: &Exprs,
    order: &[ExprId],
    values: &mut [V],
    var: impl Fn(Var) -> V,
    mut load: impl FnMut(Source, DType, &[&V], Option<&V>) -> V,
) {
    for id in order {
        let (expr, dtype) = &exprs.nodes[id.0 as usize];
        let value = |id: &ExprId| &values[id.0 as usize];
        let result = match expr {
            Expr::Const(value) => V::constant(*value, *dtype),
            Expr::Var(v) => var(*v),
            Expr::Load { source, index, guard } => {
                let index: Vec<&V> = index.iter().map(value).collect();
                load(*source, *dtype, &index, guard.as_ref().map(value))
            }
            Expr::Unary(op, a) => value(a).unary(*op, exprs.dtype(*a)),
            Expr::Binary(op, a, b) => value(a).binary(*op, value(b), exprs.dtype(*a)),
            Expr::Fma(a, b, c) => value(a).fma([value(b), value(c)], *dtype),
            Expr::Select(c, a, b) => value(c).select([value(a), value(b)], *dtype),
            Expr::Cast(a) => value(a).cast(*dtype),
            Expr::Bitcast(a) => value(a).bitcast(exprs.dtype(*a), *dtype),
            Expr::Reduced => V::constant(Scalar::zero(*dtype), *dtype),
        };
        values[id.0 as usize] = result;
    }
}

/// `a * b + c` rounded once.
pub(crate) fn fma(a: Scalar, b: Scalar, c: Scalar, dtype: DType) -> Scalar {
    let (a, b, c) = (a.as_f64(), b.as_f64(), c.as_f64());
    cast(Scalar::Float(if dtype == DType::F32 { f64::from((a as f32).mul_add(b as f32, c as f32)) } else { a.mul_add(b, c) }), dtype)
}

/// The same bits, read as another dtype of the same size.
pub fn bitcast(value: Scalar, from: DType, to: DType) -> Scalar {
    let mut bytes = [0u8; 8];
    crate::tensor::write(&mut bytes[..from.size()], 0, from, value);
    crate::tensor::read(&bytes[..to.size()], 0, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOATS: [DType; 4] = [DType::F64, DType::F32, DType::F16, DType::BF16];
    const NUMBERS: [f64; 9] = [0.0, -0.0, 1.0, -1.0, 0.375, -65504.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
    const ARITHMETIC: [Binary; 4] = [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div];

    fn same(a: Scalar, b: Scalar) -> bool {
        match (a, b) {
            (Scalar::Float(a), Scalar::Float(b)) => a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()),
            (a, b) => a == b,
        }
    }

    #[test]
    fn what_is_left_out_changes_no_bit() {
        let mut left_out = 0;
        for dtype in FLOATS {
            for (op, number) in ARITHMETIC.into_iter().flat_map(|op| NUMBERS.map(|number| (op, number))) {
                let mut e = Exprs::new();
                let x = e.load(Source(0), dtype, vec![]);
                let c = e.float(number, dtype);
                for (result, swapped) in [(e.binary(op, x, c), false), (e.binary(op, c, x), true)] {
                    let neutral = |value: f64| {
                        let value = cast(Scalar::Float(value), dtype);
                        let c = cast(Scalar::Float(number), dtype);
                        same(if swapped { op.apply(c, value, dtype) } else { op.apply(value, c, dtype) }, value)
                    };
                    assert_eq!(result == x, NUMBERS.into_iter().all(neutral), "{} of {dtype} and {number}", op.name());
                    left_out += usize::from(result == x);
                }
            }
        }
        // x + -0, -0 + x, x - 0, x * 1, 1 * x, x / 1.
        assert_eq!(left_out, 6 * FLOATS.len());
    }

    #[test]
    fn casts_that_lose_nothing_on_the_way_are_left_out() {
        let mut e = Exprs::new();
        let x = e.load(Source(0), DType::F16, vec![]);
        let wide = e.cast(DType::F32, x);
        assert_eq!(e.cast(DType::F16, wide), x);
        let widest = e.cast(DType::F64, wide);
        assert_eq!(e.get(widest), &Expr::Cast(x));
        let y = e.load(Source(1), DType::F32, vec![]);
        let narrow = e.cast(DType::F16, y);
        let back = e.cast(DType::F32, narrow);
        assert_eq!(e.get(back), &Expr::Cast(narrow));
    }

    #[test]
    fn signs_and_truths_that_change_twice_are_left_out() {
        let mut e = Exprs::new();
        for (op, dtype) in [(Unary::Neg, DType::F32), (Unary::Neg, DType::I32), (Unary::Not, DType::Bool)] {
            let x = e.load(Source(0), dtype, vec![]);
            let once = e.unary(op, x);
            assert_ne!(once, x);
            assert_eq!(e.unary(op, once), x);
        }
    }
}
