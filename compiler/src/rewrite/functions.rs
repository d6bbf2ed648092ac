//! What conditions and attributes in rules are computed with: named functions on classes and attributes.
//!
//! In: [`Bound`] arguments. Out: an attribute; nothing where a fact that is needed is not known, so that the rule does not
//! fire. Must not know: single rules.

use egg::Id;
use frit_ir::ops::Attr;

use super::facts::Facts;
use super::pattern::{Bound, Site};

/// A named function.
#[derive(Debug)]
pub struct Function {
    /// Its name in rules.
    pub name: &'static str,
    /// What it gives, for the documentation.
    pub about: &'static str,
    /// The result; none where it can't be told.
    pub(super) call: fn(&Site<'_>, &[Bound]) -> Option<Attr>,
}

/// A function by its name.
pub(super) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

/// Are two attributes the same? Numbers may be written as integers where floats are meant.
pub(super) fn same(a: &Attr, b: &Attr) -> bool {
    match (a, b) {
        (Attr::Int(n), Attr::Float(x)) | (Attr::Float(x), Attr::Int(n)) => *n as f64 == *x,
        (Attr::List(a), Attr::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (a, b) => a == b,
    }
}

fn class(bound: &Bound) -> Option<Id> {
    match bound {
        Bound::Class(id) => Some(*id),
        _ => None,
    }
}

fn facts<'a>(site: &'a Site<'_>, bound: &Bound) -> Option<&'a Facts> {
    Some(site.facts(class(bound)?))
}

fn extents(site: &Site<'_>, bound: &Bound) -> Option<Vec<i64>> {
    facts(site, bound)?.extents()
}

fn int(bound: &Bound) -> Option<i64> {
    match bound {
        Bound::Attr(Attr::Int(n)) => Some(*n),
        _ => None,
    }
}

fn ints(bound: &Bound) -> Option<Vec<i64>> {
    match bound {
        Bound::Attr(Attr::List(items)) => items.iter().map(|item| if let Attr::Int(n) = item { Some(*n) } else { None }).collect(),
        _ => None,
    }
}

fn list(items: impl IntoIterator<Item = i64>) -> Option<Attr> {
    Some(Attr::List(items.into_iter().map(Attr::Int).collect()))
}

fn truth(holds: bool) -> Option<Attr> {
    Some(Attr::Bool(holds))
}

/// What numpy's broadcasting makes of two shapes.
fn broadcast(a: &[i64], b: &[i64]) -> Option<Vec<i64>> {
    let rank = a.len().max(b.len());
    let at = |extents: &[i64], k: usize| (k + extents.len()).checked_sub(rank).map_or(1, |k| extents[k]);
    (0..rank).map(|k| match (at(a, k), at(b, k)) {
        (x, y) if x == y || y == 1 => Some(x),
        (1, y) => Some(y),
        _ => None,
    }).collect()
}

/// All functions.
pub const FUNCTIONS: &[Function] = &[
    Function { name: "constant", about: "the value depends on constants only", call: |site, x| truth(facts(site, &x[0])?.constant) },
    Function { name: "scalar", about: "the value has one element", call: |site, x| truth(extents(site, &x[0])?.iter().product::<i64>() == 1) },
    Function { name: "float", about: "the elements are floating-point numbers", call: |site, x| truth(facts(site, &x[0])?.ty()?.dtype.is_float()) },
    Function { name: "finite", about: "no element is NaN or infinite", call: |site, x| truth(facts(site, &x[0])?.range.finite()) },
    Function { name: "nonzero", about: "no element is zero or NaN", call: |site, x| truth(facts(site, &x[0])?.range.nonzero()) },
    Function { name: "nonnegative", about: "no element is negative or NaN", call: |site, x| { let range = facts(site, &x[0])?.range; truth(!range.nan && range.low >= 0.0) } },
    Function { name: "dtype", about: "the elements' dtype", call: |site, x| Some(Attr::DType(facts(site, &x[0])?.ty()?.dtype)) },
    Function { name: "rank", about: "the number of axes", call: |site, x| Some(Attr::Int(extents(site, &x[0])?.len() as i64)) },
    Function { name: "extents", about: "the extents", call: |site, x| list(extents(site, &x[0])?) },
    Function { name: "extent", about: "the extent of an axis", call: |site, x| Some(Attr::Int(*extents(site, &x[0])?.get(usize::try_from(int(&x[1])?).ok()?)?)) },
    Function { name: "same_type", about: "two values have one dtype and shape", call: |site, x| truth(facts(site, &x[0])?.ty()? == facts(site, &x[1])?.ty()?) },
    Function { name: "same_shape", about: "two values have one shape", call: |site, x| truth(extents(site, &x[0])? == extents(site, &x[1])?) },
    Function { name: "fits", about: "the first value broadcasts to the second's shape", call: |site, x| { let to = extents(site, &x[1])?; truth(broadcast(&extents(site, &x[0])?, &to)? == to) } },
    Function { name: "same", about: "two attributes, or two values, are the same", call: |_, x| truth(match (&x[0], &x[1]) { (Bound::Attr(a), Bound::Attr(b)) => same(a, b), (a, b) => a == b }) },
    Function { name: "less", about: "the first number is less than the second", call: |_, x| truth(int(&x[0])? < int(&x[1])?) },
    Function { name: "plus", about: "the sum of two integers", call: |_, x| Some(Attr::Int(int(&x[0])?.checked_add(int(&x[1])?)?)) },
    Function { name: "identity", about: "an order of axes that changes nothing", call: |_, x| truth(ints(&x[0])?.into_iter().eq(0..ints(&x[0])?.len() as i64)) },
    Function {
        name: "compose",
        about: "the order of axes that does the second argument's and then the first's",
        call: |_, x| {
            let (outer, inner) = (ints(&x[0])?, ints(&x[1])?);
            list(outer.iter().map(|k| inner.get(usize::try_from(*k).ok()?).copied()).collect::<Option<Vec<_>>>()?)
        },
    },
    Function { name: "all", about: "every item of a list is this number", call: |_, x| { let wanted = int(&x[1])?; truth(ints(&x[0])?.iter().all(|n| *n == wanted)) } },
    Function {
        name: "start",
        about: "where a member's part begins along an axis (the second argument) of all members' values joined, and 0 along the other axes",
        call: |site, x| {
            let Bound::Classes(members) = &x[0] else { return None };
            let axis = usize::try_from(int(&x[1])?).ok()?;
            let mut start = 0;
            for id in members.iter().take(site.member) {
                start += *site.facts(*id).extents()?.get(axis)?;
            }
            let rank = site.facts(site.root).extents()?.len();
            let own = site.facts(*members.first()?).extents()?.len();
            let at = (rank + axis).checked_sub(own)?;
            list((0..rank).map(|k| if k == at { start } else { 0 }))
        },
    },
    Function { name: "ones", about: "as many ones as a value has axes", call: |site, x| list(vec![1; extents(site, &x[0])?.len()]) },
    Function { name: "zeros", about: "as many zeros as a value has axes", call: |site, x| list(vec![0; extents(site, &x[0])?.len()]) },
];
