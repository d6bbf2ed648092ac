//! The matrices of Winograd's convolution: a *tile* of so many results of a window of so many *taps* is as many products as it has
//! *points*, one fewer than results and taps together: `y = A((G w) * (B x))`, elementwise in the middle.
//!
//! In: results and taps. Out: `A`, `G`, `B`. Must not know: images.
//!
//! Source: Winograd, Arithmetic Complexity of Computations (1980), by the construction of Toom and Cook; points as in Barabasz,
//! Anderson, Soodhalter and Gregg, Error Analysis and Improving the Accuracy of Winograd Convolution for Deep Neural Networks (2020):
//! what is a number and what its negative inverse, so that powers stay small. The last point is infinity.

use crate::error::OpError;
use crate::expr::{ExprId, Exprs};

/// The points that polynomials are evaluated at, the first ones first.
const POINTS: [f64; 7] = [0.0, 1.0, -1.0, 0.5, -2.0, -0.5, 2.0];

/// The three matrices; all elements of `A` and `B` are sums of powers of two, exact in every float dtype that is used.
pub(crate) struct Winograd {
    /// From a point's products to the results: a row for each result of a tile.
    pub(crate) results: Vec<Vec<f64>>,
    /// From taps to points: a row for each point.
    pub(crate) weights: Vec<Vec<f64>>,
    /// From elements to points: a row for each point.
    pub(crate) elements: Vec<Vec<f64>>,
}

/// Number of points of a tile.
///
/// # Errors
/// Invalid where there are fewer than two or more than [`POINTS`] and infinity.
pub(crate) fn points(tile: i64, taps: i64) -> Result<i64, OpError> {
    let points = tile.checked_add(taps).map(|n| n - 1).filter(|n| tile >= 1 && taps >= 1 && (2..=POINTS.len() as i64 + 1).contains(n));
    points.ok_or_else(|| OpError::invalid(format!("tiles of {tile} results of {taps} taps: there can be 2 to {} points", POINTS.len() + 1)))
}

impl Winograd {
    /// The matrices for `tile` results of `taps` taps.
    ///
    /// # Errors
    /// As [`points`].
    pub(crate) fn new(tile: i64, taps: i64) -> Result<Self, OpError> {
        let count = points(tile, taps)? as usize;
        let (tile, taps) = (tile as usize, taps as usize);
        let finite = &POINTS[..count - 1];
        // The product of all (x - q), and for each point of all but its own: coefficients, the lowest first.
        let product = |own: Option<usize>| {
            finite.iter().enumerate().filter(|(k, _)| Some(*k) != own).fold(vec![1.0], |poly: Vec<f64>, (_, q)| {
                let at = |k: usize| poly.get(k).copied().unwrap_or(0.0);
                (0..=poly.len()).map(|k| if k == 0 { 0.0 } else { at(k - 1) } - q * at(k)).collect()
            })
        };
        let powers = |p: f64, most: usize| (0..most).map(move |k| p.powi(k as i32));
        let last = |most: usize| (0..most).map(move |k| f64::from(u8::from(k + 1 == most)));
        let norm = |own: usize| -> f64 { finite.iter().enumerate().filter(|(k, _)| *k != own).map(|(_, q)| finite[own] - q).product() };
        let mut elements: Vec<Vec<f64>> = (0..finite.len()).map(|own| product(Some(own))).chain([product(None)]).collect();
        elements.iter_mut().for_each(|row| row.resize(count, 0.0));
        let weights = finite.iter().enumerate().map(|(own, p)| powers(*p, taps).map(|x| x / norm(own)).collect()).chain([last(taps).collect()]).collect();
        let columns: Vec<Vec<f64>> = finite.iter().map(|p| powers(*p, tile).collect()).chain([last(tile).collect()]).collect();
        let results = (0..tile).map(|row| columns.iter().map(|column| column[row]).collect()).collect();
        Ok(Self { results, weights, elements })
    }
}

/// The row of a matrix that `which` (an `i64`) says, times a vector. `values` gives the vector's elements.
pub(crate) fn row_times(e: &mut Exprs, which: ExprId, matrix: &[Vec<f64>], mut values: impl FnMut(&mut Exprs, usize) -> ExprId) -> ExprId {
    let rows: Vec<ExprId> = matrix
        .iter()
        .map(|row| {
            let mut sum = None;
            for (k, factor) in row.iter().enumerate().filter(|(_, factor)| **factor != 0.0) {
                let value = values(e, k);
                let dtype = e.dtype(value);
                let factor = e.float(*factor, dtype);
                sum = Some(match sum {
                    None => e.mul(value, factor),
                    Some(sum) => e.fma(value, factor, sum),
                });
            }
            sum.expect("no row of a matrix is 0")
        })
        .collect();
    e.pick(which, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_points_are_a_convolution() {
        for (tile, taps) in [(1, 2), (2, 2), (2, 3), (4, 3), (6, 3), (4, 4), (2, 5), (4, 5), (3, 1)] {
            let matrices = Winograd::new(tile, taps).expect("matrices");
            let times = |matrix: &[Vec<f64>], x: &[f64]| -> Vec<f64> { matrix.iter().map(|row| row.iter().zip(x).map(|(a, b)| a * b).sum()).collect() };
            let x: Vec<f64> = (0..tile + taps - 1).map(|k| (k as f64 * 1.7).sin()).collect();
            let w: Vec<f64> = (0..taps).map(|k| (k as f64 * 0.9 + 0.3).cos()).collect();
            let points: Vec<f64> = times(&matrices.weights, &w).iter().zip(times(&matrices.elements, &x)).map(|(a, b)| a * b).collect();
            for (i, y) in times(&matrices.results, &points).iter().enumerate() {
                let wanted: f64 = w.iter().enumerate().map(|(k, w)| w * x[i + k]).sum();
                assert!((y - wanted).abs() < 1e-12, "{tile} results of {taps} taps: {y} instead of {wanted}");
            }
        }
        for (tile, taps) in [(0, 3), (4, 0), (1, 1), (7, 3), (i64::MAX, 3)] {
            assert!(Winograd::new(tile, taps).is_err());
        }
    }
}
