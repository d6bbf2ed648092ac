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

use frit_ir::graph::{Graph, NodeId, Producer, ValueId};
use frit_ir::{Builder, Error, Op, text};

use super::Device;
use super::fuse::{Form, Forms, fuse};
use super::group;

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
    for _ in 0..ROUNDS {
        let doubts: Forms = fuse(graph, device.supported, &forms).doubts.into_iter().filter(|(value, _)| !forms.contains_key(value)).collect();
        if doubts.is_empty() {
            break;
        }
        for (value, form) in doubts {
            let Some(window) = Window::around(graph, &uses, value)? else { continue };
            let mut inside = window.forms(&forms);
            let key = format!("{:?} {inside:?} {:?}\n{}", window.map[&value], form, text::summarise(&window.graph));
            let better = *known.entry(key).or_insert_with(|| {
                let usual = price(&window.graph, device, &inside);
                inside.insert(window.map[&value], form);
                price(&window.graph, device, &inside) < usual * MARGIN
            });
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
    group::price(graph, fuse(graph, device.supported, forms).actions, device)
}

/// A part of a graph, by itself.
struct Window {
    graph: Graph,
    /// What the graph's values are in it.
    map: BTreeMap<ValueId, ValueId>,
}

impl Window {
    /// The nodes that are nearest to a value; none where its readers are too many.
    fn around(graph: &Graph, uses: &[Vec<NodeId>], value: ValueId) -> Result<Option<Self>, Error> {
        let maker = |value: ValueId| match graph.value(value).producer {
            Producer::Node(id, _) if !matches!(graph.node(id).op, Op::Constant(_)) => Some(id),
            _ => None,
        };
        let mut nodes: BTreeSet<NodeId> = BTreeSet::new();
        let mut open: VecDeque<NodeId> = maker(value).into_iter().chain(uses[value.0 as usize].iter().copied()).collect();
        while let Some(id) = open.pop_front() {
            if nodes.len() == MAX_NODES {
                break;
            }
            if nodes.insert(id) {
                let node = graph.node(id);
                open.extend(node.outputs.iter().flat_map(|v| &uses[v.0 as usize]));
                open.extend(node.inputs.iter().filter_map(|v| maker(*v)));
            }
        }
        if !uses[value.0 as usize].iter().all(|user| nodes.contains(user)) {
            return Ok(None);
        }
        let mut builder = Builder::new("window");
        let mut map: BTreeMap<ValueId, ValueId> = BTreeMap::new();
        for id in &nodes {
            let node = graph.node(*id);
            for v in &node.inputs {
                if !map.contains_key(v) {
                    let own = match graph.constant(*v) {
                        Some(tensor) => builder.constant(tensor.clone()),
                        None => builder.input(format!("{}", map.len()), graph.ty(*v).clone()),
                    };
                    map.insert(*v, own);
                }
            }
            let operands: Vec<ValueId> = node.inputs.iter().map(|v| map[v]).collect();
            let outputs = builder.apply_all(node.op.clone(), &operands).map_err(|error| builder.locate(error, &node.op, &operands))?;
            for (outer, own) in node.outputs.iter().zip(outputs) {
                builder.refine(own, graph.ty(*outer).clone());
                map.insert(*outer, own);
            }
        }
        let wanted = |v: &ValueId| graph.outputs().iter().any(|(_, out)| out == v) || uses[v.0 as usize].iter().any(|user| !nodes.contains(user));
        for (k, v) in nodes.iter().flat_map(|id| &graph.node(*id).outputs).filter(|v| wanted(v)).enumerate() {
            builder.output(format!("{k}"), map[v]);
        }
        Ok(Some(Self { graph: builder.finish(), map }))
    }

    /// What of the graph's forms concerns the window.
    fn forms(&self, forms: &Forms) -> Forms {
        self.map.iter().filter_map(|(outer, own)| Some((*own, *forms.get(outer)?))).collect::<BTreeMap<ValueId, Form>>()
    }
}
