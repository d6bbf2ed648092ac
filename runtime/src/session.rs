//! Sessions: a program that is ready to run, any number of times, by any number of callers.
//!
//! In: an [`Executable`] or the path of an artifact, then input tensors. Out: output tensors. Must not know: how programs
//! are made.

use std::borrow::Cow;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Instant;

use bytes::Bytes;
use frit_ir::executable::{Executable, Operand, Port, Step};
use frit_ir::{Error, Graph, Tensor};

use crate::artifact::{self, Artifact, Sums};
use crate::check::check;
use crate::cuda;
use crate::frame::{Frame, stacked};
use crate::launch::Kernels;
use crate::memory::ArenaPool;
use crate::spans::{Span, Spans};
use crate::target;
use crate::threads::Threads;

/// How a session runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its threads; the caller's alone by default.
    pub threads: Threads,
}

impl Default for Options {
    fn default() -> Self {
        Self { threads: Threads::one() }
    }
}

/// What a step took in a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Timing {
    /// The step's number in [`Executable::leaves`].
    pub step: usize,
    /// Nanoseconds, all times together.
    pub ns: u64,
    /// How many times it ran.
    pub calls: u64,
}

/// Looks on while a program runs, and may change tensors on the way. Leaves go by their number in [`Executable::leaves`].
pub trait Observer {
    /// A leaf is about to run.
    ///
    /// # Errors
    /// The observer's own; the run ends with them.
    fn before(&mut self, leaf: usize, tensors: &mut Tensors<'_, '_>) -> Result<(), Error>;

    /// A leaf has run.
    ///
    /// # Errors
    /// As [`Observer::before`].
    fn after(&mut self, leaf: usize, tensors: &mut Tensors<'_, '_>) -> Result<(), Error>;
}

/// The tensors of a run in progress.
pub struct Tensors<'t, 'f>(&'t mut Frame<'f>);

impl Tensors<'_, '_> {
    /// What an operand of a step holds now.
    ///
    /// # Errors
    /// A bug where the step has no such operand, or it was not made yet.
    pub fn get(&self, operand: &Operand) -> Result<Tensor, Error> {
        self.0.tensor(operand)
    }

    /// Leaves another tensor of the same type there.
    ///
    /// # Errors
    /// A bug where the types differ, or the operand is an input or a constant.
    pub fn put(&mut self, operand: &Operand, tensor: Tensor) -> Result<(), Error> {
        self.0.put(operand, tensor)
    }
}

/// Takes the time of each leaf.
struct Clock {
    start: Instant,
    times: Vec<Timing>,
}

impl Observer for Clock {
    fn before(&mut self, _: usize, _: &mut Tensors<'_, '_>) -> Result<(), Error> {
        self.start = Instant::now();
        Ok(())
    }

    fn after(&mut self, leaf: usize, _: &mut Tensors<'_, '_>) -> Result<(), Error> {
        self.times[leaf].ns += self.start.elapsed().as_nanos() as u64;
        self.times[leaf].calls += 1;
        Ok(())
    }
}

/// A step made ready: graphs parsed, leaves numbered.
enum Ready {
    Launch { leaf: usize, kernel: usize, operands: Vec<Operand> },
    Interpret { leaf: usize, graph: Box<Graph>, inputs: Vec<Operand>, outputs: Vec<Operand> },
    Copy { leaf: usize, from: Operand, to: Operand },
    If { cond: Operand, then_steps: Vec<Ready>, else_steps: Vec<Ready> },
    Loop(Box<Loop>),
}

struct Loop {
    trip_count: Option<Operand>,
    start: Option<Operand>,
    /// Where the iteration's number is written, if anything in the body reads it.
    counter: Option<Operand>,
    cond: Option<Operand>,
    body: Vec<Ready>,
    stacked: Vec<(Operand, Operand)>,
    sliced: Vec<(Operand, Operand)>,
}

/// What runs kernels.
enum Backend {
    Cpu(Kernels, ArenaPool),
    Gpu(cuda::Program),
}

/// A program that is ready to run. `run` takes `&self`: callers on many threads share the weights, and each call works in
/// an arena of its own.
pub struct Session {
    executable: Executable,
    steps: Vec<Ready>,
    leaves: usize,
    backend: Backend,
    threads: Threads,
    sums: Option<Sums>,
    intact: OnceLock<Result<(), Error>>,
}

impl Session {
    /// Makes an executable ready.
    ///
    /// # Errors
    /// Invalid where it does not hold together or is not for this machine; unsupported where memory runs out.
    pub fn new(executable: Executable, options: &Options) -> Result<Self, Error> {
        Self::make(Artifact { executable, sums: None }, options)
    }

    /// Loads an artifact. Its constants stay in the mapped file; they are checked on the first run, once, before it
    /// gives a result (or by [`Session::verify`]), everything else is checked here.
    ///
    /// # Errors
    /// Invalid where the file is not a whole, unaltered artifact of this version for this machine.
    pub fn load(path: &Path, options: &Options) -> Result<Self, Error> {
        Self::make(artifact::load(path)?, options)
    }

    /// Makes an artifact in memory ready (one that is part of the program, say), as [`Session::load`].
    ///
    /// # Errors
    /// As [`Session::load`].
    pub fn from_bytes(bytes: Bytes, options: &Options) -> Result<Self, Error> {
        Self::make(artifact::parse(bytes)?, options)
    }

    fn make(artifact: Artifact, options: &Options) -> Result<Self, Error> {
        let Artifact { executable, sums } = artifact;
        let on_gpu = executable.target.is_cuda();
        if !executable.code.is_empty() && !on_gpu {
            target::check(&executable.target)?;
        }
        check(&executable)?;
        let mut leaves = 0;
        let steps = ready(&executable.steps, &mut leaves)?;
        let threads = options.threads.clone();
        let backend = if on_gpu {
            Backend::Gpu(cuda::Program::new(&executable)?)
        } else {
            let kernels = Kernels::new(&executable)?;
            let arenas = ArenaPool::new(kernels.arena_bytes(threads.len()));
            Backend::Cpu(kernels, arenas)
        };
        tracing::debug!(name = executable.name, kernels = executable.kernels.len(), leaves, arena_bytes = executable.arena_bytes, threads = threads.len(), "session");
        Ok(Self { executable, steps, leaves, backend, threads, sums, intact: OnceLock::new() })
    }

    /// The program.
    pub fn executable(&self) -> &Executable {
        &self.executable
    }

    /// What the program's states are before its first run: they are the last inputs, and what they are after a run the last outputs.
    pub fn states(&self) -> impl ExactSizeIterator<Item = &Tensor> {
        self.executable.states.iter().map(|constant| &self.executable.constants[*constant as usize])
    }

    /// Runs that follow each other: each begins with the states that the last one left.
    pub fn stream(&self) -> Stream<'_> {
        Stream { session: self, states: self.states().cloned().collect() }
    }

    /// The inputs, in the order in which [`Session::run`] takes them.
    pub fn inputs(&self) -> &[Port] {
        &self.executable.inputs
    }

    /// The outputs, in the order in which [`Session::run`] gives them.
    pub fn outputs(&self) -> &[Port] {
        &self.executable.outputs
    }

    /// Bytes that one call works in: the arena, and scratch for each thread.
    pub fn arena_bytes(&self) -> usize {
        match &self.backend {
            Backend::Cpu(kernels, _) => kernels.arena_bytes(self.threads.len()),
            Backend::Gpu(_) => self.executable.arena_bytes as usize,
        }
    }

    /// The name of the GPU that it runs on, if it does.
    pub fn gpu(&self) -> Option<&'static str> {
        match &self.backend {
            Backend::Cpu(..) => None,
            Backend::Gpu(_) => cuda::device_name().ok(),
        }
    }

    /// How many threads a call may use.
    pub fn threads(&self) -> usize {
        self.threads.len()
    }

    /// Compares the constants of an artifact with their checksums, once; the first run does so too.
    ///
    /// # Errors
    /// Invalid where the file was altered.
    pub fn verify(&self) -> Result<(), Error> {
        self.intact.get_or_init(|| self.sums.as_ref().map_or(Ok(()), Sums::verify)).clone()
    }

    /// Runs the program. The results are new tensors whose bytes are aligned to 64. States may be left out at the end of the inputs,
    /// here and wherever a program is run: they are then what they are before the first run.
    ///
    /// # Errors
    /// Invalid where number, dtypes or shapes of the inputs don't fit, or their values do not (an index out of range).
    pub fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        self.execute(inputs, None, None)
    }

    /// Runs the program and says when each thread did what.
    ///
    /// # Errors
    /// As [`Session::run`]; unsupported on a GPU.
    pub fn run_traced(&self, inputs: &[Tensor]) -> Result<(Vec<Tensor>, Vec<Span>), Error> {
        if let Backend::Gpu(_) = &self.backend {
            return Err(Error::unsupported("a GPU's threads are not traced").help("trace the program on the CPU"));
        }
        let spans = Spans::new(self.threads.len());
        let outputs = self.execute(inputs, None, Some(&spans))?;
        Ok((outputs, spans.finish()))
    }

    /// Runs the program and says what each step took.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn run_profiled(&self, inputs: &[Tensor]) -> Result<(Vec<Tensor>, Vec<Timing>), Error> {
        let mut times: Vec<Timing> = (0..self.leaves).map(|step| Timing { step, ..Timing::default() }).collect();
        if let Backend::Gpu(program) = &self.backend {
            let mut taken = Vec::new();
            let outputs = self.on_gpu(program, inputs, None, Some(&mut taken))?;
            for taken in taken {
                times[taken.leaf].ns += taken.ns()?;
                times[taken.leaf].calls += 1;
            }
            return Ok((outputs, times));
        }
        let mut clock = Clock { start: Instant::now(), times };
        let outputs = self.run_observed(inputs, &mut clock)?;
        Ok((outputs, clock.times))
    }

    /// Runs the program under the eyes of an observer.
    ///
    /// # Errors
    /// As [`Session::run`], and the observer's.
    pub fn run_observed(&self, inputs: &[Tensor], observer: &mut dyn Observer) -> Result<Vec<Tensor>, Error> {
        self.execute(inputs, Some(observer), None)
    }

    /// Runs the program on inputs given by name, in any order; the outputs come with their names, in the model's order.
    ///
    /// # Errors
    /// As [`Session::run`]; invalid where an input is missing, given twice or not one of the program's.
    pub fn run_named<N: AsRef<str>>(&self, inputs: impl IntoIterator<Item = (N, Tensor)>) -> Result<Vec<(String, Tensor)>, Error> {
        let mut slots: Vec<Option<Tensor>> = vec![None; self.inputs().len()];
        for (name, tensor) in inputs {
            let name = name.as_ref();
            let at = self.inputs().iter().position(|port| port.name == name);
            let at = at.ok_or_else(|| self.unfit(format!("the program has no input '{name}'")))?;
            if slots[at].replace(tensor).is_some() {
                return Err(self.unfit(format!("input '{name}' is given twice")));
            }
        }
        let first = slots.len() - self.executable.states.len();
        for (slot, initial) in slots[first..].iter_mut().zip(self.states()) {
            slot.get_or_insert_with(|| initial.clone());
        }
        let missing: Vec<&str> = slots.iter().zip(self.inputs()).filter(|(slot, _)| slot.is_none()).map(|(_, port)| port.name.as_str()).collect();
        if !missing.is_empty() {
            return Err(self.unfit(format!("no tensor is given for input '{}'", missing.join("', '"))));
        }
        let inputs: Vec<Tensor> = slots.into_iter().flatten().collect();
        let outputs = self.run(&inputs)?;
        Ok(self.outputs().iter().map(|port| port.name.clone()).zip(outputs).collect())
    }

    /// Compares inputs with what the program takes.
    ///
    /// # Errors
    /// Invalid with what is expected and what was given.
    pub fn check_inputs(&self, inputs: &[Tensor]) -> Result<(), Error> {
        let (all, states) = (self.inputs().len(), self.executable.states.len());
        if inputs.len() != all && inputs.len() != all - states {
            let states = if states > 0 { format!(" ({states} of them states, which may be left out)") } else { String::new() };
            return Err(self.unfit(format!("the program takes {all} inputs{states}, not {}", inputs.len())));
        }
        for (port, tensor) in self.inputs().iter().zip(inputs) {
            let fits = tensor.dtype() == port.dtype && port.extents.as_ref().is_none_or(|extents| extents == tensor.extents());
            if !fits {
                return Err(self.unfit(format!("input '{}' takes {}, and {} is given", port.name, describe(port), tensor.ty())));
            }
        }
        Ok(())
    }

    /// The inputs with the states that are left out.
    fn whole<'t>(&self, inputs: &'t [Tensor]) -> Result<Cow<'t, [Tensor]>, Error> {
        self.check_inputs(inputs)?;
        if inputs.len() == self.inputs().len() {
            return Ok(Cow::Borrowed(inputs));
        }
        Ok(Cow::Owned(inputs.iter().chain(self.states()).cloned().collect()))
    }

    fn unfit(&self, what: String) -> Error {
        let inputs: Vec<String> = self.inputs().iter().map(|port| format!("'{}' {}", port.name, describe(port))).collect();
        Error::invalid(what).help(if inputs.is_empty() { "the program takes no inputs".to_owned() } else { format!("the inputs are {}", inputs.join(", ")) })
    }

    fn launch(&self, kernel: usize, operands: &[Operand], frame: &mut Frame<'_>, spans: Option<&Spans>) -> Result<(), Error> {
        match (&self.backend, frame.gpu) {
            (Backend::Gpu(program), Some((_, memory))) => program.launch(memory, &self.executable.kernels[kernel], kernel, operands),
            (Backend::Cpu(kernels, _), None) => kernels.launch(&self.executable, kernel, operands, frame, &self.threads, spans),
            _ => Err(Error::bug("a call's memory lies on another device than its program")),
        }
    }

    /// Runs the program so often on a GPU, on inputs that lie there, and says what each run took there, in nanoseconds; nothing on a CPU.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn device_times(&self, inputs: &[Tensor], runs: usize) -> Result<Option<Vec<u64>>, Error> {
        let Backend::Gpu(program) = &self.backend else { return Ok(None) };
        self.run(inputs)?;
        let inputs = &*self.whole(inputs)?;
        let memory = program.lease(&self.executable)?;
        let mut times = Vec::with_capacity(runs);
        for _ in 0..runs {
            let mut call = Call { session: self, frame: Frame::on_gpu(&self.executable, inputs, program, &memory)?, observer: None, taken: None, spans: None };
            let taken = program.timed(&memory, 0, || match &memory.graph {
                Some(graph) => memory.stream.run(graph),
                None => call.frame.load().and_then(|()| call.steps(&self.steps)),
            })?;
            memory.stream.wait()?;
            times.push(taken.ns()?);
        }
        program.give_back(memory);
        Ok(Some(times))
    }

    fn execute<'o>(&self, inputs: &[Tensor], observer: Option<&'o mut dyn Observer>, spans: Option<&'o Spans>) -> Result<Vec<Tensor>, Error> {
        let arenas = match &self.backend {
            Backend::Cpu(_, arenas) => arenas,
            Backend::Gpu(program) => return self.on_gpu(program, inputs, observer, None),
        };
        let inputs = &*self.whole(inputs)?;
        self.verify()?;
        let mut arena = arenas.lease().map_err(|error| Error::at(error, "", Vec::new()))?;
        let mut call = Call { session: self, frame: Frame::new(&self.executable, inputs, arena.as_mut_slice())?, observer, taken: None, spans };
        call.steps(&self.steps)?;
        call.frame.finish()
    }

    /// Runs the program on a GPU: as a graph if its steps are always the same and nobody looks on.
    fn on_gpu<'o>(&self, program: &cuda::Program, inputs: &[Tensor], observer: Option<&'o mut dyn Observer>, taken: Option<&'o mut Vec<cuda::Taken>>) -> Result<Vec<Tensor>, Error> {
        let inputs = &*self.whole(inputs)?;
        self.verify()?;
        let mut memory = program.lease(&self.executable)?;
        let as_graph = program.is_fixed && observer.is_none() && taken.is_none();
        if as_graph && memory.graph.is_none() {
            let mut call = Call { session: self, frame: Frame::on_gpu(&self.executable, inputs, program, &memory)?, observer: None, taken: None, spans: None };
            let graph = memory.stream.captured(|| call.steps(&self.steps))?;
            memory.graph = Some(graph);
        }
        let mut call = Call { session: self, frame: Frame::on_gpu(&self.executable, inputs, program, &memory)?, observer, taken, spans: None };
        call.frame.load()?;
        match memory.graph.as_ref().filter(|_| as_graph) {
            Some(graph) => memory.stream.run(graph)?,
            None => call.steps(&self.steps)?,
        }
        memory.stream.wait()?;
        let outputs = call.frame.finish()?;
        program.give_back(memory);
        Ok(outputs)
    }
}

/// Runs of a program with states, one after the other. Its clients each have a stream; they share the session.
#[derive(Clone)]
pub struct Stream<'s> {
    session: &'s Session,
    states: Vec<Tensor>,
}

impl Stream<'_> {
    /// Runs the program on its inputs but the states; gives its outputs but the states. A run that fails leaves the states as they were.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        let all: Vec<Tensor> = inputs.iter().chain(&self.states).cloned().collect();
        let mut outputs = self.session.run(&all)?;
        self.states = outputs.split_off(outputs.len() - self.states.len());
        Ok(outputs)
    }

    /// The states as they are now.
    pub fn states(&self) -> &[Tensor] {
        &self.states
    }

    /// Begins anew.
    pub fn reset(&mut self) {
        self.states = self.session.states().cloned().collect();
    }
}

/// A port's type, with the shape that the model declares where that says more.
fn describe(port: &Port) -> String {
    let declared = &port.declared;
    match &port.extents {
        Some(extents) => {
            let shape = frit_ir::Shape::known(extents).to_string();
            if declared.is_empty() || *declared == shape { format!("{}{shape}", port.dtype) } else { format!("{}{shape} (compiled from {declared})", port.dtype) }
        }
        None => format!("{}{}", port.dtype, if declared.is_empty() { "[..]" } else { declared }),
    }
}

/// Counts a leaf.
fn next(leaves: &mut usize) -> usize {
    *leaves += 1;
    *leaves - 1
}

fn ready(steps: &[Step], leaves: &mut usize) -> Result<Vec<Ready>, Error> {
    let mut result = Vec::with_capacity(steps.len());
    for step in steps {
        result.push(match step {
            Step::Launch { kernel, operands, .. } => Ready::Launch { leaf: next(leaves), kernel: *kernel as usize, operands: operands.clone() },
            Step::Interpret { graph, inputs, outputs, .. } => {
                let graph = parse(graph, inputs, outputs)?;
                Ready::Interpret { leaf: next(leaves), graph: Box::new(graph), inputs: inputs.clone(), outputs: outputs.clone() }
            }
            Step::Copy { from, to } => Ready::Copy { leaf: next(leaves), from: from.clone(), to: to.clone() },
            Step::If { cond, then_steps, else_steps } => {
                Ready::If { cond: cond.clone(), then_steps: ready(then_steps, leaves)?, else_steps: ready(else_steps, leaves)? }
            }
            Step::Loop { trip_count, start, counter, cond, body, stacked, sliced } => Ready::Loop(Box::new(Loop {
                trip_count: trip_count.clone(),
                start: start.clone(),
                counter: Some(counter.clone()).filter(|counter| names(body, counter) || cond.iter().chain(stacked.iter().map(|(part, _)| part)).any(|operand| operand.slot == counter.slot)),
                cond: cond.clone(),
                body: ready(body, leaves)?,
                stacked: stacked.clone(),
                sliced: sliced.clone(),
            })),
        });
    }
    Ok(result)
}

/// Is an operand's slot named by any step?
fn names(steps: &[Step], operand: &Operand) -> bool {
    let is = |other: &Operand| other.slot == operand.slot;
    steps.iter().any(|step| match step {
        Step::Launch { operands, .. } => operands.iter().any(is),
        Step::Interpret { inputs, outputs, .. } => inputs.iter().chain(outputs).any(is),
        Step::Copy { from, to } => is(from) || is(to),
        Step::If { cond, then_steps, else_steps } => is(cond) || names(then_steps, operand) || names(else_steps, operand),
        Step::Loop { trip_count, start, counter, cond, body, stacked, sliced } => {
            trip_count.iter().chain(start).chain(cond).chain([counter]).chain(stacked.iter().chain(sliced).flat_map(|(a, b)| [a, b])).any(is) || names(body, operand)
        }
    })
}

/// The graph of an interpreter step.
fn parse(text: &str, inputs: &[Operand], outputs: &[Operand]) -> Result<Graph, Error> {
    let broken = |why: String| Error::invalid(format!("the program is broken: an interpreter step {why}")).help("compile the model again");
    let graph = frit_ir::text::parse(text).map_err(|error| broken(format!("does not parse: {error}")))?;
    let ends = |ends: &[(String, frit_ir::ValueId)], operands: &[Operand]| ends.len() == operands.len() && ends.iter().zip(operands).all(|((_, value), operand)| graph.ty(*value).dtype == operand.dtype);
    if ends(graph.inputs(), inputs) && ends(graph.outputs(), outputs) { Ok(graph) } else { Err(broken("has other operands than its graph".to_owned())) }
}

/// A run in progress.
struct Call<'c, 'o> {
    session: &'c Session,
    frame: Frame<'c>,
    observer: Option<&'o mut dyn Observer>,
    /// Where a GPU's times go.
    taken: Option<&'o mut Vec<cuda::Taken>>,
    /// Where threads note what they do.
    spans: Option<&'o Spans>,
}

impl Call<'_, '_> {
    fn steps(&mut self, steps: &[Ready]) -> Result<(), Error> {
        steps.iter().try_for_each(|step| self.step(step))
    }

    fn step(&mut self, step: &Ready) -> Result<(), Error> {
        match step {
            Ready::Launch { leaf, kernel, operands } => {
                let spans = self.spans;
                self.observed(*leaf, |session, frame| session.launch(*kernel, operands, frame, spans))
            }
            Ready::Interpret { leaf, graph, inputs, outputs } => self.observed(*leaf, |_, frame| {
                let operands = inputs.iter().map(|operand| frame.tensor(operand)).collect::<Result<Vec<_>, _>>()?;
                let results = frit_ir::eval::run(graph, &operands.iter().collect::<Vec<_>>())?;
                outputs.iter().zip(results).try_for_each(|(operand, tensor)| frame.put(operand, tensor))
            }),
            Ready::Copy { leaf, from, to } => self.observed(*leaf, |_, frame| frame.copy(from, to)),
            Ready::If { cond, then_steps, else_steps } => {
                let branch = if self.frame.scalar(cond)?.as_bool() { then_steps } else { else_steps };
                self.steps(branch)
            }
            Ready::Loop(repeat) => self.repeat(repeat),
        }
    }

    fn observed(&mut self, leaf: usize, work: impl FnOnce(&Session, &mut Frame<'_>) -> Result<(), Error>) -> Result<(), Error> {
        if let Some(observer) = &mut self.observer {
            observer.before(leaf, &mut Tensors(&mut self.frame))?;
        }
        let begun = self.spans.map(|spans| spans.begin(leaf));
        match (&mut self.taken, self.frame.gpu) {
            (Some(taken), Some((program, memory))) => taken.push(program.timed(memory, leaf, || work(self.session, &mut self.frame))?),
            _ => work(self.session, &mut self.frame)?,
        }
        if let (Some(spans), Some(begun)) = (self.spans, begun) {
            spans.add(0, begun, None);
        }
        match &mut self.observer {
            Some(observer) => observer.after(leaf, &mut Tensors(&mut self.frame)),
            None => Ok(()),
        }
    }

    fn repeat(&mut self, repeat: &Loop) -> Result<(), Error> {
        let flag = |frame: &Frame<'_>, operand: &Option<Operand>| operand.as_ref().map_or(Ok(true), |operand| frame.scalar(operand).map(frit_ir::Scalar::as_bool));
        let trips = repeat.trip_count.as_ref().map(|operand| self.frame.scalar(operand)).transpose()?;
        let trips = trips.map_or(i64::MAX, |count| count.as_int() as i64);
        let mut open: Vec<Vec<Tensor>> = vec![Vec::new(); repeat.stacked.len()];
        let mut go = flag(&self.frame, &repeat.start)?;
        let mut count = 0;
        while go && count < trips {
            if let Some(counter) = &repeat.counter {
                self.frame.set_count(counter, count)?;
            }
            for (whole, part) in &repeat.sliced {
                self.frame.slice(whole, count as u64, part)?;
            }
            self.steps(&repeat.body)?;
            for ((part, whole), parts) in repeat.stacked.iter().zip(&mut open) {
                if self.frame.is_stack_fixed(whole) {
                    self.frame.stack(part, whole, count as u64)?;
                } else {
                    parts.push(self.frame.tensor(part)?);
                }
            }
            go = flag(&self.frame, &repeat.cond)?;
            count += 1;
        }
        for ((part, whole), parts) in repeat.stacked.iter().zip(open) {
            if !self.frame.is_stack_fixed(whole) {
                self.frame.put(whole, stacked(whole.dtype, &part.extents, &parts)?)?;
            } else if whole.extents.first() != Some(&count) {
                return Err(Error::bug(format!("a loop ran {count} times and was to make {}{:?}", whole.dtype, whole.extents)));
            }
        }
        Ok(())
    }
}
