//! Patterns of terms, as text: parsing, matching, and building terms after them.
//!
//! In: text such as `add(matmul(?x, ?w), ?b)` and an e-graph. Out: [`Bindings`] for each match, and terms made after a
//! pattern with its variables bound. Must not know: single rules.
//!
//! ```text
//! pattern   := '?'name | '?'name'..' | '?'name'['expression']' | number | '~'number | op ['@'name] ['[' attribute, .. ']'] '(' pattern, .. ')' ['..']
//! attribute := name '=' expression
//! expression:= '?'name | '#' | number | name | '"text"' | '[' expression, .. ']' | function '(' expression, .. ')'
//! ```
//!
//! `?x` is any value, `?x..` the remaining operands, `?x[k]` (on the right side) one of them, `@` after an op binds the op with all its attributes under a name
//! (on the right side the attributes are then taken from it, but for those that are given). `?@` is the value that
//! the left side matched. A number matches a constant all of whose elements are that number as the dtype rounds it, `~` also
//! one that is as close as single precision tells; on the right side it is a scalar of the result's dtype. In families `?x*` is what
//! differs between members, and `#` the number of the member that is built. `op(..)..` is the last of the operands and stands for
//! all that remain, two at least, each of that form: they are the members then, and `?x*` what differs between them; on the right
//! side one such operand is built for each member. A condition
//! on `?x` must hold for each member; `?x*` in it is the list of all. Operands of commutative ops match in either order.
//! `elementwise@f(..)` is any op that computes each element from one of each operand; on the right side it is that op.

use std::collections::BTreeMap;

use egg::Id;
use frit_ir::ops::{Attr, constant::Constant};
use frit_ir::scalar::{Scalar, cast, round_float};
use frit_ir::{DType, Op, Tensor};

use super::facts::{self, Facts, Graph};
use super::functions::{self, Function};
use super::language::{Head, HeadId, Term};

/// What a variable stands for.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Bound {
    /// A class.
    Class(Id),
    /// Several classes, in order.
    Classes(Vec<Id>),
    /// An attribute.
    Attr(Attr),
    /// An op with all its attributes.
    Op(HeadId),
}

impl Bound {
    /// What a variable stands for that stands for these in its members: all classes, or all attributes.
    fn members(each: Vec<Bound>) -> Bound {
        let class = |bound: &Bound| if let Bound::Class(id) = bound { Some(*id) } else { None };
        let attr = |bound: Bound| if let Bound::Attr(attr) = bound { Some(attr) } else { None };
        match each.iter().map(class).collect() {
            Some(ids) => Bound::Classes(ids),
            None => Bound::Attr(Attr::List(each.into_iter().filter_map(attr).collect())),
        }
    }

    /// What it stands for in one of its members.
    fn member(&self, at: usize) -> Option<Bound> {
        match self {
            Bound::Classes(ids) => ids.get(at).map(|id| Bound::Class(*id)),
            Bound::Attr(Attr::List(attrs)) => attrs.get(at).cloned().map(Bound::Attr),
            _ => None,
        }
    }

    /// How many members it has.
    fn count(&self) -> usize {
        match self {
            Bound::Classes(ids) => ids.len(),
            Bound::Attr(Attr::List(attrs)) => attrs.len(),
            _ => 0,
        }
    }
}

/// A match: what each variable stands for, by its number, and the terms that the pattern's ops were found in.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Bindings {
    /// What variables stand for.
    pub bound: Vec<Option<Bound>>,
    /// The terms, outermost first.
    pub terms: Vec<Term>,
}

impl Bindings {
    fn get(&self, variable: usize) -> Option<&Bound> {
        self.bound.get(variable)?.as_ref()
    }

    /// How many members there are that differ in some variables.
    fn members(&self, each: &[usize]) -> usize {
        each.first().and_then(|k| self.get(*k)).map_or(0, Bound::count)
    }

    /// The same for one member.
    fn member(&self, each: &[usize], at: usize) -> Bindings {
        let mut own = self.clone();
        each.iter().for_each(|k| own.bound[*k] = self.get(*k).and_then(|bound| bound.member(at)));
        own
    }
}

/// The names of a rule's variables; the position is the number.
#[derive(Default, Clone, Debug)]
pub struct Names(Vec<String>);

impl Names {
    /// The number of a name, which may be new.
    fn number(&mut self, name: &str) -> usize {
        self.find(name).unwrap_or_else(|| {
            self.0.push(name.to_owned());
            self.0.len() - 1
        })
    }

    /// The number of a name.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|known| known == name)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The name of a number.
    pub fn name(&self, number: usize) -> &str {
        &self.0[number]
    }
}

/// A pattern.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// Any value.
    Any(usize),
    /// The remaining operands.
    Rest(usize),
    /// One of the remaining operands.
    Item(usize, Expression),
    /// What differs between the members of a family: on the left one value, on the right all of them, in order.
    Each(usize),
    /// The remaining operands, each of one form: they are the members, and these the variables that differ between them.
    All(Box<Pattern>, Vec<usize>),
    /// A constant.
    Number {
        /// What each element is.
        value: f64,
        /// Does it only have to be close?
        near: bool,
    },
    /// An application of an op.
    Apply {
        /// The op's name.
        op: &'static str,
        /// The variable that the op is bound to.
        whole: Option<usize>,
        /// Attributes that are bound, compared or (on the right side) computed.
        attrs: Vec<(String, Expression)>,
        /// Operands.
        operands: Vec<Pattern>,
    },
}

/// What attributes and conditions are written in.
#[derive(Clone, Debug)]
pub enum Expression {
    /// What a variable stands for.
    Variable(usize),
    /// What a variable stands for in each member.
    Members(usize),
    /// The number of the family's member that is built.
    Member,
    /// An attribute as it is written.
    Literal(Attr),
    /// A list.
    List(Vec<Expression>),
    /// A function's result.
    Call(&'static Function, Vec<Expression>),
}

/// A condition: all that is required holds.
#[derive(Clone, Debug)]
pub(super) struct Condition(Vec<Requirement>);

#[derive(Clone, Debug)]
struct Requirement {
    call: Expression,
    negated: bool,
    /// The variables in it that stand for one member at a time.
    each: Vec<usize>,
}

/// Where terms are matched and built.
pub(super) struct Site<'a> {
    /// The e-graph.
    pub graph: &'a Graph,
    /// What is bound so far.
    pub bindings: &'a Bindings,
    /// The class that the left side matched.
    pub root: Id,
    /// The number of the family's member that is built.
    pub member: usize,
}

impl Site<'_> {
    /// Facts of a class.
    pub(super) fn facts(&self, id: Id) -> &Facts {
        &self.graph[id].data
    }

    /// The value of an expression; none where a variable is not bound or a function has no result.
    pub(super) fn value(&self, expression: &Expression) -> Option<Bound> {
        Some(match expression {
            Expression::Variable(0) => Bound::Class(self.root),
            Expression::Variable(k) | Expression::Members(k) => self.bindings.get(*k)?.clone(),
            Expression::Member => Bound::Attr(Attr::Int(self.member as i64)),
            Expression::Literal(attr) => Bound::Attr(attr.clone()),
            Expression::List(items) => Bound::Attr(Attr::List(items.iter().map(|item| self.attr(item)).collect::<Option<_>>()?)),
            Expression::Call(function, arguments) => {
                let arguments: Vec<Bound> = arguments.iter().map(|argument| self.value(argument)).collect::<Option<_>>()?;
                Bound::Attr((function.call)(self, &arguments)?)
            }
        })
    }

    fn attr(&self, expression: &Expression) -> Option<Attr> {
        match self.value(expression)? {
            Bound::Attr(attr) => Some(attr),
            _ => None,
        }
    }

    /// Does a condition hold?
    pub(super) fn holds(&self, condition: &Condition) -> bool {
        condition.0.iter().all(|Requirement { call, negated, each }| {
            let holds = |site: &Site<'_>| site.attr(call) == Some(Attr::Bool(!negated));
            match self.bindings.members(each) {
                0 => holds(self),
                members => (0..members).all(|member| holds(&Site { bindings: &self.bindings.member(each, member), member, ..*self })),
            }
        })
    }
}

/// Ops whose operands may be exchanged, to the same bits.
const COMMUTATIVE: &[&str] = &["add", "mul", "max", "min", "and", "or", "xor", "equal"];

/// Stands in patterns for any op that computes each element from one of each operand.
pub const ELEMENTWISE: &str = "elementwise";

/// Is a term of the op that a pattern names?
fn applies(graph: &Graph, op: &str, term: &Term) -> bool {
    if op == ELEMENTWISE { matches!(graph.analysis.heads.get(term.head), Head::Op(op) if op.def().elementwise()) } else { term.name == op }
}

/// No more matches than this are looked for in one class.
const MAX_MATCHES: usize = 64;

impl Pattern {
    /// All ways in which a class matches. `cut` is told where there are more than are looked for.
    pub(super) fn matches(&self, graph: &Graph, id: Id, names: usize, cut: &mut bool) -> Vec<Bindings> {
        let mut all = vec![Bindings { bound: vec![None; names], terms: Vec::new() }];
        self.extend(graph, id, &mut all, cut);
        all
    }

    /// Replaces each binding by those that also match this pattern at a class.
    fn extend(&self, graph: &Graph, id: Id, all: &mut Vec<Bindings>, cut: &mut bool) {
        let id = graph.find(id);
        match self {
            Pattern::Any(k) | Pattern::Each(k) => all.retain_mut(|bindings| bind(&mut bindings.bound[*k], Bound::Class(id))),
            Pattern::Rest(_) | Pattern::Item(..) | Pattern::All(..) => all.clear(),
            Pattern::Number { value, near } => {
                let facts = &graph[id].data;
                let Some(dtype) = facts.ty().map(|ty| ty.dtype) else { return all.clear() };
                if !facts.splat.is_some_and(|splat| equals(splat, *value, *near, dtype)) {
                    all.clear();
                }
            }
            Pattern::Apply { op, whole, attrs, operands } => {
                let mut found = Vec::new();
                for term in graph[id].nodes.iter().filter(|term| applies(graph, op, term)) {
                    let mut these = all.clone();
                    these.iter_mut().for_each(|bindings| bindings.terms.push(term.clone()));
                    if !attrs.is_empty() || whole.is_some() {
                        these.retain_mut(|bindings| match_attributes(graph, term.head, *whole, attrs, bindings));
                    }
                    let swapped = COMMUTATIVE.contains(&term.name) && term.children.len() == 2 && term.children[0] != term.children[1];
                    if swapped {
                        let mut others = these.clone();
                        match_operands(graph, operands, &[term.children[1], term.children[0]], &mut others, cut);
                        match_operands(graph, operands, &term.children, &mut these, cut);
                        these.extend(others);
                    } else {
                        match_operands(graph, operands, &term.children, &mut these, cut);
                    }
                    for bindings in these {
                        if found.contains(&bindings) {
                            continue;
                        }
                        if found.len() == MAX_MATCHES {
                            *cut = true;
                            break;
                        }
                        found.push(bindings);
                    }
                }
                *all = found;
            }
        }
    }

    /// Builds a term for each member.
    fn build_members(&self, each: &[usize], graph: &mut Graph, bindings: &Bindings, root: Id, made: &mut Vec<Term>) -> Option<Vec<Id>> {
        (0..bindings.members(each)).map(|member| self.build(graph, &bindings.member(each, member), root, member, made)).collect()
    }

    /// The op at the top.
    pub(super) fn op(&self) -> Option<&'static str> {
        match self {
            Pattern::Apply { op, .. } => Some(op),
            _ => None,
        }
    }

    /// The classes that hold a term of the op at the top, in order.
    pub(super) fn candidates(&self, graph: &Graph) -> Vec<Id> {
        let mut classes: Vec<Id> = match self.op() {
            Some(ELEMENTWISE) => graph.classes().map(|class| class.id).collect(),
            Some(op) => graph.classes_for_op(&op).into_iter().flatten().collect(),
            None => Vec::new(),
        };
        classes.sort_unstable();
        classes
    }

    /// Builds the term that the pattern describes; none where its operands don't fit. `made` is told each new term.
    pub(super) fn build(&self, graph: &mut Graph, bindings: &Bindings, root: Id, member: usize, made: &mut Vec<Term>) -> Option<Id> {
        match self {
            Pattern::Any(0) => Some(root),
            Pattern::Any(k) | Pattern::Each(k) => match bindings.get(*k)? {
                Bound::Class(id) => Some(*id),
                _ => None,
            },
            Pattern::Item(k, which) => match (bindings.get(*k)?, Site { graph, bindings, root, member }.attr(which)?) {
                (Bound::Classes(ids), Attr::Int(at)) => ids.get(usize::try_from(at).ok()?).copied(),
                _ => None,
            },
            Pattern::Rest(_) | Pattern::All(..) => None,
            Pattern::Number { value, .. } => {
                let dtype = graph[root].data.ty()?.dtype;
                let tensor = Tensor::scalar(dtype, cast(Scalar::Float(*value), dtype));
                add(graph, Head::Op(Constant { value: tensor }.into()), Vec::new(), made)
            }
            Pattern::Apply { op, whole, attrs, operands } => {
                let mut children = Vec::new();
                for operand in operands {
                    match operand {
                        Pattern::Rest(k) | Pattern::Each(k) => match bindings.get(*k)? {
                            Bound::Classes(ids) => children.extend(ids),
                            Bound::Class(id) => children.push(*id),
                            _ => return None,
                        },
                        Pattern::All(pattern, each) => children.extend(pattern.build_members(each, graph, bindings, root, made)?),
                        other => children.push(other.build(graph, bindings, root, member, made)?),
                    }
                }
                let head = if *op == ELEMENTWISE {
                    let Bound::Op(head) = bindings.get((*whole)?)? else { return None };
                    graph.analysis.heads.get(*head).clone()
                } else {
                    let site = Site { graph, bindings, root, member };
                    let mut known: BTreeMap<String, Attr> = BTreeMap::new();
                    if let Some(k) = whole
                        && let Bound::Op(head) = bindings.get(*k)?
                    {
                        let Head::Op(op) = graph.analysis.heads.get(*head) else { return None };
                        known.extend(op.def().attrs().into_iter().map(|(name, attr)| (name.to_owned(), attr)));
                    }
                    for (name, expression) in attrs {
                        known.insert(name.clone(), site.attr(expression)?);
                    }
                    match *op {
                        "part" => Head::Part(known.remove("of").and_then(|attr| match attr { Attr::Int(k) => usize::try_from(k).ok(), _ => None })?),
                        op => Head::Op(Op::parse(op, &mut known).ok()?),
                    }
                };
                add(graph, head, children, made)
            }
        }
    }

    /// How many terms of a match it takes, `first` being the number of its own.
    fn ops(&self, terms: &[Term], first: usize) -> usize {
        let Pattern::Apply { operands, .. } = self else { return 0 };
        each_operand(operands, terms[first].children.len()).fold(1, |ops, (operand, _)| ops + operand.ops(terms, first + ops))
    }

    /// The very term that was matched, its variables being what was bound, in an e-graph that explains: proofs begin with it.
    pub(super) fn instance(&self, graph: &mut Graph, id: Id, bindings: &Bindings) -> Id {
        self.instance_at(graph, id, bindings, 0)
    }

    /// `first` is the number of the pattern's first op among the terms of the match.
    fn instance_at(&self, graph: &mut Graph, id: Id, bindings: &Bindings, first: usize) -> Id {
        let Pattern::Apply { operands, .. } = self else { return id };
        let mut term = bindings.terms[first].clone();
        let count = term.children.len();
        let firsts: Vec<usize> = each_operand(operands, count).scan(first + 1, |next, (operand, _)| Some(std::mem::replace(next, *next + operand.ops(&bindings.terms, *next)))).collect();
        let is_at = |(pattern, first): (&Pattern, &usize), child: Id| match pattern {
            Pattern::Any(k) | Pattern::Each(k) => bindings.bound[*k] == Some(Bound::Class(child)),
            Pattern::Apply { .. } => graph.lookup(bindings.terms[*first].clone()) == Some(child),
            Pattern::Rest(_) | Pattern::Item(..) | Pattern::All(..) | Pattern::Number { .. } => true,
        };
        let swapped = COMMUTATIVE.contains(&term.name) && !operands.iter().zip(&firsts).zip(&term.children).all(|(operand, child)| is_at(operand, *child));
        if swapped {
            term.children.reverse();
        }
        if let Some(Pattern::Rest(k)) = operands.last()
            && let Some(Bound::Classes(ids)) = bindings.get(*k)
        {
            term.children.splice(operands.len() - 1.., ids.iter().copied());
        }
        for (((operand, member), first), child) in each_operand(operands, count).zip(firsts).zip(&mut term.children) {
            *child = match member {
                Some((each, at)) => operand.instance_at(graph, *child, &bindings.member(each, at), first),
                None => operand.instance_at(graph, *child, bindings, first),
            };
        }
        if swapped {
            term.children.reverse();
        }
        graph.add_uncanonical(term)
    }
}

/// The patterns of so many operands: where the last is about all that remain, it stands for each, with what differs
/// between them and the number of the member.
fn each_operand(patterns: &[Pattern], count: usize) -> impl Iterator<Item = (&Pattern, Option<(&[usize], usize)>)> {
    patterns.iter().enumerate().flat_map(move |(at, pattern)| match pattern {
        Pattern::All(inner, each) => (0..count - at).map(|member| (&**inner, Some((each.as_slice(), member)))).collect::<Vec<_>>(),
        other => vec![(other, None)],
    })
}

/// Adds a term whose operands fit.
pub(super) fn add(graph: &mut Graph, head: Head, children: Vec<Id>, made: &mut Vec<Term>) -> Option<Id> {
    if let Head::Op(op) = &head {
        let operands: Vec<&Facts> = children.iter().map(|id| &graph[*id].data).collect();
        if !op.def().arity().contains(&operands.len()) || facts::infer(op, &operands).is_err() {
            return None;
        }
    }
    let mut term = graph.analysis.heads.term(head, children)?;
    let before = graph.total_size();
    let id = graph.add_uncanonical(term.clone());
    if graph.total_size() > before {
        term.children.iter_mut().for_each(|id| *id = graph.find(*id));
        made.push(term);
    }
    Some(id)
}

fn bind(slot: &mut Option<Bound>, bound: Bound) -> bool {
    match slot {
        Some(known) => *known == bound,
        None => {
            *slot = Some(bound);
            true
        }
    }
}

fn match_attributes(graph: &Graph, head: HeadId, whole: Option<usize>, attrs: &[(String, Expression)], bindings: &mut Bindings) -> bool {
    if let Some(k) = whole
        && !bind(&mut bindings.bound[k], Bound::Op(head))
    {
        return false;
    }
    let known: Vec<(&'static str, Attr)> = match graph.analysis.heads.get(head) {
        Head::Op(op) => op.def().attrs(),
        Head::Part(k) => vec![("of", Attr::Int(*k as i64))],
        Head::Leaf(_) => return attrs.is_empty(),
    };
    attrs.iter().all(|(name, expression)| {
        let Some((_, attr)) = known.iter().find(|(known, _)| known == name) else { return false };
        match expression {
            Expression::Variable(k) | Expression::Members(k) => bind(&mut bindings.bound[*k], Bound::Attr(attr.clone())),
            Expression::Literal(literal) => functions::same(literal, attr),
            Expression::List(items) => {
                let literals: Option<Vec<Attr>> = items.iter().map(|item| if let Expression::Literal(attr) = item { Some(attr.clone()) } else { None }).collect();
                literals.is_some_and(|items| functions::same(&Attr::List(items), attr))
            }
            Expression::Member | Expression::Call(..) => false,
        }
    })
}

fn match_operands(graph: &Graph, patterns: &[Pattern], children: &[Id], all: &mut Vec<Bindings>, cut: &mut bool) {
    let rest = patterns.last().filter(|last| matches!(last, Pattern::Rest(_) | Pattern::All(..)));
    let fixed = patterns.len() - usize::from(rest.is_some());
    if children.len() < fixed || (rest.is_none() && children.len() > fixed) {
        return all.clear();
    }
    for (pattern, child) in patterns[..fixed].iter().zip(children) {
        if all.is_empty() {
            return;
        }
        pattern.extend(graph, *child, all, cut);
    }
    match rest {
        Some(Pattern::Rest(k)) => {
            let others = Bound::Classes(children[fixed..].iter().map(|id| graph.find(*id)).collect());
            all.retain_mut(|bindings| bind(&mut bindings.bound[*k], others.clone()));
        }
        Some(Pattern::All(pattern, each)) => match_members(graph, pattern, each, &children[fixed..], all, cut),
        _ => {}
    }
}

/// Replaces each binding by those under which all of several classes match one pattern.
fn match_members(graph: &Graph, pattern: &Pattern, each: &[usize], children: &[Id], all: &mut Vec<Bindings>, cut: &mut bool) {
    if children.len() < 2 {
        return all.clear();
    }
    let mut members: Vec<(Bindings, Vec<Vec<Bound>>)> = all.drain(..).map(|bindings| (bindings, vec![Vec::new(); each.len()])).collect();
    for child in children {
        let mut next = Vec::new();
        for (bindings, lists) in members {
            let mut these = vec![bindings];
            pattern.extend(graph, *child, &mut these, cut);
            for mut bindings in these {
                let mut lists = lists.clone();
                for (k, list) in each.iter().zip(&mut lists) {
                    list.extend(bindings.bound[*k].take());
                }
                if next.len() == MAX_MATCHES {
                    *cut = true;
                    break;
                }
                next.push((bindings, lists));
            }
        }
        members = next;
    }
    all.extend(members.into_iter().map(|(mut bindings, lists)| {
        each.iter().zip(lists).for_each(|(k, list)| bindings.bound[*k] = Some(Bound::members(list)));
        bindings
    }));
}

fn equals(splat: Scalar, value: f64, near: bool, dtype: DType) -> bool {
    match splat {
        Scalar::Float(x) if near && functions::near(x, value) => true,
        Scalar::Float(x) => x.to_bits() == round_float(value, dtype).to_bits(),
        Scalar::Int(n) => value.fract() == 0.0 && n == value as i128,
        Scalar::Bool(b) => value == f64::from(u8::from(b)),
    }
}

/// Reads the patterns and conditions of one rule, which share their variables.
pub(super) struct Reader {
    /// The variables so far; number 0 is the matched value.
    pub names: Names,
    /// Those that differ between the operands of one op.
    each: Vec<usize>,
}

impl Reader {
    /// A reader for one rule.
    pub(super) fn new() -> Self {
        Self { names: Names(vec!["@".to_owned()]), each: Vec::new() }
    }

    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub(super) fn pattern(&mut self, text: &str) -> Result<Pattern, String> {
        let mut cursor = Cursor { text, at: 0 };
        let pattern = self.pattern_at(&mut cursor)?;
        cursor.end()?;
        Ok(pattern)
    }

    /// Reads conditions, separated by commas.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub(super) fn condition(&mut self, text: &str) -> Result<Condition, String> {
        let mut cursor = Cursor { text, at: 0 };
        let mut calls = Vec::new();
        while !cursor.is_at_end() {
            let negated = cursor.take('!');
            let call = self.expression(&mut cursor)?;
            let mut each = Vec::new();
            alone(&call, &self.each, &mut each);
            calls.push(Requirement { call, negated, each });
            if !cursor.take(',') {
                break;
            }
        }
        cursor.end()?;
        Ok(Condition(calls))
    }

    fn pattern_at(&mut self, cursor: &mut Cursor<'_>) -> Result<Pattern, String> {
        if cursor.take('?') {
            let k = self.variable(cursor)?;
            return Ok(if cursor.take_word("..") {
                Pattern::Rest(k)
            } else if cursor.take('*') {
                Pattern::Each(k)
            } else if cursor.take('[') {
                let which = self.expression(cursor)?;
                cursor.expect(']')?;
                Pattern::Item(k, which)
            } else {
                Pattern::Any(k)
            });
        }
        let near = cursor.take('~');
        if let Some(value) = cursor.number() {
            return Ok(Pattern::Number { value, near });
        }
        let name = cursor.word();
        let op = Op::NAMES.iter().chain(&["part", ELEMENTWISE]).copied().find(|op| *op == name).ok_or_else(|| cursor.complain(&format!("there is no op '{name}'")))?;
        let whole = if cursor.take('@') { Some(self.names.number(&format!("@{}", cursor.word()))) } else { None };
        let mut attrs = Vec::new();
        if cursor.take('[') {
            while !cursor.take(']') {
                let name = cursor.word().to_owned();
                cursor.expect('=')?;
                attrs.push((name, self.expression(cursor)?));
                if !cursor.take(',') {
                    cursor.expect(']')?;
                    break;
                }
            }
        }
        cursor.expect('(')?;
        let mut operands = Vec::new();
        while !cursor.take(')') {
            operands.push(self.pattern_at(cursor)?);
            if !cursor.take(',') {
                cursor.expect(')')?;
                break;
            }
        }
        let pattern = Pattern::Apply { op, whole, attrs, operands };
        if !cursor.take_word("..") {
            return Ok(pattern);
        }
        let mut each = Vec::new();
        differing(&pattern, &mut each);
        self.each.extend(&each);
        Ok(Pattern::All(Box::new(pattern), each))
    }

    fn variable(&mut self, cursor: &mut Cursor<'_>) -> Result<usize, String> {
        if cursor.take('@') {
            return Ok(0);
        }
        let name = cursor.word();
        if name.is_empty() {
            return Err(cursor.complain("a variable needs a name"));
        }
        Ok(self.names.number(name))
    }

    fn expression(&mut self, cursor: &mut Cursor<'_>) -> Result<Expression, String> {
        if cursor.take('#') {
            return Ok(Expression::Member);
        }
        if cursor.take('?') {
            let variable = self.variable(cursor)?;
            return Ok(if cursor.take('*') { Expression::Members(variable) } else { Expression::Variable(variable) });
        }
        if cursor.take('@') {
            return Ok(Expression::Variable(self.names.number(&format!("@{}", cursor.word()))));
        }
        if cursor.take('[') {
            return Ok(Expression::List(self.expressions(cursor, ']')?));
        }
        if cursor.take('"') {
            let text = cursor.until('"')?;
            return Ok(Expression::Literal(Attr::Text(text.to_owned())));
        }
        let start = cursor.at;
        if let Some(value) = cursor.number() {
            let whole = !cursor.text[start..cursor.at].contains(['.', 'e', 'i', 'n']);
            return Ok(Expression::Literal(if whole { Attr::Int(value as i64) } else { Attr::Float(value) }));
        }
        let name = cursor.word();
        if !cursor.take('(') {
            return Ok(Expression::Literal(match name {
                "true" => Attr::Bool(true),
                "false" => Attr::Bool(false),
                name => match name.parse::<DType>() {
                    Ok(dtype) => Attr::DType(dtype),
                    Err(_) => Attr::Text(name.to_owned()),
                },
            }));
        }
        let function = functions::find(name).ok_or_else(|| cursor.complain(&format!("there is no function '{name}'")))?;
        Ok(Expression::Call(function, self.expressions(cursor, ')')?))
    }

    fn expressions(&mut self, cursor: &mut Cursor<'_>, end: char) -> Result<Vec<Expression>, String> {
        let mut items = Vec::new();
        while !cursor.take(end) {
            items.push(self.expression(cursor)?);
            if !cursor.take(',') {
                cursor.expect(end)?;
                break;
            }
        }
        Ok(items)
    }
}

/// The variables of a pattern that differ between members.
pub(super) fn differing(pattern: &Pattern, each: &mut Vec<usize>) {
    match pattern {
        Pattern::Each(k) if !each.contains(k) => each.push(*k),
        Pattern::Apply { attrs, operands, .. } => {
            attrs.iter().for_each(|(_, expression)| expression.members(each));
            operands.iter().for_each(|operand| differing(operand, each));
        }
        _ => {}
    }
}

impl Expression {
    /// The variables in it that stand for all members.
    fn members(&self, each: &mut Vec<usize>) {
        match self {
            Expression::Members(k) if !each.contains(k) => each.push(*k),
            Expression::List(items) | Expression::Call(_, items) => items.iter().for_each(|item| item.members(each)),
            _ => {}
        }
    }
}

/// Those of some variables that an expression takes one member at a time of.
fn alone(expression: &Expression, members: &[usize], each: &mut Vec<usize>) {
    match expression {
        Expression::Variable(k) if members.contains(k) && !each.contains(k) => each.push(*k),
        Expression::List(items) | Expression::Call(_, items) => items.iter().for_each(|item| alone(item, members, each)),
        _ => {}
    }
}

struct Cursor<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Cursor<'t> {
    fn skip(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    fn is_at_end(&mut self) -> bool {
        self.skip();
        self.at == self.text.len()
    }

    fn take(&mut self, wanted: char) -> bool {
        self.skip();
        let there = self.text[self.at..].starts_with(wanted);
        if there {
            self.at += wanted.len_utf8();
        }
        there
    }

    fn take_word(&mut self, wanted: &str) -> bool {
        let there = self.text[self.at..].starts_with(wanted);
        if there {
            self.at += wanted.len();
        }
        there
    }

    fn expect(&mut self, wanted: char) -> Result<(), String> {
        if self.take(wanted) { Ok(()) } else { Err(self.complain(&format!("'{wanted}' is missing"))) }
    }

    fn until(&mut self, end: char) -> Result<&'t str, String> {
        let rest = &self.text[self.at..];
        let length = rest.find(end).ok_or_else(|| self.complain(&format!("'{end}' is missing")))?;
        self.at += length + end.len_utf8();
        Ok(&rest[..length])
    }

    fn word(&mut self) -> &'t str {
        self.skip();
        let rest = &self.text[self.at..];
        let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn number(&mut self) -> Option<f64> {
        self.skip();
        let rest = &self.text[self.at..];
        let signed = rest.strip_prefix('-').unwrap_or(rest);
        if !signed.starts_with(|c: char| c.is_ascii_digit()) && !signed.starts_with("inf") {
            return None;
        }
        let length = rest.len() - signed.len() + signed.find(|c: char| !c.is_alphanumeric() && c != '.' && c != '-').unwrap_or(signed.len());
        let value = rest[..length].parse().ok()?;
        self.at += length;
        Some(value)
    }

    fn end(&mut self) -> Result<(), String> {
        if self.is_at_end() { Ok(()) } else { Err(self.complain("something follows")) }
    }

    fn complain(&self, what: &str) -> String {
        format!("{what} at '{}'", &self.text[self.at.min(self.text.len())..])
    }
}
