//! Every rule against its own meaning, on drawn instances of its left side; what rules find in real models.
//!
//! An instance is saturated by its rule alone. Then every term of every class is evaluated, its operands being the values
//! of their classes: all terms of a class must give what the rule's class promises (see `rewrite::Class`). Each step is
//! so compared by itself, and no error adds up or hides.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

use frit_compiler::import;
use frit_compiler::pipeline::{self, rewritten};
use frit_compiler::rewrite::check::{Applied, Compiled, Equal, Saturated, saturated};
use frit_compiler::rewrite::proof::{self, Goal, Proof, Why};
use frit_compiler::rewrite::{self, Class, Prices, Rule, rules};
use frit_compiler::specialise::{Binding, specialise};
use frit_ir::graph::{Origin, Origins};
use frit_ir::ops::matmul::MatMul;
use frit_ir::ops::{Domain, Input, Tolerance};
use frit_ir::{Builder, DType, Graph, Op, Scalar, Tensor, TensorType, ValueId, text};
use frit_tests::draw::{self, Random};
use frit_tests::golden::{blessing, home};
use frit_tests::instance::{Hint, Samples, instance};
use frit_tests::{data, device, npz};

/// A rule must be seen to fire on so many instances,
const LEAST: usize = 20;
/// and no more are looked at than this,
const ENOUGH: usize = 100;
/// out of no more drawn ones than this.
const DRAWN: u64 = 6_000;

/// Where to look for instances of rules whose conditions hardly ever hold by chance.
const HINTS: &[Hint] = &[
    Hint { rule: "strassen", left: "matmul(?x, ?w)", types: &[("x", DType::F32, &[7, 7, 226]), ("w", DType::F32, &[226, 228])] },
    Hint { rule: "last-column", left: "matmul(?x, ?w)", types: &[("x", DType::F32, &[48, 256]), ("w", DType::F32, &[256, 1025])] },
    Hint {
        rule: "concat-slices",
        left: "concat[axis=1](slice[starts=[0, 1], extents=[3, 2], steps=[1, 1]](?x), slice[starts=[0, 3], extents=[3, 3], steps=[1, 1]](?x))",
        types: &[("x", DType::F32, &[3, 7])],
    },
    Hint {
        rule: "merge-conv-bias",
        left: "add(conv@c[strides=[1, 1], dilations=[1, 1], before=[1, 1], after=[1, 0], groups=1](?x, ?w*), ?b*)",
        types: &[("x", DType::F32, &[1, 2, 5, 4]), ("w", DType::F32, &[3, 2, 3, 2]), ("b", DType::F32, &[1, 3, 1, 1])],
    },
    Hint {
        rule: "grouped-conv",
        left: "concat[axis=1](conv@c[strides=[1, 1], dilations=[1, 1], before=[1, 1], after=[1, 0], groups=2](slice[starts=[0, 0, 0, 0], extents=[1, 4, 5, 4], steps=[1, 1, 1, 1]](?x), ?w), conv@c(slice[starts=[0, 4, 0, 0], extents=[1, 4, 5, 4], steps=[1, 1, 1, 1]](?x), ?w2), conv@c(slice[starts=[0, 8, 0, 0], extents=[1, 4, 5, 4], steps=[1, 1, 1, 1]](?x), ?w3))",
        types: &[("x", DType::F32, &[1, 12, 5, 4]), ("w", DType::F32, &[4, 2, 3, 2]), ("w2", DType::F32, &[4, 2, 3, 2]), ("w3", DType::F32, &[4, 2, 3, 2])],
    },
    Hint {
        rule: "grouped-conv-bias",
        left: "concat[axis=1](add(conv@c[strides=[1, 1], dilations=[1, 1], before=[1, 1], after=[1, 0], groups=1](slice[starts=[0, 0, 0, 0], extents=[1, 2, 5, 4], steps=[1, 1, 1, 1]](?x), ?w), ?b), add(conv@c(slice[starts=[0, 2, 0, 0], extents=[1, 2, 5, 4], steps=[1, 1, 1, 1]](?x), ?w2), ?b2))",
        types: &[("x", DType::F32, &[1, 4, 5, 4]), ("w", DType::F32, &[3, 2, 3, 2]), ("w2", DType::F32, &[3, 2, 3, 2]), ("b", DType::F32, &[1, 3, 1, 1]), ("b2", DType::F32, &[1, 3, 1, 1])],
    },
    Hint {
        rule: "sum-conv-bias",
        left: "add(add(conv@c[strides=[1, 1], dilations=[1, 1], before=[1, 1], after=[1, 0], groups=1](?x, ?w), ?a), add(conv@c(?x, ?v), ?b))",
        types: &[("x", DType::F32, &[1, 2, 5, 4]), ("w", DType::F32, &[3, 2, 3, 2]), ("v", DType::F32, &[3, 2, 3, 2]), ("a", DType::F32, &[3, 1, 1]), ("b", DType::F32, &[3, 1, 1])],
    },
    Hint {
        rule: "matmul-rows",
        left: "reshape[extents=[2, 3, 5]](matmul(reshape[extents=[6, 4]](?x), ?w))",
        types: &[("x", DType::F32, &[2, 3, 4]), ("w", DType::F32, &[4, 5])],
    },
    Hint {
        rule: "matmul-rows-bias",
        left: "reshape[extents=[2, 3, 5]](add(matmul(reshape[extents=[6, 4]](?x), ?w), ?b))",
        types: &[("x", DType::F32, &[2, 3, 4]), ("w", DType::F32, &[4, 5]), ("b", DType::F32, &[5])],
    },
    Hint {
        rule: "reshape-stack",
        left: "reshape[extents=[2, 3, 4]](concat[axis=0](?a, ?b))",
        types: &[("a", DType::F32, &[3, 4]), ("b", DType::F32, &[3, 4])],
    },
    Hint {
        rule: "transpose-stack",
        left: "transpose[perm=[1, 0, 2]](concat[axis=0](reshape[extents=[1, 3, 2]](?x*)..))",
        types: &[("x", DType::F32, &[3, 2])],
    },
    Hint {
        rule: "quantize-dequantize",
        left: "quantize[to=u8](dequantize[to=f32](?x, ?s, ?z), ?s, ?z)",
        types: &[("x", DType::U8, &[3, 7]), ("s", DType::F32, &[]), ("z", DType::U8, &[])],
    },
    Hint {
        rule: "dequantize-conv",
        left: "conv@c[strides=[1, 2], dilations=[1, 1], before=[1, 0], after=[0, 1], groups=1](dequantize[to=f32, axis=1, block=0](?x, ?s, ?z), dequantize[to=f32, axis=0, block=0](?w, ?t, ?u))",
        types: &[("x", DType::U8, &[1, 2, 5, 4]), ("s", DType::F32, &[]), ("z", DType::U8, &[]), ("w", DType::I8, &[3, 2, 3, 2]), ("t", DType::F32, &[3]), ("u", DType::I8, &[3])],
    },
    Hint {
        rule: "dequantize-rows",
        left: "transpose[perm=[1, 0]](dequantize[to=f32, axis=0, block=0](?x, ?s, ?z))",
        types: &[("x", DType::I8, &[3, 4]), ("s", DType::F32, &[3]), ("z", DType::I8, &[3])],
    },
    Hint {
        rule: "dequantize-matmul",
        left: "matmul(dequantize[to=f32, axis=0, block=0](?x, ?s, ?z), dequantize[to=f32, axis=1, block=0](?w, ?t, ?u))",
        types: &[("x", DType::U8, &[2, 3, 4]), ("s", DType::F32, &[]), ("z", DType::U8, &[]), ("w", DType::I8, &[4, 5]), ("t", DType::F32, &[5]), ("u", DType::I8, &[5])],
    },
    Hint {
        rule: "hard-sigmoid",
        left: "mul(clip(add(?x, 3), 0, 6), 0.16666667)",
        types: &[("x", DType::F32, &[3, 7])],
    },
    Hint {
        rule: "hard-swish",
        left: "mul(?x, hard_sigmoid[alpha=0.16666667, beta=0.5](?x))",
        types: &[("x", DType::F32, &[3, 7])],
    },
    Hint {
        rule: "layer-norm",
        left: "rms_norm[axis=-1, epsilon=1e-5, stash=f32](sub(?x, aggregate[statistic=mean, axes=[1], keep=true](?x)), 1)",
        types: &[("x", DType::F32, &[3, 7])],
    },
    Hint {
        rule: "group-norm-of-instances",
        left: "reshape[extents=[2, 6, 5]](group_norm[groups=0, epsilon=1e-5, per_group=false, stash=f32](reshape[extents=[2, 3, 10]](?x), ?g, ?b))",
        types: &[("x", DType::F32, &[2, 6, 5]), ("g", DType::F32, &[3]), ("b", DType::F32, &[3])],
    },
    Hint {
        rule: "group-norm-channels",
        left: "add(mul(group_norm[groups=2, epsilon=1e-5, per_group=true, stash=f32](?x, broadcast[extents=[2]](1), broadcast[extents=[2]](0)), ?g), ?b)",
        types: &[("x", DType::F32, &[2, 4, 5]), ("g", DType::F32, &[4, 1]), ("b", DType::F32, &[1, 4, 1])],
    },
    Hint {
        rule: "group-norm-channels-last",
        left: "reshape[extents=[2, 3, 2, 4]](add(mul(div(sub(reshape[extents=[2, 3, 2, 2, 2]](?x), aggregate[statistic=mean, axes=[1, 2, 4], keep=true](reshape[extents=[2, 3, 2, 2, 2]](?x))), sqrt(add(aggregate[statistic=mean, axes=[1, 2, 4], keep=true](mul(sub(reshape[extents=[2, 3, 2, 2, 2]](?x), aggregate[statistic=mean, axes=[1, 2, 4], keep=true](reshape[extents=[2, 3, 2, 2, 2]](?x))), sub(reshape[extents=[2, 3, 2, 2, 2]](?x), aggregate[statistic=mean, axes=[1, 2, 4], keep=true](reshape[extents=[2, 3, 2, 2, 2]](?x))))), ?e))), ?g), ?b))",
        types: &[("x", DType::F32, &[2, 3, 2, 4]), ("e", DType::F32, &[]), ("g", DType::F32, &[1, 1, 1, 2, 2]), ("b", DType::F32, &[1, 1, 1, 2, 2])],
    },
    Hint {
        rule: "matmul-in-reshapes",
        left: "reshape[extents=[2, 2, 3, 4]](matmul(?a, ?b))",
        types: &[("a", DType::F32, &[4, 3, 5]), ("b", DType::F32, &[4, 5, 4])],
    },
    Hint {
        rule: "attention",
        left: "matmul(softmax[axis=3](mul(matmul(?q, ?k), ?s)), ?v)",
        types: &[("q", DType::F32, &[2, 2, 3, 4]), ("k", DType::F32, &[2, 2, 4, 5]), ("v", DType::F32, &[2, 2, 5, 3]), ("s", DType::F32, &[])],
    },
    Hint {
        rule: "attention-masked",
        left: "matmul(softmax[axis=3](add(mul(matmul(?q, ?k), ?s), ?m)), ?v)",
        types: &[("q", DType::F32, &[2, 2, 3, 4]), ("k", DType::F32, &[2, 2, 4, 5]), ("v", DType::F32, &[2, 2, 5, 3]), ("s", DType::F32, &[]), ("m", DType::F32, &[3, 5])],
    },
    Hint {
        rule: "attention-hidden",
        left: "matmul(softmax[axis=3](select(?m, mul(matmul(?q, ?k), ?s), ?c)), ?v)",
        types: &[("q", DType::F32, &[2, 2, 3, 4]), ("k", DType::F32, &[2, 2, 4, 5]), ("v", DType::F32, &[2, 2, 5, 3]), ("s", DType::F32, &[]), ("c", DType::F32, &[]), ("m", DType::Bool, &[3, 5])],
    },
    Hint {
        rule: "attention-hidden-unscaled",
        left: "matmul(softmax[axis=3](select(?m, matmul(?q, ?k), ?c)), ?v)",
        types: &[("q", DType::F32, &[2, 2, 3, 4]), ("k", DType::F32, &[2, 2, 4, 5]), ("v", DType::F32, &[2, 2, 5, 3]), ("c", DType::F32, &[]), ("m", DType::Bool, &[2, 1, 1, 5])],
    },
    Hint {
        rule: "attention-causal-hidden",
        left: "part[of=0](attention[heads=[], kv_heads=[], scale=[0.5], causal=false, left=-1, right=-1, softcap=0.0, precision=[], scores=raw, has_mask=true, has_past=false, has_lengths=false, zeros=false, hidden=[-10.0]](?q, ?k, ?v, less_equal(iota[dtype=i64, extents=[1, 3], axis=1](), iota[dtype=i64, extents=[3, 1], axis=0]())))",
        types: &[("q", DType::F32, &[2, 2, 3, 4]), ("k", DType::F32, &[2, 2, 3, 4]), ("v", DType::F32, &[2, 2, 3, 4])],
    },
    Hint {
        rule: "select-by-factors",
        left: "add(mul(cast[to=f32](?m), ?x), mul(cast[to=f32](not(?m)), ?y))",
        types: &[("m", DType::Bool, &[3, 5]), ("x", DType::F32, &[2, 3, 5]), ("y", DType::F32, &[])],
    },
    Hint {
        rule: "select-by-factors-known",
        left: "add(mul(?x, cast[to=f32](?a)), mul(cast[to=f32](not(?a)), -100))",
        types: &[("a", DType::Bool, &[3, 5]), ("x", DType::F32, &[2, 3, 5])],
    },
    Hint {
        rule: "attention-causal",
        left: "part[of=0](attention[heads=[], kv_heads=[], scale=[0.5], causal=false, left=-1, right=-1, softcap=0.0, precision=[], scores=raw, has_mask=true, has_past=false, has_lengths=false, zeros=false, hidden=[]](?q, ?k, ?v, log(cast[to=f32](less_equal(iota[dtype=i64, extents=[1, 3], axis=1](), iota[dtype=i64, extents=[3, 1], axis=0]())))))",
        types: &[("q", DType::F32, &[2, 2, 3, 4]), ("k", DType::F32, &[2, 2, 3, 4]), ("v", DType::F32, &[2, 2, 3, 4])],
    },
    Hint {
        rule: "attention-causal-large",
        left: "part[of=0](attention[heads=[], kv_heads=[], scale=[0.5], causal=false, left=-1, right=-1, softcap=0.0, precision=[], scores=raw, has_mask=true, has_past=false, has_lengths=false, zeros=false, hidden=[]](?q, ?k, ?v, mul(cast[to=f32](less(iota[dtype=i64, extents=[3, 1], axis=0](), iota[dtype=i64, extents=[1, 3], axis=1]())), -10000)))",
        types: &[("q", DType::F32, &[2, 2, 3, 4]), ("k", DType::F32, &[2, 2, 3, 4]), ("v", DType::F32, &[2, 2, 3, 4])],
    },
    Hint {
        rule: "rotary-embedding",
        left: "add(mul(?x, concat[axis=1](?c, ?c)), mul(concat[axis=3](neg(slice[starts=[0, 0, 0, 2], extents=[1, 2, 3, 2], steps=[1, 1, 1, 1]](?x)), slice[starts=[0, 0, 0, 0], extents=[1, 2, 3, 2], steps=[1, 1, 1, 1]](?x)), concat[axis=1](?s, ?s)))",
        types: &[("x", DType::F32, &[1, 2, 3, 4]), ("c", DType::F32, &[3, 2]), ("s", DType::F32, &[3, 2])],
    },
];

/// What is drawn for an instance's inputs: each instance is run on all.
const DOMAINS: [Domain; 4] = [Domain::Ordinary, Domain::Between(0.0, 1.9), Domain::Any, Domain::Any];

/// The values of a class; several where its terms have several results.
type Results = Vec<Tensor>;

/// Inputs of a graph. Where rules may round in another order no finite number is so large that a sum may overflow.
fn inputs(graph: &Graph, class: Class, domain: Domain, seed: u64) -> Result<Vec<Tensor>, String> {
    let mut seeds = Random::new(seed);
    let draw = |(_, value): &(String, ValueId)| {
        let ty = graph.ty(*value);
        let extents = ty.shape.extents().ok_or("an input's shape is open")?;
        let tensor = draw::tensor(ty.dtype, &extents, domain, seeds.bits());
        tensor.and_then(|tensor| if class == Class::Exact { Ok(tensor) } else { draw::tamed(&tensor) }).map_err(|error| error.to_string())
    };
    graph.inputs().iter().map(draw).collect()
}

/// Evaluates all that was found equal and compares it; false where the data is not what the class speaks of.
fn agrees(graph: &Graph, found: &Saturated, class: Class, inputs: &[Tensor]) -> Result<bool, String> {
    let mut sources: BTreeMap<ValueId, Tensor> = graph.inputs().iter().map(|(_, value)| *value).zip(inputs.iter().cloned()).collect();
    let run = frit_ir::eval::run_observed(graph, &inputs.iter().collect::<Vec<_>>(), |value, tensor| drop(sources.insert(value, tensor.clone())));
    if run.is_err() {
        return Ok(false);
    }
    let finite = |tensor: &Tensor| !tensor.dtype().is_float() || tensor.f64s().iter().all(|x| x.is_finite());
    if class == Class::Finite && !sources.values().all(finite) {
        return Ok(false);
    }
    // What each class is: a value of the graph, or what its first term gives that can be evaluated.
    let mut classes: Vec<Option<Results>> = vec![None; found.classes.len()];
    for (value, at) in found.values.iter().rev() {
        classes[*at] = Some(vec![sources[value].clone()]);
    }
    let mut terms: Vec<(usize, usize, Results)> = Vec::new();
    let mut pending: Vec<(usize, usize)> = found.classes.iter().enumerate().flat_map(|(at, equal)| (0..equal.terms.len()).map(move |k| (at, k))).collect();
    loop {
        let before = pending.len();
        let mut waiting = Vec::new();
        for (at, k) in pending {
            let term = &found.classes[at].terms[k];
            let Some(operands) = term.operands.iter().map(|operand| classes[*operand].as_ref()).collect::<Option<Vec<&Results>>>() else {
                waiting.push((at, k));
                continue;
            };
            let results = match &term.applied {
                Applied::Outside(value) => vec![sources[value].clone()],
                Applied::Part(part) => vec![operands[0].get(*part).ok_or("an op has no such result")?.clone()],
                Applied::Op(op) => {
                    let operands: Vec<&Tensor> = operands.iter().map(|results| &results[0]).collect();
                    op.def().eval(&operands).map_err(|error| format!("{} by {:?} can't be evaluated: {error}", op.name(), term.rules))?
                }
            };
            classes[at].get_or_insert_with(|| results.clone());
            terms.push((at, k, results));
        }
        pending = waiting;
        if pending.is_empty() {
            break;
        }
        if pending.len() == before {
            return Err("some terms can't be evaluated, because they need themselves".into());
        }
    }
    let ops: Vec<&Op> = found.classes.iter().flat_map(|equal| &equal.terms).filter_map(|term| if let Applied::Op(op) = &term.applied { Some(op) } else { None }).collect();
    let bound = Bound::new(class, &ops, &classes.iter().flatten().flatten().collect::<Vec<_>>());
    for (value, at) in &found.values {
        if let Some(why) = classes[*at].as_ref().and_then(|known| bound.difference(&sources[value], &known[0])) {
            return Err(format!("two values of the graph were made equal: {why}"));
        }
    }
    for (at, k, results) in &terms {
        let term = &found.classes[*at].terms[*k];
        let known = classes[*at].as_ref().ok_or("a class has no value")?;
        let name = if let Applied::Op(op) = &term.applied { op.name() } else { "value" };
        for (result, known) in results.iter().zip(known) {
            if let Some(why) = bound.difference(result, known) {
                return Err(format!("{name} by {:?} differs from what it is to equal: {why}", term.rules));
            }
        }
        let types: Vec<_> = results.iter().map(Tensor::ty).collect();
        if types != found.classes[*at].types {
            return Err(format!("{name} is {types:?} and not {:?}", found.classes[*at].types));
        }
    }
    for (equal, known) in found.classes.iter().zip(&classes) {
        facts_hold(equal, known.as_deref().unwrap_or_default(), class)?;
    }
    Ok(true)
}

/// Is what is held to be true of a class true of its value?
fn facts_hold(equal: &Equal, known: &[Tensor], class: Class) -> Result<(), String> {
    let [value] = known else { return Ok(()) };
    let (low, high, nan) = equal.range;
    let slack = if class == Class::Exact { 0.0 } else { 1e-2 };
    if value.dtype().is_float()
        && let Some(x) = value.f64s().into_iter().find(|x| if x.is_nan() { !nan } else { *x < low - slack || *x > high + slack })
    {
        return Err(format!("{x} is not in {low}..={high}, NaN {nan}, as {} is held to be", show_terms(equal)));
    }
    match equal.splat {
        Some(splat) if class == Class::Exact && value.scalars().any(|x| x != splat && !(x.as_f64().is_nan() && splat.as_f64().is_nan())) => {
            Err(format!("{} is held to be {splat:?} everywhere", show_terms(equal)))
        }
        _ => Ok(()),
    }
}

fn show_terms(equal: &Equal) -> String {
    let names = equal.terms.iter().map(|term| match &term.applied {
        Applied::Op(op) => op.name(),
        Applied::Outside(_) => "a value from outside",
        Applied::Part(_) => "a part",
    });
    names.collect::<Vec<_>>().join(" = ")
}

/// How far terms of one class may lie apart.
struct Bound {
    class: Class,
    /// The sum of the tolerances of all ops, in units of the largest finite value of any, for each dtype.
    slack: BTreeMap<DType, f64>,
    /// Were all numbers that occurred finite?
    finite: bool,
}

impl Bound {
    fn new(class: Class, ops: &[&Op], values: &[&Tensor]) -> Self {
        let mut slack: BTreeMap<DType, f64> = BTreeMap::new();
        if class == Class::Exact {
            return Self { class, slack, finite: true };
        }
        let floats = || values.iter().filter(|tensor| tensor.dtype().is_float());
        let finite = floats().all(|tensor| tensor.f64s().iter().all(|x| x.is_finite()));
        let largest = floats().flat_map(|tensor| tensor.f64s()).filter(|x| x.is_finite()).fold(1.0, |most: f64, x| most.max(x.abs()));
        for dtype in floats().map(|tensor| tensor.dtype()) {
            slack.entry(dtype).or_insert_with(|| {
                let tolerances = ops.iter().map(|op| op.def().tolerance(dtype)).filter(|tolerance| tolerance.relative.is_finite());
                tolerances.map(|tolerance| tolerance.absolute + tolerance.relative.max(Tolerance::ulps(2.0, dtype).relative) * largest).sum()
            });
        }
        Self { class, slack, finite }
    }

    fn difference(&self, got: &Tensor, known: &Tensor) -> Option<String> {
        if got.ty() != known.ty() {
            return Some(format!("{} instead of {}", got.ty(), known.ty()));
        }
        if got.strings() != known.strings() {
            return Some(format!("{:?} instead of {:?}", got.strings(), known.strings()));
        }
        let slack = self.slack.get(&got.dtype()).copied().unwrap_or(0.0);
        let fits = |a: Scalar, b: Scalar| match (a, b) {
            (Scalar::Float(a), Scalar::Float(b)) if self.class == Class::Blocked && !(a.is_finite() && b.is_finite()) => !self.finite,
            (Scalar::Float(a), Scalar::Float(b)) if a.is_nan() || b.is_nan() => a.is_nan() && b.is_nan(),
            (Scalar::Float(x), Scalar::Float(y)) if self.class != Class::Exact => x == y || (x - y).abs() <= slack,
            _ => a == b,
        };
        let (at, (a, b)) = got.scalars().zip(known.scalars()).enumerate().find(|(_, (a, b))| !fits(*a, *b))?;
        Some(format!("element {at} is {a:?} instead of {b:?}, where {slack:.1e} is allowed"))
    }
}

fn compiled(rule: &Rule) -> Compiled {
    Compiled::new(*rule).unwrap_or_else(|why| panic!("{why}"))
}

/// What trying a rule on its own left side showed.
struct Tried {
    /// Instances on which it fired.
    fired: usize,
    /// Drawn instances.
    drawn: u64,
    /// Some of the instances on which it fired.
    instances: Vec<Graph>,
}

/// Tries a rule on instances of its own left side.
fn tried(rule: &Compiled, samples: &Samples) -> Result<Tried, String> {
    let class = rule.rule.class;
    let mut tried = Tried { fired: 0, drawn: 0, instances: Vec::new() };
    let alone = std::slice::from_ref(rule);
    let (mut compared, mut matched) = (0, 0);
    while tried.fired < ENOUGH && tried.drawn < DRAWN {
        let seed = tried.drawn;
        tried.drawn += 1;
        let Some(graph) = instance(rule, HINTS, samples, seed) else { continue };
        matched += 1;
        let complain = |why: String| format!("{why}\n{}", text::print(&graph));
        let found = saturated(&graph, alone).map_err(|error| complain(error.to_string()))?;
        if found.hits[0] == 0 {
            continue;
        }
        // All constants without elements are equal, and so may be sums of sums of them.
        let empty = graph.values().any(|(_, value)| value.ty.shape.elems() == Some(0));
        if found.cut && !empty {
            return Err(complain("alone it does not come to an end".into()));
        }
        // Of a family all members must be made equal to something.
        tried.fired += usize::from(rule.each.is_empty() || graph.outputs().iter().all(|(_, value)| is_made(&found, *value)));
        for (k, domain) in DOMAINS.into_iter().enumerate() {
            let inputs = inputs(&graph, class, domain, seed * 8 + k as u64).map_err(complain)?;
            if agrees(&graph, &found, class, &inputs).map_err(|why| complain(format!("{why}\nfor {inputs:?}")))? {
                compared += 1;
            }
        }
        if tried.instances.len() < 3 {
            tried.instances.push(graph);
        }
    }
    if tried.fired < LEAST || compared < LEAST {
        return Err(format!("it fired on {} of {} drawn instances ({matched} fit together, {compared} comparisons), which is too few to mean anything", tried.fired, tried.drawn));
    }
    Ok(tried)
}

/// Has a rule made a term that equals a value?
fn is_made(found: &Saturated, value: ValueId) -> bool {
    found.classes[found.values[&value]].terms.iter().any(|term| !term.rules.is_empty())
}

#[test]
fn every_rule_keeps_its_promise() {
    let samples = Samples::new();
    let all: Vec<Compiled> = rules().map(compiled).collect();
    let failures: Vec<String> = in_parallel(&all, |rule| device::caught(|| tried_also_together(rule, &all, &samples)).map_err(|why| format!("rule '{}': {why}", rule.rule.name))).into_iter().filter_map(Result::err).collect();
    assert!(failures.is_empty(), "{} of {} rules fail:\n{}", failures.len(), all.len(), failures.join("\n"));
}

/// Does work on each item, on all cores. The results have the items' order.
fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let take = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|at| *at < items.len());
        std::iter::from_fn(take).map(|at| (at, work(&items[at]))).collect::<Vec<_>>()
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut results: Vec<(usize, R)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

/// What two terms of a proof differ in: the terms that only one of them holds.
fn differing(proof: &Proof, a: usize, b: usize) -> BTreeSet<usize> {
    let held = |term: usize| {
        let mut held = BTreeSet::new();
        let mut stack = vec![term];
        while let Some(next) = stack.pop() {
            if held.insert(next) {
                stack.extend(&proof.terms[next].operands);
            }
        }
        held
    };
    &held(a) ^ &held(b)
}

/// The values of all terms of a proof; none where the graph can't be evaluated.
fn values(graph: &Graph, proof: &Proof, inputs: &[Tensor]) -> Result<Option<Vec<Results>>, String> {
    let mut sources: BTreeMap<ValueId, Tensor> = graph.inputs().iter().map(|(_, value)| *value).zip(inputs.iter().cloned()).collect();
    if frit_ir::eval::run_observed(graph, &inputs.iter().collect::<Vec<_>>(), |value, tensor| drop(sources.insert(value, tensor.clone()))).is_err() {
        return Ok(None);
    }
    let mut values: Vec<Results> = Vec::new();
    for term in &proof.terms {
        values.push(match &term.applied {
            Applied::Outside(value) => vec![sources[value].clone()],
            Applied::Part(k) => vec![values[term.operands[0]][*k].clone()],
            Applied::Op(op) => op.def().eval(&term.operands.iter().map(|k| &values[*k][0]).collect::<Vec<_>>()).map_err(|error| format!("{} can't be evaluated: {error}", op.name()))?,
        });
    }
    Ok(Some(values))
}

/// Evaluates all terms of a proof and compares what each rule makes equal, as the rule's class promises: how many steps
/// could be compared.
fn proof_holds(graph: &Graph, proof: &Proof, rules: &[Compiled], inputs: &[Tensor]) -> Result<usize, String> {
    let Some(values) = values(graph, proof, inputs)? else { return Ok(0) };
    let finite = |tensor: &Tensor| !tensor.dtype().is_float() || tensor.f64s().iter().all(|x| x.is_finite());
    let mut compared = 0;
    for (name, before, after) in proof.applications() {
        let rule = rules.iter().find(|rule| rule.rule.name == name).ok_or_else(|| format!("there is no rule '{name}'"))?;
        let differing = differing(proof, before, after);
        let ops: Vec<&Op> = differing.iter().filter_map(|term| if let Applied::Op(op) = &proof.terms[*term].applied { Some(op) } else { None }).collect();
        let involved: BTreeSet<usize> = differing.iter().flat_map(|term| proof.terms[*term].operands.iter().chain([term])).copied().collect();
        let involved: Vec<&Tensor> = involved.iter().flat_map(|term| &values[*term]).collect();
        if rule.rule.class == Class::Finite && !involved.iter().all(|tensor| finite(tensor)) {
            continue;
        }
        compared += 1;
        let bound = Bound::new(rule.rule.class, &ops, &involved);
        for (a, b) in values[before].iter().zip(&values[after]) {
            if let Some(why) = bound.difference(b, a) {
                let show = |term| proof::show(proof, term, 4, &|_| None);
                return Err(format!("'{name}' makes {} out of {}, which differ: {why}", show(after), show(before)));
            }
        }
    }
    Ok(compared)
}

/// Does something by what programs cost where nothing else is said.
fn priced<T>(act: impl FnOnce(&Prices<'_>) -> T) -> T {
    pipeline::Options::default().priced(act)
}

/// Proves what rules find in a graph, checks the proof and evaluates what it says; how many steps could be compared is told too.
fn proved(graph: &Graph, rules: &[Compiled], class: Class, goal: Goal) -> Result<(Proof, usize), String> {
    let proof = priced(|prices| proof::prove(graph, rules, prices, goal)).map_err(|error| error.to_string())?;
    proof::check(&proof, graph, rules)?;
    let mut compared = 0;
    for (k, domain) in DOMAINS.into_iter().enumerate() {
        compared += proof_holds(graph, &proof, rules, &inputs(graph, class, domain, k as u64)?)?;
    }
    Ok((proof, compared))
}

/// Tries a rule alone, and some of its instances with all rules of its class and below.
fn tried_also_together(rule: &Compiled, all: &[Compiled], samples: &Samples) -> Result<(), String> {
    let tried = tried(rule, samples)?;
    let class = rule.rule.class;
    let others: Vec<Compiled> = all.iter().filter(|other| other.rule.class <= class).cloned().collect();
    for (at, graph) in tried.instances.iter().enumerate() {
        let complain = |why: String| format!("all rules on an instance of '{}': {why}\n{}", rule.rule.name, text::print(graph));
        let found = saturated(graph, &others).map_err(|error| complain(error.to_string()))?;
        let empty = graph.values().any(|(_, value)| value.ty.shape.elems() == Some(0));
        if found.cut && !empty {
            return Err(complain("they don't come to an end".into()));
        }
        let (proof, _) = proved(graph, std::slice::from_ref(rule), class, Goal::Found).map_err(|why| complain(format!("a proof with this rule alone: {why}")))?;
        if !proof.applications().any(|(name, ..)| name == rule.rule.name) {
            return Err(complain("it is in no proof of what it found".into()));
        }
        proved(graph, &others, class, Goal::Extracted).map_err(|why| complain(format!("a proof: {why}")))?;
        for (k, domain) in DOMAINS.into_iter().enumerate() {
            let inputs = inputs(graph, class, domain, (at * 8 + k) as u64).map_err(complain)?;
            agrees(graph, &found, class, &inputs).map_err(|why| complain(format!("{why}\nfor {inputs:?}")))?;
        }
    }
    Ok(())
}

#[test]
fn names_are_unique_and_reasons_are_given() {
    let mut known = BTreeMap::new();
    for rule in rules() {
        assert!(known.insert(rule.name, rule).is_none(), "there are two rules '{}'", rule.name);
        assert!(rule.why.ends_with('.') && rule.why.len() > 10, "rule '{}' does not say why", rule.name);
    }
}

/// What is held to be true of an op's results is true, for every op's samples.
#[test]
fn facts_hold_for_every_op() {
    let mut failures = Vec::new();
    for (at, sample) in Op::samples().iter().enumerate() {
        let Ok(tensors) = draw::operands(sample, at as u64) else { continue };
        if tensors.iter().any(|tensor| tensor.elems() > 2_000) || !sample.op.def().deterministic() || matches!(sample.op, Op::Constant(_) | Op::If(_) | Op::Loop(_) | Op::Scan(_)) {
            continue;
        }
        let mut builder = Builder::new(sample.op.name());
        let operands: Vec<_> = sample.inputs.iter().zip(&tensors).map(|(input, tensor)| match input {
            Input::Constant(_) => builder.constant(tensor.clone()),
            _ => builder.input("x", tensor.ty()),
        }).collect();
        let passed: Vec<Tensor> = operands.iter().zip(&tensors).filter(|(value, _)| builder.as_constant(**value).is_none()).map(|(_, tensor)| tensor.clone()).collect();
        let Ok(results) = builder.apply_all(sample.op.clone(), &operands) else { continue };
        results.into_iter().for_each(|value| builder.output("y", value));
        let graph = builder.finish();
        // Types of results may only be told from what operands hold; those are not compared.
        if graph.outputs().iter().any(|(_, value)| graph.ty(*value).shape.extents().is_none()) {
            continue;
        }
        let mut all = vec![passed.clone()];
        let again = passed.iter().map(|tensor| draw::tensor(tensor.dtype(), tensor.extents(), Domain::Any, at as u64)).collect::<Result<_, _>>();
        all.extend(again);
        for inputs in all {
            let checked = saturated(&graph, &[]).map_err(|error| error.to_string()).and_then(|found| agrees(&graph, &found, Class::Exact, &inputs));
            if let Err(why) = checked {
                failures.push(format!("{}: {why}", sample.op.name()));
                break;
            }
        }
    }
    assert!(failures.is_empty(), "{} fail:\n{}", failures.len(), failures.join("\n"));
}

/// What is said of values that are not equal.
const UNEQUAL: &[&str] = &["instead of", "rule 'wrong' makes equal what differs in value", DIFFERENT];

/// What is said of a right side of another type.
const DIFFERENT: &str = "rule 'wrong' makes equal what differs in type";

/// Rules that are wrong, and what may be said of them.
const WRONG: &[(Class, &str, &str, &str, &[&str])] = &[
    (Class::Exact, "max(?x, 0)", "?x", "", UNEQUAL),
    (Class::Exact, "max(?x, 0)", "?x", "constant(?x)", &["rule 'wrong' makes equal what differs in value"]),
    (Class::Exact, "sub(?a, ?b)", "sub(?b, ?a)", "", UNEQUAL),
    (Class::Exact, "div(mul(?x, ?c), ?c)", "?x", "same_type(?x, ?@)", UNEQUAL),
    (Class::Reassociating, "div(mul(?x, ?c), ?c)", "?x", "same_type(?x, ?@)", UNEQUAL),
    (Class::Exact, "add(add(?a, ?b), ?c)", "add(?a, add(?b, ?c))", "float(?@)", UNEQUAL),
    (Class::Exact, "sub(?x, ?x)", "mul(?x, 0)", "", UNEQUAL),
    (Class::Exact, "add(?x, 0)", "?x", "same_type(?x, ?@)", &["Float(-0.0)"]),
    (Class::Reassociating, "mul(sub(?a, ?b), ?c)", "sub(mul(?a, ?c), mul(?b, ?c))", "", UNEQUAL),
    (Class::Finite, "mul(sub(?a, ?b), ?c)", "sub(mul(?a, ?c), mul(?c, ?a))", "", UNEQUAL),
    (Class::Reassociating, "softmax[axis=?k, zeros=?z](?x)", "softmax[axis=0, zeros=?z](?x)", "", UNEQUAL),
    (Class::Exact, "transpose[perm=?p](transpose[perm=?q](?x))", "transpose[perm=compose(?q, ?p)](?x)", "", UNEQUAL),
    (Class::Exact, "matmul(?x, ?w*)", "slice[starts=zeros(?@), extents=extents(?@), steps=ones(?@)](matmul(?x, concat[axis=1](?w*)))", "same(rank(?w), 2)", UNEQUAL),
    (Class::Exact, "slice(?x)", "?x", "same_type(?x, ?@)", UNEQUAL),
    (Class::Exact, "concat[axis=?a](slice[starts=?s*, extents=?e*, steps=?t](?x)..)", "slice[starts=first(?s*), extents=extents(?@), steps=?t](?x)", "all(?t, 1)", UNEQUAL),
    (Class::Exact, "concat[axis=?a](neg(?x*)..)", "concat[axis=?a](?x*)", "", UNEQUAL),
    (Class::Exact, "concat[axis=?a](neg(?x*)..)", "concat[axis=?a](abs(?x*)..)", "float(?x)", UNEQUAL),
    (Class::Exact, "is_nan(?x)", "?x", "", &[DIFFERENT]),
    (Class::Exact, "add(?x, -0)", "?x", "", &[DIFFERENT]),
    (Class::Exact, "sub(?a, ?b)", "sub(?a, ?b)", "", &["too few to mean anything"]),
    (Class::Exact, "neg(?x)", "?x", "float(?x), !float(?x)", &["too few to mean anything"]),
    (Class::Exact, "abs(?x)", "abs(mul(neg(?x), 1))", "", &["alone it does not come to an end"]),
];

#[test]
fn wrong_rules_are_caught() {
    let samples = Samples::new();
    let mut failures = Vec::new();
    for (class, left, right, when, expected) in WRONG {
        let rule = Rule { name: "wrong", class: *class, left, right, when, why: "It is not." };
        match tried(&compiled(&rule), &samples) {
            Ok(tried) => failures.push(format!("{left} => {right} passes on {} of {} instances", tried.fired, tried.drawn)),
            Err(why) if !expected.iter().any(|expected| why.contains(expected)) => failures.push(format!("{left} => {right} is refused, but for another reason than {expected:?}: {why}")),
            Err(_) => {}
        }
    }
    assert!(failures.is_empty(), "{} fail:\n{}", failures.len(), failures.join("\n"));
}

/// Sums match in either order, so that a tree of them matches in many ways: that some are not looked at is told.
#[test]
fn more_ways_to_match_than_are_looked_at_are_a_bound() {
    for (left, inputs, cut) in [("add(add(?a, ?b), add(?c, ?d))", 4, false), ("add(add(add(?a, ?b), add(?c, ?d)), add(add(?e, ?f), add(?g, ?h)))", 8, true)] {
        let mut builder = Builder::new("sums");
        let mut terms: Vec<ValueId> = (0..inputs).map(|k| builder.input(k.to_string(), TensorType::known(DType::F32, &[3]))).collect();
        while terms.len() > 1 {
            terms = terms.chunks(2).map(|pair| builder.apply(frit_ir::ops::add::Add {}, pair).unwrap()).collect();
        }
        builder.output("y", terms[0]);
        let rule = compiled(&Rule { name: "same", class: Class::Exact, left, right: "?@", when: "", why: "" });
        assert_eq!(saturated(&builder.finish(), &[rule]).unwrap().cut, cut, "{left}");
    }
}

#[test]
fn rules_that_are_misspelt_are_refused() {
    for (left, right, when, expected) in [
        ("ad(?x)", "?x", "", "there is no op 'ad'"),
        ("neg(?x)", "?y", "", "'y' is not bound on the left side"),
        ("neg(?x)", "?x", "flaot(?x)", "there is no function 'flaot'"),
        ("neg(?x", "?x", "", "')' is missing"),
    ] {
        let rule = Rule { name: "misspelt", class: Class::Exact, left, right, when, why: "" };
        let why = Compiled::new(rule).err().unwrap_or_default();
        assert!(why.contains(expected), "{left} => {right}, if {when}: '{why}'");
    }
}

/// A graph as the exporter of a block wrote it.
fn block(path: &std::path::Path) -> Result<Graph, String> {
    import::load(path, &Binding::default(), None).and_then(|graph| specialise(&graph, &Binding::default())).map_err(words)
}

/// What rules make of the blocks that exporters wrote equals them, by a proof whose end is what is compiled.
#[test]
fn rewritten_blocks_equal_their_sources_by_proof() {
    let all: Vec<Compiled> = rules().map(compiled).collect();
    let paths = exports();
    for class in [Class::Reassociating, Class::Blocked, Class::Finite] {
        let used: Vec<Compiled> = all.iter().filter(|rule| rule.rule.class <= class).cloned().collect();
        let options = rewrite::Options { numerics: Some(class), ..rewrite::Options::default() };
        let prove = |path: &std::path::PathBuf| {
            let graph = block(path)?;
            let (proof, compared) = proved(&graph, &used, class, Goal::Extracted)?;
            if compared < proof.applications().count() {
                return Err("too few steps could be compared".into());
            }
            let (rewritten, _) = priced(|prices| rewrite::rewrite(&graph, &options, prices)).map_err(|error| error.to_string())?;
            let inputs = inputs(&graph, class, Domain::Ordinary, 0)?;
            let given: Vec<&Tensor> = inputs.iter().collect();
            let outputs = frit_ir::eval::run(&rewritten, &given).map_err(|error| error.to_string())?;
            let values = values(&graph, &proof, &inputs)?.ok_or("it can't be evaluated")?;
            let same = Bound::new(Class::Exact, &[], &[]);
            for ((_, value), output) in graph.outputs().iter().zip(&outputs) {
                let claim = proof.claims.iter().find(|claim| claim.value == *value).ok_or("an output is not in the proof")?;
                if let Some(why) = same.difference(output, &values[claim.term][0]) {
                    return Err(format!("what is proved is not what is compiled: {why}"));
                }
            }
            Ok(proof.applications().count())
        };
        let results = in_parallel(&paths, prove);
        let failures: Vec<String> = paths.iter().zip(&results).filter_map(|(path, result)| result.as_ref().err().map(|why| format!("{}: {why}", path.display()))).collect();
        assert!(failures.is_empty(), "{class:?}: {} of {} fail:\n{}", failures.len(), paths.len(), failures.join("\n"));
        // An exporter may have left nothing to do.
        let empty = results.iter().filter(|result| matches!(result, Ok(0))).count();
        assert!(empty * 20 <= results.len(), "{empty} proofs are empty: {results:?}");
    }
}

/// What rules make of the models equals them, by proofs for each region. Terms are not evaluated.
#[test]
fn rewritten_models_equal_their_sources_by_proof() {
    let used: Vec<Compiled> = rules().filter(|rule| rule.class <= Class::Blocked).map(compiled).collect();
    let models = data::folder().and_then(|folder| data::models(&folder)).unwrap_or_else(|why| panic!("{why}"));
    let prove = |model: &data::Model| {
        let graph = specialised(model)?;
        let proofs = priced(|prices| proof::prove_regions(&graph, None, &used, prices)).map_err(|error| error.to_string())?;
        Ok(proofs.iter().map(|proof| proof.applications().count()).sum::<usize>())
    };
    let results: Vec<Result<usize, String>> = in_parallel(&models, prove);
    let failures: Vec<String> = models.iter().zip(&results).filter_map(|(model, result)| result.as_ref().err().map(|why| format!("{}: {why}", model.name))).collect();
    assert!(failures.is_empty(), "{} of {} fail:\n{}", failures.len(), models.len(), failures.join("\n"));
    assert!(results.iter().flatten().sum::<usize>() > 1_000, "the proofs are short: {results:?}");
}

/// No link of a proof can be another one.
#[test]
fn proofs_that_were_tampered_with_are_refused() {
    let all: Vec<Compiled> = rules().map(compiled).collect();
    let graph = block(&home().join("exports/bert.tensorflow-13.onnx")).unwrap_or_else(|why| panic!("{why}"));
    let good = priced(|prices| proof::prove(&graph, &all, prices, Goal::Extracted)).expect("a proof");
    assert_eq!(proof::check(&good, &graph, &all), Ok(()));
    let mut seen = BTreeSet::new();
    let mut refused = |what: String, change: &dyn Fn(&mut Proof)| {
        let mut bad = good.clone();
        change(&mut bad);
        match proof::check(&bad, &graph, &all) {
            Ok(()) => panic!("{what} is not noticed"),
            Err(why) => drop(seen.insert(why.split(['\'', '(', ':']).next().unwrap_or_default().to_owned())),
        }
    };
    for (at, chain) in good.chains.iter().enumerate() {
        for (k, link) in chain.links.iter().enumerate() {
            refused(format!("link {at}.{k} without its end"), &|proof| proof.chains[at].links[k].to = usize::MAX);
            refused(format!("link {at}.{k} that is not there"), &|proof| drop(proof.chains[at].links.remove(k)));
            match &link.why {
                Why::Rule { rule, .. } => {
                    let other = rules().map(|rule| rule.name).skip_while(|name| name != rule).nth(1).unwrap_or("neg-neg");
                    for name in ["", other] {
                        refused(format!("'{name}' instead of '{rule}'"), &|proof| if let Why::Rule { rule, .. } = &mut proof.chains[at].links[k].why { *rule = name });
                    }
                    refused(format!("'{rule}' the other way round"), &|proof| if let Why::Rule { forward, .. } = &mut proof.chains[at].links[k].why { *forward = !*forward });
                    refused(format!("'{rule}' without what it matched"), &|proof| if let Why::Rule { lefts, .. } = &mut proof.chains[at].links[k].why { lefts.clear() });
                    refused(format!("folding instead of '{rule}'"), &|proof| proof.chains[at].links[k].why = Why::Folding);
                    refused(format!("nothing instead of '{rule}'"), &|proof| proof.chains[at].links[k].why = Why::Operands(Vec::new()));
                }
                Why::Folding => refused(format!("link {at}.{k} without folding"), &|proof| proof.chains[at].links[k].why = Why::Operands(Vec::new())),
                Why::Operands(chains) => {
                    let moved = chains.iter().position(|by| !good.chains[*by].links.is_empty()).expect("an operand that changes");
                    refused(format!("link {at}.{k} that rests on itself"), &|proof| if let Why::Operands(chains) = &mut proof.chains[at].links[k].why { chains[moved] = at });
                    refused(format!("link {at}.{k} as folding"), &|proof| proof.chains[at].links[k].why = Why::Folding);
                }
            }
        }
    }
    for (at, term) in good.terms.iter().enumerate() {
        refused(format!("term {at} that holds itself"), &|proof| proof.terms[at].operands.push(at));
        if matches!(&term.applied, Applied::Op(Op::Exp(_) | Op::Erf(_) | Op::Add(_) | Op::MatMul(_))) {
            refused(format!("term {at} of another op"), &|proof| proof.terms[at].applied = Applied::Part(0));
        }
    }
    refused("a claim of something else".into(), &|proof| proof.claims[0].term = 0);
    assert!(seen.len() > 8, "only these reasons were given: {seen:?}");
}

/// A merged product is everyone's whose product it was; the parts that are taken of it are each one's own.
#[test]
fn parts_of_a_merged_product_name_their_own_source() {
    let mut builder = Builder::new("merged");
    let x = builder.input("x", TensorType::known(DType::F32, &[64, 256]));
    let named = |name: &str| Origins { nodes: vec![Origin { name: name.into(), ..Origin::default() }.into()], ..Origins::default() };
    for (at, name) in ["query", "key", "value"].into_iter().enumerate() {
        let w = builder.constant(draw::tensor(DType::F32, &[256, 256], Domain::Ordinary, at as u64).expect("a tensor"));
        builder.set_origins(named(name));
        let product = builder.apply(MatMul {}, &[x, w]).expect("a product");
        builder.output(name, product);
    }
    let (rewritten, _) = priced(|prices| rewrite::rewrite(&builder.finish(), &rewrite::Options::default(), prices)).expect("a graph");
    let origins = |value: ValueId| rewritten.producer(value).map(|node| node.origins.iter().map(|origin| origin.name.as_str()).collect::<Vec<_>>()).unwrap_or_default();
    for (name, value) in rewritten.outputs() {
        assert_eq!(origins(*value), [name.as_str()]);
    }
    let product = rewritten.nodes().find(|(_, node)| matches!(node.op, Op::MatMul(_))).expect("one product").1;
    assert_eq!(origins(product.outputs[0]), ["query", "key", "value"]);
    assert!(product.origins.rules.iter().any(|rule| &**rule == "merge-matmul"));
}

/// A rule that is wrong does what it says, and the proof's step by it is where values differ.
#[test]
fn a_wrong_rule_is_found_by_its_step_in_a_proof() {
    let wrong = Rule { name: "wrong", class: Class::Reassociating, left: "erf(?x)", right: "clip(?x, -1, 1)", when: "", why: "They are close." };
    let graph = block(&home().join("exports/bert.torch-script-13.onnx")).unwrap_or_else(|why| panic!("{why}"));
    // Rules that would take the wrong one's place are left out.
    let used: Vec<Compiled> = [compiled(&wrong)].into_iter().chain(rules().filter(|rule| !rule.right.starts_with("gelu")).map(compiled)).collect();
    let proof = priced(|prices| proof::prove(&graph, &used, prices, Goal::Extracted)).expect("a proof");
    assert_eq!(proof::check(&proof, &graph, &used), Ok(()));
    assert!(proof.applications().count() > 5);
    let inputs = inputs(&graph, Class::Finite, Domain::Ordinary, 0).expect("inputs");
    let why = proof_holds(&graph, &proof, &used, &inputs).expect_err("the wrong rule is not found");
    assert!(why.starts_with("'wrong' makes clip(") && why.contains("out of erf("), "{why}");
}

/// How often each rule finds something in the models, as `rule_hits.txt` holds it. What stands behind a dash is the
/// reason why a rule is there that no model needs; blessing keeps it.
#[test]
fn hits_in_models_are_those_of_the_table() {
    let models = data::folder().and_then(|folder| data::models(&folder)).unwrap_or_else(|why| panic!("{why}"));
    let mut hits: BTreeMap<&'static str, (usize, usize)> = rules().map(|rule| (rule.name, (0, 0))).collect();
    let mut in_exports: BTreeMap<&'static str, usize> = BTreeMap::new();
    for path in exports() {
        let graph = import::load(&path, &Binding::default(), None).unwrap_or_else(|errors| panic!("{}: {errors:?}", path.display()));
        let rewrite = rewrite::Options { numerics: Some(Class::Finite), ..rewrite::Options::default() };
        let (_, report) = rewritten(&graph, &pipeline::Options { rewrite, ..pipeline::Options::default() }).unwrap_or_else(|errors| panic!("{}: {errors:?}", path.display()));
        report.rules.into_iter().for_each(|(name, count, _)| *in_exports.entry(name).or_default() += count);
    }
    for (model, found) in models.iter().zip(in_parallel(&models, hits_in)) {
        for (name, count) in found.unwrap_or_else(|why| panic!("{}: {why}", model.name)) {
            let entry = hits.entry(name).or_default();
            *entry = (entry.0 + 1, entry.1 + count);
        }
    }
    let path = home().join("rule_hits.txt");
    let old = std::fs::read_to_string(&path).unwrap_or_default();
    let reason = |name: &str| old.lines().find(|line| line.split_whitespace().next() == Some(name)).and_then(|line| line.split_once(" - ")).map(|(_, reason)| reason);
    let mut text = "# What each rule finds: its name, in how many models, how often in them, how often in the blocks of exports/ (with the\n# finite rules); the reason for one that finds nothing.\n".to_owned();
    let mut unused = Vec::new();
    for rule in rules() {
        let (models, count) = hits[rule.name];
        let exported = in_exports.get(rule.name).copied().unwrap_or(0);
        write!(text, "{} {models} {count} {exported}", rule.name).expect("text takes text");
        match (count + exported, reason(rule.name)) {
            (0, Some(reason)) => write!(text, " - {reason}").expect("text takes text"),
            (0, None) => unused.push(rule.name),
            _ => {}
        }
        text.push('\n');
    }
    if blessing() {
        std::fs::write(&path, &text).expect("the table can be written");
    }
    assert!(unused.is_empty(), "no model needs {unused:?}: remove them, or give reasons in rule_hits.txt, as '{} 0 0 0 - the reason'", unused[0]);
    assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), text, "rule_hits.txt is stale; BLESS=1 writes it");
}

/// The blocks that exporters wrote, but for traced ones, which say nothing of their inputs.
fn exports() -> Vec<std::path::PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(home().join("exports")).expect("the exports").map(|entry| entry.expect("a file").path()).filter(|path| path.extension().is_some_and(|end| ["onnx", "pb", "pt2", "tflite"].iter().any(|known| end == *known))).collect();
    paths.sort();
    paths
}

/// A model with the shapes that its oracle has.
fn opened(model: &data::Model) -> Result<(Graph, Binding), String> {
    let given = npz::read(&model.oracle.with_file_name(format!("{}.in.npz", model.oracle.file_name().unwrap_or_default().to_string_lossy())))?;
    let binding = Binding { shapes: given.into_iter().map(|(name, tensor)| (name, tensor.extents().to_vec())).collect(), ..Binding::default() };
    Ok((import::load(&model.path, &binding, None).map_err(words)?, binding))
}

fn words(errors: Vec<frit_ir::Error>) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn specialised(model: &data::Model) -> Result<Graph, String> {
    let (graph, binding) = opened(model)?;
    specialise(&graph, &binding).map_err(words)
}

fn hits_in(model: &data::Model) -> Result<Vec<(&'static str, usize)>, String> {
    let (graph, binding) = opened(model)?;
    let (_, report) = rewritten(&graph, &pipeline::Options { binding, ..pipeline::Options::default() }).map_err(words)?;
    Ok(report.rules.into_iter().map(|(name, hits, _)| (name, hits)).collect())
}
