//! What conditions and attributes in rules are computed with: named functions on classes and attributes.
//!
//! In: [`Bound`] arguments. Out: an attribute; nothing where a fact that is needed is not known, so that the rule does not
//! fire. Must not know: single rules.

use std::collections::BTreeSet;

use egg::Id;
use frit_ir::ops::Attr;
use frit_ir::scalar::{Scalar, cast, lossless, round_float};
use frit_ir::{DType, Op, Tensor};

use super::facts::Facts;
use super::language::Head;
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

/// Are two numbers the same, as far as single precision tells?
pub(super) fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= b.abs() * 2e-7
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

fn lists(bound: &Bound) -> Option<Vec<Vec<i64>>> {
    match bound {
        Bound::Attr(Attr::List(items)) => items.iter().map(|item| ints(&Bound::Attr(item.clone()))).collect(),
        _ => None,
    }
}

/// The elements of a constant, or the one that all of them are.
fn elements(site: &Site<'_>, bound: &Bound) -> Option<Vec<f64>> {
    let facts = facts(site, bound)?;
    match (&facts.value, facts.splat) {
        (Some(value), _) => Some(value.scalars().map(Scalar::as_f64).collect()),
        (None, splat) => Some(vec![splat?.as_f64()]),
    }
}

/// The largest size of a tensor's elements, and the smallest of those that are not 0. None where one is not finite.
fn sizes_of(value: &Tensor) -> Option<(f64, f64)> {
    let (mut largest, mut smallest) = (0.0, f64::INFINITY);
    if value.dtype() == DType::F32 {
        // Without their signs floats are ordered as their bits are; 0 is the largest number after 1 is taken off.
        let size = |bytes: &[u8]| u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) & 0x7fff_ffff;
        let bits = value.bytes().chunks_exact(4).map(size).fold((0, u32::MAX), |(most, least), bits| (most.max(bits), least.min(bits.wrapping_sub(1))));
        largest = f64::from(f32::from_bits(bits.0));
        if bits.1 != u32::MAX {
            smallest = f64::from(f32::from_bits(bits.1 + 1));
        }
    } else {
        for size in value.scalars().map(|x| x.as_f64().abs()) {
            // A NaN stays.
            largest = if size > largest || size.is_nan() { size } else { largest };
            smallest = if size < smallest && size > 0.0 { size } else { smallest };
        }
    }
    largest.is_finite().then_some((largest, smallest))
}

/// The largest size of an element, and the smallest of those that are not 0, of a constant of any size or of what it is
/// multiplied from. None where an element is not finite.
fn sizes(site: &Site<'_>, id: Id) -> Option<(f64, f64)> {
    sizes_within(site, id, &mut { MOST_CLASSES })
}

/// So many classes are asked for the sizes of one: a constant may be made of itself, moved there and back.
const MOST_CLASSES: usize = 64;

fn sizes_within(site: &Site<'_>, id: Id, left: &mut usize) -> Option<(f64, f64)> {
    *left = left.checked_sub(1)?;
    let facts = site.facts(id);
    let terms = || site.graph[id].nodes.iter().map(|term| (site.graph.analysis.heads.get(term.head), &term.children));
    if let Some(value) = tensor(site, &Bound::Class(id)) {
        let key = (value.address(), value.elems(), value.dtype());
        // The tensor stays with what is known of it, so that no other one gets its address.
        return site.graph.analysis.sizes.borrow_mut().entry(key).or_insert_with(|| { let sizes = sizes_of(&value); (value, sizes) }).1;
    }
    if !facts.constant {
        return None;
    }
    if let Some(splat) = facts.splat {
        let size = splat.as_f64().abs();
        return size.is_finite().then_some((size, if size > 0.0 { size } else { f64::INFINITY }));
    }
    let (head, children) = terms().find(|(head, _)| matches!(head, Head::Op(Op::Mul(_) | Op::Concat(_) | Op::Transpose(_) | Op::Reshape(_) | Op::Slice(_) | Op::StrassenWeight(_) | Op::WinogradWeight(_))))?;
    let parts = children.iter().map(|child| sizes_within(site, site.graph.find(*child), left)).collect::<Option<Vec<_>>>()?;
    if matches!(head, Head::Op(Op::StrassenWeight(_) | Op::WinogradWeight(_))) {
        // Factors of a sum add up to less than 4, and may cancel.
        return parts.first().map(|(largest, _)| (largest * 4.0, 0.0));
    }
    let product = matches!(head, Head::Op(Op::Mul(_)));
    parts.into_iter().reduce(|a, b| if product { (a.0 * b.0, a.1 * b.1) } else { (a.0.max(b.0), a.1.min(b.1)) })
}

/// Does a constant have sizes that may be multiplied by each other before anything else is, without overflow or loss?
fn sized(site: &Site<'_>, bound: &Bound, also_small: bool) -> Option<bool> {
    let id = class(bound)?;
    let most = match site.facts(id).ty()?.dtype {
        DType::F64 | DType::F32 | DType::BF16 => 2f64.powi(60),
        DType::F16 => 2f64.powi(7),
        _ => return None,
    };
    let (largest, smallest) = sizes(site, id)?;
    Some(largest <= most && (!also_small || smallest >= 1.0 / most))
}

fn float(bound: &Bound) -> Option<f64> {
    match bound {
        Bound::Attr(Attr::Float(x)) => Some(*x),
        Bound::Attr(Attr::Int(n)) => Some(*n as f64),
        _ => None,
    }
}

/// A constant of any size that is there as such.
fn tensor(site: &Site<'_>, bound: &Bound) -> Option<Tensor> {
    let id = class(bound)?;
    let written = || {
        site.graph[id].nodes.iter().find_map(|term| match site.graph.analysis.heads.get(term.head) {
            Head::Op(Op::Constant(constant)) => Some(constant.value.clone()),
            _ => None,
        })
    };
    site.facts(id).value.clone().or_else(written)
}

/// The axes of `from` that hold the elements of some axes of `to`, to which it is reshaped.
fn unmerged(from: &[i64], to: &[i64], axes: &[i64]) -> Option<Vec<i64>> {
    if from.contains(&0) {
        return None;
    }
    let mut found = Vec::new();
    let (mut k, mut at) = (0, 0);
    // Runs of axes on both sides that hold as many elements.
    while k < from.len() || at < to.len() {
        let (first, second) = (k, at);
        let (mut a, mut b) = (1, 1);
        loop {
            if a <= b && k < from.len() && (a < b || k == first) {
                a *= from[k];
                k += 1;
            } else if at < to.len() && (b < a || at == second) {
                b *= to[at];
                at += 1;
            } else {
                break;
            }
        }
        let mut reduced = (second..at).filter(|at| to[*at] > 1).map(|at| axes.contains(&(at as i64)));
        let all = reduced.next().unwrap_or(false);
        if a != b || reduced.any(|other| other != all) {
            return None;
        }
        if all {
            found.extend((first..k).map(|k| k as i64));
        }
    }
    Some(found)
}

/// So many ops are looked through for a value whose parts are the same.
const DEPTH: usize = 8;

/// Are the two halves of a value along its last axis the same, because they were joined so or are those of a constant?
fn halves(site: &Site<'_>, id: Id, depth: usize) -> bool {
    let facts = site.facts(id);
    let Some(own) = facts.extents() else { return false };
    let Some(width) = own.last().and_then(|n| usize::try_from(*n).ok()).filter(|n| *n > 0 && n % 2 == 0) else { return false };
    if let Some(value) = tensor(site, &Bound::Class(id)) {
        let bytes = value.bytes();
        let row = width * value.dtype().size();
        return value.dtype() != DType::Str && bytes.chunks(row).all(|row| row[..row.len() / 2] == row[row.len() / 2..]);
    }
    let last = own.len() - 1;
    depth > 0
        && site.graph[id].nodes.iter().any(|term| {
            let Head::Op(op) = site.graph.analysis.heads.get(term.head) else { return false };
            let of = |child: &Id| halves(site, site.graph.find(*child), depth - 1);
            // Along the last axis such a value has one element.
            let flat = |child: &Id| site.facts(site.graph.find(*child)).extents().is_some_and(|own| own.last().is_none_or(|n| *n == 1));
            let kept = |child: &Id| site.facts(site.graph.find(*child)).extents().is_some_and(|from| from.last() == own.last());
            match (op, term.children.as_slice()) {
                (Op::Concat(join), [a, b]) => join.axis == last && a == b,
                (Op::Cos(_) | Op::Sin(_) | Op::Cast(_) | Op::Neg(_), [x]) => of(x),
                (Op::Reshape(_) | Op::Broadcast(_) | Op::Slice(_), [x]) => kept(x) && of(x),
                (Op::Mul(_) | Op::Add(_), [a, b]) => [(a, b), (b, a)].iter().any(|(a, b)| kept(a) && of(a) && (flat(b) || kept(b) && of(b))),
                (Op::Gather(pick), [table, _]) => kept(table) && site.facts(site.graph.find(*table)).extents().is_some_and(|from| pick.axis + 1 < from.len()) && of(table),
                _ => false,
            }
        })
}

/// Are the matrices of a value, along its last two axes, all the same, because they were repeated or are those of a constant?
fn repeats(site: &Site<'_>, id: Id, depth: usize) -> bool {
    let Some(own) = site.facts(id).extents() else { return false };
    let Some((outer, matrix)) = own.split_last_chunk::<2>() else { return false };
    if own.contains(&0) || outer.iter().all(|n| *n == 1) {
        return !own.contains(&0);
    }
    if let Some(value) = tensor(site, &Bound::Class(id)) {
        let size = matrix.iter().product::<i64>() as usize * value.dtype().size();
        return value.dtype() != DType::Str && value.bytes().chunks(size).all(|one| one == &value.bytes()[..size]);
    }
    depth > 0
        && site.graph[id].nodes.iter().any(|term| {
            let moved = matches!(site.graph.analysis.heads.get(term.head), Head::Op(Op::Broadcast(_) | Op::Reshape(_)));
            let whole = |child: Id| site.facts(child).extents().is_some_and(|from| from.ends_with(matrix)) && repeats(site, child, depth - 1);
            moved && term.children.first().is_some_and(|child| whole(site.graph.find(*child)))
        })
}

/// The axes that `transpose[perm](reshape(x))` has in the end, as axes of `x`, where it is a transpose of `x` but for
/// axes of extent 1, which come first. `to` is what it is reshaped to at last.
fn axes_through(x: &[i64], reshaped: &[i64], perm: &[i64], to: &[i64]) -> Option<Vec<usize>> {
    // What both shapes are made of: an extent, and the axis of `x` that it is part of. For each axis of `reshaped` its share.
    let mut parts: Vec<(i64, usize)> = Vec::new();
    let mut shares: Vec<Vec<usize>> = Vec::new();
    let mut axis = 0;
    let mut left = 1;
    for extent in reshaped {
        let mut wanted = *extent;
        let mut share = Vec::new();
        while wanted > 1 {
            while left == 1 {
                left = *x.get(axis)?;
                axis += 1;
            }
            let part = wanted.min(left);
            if part < 1 || wanted % part != 0 || left % part != 0 {
                return None;
            }
            (wanted, left) = (wanted / part, left / part);
            share.push(parts.len());
            parts.push((part, axis - 1));
        }
        if wanted != 1 {
            return None;
        }
        shares.push(share);
    }
    let mut moved = perm.iter().map(|k| shares.get(usize::try_from(*k).ok()?)).collect::<Option<Vec<_>>>()?.into_iter().flatten().copied().peekable();
    let mut axes: Vec<usize> = (0..x.len()).filter(|k| x[*k] == 1).collect();
    for extent in to.iter().filter(|extent| **extent != 1) {
        let axis = parts[*moved.peek()?].1;
        // The whole axis, its parts in their order.
        for k in (0..parts.len()).filter(|k| parts[*k].1 == axis) {
            if moved.next() != Some(k) {
                return None;
            }
        }
        if x[axis] != *extent {
            return None;
        }
        axes.push(axis);
    }
    (moved.next().is_none() && axes.len() == x.len()).then_some(axes)
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

/// Is `1 / x` a number of the dtype that loses no bits to the lower end of its range?
fn inverts(x: f64, dtype: DType) -> bool {
    let least = match dtype {
        DType::F64 => f64::MIN_POSITIVE,
        DType::F32 | DType::BF16 => f64::from(f32::MIN_POSITIVE),
        DType::F16 => 2f64.powi(-14),
        _ => return false,
    };
    let inverse = round_float(1.0 / x, dtype);
    [x, inverse].iter().all(|n| n.is_finite() && n.abs() >= least)
}

/// A slice that only takes part of one axis: that axis. `x` are the extents before.
fn cut_axis(x: &[i64], starts: &[i64], extents: &[i64], steps: &[i64]) -> Option<usize> {
    let mut cut = (0..x.len()).filter(|k| (starts[*k], extents[*k], steps[*k]) != (0, x[*k], 1));
    match (cut.next(), cut.next()) {
        (Some(one), None) => Some(one),
        _ => None,
    }
}

/// Where the axis that a slice takes part of stands after a reshape of what it gives.
fn slot(x: &[i64], starts: &[i64], extents: &[i64], steps: &[i64], to: &[i64]) -> Option<(usize, usize)> {
    let cut = cut_axis(x, starts, extents, steps)?;
    let (before, after): (i64, i64) = (extents[..cut].iter().product(), extents[cut + 1..].iter().product());
    let slot = (0..to.len()).find(|k| to[*k] == extents[cut] && to[..*k].iter().product::<i64>() == before && to[k + 1..].iter().product::<i64>() == after)?;
    (before > 0 && after > 0).then_some((cut, slot))
}

/// The arguments of functions on slices: the extents of what is sliced, starts, extents, steps.
fn slice_of(site: &Site<'_>, x: &[Bound]) -> Option<[Vec<i64>; 4]> {
    Some([extents(site, &x[0])?, ints(&x[1])?, ints(&x[2])?, ints(&x[3])?])
}

/// Which of several joined values a slice lies in, and where that one begins.
fn part_of(site: &Site<'_>, x: &[Bound]) -> Option<(usize, usize, i64)> {
    let Bound::Classes(parts) = &x[0] else { return None };
    let axis = usize::try_from(int(&x[1])?).ok()?;
    let (starts, extents, steps) = (ints(&x[2])?, ints(&x[3])?, ints(&x[4])?);
    let (first, last) = (starts[axis], starts[axis] + (extents[axis] - 1) * steps[axis]);
    let mut begin = 0;
    for (k, part) in parts.iter().enumerate() {
        let end = begin + *site.facts(*part).extents()?.get(axis)?;
        if [first, last].iter().all(|at| (begin..end).contains(at)) {
            return Some((k, axis, begin));
        }
        begin = end;
    }
    None
}

/// Indices that rise or fall evenly: the first and the step.
fn run(site: &Site<'_>, x: &[Bound]) -> Option<(usize, i64, i64, i64)> {
    let axis = usize::try_from(int(&x[1])?).ok()?;
    let extent = *extents(site, &x[0])?.get(axis)?;
    let value = facts(site, &x[2])?.value.as_ref()?;
    let indices: Vec<i64> = value.ints().into_iter().map(|i| if i < 0 { i + extent } else { i }).collect();
    if !indices.iter().all(|i| (0..extent).contains(i)) {
        return None;
    }
    let first = *indices.first()?;
    let step = indices.get(1).map_or(1, |second| second - first);
    let even = indices.windows(2).all(|pair| pair[1] - pair[0] == step);
    (even && step != 0).then_some((axis, first, step, indices.len() as i64))
}

/// Elementwise, for numbers and for lists.
fn pairwise(a: &Bound, b: &Bound, join: fn(i64, i64) -> Option<i64>) -> Option<Attr> {
    if let (Some(a), Some(b)) = (int(a), int(b)) {
        return Some(Attr::Int(join(a, b)?));
    }
    let (a, b) = (ints(a)?, ints(b)?);
    (a.len() == b.len()).then(|| a.iter().zip(&b).map(|(a, b)| join(*a, *b).map(Attr::Int)).collect::<Option<Vec<_>>>().map(Attr::List))?
}

/// An axis, which may be counted from the end.
fn axis(at: &Bound, rank: usize) -> Option<usize> {
    let at = int(at)?;
    usize::try_from(if at < 0 { at + rank as i64 } else { at }).ok().filter(|at| *at < rank)
}

/// All functions.
pub const FUNCTIONS: &[Function] = &[
    Function { name: "constant", about: "the value depends on constants only", call: |site, x| truth(facts(site, &x[0])?.constant) },
    Function { name: "scalar", about: "the value has one element", call: |site, x| truth(extents(site, &x[0])?.iter().product::<i64>() == 1) },
    Function { name: "float", about: "the elements are floating-point numbers", call: |site, x| truth(facts(site, &x[0])?.ty()?.dtype.is_float()) },
    Function { name: "finite", about: "no element is NaN or infinite", call: |site, x| truth(facts(site, &x[0])?.range.finite() || sizes(site, class(&x[0])?).is_some()) },
    Function { name: "dtype", about: "the elements' dtype", call: |site, x| Some(Attr::DType(facts(site, &x[0])?.ty()?.dtype)) },
    Function { name: "rank", about: "the number of axes", call: |site, x| Some(Attr::Int(extents(site, &x[0])?.len() as i64)) },
    Function { name: "extents", about: "the extents", call: |site, x| list(extents(site, &x[0])?) },
    Function { name: "extent", about: "the extent of an axis", call: |site, x| Some(Attr::Int(*extents(site, &x[0])?.get(usize::try_from(int(&x[1])?).ok()?)?)) },
    Function { name: "same_type", about: "two values have one dtype and shape", call: |site, x| truth(facts(site, &x[0])?.ty()? == facts(site, &x[1])?.ty()?) },
    Function { name: "fits", about: "the first value broadcasts to the second's shape", call: |site, x| { let to = extents(site, &x[1])?; truth(broadcast(&extents(site, &x[0])?, &to)? == to) } },
    Function { name: "same", about: "two attributes, or two values, are the same", call: |_, x| truth(match (&x[0], &x[1]) { (Bound::Attr(a), Bound::Attr(b)) => same(a, b), (a, b) => a == b }) },
    Function { name: "less", about: "the first number is less than the second", call: |_, x| truth(int(&x[0])? < int(&x[1])?) },
    Function { name: "plus", about: "the sum of two integers, or of two lists item by item", call: |_, x| pairwise(&x[0], &x[1], i64::checked_add) },
    Function { name: "times", about: "the product of two integers, or of two lists item by item", call: |_, x| pairwise(&x[0], &x[1], i64::checked_mul) },
    Function { name: "even", about: "a number is even", call: |_, x| truth(int(&x[0])? % 2 == 0) },
    Function { name: "as_matrix", about: "the extents of a value whose axes but the last one are one", call: |site, x| {
        let own = extents(site, &x[0])?;
        let (last, rows) = own.split_last()?;
        list([rows.iter().product(), *last])
    } },
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
        about: "where a member's part begins along an axis (the second argument; in the result it is the third, if given) of all members' values joined, and 0 along the other axes",
        call: |site, x| {
            let Bound::Classes(members) = &x[0] else { return None };
            let axis = usize::try_from(int(&x[1])?).ok()?;
            let mut start = 0;
            for id in members.iter().take(site.member) {
                start += *site.facts(*id).extents()?.get(axis)?;
            }
            let rank = site.facts(site.root).extents()?.len();
            let own = site.facts(*members.first()?).extents()?.len();
            let at = match x.get(2) {
                Some(at) => self::axis(at, rank)?,
                None => (rank + axis).checked_sub(own)?,
            };
            list((0..rank).map(|k| if k == at { start } else { 0 }))
        },
    },
    Function { name: "known", about: "the argument can be told", call: |_, _| truth(true) },
    Function { name: "wide", about: "the elements are floats that are computed in their own dtype", call: |site, x| { let dtype = facts(site, &x[0])?.ty()?.dtype; truth(dtype.is_float() && dtype.accumulator() == dtype) } },
    Function { name: "up_to_f32", about: "the elements are floats of single precision or less", call: |site, x| { let dtype = facts(site, &x[0])?.ty()?.dtype; truth(dtype.is_float() && dtype.accumulator() == DType::F32) } },
    Function { name: "number", about: "what every element is", call: |site, x| Some(Attr::Float(facts(site, &x[0])?.splat?.as_f64())) },
    Function { name: "near", about: "two numbers are the same, as far as single precision tells", call: |_, x| truth(near(float(&x[0])?, float(&x[1])?)) },
    Function { name: "only", about: "the one item of a list", call: |_, x| match ints(&x[0])?[..] { [one] => Some(Attr::Int(one)), _ => None } },
    Function { name: "item", about: "an item of a list, by its number", call: |_, x| Some(Attr::Int(*ints(&x[0])?.get(usize::try_from(int(&x[1])?).ok()?)?)) },
    Function { name: "leading", about: "the first extents, as many as the second argument says", call: |site, x| list(extents(site, &x[0])?.get(..usize::try_from(int(&x[1])?).ok()?)?.to_vec()) },
    Function { name: "from", about: "the integers from the first up to the second, which is not among them", call: |_, x| list(int(&x[0])?..int(&x[1])?) },
    Function {
        name: "trailing",
        about: "less than zero: how many axes (the first argument) there are, if they are the last ones of the second",
        call: |site, x| {
            let (axes, rank) = (ints(&x[0])?, extents(site, &x[1])?.len() as i64);
            let count = axes.len() as i64;
            (count > 0 && axes.into_iter().eq(rank - count..rank)).then_some(Attr::Int(-count))
        },
    },
    Function {
        name: "per_channel",
        about: "the first value, broadcast to the second, has one number per axis-1 index",
        call: |site, x| {
            let (mut numbers, to) = (extents(site, &x[0])?, extents(site, &x[1])?);
            if numbers.len() > to.len() || to.len() < 2 {
                return truth(false);
            }
            numbers.splice(0..0, vec![1; to.len() - numbers.len()]);
            truth(numbers.iter().enumerate().all(|(k, n)| *n == if k == 1 { to[1] } else { 1 }))
        },
    },
    Function { name: "halves", about: "the two halves of a value along its last axis are the same", call: |site, x| truth(halves(site, class(&x[0])?, DEPTH)) },
    Function { name: "padded", about: "a value has zeros that padding put around others", call: |site, x| truth(facts(site, &x[0])?.padded) },
    Function { name: "repeats", about: "the matrices of a value, along its last two axes, are all the same", call: |site, x| truth(repeats(site, class(&x[0])?, DEPTH)) },
    Function {
        name: "angles",
        about: "extents of a rotary embedding's angles, for one table of them that is twice as wide, and for what they turn, heads before time",
        call: |site, x| {
            let (mut table, to) = (extents(site, &x[0])?, extents(site, &x[1])?);
            table.splice(0..0, vec![1; to.len().checked_sub(table.len())?]);
            let ([batch, heads, time, wide], [all, _, long, size]) = (&table[..], &to[..]) else { return None };
            let fits = (*batch == 1 || batch == all) && *heads == 1 && time == long && wide == size && wide % 2 == 0;
            if fits { list([*batch, *time, *wide / 2]) } else { None }
        },
    },
    Function { name: "with_item", about: "a list with another item (the third argument) at a place", call: |_, x| {
        let (mut items, at, item) = (ints(&x[0])?, usize::try_from(int(&x[1])?).ok()?, int(&x[2])?);
        *items.get_mut(at)? = item;
        list(items)
    } },
    Function { name: "with_last", about: "a list with another last item", call: |_, x| {
        let (mut items, last) = (ints(&x[0])?, int(&x[1])?);
        *items.last_mut()? = last;
        list(items)
    } },
    Function { name: "filling", about: "the one finite number, as a scalar, that a constant is where another of the same shape is 0; elsewhere they are 0 and 1", call: |site, x| {
        let (a, b) = (tensor(site, &x[0])?, tensor(site, &x[1])?);
        let mut numbers = a.scalars().zip(b.scalars()).filter(|(_, b)| b.as_f64() == 0.0).map(|(a, _)| a);
        let one = numbers.next().filter(|one| one.as_f64().is_finite())?;
        let chosen = a.scalars().zip(b.scalars()).all(|(a, b)| if b.as_f64() == 0.0 { a == one } else { b.as_f64() == 1.0 && a.as_f64() == 0.0 });
        (a.extents() == b.extents() && chosen).then(|| Attr::Tensor(Tensor::scalar(a.dtype(), one)))
    } },
    Function { name: "unmerged", about: "the axes of a value whose elements some axes (the third argument) of these extents hold, to which it is reshaped", call: |site, x| {
        list(unmerged(&extents(site, &x[0])?, &ints(&x[1])?, &ints(&x[2])?)?)
    } },
    Function { name: "with_ones", about: "a list with 1 at some places", call: |_, x| {
        let (mut items, places) = (ints(&x[0])?, ints(&x[1])?);
        for place in places {
            *items.get_mut(usize::try_from(place).ok()?)? = 1;
        }
        list(items)
    } },
    Function { name: "repeated", about: "a value that is broadcast to these extents has one element along some axes of them (the third argument), which are not empty", call: |site, x| {
        let (own, to, axes) = (extents(site, &x[0])?, ints(&x[1])?, ints(&x[2])?);
        let lead = to.len().checked_sub(own.len())?;
        let one = |k: usize| to.get(k).is_some_and(|n| *n > 0) && k.checked_sub(lead).is_none_or(|k| own[k] == 1);
        truth(axes.iter().all(|k| usize::try_from(*k).is_ok_and(one)))
    } },
    Function { name: "total", about: "the extent of a value and others along an axis, as a scalar of their dtype", call: |site, x| {
        let Bound::Classes(rest) = &x[1] else { return None };
        let axis = usize::try_from(int(&x[2])?).ok()?;
        let ids = std::iter::once(class(&x[0])?).chain(rest.iter().copied());
        let sum: i64 = ids.map(|id| site.facts(id).extents()?.get(axis).copied()).sum::<Option<i64>>()?;
        let dtype = facts(site, &x[0])?.ty()?.dtype;
        Some(Attr::Tensor(Tensor::scalar(dtype, cast(Scalar::Int(i128::from(sum)), dtype))))
    } },
    Function { name: "triangle", about: "a constant is true up to the diagonal of its last two axes, which are of one extent, and false behind it", call: |site, x| {
        let value = tensor(site, &x[0])?;
        let [outer @ .., rows, columns] = value.extents() else { return truth(false) };
        let size = *columns as usize;
        let seen = |(at, x): (usize, Scalar)| x == Scalar::Bool(at % size <= at / size);
        truth(rows == columns && value.dtype() == DType::Bool && outer.iter().all(|n| *n == 1) && value.scalars().enumerate().all(seen))
    } },
    Function {
        name: "causal",
        about: "a constant is 0 up to the diagonal of its last two axes, which are of one extent, and behind it at most the second argument",
        call: |site, x| {
            let (value, most) = (tensor(site, &x[0])?, float(&x[1])?);
            let [outer @ .., rows, columns] = value.extents() else { return truth(false) };
            let size = *columns as usize;
            let causal = |(at, number): (usize, Scalar)| if at % size <= at / size { number.as_f64() == 0.0 } else { number.as_f64() <= most };
            truth(rows == columns && value.dtype().is_float() && outer.iter().all(|n| *n == 1) && value.scalars().enumerate().all(causal))
        },
    },
    Function {
        name: "axes_through",
        about: "the order of axes by which `reshape(transpose[perm](reshape(x)))` is a transpose of x but for axes of extent 1, which come first; x, the extents between, perm, the result",
        call: |site, x| list(axes_through(&extents(site, &x[0])?, &ints(&x[1])?, &ints(&x[2])?, &extents(site, &x[3])?)?.into_iter().map(|k| k as i64)),
    },
    Function { name: "ones", about: "as many ones as a value has axes", call: |site, x| list(vec![1; extents(site, &x[0])?.len()]) },
    Function { name: "zeros", about: "as many zeros as a value has axes", call: |site, x| list(vec![0; extents(site, &x[0])?.len()]) },
    Function { name: "integer", about: "the elements are integers", call: |site, x| truth(facts(site, &x[0])?.ty()?.dtype.is_int()) },
    Function { name: "negative", about: "an element may be negative", call: |site, x| { let range = facts(site, &x[0])?.range; truth(range.low < 0.0) } },
    Function { name: "power_of_two", about: "every element is a power of two, whose reciprocal is exact", call: |site, x| {
        let dtype = facts(site, &x[0])?.ty()?.dtype;
        truth(elements(site, &x[0])?.iter().all(|n| inverts(*n, dtype) && n.to_bits().trailing_zeros() >= 52))
    } },
    Function { name: "invertible", about: "every element and its reciprocal are finite, not zero and not too small for all bits", call: |site, x| {
        let dtype = facts(site, &x[0])?.ty()?.dtype;
        truth(elements(site, &x[0])?.iter().all(|n| inverts(*n, dtype)))
    } },
    Function { name: "positive", about: "every element is known and above zero", call: |site, x| truth(elements(site, &x[0])?.iter().all(|n| *n > 0.0)) },
    Function { name: "lowest", about: "every element is the least integer of its dtype", call: |site, x| {
        let (low, _) = facts(site, &x[0])?.ty()?.dtype.int_range()?;
        truth(elements(site, &x[0])?.iter().all(|n| *n == low as f64))
    } },
    Function { name: "bits", about: "the width of the elements, which are integers", call: |site, x| Some(Attr::Int(i64::from(facts(site, &x[0])?.ty()?.dtype.int_bits()?))) },
    Function { name: "signed_bytes", about: "a constant of bytes less its zero points (the second argument) fits signed bytes", call: |site, x| {
        let dtype = facts(site, &x[0])?.ty()?.dtype;
        if dtype.int_bits()? != 8 {
            return truth(false);
        }
        let zeros = elements(site, &x[1])?;
        let (low, high) = dtype.int_range()?;
        let fits = |low: f64, high: f64| zeros.iter().all(|zero| low - zero >= -128.0 && high - zero <= 127.0);
        let (low, high) = (low as f64, high as f64);
        truth(fits(low, high) || tensor(site, &x[0])?.scalars().try_fold((high, low), |(least, most), n| Some((least.min(n.as_f64()), most.max(n.as_f64())))).is_some_and(|(least, most)| fits(least, most)))
    } },
    Function { name: "scales", about: "scales (or zero points) that belong to an axis (the second argument) are one number, or that axis is the third", call: |site, x| {
        let extents = extents(site, &x[0])?;
        truth(extents.iter().product::<i64>() == 1 || extents.len() == 1 && int(&x[1])? == int(&x[2])?)
    } },
    Function { name: "depth", about: "how many elements each item of the first axis has", call: |site, x| Some(Attr::Int(extents(site, &x[0])?.get(1..)?.iter().product())) },
    Function { name: "contained", about: "one of two values broadcasts to the shape of the other", call: |site, x| {
        let (a, b) = (extents(site, &x[0])?, extents(site, &x[1])?);
        let joined = broadcast(&a, &b)?;
        truth(joined == a || joined == b)
    } },
    Function { name: "along", about: "the first value broadcasts to the second's shape, and only differs along one axis of it (the third argument)", call: |site, x| {
        let (own, to) = (extents(site, &x[0])?, extents(site, &x[1])?);
        let at = axis(&x[2], to.len())?;
        let lead = to.len().checked_sub(own.len())?;
        truth(broadcast(&own, &to)? == to && own.iter().enumerate().all(|(k, n)| *n == 1 || k + lead == at))
    } },
    Function { name: "spread", about: "extents of the second value's rank that hold the first value's elements along one axis (the third argument)", call: |site, x| {
        let rank = extents(site, &x[1])?.len();
        let at = axis(&x[2], rank)?;
        let count = extents(site, &x[0])?.iter().product();
        list((0..rank).map(|k| if k == at { count } else { 1 }))
    } },
    Function { name: "channels_last", about: "an order of axes, three at least, that puts the second one last", call: |_, x| {
        let perm = ints(&x[0])?;
        let rank = perm.len() as i64;
        truth(rank > 2 && perm.into_iter().eq([0].into_iter().chain(2..rank).chain([1])))
    } },
    Function { name: "of_rank", about: "extents of a value, ones before them, as many as the second value has axes", call: |site, x| {
        let (own, rank) = (extents(site, &x[0])?, extents(site, &x[1])?.len());
        list(std::iter::repeat_n(1, rank.checked_sub(own.len())?).chain(own))
    } },
    Function { name: "rest_in_order", about: "an order of axes leaves those in order that are not among some others (the second argument, axes after it)", call: |_, x| {
        let (perm, axes) = (ints(&x[0])?, ints(&x[1])?);
        truth(perm.iter().enumerate().filter(|(k, _)| !axes.contains(&(*k as i64))).map(|(_, p)| p).is_sorted())
    } },
    Function { name: "sorted", about: "a list in order", call: |_, x| {
        let mut items = ints(&x[0])?;
        items.sort_unstable();
        list(items)
    } },
    Function { name: "joined", about: "the value is several values one after another", call: |site, x| truth(site.graph[class(&x[0])?].nodes.iter().any(|term| term.name == "concat")) },
    Function { name: "lossless", about: "a cast of the first value to the second dtype and on to the third is one to the third", call: |site, x| {
        let (Bound::Attr(Attr::DType(between)), Bound::Attr(Attr::DType(to))) = (&x[1], &x[2]) else { return None };
        truth(lossless(facts(site, &x[0])?.ty()?.dtype, *between, *to))
    } },
    Function { name: "inverse", about: "the order of axes that undoes another", call: |_, x| {
        let perm = ints(&x[0])?;
        list((0..perm.len() as i64).map(|k| perm.iter().position(|p| *p == k).map(|at| at as i64)).collect::<Option<Vec<_>>>()?)
    } },
    Function { name: "ordered", about: "an order of axes (the second argument) of a value of these extents that only moves axes of extent 1 past others", call: |_, x| {
        let (own, perm) = (ints(&x[0])?, ints(&x[1])?);
        truth(perm.iter().filter(|k| usize::try_from(**k).ok().and_then(|k| own.get(k)) != Some(&1)).is_sorted())
    } },
    Function { name: "last", about: "the last item of a list", call: |_, x| Some(Attr::Int(*ints(&x[0])?.last()?)) },
    Function { name: "single", about: "the listed axes of a value have extent 1", call: |site, x| {
        let own = extents(site, &x[0])?;
        truth(ints(&x[1])?.iter().all(|k| usize::try_from(*k).ok().and_then(|k| own.get(k)) == Some(&1)))
    } },
    Function { name: "cut", about: "for a value, a slice of it (starts, extents, steps) and the extents that the slice is reshaped to: a list (the last argument) as it stands at the axis that is cut, after that reshape; elsewhere the filling", call: |site, x| {
        let [from, starts, taken, steps] = slice_of(site, x)?;
        let (cut, slot) = slot(&from, &starts, &taken, &steps, &ints(&x[4])?)?;
        let (filling, items) = (int(&x[5])?, ints(&x[6])?);
        list((0..ints(&x[4])?.len()).map(|k| if k == slot { items[cut] } else { filling }))
    } },
    Function { name: "uncut", about: "for a value, a slice of it (starts, extents, steps) and the extents that the slice is reshaped to: those of the whole value, reshaped alike", call: |site, x| {
        let [from, starts, taken, steps] = slice_of(site, x)?;
        let mut to = ints(&x[4])?;
        let (cut, slot) = slot(&from, &starts, &taken, &steps, &to)?;
        to[slot] = from[cut];
        list(to)
    } },
    Function { name: "stays", about: "for a value, a slice of it (starts, extents, steps) and the extents that the slice is reshaped to: the axis that is cut is still one", call: |site, x| {
        let [from, starts, taken, steps] = slice_of(site, x)?;
        truth(slot(&from, &starts, &taken, &steps, &ints(&x[4])?).is_some())
    } },
    Function { name: "flat", about: "a value has the same elements all along the axes of another (the second argument) that a slice of that (starts, extents, steps) takes part of", call: |site, x| {
        let own = extents(site, &x[0])?;
        let [from, starts, taken, steps] = slice_of(site, &x[1..])?;
        let lead = from.len().checked_sub(own.len())?;
        truth((0..own.len()).all(|k| own[k] == 1 || (starts[k + lead], taken[k + lead], steps[k + lead]) == (0, from[k + lead], 1)))
    } },
    Function { name: "within", about: "which of several values, joined along an axis, a slice (starts, extents, steps) lies in", call: |site, x| Some(Attr::Int(part_of(site, x)?.0 as i64)) },
    Function { name: "within_start", about: "the starts of that slice in that value", call: |site, x| {
        let (_, axis, begin) = part_of(site, x)?;
        let mut starts = ints(&x[2])?;
        starts[axis] -= begin;
        list(starts)
    } },
    Function { name: "contiguous", about: "slices (several lists of starts, several of extents) follow one another along an axis (the third argument), each whole and alike along the others", call: |_, x| {
        let (starts, taken, axis) = (lists(&x[0])?, lists(&x[1])?, usize::try_from(int(&x[2])?).ok()?);
        let mut next = starts.first()?.clone();
        let mut follows = |(own, taken): (&Vec<i64>, &Vec<i64>)| {
            let holds = *own == next;
            next[axis] += taken[axis];
            holds
        };
        truth(axis < starts.first()?.len() && starts.iter().zip(&taken).all(&mut follows))
    } },
    Function { name: "first", about: "the first item of a list", call: |_, x| match &x[0] { Bound::Attr(Attr::List(items)) => items.first().cloned(), _ => None } },
    Function { name: "count", about: "how many values there are", call: |_, x| match &x[0] { Bound::Classes(ids) => Some(Attr::Int(ids.len() as i64)), _ => None } },
    Function { name: "alike", about: "values have one dtype and shape", call: |site, x| {
        let Bound::Classes(ids) = &x[0] else { return None };
        let mut types = ids.iter().map(|id| site.facts(*id).ty());
        let first = types.next()??;
        truth(types.all(|ty| ty == Some(first)))
    } },
    Function { name: "run_starts", about: "for a value, an axis and constant indices that rise or fall evenly: the starts of the slice that they take", call: |site, x| {
        let (axis, first, _, _) = run(site, x)?;
        list((0..extents(site, &x[0])?.len()).map(|k| if k == axis { first } else { 0 }))
    } },
    Function { name: "run_extents", about: "the extents of that slice", call: |site, x| {
        let (axis, _, _, count) = run(site, x)?;
        list(extents(site, &x[0])?.into_iter().enumerate().map(|(k, n)| if k == axis { count } else { n }))
    } },
    Function { name: "run_steps", about: "the steps of that slice", call: |site, x| {
        let (axis, _, step, _) = run(site, x)?;
        list((0..extents(site, &x[0])?.len()).map(|k| if k == axis { step } else { 1 }))
    } },
    Function { name: "around", about: "the first two items of a list are 0", call: |_, x| truth(ints(&x[0])?.iter().take(2).all(|n| *n == 0)) },
    Function { name: "behind", about: "a list without its first two items", call: |_, x| list(ints(&x[0])?.into_iter().skip(2)) },
    Function { name: "alone", about: "what the pattern's op of this number (0 is the outermost) matched is used nowhere else, but by composites of which the whole is a part", call: |site, x| {
        let term = site.bindings.terms.get(usize::try_from(int(&x[0])?).ok()?)?;
        let users = |id: Id| site.graph[id].parents().map(|user| site.graph.find(user)).filter(move |user| *user != id);
        let above: BTreeSet<Id> = users(site.graph.find(site.root)).collect();
        let own: BTreeSet<Id> = users(site.graph.find(site.graph.lookup(term.clone())?)).filter(|user| !above.contains(user)).collect();
        truth(own.len() == 1)
    } },
    Function { name: "apart", about: "what the pattern's op of this number matched is another value than the whole", call: |site, x| {
        let term = site.bindings.terms.get(usize::try_from(int(&x[0])?).ok()?)?;
        truth(site.graph.find(site.graph.lookup(term.clone())?) != site.graph.find(site.root))
    } },
    Function { name: "bounded", about: "a constant whose elements are finite and far from overflow, also when multiplied by another such", call: |site, x| truth(sized(site, &x[0], false)?) },
    Function { name: "moderate", about: "a constant whose elements are 0 or far from overflow and underflow, also when multiplied by another such", call: |site, x| truth(sized(site, &x[0], true)?) },
];
