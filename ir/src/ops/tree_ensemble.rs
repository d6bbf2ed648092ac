//! Decision trees, added up.
use crate::dtype::DType;
use crate::error::OpError;
use crate::ops::attr::attr_enum;
use crate::ops::{Arg, Arity, Body, Domain, OpDef, Sample, Tolerance};
use crate::shape::{Dim, TensorType};
use crate::tensor::Tensor;

attr_enum! {
    /// How the leaves that a row reaches become one number per target.
    pub enum Votes {
        /// They are added.
        Sum = "sum",
        /// They are added and divided by the number of trees.
        Mean = "mean",
        /// The smallest; 0 where no leaf votes for the target.
        Min = "min",
        /// The largest; 0 where no leaf votes for the target.
        Max = "max",
    }
}

op! {
    /// `tree_ensemble(x)`: `x` is `[n, features]`, the result `[n, targets]`. For each row every tree is walked from its
    /// root: node `k` tests `x[features[k]]` by `tests[k]` (0 to 6: at most, less than, at least, more than, equal to,
    /// different from the number `splits[k]`; member of the set of the numbers
    /// `members[set_starts[k]..set_starts[k+1]]`), and the walk goes on at `yes[k]` or `no[k]`. NaN goes to `yes` where
    /// `missing_to_yes[k]` is not 0. A next place `p >= 0` is node `p`, which is larger than `k`; `p < 0` is leaf `-p-1`, whose votes
    /// are `weights[v]` for target `vote_targets[v]`, where `v` runs over `leaf_starts[leaf]..leaf_starts[leaf+1]`. Sums
    /// are taken in f64; `base` (one number per target, or none) is added last. Source: ONNX `TreeEnsemble`.
    pub struct TreeEnsemble = "tree_ensemble" {
        /// Number of targets.
        pub targets: usize,
        /// How votes are joined.
        pub votes: Votes,
        /// Where each tree begins: a place as in `yes`. i64.
        pub roots: Tensor,
        /// The feature that each node tests. i64.
        pub features: Tensor,
        /// How each node tests it. i64.
        pub tests: Tensor,
        /// What each node compares with. f64.
        pub splits: Tensor,
        /// Where NaN goes. i64.
        pub missing_to_yes: Tensor,
        /// The next place where the test holds. i64.
        pub yes: Tensor,
        /// The next place where it does not. i64.
        pub no: Tensor,
        /// Where each node's set begins, and behind the last its end; empty where no node tests membership. i64.
        pub set_starts: Tensor,
        /// The sets. f64.
        pub members: Tensor,
        /// Where each leaf's votes begin, and behind the last their end. i64.
        pub leaf_starts: Tensor,
        /// The targets of votes. i64.
        pub vote_targets: Tensor,
        /// The weights of votes. f64.
        pub weights: Tensor,
        /// What is added to each target. f64.
        pub base: Tensor,
    }
}

/// The tests of nodes, in the order of their numbers.
const TESTS: [fn(f64, f64) -> bool; 6] = [|x, y| x <= y, |x, y| x < y, |x, y| x >= y, |x, y| x > y, |x, y| x == y, |x, y| x != y];

/// The number of the test for membership of a set.
const MEMBER: i64 = 6;

/// The attributes as slices, which have been checked.
struct Forest<'a> {
    roots: &'a [i64],
    features: &'a [i64],
    tests: &'a [i64],
    splits: &'a [f64],
    missing_to_yes: &'a [i64],
    yes: &'a [i64],
    no: &'a [i64],
    set_starts: &'a [i64],
    members: &'a [f64],
    leaf_starts: &'a [i64],
    vote_targets: &'a [i64],
    weights: &'a [f64],
    base: &'a [f64],
}

fn vector<'a, T: crate::tensor::Element>(tensor: &'a Tensor, name: &str) -> Result<&'a [T], OpError> {
    if tensor.dtype() == T::DTYPE && tensor.rank() == 1 {
        Ok(tensor.as_slice())
    } else {
        Err(OpError::invalid(format!("'{name}' of 'tree_ensemble' is {}, not a vector of {}", tensor.ty(), T::DTYPE)))
    }
}

/// Do offsets rise from 0 to `end`?
fn are_offsets(starts: &[i64], end: usize) -> bool {
    starts.first() == Some(&0) && starts.last() == Some(&(end as i64)) && starts.is_sorted()
}

impl TreeEnsemble {
    fn forest(&self) -> Result<Forest<'_>, OpError> {
        let forest = Forest {
            roots: vector(&self.roots, "roots")?,
            features: vector(&self.features, "features")?,
            tests: vector(&self.tests, "tests")?,
            splits: vector(&self.splits, "splits")?,
            missing_to_yes: vector(&self.missing_to_yes, "missing_to_yes")?,
            yes: vector(&self.yes, "yes")?,
            no: vector(&self.no, "no")?,
            set_starts: vector(&self.set_starts, "set_starts")?,
            members: vector(&self.members, "members")?,
            leaf_starts: vector(&self.leaf_starts, "leaf_starts")?,
            vote_targets: vector(&self.vote_targets, "vote_targets")?,
            weights: vector(&self.weights, "weights")?,
            base: vector(&self.base, "base")?,
        };
        let nodes = forest.features.len();
        let complain = |why: &str| Err(OpError::invalid(format!("'tree_ensemble': {why}")));
        if [forest.tests.len(), forest.splits.len(), forest.missing_to_yes.len(), forest.yes.len(), forest.no.len()].iter().any(|n| *n != nodes) {
            return complain("its nodes' parts differ in number");
        }
        if forest.vote_targets.len() != forest.weights.len() || !are_offsets(forest.leaf_starts, forest.weights.len()) {
            return complain("its leaves don't fit their votes");
        }
        let leaves = forest.leaf_starts.len() as i64 - 1;
        let within = |place: i64, from: i64| if place < 0 { place >= -leaves } else { place >= from && place < nodes as i64 };
        if !forest.roots.iter().all(|root| within(*root, 0)) {
            return complain("a tree begins at no node");
        }
        if !forest.yes.iter().zip(forest.no).enumerate().all(|(k, (yes, no))| within(*yes, k as i64 + 1) && within(*no, k as i64 + 1)) {
            return complain("a node is followed by none, or by one before itself");
        }
        if !forest.tests.iter().all(|test| (0..=MEMBER).contains(test)) {
            return complain("a node's test is unknown");
        }
        let has_sets = forest.tests.contains(&MEMBER) || !forest.set_starts.is_empty();
        if has_sets && (forest.set_starts.len() != nodes + 1 || !are_offsets(forest.set_starts, forest.members.len())) {
            return complain("its nodes don't fit their sets");
        }
        let targets = self.targets as i64;
        if forest.features.iter().any(|k| *k < 0) || !forest.vote_targets.iter().all(|t| (0..targets).contains(t)) || !matches!(forest.base.len(), n if n == 0 || n == self.targets) {
            return complain("a feature, a target or the base is out of range");
        }
        Ok(forest)
    }
}

impl Forest<'_> {
    /// The leaf that a row reaches from a place.
    fn leaf(&self, mut place: i64, row: &[f64]) -> usize {
        while place >= 0 {
            let k = place as usize;
            let x = row[self.features[k] as usize];
            let holds = if x.is_nan() && self.missing_to_yes[k] != 0 {
                true
            } else {
                match TESTS.get(self.tests[k] as usize) {
                    Some(test) => test(x, self.splits[k]),
                    None => self.members[self.set_starts[k] as usize..self.set_starts[k + 1] as usize].contains(&x),
                }
            };
            place = if holds { self.yes[k] } else { self.no[k] };
        }
        (-1 - place) as usize
    }
}

impl OpDef for TreeEnsemble {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let forest = self.forest()?;
        let x = args[0].ty;
        let [rows, features] = x.dims()? else { return Err(OpError::invalid(format!("'tree_ensemble' of {x}: a matrix is needed"))) };
        let needed = forest.features.iter().max().map_or(0, |k| k.saturating_add(1));
        if !x.dtype.is_float() || features.known().is_some_and(|n| n < needed) {
            return Err(OpError::invalid(format!("'tree_ensemble' of {x}: {needed} features of floats are needed")));
        }
        let targets = i64::try_from(self.targets).map_err(|_| OpError::invalid("'tree_ensemble' has too many targets"))?;
        Ok(vec![TensorType::ranked(x.dtype, vec![rows.clone(), Dim::Known(targets)])])
    }
    fn body(&self, _: &[&TensorType]) -> Result<Body, OpError> {
        Ok(Body::Routine)
    }
    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let ty = inputs[0].ty();
        let extents = self.infer(&[Arg { ty: &ty, value: None }])?[0].extents()?;
        let forest = self.forest()?;
        let (rows, width) = (extents[0] as usize, inputs[0].extents()[1] as usize);
        let x = inputs[0].f64s();
        let mut result = vec![0f64; crate::tensor::checked_elems(&extents)?];
        let mut voted = vec![false; self.targets.min(result.len())];
        for (row, sums) in (0..rows).map(|row| &x[row * width..(row + 1) * width]).zip(result.chunks_exact_mut(self.targets.max(1))) {
            voted.fill(false);
            for root in forest.roots {
                let leaf = forest.leaf(*root, row);
                for vote in forest.leaf_starts[leaf] as usize..forest.leaf_starts[leaf + 1] as usize {
                    let (target, weight) = (forest.vote_targets[vote] as usize, forest.weights[vote]);
                    let sum = &mut sums[target];
                    *sum = match self.votes {
                        Votes::Sum | Votes::Mean => *sum + weight,
                        Votes::Min | Votes::Max if !voted[target] => weight,
                        Votes::Min => sum.min(weight),
                        Votes::Max => sum.max(weight),
                    };
                    voted[target] = true;
                }
            }
            for (target, sum) in sums.iter_mut().enumerate() {
                if self.votes == Votes::Mean && !forest.roots.is_empty() {
                    *sum /= forest.roots.len() as f64;
                }
                *sum += forest.base.get(target).copied().unwrap_or(0.0);
            }
        }
        Ok(vec![Tensor::from_f64s(ty.dtype, &extents, &result)?])
    }
    fn tolerance(&self, dtype: DType) -> Tolerance {
        Tolerance::sum(dtype, 4.0)
    }
}

impl TreeEnsemble {
    pub(crate) fn samples() -> Vec<Sample> {
        let floats = |list: &[f64]| Tensor::from_slice(&[list.len() as i64], list);
        let forest = |votes, tests: &[i64], base: &[f64]| TreeEnsemble {
            targets: 2,
            votes,
            roots: Tensor::from_ints(&[0, 2, -1]),
            features: Tensor::from_ints(&[0, 2, 1]),
            tests: Tensor::from_ints(tests),
            splits: floats(&[0.5, -0.25, 0.0]),
            missing_to_yes: Tensor::from_ints(&[0, 1, 1]),
            yes: Tensor::from_ints(&[1, -1, -3]),
            no: Tensor::from_ints(&[-2, -3, -1]),
            set_starts: Tensor::from_ints(&[0, 2, 2, 3]),
            members: floats(&[0.0, 1.0, -1.0]),
            leaf_starts: Tensor::from_ints(&[0, 1, 3, 3]),
            vote_targets: Tensor::from_ints(&[0, 0, 1]),
            weights: floats(&[1.5, -2.0, 0.125]),
            base: floats(base),
        };
        [
            (forest(Votes::Sum, &[0, 1, 2], &[0.5, -1.0]), DType::F32, &[7i64, 3][..]),
            (forest(Votes::Mean, &[3, 4, 5], &[]), DType::F64, &[7, 4]),
            (forest(Votes::Min, &[6, 0, 6], &[]), DType::F32, &[9, 3]),
            (forest(Votes::Max, &[0, 0, 0], &[]), DType::F16, &[1, 3]),
            (forest(Votes::Sum, &[0, 0, 0], &[]), DType::F32, &[0, 3]),
        ]
        .into_iter()
        .map(|(op, dtype, extents)| Sample::drawn(op, Domain::Any, &[(dtype, extents)]))
        .collect()
    }
}
