//! Instances of rules' left sides, drawn at random.
//!
//! In: a rule that was read, and a seed. Out: a graph of which the left side is a part, or nothing where what was drawn
//! doesn't fit together. Types of variables are drawn from what their neighbours are; attributes by their names; both also
//! out of the ops' own samples. What doesn't fit is rejected by the ops' inference; whether a rule's condition holds is
//! not looked at here, its text only makes some draws likelier. Must not know: single rules.

use std::collections::{BTreeMap, HashMap};

use frit_compiler::rewrite::{Class, Rule};
use frit_compiler::rewrite::check::{Compiled, ELEMENTWISE, Expression, Pattern};
use frit_ir::ops::{Attr, Domain, Input, Sample};
use frit_ir::scalar::cast;
use frit_ir::{Builder, DType, Graph, Op, Scalar, Tensor, TensorType, ValueId};

use crate::draw::{self, Random};

/// No value of an instance has more elements.
const MAX_ELEMS: i64 = 2_000;
/// Attributes of a term are drawn so often until they fit.
const TRIES: usize = 8;

/// A narrower left side that is drawn from for half of a rule's instances, where the rule's own would rarely meet its
/// condition. What is checked stays the same.
pub struct Hint {
    /// The rule.
    pub rule: &'static str,
    /// The left side.
    pub left: &'static str,
    /// Types of some of its variables.
    pub types: &'static [(&'static str, DType, &'static [i64])],
}

/// Every op's samples that are small, by the op's name.
pub struct Samples(HashMap<&'static str, Vec<Sample>>);

impl Samples {
    /// All of them.
    #[allow(clippy::new_without_default, reason = "they are collected, which takes a while")]
    pub fn new() -> Self {
        let mut all: HashMap<&'static str, Vec<Sample>> = HashMap::new();
        let small = |input: &Input| match input {
            Input::Drawn(_, extents, _) => extents.iter().product::<i64>() <= MAX_ELEMS,
            Input::Given(tensor) | Input::Constant(tensor) => tensor.elems() as i64 <= MAX_ELEMS,
        };
        for sample in Op::samples() {
            let first = !all.contains_key(sample.op.name());
            if first || sample.inputs.iter().all(small) {
                all.entry(sample.op.name()).or_default().push(sample);
            }
        }
        Self(all)
    }

    /// The ops that compute each element from one of each of so many operands.
    fn elementwise(&self, operands: usize) -> Vec<&'static str> {
        Op::NAMES.iter().copied().filter(|name| self.of(name).iter().any(|sample| sample.op.def().elementwise() && sample.inputs.len() == operands)).collect()
    }

    fn of(&self, op: &str) -> &[Sample] {
        self.0.get(op).map(Vec::as_slice).unwrap_or_default()
    }
}

type Attrs = BTreeMap<String, Attr>;

struct Drawing<'a> {
    /// What is drawn: the rule, or a hint that was read as one.
    rule: &'a Compiled,
    hint: Option<&'a Hint>,
    /// What the condition says.
    said: Vec<String>,
    samples: &'a Samples,
    random: Random,
    builder: Builder,
    /// Values of variables.
    values: BTreeMap<usize, ValueId>,
    /// Attributes of variables.
    attrs: BTreeMap<usize, Attr>,
    /// Attributes of ops that are bound with all of them.
    wholes: BTreeMap<usize, Attrs>,
    /// Types that the variables of a family had in the member before.
    before: BTreeMap<usize, TensorType>,
    /// What most values have.
    dtype: DType,
    extents: Vec<i64>,
    /// Values have no more elements.
    most: i64,
}

/// Draws an instance of a rule's left side, several members of it where the rule is about a family.
///
/// # Panics
/// Where a hint's left side can't be read.
pub fn instance(rule: &Compiled, hints: &[Hint], samples: &Samples, seed: u64) -> Option<Graph> {
    let mut random = Random::new(seed);
    let said = rule.rule.when.replace('*', "").split(", ").map(str::to_owned).collect();
    let hint = hints.iter().find(|hint| hint.rule == rule.rule.name).filter(|_| random.below(2) == 0);
    let hinted = hint.map(|hint| Compiled::new(Rule { left: hint.left, right: hint.left, when: "", ..rule.rule }).unwrap_or_else(|why| panic!("hint: {why}")));
    let rule = hinted.as_ref().unwrap_or(rule);
    let dtype = pick(&mut random, &[(DType::F32, 60), (DType::F64, 8), (DType::F16, 6), (DType::I32, 10), (DType::I64, 5), (DType::U8, 5), (DType::Bool, 6)]);
    let rank = pick(&mut random, &[(0, 6), (1, 14), (2, 26), (3, 26), (4, 22), (5, 6)]);
    let mut drawing = Drawing {
        rule,
        hint,
        said,
        samples,
        builder: Builder::new("instance"),
        values: BTreeMap::new(),
        attrs: BTreeMap::new(),
        wholes: BTreeMap::new(),
        before: BTreeMap::new(),
        dtype,
        extents: Vec::new(),
        // A rule for large values only is given them.
        most: hint.iter().flat_map(|hint| hint.types).map(|(_, _, extents)| extents.iter().product()).fold(MAX_ELEMS, i64::max),
        random,
    };
    drawing.extents = (0..rank).map(|_| drawing.extent()).collect();
    // Where extents are equal, axes can be mistaken for each other.
    if drawing.chance(40) {
        let same = drawing.extent();
        drawing.extents.fill(same);
    }
    let members = if rule.each.is_empty() { 1 } else { 2 + drawing.random.below(2) };
    for member in 0..members {
        drawing.next_member(&rule.each);
        for (k, value) in drawing.pattern(&rule.left)?.into_iter().enumerate() {
            drawing.builder.output(format!("y{member}_{k}"), value);
        }
    }
    Some(drawing.builder.finish())
}

fn pick<T: Copy>(random: &mut Random, weighted: &[(T, u64)]) -> T {
    let mut at = random.below(weighted.iter().map(|(_, weight)| weight).sum());
    for (item, weight) in weighted {
        if at < *weight {
            return *item;
        }
        at -= weight;
    }
    weighted[0].0
}

impl Drawing<'_> {
    fn chance(&mut self, percent: u64) -> bool {
        self.random.below(100) < percent
    }

    fn one_of<T: Clone>(&mut self, items: &[T]) -> Option<T> {
        if items.is_empty() { None } else { items.get(self.random.below(items.len() as u64) as usize).cloned() }
    }

    fn extent(&mut self) -> i64 {
        pick(&mut self.random, &[(0, 2), (1, 14), (2, 26), (3, 26), (4, 16), (5, 8), (7, 8)])
    }

    /// Does the rule's condition say this of a variable? In hints `?w2` is a further member's `?w`.
    fn is_said(&self, function: &str, variable: usize) -> bool {
        let call = format!("{function}(?{})", self.rule.names.name(variable).trim_end_matches(|c: char| c.is_ascii_digit()));
        self.said.contains(&call)
    }

    fn pattern(&mut self, pattern: &Pattern) -> Option<Vec<ValueId>> {
        match pattern {
            Pattern::Apply { op: "part", attrs, operands, .. } => {
                let whole = self.pattern(operands.first()?)?;
                let k = match attrs.iter().find(|(name, _)| name == "of").map(|(_, expression)| self.given(expression)) {
                    Some(Some(Attr::Int(k))) => usize::try_from(k).ok()?,
                    _ => self.random.below(whole.len() as u64) as usize,
                };
                self.bind(attrs, &BTreeMap::from([("of".to_owned(), Attr::Int(k as i64))]));
                Some(vec![*whole.get(k)?])
            }
            Pattern::Apply { op, whole, attrs, operands } => self.apply(op, *whole, attrs, operands),
            Pattern::Any(k) | Pattern::Each(k) => match self.values.get(k) {
                Some(value) => Some(vec![*value]),
                None => {
                    let ty = self.varied(&[]);
                    Some(vec![self.variable(*k, ty, None)?])
                }
            },
            _ => None,
        }
    }

    /// Draws members, which differ in some variables.
    fn members(&mut self, pattern: &Pattern, each: &[usize]) -> Option<Vec<ValueId>> {
        let mut members = Vec::new();
        for _ in 0..2 + self.random.below(2) {
            self.next_member(each);
            members.extend(self.pattern(pattern)?);
        }
        Some(members)
    }

    /// Forgets what differs between members, but for its types.
    fn next_member(&mut self, each: &[usize]) {
        for k in each {
            self.attrs.remove(k);
            if let Some(value) = self.values.remove(k) {
                self.before.insert(*k, self.builder.ty(value).clone());
            }
        }
    }

    /// What an expression on a left side says already.
    fn given(&self, expression: &Expression) -> Option<Attr> {
        match expression {
            Expression::Variable(k) => self.attrs.get(k).cloned(),
            Expression::Literal(attr) => Some(attr.clone()),
            Expression::List(items) => Some(Attr::List(items.iter().map(|item| self.given(item)).collect::<Option<_>>()?)),
            Expression::Members(k) => self.attrs.get(k).cloned(),
            Expression::Member | Expression::Call(..) => None,
        }
    }

    fn bind(&mut self, attrs: &[(String, Expression)], known: &Attrs) {
        for (name, expression) in attrs {
            if let (Expression::Variable(k) | Expression::Members(k), Some(attr)) = (expression, known.get(name)) {
                self.attrs.entry(*k).or_insert_with(|| attr.clone());
            }
        }
    }

    fn apply(&mut self, op: &'static str, whole: Option<usize>, attrs: &[(String, Expression)], patterns: &[Pattern]) -> Option<Vec<ValueId>> {
        let op = if op == ELEMENTWISE { self.one_of(&self.samples.elementwise(patterns.len()))? } else { op };
        let samples = self.samples.of(op);
        let rest = matches!(patterns.last(), Some(Pattern::Rest(_) | Pattern::All(..)));
        let fixed = patterns.len() - usize::from(rest);
        let fresh = |drawing: &Self, pattern: &Pattern| matches!(pattern, Pattern::Any(k) | Pattern::Each(k) if !drawing.values.contains_key(k) && !drawing.before.contains_key(k));
        let fitting: Vec<&Sample> = samples.iter().filter(|sample| if rest { sample.inputs.len() >= fixed } else { sample.inputs.len() == fixed }).collect();
        let any = self.one_of(samples)?;
        let sample = self.one_of(&fitting).cloned();
        let mut operands: Vec<Option<ValueId>> = vec![None; fixed];
        // Sometimes the operands are those of a sample.
        let taken = sample.is_some() && patterns[..fixed].iter().any(|pattern| fresh(self, pattern)) && self.chance(40);
        let sample = sample.unwrap_or(any);
        // Operands that are terms come first, so that the types of the others can follow theirs.
        let last = |pattern: &Pattern| match pattern {
            Pattern::Apply { .. } => 0,
            Pattern::Any(k) | Pattern::Each(k) if self.values.contains_key(k) => 1,
            Pattern::Any(_) | Pattern::Each(_) => 2,
            _ => 3,
        };
        let mut order: Vec<usize> = (0..fixed).collect();
        order.sort_by_key(|at| last(&patterns[*at]));
        for at in order {
            let known: Vec<Option<TensorType>> = operands.iter().map(|value| value.map(|value| self.builder.ty(value).clone())).collect();
            operands[at] = Some(match &patterns[at] {
                Pattern::Any(k) | Pattern::Each(k) if !self.values.contains_key(k) => {
                    if taken && fresh(self, &patterns[at]) {
                        let input = sample.inputs[at].clone();
                        self.sampled(*k, &input)?
                    } else {
                        let ty = self.related(op, at, &known);
                        self.variable(*k, ty, None)?
                    }
                }
                // A condition's dtype says nothing of what it chooses.
                Pattern::Number { value, .. } => self.number(*value, if op == "select" && at > 0 { &known[1..] } else { &known })?,
                other => match self.pattern(other)?.as_slice() {
                    [one] => *one,
                    _ => return None,
                },
            });
        }
        let mut operands: Vec<ValueId> = operands.into_iter().collect::<Option<_>>()?;
        if let Some(Pattern::All(pattern, each)) = patterns.last() {
            operands.extend(self.members(pattern, each)?);
        } else if rest {
            for input in sample.inputs.iter().skip(fixed) {
                let ty = match (operands.first(), input) {
                    (Some(first), _) if !taken => self.builder.ty(*first).clone(),
                    (_, Input::Drawn(dtype, extents, _)) => TensorType::known(*dtype, extents),
                    (_, Input::Given(tensor) | Input::Constant(tensor)) => tensor.ty(),
                };
                operands.push(self.builder.input("", ty));
            }
        }
        for _ in 0..TRIES {
            let mut known: Attrs = sample.op.def().attrs().into_iter().map(|(name, attr)| (name.to_owned(), attr)).collect();
            if let Some(bound) = whole.and_then(|k| self.wholes.get(&k)) {
                known.clone_from(bound);
            } else if !taken || self.chance(30) {
                self.redrawn(op, &operands, &mut known);
            }
            for (name, expression) in attrs {
                if let Some(attr) = self.given(expression) {
                    let kind = known.get(name)?;
                    known.insert(name.clone(), alike(attr, kind));
                }
            }
            let Ok(op) = Op::parse(op, &mut known.clone()) else { continue };
            let Ok(results) = self.builder.apply_all(op, &operands) else { continue };
            if results.iter().any(|value| self.builder.ty(*value).shape.elems().is_none_or(|n| n > self.most)) {
                return None;
            }
            self.bind(attrs, &known);
            if let Some(k) = whole {
                self.wholes.entry(k).or_insert(known);
            }
            return Some(results);
        }
        None
    }

    /// Draws attributes anew, by their names and the operands' types.
    fn redrawn(&mut self, op: &str, operands: &[ValueId], attrs: &mut Attrs) {
        let extents = operands.first().and_then(|value| self.builder.extents(*value).ok()).unwrap_or_default();
        let rank = extents.len();
        if op == "slice" {
            return self.sliced(&extents, attrs);
        }
        let names: Vec<String> = attrs.keys().cloned().collect();
        for name in names {
            let ints = |items: Vec<i64>| Some(Attr::List(items.into_iter().map(Attr::Int).collect()));
            let length = match &attrs[&name] {
                Attr::List(items) => items.len(),
                _ => 0,
            };
            let drawn = match (name.as_str(), op) {
                ("perm", _) => {
                    let perm = self.permutation(rank);
                    ints(perm)
                }
                ("axes", _) => {
                    let axes = self.axes(rank);
                    ints(axes)
                }
                ("axis", _) if rank > 0 => {
                    let last = self.chance(40);
                    Some(Attr::Int(if last { rank as i64 - 1 } else { self.random.below(rank as u64) as i64 }))
                }
                ("extents", "reshape") => {
                    let extents = self.refactored(&extents);
                    ints(extents)
                }
                ("extents", "broadcast") => {
                    let extents = self.broadcast(&extents);
                    ints(extents)
                }
                ("before" | "after", _) => {
                    let length = if matches!(op, "pad" | "extend") { rank } else { length };
                    let none = self.chance(40);
                    ints((0..length).map(|_| if none { 0 } else { self.random.below(3) as i64 }).collect())
                }
                ("repeats", _) => ints((0..rank).map(|_| 1 + self.random.below(2) as i64).collect()),
                ("groups", _) => self.chance(60).then_some(Attr::Int(1)),
                ("to", "cast") => {
                    let dtype = self.one_of(&[DType::F32, DType::F32, DType::F64, DType::F16, DType::I32, DType::I64, DType::U8, DType::Bool]);
                    dtype.map(Attr::DType)
                }
                _ => None,
            };
            // Anything else is what some sample has.
            let values: Vec<Attr> = self.samples.of(op).iter().flat_map(|sample| sample.op.def().attrs()).filter(|(known, _)| *known == name).map(|(_, attr)| attr).collect();
            if let Some(attr) = drawn.or_else(|| self.one_of(&values)) {
                attrs.insert(name, attr);
            }
        }
    }

    fn permutation(&mut self, rank: usize) -> Vec<i64> {
        let mut perm: Vec<i64> = (0..rank as i64).collect();
        if rank > 1 && self.chance(30) {
            perm.swap(rank - 1, rank - 2);
        } else if !self.chance(15) {
            for at in (1..rank).rev() {
                perm.swap(at, self.random.below(at as u64 + 1) as usize);
            }
        }
        perm
    }

    fn axes(&mut self, rank: usize) -> Vec<i64> {
        let rank = rank as i64;
        match self.random.below(10) {
            0..4 => (rank - 1..rank).filter(|k| *k >= 0).collect(),
            4..6 => ((rank - 2).max(0)..rank).collect(),
            6 => (0..rank).collect(),
            _ => (0..rank).filter(|_| self.chance(50)).collect(),
        }
    }

    /// Other extents for as many elements.
    fn refactored(&mut self, extents: &[i64]) -> Vec<i64> {
        if self.chance(15) {
            return extents.to_vec();
        }
        let elems: i64 = extents.iter().product();
        let mut new = vec![1i64; self.random.below(5) as usize];
        if elems == 0 {
            new.push(0);
        }
        let mut left = elems.max(1);
        for prime in [2, 3, 5, 7, 11, 13] {
            while left % prime == 0 && !new.is_empty() {
                left /= prime;
                let at = self.random.below(new.len() as u64) as usize;
                new[at] *= prime;
            }
        }
        if left > 1 {
            new.push(left);
        }
        new
    }

    fn broadcast(&mut self, extents: &[i64]) -> Vec<i64> {
        let mut new: Vec<i64> = extents.iter().map(|n| if *n == 1 && self.chance(60) { self.extent() } else { *n }).collect();
        while new.len() < 5 && self.chance(25) {
            let extent = self.extent();
            new.insert(0, extent);
        }
        new
    }

    fn sliced(&mut self, extents: &[i64], attrs: &mut Attrs) {
        let mut lists = [Vec::new(), Vec::new(), Vec::new()];
        let whole = self.chance(20);
        for extent in extents {
            let part = if *extent > 1 && self.chance(10) {
                [*extent - 1, *extent, -1]
            } else if whole || *extent == 0 || self.chance(40) {
                [0, *extent, 1]
            } else {
                let step = pick(&mut self.random, &[(1, 70), (2, 15), (-1, 15)]);
                let start = self.random.below(*extent as u64) as i64;
                let room = if step > 0 { (*extent - start - 1) / step + 1 } else { start + 1 };
                [start, 1 + self.random.below(room as u64) as i64, step]
            };
            lists.iter_mut().zip(part).for_each(|(list, item)| list.push(item));
        }
        for (name, list) in ["starts", "extents", "steps"].into_iter().zip(lists) {
            attrs.insert(name.into(), Attr::List(list.into_iter().map(Attr::Int).collect()));
        }
    }

    /// A type for a fresh operand of an op, given those of its neighbours that are there.
    fn related(&mut self, op: &str, at: usize, known: &[Option<TensorType>]) -> TensorType {
        let extents = |k: usize| known.get(k).and_then(Option::as_ref).and_then(|ty| ty.shape.extents());
        let dtype = known.iter().flatten().next_back().map_or(self.dtype, |ty| ty.dtype);
        let ty = |extents: Vec<i64>| TensorType::known(dtype, &extents);
        match (op, at, extents(0), extents(1)) {
            ("matmul" | "dot", 1, Some(a), _) if !a.is_empty() && !self.chance(5) => {
                let (depth, columns) = (a[a.len() - 1], self.extent());
                let mut shape = vec![depth, columns];
                if a.len() > 2 && self.chance(50) {
                    shape.splice(0..0, a[..a.len() - 2].iter().copied());
                }
                ty(shape)
            }
            ("matmul" | "dot", 0, _, Some(b)) if b.len() > 1 => {
                let rows = self.extent();
                let mut shape = vec![rows, b[b.len() - 2]];
                shape.splice(0..0, b[..b.len() - 2].iter().copied());
                if shape.len() == 2 && self.chance(40) {
                    let batch = self.extent();
                    shape.insert(0, batch);
                }
                ty(shape)
            }
            ("conv" | "convolution", 1, Some(x), _) if x.len() > 2 => {
                let outputs = 1 + self.random.below(4) as i64;
                let mut shape = vec![outputs, x[1]];
                shape.extend(x[2..].iter().map(|n| (*n).clamp(1, 1 + self.random.below(3) as i64)));
                ty(shape)
            }
            ("convolution" | "channel_bias", _, _, Some(w)) if at > 1 && !w.is_empty() => ty(vec![w[0]]),
            ("channel_bias", 1, Some(x), _) if x.len() > 1 => ty(vec![x[1]]),
            ("select", 0, ..) => TensorType { dtype: DType::Bool, ..self.varied(known) },
            ("gather" | "gather_elements" | "gather_nd", 1, ..) => TensorType { dtype: DType::I64, ..self.varied(known) },
            _ => self.varied(known),
        }
    }

    /// A type like one of some others, or the usual one: of the same shape, or one that broadcasts to it or does not.
    fn varied(&mut self, known: &[Option<TensorType>]) -> TensorType {
        let others: Vec<TensorType> = known.iter().flatten().filter(|ty| ty.shape.extents().is_some()).cloned().collect();
        let usual = TensorType::known(self.dtype, &self.extents);
        let ty = self.one_of(&others).unwrap_or(usual);
        let mut extents = ty.shape.extents().unwrap_or_default();
        let rank = extents.len() as u64;
        match self.random.below(100) {
            0..50 => {}
            50..62 => extents.iter_mut().for_each(|n| *n = if self.random.below(2) == 0 { 1 } else { *n }),
            62..74 => extents.clear(),
            74..80 => drop(extents.drain(..self.random.below(rank + 1) as usize)),
            80..86 => drop(extents.drain(..rank.saturating_sub(1) as usize)),
            86..91 => {
                // One number for each channel.
                let at = self.random.below(rank.max(1)) as usize;
                extents = extents.iter().enumerate().map(|(k, n)| if k == at { *n } else { 1 }).collect();
                if at > 0 && self.chance(50) {
                    extents.drain(..at);
                }
            }
            91..95 => {
                let extent = self.extent();
                extents.insert(0, extent);
            }
            _ => extents = (0..self.random.below(5)).map(|_| self.extent()).collect(),
        }
        TensorType::known(ty.dtype, &extents)
    }

    /// A fresh variable of a type: an input, or a constant.
    fn variable(&mut self, k: usize, ty: TensorType, domain: Option<Domain>) -> Option<ValueId> {
        let ty = self.adapted(k, ty);
        if ty.shape.elems().is_none_or(|n| n > self.most) {
            return None;
        }
        let restricted = ["finite", "positive", "invertible", "power_of_two", "lowest", "!negative"].iter().any(|function| self.is_said(function, k));
        let percent = match (self.is_said("constant", k), restricted, self.is_said("!constant", k)) {
            (true, ..) => 97,
            (_, true, _) => 80,
            (_, _, true) => 3,
            _ => 15,
        };
        let value = if self.chance(percent) {
            let tensor = self.constant(k, &ty, domain, restricted)?;
            self.builder.constant(tensor)
        } else {
            let name = self.rule.names.name(k).to_owned();
            let input = self.builder.input(name, ty.clone());
            // Something that is known not to be negative.
            if self.is_said("!negative", k) { self.builder.apply(frit_ir::ops::abs::Abs {}, &[input]).ok()? } else { input }
        };
        self.values.insert(k, value);
        Some(value)
    }

    /// The type of a variable, which a hint, the condition or the member before may say more of.
    fn adapted(&mut self, k: usize, ty: TensorType) -> TensorType {
        let name = self.rule.names.name(k);
        if let Some((_, dtype, extents)) = self.hint.and_then(|hint| hint.types.iter().find(|(hinted, ..)| *hinted == name)) {
            return TensorType::known(*dtype, extents);
        }
        if let Some(before) = self.before.get(&k).cloned() {
            let mut extents = before.shape.extents().unwrap_or_default();
            if self.chance(40) && !extents.is_empty() {
                let at = self.random.below(extents.len() as u64) as usize;
                extents[at] = self.extent();
            }
            return TensorType::known(before.dtype, &extents);
        }
        if self.is_said("scalar", k) && self.chance(70) {
            let ranks = self.random.below(2) as usize;
            return TensorType::known(ty.dtype, &[1, 1][..ranks]);
        }
        ty
    }

    fn constant(&mut self, k: usize, ty: &TensorType, domain: Option<Domain>, restricted: bool) -> Option<Tensor> {
        let extents = ty.shape.extents()?;
        let domain = domain.unwrap_or_else(|| pick(&mut self.random, &[(Domain::Ordinary, 55), (Domain::Between(0.5, 2.0), 30), (Domain::Any, 15)]));
        let domain = if domain == Domain::Any && restricted { Domain::Between(0.5, 2.0) } else { domain };
        let seed = self.random.bits();
        let tensor = draw::tensor(ty.dtype, &extents, domain, seed).ok()?;
        let tensor = if self.rule.rule.class == Class::Exact { tensor } else { draw::tamed(&tensor).ok()? };
        if self.is_said("power_of_two", k) && self.chance(90) {
            let powers: Vec<f64> = (0..tensor.elems()).map(|_| pick(&mut self.random, &[(0.25, 1), (0.5, 1), (1.0, 1), (2.0, 1), (-8.0, 1)])).collect();
            return Tensor::from_f64s(ty.dtype, &extents, &powers).ok();
        }
        let lowest = ty.dtype.int_range().filter(|_| self.is_said("lowest", k)).map(|(low, _)| Scalar::Int(low));
        let same = (tensor.elems() > 0 && self.chance(15)).then(|| tensor.get(0));
        match lowest.or(same) {
            Some(item) => Tensor::from_scalars(ty.dtype, &extents, vec![item; tensor.elems()]).ok(),
            None => Some(tensor),
        }
    }

    /// A variable that is a sample's operand.
    fn sampled(&mut self, k: usize, input: &Input) -> Option<ValueId> {
        match input {
            Input::Drawn(dtype, extents, domain) => {
                let domain = Some(*domain).filter(|domain| matches!(domain, Domain::Between(..)));
                self.variable(k, TensorType::known(*dtype, extents), domain)
            }
            Input::Given(tensor) | Input::Constant(tensor) => {
                let value = self.builder.constant(tensor.clone());
                self.values.insert(k, value);
                Some(value)
            }
        }
    }

    /// A constant all of whose elements are one number.
    fn number(&mut self, value: f64, known: &[Option<TensorType>]) -> Option<ValueId> {
        let other = known.iter().flatten().next();
        let dtype = other.map_or(self.dtype, |ty| ty.dtype);
        let extents = match self.random.below(10) {
            0..6 => Vec::new(),
            6..8 => vec![1],
            _ => other.and_then(|ty| ty.shape.extents()).unwrap_or_default(),
        };
        let elems = extents.iter().product::<i64>() as usize;
        let tensor = Tensor::from_scalars(dtype, &extents, vec![cast(Scalar::Float(value), dtype); elems]).ok()?;
        Some(self.builder.constant(tensor))
    }
}

/// A literal in the form that an attribute has: integers may stand for floats, and an item for a list of one.
fn alike(attr: Attr, kind: &Attr) -> Attr {
    match (attr, kind) {
        (Attr::Int(n), Attr::Float(_)) => Attr::Float(n as f64),
        (attr, _) => attr,
    }
}
