//! Building a graph by hand, with handles that know their types and operators that work on them.
//!
//! In: calls on [`Model`] and [`Handle`]. Out: a [`Graph`]. Every mistake is reported by the call that makes it, with
//! that call's place in the source, which also becomes the node's origin. Must not know: source formats, shape rules
//! (ops have those).
//!
//! A perceptron with one hidden layer:
//!
//! ```
//! use frit_ir::model::Model;
//! use frit_ir::{DType, Tensor, eval};
//!
//! # fn main() -> Result<(), frit_ir::Error> {
//! let m = Model::new("mlp");
//! let x = m.input("x", DType::F32, &["batch".into(), 3.into()])?;
//! let w1 = m.constant(Tensor::from_slice(&[3, 2], &[1.0f32, -1.0, 0.5, 0.0, 0.0, 2.0]));
//! let b1 = m.constant(Tensor::from_slice(&[2], &[0.5f32, -0.5]));
//! let w2 = m.constant(Tensor::from_slice(&[2, 1], &[2.0f32, 3.0]));
//! let hidden = (x.matmul(&w1)? + &b1)?.relu()?;
//! let y = (hidden.matmul(&w2)? * 0.5)?;
//! m.output("y", &y)?;
//! let graph = m.finish();
//!
//! let x = Tensor::from_slice(&[2, 3], &[1.0f32, 2.0, 3.0, -1.0, 0.0, 1.0]);
//! let results = eval::run(&graph, &[&x])?;
//! assert_eq!(results, [Tensor::from_slice(&[2, 1], &[9.25f32, 3.75])]);
//! # Ok(())
//! # }
//! ```
//!
//! A small convolutional network:
//!
//! ```
//! use frit_ir::model::Model;
//! use frit_ir::{DType, Tensor, eval};
//!
//! # fn main() -> Result<(), frit_ir::Error> {
//! let m = Model::new("cnn");
//! let image = m.input("image", DType::F32, &["batch".into(), 1.into(), 8.into(), 8.into()])?;
//! let edges = m.constant(Tensor::from_slice(&[2, 1, 3, 3], &[
//!     -1.0f32, 0.0, 1.0, -2.0, 0.0, 2.0, -1.0, 0.0, 1.0, // Sobel, across
//!     -1.0, -2.0, -1.0, 0.0, 0.0, 0.0, 1.0, 2.0, 1.0, // and down
//! ]));
//! let features = image.conv(&edges, &[2, 2], &[0, 0])?.relu()?;
//! let pooled = features.reduce_max(&[2, 3])?; // [batch, 2, 1, 1]
//! let classes = pooled.softmax(1)?;
//! m.output("classes", &classes)?;
//! let graph = m.finish();
//!
//! let slope: Vec<f32> = (0..64).map(|i| (i / 8) as f32).collect(); // brighter towards the bottom
//! let results = eval::run(&graph, &[&Tensor::from_slice(&[1, 1, 8, 8], &slope)])?;
//! assert_eq!(results[0].extents(), [1, 2, 1, 1]);
//! assert!(results[0].f64s()[1] > 0.5);
//! # Ok(())
//! # }
//! ```
//!
//! An attention block. Its `batch` is open, its other extents are numbers:
//!
//! ```
//! use frit_ir::model::{Handle, Model};
//! use frit_ir::{DType, Error, Tensor, eval};
//!
//! /// softmax(q k^T / sqrt(d)) v
//! fn attention(q: &Handle, k: &Handle, v: &Handle, d: i64) -> Result<Handle, Error> {
//!     let scores = (q.matmul(&k.transpose(&[0, 2, 1])?)? / (d as f64).sqrt())?;
//!     scores.softmax(-1)?.matmul(v)
//! }
//!
//! # fn main() -> Result<(), Error> {
//! let m = Model::new("attention");
//! let x = m.input("x", DType::F32, &["batch".into(), 4.into(), 2.into()])?;
//! let weights = |values: [f32; 4]| m.constant(Tensor::from_slice(&[2, 2], &values));
//! let q = x.matmul(&weights([1.0, 0.0, 0.0, 1.0]))?;
//! let k = x.matmul(&weights([0.0, 1.0, 1.0, 0.0]))?;
//! let v = x.matmul(&weights([2.0, 0.0, 0.0, 2.0]))?;
//! let y = (&x + attention(&q, &k, &v, 2)?)?; // with a residual connection
//! m.output("y", &y)?;
//! let graph = m.finish();
//!
//! let ones = Tensor::from_slice(&[1, 4, 2], &[1.0f32; 8]);
//! assert_eq!(eval::run(&graph, &[&ones])?, [Tensor::from_slice(&[1, 4, 2], &[3.0f32; 8])]);
//! # Ok(())
//! # }
//! ```

use std::cell::RefCell;
use std::ops::Range;
use std::panic::Location;
use std::rc::Rc;

use crate::build::{Builder, origin};
use crate::dtype::DType;
use crate::error::{Error, Kind, OpError};
use crate::graph::{Graph, ValueId};
use crate::ops::aggregate::Statistic;
use crate::ops::reduce::How;
use crate::ops::{self, Op};
use crate::scalar::Scalar;
use crate::shape::{self, Dim, TensorType};
use crate::tensor::Tensor;

/// A graph under construction: the model's, or while a closure builds a subgraph, that one.
struct Frame {
    serial: u64,
    builder: Builder,
    /// Values of the frame around this one that were used here, and the inputs they became.
    captures: Vec<(ValueId, ValueId)>,
    /// Constants of the frame around this one that were used here, and their copies.
    constants: Vec<(ValueId, ValueId)>,
}

#[derive(Default)]
struct State {
    /// The model's graph, then subgraphs from the outside in. Empty when the model is finished.
    frames: Vec<Frame>,
    serials: u64,
}

/// A model under construction.
pub struct Model {
    state: Rc<RefCell<State>>,
}

/// A value of a model under construction. Cloning makes another handle of the same value.
#[derive(Clone)]
pub struct Handle {
    state: Rc<RefCell<State>>,
    frame: u64,
    id: ValueId,
    ty: TensorType,
}

/// What one step of a [loop](Model::loop_) gives.
#[derive(Clone, Debug)]
pub struct Step {
    /// Does another step follow (one bool)? Nothing: always.
    pub go_on: Option<Handle>,
    /// What the next step gets.
    pub carried: Vec<Handle>,
    /// What is collected.
    pub collected: Vec<Handle>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "%{}: {}", self.id.0, self.ty)
    }
}

impl State {
    fn push(&mut self, name: &str) -> &mut Frame {
        self.serials += 1;
        self.frames.push_mut(Frame { serial: self.serials, builder: Builder::new(name), captures: Vec::new(), constants: Vec::new() })
    }

    /// The value of frame `level` that a handle's value is there; captures it from outside where needed.
    fn resolve(&mut self, handle: &Handle, level: usize) -> Result<ValueId, OpError> {
        if self.frames[level].serial == handle.frame {
            return Ok(handle.id);
        }
        if level == 0 {
            return Err(OpError::invalid("the value belongs to a subgraph that is closed").help("return it from the closure that made it"));
        }
        let outer = self.resolve(handle, level - 1)?;
        self.capture(outer, level)
    }

    /// The value of frame `level` that stands for a value of the frame around it.
    fn capture(&mut self, outer: ValueId, level: usize) -> Result<ValueId, OpError> {
        let [.., around, frame] = &mut self.frames[..=level] else {
            return Err(OpError::bug("the outermost graph captures nothing"));
        };
        if let Some((_, inner)) = frame.captures.iter().chain(&frame.constants).find(|(known, _)| *known == outer) {
            return Ok(*inner);
        }
        let value = around.builder.graph().value(outer);
        if let Some(tensor) = around.builder.as_constant(outer) {
            let inner = frame.builder.constant(tensor.clone());
            frame.constants.push((outer, inner));
            return Ok(inner);
        }
        let name = value.name.clone().unwrap_or_else(|| format!("captured{}", frame.captures.len()));
        let inner = frame.builder.input(name, value.ty.clone());
        frame.captures.push((outer, inner));
        Ok(inner)
    }
}

/// The words for a place in the user's source.
fn place(at: &Location<'_>) -> String {
    format!("{}:{}:{}", at.file(), at.line(), at.column())
}

#[track_caller]
fn complaint(error: OpError, op: &str, inputs: Vec<String>) -> Error {
    let error = match error.kind {
        Kind::Unknown => OpError::unsupported("this needs extents that are open here").help("give the model's inputs extents that are numbers"),
        Kind::Invalid | Kind::Unsupported | Kind::Bug => error,
    };
    Error::at(error, format!("{op} at {}", place(Location::caller())), inputs)
}

/// Applies an op in the innermost graph that is being built.
#[track_caller]
fn apply(state: &Rc<RefCell<State>>, op: Op, operands: &[&Handle]) -> Result<Vec<Handle>, Error> {
    let name = op.name();
    let origins = origin(place(Location::caller()), name, "");
    let done = apply_in(state, op, operands, origins);
    match done {
        Ok(handles) => Ok(handles),
        Err(error) => Err(complaint(error, name, operands.iter().map(|handle| handle.ty.to_string()).collect())),
    }
}

fn apply_in(state: &Rc<RefCell<State>>, op: Op, operands: &[&Handle], origins: crate::graph::Origins) -> Result<Vec<Handle>, OpError> {
    let mut inner = state.borrow_mut();
    let Some(top) = inner.frames.len().checked_sub(1) else {
        return Err(OpError::invalid("the model is finished"));
    };
    let mut ids = Vec::with_capacity(operands.len());
    for handle in operands {
        if !Rc::ptr_eq(state, &handle.state) {
            return Err(OpError::invalid("the operands belong to different models"));
        }
        ids.push(inner.resolve(handle, top)?);
    }
    let frame = &mut inner.frames[top];
    frame.builder.set_origins(origins);
    let results = frame.builder.apply_all(op, &ids)?;
    Ok(results.into_iter().map(|id| Handle { state: Rc::clone(state), frame: frame.serial, id, ty: frame.builder.ty(id).clone() }).collect())
}

#[track_caller]
fn apply_one(state: &Rc<RefCell<State>>, op: impl Into<Op>, operands: &[&Handle]) -> Result<Handle, Error> {
    let op = op.into();
    let name = op.name();
    let mut results = apply(state, op, operands)?;
    match (results.pop(), results.is_empty()) {
        (Some(one), true) => Ok(one),
        _ => Err(complaint(OpError::bug("it does not give one result"), name, Vec::new())),
    }
}

impl Model {
    /// An empty model.
    pub fn new(name: &str) -> Self {
        let mut state = State::default();
        state.push(name);
        Self { state: Rc::new(RefCell::new(state)) }
    }

    fn top<T>(&self, what: impl FnOnce(&mut Frame) -> T) -> Option<T> {
        self.state.borrow_mut().frames.last_mut().map(what)
    }

    /// Adds an input. A dim is a number, or a name where the extent is open: `&["batch".into(), 784.into()]`.
    ///
    /// # Errors
    /// Invalid inside a subgraph, and where the name is taken or an extent is negative.
    #[track_caller]
    pub fn input(&self, name: &str, dtype: DType, dims: &[Dim]) -> Result<Handle, Error> {
        let ty = TensorType::ranked(dtype, dims.to_vec());
        match self.try_input(name, &ty) {
            Ok((frame, id)) => Ok(Handle { state: Rc::clone(&self.state), frame, id, ty }),
            Err(error) => Err(complaint(error, "input", Vec::new())),
        }
    }

    fn try_input(&self, name: &str, ty: &TensorType) -> Result<(u64, ValueId), OpError> {
        let mut state = self.state.borrow_mut();
        let [frame] = state.frames.as_mut_slice() else {
            return Err(OpError::invalid("inputs are added to the model, not to a subgraph"));
        };
        if let Some(negative) = ty.dims()?.iter().find(|dim| dim.known().is_some_and(|n| n < 0)) {
            return Err(OpError::invalid(format!("extent {negative} of input '{name}' is negative")));
        }
        if frame.builder.graph().inputs().iter().any(|(known, _)| known == name) {
            return Err(OpError::invalid(format!("there is an input '{name}' already")));
        }
        Ok((frame.serial, frame.builder.input(name, ty.clone())))
    }

    /// Adds a constant.
    #[track_caller]
    pub fn constant(&self, tensor: Tensor) -> Handle {
        apply_one(&self.state, ops::constant::Constant { value: tensor }, &[]).expect("a constant takes nothing, and a model that can be called is not finished")
    }

    /// Names an output.
    ///
    /// # Errors
    /// Invalid inside a subgraph, and where the name is taken or the value belongs to a subgraph or another model.
    #[track_caller]
    pub fn output(&self, name: &str, value: &Handle) -> Result<(), Error> {
        match self.try_output(name, value) {
            Ok(()) => Ok(()),
            Err(error) => Err(complaint(error, "output", vec![value.ty.to_string()])),
        }
    }

    fn try_output(&self, name: &str, value: &Handle) -> Result<(), OpError> {
        if !Rc::ptr_eq(&self.state, &value.state) {
            return Err(OpError::invalid(format!("the value of output '{name}' belongs to another model")));
        }
        let mut state = self.state.borrow_mut();
        if state.frames.len() != 1 {
            return Err(OpError::invalid("outputs are given to the model, not to a subgraph").help("return the value from the closure"));
        }
        let id = state.resolve(value, 0)?;
        let builder = &mut state.frames[0].builder;
        if builder.graph().outputs().iter().any(|(known, _)| known == name) {
            return Err(OpError::invalid(format!("there is an output '{name}' already")));
        }
        builder.output(name, id);
        Ok(())
    }

    /// Applies any op, in the innermost subgraph that is being built.
    ///
    /// # Errors
    /// What the op says of its operands; invalid where they belong to another model or a closed subgraph.
    #[track_caller]
    pub fn apply(&self, op: impl Into<Op>, operands: &[&Handle]) -> Result<Vec<Handle>, Error> {
        apply(&self.state, op.into(), operands)
    }

    /// Counts along an axis, see [`ops::iota`].
    ///
    /// # Errors
    /// Invalid where there is no such axis.
    #[track_caller]
    pub fn iota(&self, dtype: DType, extents: &[i64], axis: usize) -> Result<Handle, Error> {
        apply_one(&self.state, ops::iota::Iota { dtype, extents: extents.to_vec(), axis }, &[])
    }

    /// Joins tensors along an axis; a negative one counts from the last.
    ///
    /// # Errors
    /// Invalid where there are none, or dtypes or other extents differ.
    #[track_caller]
    pub fn concat(&self, parts: &[&Handle], axis: i64) -> Result<Handle, Error> {
        let rank = parts.first().and_then(|part| part.ty.shape.dims()).map_or(0, <[Dim]>::len);
        match shape::axis(axis, rank) {
            Ok(axis) => apply_one(&self.state, ops::concat::Concat { axis }, parts),
            Err(error) => Err(complaint(error, "concat", parts.iter().map(|part| part.ty.to_string()).collect())),
        }
    }

    /// What `then_branch` returns where `cond` (one bool) holds, else what `else_branch` returns. The closures may use
    /// any value made before.
    ///
    /// ```
    /// # use frit_ir::model::Model;
    /// # use frit_ir::{DType, Tensor, eval};
    /// # fn main() -> Result<(), frit_ir::Error> {
    /// let m = Model::new("if");
    /// let cond = m.input("double", DType::Bool, &[])?;
    /// let x = m.input("x", DType::F32, &[2.into()])?;
    /// let y = m.if_(&cond, |_| Ok(vec![(&x * 2.0)?]), |_| Ok(vec![(-&x)?]))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of the closures; invalid where `cond` is no bool or the branches give other numbers or dtypes of values.
    #[track_caller]
    pub fn if_(
        &self,
        cond: &Handle,
        then_branch: impl FnOnce(&Model) -> Result<Vec<Handle>, Error>,
        else_branch: impl FnOnce(&Model) -> Result<Vec<Handle>, Error>,
    ) -> Result<Vec<Handle>, Error> {
        let mut first = self.subgraph("then", &[], &[], |m, _| then_branch(m))?;
        let seeds: Vec<ValueId> = first.captures.iter().map(|(outer, _)| *outer).collect();
        let second = self.subgraph("else", &[], &seeds, |m, _| else_branch(m))?;
        for (outer, inner) in &second.captures[seeds.len()..] {
            let (name, ty) = (second.builder.graph().value(*inner).name.clone().unwrap_or_default(), second.builder.ty(*inner).clone());
            let inner = first.builder.input(name, ty);
            first.captures.push((*outer, inner));
        }
        let captured = self.captured(&first);
        let operands: Vec<&Handle> = std::iter::once(cond).chain(&captured).collect();
        apply(&self.state, ops::if_::If { then_branch: first.builder.finish(), else_branch: second.builder.finish() }.into(), &operands)
    }

    /// Applies `body` again and again: at most `trips` times (one i64), and as long as it says so. It gets the number of the
    /// step and the carried values, and gives those of the next step. The results are the last carried values, then what
    /// was collected, side by side along a new first axis.
    ///
    /// ```
    /// # use frit_ir::model::{Model, Step};
    /// # use frit_ir::{DType, Tensor, eval};
    /// # fn main() -> Result<(), frit_ir::Error> {
    /// let m = Model::new("powers");
    /// let x = m.input("x", DType::F32, &[])?;
    /// let trips = m.constant(Tensor::from_slice(&[], &[3i64]));
    /// let one = m.constant(Tensor::from_slice(&[], &[1.0f32]));
    /// let results = m.loop_(&trips, &[&one], |_, _step, carried| {
    ///     let power = (&carried[0] * &x)?;
    ///     Ok(Step { go_on: None, carried: vec![power.clone()], collected: vec![power] })
    /// })?;
    /// m.output("powers", &results[1])?;
    /// let powers = eval::run(&m.finish(), &[&Tensor::from_slice(&[], &[2.0f32])])?;
    /// assert_eq!(powers, [Tensor::from_slice(&[3], &[2.0f32, 4.0, 8.0])]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of the closure; invalid where it gives other numbers or dtypes of carried values than it gets.
    #[track_caller]
    pub fn loop_(&self, trips: &Handle, carried: &[&Handle], body: impl FnOnce(&Model, &Handle, &[Handle]) -> Result<Step, Error>) -> Result<Vec<Handle>, Error> {
        let begin = apply_one(&self.state, ops::constant::Constant { value: Tensor::from_bools(&[], &[true]) }, &[])?;
        let mut types = vec![TensorType::known(DType::I64, &[]), TensorType::known(DType::Bool, &[])];
        types.extend(carried.iter().map(|handle| handle.ty.clone()));
        let frame = self.subgraph("step", &types, &[], |m, inputs| {
            let step = body(m, &inputs[0], &inputs[2..])?;
            if step.carried.len() != carried.len() {
                return Err(Error::invalid(format!("the body of 'loop' carries {} values, not {}", step.carried.len(), carried.len())));
            }
            let go_on = step.go_on.unwrap_or_else(|| inputs[1].clone());
            Ok(std::iter::once(go_on).chain(step.carried).chain(step.collected).collect())
        })?;
        let captured = self.captured(&frame);
        let operands: Vec<&Handle> = [trips, &begin].into_iter().chain(carried.iter().copied()).chain(&captured).collect();
        apply(&self.state, ops::loop_::Loop { body: frame.builder.finish(), carried: carried.len() }.into(), &operands)
    }

    /// Applies `body` to one element after another of `scanned`, along their first axes. It gets the states and the
    /// elements, and gives the next states and elements to collect. The results are the last states, then what was
    /// collected, side by side along a new first axis.
    ///
    /// ```
    /// # use frit_ir::model::Model;
    /// # use frit_ir::{DType, Tensor, eval};
    /// # fn main() -> Result<(), frit_ir::Error> {
    /// let m = Model::new("running sum");
    /// let x = m.input("x", DType::F32, &["steps".into()])?;
    /// let zero = m.constant(Tensor::from_slice(&[], &[0.0f32]));
    /// let results = m.scan(&[&zero], &[&x], |_, states, elements| {
    ///     let sum = (&states[0] + &elements[0])?;
    ///     Ok((vec![sum.clone()], vec![sum]))
    /// })?;
    /// m.output("sums", &results[1])?;
    /// let sums = eval::run(&m.finish(), &[&Tensor::from_slice(&[3], &[1.0f32, 2.0, 3.0])])?;
    /// assert_eq!(sums, [Tensor::from_slice(&[3], &[1.0f32, 3.0, 6.0])]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of the closure; invalid where nothing is scanned, numbers of steps differ, or the closure gives other numbers
    /// or types of states than it gets.
    #[track_caller]
    pub fn scan(&self, states: &[&Handle], scanned: &[&Handle], body: impl FnOnce(&Model, &[Handle], &[Handle]) -> Result<(Vec<Handle>, Vec<Handle>), Error>) -> Result<Vec<Handle>, Error> {
        let mut types: Vec<TensorType> = states.iter().map(|handle| handle.ty.clone()).collect();
        for handle in scanned {
            let element = handle.ty.dims().and_then(|dims| dims.get(1..).ok_or_else(|| OpError::invalid("a number can't be scanned")));
            types.push(TensorType::ranked(handle.ty.dtype, handle.with("scan", element)?.to_vec()));
        }
        let mut collected = 0;
        let frame = self.subgraph("step", &types, &[], |m, inputs| {
            let (before, elements) = inputs.split_at(states.len());
            let (after, elements) = body(m, before, elements)?;
            if after.len() != states.len() {
                return Err(Error::invalid(format!("the body of 'scan' gives {} states, not {}", after.len(), states.len())));
            }
            collected = elements.len();
            Ok(after.into_iter().chain(elements).collect())
        })?;
        let captured = self.captured(&frame);
        let operands: Vec<&Handle> = states.iter().chain(scanned).copied().chain(&captured).collect();
        let scan = ops::scan::Scan {
            body: frame.builder.finish(),
            states: states.len(),
            input_axes: vec![0; scanned.len()],
            input_reversed: vec![false; scanned.len()],
            output_axes: vec![0; collected],
            output_reversed: vec![false; collected],
        };
        apply(&self.state, scan.into(), &operands)
    }

    /// Handles of the values that a subgraph of the innermost graph captured.
    fn captured(&self, frame: &Frame) -> Vec<Handle> {
        self.top(|around| {
            frame.captures.iter().map(|(id, _)| Handle { state: Rc::clone(&self.state), frame: around.serial, id: *id, ty: around.builder.ty(*id).clone() }).collect()
        })
        .unwrap_or_default()
    }

    /// Builds a subgraph with inputs of its own, that captures the values `seeds` first.
    #[track_caller]
    fn subgraph(&self, name: &str, inputs: &[TensorType], seeds: &[ValueId], body: impl FnOnce(&Model, &[Handle]) -> Result<Vec<Handle>, Error>) -> Result<Frame, Error> {
        let (level, inputs) = {
            let mut state = self.state.borrow_mut();
            let (level, frame) = (state.frames.len(), state.push(name));
            let handle = |(k, ty): (usize, &TensorType)| Handle { state: Rc::clone(&self.state), frame: frame.serial, id: frame.builder.input(format!("{k}"), ty.clone()), ty: ty.clone() };
            (level, inputs.iter().enumerate().map(handle).collect::<Vec<_>>())
        };
        let seeded = seeds.iter().try_for_each(|outer| self.state.borrow_mut().capture(*outer, level).map(drop));
        let results = match seeded {
            Ok(()) => body(self, &inputs),
            Err(error) => Err(complaint(error, name, Vec::new())),
        };
        let mut state = self.state.borrow_mut();
        let ended = results.and_then(|results| {
            for (k, result) in results.iter().enumerate() {
                let id = if Rc::ptr_eq(&self.state, &result.state) { state.resolve(result, level) } else { Err(OpError::invalid("a result belongs to another model")) };
                let id = id.map_err(|error| Error::at(error, format!("subgraph '{name}'"), Vec::new()))?;
                state.frames[level].builder.output(format!("{k}"), id);
            }
            Ok(())
        });
        match (state.frames.pop(), ended) {
            (Some(frame), Ok(())) => Ok(frame),
            (_, Err(error)) => Err(error),
            (None, Ok(())) => Err(Error::bug("a subgraph was lost")),
        }
    }

    /// The finished graph.
    pub fn finish(self) -> Graph {
        let frames = std::mem::take(&mut self.state.borrow_mut().frames);
        frames.into_iter().next().map(|frame| frame.builder.finish()).unwrap_or_default()
    }
}

macro_rules! unary {
    ($($(#[$meta:meta])* $method:ident = $module:ident :: $op:ident;)*) => {
        impl Handle {
            $($(#[$meta])*
            ///
            /// # Errors
            /// Invalid for other dtypes.
            #[track_caller]
            pub fn $method(&self) -> Result<Handle, Error> {
                apply_one(&self.state, ops::$module::$op {}, &[self])
            })*
        }
    };
}

macro_rules! binary {
    ($($(#[$meta:meta])* $method:ident = $module:ident :: $op:ident;)*) => {
        impl Handle {
            $($(#[$meta])*
            ///
            /// # Errors
            /// Invalid where dtypes differ, are not ones that the op takes, or shapes don't fit.
            #[track_caller]
            pub fn $method(&self, other: &Handle) -> Result<Handle, Error> {
                apply_one(&self.state, ops::$module::$op {}, &[self, other])
            })*
        }
    };
}

unary! {
    /// Absolute values of numbers.
    abs = abs::Abs;
    /// e to the power of floats.
    exp = exp::Exp;
    /// Numbers with the other sign.
    neg = neg::Neg;
    /// Numbers, or 0 where they are negative.
    relu = relu::Relu;
    /// Square roots of floats.
    sqrt = sqrt::Sqrt;
    /// Natural logarithms of floats.
    log = log::Log;
    /// Sines of floats.
    sin = sin::Sin;
    /// Cosines of floats.
    cos = cos::Cos;
    /// Hyperbolic tangents of floats.
    tanh = tanh::Tanh;
    /// Logistic function of floats.
    sigmoid = sigmoid::Sigmoid;
    /// Error function of floats.
    erf = erf::Erf;
    /// Floats rounded down.
    floor = floor::Floor;
    /// Floats rounded up.
    ceil = ceil::Ceil;
    /// -1, 0 or 1, by the sign of numbers.
    sign = sign::Sign;
    /// The other bits of integers and truth values.
    not = not::Not;
}

binary! {
    /// Sums of numbers, after NumPy's broadcasting.
    add = add::Add;
    /// Differences of numbers, after NumPy's broadcasting.
    sub = sub::Sub;
    /// Products of numbers, after NumPy's broadcasting.
    mul = mul::Mul;
    /// Quotients of numbers, after NumPy's broadcasting.
    div = div::Div;
    /// The larger of two numbers, after NumPy's broadcasting.
    max = max::Max;
    /// The smaller of two numbers, after NumPy's broadcasting.
    min = min::Min;
    /// Powers, after NumPy's broadcasting.
    pow = pow::Pow;
    /// Remainders with the divisor's sign, after NumPy's broadcasting.
    modulo = modulo::Modulo;
    /// Is the first smaller? After NumPy's broadcasting; bool.
    less = less::Less;
    /// Is the first smaller, or are they equal? After NumPy's broadcasting; bool.
    less_equal = less_equal::LessEqual;
    /// Bits that both have, after NumPy's broadcasting.
    and = and::And;
    /// Bits that either has, after NumPy's broadcasting.
    or = or::Or;
    /// Are they equal? After NumPy's broadcasting; bool.
    equal = equal::Equal;
    /// Products of matrices over the last two axes; the leading ones broadcast.
    matmul = matmul::MatMul;
}

impl Handle {
    /// Dtype and shape.
    pub fn ty(&self) -> &TensorType {
        &self.ty
    }

    /// Gives the value a name that messages and dumps show.
    #[must_use]
    pub fn named(self, name: &str) -> Handle {
        if let Some(frame) = self.state.borrow_mut().frames.iter_mut().find(|frame| frame.serial == self.frame) {
            frame.builder.name(self.id, name);
        }
        self
    }

    #[track_caller]
    fn with<T>(&self, op: &str, value: Result<T, OpError>) -> Result<T, Error> {
        match value {
            Ok(value) => Ok(value),
            Err(error) => Err(complaint(error, op, vec![self.ty.to_string()])),
        }
    }

    /// Axes given as in Python (negative ones count from the last), ascending.
    fn axes(&self, axes: &[i64]) -> Result<Vec<usize>, OpError> {
        let rank = self.ty.rank()?;
        let mut axes = axes.iter().map(|axis| shape::axis(*axis, rank)).collect::<Result<Vec<_>, _>>()?;
        axes.sort_unstable();
        Ok(axes)
    }

    #[track_caller]
    fn reduce(&self, how: How, axes: &[i64]) -> Result<Handle, Error> {
        let axes = self.with("reduce", self.axes(axes))?;
        apply_one(&self.state, ops::reduce::Reduce { how, axes }, &[self])
    }

    /// Sums along axes, which keep extent 1.
    ///
    /// # Errors
    /// Invalid where there are no such axes.
    #[track_caller]
    pub fn reduce_sum(&self, axes: &[i64]) -> Result<Handle, Error> {
        self.reduce(How::Sum, axes)
    }

    /// Products along axes, which keep extent 1.
    ///
    /// # Errors
    /// Invalid where there are no such axes.
    #[track_caller]
    pub fn reduce_product(&self, axes: &[i64]) -> Result<Handle, Error> {
        self.reduce(How::Product, axes)
    }

    /// Largest elements along axes, which keep extent 1.
    ///
    /// # Errors
    /// Invalid where there are no such axes.
    #[track_caller]
    pub fn reduce_max(&self, axes: &[i64]) -> Result<Handle, Error> {
        self.reduce(How::Max, axes)
    }

    /// Smallest elements along axes, which keep extent 1.
    ///
    /// # Errors
    /// Invalid where there are no such axes.
    #[track_caller]
    pub fn reduce_min(&self, axes: &[i64]) -> Result<Handle, Error> {
        self.reduce(How::Min, axes)
    }

    /// Means along axes, which keep extent 1.
    ///
    /// # Errors
    /// Invalid where there are no such axes.
    #[track_caller]
    pub fn reduce_mean(&self, axes: &[i64]) -> Result<Handle, Error> {
        let axes = self.with("aggregate", self.axes(axes))?;
        apply_one(&self.state, ops::aggregate::Aggregate { statistic: Statistic::Mean, axes, keep: true }, &[self])
    }

    /// Without axes of extent 1.
    ///
    /// # Errors
    /// Invalid where there are no such axes, or their extents are not 1.
    #[track_caller]
    pub fn squeeze(&self, axes: &[i64]) -> Result<Handle, Error> {
        let axes = apply_one(&self.state, ops::constant::Constant { value: Tensor::from_ints(axes) }, &[])?;
        apply_one(&self.state, ops::squeeze::Squeeze {}, &[self, &axes])
    }

    /// With axes of extent 1 put in so that they stand at `axes` of the result.
    ///
    /// # Errors
    /// Invalid where the result has no such axes.
    #[track_caller]
    pub fn unsqueeze(&self, axes: &[i64]) -> Result<Handle, Error> {
        let axes = apply_one(&self.state, ops::constant::Constant { value: Tensor::from_ints(axes) }, &[])?;
        apply_one(&self.state, ops::unsqueeze::Unsqueeze {}, &[self, &axes])
    }

    /// Slices along an axis (a negative one counts from the last), picked by integers.
    ///
    /// # Errors
    /// Invalid where there is no such axis, or the indices are no integers.
    #[track_caller]
    pub fn gather(&self, indices: &Handle, axis: i64) -> Result<Handle, Error> {
        let axis = self.with("gather", self.ty.rank().and_then(|rank| shape::axis(axis, rank)))?;
        apply_one(&self.state, ops::gather::Gather { axis }, &[self, indices])
    }

    /// Gaussian error linear unit of floats.
    ///
    /// # Errors
    /// Invalid for other dtypes.
    #[track_caller]
    pub fn gelu(&self) -> Result<Handle, Error> {
        apply_one(&self.state, ops::gelu::Gelu { tanh: false }, &[self])
    }

    /// Normalised over the axes from `axis` on (a negative one counts from the last), then scaled and shifted.
    ///
    /// # Errors
    /// Invalid where there is no such axis, dtypes differ or are no floats.
    #[track_caller]
    pub fn layer_norm(&self, axis: i64, epsilon: f64, factor: &Handle, shift: &Handle) -> Result<Handle, Error> {
        let norm = ops::layer_norm::LayerNorm { axis, epsilon, stash: self.ty.dtype.accumulator() };
        let mut results = apply(&self.state, norm.into(), &[self, factor, shift])?;
        Ok(results.swap_remove(0))
    }

    /// Exponentials divided by their sums along an axis; a negative one counts from the last. Floats.
    ///
    /// # Errors
    /// Invalid where there is no such axis.
    #[track_caller]
    pub fn softmax(&self, axis: i64) -> Result<Handle, Error> {
        let axis = self.with("softmax", self.ty.rank().and_then(|rank| shape::axis(axis, rank)))?;
        apply_one(&self.state, ops::softmax::Softmax { axis, zeros: false }, &[self])
    }

    /// Convolution of `[N, C, spatial..]` with `weights` `[O, C, kernel..]`, with as many zeros on both sides of
    /// each spatial axis as `padding` says. [`Model::apply`] takes an [`ops::conv::Conv`] with more options.
    ///
    /// # Errors
    /// Invalid where dtypes differ or shapes don't fit.
    #[track_caller]
    pub fn conv(&self, weights: &Handle, strides: &[i64], padding: &[i64]) -> Result<Handle, Error> {
        let conv = ops::conv::Conv { strides: strides.to_vec(), dilations: vec![1; strides.len()], before: padding.to_vec(), after: padding.to_vec(), groups: 1 };
        apply_one(&self.state, conv, &[self, weights])
    }

    /// The same elements under another shape. One extent may be -1: it is what the others leave.
    ///
    /// # Errors
    /// Invalid where numbers of elements differ.
    #[track_caller]
    pub fn reshape(&self, extents: &[i64]) -> Result<Handle, Error> {
        if !extents.contains(&-1) {
            return apply_one(&self.state, ops::reshape::Reshape { extents: extents.to_vec() }, &[self]);
        }
        let wanted = apply_one(&self.state, ops::constant::Constant { value: Tensor::from_ints(extents) }, &[])?;
        apply_one(&self.state, ops::reshape_to::ReshapeTo { zero_copies: false }, &[self, &wanted])
    }

    /// Axes in another order: the result's axis `k` is axis `perm[k]`.
    ///
    /// # Errors
    /// Invalid where `perm` is not an order of the axes.
    #[track_caller]
    pub fn transpose(&self, perm: &[usize]) -> Result<Handle, Error> {
        apply_one(&self.state, ops::transpose::Transpose { perm: perm.to_vec() }, &[self])
    }

    /// Repeated to a shape; axes are matched from the last.
    ///
    /// # Errors
    /// Invalid where the shapes don't fit.
    #[track_caller]
    pub fn broadcast(&self, extents: &[i64]) -> Result<Handle, Error> {
        apply_one(&self.state, ops::broadcast::Broadcast { extents: extents.to_vec() }, &[self])
    }

    /// The elements of `range` along an axis; a negative one counts from the last.
    ///
    /// # Errors
    /// Invalid where there are none such; unsupported where extents are open.
    #[track_caller]
    pub fn slice(&self, axis: i64, range: Range<i64>) -> Result<Handle, Error> {
        let slice = self.ty.extents().and_then(|mut extents| {
            let axis = shape::axis(axis, extents.len())?;
            let (mut starts, steps) = (vec![0; extents.len()], vec![1; extents.len()]);
            starts[axis] = range.start;
            extents[axis] = range.end.saturating_sub(range.start);
            Ok(ops::slice::Slice { starts, extents, steps })
        });
        apply_one(&self.state, self.with("slice", slice)?, &[self])
    }

    /// With `before` and `after` elements of `value` along each axis.
    ///
    /// # Errors
    /// Invalid where there are not two numbers for each axis.
    #[track_caller]
    pub fn pad(&self, before: &[i64], after: &[i64], value: f64) -> Result<Handle, Error> {
        let value = self.with("pad", exact(Scalar::Float(value), self.ty.dtype))?;
        apply_one(&self.state, ops::pad::Pad { before: before.to_vec(), after: after.to_vec(), value }, &[self])
    }

    /// Where this (bool) holds the elements of `a`, elsewhere those of `b`, after NumPy's broadcasting.
    ///
    /// # Errors
    /// Invalid where dtypes or shapes don't fit.
    #[track_caller]
    pub fn select(&self, a: &Handle, b: &Handle) -> Result<Handle, Error> {
        apply_one(&self.state, ops::select::Select {}, &[self, a, b])
    }

    /// Converted to a dtype, see [`crate::scalar::cast`].
    ///
    /// # Errors
    /// Unsupported from and to text.
    #[track_caller]
    pub fn cast(&self, to: DType) -> Result<Handle, Error> {
        apply_one(&self.state, ops::cast::Cast { to }, &[self])
    }

    /// A constant of rank 0 and of this value's dtype.
    #[track_caller]
    fn scalar(&self, value: Scalar) -> Result<Handle, Error> {
        let value = self.with("constant", exact(value, self.ty.dtype))?;
        apply_one(&self.state, ops::constant::Constant { value: Tensor::scalar(self.ty.dtype, value) }, &[])
    }
}

/// A number of a program's text as one of a dtype.
fn exact(value: Scalar, dtype: DType) -> Result<Scalar, OpError> {
    let cast = crate::scalar::cast(value, dtype);
    let fits = match dtype.class() {
        crate::dtype::Class::Float => true,
        crate::dtype::Class::Signed | crate::dtype::Class::Unsigned => value.as_f64() == cast.as_f64() && value.as_int() == cast.as_int(),
        crate::dtype::Class::Bool | crate::dtype::Class::Text => false,
    };
    if fits { Ok(cast) } else { Err(OpError::invalid(format!("{} is no {dtype}", value.as_f64())).help("cast the tensor to a dtype that holds it")) }
}

macro_rules! operators {
    ($($trait:ident :: $method:ident,)*) => {
        $(
            operators!(@pair $trait $method Handle, Handle; Handle, &Handle; &Handle, Handle; &Handle, &Handle;);
            operators!(@scalar $trait $method f64 Float; i64 Int;);
        )*
    };
    (@pair $trait:ident $method:ident $($left:ty, $right:ty;)*) => {
        $(impl std::ops::$trait<$right> for $left {
            type Output = Result<Handle, Error>;
            #[track_caller]
            fn $method(self, right: $right) -> Self::Output {
                Handle::$method(&self, &right)
            }
        })*
    };
    (@scalar $trait:ident $method:ident $($scalar:ident $variant:ident;)*) => {
        $(
            operators!(@left $trait $method $scalar $variant Handle);
            operators!(@left $trait $method $scalar $variant &Handle);
        )*
    };
    (@left $trait:ident $method:ident $scalar:ident $variant:ident $handle:ty) => {
        impl std::ops::$trait<$scalar> for $handle {
            type Output = Result<Handle, Error>;
            #[track_caller]
            fn $method(self, right: $scalar) -> Self::Output {
                Handle::$method(&self, &self.scalar(Scalar::$variant(right.into()))?)
            }
        }
        impl std::ops::$trait<$handle> for $scalar {
            type Output = Result<Handle, Error>;
            #[track_caller]
            fn $method(self, right: $handle) -> Self::Output {
                Handle::$method(&right.scalar(Scalar::$variant(self.into()))?, &right)
            }
        }
    };
}

operators! {
    Add::add,
    Sub::sub,
    Mul::mul,
    Div::div,
}

impl std::ops::Neg for Handle {
    type Output = Result<Handle, Error>;
    #[track_caller]
    fn neg(self) -> Self::Output {
        Handle::neg(&self)
    }
}

impl std::ops::Neg for &Handle {
    type Output = Result<Handle, Error>;
    #[track_caller]
    fn neg(self) -> Self::Output {
        Handle::neg(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{eval, text, verify};

    fn f32s(values: &[f32]) -> Tensor {
        Tensor::from_slice(&[values.len() as i64], values)
    }

    #[test]
    fn operators_work_on_handles_references_and_numbers() {
        let m = Model::new("operators");
        let x = m.input("x", DType::F32, &[2.into()]).unwrap();
        let n = m.input("n", DType::I64, &[2.into()]).unwrap();
        let y = ((&x + 1).unwrap() * &x).unwrap();
        let z = (2.0 / (-&y).unwrap()).unwrap();
        let k = (10 - (&n * 3).unwrap()).unwrap();
        m.output("z", &z).unwrap();
        m.output("k", &k).unwrap();
        let graph = m.finish();
        verify::verify(&graph).unwrap();
        let results = eval::run(&graph, &[&f32s(&[1.0, 3.0]), &Tensor::from_ints(&[1, 2])]).unwrap();
        assert_eq!(results, [f32s(&[-1.0, -1.0 / 6.0]), Tensor::from_ints(&[7, 4])]);
    }

    #[test]
    fn errors_name_the_call() {
        let m = Model::new("errors");
        let x = m.input("x", DType::F32, &[2.into(), 3.into()]).unwrap();
        let n = m.input("n", DType::I64, &[2.into()]).unwrap();
        let line = line!() + 1;
        let error = x.matmul(&x).unwrap_err();
        assert!(error.node.starts_with("matmul at ") && error.node.contains(&format!("model.rs:{line}:")), "{error}");
        assert_eq!(error.inputs, ["f32[2,3]", "f32[2,3]"]);
        let line = line!() + 1;
        let error = (&x + 1.0).and_then(|y| y + &n).unwrap_err();
        assert!(error.message.contains("one dtype") && error.node.contains(&format!("model.rs:{line}:")), "{error}");
        assert!((&n + 0.5).unwrap_err().message.contains("0.5 is no i64"));
        assert!(m.input("x", DType::F32, &[]).unwrap_err().message.contains("already"));
        assert!(x.softmax(2).unwrap_err().message.contains("axis 2"));
        let other = Model::new("other").input("x", DType::F32, &[]).unwrap();
        assert!((&x + &other).unwrap_err().message.contains("different models"));
        m.output("x", &x).unwrap();
        assert!(m.output("x", &x).unwrap_err().message.contains("already"));
        drop(m.finish());
        assert!(x.abs().unwrap_err().message.contains("finished"));
    }

    #[test]
    fn movement_and_reduction() {
        let m = Model::new("movement");
        let x = m.input("x", DType::F32, &[2.into(), 3.into()]).unwrap();
        let y = x.transpose(&[1, 0]).unwrap().slice(0, 1..3).unwrap().reshape(&[-1]).unwrap();
        let mean = x.reduce_mean(&[-1]).unwrap();
        let joined = m.concat(&[&x, &mean.broadcast(&[2, 2]).unwrap()], -1).unwrap().pad(&[0, 0], &[0, 1], 9.0).unwrap();
        let zero = m.constant(Tensor::from_slice(&[], &[0.0f32]));
        let chosen = x.equal(&mean).unwrap().select(&x, &zero).unwrap();
        for (name, value) in [("y", &y), ("joined", &joined), ("chosen", &chosen)] {
            m.output(name, value).unwrap();
        }
        let results = eval::run(&m.finish(), &[&Tensor::from_slice(&[2, 3], &[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0])]).unwrap();
        assert_eq!(results[0], f32s(&[2.0, 5.0, 3.0, 6.0]));
        assert_eq!(results[1], Tensor::from_slice(&[2, 6], &[1.0f32, 2.0, 3.0, 2.0, 2.0, 9.0, 4.0, 5.0, 6.0, 5.0, 5.0, 9.0]));
        assert_eq!(results[2], Tensor::from_slice(&[2, 3], &[0.0f32, 2.0, 0.0, 0.0, 5.0, 0.0]));
    }

    #[test]
    fn branches_capture_what_they_use() {
        let m = Model::new("if");
        let cond = m.input("cond", DType::Bool, &[]).unwrap();
        let deep = m.input("deep", DType::Bool, &[]).unwrap();
        let x = m.input("x", DType::F32, &[1.into()]).unwrap();
        let y = m.input("y", DType::F32, &[1.into()]).unwrap();
        let two = m.constant(f32s(&[2.0]));
        let mut kept = None;
        let results = m
            .if_(
                &cond,
                |m| {
                    let inner = (&x * &two)?;
                    kept = Some(inner.clone());
                    m.if_(&deep, |_| Ok(vec![(&inner + &x)?]), |_| Ok(vec![inner.clone()]))
                },
                |_| Ok(vec![(&y - &x)?]),
            )
            .unwrap();
        m.output("z", &results[0]).unwrap();
        assert!(kept.unwrap().abs().unwrap_err().message.contains("closed"));
        assert!(m.if_(&cond, |m| m.input("no", DType::F32, &[]).map(|x| vec![x]), |_| Ok(vec![x.clone()])).unwrap_err().message.contains("not to a subgraph"));
        assert!(m.if_(&x, |_| Ok(vec![x.clone()]), |_| Ok(vec![x.clone()])).unwrap_err().message.contains("not bool"));
        let graph = m.finish();
        verify::verify(&graph).unwrap();
        assert_eq!(text::parse(&text::print(&graph)).unwrap(), graph);
        let bool = |b| Tensor::from_bools(&[], &[b]);
        for (cond, deep, expected) in [(true, true, 9.0), (true, false, 6.0), (false, true, 7.0)] {
            let results = eval::run(&graph, &[&bool(cond), &bool(deep), &f32s(&[3.0]), &f32s(&[10.0])]).unwrap();
            assert_eq!(results, [f32s(&[expected])]);
        }
    }
}
