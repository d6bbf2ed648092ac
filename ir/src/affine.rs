//! Index arithmetic: affine forms, ranges, and simplification under known loop extents.
//!
//! In: integer expressions of an [`Exprs`] arena and the extents of loop variables. Out:
//! [`Affine`] and [`Linear`] forms, ranges, and equal expressions with fewer operations. All `i64`
//! arithmetic wraps, so a linear form is always exact; whatever needs an order (division, comparison)
//! is only touched where ranges show that nothing overflows. Must not know: kernels, memory.

use std::collections::{BTreeMap, HashMap};

use crate::dtype::{Class, DType};
use crate::expr::{Expr, ExprId, Exprs, Var};
use crate::scalar::{Binary, Scalar, Unary};

/// A linear form with more terms than this is left alone.
const MOST_TERMS: usize = 32;

/// Extents of loop variables: `var` runs from 0 to its extent (exclusive). Unknown where not set.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Extents(BTreeMap<Var, i64>);

impl Extents {
    /// No variable known.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a variable's extent.
    pub fn set(&mut self, var: Var, extent: i64) {
        self.0.insert(var, extent);
    }

    /// A variable's extent, if it is known.
    pub fn get(&self, var: Var) -> Option<i64> {
        self.0.get(&var).copied()
    }
}

impl FromIterator<(Var, i64)> for Extents {
    fn from_iter<T: IntoIterator<Item = (Var, i64)>>(iter: T) -> Self {
        Self(iter.into_iter().collect())
    }
}

/// `constant + sum of coefficient * var`. Terms are sorted by variable; no coefficient is 0.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Affine {
    /// What is added.
    pub constant: i64,
    /// Variables and their coefficients.
    pub terms: Vec<(Var, i64)>,
}

impl Affine {
    /// An `i64` expression as an affine form of loop variables; `None` where it is not one.
    pub fn of(exprs: &Exprs, id: ExprId) -> Option<Affine> {
        let linear = Linear::of(exprs, id);
        let mut terms = Vec::with_capacity(linear.terms.len());
        for (atom, coefficient) in linear.terms {
            match exprs.get(atom) {
                Expr::Var(var) => terms.push((*var, coefficient)),
                _ => return None,
            }
        }
        terms.sort_unstable();
        Some(Affine { constant: linear.constant, terms })
    }

    /// How much it grows when `var` grows by one.
    pub fn coefficient(&self, var: Var) -> i64 {
        self.terms.iter().find(|(v, _)| *v == var).map_or(0, |(_, c)| *c)
    }
}

/// `constant + sum of coefficient * atom`, modulo 2^64, where atoms are expressions that are not sums, differences or
/// products with a constant. Sorted: variables first, by number, then other atoms; no coefficient is 0.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Linear {
    /// What is added.
    pub constant: i64,
    /// Atoms and their coefficients.
    pub terms: Vec<(ExprId, i64)>,
}

impl Linear {
    /// A number.
    pub fn constant(constant: i64) -> Self {
        Self { constant, terms: Vec::new() }
    }

    /// An expression that is not taken apart.
    pub fn atom(id: ExprId) -> Self {
        Self { constant: 0, terms: vec![(id, 1)] }
    }

    /// The linear form of an `i64` expression.
    pub fn of(exprs: &Exprs, id: ExprId) -> Self {
        Linears::default().of(exprs, id)
    }

    /// `self + other * factor`.
    #[must_use]
    pub fn plus(&self, exprs: &Exprs, other: &Linear, factor: i64) -> Self {
        let rank = |id: ExprId| match exprs.get(id) {
            Expr::Var(var) => (0, var.0),
            _ => (1, id.0),
        };
        let mut all: BTreeMap<(u32, u32), (ExprId, i64)> = self.terms.iter().map(|(id, c)| (rank(*id), (*id, *c))).collect();
        for (id, c) in &other.terms {
            let slot = all.entry(rank(*id)).or_insert((*id, 0));
            slot.1 = slot.1.wrapping_add(c.wrapping_mul(factor));
        }
        Self {
            constant: self.constant.wrapping_add(other.constant.wrapping_mul(factor)),
            terms: all.into_values().filter(|(_, c)| *c != 0).collect(),
        }
    }

    /// The number, if it has no terms.
    pub fn as_constant(&self) -> Option<i64> {
        self.terms.is_empty().then_some(self.constant)
    }

    /// The expression again, in a form that is the same for equal linear forms.
    pub fn build(&self, exprs: &mut Exprs) -> ExprId {
        let mut sum = None;
        for (id, c) in &self.terms {
            let c = exprs.int(*c);
            let term = exprs.mul(*id, c);
            sum = Some(match sum {
                Some(sum) => exprs.add(sum, term),
                None => term,
            });
        }
        let constant = exprs.int(self.constant);
        match sum {
            Some(sum) => exprs.add(sum, constant),
            None => constant,
        }
    }
}

/// Linear forms of expressions, remembered.
#[derive(Clone, Default, Debug)]
pub struct Linears(HashMap<ExprId, Linear>);

impl Linears {
    /// The linear form of an `i64` expression.
    pub fn of(&mut self, exprs: &Exprs, id: ExprId) -> Linear {
        if let Some(known) = self.0.get(&id) {
            return known.clone();
        }
        let whole = match exprs.get(id) {
            Expr::Const(_) => exprs.as_int(id).map(Linear::constant),
            _ if exprs.dtype(id) != DType::I64 => None,
            Expr::Binary(Binary::Add, a, b) => {
                let (a, b) = (self.of(exprs, *a), self.of(exprs, *b));
                Some(a.plus(exprs, &b, 1))
            }
            Expr::Binary(Binary::Sub, a, b) => {
                let (a, b) = (self.of(exprs, *a), self.of(exprs, *b));
                Some(a.plus(exprs, &b, -1))
            }
            Expr::Binary(Binary::Mul, a, b) => {
                let (a, b) = (self.of(exprs, *a), self.of(exprs, *b));
                match (a.as_constant(), b.as_constant()) {
                    (_, Some(c)) => Some(Linear::constant(0).plus(exprs, &a, c)),
                    (Some(c), None) => Some(Linear::constant(0).plus(exprs, &b, c)),
                    (None, None) => None,
                }
            }
            Expr::Unary(Unary::Neg, a) => {
                let a = self.of(exprs, *a);
                Some(Linear::constant(0).plus(exprs, &a, -1))
            }
            _ => None,
        };
        let linear = whole.filter(|linear| linear.terms.len() <= MOST_TERMS).unwrap_or_else(|| Linear::atom(id));
        self.0.insert(id, linear.clone());
        linear
    }
}

/// Smallest and largest value that an integer expression can have; `None` where it may overflow or nothing is
/// known. Bounds hold but need not be reached.
pub fn range(exprs: &Exprs, id: ExprId, extents: &Extents) -> Option<(i64, i64)> {
    let mut analysis = Analysis::new(extents);
    for node in exprs.reachable(&[id]) {
        analysis.range(exprs, node);
    }
    analysis.range(exprs, id)
}

/// The [`range`] of each expression of an arena.
pub fn ranges(exprs: &Exprs, extents: &Extents) -> Vec<Option<(i64, i64)>> {
    let mut analysis = Analysis::new(extents);
    (0..exprs.len() as u32).map(|id| analysis.range(exprs, ExprId(id))).collect()
}

/// An equal expression with fewer operations: affine indices in one canonical order, divisions and remainders removed
/// where ranges allow, comparisons that always or never hold folded.
pub fn simplify(exprs: &mut Exprs, id: ExprId, extents: &Extents) -> ExprId {
    simplify_all(exprs, &[id], extents)[0]
}

/// [`simplify`] of several expressions, in their order.
pub fn simplify_all(exprs: &mut Exprs, ids: &[ExprId], extents: &Extents) -> Vec<ExprId> {
    let mut analysis = Analysis::new(extents);
    let mut known: HashMap<ExprId, ExprId> = HashMap::new();
    for id in exprs.reachable(ids) {
        let (expr, dtype) = exprs.nodes()[id.0 as usize].clone();
        let rebuilt = exprs.rebuild(&expr, dtype, |child| known[&child]);
        known.insert(id, analysis.node(exprs, rebuilt));
    }
    ids.iter().map(|id| known[id]).collect()
}

struct Analysis<'a> {
    extents: &'a Extents,
    ranges: HashMap<ExprId, Option<(i64, i64)>>,
    linears: Linears,
}

fn bounds(values: impl IntoIterator<Item = i128>) -> Option<(i64, i64)> {
    let (mut low, mut high) = (i128::MAX, i128::MIN);
    for value in values {
        (low, high) = (low.min(value), high.max(value));
    }
    Some((i64::try_from(low).ok()?, i64::try_from(high).ok()?))
}

impl<'a> Analysis<'a> {
    fn new(extents: &'a Extents) -> Self {
        Self { extents, ranges: HashMap::new(), linears: Linears::default() }
    }

    fn range(&mut self, exprs: &Exprs, id: ExprId) -> Option<(i64, i64)> {
        if let Some(known) = self.ranges.get(&id) {
            return *known;
        }
        let range = self.new_range(exprs, id);
        self.ranges.insert(id, range);
        range
    }

    fn new_range(&mut self, exprs: &Exprs, id: ExprId) -> Option<(i64, i64)> {
        let dtype = exprs.dtype(id);
        // What the dtype alone says; i64 says nothing, since indices near its ends would overflow.
        let natural = match dtype.int_range() {
            Some((low, high)) if dtype.size() < 8 => Some((low as i64, high as i64)),
            _ => None,
        };
        if !matches!(dtype.class(), Class::Signed | Class::Unsigned | Class::Bool) {
            return None;
        }
        if let Some(n) = exprs.as_int(id) {
            return Some((n, n));
        }
        if dtype != DType::I64 {
            return natural;
        }
        match exprs.get(id).clone() {
            Expr::Var(var) => self.extents.get(var).filter(|n| *n > 0).map(|n| (0, n - 1)),
            Expr::Binary(Binary::Add | Binary::Sub, ..) | Expr::Unary(Unary::Neg, _) => {
                let linear = self.linears.of(exprs, id);
                self.linear_range(exprs, &linear)
            }
            Expr::Binary(op, a, b) => {
                let (a, b) = (self.range(exprs, a)?, self.range(exprs, b)?);
                let wide = |(low, high): (i64, i64)| (i128::from(low), i128::from(high));
                let ((al, ah), (bl, bh)) = (wide(a), wide(b));
                match op {
                    Binary::Mul => bounds([al * bl, al * bh, ah * bl, ah * bh]),
                    Binary::FloorDiv if bl > 0 => bounds([al.div_euclid(bl), al.div_euclid(bh), ah.div_euclid(bl), ah.div_euclid(bh)]),
                    Binary::Div if bl > 0 => bounds([al / bl, al / bh, ah / bl, ah / bh]),
                    Binary::Mod if bl == bh && bl > 0 && al.div_euclid(bl) == ah.div_euclid(bl) => bounds([al.rem_euclid(bl), ah.rem_euclid(bl)]),
                    Binary::Mod if bl > 0 => Some((0, (if al >= 0 { ah.min(bh - 1) } else { bh - 1 }) as i64)),
                    Binary::Rem if bl > 0 => bounds([al.clamp(1 - bh, 0), ah.clamp(0, bh - 1)]),
                    Binary::Min => Some((a.0.min(b.0), a.1.min(b.1))),
                    Binary::Max => Some((a.0.max(b.0), a.1.max(b.1))),
                    _ => None,
                }
            }
            Expr::Select(_, a, b) => {
                let (a, b) = (self.range(exprs, a)?, self.range(exprs, b)?);
                Some((a.0.min(b.0), a.1.max(b.1)))
            }
            Expr::Cast(a) => self.range(exprs, a),
            _ => None,
        }
    }

    fn linear_range(&mut self, exprs: &Exprs, linear: &Linear) -> Option<(i64, i64)> {
        let (mut low, mut high) = (i128::from(linear.constant), i128::from(linear.constant));
        for (id, c) in &linear.terms {
            let (l, h) = self.range(exprs, *id)?;
            let (x, y) = (i128::from(l) * i128::from(*c), i128::from(h) * i128::from(*c));
            low += x.min(y);
            high += x.max(y);
        }
        bounds([low, high])
    }

    /// Simplifies a node whose children are simple.
    fn node(&mut self, exprs: &mut Exprs, id: ExprId) -> ExprId {
        let dtype = exprs.dtype(id);
        match exprs.get(id).clone() {
            Expr::Var(var) if self.extents.get(var) == Some(1) => exprs.int(0),
            Expr::Load { guard: Some(guard), .. } if exprs.as_const(guard) == Some(Scalar::Bool(false)) => exprs.constant(Scalar::zero(dtype), dtype),
            Expr::Unary(Unary::Neg, _) | Expr::Binary(Binary::Add | Binary::Sub | Binary::Mul, ..) if dtype == DType::I64 => {
                let linear = self.linears.of(exprs, id);
                self.sum(exprs, linear)
            }
            Expr::Binary(Binary::And | Binary::Or | Binary::Min | Binary::Max, a, b) if a == b => a,
            Expr::Binary(op, a, b) if exprs.dtype(a) == DType::I64 => self.binary(exprs, op, a, b).unwrap_or(id),
            _ => id,
        }
    }

    fn binary(&mut self, exprs: &mut Exprs, op: Binary, a: ExprId, b: ExprId) -> Option<ExprId> {
        let (ra, rb) = (self.range(exprs, a)?, self.range(exprs, b)?);
        // Differences of numbers this small do not overflow.
        let small = -(1 << 62)..(1 << 62);
        if ![ra.0, ra.1, rb.0, rb.1].iter().all(|n| small.contains(n)) {
            return None;
        }
        let divisor = exprs.as_int(b).filter(|c| *c > 0);
        match op {
            Binary::FloorDiv => Some(self.floor_div(exprs, a, divisor?)),
            Binary::Div if ra.0 >= 0 => Some(self.floor_div(exprs, a, divisor?)),
            Binary::Mod => Some(self.modulo(exprs, a, divisor?)),
            Binary::Rem if ra.0 >= 0 => Some(self.modulo(exprs, a, divisor?)),
            Binary::Min if ra.1 <= rb.0 => Some(a),
            Binary::Min if rb.1 <= ra.0 => Some(b),
            Binary::Max if ra.0 >= rb.1 => Some(a),
            Binary::Max if rb.0 >= ra.1 => Some(b),
            Binary::Lt | Binary::Le | Binary::Eq | Binary::Ne => {
                let difference = self.linears.of(exprs, a).plus(exprs, &self.linears.of(exprs, b), -1);
                let (low, high) = self.linear_range(exprs, &difference)?;
                let holds = match op {
                    Binary::Lt if high < 0 => true,
                    Binary::Lt if low >= 0 => false,
                    Binary::Le if high <= 0 => true,
                    Binary::Le if low > 0 => false,
                    Binary::Eq if low == 0 && high == 0 => true,
                    Binary::Eq if low > 0 || high < 0 => false,
                    Binary::Ne if low == 0 && high == 0 => false,
                    Binary::Ne if low > 0 || high < 0 => true,
                    _ => return None,
                };
                Some(exprs.constant(Scalar::Bool(holds), DType::Bool))
            }
            _ => None,
        }
    }

    /// A sum in canonical form, where `(x / c) * c + x % c` has become `x`.
    fn sum(&mut self, exprs: &mut Exprs, mut linear: Linear) -> ExprId {
        'again: loop {
            for (atom, coefficient) in linear.terms.clone() {
                let Expr::Binary(Binary::FloorDiv, x, c) = *exprs.get(atom) else { continue };
                let Some(c) = exprs.as_int(c).filter(|c| *c > 0 && coefficient % c == 0) else { continue };
                if self.range(exprs, x).is_none() {
                    continue;
                }
                let rest = self.modulo(exprs, x, c);
                let rest = self.linears.of(exprs, rest);
                let factor = coefficient / c;
                let found = |(id, k): &(ExprId, i64)| linear.terms.iter().any(|(other, have)| other == id && *have == k.wrapping_mul(factor));
                if !rest.terms.is_empty() && rest.terms.iter().all(found) {
                    let whole = self.linears.of(exprs, x);
                    linear = linear.plus(exprs, &Linear::atom(atom), coefficient.wrapping_neg()).plus(exprs, &rest, -factor).plus(exprs, &whole, factor);
                    continue 'again;
                }
            }
            return linear.build(exprs);
        }
    }

    /// `floor(x / c)`, where `c > 0` and `x` does not overflow.
    fn floor_div(&mut self, exprs: &mut Exprs, x: ExprId, c: i64) -> ExprId {
        if c == 1 {
            return x;
        }
        if let Some((low, high)) = self.range(exprs, x)
            && low.div_euclid(c) == high.div_euclid(c)
        {
            return exprs.int(low.div_euclid(c));
        }
        let linear = self.linears.of(exprs, x);
        let (even, odd): (Vec<_>, Vec<_>) = linear.terms.iter().copied().partition(|(_, k)| k % c == 0);
        let whole = Linear { constant: linear.constant.div_euclid(c), terms: even.into_iter().map(|(id, k)| (id, k / c)).collect() };
        let rest = Linear { constant: linear.constant.rem_euclid(c), terms: odd };
        let Some((low, high)) = self.linear_range(exprs, &rest) else {
            return self.plain(exprs, Binary::FloorDiv, x, c);
        };
        if low.div_euclid(c) == high.div_euclid(c) {
            let constant = Linear::constant(low.div_euclid(c));
            return self.sum(exprs, whole.plus(exprs, &constant, 1));
        }
        // What stays below g in a sum of multiples of g never changes the quotient by a multiple of g.
        let (g, rest, _) = self.coarse(exprs, &rest, c);
        let c = c / g;
        // (y / b + k) / c is (y + k * b) / (b * c).
        let nested = match rest.terms[..] {
            [(atom, 1)] => match *exprs.get(atom) {
                Expr::Binary(Binary::FloorDiv, y, b) => exprs.as_int(b).filter(|b| *b > 0).and_then(|b| Some((y, rest.constant.checked_mul(b)?, b.checked_mul(c)?))),
                _ => None,
            },
            _ => None,
        };
        if c > 1
            && let Some((y, constant, divisor)) = nested
        {
            let dividend = self.linears.of(exprs, y).plus(exprs, &Linear::constant(constant), 1);
            if self.linear_range(exprs, &dividend).is_some() {
                let dividend = dividend.build(exprs);
                let quotient = self.floor_div(exprs, dividend, divisor);
                let quotient = self.linears.of(exprs, quotient);
                return self.sum(exprs, whole.plus(exprs, &quotient, 1));
            }
        }
        let rest = rest.build(exprs);
        let quotient = if c == 1 { rest } else { self.plain(exprs, Binary::FloorDiv, rest, c) };
        let quotient = self.linears.of(exprs, quotient);
        self.sum(exprs, whole.plus(exprs, &quotient, 1))
    }

    /// The form as `g * a + b`, where `g` divides `c` and `b` is always in `0..g`; gives `g`, `a` and `b`. `g` is the largest that
    /// is found, 1 if there is none.
    fn coarse(&mut self, exprs: &Exprs, linear: &Linear, c: i64) -> (i64, Linear, Linear) {
        let mut divisors: Vec<i64> = linear.terms.iter().map(|(_, k)| gcd(c, *k)).collect();
        divisors.push(linear.terms.iter().fold(c, |g, (_, k)| gcd(g, *k)));
        divisors.sort_unstable();
        for g in divisors.into_iter().rev().filter(|g| *g > 1) {
            let (even, odd): (Vec<_>, Vec<_>) = linear.terms.iter().copied().partition(|(_, k)| k % g == 0);
            let below = Linear { constant: linear.constant.rem_euclid(g), terms: odd };
            if self.linear_range(exprs, &below).is_some_and(|(low, high)| low >= 0 && high < g) {
                let above = Linear { constant: linear.constant.div_euclid(g), terms: even.into_iter().map(|(id, k)| (id, k / g)).collect() };
                return (g, above, below);
            }
        }
        (1, linear.clone(), Linear::constant(0))
    }

    /// `x mod c` in `0..c`, where `c > 0` and `x` does not overflow.
    fn modulo(&mut self, exprs: &mut Exprs, x: ExprId, c: i64) -> ExprId {
        if c == 1 {
            return exprs.int(0);
        }
        let linear = self.linears.of(exprs, x);
        if let Some((low, high)) = self.linear_range(exprs, &linear)
            && low.div_euclid(c) == high.div_euclid(c)
        {
            let whole = c.wrapping_mul(low.div_euclid(c));
            return self.sum(exprs, linear.plus(exprs, &Linear::constant(whole), -1));
        }
        let mut rest = Linear { constant: linear.constant.rem_euclid(c), terms: linear.terms.iter().map(|(id, k)| (*id, k % c)).filter(|(_, k)| *k != 0).collect() };
        // y % a leaves the remainder that y leaves where c divides a.
        for (atom, k) in rest.terms.clone() {
            if let Expr::Binary(Binary::Mod, y, a) = *exprs.get(atom)
                && exprs.as_int(a).is_some_and(|a| a > 0 && a % c == 0)
                && self.range(exprs, y).is_some()
            {
                let inner = self.linears.of(exprs, y);
                rest = rest.plus(exprs, &Linear::atom(atom), -k).plus(exprs, &inner, k);
            }
        }
        let rest = Linear { constant: rest.constant.rem_euclid(c), terms: rest.terms.iter().map(|(id, k)| (*id, k % c)).filter(|(_, k)| *k != 0).collect() };
        let Some((low, high)) = self.linear_range(exprs, &rest) else {
            return self.plain(exprs, Binary::Mod, x, c);
        };
        if low.div_euclid(c) == high.div_euclid(c) {
            let whole = c * low.div_euclid(c);
            return self.sum(exprs, rest.plus(exprs, &Linear::constant(whole), -1));
        }
        let (g, inner, below) = self.coarse(exprs, &rest, c);
        if g > 1 {
            let inner = inner.build(exprs);
            let inner = self.modulo(exprs, inner, c / g);
            let inner = self.linears.of(exprs, inner);
            return self.sum(exprs, below.plus(exprs, &inner, g));
        }
        // (y / b) % c is (y % (b * c)) / b.
        if let ([(atom, 1)], 0) = (&rest.terms[..], rest.constant)
            && let Expr::Binary(Binary::FloorDiv, y, b) = *exprs.get(*atom)
            && let Some(b) = exprs.as_int(b).filter(|b| *b > 0)
            && let Some(both) = b.checked_mul(c)
            && self.range(exprs, y).is_some()
        {
            let inner = self.modulo(exprs, y, both);
            return self.floor_div(exprs, inner, b);
        }
        let rest = rest.build(exprs);
        self.plain(exprs, Binary::Mod, rest, c)
    }

    fn plain(&mut self, exprs: &mut Exprs, op: Binary, x: ExprId, c: i64) -> ExprId {
        let c = exprs.int(c);
        exprs.binary(op, x, c)
    }
}

/// The greatest common divisor; that of 0 and 0 is 0.
pub fn gcd(a: i64, b: i64) -> i64 {
    let (mut a, mut b) = (a.unsigned_abs(), b.unsigned_abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    i64::try_from(a).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::evaluate;

    const VARS: [(Var, i64); 3] = [(Var(0), 5), (Var(1), 12), (Var(2), 3)];

    fn values(exprs: &Exprs, id: ExprId) -> Vec<Scalar> {
        let order = exprs.reachable(&[id]);
        let mut values = vec![Scalar::Int(0); exprs.len()];
        let mut result = Vec::new();
        for i in 0..VARS[0].1 {
            for j in 0..VARS[1].1 {
                for k in 0..VARS[2].1 {
                    evaluate(exprs, &order, &mut values, |v| Scalar::Int([i, j, k][v.0 as usize].into()), |_, _, _, _| Scalar::Int(0));
                    result.push(values[id.0 as usize]);
                }
            }
        }
        result
    }

    /// Simplifies, and checks against the original at every point.
    fn check(exprs: &mut Exprs, id: ExprId) -> ExprId {
        let extents: Extents = VARS.into_iter().collect();
        let simple = simplify(exprs, id, &extents);
        let wanted = values(exprs, id);
        assert_eq!(wanted, values(exprs, simple), "{id:?} of {exprs:?} became {simple:?}");
        for id in [id, simple] {
            if let Some((low, high)) = range(exprs, id, &extents) {
                assert!(wanted.iter().all(|v| (low..=high).contains(&(v.as_int() as i64))), "{low}..={high} of {id:?} of {exprs:?}");
            }
        }
        assert_eq!(simplify(exprs, simple, &extents), simple, "not simple at once");
        simple
    }

    fn size(exprs: &Exprs, id: ExprId) -> usize {
        exprs.reachable(&[id]).len()
    }

    #[test]
    fn divisions_disappear() {
        let mut e = Exprs::new();
        let [i, j, k] = [0, 1, 2].map(|v| e.var(Var(v)));
        let (c12, c4, c3) = (e.int(12), e.int(4), e.int(3));
        let scaled = e.mul(i, c12);
        let flat = e.add(scaled, j);
        let q = e.binary(Binary::FloorDiv, flat, c12);
        assert_eq!(check(&mut e, q), i);
        let r = e.binary(Binary::Mod, flat, c12);
        assert_eq!(check(&mut e, r), j);
        let q = e.binary(Binary::Div, scaled, c4);
        let thrice = e.mul(i, c3);
        assert_eq!(check(&mut e, q), thrice);
        // Splitting a flat index and joining it again gives the flat index.
        let flat = { let s = e.mul(flat, c3); e.add(s, k) };
        let (n36, n9) = (e.int(36), e.int(9));
        let a = e.binary(Binary::FloorDiv, flat, n36);
        let b = { let q = e.binary(Binary::FloorDiv, flat, n9); e.binary(Binary::Mod, q, c4) };
        let c = e.binary(Binary::Mod, flat, n9);
        let joined = { let a = e.mul(a, n36); let b = e.mul(b, n9); let s = e.add(a, b); e.add(s, c) };
        let whole = check(&mut e, joined);
        assert_eq!(whole, check(&mut e, flat));
        // (12 i + j) / 36 is i / 3, (12 i + j) % 36 is 12 (i % 3) + j.
        let flat = e.add(scaled, j);
        let q = e.binary(Binary::FloorDiv, flat, n36);
        let third = e.binary(Binary::FloorDiv, i, c3);
        assert_eq!(check(&mut e, q), third);
        let r = e.binary(Binary::Mod, flat, n36);
        let apart = { let m = e.binary(Binary::Mod, i, c3); let m = e.mul(m, c12); e.add(j, m) };
        assert_eq!(check(&mut e, r), apart);
        // (j / 2) / 2 is j / 4, (j % 8) % 4 is j % 4.
        let (c2, c8) = (e.int(2), e.int(8));
        let twice = { let q = e.binary(Binary::FloorDiv, j, c2); e.binary(Binary::FloorDiv, q, c2) };
        let once = e.binary(Binary::FloorDiv, j, c4);
        assert_eq!(check(&mut e, twice), once);
        let twice = { let q = e.binary(Binary::Mod, j, c8); e.binary(Binary::Mod, q, c4) };
        let once = e.binary(Binary::Mod, j, c4);
        assert_eq!(check(&mut e, twice), once);
    }

    #[test]
    fn comparisons_fold() {
        let mut e = Exprs::new();
        let [i, j, _] = [0, 1, 2].map(|v| e.var(Var(v)));
        let padded = { let one = e.int(1); e.sub(i, one) };
        let holds = e.within(i, Some(0), Some(5));
        let simple = check(&mut e, holds);
        assert_eq!(e.as_const(simple), Some(Scalar::Bool(true)));
        let never = e.within(j, Some(12), None);
        let simple = check(&mut e, never);
        assert_eq!(e.as_const(simple), Some(Scalar::Bool(false)));
        let open = e.within(padded, Some(0), Some(4));
        let simple = check(&mut e, open);
        assert!(size(&e, simple) < size(&e, open));
        assert_eq!(e.as_const(simple), None);
    }

    #[test]
    fn random_expressions_keep_their_values() {
        let mut seed = 1u64;
        let mut draw = |n: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % n
        };
        for _ in 0..3000 {
            let mut e = Exprs::new();
            let mut pool: Vec<ExprId> = (0..3).map(|v| e.var(Var(v))).collect();
            for _ in 0..8 {
                let a = pool[draw(pool.len() as u64) as usize];
                let b = pool[draw(pool.len() as u64) as usize];
                let c = e.int([1, 2, 3, 4, 5, 6, 8, 12, -1, -2, -3, 24][draw(12) as usize]);
                let new = match draw(12) {
                    0 | 1 => e.add(a, b),
                    2 => e.sub(a, b),
                    3 => e.add(a, c),
                    4 | 5 => e.mul(a, c),
                    6 | 7 => e.binary(Binary::FloorDiv, a, c),
                    8 | 9 => e.binary(Binary::Mod, a, c),
                    10 => e.binary([Binary::Div, Binary::Rem, Binary::Min, Binary::Max][draw(4) as usize], a, c),
                    _ => {
                        let cond = e.binary([Binary::Lt, Binary::Le, Binary::Eq, Binary::Ne][draw(4) as usize], a, b);
                        e.select(cond, a, c)
                    }
                };
                pool.push(new);
            }
            let last = pool[pool.len() - 1];
            let extents: Extents = VARS.into_iter().collect();
            let simple = simplify(&mut e, last, &extents);
            assert_eq!(values(&e, last), values(&e, simple), "{last:?} of {e:?} became {simple:?}");
            for id in [last, simple] {
                if let Some((low, high)) = range(&e, id, &extents) {
                    assert!(values(&e, last).iter().all(|v| (low..=high).contains(&(v.as_int() as i64))));
                }
            }
        }
    }

    #[test]
    fn affine_forms() {
        let mut e = Exprs::new();
        let [i, j, _] = [0, 1, 2].map(|v| e.var(Var(v)));
        let seven = e.int(7);
        let sum = { let a = e.mul(i, seven); let b = e.sub(a, j); let c = e.add(b, a); e.add(c, seven) };
        assert_eq!(Affine::of(&e, sum), Some(Affine { constant: 7, terms: vec![(Var(0), 14), (Var(1), -1)] }));
        let product = e.mul(i, j);
        assert_eq!(Affine::of(&e, product), None);
    }
}
