//! The language of the e-graph, derived from the op list.
//!
//! In: ops with their attributes. Out: [`Term`]s, small and hashable, and the table that their heads stand in. Must not
//! know: rules, costs.

use std::collections::HashMap;

use egg::{Id, Language};
use frit_ir::ops::Attr;
use frit_ir::{Op, Tensor};
use xxhash_rust::xxh3::xxh3_128;

/// What a term applies: an entry of [`Heads`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct HeadId(u32);

/// An application in the e-graph.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Term {
    /// What is applied.
    pub head: HeadId,
    /// The op's name, by which patterns find terms.
    pub name: &'static str,
    /// Classes of the operands.
    pub children: Vec<Id>,
}

impl Language for Term {
    type Discriminant = &'static str;

    fn discriminant(&self) -> &'static str {
        self.name
    }

    fn matches(&self, other: &Self) -> bool {
        self.head == other.head && self.children.len() == other.children.len()
    }

    fn children(&self) -> &[Id] {
        &self.children
    }

    fn children_mut(&mut self) -> &mut [Id] {
        &mut self.children
    }
}

/// What a term can apply.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "most heads are ops")]
pub(super) enum Head {
    /// A value from outside of the region.
    Leaf(usize),
    /// One result of an op with several.
    Part(usize),
    /// An op with its attributes.
    Op(Op),
}

impl Head {
    /// The name that terms of this head carry.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Head::Leaf(_) => "leaf",
            Head::Part(_) => "part",
            Head::Op(op) => op.name(),
        }
    }
}

/// Every head that occurs, once.
#[derive(Default, Debug)]
pub(super) struct Heads {
    heads: Vec<Head>,
    known: HashMap<String, HeadId>,
}

impl Heads {
    /// The number of a head; none for an op that holds a subgraph.
    pub(super) fn intern(&mut self, head: Head) -> Option<HeadId> {
        let key = match &head {
            Head::Leaf(k) => format!("leaf {k}"),
            Head::Part(k) => format!("part {k}"),
            Head::Op(op) => key(op)?,
        };
        let next = HeadId(self.heads.len() as u32);
        let id = *self.known.entry(key).or_insert(next);
        if id == next {
            self.heads.push(head);
        }
        Some(id)
    }

    /// The head of a number.
    pub(super) fn get(&self, id: HeadId) -> &Head {
        &self.heads[id.0 as usize]
    }

    /// A term, ready to be added.
    pub(super) fn term(&mut self, head: Head, children: Vec<Id>) -> Option<Term> {
        let name = head.name();
        Some(Term { head: self.intern(head)?, name, children })
    }
}

/// Tensors of up to this many elements are compared by value, larger ones by where they lie.
const COMPARED: usize = 1 << 12;

/// Two ops with one key are equal. Ops with subgraphs have none.
pub(crate) fn key(op: &Op) -> Option<String> {
    let mut key = op.name().to_owned();
    for (name, attr) in op.def().attrs() {
        key += &match attr {
            Attr::Graph(_) => return None,
            Attr::Tensor(tensor) => format!(" {name}={}", tensor_key(&tensor)),
            other => format!(" {name}={other:?}"),
        };
    }
    Some(key)
}

fn tensor_key(tensor: &Tensor) -> String {
    if tensor.elems() > COMPARED || !tensor.strings().is_empty() {
        format!("{:x}:{}", tensor.address(), tensor.ty())
    } else {
        format!("{}:{:x}", tensor.ty(), xxh3_128(tensor.bytes()))
    }
}
