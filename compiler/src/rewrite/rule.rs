//! Rules: rewrites as data.
//!
//! In: the tables below `rules/`. Out: [`Compiled`] rules, whose texts have been read. Must not know: e-graphs.

use super::pattern::{Condition, Names, Pattern, Reader, differing};
use super::rules;

/// What a rule may change. Integers, truth values and text it may never change.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Class {
    /// See [`Class::promise`].
    Exact,
    /// See [`Class::promise`].
    Reassociating,
    /// See [`Class::promise`].
    Blocked,
    /// See [`Class::promise`].
    Finite,
}

impl Class {
    /// The name in tables and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Class::Exact => "exact",
            Class::Reassociating => "reassociating",
            Class::Blocked => "blocked",
            Class::Finite => "finite",
        }
    }

    /// What rules of this class promise, in words. `tests/tests/rules.rs` holds each rule to it.
    pub const fn promise(self) -> &'static str {
        match self {
            Class::Exact => "the results have the same bits, for all operands. One NaN is as good as another.",
            Class::Reassociating => {
                "roundings come in another order or number. Results differ by no more than the sum of the tolerances of the ops on both sides, \
                 in units of the largest number that occurs on the way. NaN and infinities stay where they are, as long as no finite numbers overflow."
            }
            Class::Blocked => {
                "as reassociating, but results are computed in blocks: where one is NaN or infinite, it may be another NaN or infinity, and so may \
                 the others of its block become."
            }
            Class::Finite => "as reassociating, and only where no operand and no intermediate result is NaN or infinite.",
        }
    }
}

/// A rewrite.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// What it is called.
    pub name: &'static str,
    /// What it may change.
    pub class: Class,
    /// What is looked for, in the language of patterns.
    pub left: &'static str,
    /// What it equals; `expansion` stands for the matched composite's expansion.
    pub right: &'static str,
    /// What must hold, separated by commas.
    pub when: &'static str,
    /// Why it is right, and what it is good for.
    pub why: &'static str,
}

/// A rule's right side.
#[derive(Clone, Debug)]
pub(super) enum Right {
    /// What the op at the top of the left side expands to.
    Expansion,
    /// A term.
    Term(Pattern),
}

/// A rule that has been read.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The row that it was read from.
    pub rule: Rule,
    /// Its variables.
    pub names: Names,
    /// What is looked for.
    pub left: Pattern,
    /// What it equals.
    pub(super) right: Right,
    /// What must hold.
    pub(super) when: Condition,
    /// The variables that differ between members, if the rule is about a family.
    pub each: Vec<usize>,
}

impl Compiled {
    /// Reads a row.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(rule: Rule) -> Result<Self, String> {
        let complain = |what: String| format!("rule '{}': {what}", rule.name);
        let mut reader = Reader::new();
        let left = reader.pattern(rule.left).map_err(complain)?;
        let bound = reader.names.len();
        let right = if rule.right == "expansion" { Right::Expansion } else { Right::Term(reader.pattern(rule.right).map_err(complain)?) };
        let when = reader.condition(rule.when).map_err(complain)?;
        if reader.names.len() > bound {
            return Err(complain(format!("'{}' is not bound on the left side", reader.names.name(bound))));
        }
        let mut each = Vec::new();
        differing(&left, &mut each);
        Ok(Self { rule, names: reader.names, left, right, when, each })
    }
}

/// Every table, by name.
pub fn tables() -> &'static [(&'static str, &'static [Rule])] {
    rules::TABLES
}

/// All rules, in the order of the tables.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    rules::TABLES.iter().flat_map(|(_, rules)| rules.iter())
}
