//! Strassen's product of matrices in 2 by 2 parts: seven products of sums of parts in place of eight of parts.
//!
//! Out: which parts are added up, and which products. Must not know: extents.
//!
//! Source: Strassen, Gaussian Elimination is not Optimal (1969). What it costs in exactness: Higham, Accuracy and Stability of Numerical
//! Algorithms, 23.2.2; of the ways to save the eighth product this has the smallest constant there, and sums of no more than two parts.

use crate::expr::{ExprId, Exprs};

/// Number of products.
pub(crate) const PRODUCTS: usize = 7;

/// A sum of terms, each by its number; the first ones are added, the second ones taken away.
pub(crate) type Sum = (&'static [usize], &'static [usize]);

/// Of the first factor's parts, first those of its upper half from left to right: the first factor of each product.
pub(crate) const FIRST: [Sum; PRODUCTS] = [(&[0, 3], &[]), (&[2, 3], &[]), (&[0], &[]), (&[3], &[]), (&[0, 1], &[]), (&[2], &[0]), (&[1], &[3])];
/// Of the second factor's parts, alike: the second factor of each product.
pub(crate) const SECOND: [Sum; PRODUCTS] = [(&[0, 3], &[]), (&[0], &[]), (&[1], &[3]), (&[2], &[0]), (&[3], &[]), (&[0, 1], &[]), (&[2, 3], &[])];
/// Of the products: the parts of the result.
pub(crate) const RESULT: [[Sum; 2]; 2] = [[(&[0, 3, 6], &[4]), (&[2, 4], &[])], [(&[1, 3], &[]), (&[0, 2, 5], &[1])]];

/// The sum of terms that `term` gives.
pub(crate) fn sum(e: &mut Exprs, (added, taken): Sum, mut term: impl FnMut(&mut Exprs, usize) -> ExprId) -> ExprId {
    let first = term(e, added[0]);
    let sum = added[1..].iter().fold(first, |sum, k| {
        let next = term(e, *k);
        e.add(sum, next)
    });
    taken.iter().fold(sum, |sum, k| {
        let next = term(e, *k);
        e.sub(sum, next)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_add_up_to_the_product() {
        let sum = |(added, taken): Sum, of: &dyn Fn(usize) -> i64| added.iter().map(|k| of(*k)).sum::<i64>() - taken.iter().map(|k| of(*k)).sum::<i64>();
        // Each product of one part by one part, for itself: all is linear in both.
        for (a, b) in (0..4).flat_map(|a| (0..4).map(move |b| (a, b))) {
            let product = |p: usize| sum(FIRST[p], &|k| i64::from(k == a)) * sum(SECOND[p], &|k| i64::from(k == b));
            for (row, column) in (0..2).flat_map(|row| (0..2).map(move |column| (row, column))) {
                let wanted = a / 2 == row && b % 2 == column && a % 2 == b / 2;
                assert_eq!(sum(RESULT[row][column], &product), i64::from(wanted), "part {a} by part {b} in {row}, {column}");
            }
        }
    }
}
