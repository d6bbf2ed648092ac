//! TorchScript archives.
//!
//! In: an archive. Out: a [`Graph`]. A method (`forward` unless said) is run at import time, for the shapes that the binding gives or a traced module was
//! made with ([`interpret`]); what stays of it are operators on tensors. Attributes that it changes are states of the graph. Must not know: single
//! operators.

mod control;
mod inputs;
mod interpret;
mod library;
mod parse;
mod python;
mod state;
mod syntax;

use std::collections::HashMap;
use std::rc::Rc;

use frit_ir::build::Folding;
use frit_ir::graph::Node;
use frit_ir::ops::if_::If;
use frit_ir::{Builder, DType, Error, Graph, OpError, Tensor, TensorType, ValueId};

use crate::import::archive::{Archive, Member};
use super::aten::Context;
use super::value::{Symbol, Value};
use crate::import::{Model, ends, map};
use crate::specialise::Binding;
use inputs::{Argument, Example, Inputs};
use interpret::Interpreter;
use library::{Library, Part};
use python::Var;
use state::{Before, Form, State};

/// The stack that code is run on: calls, and what they make, nest as deep as the code says.
const STACK: usize = 256 << 20;

/// How often attributes are followed from one run to the next until they have settled.
const MAX_RUNS: usize = 6;

/// Outputs nest no deeper than this.
const MAX_DEPTH: usize = 16;

/// Imports a TorchScript archive.
///
/// # Errors
/// The first complaint about the code, with the module and line; all complaints about inputs.
pub(super) fn import(model: &Model<'_>) -> Result<Graph, Vec<Error>> {
    let run = || {
        let mapped = map(model.path).map_err(|error| vec![error])?;
        let archive = Archive::open(&Member { bytes: mapped.bytes, pages: Some(mapped.pages) }).map_err(|error| vec![error.into()])?;
        program(&archive, model.binding, model.signature.unwrap_or("forward"))
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("import".to_owned()).stack_size(STACK).spawn_scoped(scope, run);
        let thread = thread.map_err(|error| vec![Error::unsupported(format!("no thread to import on: {error}"))])?;
        thread.join().unwrap_or_else(|_| Err(vec![Error::bug("the import panicked")]))
    })
}

fn program(archive: &Archive, binding: &Binding, method: &str) -> Result<Graph, Vec<Error>> {
    let one = |error: OpError| vec![Error::from(error)];
    let library = Library::open(archive).map_err(one)?;
    let pickle = library.pickle(Part::Data);
    let name = pickle.call(pickle.root).map(|(name, ..)| name).filter(|name| name.starts_with("__torch__.")).ok_or_else(|| one(OpError::invalid("the archive holds no module")))?;
    let class = library.class(name).map_err(one)?;
    let Some(function) = class.methods.iter().find(|known| *known.name == *method && !known.parameters.is_empty()) else {
        let methods: Vec<&str> = class.methods.iter().map(|method| &*method.name).filter(|name| !name.starts_with("__")).collect();
        let help = if methods.is_empty() { "the module has no methods: export one whose forward was scripted or traced".to_owned() } else { format!("the module has: {}; pick one with --signature", methods.join(", ")) };
        return Err(vec![Error::invalid(format!("the module has no method '{method}'")).help(help)]);
    };
    let example = Example::of(archive).map_err(one)?;
    let inputs = inputs::of(function, example.as_ref(), binding)?;
    Program { library: &library, method, name: &class.name, inputs }.graph()
}

/// A method and its inputs.
struct Program<'a> {
    library: &'a Library<'a>,
    method: &'a str,
    name: &'a str,
    inputs: Inputs,
}

/// A run of the method.
struct Run<'a> {
    interpreter: Interpreter<'a>,
    outputs: Vec<(String, ValueId)>,
}

/// An attribute that runs change.
struct Changed {
    module: String,
    attribute: Rc<str>,
    before: Vec<Before>,
    form: Form,
    /// Are its numbers states?
    varying: bool,
}

impl Changed {
    fn name(&self) -> String {
        if self.module.is_empty() { self.attribute.to_string() } else { format!("{}.{}", self.module, self.attribute) }
    }
}

/// What stands for states while a run is followed.
enum Stand {
    /// Attributes are as in the archive.
    Archive,
    /// States of the graph.
    States,
    /// Constants: what states are before the first run.
    Initial,
    /// Inputs of the graph, behind the method's own.
    Inputs,
}

impl<'a> Program<'a> {
    fn graph(&self) -> Result<Graph, Vec<Error>> {
        let changed = self.settled()?;
        if changed.is_empty() {
            let Run { interpreter, outputs } = self.run(&changed, &Stand::Archive)?;
            return finished(interpreter.context.builder, outputs);
        }
        // What runs after the first one begin with is what the first one begins with, or does what that does.
        let alike = changed.iter().all(|changed| changed.form.is_initial(&changed.before)) || {
            let (mut first, mut later) = (self.run(&changed, &Stand::Archive)?, self.run(&changed, &Stand::Initial)?);
            let ends = [first.ends(&changed)?, later.ends(&changed)?];
            alike(first.interpreter.context.builder.graph(), &ends[0], later.interpreter.context.builder.graph(), &ends[1])
        };
        if alike { self.with_states(&changed) } else { self.with_first_run(&changed) }
    }

    /// The attributes that runs change, and their forms before each run but the first.
    fn settled(&self) -> Result<Vec<Changed>, Vec<Error>> {
        let mut changed: Vec<Changed> = Vec::new();
        for _ in 0..MAX_RUNS {
            let mut run = self.run(&changed, if changed.is_empty() { &Stand::Archive } else { &Stand::States })?;
            if !run.compare(&mut changed)? {
                return Ok(changed);
            }
        }
        let names: Vec<String> = changed.iter().map(|changed| format!("'{}'", changed.name())).collect();
        Err(vec![Error::unsupported(format!("attributes keep changing from run to run in what they consist of: {}", names.join(", "))).help("what a module keeps between runs has to have the same shapes after each of them")])
    }

    /// The graph whose states are the attributes.
    fn with_states(&self, changed: &[Changed]) -> Result<Graph, Vec<Error>> {
        let mut run = self.run(changed, &Stand::States)?;
        let next = run.next(changed)?;
        let inputs = run.interpreter.context.builder.graph().inputs().to_vec();
        let states: Vec<ValueId> = inputs[self.inputs.declared.len()..].iter().map(|(_, value)| *value).collect();
        let mut builder = run.interpreter.context.builder;
        for (state, next) in states.into_iter().zip(next) {
            builder.update(state, next).map_err(|error| vec![error.into()])?;
        }
        finished(builder, run.outputs)
    }

    /// The graph that does in its first run what the method does with the attributes of the archive, and later what it does with
    /// states.
    fn with_first_run(&self, changed: &[Changed]) -> Result<Graph, Vec<Error>> {
        let one = |error: OpError| vec![Error::from(error)];
        let branch = |stand: &Stand| -> Result<(Graph, Vec<String>), Vec<Error>> {
            let mut run = self.run(changed, stand)?;
            let next = run.next(changed)?;
            let mut builder = run.interpreter.context.builder;
            let names = run.outputs.iter().map(|(name, _)| name.clone()).collect();
            run.outputs.iter().for_each(|(name, value)| builder.output(name.clone(), *value));
            next.iter().enumerate().for_each(|(at, value)| builder.output(format!("state {at}"), *value));
            Ok((builder.finish(), names))
        };
        let ((then_branch, names), (else_branch, others)) = (branch(&Stand::Archive)?, branch(&Stand::Inputs)?);
        if names != others {
            return Err(one(OpError::unsupported("the first run gives other outputs than later ones")));
        }
        // The first run takes what states are, and does not look at it.
        let then_branch = with_inputs(&then_branch, &else_branch).map_err(one)?;
        let mut builder = Builder::new(self.name).folding(Folding::Early);
        let mut operands = self.declare(&mut builder)?;
        let mut all = Vec::new();
        changed.iter().for_each(|changed| changed.form.states(&mut all));
        let mut states = Vec::new();
        for state in all {
            let initial = initial(state).map_err(one)?;
            states.push(builder.state(state.name.clone(), initial));
        }
        let first = builder.state("first run", Tensor::from_bools(&[], &[true]));
        operands.extend(&states);
        operands.insert(0, first);
        let results = builder.apply_all(If { then_branch, else_branch }, &operands).map_err(one)?;
        let (outputs, next) = results.split_at(names.len());
        for (state, next) in states.iter().zip(next) {
            builder.update(*state, *next).map_err(one)?;
        }
        let no = builder.constant(Tensor::from_bools(&[], &[false]));
        builder.update(first, no).map_err(one)?;
        finished(builder, names.into_iter().zip(outputs.iter().copied()).collect())
    }

    fn declare(&self, builder: &mut Builder) -> Result<Vec<ValueId>, Vec<Error>> {
        let declared: Vec<(&str, TensorType)> = self.inputs.declared.iter().map(|(name, ty)| (name.as_str(), ty.clone())).collect();
        ends::inputs(builder, &declared, &self.inputs.rest)
    }

    /// Runs the method.
    fn run(&self, changed: &[Changed], stand: &Stand) -> Result<Run<'a>, Vec<Error>> {
        let mut builder = Builder::new(self.name).folding(Folding::Early);
        let values = self.declare(&mut builder)?;
        let mut interpreter = Interpreter::new(Context::new(builder), self.library);
        if !matches!(stand, Stand::Archive) {
            for changed in changed {
                let context = &mut interpreter.context;
                let mut failed = None;
                let value = changed.form.realised(&mut |state| {
                    let value = match (stand, initial(state)) {
                        (Stand::Inputs, _) => context.builder.input(state.name.clone(), state.ty.clone()),
                        (Stand::States, Ok(initial)) => context.builder.state(state.name.clone(), initial),
                        (_, Ok(initial)) => context.builder.constant(initial),
                        (_, Err(error)) => {
                            failed = Some(error);
                            return Var::NONE;
                        }
                    };
                    if state.number { Var::Plain(Value::Symbol(Symbol { value, dim: frit_ir::Dim::Unknown })) } else { Var::Plain(context.fresh(value)) }
                });
                if let Some(error) = failed {
                    return Err(vec![error.into()]);
                }
                interpreter.given.insert((changed.module.clone(), changed.attribute.clone()), value);
            }
        }
        let done = self.called(&mut interpreter, &values);
        match done {
            Ok(outputs) => Ok(Run { interpreter, outputs }),
            Err(error) => Err(vec![interpreter.located(error)]),
        }
    }

    fn called(&self, interpreter: &mut Interpreter<'a>, values: &[ValueId]) -> Result<Vec<(String, ValueId)>, OpError> {
        let pickle = self.library.pickle(Part::Data);
        let module = interpreter.unpickle(Part::Data, pickle.root, "", MAX_DEPTH)?;
        let Var::Object(object) = module else { return Err(OpError::invalid("the archive holds no module")) };
        let class = interpreter.objects[object].class.clone();
        let function = class.methods.iter().find(|known| *known.name == *self.method).ok_or_else(|| OpError::bug("the method is gone"))?;
        let mut arguments = Vec::new();
        for (parameter, argument) in function.parameters.iter().skip(1).zip(&self.inputs.arguments) {
            arguments.push(match argument {
                Argument::Default => interpreter.default(function, parameter)?,
                argument => put_together(&mut interpreter.context, argument, values),
            });
        }
        let result = interpreter.call_method(object, self.method, arguments, Vec::new())?;
        let mut outputs = Vec::new();
        named(interpreter, "", &result, MAX_DEPTH, &mut outputs)?;
        if outputs.is_empty() {
            return Err(OpError::invalid(format!("'{}' gives no tensors", self.method)));
        }
        Ok(outputs)
    }
}

/// An argument, of the inputs' values.
fn put_together(context: &mut Context, argument: &Argument, values: &[ValueId]) -> Var {
    match argument {
        Argument::Input(at) => Var::Plain(context.fresh(values[*at])),
        Argument::Default | Argument::None => Var::NONE,
        Argument::Bool(x) => Var::bool(*x),
        Argument::Int(n) => Var::int(*n),
        Argument::Float(x) => Var::float(*x),
        Argument::Text(text) => Var::text(text.as_str()),
        Argument::List(items) => Var::list(items.iter().map(|item| put_together(context, item, values)).collect()),
        Argument::Tuple(items) => Var::tuple(items.iter().map(|item| put_together(context, item, values)).collect()),
        Argument::Dict(entries) => Var::dict(entries.iter().map(|(key, item)| (Var::text(key.as_str()), put_together(context, item, values))).collect()),
    }
}

/// The tensors of a result by name: `output`, or `output_0` and so on, or a dictionary's keys and a tuple's fields.
fn named(interpreter: &mut Interpreter<'_>, name: &str, result: &Var, depth: usize, outputs: &mut Vec<(String, ValueId)>) -> Result<(), OpError> {
    let depth = depth.checked_sub(1).ok_or_else(|| OpError::unsupported("the result nests too deep"))?;
    let inner = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}_{key}") };
    match result {
        Var::Plain(Value::None) | Var::Uninitialised => {}
        Var::Tuple(items, Some(names)) => {
            for (field, item) in names.iter().zip(items.iter()) {
                named(interpreter, &inner(field), item, depth, outputs)?;
            }
        }
        Var::List(_) | Var::Tuple(..) => {
            for (at, item) in result.elements().unwrap_or_default().iter().enumerate() {
                let name = if name.is_empty() { format!("output_{at}") } else { format!("{name}_{at}") };
                named(interpreter, &name, item, depth, outputs)?;
            }
        }
        Var::Dict(entries) => {
            for (key, item) in entries.borrow().iter() {
                named(interpreter, &inner(&python::written(key)), item, depth, outputs)?;
            }
        }
        Var::Plain(plain) => {
            let name = if name.is_empty() { "output" } else { name };
            let builder = &mut interpreter.context.builder;
            let value = match plain {
                Value::Tensor(tensor) => interpreter.context.read(*tensor)?,
                Value::Symbol(symbol) => symbol.value,
                Value::Int(n) => builder.constant(Tensor::scalar(DType::I64, frit_ir::Scalar::Int(i128::from(*n)))),
                Value::Float(x) => builder.scalar(DType::F64, *x),
                Value::Bool(x) => builder.constant(Tensor::from_bools(&[], &[*x])),
                Value::Complex(..) => return Err(OpError::unsupported(format!("the result '{name}' holds complex numbers, which is not supported")).help("save a module that gives torch.view_as_real of it")),
                _ => return Err(OpError::unsupported(format!("the result '{name}' is {}", plain.words()))),
            };
            outputs.push((name.to_owned(), value));
        }
        Var::Object(_) | Var::Path(_) => return Err(OpError::unsupported(format!("the result is {}", result.words())).help("wrap the module in one whose results are tensors, and save that")),
    }
    Ok(())
}

/// What a state is before the first run.
fn initial(state: &State) -> Result<Tensor, OpError> {
    match &state.initial {
        Some(tensor) => Ok(tensor.clone()),
        None => Tensor::zeros(state.ty.dtype, &state.ty.extents()?),
    }
}

fn finished(mut builder: Builder, outputs: Vec<(String, ValueId)>) -> Result<Graph, Vec<Error>> {
    for (name, value) in outputs {
        builder.output(name, value);
    }
    ends::finish(builder, Vec::new())
}

impl Run<'_> {
    /// Notes which attributes were changed, and in which form they are now; says whether that is new.
    fn compare(&mut self, changed: &mut Vec<Changed>) -> Result<bool, Vec<Error>> {
        let interpreter = &mut self.interpreter;
        let mut new = false;
        for ((module, attribute), (object, parts)) in std::mem::take(&mut interpreter.originals) {
            let Some(now) = interpreter.objects[object].attributes.get(&attribute).cloned() else { continue };
            let now_parts = state::leaves(interpreter, &now).map_err(|error| vec![error.into()])?;
            let known = changed.iter_mut().find(|known| known.module == module && known.attribute == attribute);
            match known {
                Some(known) => {
                    let name = known.name();
                    let mut form = state::form(interpreter, &name, &now, &known.before, known.varying).map_err(|error| vec![error.into()])?;
                    if !known.form.fits(&form) {
                        // A number that is another one after each run is a state.
                        if !known.varying {
                            known.varying = true;
                            form = state::form(interpreter, &name, &now, &known.before, true).map_err(|error| vec![error.into()])?;
                        }
                        known.form = form;
                        new = true;
                    }
                }
                None if state::same(&parts, &now_parts) => {}
                None => {
                    let before = state::before(interpreter, &parts);
                    let mut one = Changed { module, attribute, before, form: Form::Known(Var::NONE), varying: false };
                    one.form = state::form(interpreter, &one.name(), &now, &one.before, false).map_err(|error| vec![error.into()])?;
                    changed.push(one);
                    new = true;
                }
            }
        }
        Ok(new)
    }

    /// What states are after the run.
    fn next(&mut self, changed: &[Changed]) -> Result<Vec<ValueId>, Vec<Error>> {
        let mut next = Vec::new();
        for changed in changed {
            let mut states = Vec::new();
            changed.form.states(&mut states);
            if states.is_empty() {
                continue;
            }
            let key = (changed.module.clone(), changed.attribute.clone());
            let object = self.interpreter.objects.iter().position(|object| object.pickled.is_some() && object.path == key.0);
            let now = object.and_then(|object| self.interpreter.objects[object].attributes.get(&key.1).cloned()).ok_or_else(|| vec![Error::bug("an attribute is gone")])?;
            let values = changed.form.values(&mut self.interpreter, &now).map_err(|error| vec![error.into()])?;
            next.extend(values);
        }
        Ok(next)
    }

    /// The outputs, and what states are after the run.
    fn ends(&mut self, changed: &[Changed]) -> Result<Vec<ValueId>, Vec<Error>> {
        let next = self.next(changed)?;
        Ok(self.outputs.iter().map(|(_, value)| *value).chain(next).collect())
    }
}

/// Do two graphs of the same inputs compute the same?
fn alike(a: &Graph, ends_a: &[ValueId], b: &Graph, ends_b: &[ValueId]) -> bool {
    let mut numbers: Vec<(Node, u32)> = Vec::new();
    let mut buckets: HashMap<(&'static str, Vec<u32>), Vec<usize>> = HashMap::new();
    let mut count = a.inputs().len() as u32;
    let mut number = |graph: &Graph, ends: &[ValueId]| -> Vec<u32> {
        let mut of: HashMap<ValueId, u32> = graph.inputs().iter().enumerate().map(|(at, (_, value))| (*value, at as u32)).collect();
        for (_, node) in graph.nodes() {
            let operands: Vec<u32> = node.inputs.iter().map(|value| of.get(value).copied().unwrap_or(u32::MAX)).collect();
            let bucket = buckets.entry((node.op.name(), operands)).or_default();
            let first = match bucket.iter().find(|at| numbers[**at].0.op == node.op) {
                Some(at) => numbers[*at].1,
                None => {
                    bucket.push(numbers.len());
                    numbers.push((node.clone(), count));
                    count += node.outputs.len() as u32;
                    count - node.outputs.len() as u32
                }
            };
            of.extend(node.outputs.iter().zip(first..).map(|(value, number)| (*value, number)));
        }
        ends.iter().map(|value| of.get(value).copied().unwrap_or(u32::MAX)).collect()
    };
    a.inputs().len() == b.inputs().len() && number(a, ends_a) == number(b, ends_b)
}

/// A graph that takes what another one takes, of which its own inputs are the first.
fn with_inputs(graph: &Graph, like: &Graph) -> Result<Graph, OpError> {
    let mut builder = Builder::new(graph.name.clone());
    let inputs: Vec<ValueId> = like.inputs().iter().map(|(name, value)| builder.input(name.clone(), like.ty(*value).clone())).collect();
    let outputs = builder.inline(graph, &inputs[..graph.inputs().len()])?;
    for ((name, _), value) in graph.outputs().iter().zip(outputs) {
        builder.output(name.clone(), value);
    }
    Ok(builder.finish())
}
