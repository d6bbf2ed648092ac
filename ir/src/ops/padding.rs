//! How many elements of margin windows take along each axis, where that follows from a rule.
//!
//! In: a rule and extents. Out: numbers in front and behind. Must not know: single ops.

use crate::error::OpError;
use crate::ops::attr::attr_enum;
use crate::shape::Dim;

attr_enum! {
    /// How a window op's margins are found.
    pub enum Padding {
        /// They are given.
        Given = "given",
        /// There are none.
        None = "none",
        /// One result for every `stride` elements; the odd element of margin goes to the end.
        SameEnd = "same_end",
        /// One result for every `stride` elements; the odd element of margin goes to the front.
        SameBegin = "same_begin",
    }
}

/// A window along each spatial axis.
#[derive(Clone, Debug)]
pub(crate) struct Windows {
    /// Number of elements.
    pub(crate) extents: Vec<i64>,
    /// Distance between windows.
    pub(crate) strides: Vec<i64>,
    /// Distance between a window's elements.
    pub(crate) dilations: Vec<i64>,
    /// Margin in front.
    pub(crate) before: Vec<i64>,
    /// Margin behind.
    pub(crate) after: Vec<i64>,
}

impl Windows {
    /// Windows from lists that may be empty, which stands for ones (strides, dilations) and zeros (margins).
    ///
    /// # Errors
    /// Invalid where lists differ in length or numbers are not positive, or so large that sums overflow.
    pub(crate) fn new(extents: &[i64], strides: &[i64], dilations: &[i64], before: &[i64], after: &[i64]) -> Result<Self, OpError> {
        let full = |list: &[i64], default: i64| if list.is_empty() { vec![default; extents.len()] } else { list.to_vec() };
        let made = Self { extents: extents.to_vec(), strides: full(strides, 1), dilations: full(dilations, 1), before: full(before, 0), after: full(after, 0) };
        let positive = [&made.strides, &made.dilations].into_iter().flatten().all(|n| (1..=LIMIT).contains(n));
        let small = [&made.before, &made.after].into_iter().flatten().all(|n| (-LIMIT..=LIMIT).contains(n)) && extents.iter().all(|n| (0..=LIMIT).contains(n));
        let lengths = [&made.strides, &made.dilations, &made.before, &made.after].iter().all(|list| list.len() == extents.len());
        if positive && small && lengths {
            Ok(made)
        } else {
            Err(OpError::invalid(format!("windows of {extents:?} with strides {strides:?}, dilations {dilations:?} and margins {before:?} and {after:?} make no sense")))
        }
    }

    /// From a window's first element to behind its last.
    pub(crate) fn reach(&self, axis: usize) -> i64 {
        (self.extents[axis] - 1) * self.dilations[axis] + 1
    }

    /// Sets the margins by a rule. `ceil`: does a window count that begins inside the tensor or its margin in front but
    /// ends outside?
    ///
    /// # Errors
    /// [`OpError::unknown`] where the rule needs an extent that is open.
    pub(crate) fn place(&mut self, dims: &[Dim], padding: Padding, ceil: bool) -> Result<(), OpError> {
        for axis in 0..self.extents.len() {
            let (reach, stride) = (self.reach(axis), self.strides[axis]);
            let open = || dims.get(axis).and_then(Dim::known).ok_or_else(OpError::unknown);
            match padding {
                Padding::Given if !ceil => {}
                Padding::Given => {
                    let room = open()? + self.before[axis] + self.after[axis] - reach;
                    if room < 0 {
                        continue;
                    }
                    let mut windows = (room + stride - 1) / stride + 1;
                    if (windows - 1) * stride >= open()? + self.before[axis] {
                        windows -= 1;
                    }
                    self.after[axis] = (windows - 1) * stride + reach - open()? - self.before[axis];
                }
                Padding::None => (self.before[axis], self.after[axis]) = (0, 0),
                Padding::SameEnd | Padding::SameBegin => {
                    let total = if stride == 1 {
                        reach - 1
                    } else {
                        let extent = open()?;
                        ((extent + stride - 1) / stride - 1).saturating_mul(stride).saturating_add(reach).saturating_sub(extent).max(0)
                    };
                    let (less, more) = (total / 2, total - total / 2);
                    (self.before[axis], self.after[axis]) = if padding == Padding::SameEnd { (less, more) } else { (more, less) };
                }
            }
        }
        Ok(())
    }
}

/// No window, stride or margin is larger than this.
const LIMIT: i64 = 1 << 31;
