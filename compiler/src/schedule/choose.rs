//! Which values lie in buffers, and which are computed where they are read: a choice among equal programs, by their price.
//!
//! In: a graph in the form that fusion wants. Out: [`Forms`] of the values for which another form than the usual one is
//! cheaper. Must not know: how kernels are made, only what they cost.
//!
//! Each value has two forms, a buffer and an expression, and what is between buffers is a kernel: a program is a set of
//! values that are stored. Mostly one form can only be better. Where there is a doubt (an element is needed several times,
//! two reductions could be followed by the same nodes), the kernels around the value are formed both ways, grouped, and
//! priced. What is around it is a *window* of bounded size, so that the search is linear in the graph; equal windows, as the
//! layers of a network have, are priced once.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt::Write;

use frit_ir::graph::{Graph, NodeId, Producer, ValueId};
use frit_ir::{Builder, Error, Op};

use super::Device;
use super::fuse::{Form, Forms, fuse};
use super::group;
use crate::rewrite::key;

/// A window has no more nodes than this.
const MAX_NODES: usize = 40;
/// A graph is looked through so often: a choice can raise new doubts.
const ROUNDS: usize = 2;
/// A form must be cheaper by this factor to be chosen: the estimate is rough.
const MARGIN: f64 = 0.98;

/// Chooses the forms of a graph's values.
///
/// # Errors
/// A bug where a part of the graph is not a graph.
pub(super) fn choose(graph: &Graph, device: &Device<'_>) -> Result<Forms, Error> {
    let uses = graph.uses();
    let mut forms = Forms::new();
    let mut known: HashMap<String, bool> = HashMap::new();
    let mut looked_at: BTreeSet<ValueId> = BTreeSet::new();
    for _ in 0..ROUNDS {
        let doubts = fuse(graph, device, &forms).doubts;
        for (value, form) in doubts.into_iter().filter(|(value, _)| looked_at.insert(*value)) {
            let Some(window) = Window::around(graph, &uses, value) else { continue };
            let inside: Forms = forms.iter().filter(|(value, _)| window.holds(**value)).map(|(value, form)| (*value, *form)).collect();
            let key = window.key(value, form, &inside);
            let better = match key.as_ref().and_then(|key| known.get(key)) {
                Some(better) => *better,
                None => {
                    let (part, map) = window.build()?;
                    let mut inside: Forms = inside.iter().map(|(value, form)| (map[value], *form)).collect();
                    let usual = price(&part, device, &inside);
                    inside.insert(map[&value], form);
                    price(&part, device, &inside) < usual * MARGIN
                }
            };
            if let Some(key) = key {
                known.insert(key, better);
            }
            if better {
                tracing::debug!(value = graph.value(value).name, ?form, "cheaper in another form");
                forms.insert(value, form);
            }
        }
    }
    Ok(forms)
}

/// Estimated nanoseconds of a graph's kernels.
fn price(graph: &Graph, device: &Device<'_>, forms: &Forms) -> f64 {
    group::price(graph, fuse(graph, device, forms).actions, device)
}

/// A part of a graph.
struct Window<'g> {
    graph: &'g Graph,
    uses: &'g [Vec<NodeId>],
    nodes: BTreeSet<NodeId>,
}

impl<'g> Window<'g> {
    /// The nodes that are nearest to a value; none where its readers are too many.
    fn around(graph: &'g Graph, uses: &'g [Vec<NodeId>], value: ValueId) -> Option<Self> {
        let mut nodes: BTreeSet<NodeId> = BTreeSet::new();
        let mut open: VecDeque<NodeId> = maker(graph, value).into_iter().chain(uses[value.0 as usize].iter().copied()).collect();
        while let Some(id) = open.pop_front() {
            if nodes.len() == MAX_NODES {
                break;
            }
            if nodes.insert(id) {
                let node = graph.node(id);
                open.extend(node.outputs.iter().flat_map(|v| &uses[v.0 as usize]));
                open.extend(node.inputs.iter().filter_map(|v| maker(graph, *v)));
            }
        }
        uses[value.0 as usize].iter().all(|user| nodes.contains(user)).then_some(Self { graph, uses, nodes })
    }

    /// Is a value made in it?
    fn holds(&self, value: ValueId) -> bool {
        maker(self.graph, value).is_some_and(|id| self.nodes.contains(&id))
    }

    /// Is a value used outside of it?
    fn gives(&self, value: ValueId) -> bool {
        self.graph.outputs().iter().any(|(_, out)| *out == value) || self.uses[value.0 as usize].iter().any(|user| !self.nodes.contains(user))
    }

    /// What the answer for a value depends on; windows with one key are equal. None where an op holds a subgraph.
    fn key(&self, value: ValueId, form: Form, forms: &Forms) -> Option<String> {
        let mut numbers: BTreeMap<ValueId, usize> = BTreeMap::new();
        let mut text = String::new();
        let mut add = |text: &mut String, v: ValueId| {
            let next = numbers.len();
            let number = *numbers.entry(v).or_insert(next);
            if number == next {
                let ty = self.graph.ty(v);
                let constant = self.graph.constant(v).is_some();
                let _ = write!(text, " {}{:?}{}{}{:?}", ty.dtype, ty.shape.extents(), u8::from(constant), u8::from(self.holds(v) && self.gives(v)), forms.get(&v));
            }
            let _ = write!(text, " {number}");
            if v == value {
                let _ = write!(text, "={form:?}");
            }
        };
        for id in &self.nodes {
            let node = self.graph.node(*id);
            text += &key(&node.op)?;
            node.inputs.iter().chain(&node.outputs).for_each(|v| add(&mut text, *v));
            text.push('\n');
        }
        Some(text)
    }

    /// The part by itself, and what the graph's values are in it.
    fn build(&self) -> Result<(Graph, BTreeMap<ValueId, ValueId>), Error> {
        let mut builder = Builder::new("window");
        let mut map: BTreeMap<ValueId, ValueId> = BTreeMap::new();
        for id in &self.nodes {
            let node = self.graph.node(*id);
            for v in &node.inputs {
                if !map.contains_key(v) {
                    let own = match self.graph.constant(*v) {
                        Some(tensor) => builder.constant(tensor.clone()),
                        None => builder.input(format!("{}", map.len()), self.graph.ty(*v).clone()),
                    };
                    map.insert(*v, own);
                }
            }
            let operands: Vec<ValueId> = node.inputs.iter().map(|v| map[v]).collect();
            let outputs = builder.apply_all(node.op.clone(), &operands).map_err(|error| builder.locate(error, &node.op, &operands))?;
            for (outer, own) in node.outputs.iter().zip(outputs) {
                builder.refine(own, self.graph.ty(*outer).clone());
                map.insert(*outer, own);
            }
        }
        for (k, v) in self.nodes.iter().flat_map(|id| &self.graph.node(*id).outputs).filter(|v| self.gives(**v)).enumerate() {
            builder.output(format!("{k}"), map[v]);
        }
        Ok((builder.finish(), map))
    }
}

/// The node that makes a value, unless it is a constant.
fn maker(graph: &Graph, value: ValueId) -> Option<NodeId> {
    match graph.value(value).producer {
        Producer::Node(id, _) if !matches!(graph.node(id).op, Op::Constant(_)) => Some(id),
        _ => None,
    }
}
