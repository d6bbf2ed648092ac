//! Stage 4: a graph becomes kernels and a tree of steps over planned buffers.
//!
//! In: a rewritten graph and a [`Target`]. Out: a [`Schedule`]. Ops that no nest describes, or that the emitters can't
//! do, become steps of the reference interpreter, and the schedule says why. Must not know: machine code.

mod choose;
mod channels;
mod contraction;
mod fuse;
mod group;
mod legalise;
mod memory;
mod nest;
mod precision;
pub mod tuning;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use frit_ir::compute::Compute;
use frit_ir::executable::{self, Operand, Port, Slot, Step};
use frit_ir::graph::{Graph, Node, NodeId, ValueId};
use frit_ir::loops::Kernel;
use frit_ir::ops::{loop_::Loop, scan::Scan};
use frit_ir::scalar::Scalar;
use frit_ir::vector::Target;
use frit_ir::{Builder, DType, Error, Op, Tensor, TensorType, text};

use fuse::Action;
use group::{Group, Grouped};
use memory::Life;
use nest::Built;
use tuning::{Trial, Tuning};
use xxhash_rust::xxh3::xxh3_64;
pub use precision::Precision;

use crate::cost::{Arithmetic, Machine};

/// Kernels and what to do with them.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// The model's name.
    pub name: String,
    /// Inputs, in the model's order.
    pub inputs: Vec<Port>,
    /// Outputs, in the model's order.
    pub outputs: Vec<Port>,
    /// For each state (the last inputs and outputs), the constant that it is before the first run.
    pub states: Vec<u32>,
    /// Kernels, each different.
    pub kernels: Vec<Kernel>,
    /// Estimated nanoseconds of each on one core, without its launch.
    pub costs: Vec<f64>,
    /// Constants as kernels want them.
    pub constants: Vec<Tensor>,
    /// What to do.
    pub steps: Vec<Step>,
    /// Bytes of the arena.
    pub arena_bytes: u64,
    /// The buffers that share it, for reports.
    pub buffers: Vec<Planned>,
    /// Number of tensors whose shape is only known at run time.
    pub dynamics: u32,
    /// Which values of which graph the kernels compute.
    pub trace: Trace,
}

/// What kernels compute, so that each can be compared with the reference interpreter.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// The graph that was scheduled.
    pub graph: Graph,
    /// The launches that are not in a branch or a loop.
    pub launches: Vec<Traced>,
    /// Where tuning is wanted, the kernels with alternatives.
    pub trials: Vec<Trial>,
}

/// A launch.
#[derive(Clone, Debug)]
pub struct Traced {
    /// Its position among the outermost steps.
    pub step: usize,
    /// The graph's value that each operand holds; none for constants that were packed.
    pub values: Vec<Option<ValueId>>,
}

/// A buffer in the arena, from the first to the last step that uses it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Planned {
    /// First byte.
    pub offset: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// The step that writes it first; steps are counted through branches and bodies.
    pub first: u64,
    /// The last step that uses it.
    pub last: u64,
}

/// What is scheduled for.
#[derive(Clone, Copy)]
pub struct Device<'a> {
    /// What code can use.
    pub target: &'a Target,
    /// What time is estimated for.
    pub machine: &'a Machine,
    /// Says whether (and if not, why not) the emitters can do a nest.
    pub supported: &'a dyn Fn(&Compute) -> Result<(), String>,
    /// May a kernel do the work of several source nodes?
    pub fusion: bool,
    /// What products are computed in.
    pub precision: Precision,
    /// What measurements found, if that is wanted.
    pub tuning: Option<&'a Tuning>,
    /// Is only the price wanted? Then large constants need not be computed.
    pub priced: bool,
}

impl Device<'_> {
    /// May two nodes of a graph be in one kernel?
    fn joins(&self, graph: &Graph, a: NodeId, b: NodeId) -> bool {
        let [a, b] = [a, b].map(|id| &graph.node(id).origins.nodes);
        self.fusion || (a == b && !a.is_empty())
    }
}

/// Schedules a graph.
///
/// # Errors
/// A bug where a composite does not expand.
pub fn schedule(graph: &Graph, device: &Device<'_>) -> Result<Schedule, Error> {
    plan(graph, device, true)
}

/// As [`schedule`], but each nest is a kernel of its own. The results are the same, bit by bit.
///
/// # Errors
/// As [`schedule`].
pub fn ungrouped(graph: &Graph, device: &Device<'_>) -> Result<Schedule, Error> {
    plan(graph, device, false)
}

/// Estimated nanoseconds of a graph's kernels, values having their usual forms.
///
/// # Errors
/// As [`schedule`].
pub fn price(graph: &Graph, device: &Device<'_>) -> Result<f64, Error> {
    let device = &Device { priced: true, ..*device };
    let graph = legalise::legalise(graph, device)?;
    Ok(group::price(&graph, fuse::fuse(&graph, device, &fuse::Forms::new()).actions, device))
}

fn plan(graph: &Graph, device: &Device<'_>, grouping: bool) -> Result<Schedule, Error> {
    let graph = legalise::legalise(graph, device)?;
    let mut planner = Planner { device, grouping, kernels: Vec::new(), costs: Vec::new(), known: HashMap::new(), constants: Vec::new(), constant_ids: HashMap::new(), packed_ids: HashMap::new(), buffers: Vec::new(), dynamics: 0, clock: 0, steps: Vec::new(), scopes: Vec::new(), launches: Vec::new(), trials: Vec::new() };
    let inputs: Vec<Place> = (0..graph.inputs().len() as u32).map(Place::Input).collect();
    let places = planner.graph(&graph, &inputs)?;
    let mut taken = BTreeSet::new();
    for (k, ((_, value), place)) in graph.outputs().iter().zip(&places).enumerate() {
        match place {
            Place::Buffer(buffer) if taken.insert(*buffer) => planner.buffers[*buffer].output = Some(k as u32),
            _ => {
                let ty = graph.ty(*value);
                let from = planner.operand(place, ty);
                planner.touch(place);
                planner.push(Step::Copy { from, to: operand(Slot::Output(k as u32), ty) });
            }
        }
    }
    let port = |(name, value): &(String, ValueId)| Port { name: name.clone(), dtype: graph.ty(*value).dtype, extents: graph.ty(*value).shape.extents(), declared: graph.ty(*value).shape.to_string() };
    let lives: Vec<Life> = planner.buffers.iter().map(|b| Life { bytes: if b.output.is_some() { 0 } else { b.bytes }, first: b.first, last: b.last }).collect();
    let (offsets, arena_bytes) = memory::plan(&lives);
    let buffers = lives.iter().zip(&offsets).filter(|(life, _)| life.bytes > 0).map(|(life, offset)| Planned { offset: *offset, bytes: life.bytes, first: life.first, last: life.last }).collect();
    let slots: Vec<Slot> = planner.buffers.iter().zip(offsets).map(|(b, offset)| b.output.map_or(Slot::Arena(offset), Slot::Output)).collect();
    let mut steps = planner.steps;
    place_buffers(&mut steps, &slots);
    Ok(Schedule {
        name: graph.name.clone(),
        inputs: graph.inputs().iter().map(port).collect(),
        outputs: graph.outputs().iter().map(port).collect(),
        states: Vec::new(),
        kernels: planner.kernels,
        costs: planner.costs,
        constants: planner.constants,
        steps,
        arena_bytes,
        buffers,
        dynamics: planner.dynamics,
        trace: Trace { launches: planner.launches, trials: planner.trials, graph },
    })
}

impl std::fmt::Display for Schedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "schedule \"{}\": {} kernels, arena of {} bytes", self.name, self.kernels.len(), self.arena_bytes)?;
        executable::print_steps(f, &self.steps, &|kernel| &self.kernels[kernel].name, 1)?;
        self.kernels.iter().try_for_each(|kernel| write!(f, "\n{kernel}"))
    }
}

/// Puts offsets in place of buffer numbers.
fn place_buffers(steps: &mut [Step], slots: &[Slot]) {
    let place = |operand: &mut Operand| {
        if let Slot::Arena(buffer) = operand.slot {
            operand.slot = slots[buffer as usize].clone();
        }
    };
    for step in steps {
        match step {
            Step::Launch { operands, .. } => operands.iter_mut().for_each(place),
            Step::Interpret { inputs, outputs, .. } => inputs.iter_mut().chain(outputs).for_each(place),
            Step::Copy { from, to } => [from, to].into_iter().for_each(place),
            Step::If { cond, then_steps, else_steps } => {
                place(cond);
                place_buffers(then_steps, slots);
                place_buffers(else_steps, slots);
            }
            Step::Loop { trip_count, start, counter, cond, body, stacked, sliced } => {
                trip_count.iter_mut().chain(start).chain(cond).chain([counter]).for_each(place);
                stacked.iter_mut().chain(sliced).for_each(|(a, b)| {
                    place(a);
                    place(b);
                });
                place_buffers(body, slots);
            }
        }
    }
}

/// Where a value lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Input(u32),
    Constant(u32),
    Buffer(usize),
    Dynamic(u32),
}

struct Buffer {
    bytes: u64,
    first: u64,
    last: u64,
    output: Option<u32>,
}

/// What is known while the values of one graph get their places.
type Scope = BTreeMap<ValueId, Place>;

struct Planner<'a> {
    device: &'a Device<'a>,
    /// May kernels be put together?
    grouping: bool,
    kernels: Vec<Kernel>,
    costs: Vec<f64>,
    /// Kernels by their text.
    known: HashMap<String, u32>,
    constants: Vec<Tensor>,
    /// Constants by where they lie and their type.
    constant_ids: HashMap<(usize, String), u32>,
    /// Those that were packed by a hash of their elements and their type.
    packed_ids: HashMap<(u64, String), u32>,
    buffers: Vec<Buffer>,
    dynamics: u32,
    clock: u64,
    steps: Vec<Step>,
    /// The innermost is last.
    scopes: Vec<Scope>,
    /// Launches outside of branches and loops.
    launches: Vec<Traced>,
    trials: Vec<Trial>,
}

fn operand(slot: Slot, ty: &TensorType) -> Operand {
    Operand { slot, dtype: ty.dtype, extents: ty.shape.extents().unwrap_or_default() }
}

fn bytes(ty: &TensorType) -> u64 {
    ty.shape.elems().unwrap_or(0) as u64 * ty.dtype.size() as u64
}

impl Planner<'_> {
    /// Adds a graph's steps; returns where its outputs lie.
    fn graph(&mut self, graph: &Graph, inputs: &[Place]) -> Result<Vec<Place>, Error> {
        self.scopes.push(graph.inputs().iter().map(|(_, v)| *v).zip(inputs.iter().copied()).collect());
        let forms = choose::choose(graph, self.device)?;
        let actions = fuse::fuse(graph, self.device, &forms).actions;
        for grouped in group::group(graph, actions, self.device, self.grouping) {
            match grouped {
                Grouped::Kernel(group) => self.kernel(graph, &group),
                Grouped::Other(Action::Fill(value, to, node)) => self.fill(graph, value, to, node),
                Grouped::Other(Action::Alias(value, of)) => {
                    let place = self.place(graph, of);
                    self.scope().insert(value, place);
                }
                Grouped::Other(Action::Node(id, why)) => self.node(graph, id, why)?,
                Grouped::Other(Action::Kernel(_, to)) => {
                    self.place(graph, to);
                }
            }
        }
        let places = graph.outputs().iter().map(|(_, value)| self.place(graph, *value)).collect::<Vec<_>>();
        for place in &places {
            self.touch(place);
        }
        self.scopes.pop();
        Ok(places)
    }

    fn push(&mut self, step: Step) {
        self.steps.push(step);
        self.clock += 1;
    }

    fn touch(&mut self, place: &Place) {
        if let Place::Buffer(buffer) = place {
            self.buffers[*buffer].last = self.clock;
        }
    }

    fn scope(&mut self) -> &mut Scope {
        self.scopes.last_mut().expect("a graph is being scheduled")
    }

    fn constant(&mut self, tensor: Tensor) -> u32 {
        let key = (tensor.address(), tensor.ty().to_string());
        if tensor.dtype() != DType::Str
            && tensor.elems() > 0
            && let Some(id) = self.constant_ids.get(&key)
        {
            return *id;
        }
        let id = self.constants.len() as u32;
        self.constants.push(tensor);
        self.constant_ids.insert(key, id);
        id
    }

    /// A constant that was packed for a kernel. The steps of an unrolled loop pack the same weights.
    fn packed(&mut self, tensor: Tensor) -> u32 {
        let key = (xxh3_64(tensor.bytes()), tensor.ty().to_string());
        if let Some(id) = self.packed_ids.get(&key)
            && self.constants[*id as usize].bytes() == tensor.bytes()
        {
            return *id;
        }
        let id = self.constant(tensor);
        self.packed_ids.insert(key, id);
        id
    }

    fn buffer(&mut self, bytes: u64) -> Place {
        self.buffers.push(Buffer { bytes, first: self.clock, last: self.clock, output: None });
        Place::Buffer(self.buffers.len() - 1)
    }

    /// Where a value lies; a value that has no place yet gets one.
    fn place(&mut self, graph: &Graph, value: ValueId) -> Place {
        if let Some(place) = self.scope().get(&value) {
            return *place;
        }
        let ty = graph.ty(value);
        let place = if let Some(tensor) = graph.constant(value) {
            Place::Constant(self.constant(tensor.clone()))
        } else {
            self.room(ty)
        };
        self.scope().insert(value, place);
        place
    }

    /// A buffer for a type, or a dynamic slot where its size is not known.
    fn room(&mut self, ty: &TensorType) -> Place {
        if ty.shape.elems().is_some() && ty.dtype != DType::Str {
            self.buffer(bytes(ty))
        } else {
            self.dynamics += 1;
            Place::Dynamic(self.dynamics - 1)
        }
    }

    /// An operand; buffers go by number until they are placed.
    fn operand(&self, place: &Place, ty: &TensorType) -> Operand {
        let slot = match place {
            Place::Input(k) => Slot::Input(*k),
            Place::Constant(k) => Slot::Constant(*k),
            Place::Buffer(k) => Slot::Arena(*k as u64),
            Place::Dynamic(k) => Slot::Dynamic(*k),
        };
        operand(slot, ty)
    }

    /// The operand that a value is, used now.
    fn used(&mut self, graph: &Graph, value: ValueId) -> Operand {
        let place = self.place(graph, value);
        self.touch(&place);
        self.operand(&place, graph.ty(value))
    }

    /// Plans a launch; tells the kernel's number.
    fn launch(&mut self, graph: &Graph, built: Built, cost: f64, nodes: &BTreeSet<NodeId>, name: String) -> u32 {
        let key = written(&built.kernel);
        let kernel = match self.known.get(&key) {
            Some(kernel) => *kernel,
            None => {
                let kernel = self.kernels.len() as u32;
                self.kernels.push(Kernel { name: format!("k{kernel}_{name}"), ..built.kernel });
                self.costs.push(cost - self.device.machine.launch);
                self.known.insert(key, kernel);
                kernel
            }
        };
        if self.scopes.len() == 1 {
            let values = built.operands.iter().map(|operand| if let nest::Operand::Value(value) = operand { Some(*value) } else { None }).collect();
            self.launches.push(Traced { step: self.steps.len(), values });
        }
        let operands = built
            .operands
            .into_iter()
            .map(|operand| match operand {
                nest::Operand::Value(value) => self.used(graph, value),
                nest::Operand::Packed(tensor) => {
                    let ty = tensor.ty();
                    let place = Place::Constant(self.packed(tensor));
                    self.operand(&place, &ty)
                }
            })
            .collect();
        self.push(Step::Launch { kernel, operands, sources: sources(graph, nodes), rules: rules(graph, nodes) });
        kernel
    }

    /// Copies a value to a place.
    fn copy(&mut self, from: &Place, to: &Place, ty: &TensorType) {
        self.touch(from);
        self.touch(to);
        let (from, to) = (self.operand(from, ty), self.operand(to, ty));
        self.push(Step::Copy { from, to });
    }

    /// Runs one node in the interpreter.
    fn interpret(&mut self, graph: &Graph, node: &Node, why: String) -> Result<(), Error> {
        let mut builder = Builder::new(node.op.name());
        builder.set_origins(node.origins.clone());
        let inputs: Vec<ValueId> = node.inputs.iter().enumerate().map(|(k, v)| builder.input(format!("{k}"), graph.ty(*v).clone())).collect();
        let outputs = builder.apply_all(node.op.clone(), &inputs).map_err(|error| builder.locate(error, &node.op, &inputs))?;
        for (k, (value, outer)) in outputs.into_iter().zip(&node.outputs).enumerate() {
            builder.refine(value, graph.ty(*outer).clone());
            builder.output(format!("{k}"), value);
        }
        let inputs = node.inputs.iter().map(|v| self.used(graph, *v)).collect();
        let outputs = node.outputs.iter().map(|v| self.used(graph, *v)).collect();
        let mut sources: Vec<String> = node.origins.iter().map(|origin| origin.to_string()).collect();
        if sources.is_empty() {
            sources.push(node.op.name().to_owned());
        }
        self.push(Step::Interpret { graph: text::print(&builder.finish()), inputs, outputs, sources, why });
        Ok(())
    }

    /// The steps of a loop's body: from places of the body's inputs to places of what it carries on (its first outputs
    /// after `skipped` ones), and where its other outputs lie when a step is done.
    fn repeated(&mut self, body: &Graph, inputs: &[Place], skipped: usize, carried: &[Place]) -> Result<(Vec<Step>, Vec<Place>), Error> {
        let start = self.clock;
        let outer = std::mem::take(&mut self.steps);
        let mut outputs = self.graph(body, inputs)?;
        // What merely passes a state or an element on must be saved before the states change.
        let types: Vec<TensorType> = body.outputs().iter().map(|(_, v)| body.ty(*v).clone()).collect();
        for (k, place) in outputs.iter_mut().enumerate() {
            let own = k.checked_sub(skipped).and_then(|k| carried.get(k));
            if inputs.contains(place) && matches!(place, Place::Buffer(_)) && own != Some(place) {
                let saved = self.room(&types[k]);
                self.copy(place, &saved, &types[k]);
                *place = saved;
            }
        }
        for (k, to) in carried.iter().enumerate() {
            if outputs[skipped + k] != *to {
                self.copy(&outputs[skipped + k].clone(), to, &types[skipped + k]);
            }
        }
        for place in outputs.iter().chain(inputs).chain(carried) {
            self.touch(place);
        }
        // What lives when the loop begins and is used in it lives to its end.
        for buffer in self.buffers.iter_mut().filter(|b| b.first <= start && b.last >= start) {
            buffer.last = self.clock;
        }
        Ok((std::mem::replace(&mut self.steps, outer), outputs))
    }

    /// States get buffers of their own, which hold the initial values when the loop begins and the last ones when it ends.
    fn states(&mut self, graph: &Graph, initial: &[ValueId], results: &[ValueId]) -> Vec<Place> {
        let mut places = Vec::new();
        for (from, to) in initial.iter().zip(results) {
            let ty = graph.ty(*to).clone();
            let state = self.room(&ty);
            let from = self.place(graph, *from);
            self.copy(&from, &state, &ty);
            self.scope().insert(*to, state);
            places.push(state);
        }
        places
    }

    fn scan(&mut self, graph: &Graph, node: &Node, scan: &Scan) -> Result<(), Error> {
        let fixed = scan.states + scan.input_axes.len();
        let scanned: Vec<Operand> = node.inputs[scan.states..fixed].iter().map(|v| self.used(graph, *v)).collect();
        let captures: Vec<Place> = node.inputs[fixed..].iter().map(|v| self.place(graph, *v)).collect();
        let results = node.outputs[scan.states..].iter().map(|v| self.used(graph, *v)).collect::<Vec<_>>();
        let states = self.states(graph, &node.inputs[..scan.states], &node.outputs[..scan.states]);
        let (count_ty, steps) = (TensorType::known(DType::I64, &[]), scanned[0].extents[0]);
        let trips = Place::Constant(self.constant(Tensor::from_slice(&[], &[steps])));
        let counter = self.room(&count_ty);
        let element_types: Vec<TensorType> = scan.body.inputs()[scan.states..fixed].iter().map(|(_, v)| scan.body.ty(*v).clone()).collect();
        let elements: Vec<Place> = element_types.iter().map(|ty| self.room(ty)).collect();
        let inputs: Vec<Place> = states.iter().chain(&elements).chain(&captures).copied().collect();
        let whole: Vec<Place> = node.inputs[scan.states..].iter().chain(&node.outputs).map(|v| self.place(graph, *v)).collect();
        let (body, outputs) = self.repeated(&scan.body, &inputs, 0, &states)?;
        for place in whole.iter().chain([&counter]) {
            self.touch(place);
        }
        let collected = scan.body.outputs()[scan.states..].iter().zip(&outputs[scan.states..]).map(|((_, v), place)| self.operand(place, scan.body.ty(*v)));
        let stacked = collected.zip(results).collect();
        let sliced = scanned.into_iter().zip(elements.iter().zip(&element_types).map(|(place, ty)| self.operand(place, ty))).collect();
        let (trip_count, counter) = (Some(self.operand(&trips, &count_ty)), self.operand(&counter, &count_ty));
        self.push(Step::Loop { trip_count, start: None, counter, cond: None, body, stacked, sliced });
        Ok(())
    }

    fn repeat(&mut self, graph: &Graph, node: &Node, repeat: &Loop) -> Result<(), Error> {
        let ends = 2 + repeat.carried;
        let trip_count = self.used(graph, node.inputs[0]);
        let start = self.used(graph, node.inputs[1]);
        let captures: Vec<Place> = node.inputs[ends..].iter().map(|v| self.place(graph, *v)).collect();
        let results = node.outputs[repeat.carried..].iter().map(|v| self.used(graph, *v)).collect::<Vec<_>>();
        let states = self.states(graph, &node.inputs[2..ends], &node.outputs[..repeat.carried]);
        let body_ty = |k: usize| repeat.body.ty(repeat.body.inputs()[k].1).clone();
        let counter = self.room(&body_ty(0));
        let going = Tensor::from_bools(&[1], &[true]).reshaped(&body_ty(1).shape.extents().unwrap_or_default()).map_err(|_| Error::bug("a loop's condition is not one bool"))?;
        let going = Place::Constant(self.constant(going));
        let inputs: Vec<Place> = [counter, going].into_iter().chain(states.iter().copied()).chain(captures).collect();
        let whole: Vec<Place> = node.inputs.iter().chain(&node.outputs).map(|v| self.place(graph, *v)).collect();
        let (body, outputs) = self.repeated(&repeat.body, &inputs, 1, &states)?;
        for place in whole.iter().chain([&counter]) {
            self.touch(place);
        }
        let out_ty = |k: usize| repeat.body.ty(repeat.body.outputs()[k].1).clone();
        let cond = (outputs[0] != going).then(|| self.operand(&outputs[0], &out_ty(0)));
        let stacked = (1 + repeat.carried..outputs.len()).map(|k| self.operand(&outputs[k], &out_ty(k))).zip(results).collect();
        let counter = self.operand(&counter, &body_ty(0));
        self.push(Step::Loop { trip_count: Some(trip_count), start: Some(start), counter, cond, body, stacked, sliced: Vec::new() });
        Ok(())
    }

    /// The steps that a graph adds, apart.
    fn nested(&mut self, graph: &Graph, inputs: &[Place], results: &[Place]) -> Result<Vec<Step>, Error> {
        let outer = std::mem::take(&mut self.steps);
        let outputs = self.graph(graph, inputs)?;
        for (((_, value), from), to) in graph.outputs().iter().zip(outputs).zip(results) {
            let ty = graph.ty(*value).clone();
            self.copy(&from, to, &ty);
        }
        Ok(std::mem::replace(&mut self.steps, outer))
    }
}

/// Names of the source nodes of nodes, each once.
fn sources(graph: &Graph, nodes: &BTreeSet<NodeId>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for origin in nodes.iter().flat_map(|id| &graph.node(*id).origins.nodes) {
        if !names.contains(&origin.name) {
            names.push(origin.name.clone());
        }
    }
    names
}

/// Names of the rewrites that made nodes, each once.
fn rules(graph: &Graph, nodes: &BTreeSet<NodeId>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for rule in nodes.iter().flat_map(|id| &graph.node(*id).origins.rules) {
        if !names.iter().any(|name| **name == **rule) {
            names.push(rule.to_string());
        }
    }
    names
}

/// What a kernel is called: its ops (at most four, runs of one shortened), dtype and shape.
fn name(graph: &Graph, group: &Group, nodes: &BTreeSet<NodeId>) -> String {
    // What only says where elements lie is not worth a name, unless there is nothing else.
    let all = nodes.iter().map(|id| graph.node(*id).op.name()).filter(|op| *op != "reshape" && *op != "broadcast");
    let (moves, mut ops): (Vec<&str>, Vec<&str>) = all.partition(|op| *op == "transpose");
    if ops.is_empty() {
        ops = moves;
    }
    ops.dedup();
    let more = ops.len() > 4;
    ops.truncate(4);
    let last = group.members.last();
    let shape: Vec<String> = last.iter().flat_map(|member| &member.fused.extents).map(i64::to_string).collect();
    let dtype = last.map_or("", |member| graph.ty(member.to).dtype.name());
    format!("{}{}_{dtype}_{}", ops.join("_"), if more { "_etc" } else { "" }, shape.join("x"))
}

/// What a kernel does, in text.
fn written(kernel: &Kernel) -> String {
    format!("{:?}", (&kernel.places, &kernel.grid, kernel.exprs.nodes(), &kernel.body))
}

impl Planner<'_> {
    fn kernel(&mut self, graph: &Graph, group: &Group) {
        let nodes: BTreeSet<NodeId> = group.members.iter().flat_map(|member| &member.fused.nodes).copied().collect();
        let name = name(graph, group, &nodes);
        let mut built = nest::build(graph, group, self.device.target, 0);
        let mut trial = None;
        if let Some(tuning) = self.device.tuning.filter(|_| !built.alternatives.is_empty()) {
            let key = tuning::key((self.device.target.to_string(), written(&built.kernel)));
            let alternative = tuning.alternative(&key, &built.alternatives);
            trial = Some((key, built.alternatives.clone()));
            if alternative > 0 {
                built = nest::build(graph, group, self.device.target, alternative);
            }
        }
        let kernel = self.launch(graph, built, group.cost, &nodes, name);
        if let Some((key, alternatives)) = trial.filter(|(key, _)| self.trials.iter().all(|known| known.key != *key)) {
            self.trials.push(Trial { kernel, key, alternatives });
        }
    }

    fn fill(&mut self, graph: &Graph, value: Scalar, to: ValueId, node: NodeId) {
        let ty = graph.ty(to);
        self.place(graph, to);
        if bytes(ty) > 0 {
            let name = format!("fill_{}_{}", ty.dtype, ty.shape.elems().unwrap_or(0));
            let cost = self.device.machine.kernel(Arithmetic::default(), bytes(ty) as f64);
            self.launch(graph, nest::fill(graph, value, to, self.device.target), cost, &BTreeSet::from([node]), name);
        }
    }

    fn node(&mut self, graph: &Graph, id: NodeId, why: String) -> Result<(), Error> {
        let node = graph.node(id);
        let fixed = |v: &ValueId| graph.ty(*v).shape.elems().is_some() && graph.ty(*v).dtype != DType::Str;
        match &node.op {
            Op::If(branches) => {
                let cond = self.used(graph, node.inputs[0]);
                let captures: Vec<Place> = node.inputs[1..].iter().map(|v| self.place(graph, *v)).collect();
                let results: Vec<Place> = node.outputs.iter().map(|v| self.place(graph, *v)).collect();
                let then_steps = self.nested(&branches.then_branch, &captures, &results)?;
                let else_steps = self.nested(&branches.else_branch, &captures, &results)?;
                for place in captures.iter().chain(&results) {
                    self.touch(place);
                }
                self.push(Step::If { cond, then_steps, else_steps });
                Ok(())
            }
            Op::Scan(scan) if node.inputs.iter().chain(&node.outputs).all(fixed) && keeps(&scan.body, 0, 0, scan.states) && plain(scan) => self.scan(graph, node, scan),
            Op::Loop(repeat) if node.inputs.iter().chain(&node.outputs[..repeat.carried]).all(fixed) && keeps(&repeat.body, 2, 1, repeat.carried) => self.repeat(graph, node, repeat),
            _ => {
                let why = if node.outputs.iter().all(fixed) { why } else { "its shape is only known at run time".to_owned() };
                self.interpret(graph, node, why)
            }
        }
    }
}

/// Are the types of all of a body's ends known, and does each state keep its type?
fn keeps(body: &Graph, first_input: usize, first_output: usize, states: usize) -> bool {
    let known = |(_, value): &(String, ValueId)| body.ty(*value).shape.elems().is_some() && body.ty(*value).dtype != DType::Str;
    let same = |k: usize| body.ty(body.inputs()[first_input + k].1) == body.ty(body.outputs()[first_output + k].1);
    body.inputs().iter().chain(body.outputs()).all(known) && (0..states).all(same)
}

/// Does a scan go forward along first axes?
fn plain(scan: &Scan) -> bool {
    scan.input_axes.iter().chain(&scan.output_axes).all(|axis| *axis == 0) && !scan.input_reversed.iter().chain(&scan.output_reversed).any(|r| *r)
}
