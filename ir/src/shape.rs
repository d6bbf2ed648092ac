//! Shapes whose dimensions may be symbolic, and the arithmetic on them.
//!
//! In: numbers and names from a model's signature. Out: [`Dim`], [`Shape`], [`TensorType`]. Must
//! not know: ops.
//!
//! A [`Dim`] is a polynomial over named symbols with integer coefficients, kept in a normal form so
//! that equal polynomials compare equal; floor division that does not come out even, and whatever
//! is only known at run time, make it [`Dim::Unknown`]. Two unknown dims never compare as provably
//! equal.

use std::collections::BTreeMap;
use std::fmt;

use crate::dtype::DType;
use crate::error::OpError;

/// A polynomial: monomial (sorted symbol names, with repetition) to coefficient.
type Terms = BTreeMap<Vec<String>, i64>;

/// The extent of one axis.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Dim {
    /// A number.
    Known(i64),
    /// A polynomial over symbols, in normal form and not constant.
    Symbolic(Terms),
    /// Not known before the program runs.
    Unknown,
}

impl Dim {
    /// A named open extent.
    pub fn symbol(name: impl Into<String>) -> Self {
        Dim::Symbolic(BTreeMap::from([(vec![name.into()], 1)]))
    }

    /// The number, if it is one.
    pub fn known(&self) -> Option<i64> {
        match self {
            Dim::Known(n) => Some(*n),
            Dim::Symbolic(_) | Dim::Unknown => None,
        }
    }

    /// Are the two equal whatever the symbols stand for?
    pub fn provably_equal(&self, other: &Dim) -> bool {
        *self != Dim::Unknown && self == other
    }

    /// Could the two be equal?
    pub fn may_equal(&self, other: &Dim) -> bool {
        match (self, other) {
            (Dim::Known(a), Dim::Known(b)) => a == b,
            _ => true,
        }
    }

    fn terms(&self) -> Option<Terms> {
        match self {
            Dim::Known(n) => Some(if *n == 0 { Terms::new() } else { BTreeMap::from([(Vec::new(), *n)]) }),
            Dim::Symbolic(terms) => Some(terms.clone()),
            Dim::Unknown => None,
        }
    }

    pub(crate) fn from_terms(mut terms: Terms) -> Self {
        terms.retain(|_, coefficient| *coefficient != 0);
        match (terms.len(), terms.get(&Vec::new())) {
            (0, _) => Dim::Known(0),
            (1, Some(n)) => Dim::Known(*n),
            _ => Dim::Symbolic(terms),
        }
    }

    fn combine(&self, other: &Dim, merge: impl Fn(&Terms, &Terms) -> Option<Terms>) -> Dim {
        match (self.terms(), other.terms()) {
            (Some(a), Some(b)) => merge(&a, &b).map_or(Dim::Unknown, Dim::from_terms),
            _ => Dim::Unknown,
        }
    }

    /// Sum; unknown on overflow.
    #[must_use]
    pub fn plus(&self, other: &Dim) -> Dim {
        self.combine(other, |a, b| {
            let mut sum = a.clone();
            for (monomial, n) in b {
                let slot = sum.entry(monomial.clone()).or_insert(0);
                *slot = slot.checked_add(*n)?;
            }
            Some(sum)
        })
    }

    /// Difference; unknown on overflow.
    #[must_use]
    pub fn minus(&self, other: &Dim) -> Dim {
        self.plus(&other.times(&Dim::Known(-1)))
    }

    /// Product; unknown on overflow.
    #[must_use]
    pub fn times(&self, other: &Dim) -> Dim {
        if self.known() == Some(0) || other.known() == Some(0) {
            return Dim::Known(0);
        }
        self.combine(other, |a, b| {
            let mut product = Terms::new();
            for (ma, na) in a {
                for (mb, nb) in b {
                    let mut monomial = [ma.as_slice(), mb.as_slice()].concat();
                    monomial.sort();
                    let slot = product.entry(monomial).or_insert(0);
                    *slot = slot.checked_add(na.checked_mul(*nb)?)?;
                }
            }
            Some(product)
        })
    }

    /// Quotient rounded down. Symbolic only where it comes out even for every value of the symbols.
    #[must_use]
    pub fn floor_div(&self, other: &Dim) -> Dim {
        match (self, other) {
            (_, Dim::Known(0)) | (Dim::Unknown, _) | (_, Dim::Unknown) => Dim::Unknown,
            (Dim::Known(a), Dim::Known(b)) => a.checked_div_euclid(*b).map_or(Dim::Unknown, Dim::Known),
            (Dim::Symbolic(terms), Dim::Known(b)) if terms.values().all(|n| n % b == 0) => {
                Dim::from_terms(terms.iter().map(|(m, n)| (m.clone(), n / b)).collect())
            }
            _ => self.divide_by_monomial(other),
        }
    }

    fn divide_by_monomial(&self, other: &Dim) -> Dim {
        let (Some(a), Some(b)) = (self.terms(), other.terms()) else { return Dim::Unknown };
        let mut b = b.iter();
        let (Some((divisor, by)), None) = (b.next(), b.next()) else {
            return if self == other { Dim::Known(1) } else { Dim::Unknown };
        };
        let mut quotient = Terms::new();
        for (monomial, n) in &a {
            let mut rest = monomial.clone();
            for symbol in divisor {
                match rest.iter().position(|s| s == symbol) {
                    Some(at) => drop(rest.remove(at)),
                    None => return Dim::Unknown,
                }
            }
            if n % by != 0 {
                return Dim::Unknown;
            }
            quotient.insert(rest, n / by);
        }
        Dim::from_terms(quotient)
    }

    /// Puts numbers in place of symbols.
    #[must_use]
    pub fn bind(&self, binding: &BTreeMap<String, i64>) -> Dim {
        let Dim::Symbolic(terms) = self else { return self.clone() };
        let mut sum = Dim::Known(0);
        for (monomial, n) in terms {
            let mut product = Dim::Known(*n);
            for symbol in monomial {
                product = product.times(&binding.get(symbol).map_or_else(|| Dim::symbol(symbol.clone()), |n| Dim::Known(*n)));
            }
            sum = sum.plus(&product);
        }
        sum
    }

    /// The symbols that occur in it, sorted, each once.
    pub fn symbols(&self) -> Vec<String> {
        let Dim::Symbolic(terms) = self else { return Vec::new() };
        let mut names: Vec<String> = terms.keys().flatten().cloned().collect();
        names.sort();
        names.dedup();
        names
    }
}

impl From<i64> for Dim {
    fn from(n: i64) -> Self {
        Dim::Known(n)
    }
}

impl From<&str> for Dim {
    fn from(name: &str) -> Self {
        Dim::symbol(name)
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dim::Known(n) => write!(f, "{n}"),
            Dim::Unknown => f.write_str("?"),
            Dim::Symbolic(terms) => {
                for (i, (monomial, n)) in terms.iter().rev().enumerate() {
                    if i > 0 {
                        f.write_str("+")?;
                    }
                    let names: Vec<String> = monomial.iter().map(|name| quoted(name)).collect();
                    match (*n, names.is_empty()) {
                        (n, true) => write!(f, "{n}")?,
                        (1, false) => f.write_str(&names.join("*"))?,
                        (n, false) => write!(f, "{n}*{}", names.join("*"))?,
                    }
                }
                Ok(())
            }
        }
    }
}

/// A symbol as the text form shows it: plain where it is an identifier, else in quotes.
fn quoted(name: &str) -> String {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !name.starts_with(|c: char| c.is_ascii_digit()) && !name.is_empty();
    if plain { name.to_owned() } else { format!("{name:?}") }
}

/// The extents of a tensor's axes, or nothing where not even their number is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Shape {
    /// One extent per axis, outermost first.
    Ranked(Vec<Dim>),
    /// The number of axes is not known.
    Unranked,
}

impl Shape {
    /// A shape of numbers.
    pub fn known(extents: &[i64]) -> Self {
        Shape::Ranked(extents.iter().map(|n| Dim::Known(*n)).collect())
    }

    /// The dims, if the rank is known.
    pub fn dims(&self) -> Option<&[Dim]> {
        match self {
            Shape::Ranked(dims) => Some(dims),
            Shape::Unranked => None,
        }
    }

    /// The extents, if all are numbers.
    pub fn extents(&self) -> Option<Vec<i64>> {
        self.dims()?.iter().map(Dim::known).collect()
    }

    /// Number of elements, if every extent is a number and the product fits.
    pub fn elems(&self) -> Option<i64> {
        self.extents()?.iter().try_fold(1i64, |product, n| product.checked_mul(*n))
    }

    /// Puts numbers in place of symbols.
    #[must_use]
    pub fn bind(&self, binding: &BTreeMap<String, i64>) -> Shape {
        match self {
            Shape::Ranked(dims) => Shape::Ranked(dims.iter().map(|dim| dim.bind(binding)).collect()),
            Shape::Unranked => Shape::Unranked,
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shape::Unranked => f.write_str("[..]"),
            Shape::Ranked(dims) => {
                f.write_str("[")?;
                for (i, dim) in dims.iter().enumerate() {
                    if i > 0 {
                        f.write_str(",")?;
                    }
                    write!(f, "{dim}")?;
                }
                f.write_str("]")
            }
        }
    }
}

/// Element type and shape. Prints as `f32[batch,3,224,224]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TensorType {
    /// Element type.
    pub dtype: DType,
    /// Extents.
    pub shape: Shape,
}

impl TensorType {
    /// A type with any shape.
    pub fn new(dtype: DType, shape: Shape) -> Self {
        Self { dtype, shape }
    }

    /// A type whose extents are numbers.
    pub fn known(dtype: DType, extents: &[i64]) -> Self {
        Self { dtype, shape: Shape::known(extents) }
    }

    /// A type with one dim per axis.
    pub fn ranked(dtype: DType, dims: Vec<Dim>) -> Self {
        Self { dtype, shape: Shape::Ranked(dims) }
    }

    /// The dims; [`OpError::unknown`] where the rank is not known.
    pub fn dims(&self) -> Result<&[Dim], OpError> {
        self.shape.dims().ok_or_else(OpError::unknown)
    }

    /// The number of axes; [`OpError::unknown`] where it is not known.
    pub fn rank(&self) -> Result<usize, OpError> {
        Ok(self.dims()?.len())
    }

    /// The extents as numbers; [`OpError::unknown`] where one is open.
    pub fn extents(&self) -> Result<Vec<i64>, OpError> {
        self.shape.extents().ok_or_else(OpError::unknown)
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.dtype, self.shape)
    }
}

/// NumPy's broadcasting of shapes (<https://numpy.org/doc/stable/user/basics.broadcasting.html>): axes are
/// matched from the last; extents are equal, or one of them is 1.
///
/// # Errors
/// Invalid where two extents differ and neither is 1; unknown where a rank is not known.
pub fn broadcast(types: &[&TensorType]) -> Result<Vec<Dim>, OpError> {
    let mut result: Vec<Dim> = Vec::new();
    for ty in types {
        let dims = ty.dims()?;
        if dims.len() > result.len() {
            let missing = dims.len() - result.len();
            result.splice(0..0, std::iter::repeat_n(Dim::Known(1), missing));
        }
        let start = result.len() - dims.len();
        for (slot, dim) in result[start..].iter_mut().zip(dims) {
            *slot = match (&*slot, dim) {
                (a, Dim::Known(1)) => a.clone(),
                (Dim::Known(1), b) => b.clone(),
                (Dim::Known(a), Dim::Known(b)) if a != b => {
                    let all: Vec<String> = types.iter().map(|ty| ty.shape.to_string()).collect();
                    return Err(OpError::invalid(format!("shapes {} don't broadcast: extents {a} and {b} differ and neither is 1", all.join(" and "))));
                }
                (Dim::Known(a), _) => Dim::Known(*a),
                (_, Dim::Known(b)) => Dim::Known(*b),
                (a, b) if a == b => a.clone(),
                _ => Dim::Unknown,
            };
        }
    }
    Ok(result)
}

/// Does a shape broadcast to another one, which stays what it is?
///
/// # Errors
/// Invalid where it does not; unknown where a rank is not known.
pub fn fits(ty: &TensorType, to: &TensorType) -> Result<(), OpError> {
    let (joined, dims) = (broadcast(&[ty, to])?, to.dims()?);
    if joined.len() == dims.len() && joined.iter().zip(dims).all(|(a, b)| a.may_equal(b)) {
        return Ok(());
    }
    Err(OpError::invalid(format!("shape {} does not broadcast to {}", ty.shape, to.shape)))
}

/// An axis given as in Python (negative counts from the end), made an index below `rank`.
///
/// # Errors
/// Invalid where it lies outside `-rank..rank`.
pub fn axis(axis: i64, rank: usize) -> Result<usize, OpError> {
    let wide = rank as i64;
    let at = if axis < 0 { axis + wide } else { axis };
    if (0..wide).contains(&at) {
        Ok(at as usize)
    } else {
        Err(OpError::invalid(format!("axis {axis} is outside a tensor of rank {rank}")))
    }
}
