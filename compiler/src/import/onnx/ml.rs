//! Classical models: the ops of domain `ai.onnx.ml` that work on numbers.

use std::collections::HashMap;

use frit_ir::ops::aggregate::Statistic;
use frit_ir::ops::tree_ensemble::{TreeEnsemble, Votes};
use frit_ir::ops::{add::Add, aggregate_by::AggregateBy, arg_extreme::ArgExtreme, cast::Cast, concat::Concat, div::Div, equal::Equal, gather::Gather, is_nan::IsNan, less::Less, lp_norm::LpNorm};
use frit_ir::ops::{matmul::MatMul, mul::Mul, neg::Neg, reshape_to::ReshapeTo, select::Select, sigmoid::Sigmoid, softmax::Softmax, squeeze::Squeeze, sub::Sub, unsqueeze::Unsqueeze};
use frit_ir::{DType, Dim, OpError, Tensor, ValueId};

use super::{Handler, Node};

type Values = Result<Vec<ValueId>, OpError>;

pub(super) const OPS: &[(&str, Handler)] = &[
    ("ArrayFeatureExtractor", array_feature_extractor),
    ("Binarizer", |n| {
        let (x, threshold) = (n.input(0)?, n.float("threshold", 0.0));
        let dtype = n.builder.dtype(x);
        let threshold = n.builder.scalar(dtype, threshold);
        let above = n.apply(Less {}, &[threshold, x])?;
        Ok(vec![n.apply(Cast { to: dtype }, &[above])?])
    }),
    ("FeatureVectorizer", |n| {
        let parts = n.all_inputs()?.into_iter().map(|x| n.apply(Cast { to: DType::F32 }, &[x])).collect::<Result<Vec<_>, _>>()?;
        for (part, wanted) in parts.iter().zip(n.maybe_ints("inputdimensions").unwrap_or(&[])) {
            let ty = n.builder.ty(*part);
            if ty.dims()?.get(1).is_none_or(|dim| !dim.may_equal(&Dim::Known(*wanted))) {
                return Err(OpError::unsupported(format!("'FeatureVectorizer' of {ty} where {wanted} features are declared")));
            }
        }
        Ok(vec![n.apply(Concat { axis: 1 }, &parts)?])
    }),
    ("Normalizer", normalizer),
    ("TreeEnsemble", tree_ensemble),
];

/// Made of several of ours.
pub(super) const EXPANDED: &[(&str, Handler)] = &[
    ("Imputer", imputer),
    ("LabelEncoder", label_encoder),
    ("LinearClassifier", linear_classifier),
    ("LinearRegressor", |n| {
        let targets = n.int("targets", 1);
        let scores = linear(n, targets, "coefficients", "intercepts")?;
        Ok(vec![transformed(n, scores)?])
    }),
    ("Scaler", |n| {
        let mut x = floats(n)?;
        if let Some(offset) = n.maybe_floats("offset") {
            let offset = vector(n, offset);
            x = n.apply(Sub {}, &[x, offset])?;
        }
        if let Some(scale) = n.maybe_floats("scale") {
            let scale = vector(n, scale);
            x = n.apply(Mul {}, &[x, scale])?;
        }
        Ok(vec![x])
    }),
    ("TreeEnsembleClassifier", tree_classifier),
    ("TreeEnsembleRegressor", |n| {
        let votes = match n.text("aggregate_function", "SUM") {
            "SUM" => Votes::Sum,
            "AVERAGE" => Votes::Mean,
            "MIN" => Votes::Min,
            "MAX" => Votes::Max,
            other => return Err(n.unknown_text("aggregate_function", other)),
        };
        let targets = n.required_int("n_targets")?;
        let scores = numbered_trees(n, "target", targets, votes, true)?;
        Ok(vec![transformed(n, scores)?])
    }),
];

/// The first operand as floats: f64 stays, all else becomes f32.
fn floats(n: &mut Node<'_, '_>) -> Result<ValueId, OpError> {
    let x = n.input(0)?;
    if matches!(n.builder.dtype(x), DType::F32 | DType::F64) { Ok(x) } else { n.apply(Cast { to: DType::F32 }, &[x]) }
}

fn vector(n: &mut Node<'_, '_>, list: &[f32]) -> ValueId {
    let extents: &[i64] = &[list.len() as i64];
    n.builder.constant(Tensor::from_slice(if list.len() == 1 { &[] } else { extents }, list))
}

fn array_feature_extractor(n: &mut Node<'_, '_>) -> Values {
    let (mut x, indices) = (n.input(0)?, n.input(1)?);
    if n.builder.rank(x)? == 1 {
        let front = n.builder.ints(&[0]);
        x = n.apply(Unsqueeze {}, &[x, front])?;
    }
    let axis = n.builder.rank(x)?.checked_sub(1).ok_or_else(|| OpError::invalid("features are taken of a scalar"))?;
    let line = n.builder.ints(&[-1]);
    let indices = n.apply(ReshapeTo { zero_copies: false }, &[indices, line])?;
    Ok(vec![n.apply(Gather { axis }, &[x, indices])?])
}

fn normalizer(n: &mut Node<'_, '_>) -> Values {
    let x = floats(n)?;
    Ok(vec![match n.text("norm", "MAX") {
        "L1" => n.apply(LpNorm { axis: -1, p: 1 }, &[x])?,
        "L2" => n.apply(LpNorm { axis: -1, p: 2 }, &[x])?,
        "MAX" => {
            let last = n.builder.ints(&[-1]);
            let largest = n.apply(AggregateBy { statistic: Statistic::Max, keep: true, empty_is_none: false }, &[x, last])?;
            n.apply(Div {}, &[x, largest])?
        }
        other => return Err(n.unknown_text("norm", other)),
    }])
}

fn imputer(n: &mut Node<'_, '_>) -> Values {
    let x = n.input(0)?;
    let dtype = n.builder.dtype(x);
    let (wanted, imputed) = if dtype.is_float() {
        let wanted = n.float("replaced_value_float", 0.0);
        let imputed = n.maybe_floats("imputed_value_floats").ok_or_else(|| n.missing("imputed_value_floats"))?;
        let wanted = if wanted.is_nan() { None } else { Some(n.builder.scalar(dtype, wanted)) };
        (wanted, vector(n, imputed))
    } else {
        let wanted = n.int("replaced_value_int64", 0);
        let imputed = n.maybe_ints("imputed_value_int64s").ok_or_else(|| n.missing("imputed_value_int64s"))?;
        (Some(n.builder.constant(Tensor::from_slice(&[], &[wanted]))), n.builder.ints(imputed))
    };
    let imputed = n.apply(Cast { to: dtype }, &[imputed])?;
    let missing = match wanted {
        Some(wanted) => n.apply(Equal {}, &[x, wanted])?,
        None => n.apply(IsNan {}, &[x])?,
    };
    Ok(vec![n.apply(Select {}, &[missing, imputed, x])?])
}

/// A list of keys or values of a label encoder, by the names of its attributes.
fn labels(n: &Node<'_, '_>, what: &str) -> Result<Tensor, OpError> {
    let tensor = if n.has(&format!("{what}_strings")) {
        None
    } else if let Some(ints) = n.maybe_ints(&format!("{what}_int64s")) {
        Some(Tensor::from_ints(ints))
    } else if let Some(floats) = n.maybe_floats(&format!("{what}_floats")) {
        Some(Tensor::from_slice(&[floats.len() as i64], floats))
    } else {
        n.maybe_tensor(&format!("{what}_tensor"))?
    };
    match tensor {
        Some(tensor) if tensor.dtype() != DType::Str && tensor.elems() > 0 => {
            let elems = tensor.elems() as i64;
            tensor.reshaped(&[elems])
        }
        _ => Err(OpError::unsupported(format!("the {what} of '{}' are not numbers", n.op)).help("encode text before the model")),
    }
}

fn label_encoder(n: &mut Node<'_, '_>) -> Values {
    let x = n.input(0)?;
    let (keys, values) = (labels(n, "keys")?, labels(n, "values")?);
    if keys.dtype() != n.builder.dtype(x) || keys.elems() != values.elems() {
        return Err(OpError::invalid(format!("'LabelEncoder' maps keys {} to values {}", keys.ty(), values.ty())));
    }
    let otherwise = match (n.maybe_tensor("default_tensor")?, values.dtype()) {
        (Some(tensor), _) => tensor.reshaped(&[])?,
        (None, DType::F32) => Tensor::from_slice(&[], &[n.float("default_float", -0.0) as f32]),
        (None, _) => Tensor::from_slice(&[], &[n.int("default_int64", -1)]).cast(values.dtype())?,
    };
    let behind = n.builder.ints(&[-1]);
    let (keys, values, otherwise) = (n.builder.constant(keys), n.builder.constant(values), n.builder.constant(otherwise));
    let column = n.apply(Unsqueeze {}, &[x, behind])?;
    let hits = n.apply(Equal {}, &[column, keys])?;
    let hits = n.apply(Cast { to: DType::I32 }, &[hits])?;
    let axis = n.builder.rank(x)?;
    let first = n.apply(ArgExtreme { axis, largest: true, last: false, keep: false }, &[hits])?;
    let any = n.apply(AggregateBy { statistic: Statistic::Max, keep: false, empty_is_none: false }, &[hits, behind])?;
    let any = n.apply(Cast { to: DType::Bool }, &[any])?;
    let value = n.apply(Gather { axis: 0 }, &[values, first])?;
    Ok(vec![n.apply(Select {}, &[any, value, otherwise])?])
}

/// `x . coefficients + intercepts`; coefficients have a row for each target.
fn linear(n: &mut Node<'_, '_>, targets: i64, coefficients: &str, intercepts: &str) -> Result<ValueId, OpError> {
    let x = n.input(0)?;
    let x = n.apply(Cast { to: DType::F32 }, &[x])?;
    let list = n.maybe_floats(coefficients).ok_or_else(|| n.missing(coefficients))?;
    let rows = usize::try_from(targets).ok().filter(|rows| *rows > 0 && list.len() % rows == 0).ok_or_else(|| OpError::invalid(format!("{} coefficients don't make {targets} targets", list.len())))?;
    let features = list.len() / rows;
    let turned: Vec<f32> = (0..list.len()).map(|at| list[at % rows * features + at / rows]).collect();
    let weights = n.builder.constant(Tensor::from_slice(&[features as i64, targets], &turned));
    let scores = n.apply(MatMul {}, &[x, weights])?;
    match n.maybe_floats(intercepts) {
        Some(intercepts) if !intercepts.is_empty() => {
            let intercepts = vector(n, intercepts);
            n.apply(Add {}, &[scores, intercepts])
        }
        _ => Ok(scores),
    }
}

/// Scores after the node's `post_transform`.
fn transformed(n: &mut Node<'_, '_>, scores: ValueId) -> Result<ValueId, OpError> {
    match n.text("post_transform", "NONE") {
        "NONE" => Ok(scores),
        "LOGISTIC" => n.apply(Sigmoid {}, &[scores]),
        "SOFTMAX" => n.apply(Softmax { axis: 1, zeros: false }, &[scores]),
        other => Err(OpError::unsupported(format!("post_transform '{other}' is not supported"))),
    }
}

/// The integer labels of a classifier.
fn classes(n: &Node<'_, '_>, ints: &str, texts: &str) -> Result<Vec<i64>, OpError> {
    match n.maybe_ints(ints) {
        Some(labels) if !labels.is_empty() => Ok(labels.to_vec()),
        _ if n.has(texts) => Err(OpError::unsupported(format!("'{}' with labels that are text is not supported", n.op)).help("export the model with integer labels")),
        _ => Err(n.missing(ints)),
    }
}

/// The label of the highest score in each row.
fn best(n: &mut Node<'_, '_>, scores: ValueId, labels: &[i64]) -> Result<ValueId, OpError> {
    let labels = n.builder.ints(labels);
    let place = n.apply(ArgExtreme { axis: 1, largest: true, last: false, keep: false }, &[scores])?;
    n.apply(Gather { axis: 0 }, &[labels, place])
}

/// Labels and scores of two classes from one score: above `threshold` it is the second.
fn two_classes(n: &mut Node<'_, '_>, score: ValueId, labels: &[i64], threshold: f64, other: impl FnOnce(&mut Node<'_, '_>) -> Result<ValueId, OpError>) -> Values {
    let threshold = n.builder.scalar(n.builder.dtype(score), threshold);
    let second = n.apply(Less {}, &[threshold, score])?;
    let [no, yes] = [0, 1].map(|at| n.builder.constant(Tensor::from_slice(&[], &labels[at..=at])));
    let label = n.apply(Select {}, &[second, yes, no])?;
    let last = n.builder.ints(&[1]);
    let label = n.apply(Squeeze {}, &[label, last])?;
    let first = other(n)?;
    let scores = n.apply(Concat { axis: 1 }, &[first, score])?;
    Ok(vec![label, scores])
}

fn linear_classifier(n: &mut Node<'_, '_>) -> Values {
    let labels = classes(n, "classlabels_ints", "classlabels_strings")?;
    let rows = n.maybe_floats("intercepts").map_or(labels.len(), <[f32]>::len);
    let scores = linear(n, rows as i64, "coefficients", "intercepts")?;
    if labels.len() == 2 && rows == 1 {
        let logistic = n.text("post_transform", "NONE") == "LOGISTIC";
        let score = if logistic { n.apply(Sigmoid {}, &[scores])? } else { scores };
        return two_classes(n, score, &labels, if logistic { 0.5 } else { 0.0 }, |n| opposite(n, scores, logistic));
    }
    let label = best(n, scores, &labels)?;
    Ok(vec![label, transformed(n, scores)?])
}

/// The score of the class that a score is not for.
fn opposite(n: &mut Node<'_, '_>, score: ValueId, logistic: bool) -> Result<ValueId, OpError> {
    let score = n.apply(Neg {}, &[score])?;
    if logistic { n.apply(Sigmoid {}, &[score]) } else { Ok(score) }
}

fn tree_classifier(n: &mut Node<'_, '_>) -> Values {
    let labels = classes(n, "classlabels_int64s", "classlabels_strings")?;
    let voted = n.maybe_ints("class_ids").ok_or_else(|| n.missing("class_ids"))?;
    if labels.len() == 2 && voted.iter().all(|class| *class == voted[0]) {
        // All votes are for one class: its score says which of the two it is.
        let positive = n.maybe_floats("class_weights").is_none_or(|weights| weights.iter().all(|w| *w >= 0.0));
        let score = numbered_trees(n, "class", 1, Votes::Sum, true)?;
        if positive {
            return two_classes(n, score, &labels, 0.5, |n| {
                let one = n.builder.scalar(n.builder.dtype(score), 1.0);
                n.apply(Sub {}, &[one, score])
            });
        }
        let logistic = n.text("post_transform", "NONE") == "LOGISTIC";
        let shown = if logistic { n.apply(Sigmoid {}, &[score])? } else { score };
        return two_classes(n, shown, &labels, if logistic { 0.5 } else { 0.0 }, |n| opposite(n, score, logistic));
    }
    let scores = numbered_trees(n, "class", labels.len() as i64, Votes::Sum, false)?;
    let label = best(n, scores, &labels)?;
    Ok(vec![label, transformed(n, scores)?])
}

/// Nodes as a source has them, in any order.
#[derive(Default)]
struct Forest {
    roots: Vec<i64>,
    features: Vec<i64>,
    tests: Vec<i64>,
    splits: Vec<f64>,
    missing_to_yes: Vec<i64>,
    yes: Vec<i64>,
    no: Vec<i64>,
    sets: Vec<Vec<f64>>,
    leaves: Vec<Vec<(i64, f64)>>,
    base: Vec<f64>,
}

impl Forest {
    /// An order of the nodes in which each stands before those that follow it, and the op in that order.
    fn op(self, targets: i64, votes: Votes) -> Result<TreeEnsemble, OpError> {
        let count = self.features.len();
        let known = |place: i64| usize::try_from(place).ok().filter(|k| *k < count);
        // Depth first; a node is put down when all that follow it are, so that the reverse is the order.
        let (mut state, mut done, mut stack) = (vec![0u8; count], Vec::with_capacity(count), Vec::new());
        for root in self.roots.iter().filter_map(|root| known(*root)) {
            stack.push(root);
            while let Some(k) = stack.last().copied() {
                if state[k] != 0 {
                    stack.pop();
                    if state[k] == 1 {
                        state[k] = 2;
                        done.push(k);
                    }
                    continue;
                }
                state[k] = 1;
                for next in [self.yes[k], self.no[k]].into_iter().filter_map(known) {
                    match state[next] {
                        0 => stack.push(next),
                        1 => return Err(OpError::invalid("a tree's node follows itself")),
                        _ => {}
                    }
                }
            }
        }
        done.reverse();
        let mut places = vec![i64::MAX; count];
        for (place, k) in done.iter().enumerate() {
            places[*k] = place as i64;
        }
        let moved = |place: i64| if place < 0 { place } else { known(place).map_or(i64::MAX, |k| places[k]) };
        let ints = |pick: &dyn Fn(usize) -> i64| Tensor::from_ints(&done.iter().map(|k| pick(*k)).collect::<Vec<_>>());
        let numbers = |list: &[f64]| Tensor::from_slice(&[list.len() as i64], list);
        let offsets = |lengths: &mut dyn Iterator<Item = usize>| {
            let mut starts = vec![0i64];
            lengths.for_each(|n| starts.push(starts[starts.len() - 1] + n as i64));
            Tensor::from_ints(&starts)
        };
        let targets = usize::try_from(targets).map_err(|_| OpError::invalid(format!("{targets} targets")))?;
        let (set_starts, members) = if self.sets.is_empty() {
            (Tensor::from_ints(&[]), Vec::new())
        } else {
            (offsets(&mut done.iter().map(|k| self.sets[*k].len())), done.iter().flat_map(|k| self.sets[*k].clone()).collect())
        };
        let votes_of: Vec<(i64, f64)> = self.leaves.iter().flatten().copied().collect();
        Ok(TreeEnsemble {
            targets,
            votes,
            roots: Tensor::from_ints(&self.roots.iter().map(|root| moved(*root)).collect::<Vec<_>>()),
            features: ints(&|k| self.features[k]),
            tests: ints(&|k| self.tests[k]),
            splits: numbers(&done.iter().map(|k| self.splits[*k]).collect::<Vec<_>>()),
            missing_to_yes: ints(&|k| self.missing_to_yes[k]),
            yes: ints(&|k| moved(self.yes[k])),
            no: ints(&|k| moved(self.no[k])),
            set_starts,
            members: numbers(&members),
            leaf_starts: offsets(&mut self.leaves.iter().map(Vec::len)),
            vote_targets: Tensor::from_ints(&votes_of.iter().map(|vote| vote.0).collect::<Vec<_>>()),
            weights: numbers(&votes_of.iter().map(|vote| vote.1).collect::<Vec<_>>()),
            base: numbers(&self.base),
        })
    }
}

/// The float elements of one of two attributes: a list of f32, or a tensor of a wider type.
fn numbers(n: &Node<'_, '_>, name: &str) -> Result<Option<Vec<f64>>, OpError> {
    match n.maybe_tensor(&format!("{name}_as_tensor"))? {
        Some(tensor) => Ok(Some(tensor.f64s())),
        None => Ok(n.maybe_floats(name).map(|list| list.iter().map(|x| f64::from(*x)).collect())),
    }
}

/// The trees of `TreeEnsembleRegressor` and `TreeEnsembleClassifier`: nodes named by a number of a tree and one within it.
/// With `single` all votes are for target 0 where there is only one.
fn numbered_trees(n: &mut Node<'_, '_>, votes: &str, targets: i64, how: Votes, single: bool) -> Result<ValueId, OpError> {
    let required = |name: String| n.maybe_ints(&name).ok_or_else(|| n.missing(&name));
    let (trees, ids) = (required("nodes_treeids".into())?, required("nodes_nodeids".into())?);
    let (features, yes, no) = (required("nodes_featureids".into())?, required("nodes_truenodeids".into())?, required("nodes_falsenodeids".into())?);
    let (vote_trees, vote_nodes, vote_targets) = (required(format!("{votes}_treeids"))?, required(format!("{votes}_nodeids"))?, required(format!("{votes}_ids"))?);
    let modes = n.maybe_texts("nodes_modes").ok_or_else(|| n.missing("nodes_modes"))?;
    let splits = numbers(n, "nodes_values")?.ok_or_else(|| n.missing("nodes_values"))?;
    let weights = numbers(n, &format!("{votes}_weights"))?.ok_or_else(|| n.missing("weights"))?;
    let missing = n.maybe_ints("nodes_missing_value_tracks_true").filter(|list| !list.is_empty());
    let count = trees.len();
    let fits = [ids.len(), features.len(), yes.len(), no.len(), modes.len(), splits.len(), missing.map_or(count, <[i64]>::len)].iter().all(|n| *n == count);
    if !fits || [vote_trees.len(), vote_nodes.len(), vote_targets.len()].iter().any(|n| *n != weights.len()) {
        return Err(OpError::invalid(format!("the lists of '{}' differ in length", n.op)));
    }
    let mut forest = Forest { base: numbers(n, "base_values")?.unwrap_or_default(), ..Forest::default() };
    if single && targets == 1 && forest.base.len() > 1 {
        forest.base = forest.base.split_off(forest.base.len() - 1);
    }
    // Inner nodes are numbered apart from leaves.
    let mut places: HashMap<(i64, i64), i64> = HashMap::new();
    let (mut inner, mut leaves) = (Vec::new(), 0i64);
    for at in 0..count {
        let place = if modes[at] == "LEAF" {
            leaves += 1;
            -leaves
        } else {
            inner.push(at);
            inner.len() as i64 - 1
        };
        if places.insert((trees[at], ids[at]), place).is_some() {
            return Err(OpError::invalid(format!("node {} of tree {} is there twice", ids[at], trees[at])));
        }
    }
    let place = |tree: i64, id: i64| places.get(&(tree, id)).copied().ok_or_else(|| OpError::invalid(format!("tree {tree} has no node {id}")));
    forest.leaves = vec![Vec::new(); leaves as usize];
    for (at, weight) in weights.iter().enumerate() {
        let leaf = place(vote_trees[at], vote_nodes[at])?;
        if let Some(votes) = usize::try_from(-1 - leaf).ok().and_then(|leaf| forest.leaves.get_mut(leaf)) {
            votes.push((if single && targets == 1 { 0 } else { vote_targets[at] }, *weight));
        }
    }
    for at in inner {
        let test = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"].iter().position(|name| *name == modes[at]);
        forest.tests.push(test.ok_or_else(|| n.unknown_text("nodes_modes", &modes[at]))? as i64);
        forest.features.push(features[at]);
        forest.splits.push(splits[at]);
        forest.missing_to_yes.push(missing.map_or(0, |list| list[at]));
        forest.yes.push(place(trees[at], yes[at])?);
        forest.no.push(place(trees[at], no[at])?);
    }
    // The root of a tree is the first of its nodes.
    for (at, tree) in trees.iter().enumerate() {
        if at == 0 || trees[at - 1] != *tree {
            forest.roots.push(place(*tree, ids[at])?);
        }
    }
    let x = floats(n)?;
    n.apply(forest.op(targets, how)?, &[x])
}

/// `TreeEnsemble`: nodes and leaves named by their places in the lists.
fn tree_ensemble(n: &mut Node<'_, '_>) -> Values {
    let required = |name: &str| n.maybe_ints(name).ok_or_else(|| n.missing(name));
    let tensor = |name: &str| n.maybe_tensor(name)?.ok_or_else(|| n.missing(name));
    let (features, roots) = (required("nodes_featureids")?, required("tree_roots")?);
    let (yes, no, yes_leaf, no_leaf) = (required("nodes_truenodeids")?, required("nodes_falsenodeids")?, required("nodes_trueleafs")?, required("nodes_falseleafs")?);
    let (modes, splits, weights) = (tensor("nodes_modes")?.ints(), tensor("nodes_splits")?.f64s(), tensor("leaf_weights")?.f64s());
    let (leaf_targets, targets) = (required("leaf_targetids")?, n.required_int("n_targets")?);
    let missing = n.maybe_ints("nodes_missing_value_tracks_true").filter(|list| !list.is_empty());
    let count = features.len();
    let fits = [yes.len(), no.len(), yes_leaf.len(), no_leaf.len(), modes.len(), splits.len(), missing.map_or(count, <[i64]>::len)].iter().all(|n| *n == count);
    if !fits || leaf_targets.len() != weights.len() {
        return Err(OpError::invalid("the lists of 'TreeEnsemble' differ in length"));
    }
    let place = |leaf: i64, id: i64| if leaf != 0 { id.checked_neg().map_or(i64::MAX, |id| id - 1) } else { id };
    let mut forest = Forest {
        // A node whose both ways are one leaf stands for a tree that is a leaf.
        roots: roots.to_vec(),
        features: features.to_vec(),
        tests: modes.clone(),
        splits,
        missing_to_yes: missing.map_or_else(|| vec![0; count], <[i64]>::to_vec),
        yes: yes_leaf.iter().zip(yes).map(|(leaf, id)| place(*leaf, *id)).collect(),
        no: no_leaf.iter().zip(no).map(|(leaf, id)| place(*leaf, *id)).collect(),
        leaves: leaf_targets.iter().zip(weights).map(|(target, weight)| vec![(*target, weight)]).collect(),
        ..Forest::default()
    };
    if let Some(members) = n.maybe_tensor("membership_values")? {
        // One set for each node that tests membership, each ended by NaN.
        let members = members.f64s();
        let mut sets = members.split(|x| x.is_nan());
        forest.sets = modes.iter().map(|mode| if *mode == 6 { sets.next().unwrap_or(&[]).to_vec() } else { Vec::new() }).collect();
    }
    let votes = match n.int("aggregate_function", 1) {
        0 => Votes::Mean,
        1 => Votes::Sum,
        2 => Votes::Min,
        3 => Votes::Max,
        other => return Err(OpError::invalid(format!("aggregate_function {other} is unknown"))),
    };
    let x = floats(n)?;
    let scores = n.apply(forest.op(targets, votes)?, &[x])?;
    Ok(vec![match n.int("post_transform", 0) {
        0 => scores,
        1 => n.apply(Softmax { axis: 1, zeros: false }, &[scores])?,
        2 => n.apply(Sigmoid {}, &[scores])?,
        other => return Err(OpError::unsupported(format!("post_transform {other} is not supported"))),
    }])
}
