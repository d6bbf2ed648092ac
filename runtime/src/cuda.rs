//! Programs on an NVIDIA GPU.
//!
//! In: an [`Executable`] whose code is text for a GPU, then the steps of calls. Out: the same results that the CPU gives, up to
//! rounding. Weights are uploaded once; each call at work has memory and a stream of its own. A program whose steps don't depend on
//! values is captured as a graph on its first run and then launched as one. Must not know: how steps follow each other, how
//! text was made.

mod driver;

use std::sync::{Arc, Mutex, PoisonError};

use frit_ir::Error;
use frit_ir::executable::{Code, Executable, Operand, Slot, Step};
use frit_ir::tensor::ALIGNMENT;
use rayon::prelude::*;

use crate::check::{bytes, is_fixed};
use driver::{Buffer, Device, Event, Function, Graph, Module, Stream};

/// Graphs of more steps are not captured.
const MOST_CAPTURED: u64 = 1 << 15;

/// The name of the device that programs run on.
///
/// # Errors
/// Unsupported where there is none.
pub fn device_name() -> Result<&'static str, Error> {
    Device::first().map(Device::name)
}

/// A program on the device.
pub(crate) struct Program {
    device: &'static Device,
    functions: Vec<Function>,
    constants: Buffer,
    /// Where each constant begins.
    offsets: Vec<u64>,
    /// Are its steps the same whatever values it is given?
    pub(crate) is_fixed: bool,
    free: Mutex<Vec<Memory>>,
}

/// The memory of a call, its stream, and the graph of what is done in it.
pub(crate) struct Memory {
    pub(crate) graph: Option<Graph>,
    pub(crate) stream: Stream,
    arena: Buffer,
    inputs: Vec<Option<Buffer>>,
    outputs: Vec<Option<Buffer>>,
}

/// What a leaf took: it began at the first event and ended at the second one.
pub(crate) struct Taken {
    pub(crate) leaf: usize,
    start: Event,
    end: Event,
}

impl Taken {
    /// Nanoseconds, once the stream was waited for.
    pub(crate) fn ns(&self) -> Result<u64, Error> {
        self.end.since(&self.start)
    }
}

impl Program {
    /// Compiles the kernels of an executable that [`check`](crate::check::check) has seen, and uploads its constants.
    pub(crate) fn new(executable: &Executable) -> Result<Self, Error> {
        let device = Device::first()?;
        let functions = functions(device, executable)?;
        let mut offsets = Vec::with_capacity(executable.constants.len());
        let mut size = 0usize;
        for tensor in &executable.constants {
            offsets.push(size as u64);
            size = (size + tensor.bytes().len()).next_multiple_of(ALIGNMENT);
        }
        let constants = device.allocate(size)?;
        let stream = device.stream()?;
        for (tensor, offset) in executable.constants.iter().zip(&offsets) {
            if !tensor.bytes().is_empty() {
                stream.upload(constants.address() + offset, tensor.bytes())?;
            }
        }
        stream.wait()?;
        let mut left = MOST_CAPTURED;
        let is_fixed = fixed(executable, &executable.steps, &mut left);
        tracing::debug!(device = device.name(), kernels = functions.len(), constant_bytes = size, is_fixed, "program on a GPU");
        Ok(Self { device, functions, constants, offsets, is_fixed, free: Mutex::new(Vec::new()) })
    }

    /// Memory that no other call uses.
    pub(crate) fn lease(&self, executable: &Executable) -> Result<Memory, Error> {
        if let Some(memory) = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop() {
            return Ok(memory);
        }
        let buffers = |ports: &[frit_ir::executable::Port]| {
            let buffer = |port: &frit_ir::executable::Port| match &port.extents {
                Some(extents) if is_fixed(port) => self.device.allocate(bytes(port.dtype, extents).map_err(Error::bug)?).map(Some),
                _ => Ok(None),
            };
            ports.iter().map(buffer).collect::<Result<Vec<_>, Error>>()
        };
        Ok(Memory { graph: None, stream: self.device.stream()?, arena: self.device.allocate(executable.arena_bytes as usize)?, inputs: buffers(&executable.inputs)?, outputs: buffers(&executable.outputs)? })
    }

    /// Keeps the memory of a call that is over for the next one.
    pub(crate) fn give_back(&self, memory: Memory) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
    }

    /// The time now, after all that the stream holds.
    pub(crate) fn now(&self, stream: &Stream) -> Result<Event, Error> {
        let event = self.device.event()?;
        stream.record(&event)?;
        Ok(event)
    }

    /// Does `work` and takes its time.
    pub(crate) fn timed(&self, memory: &Memory, leaf: usize, work: impl FnOnce() -> Result<(), Error>) -> Result<Taken, Error> {
        let start = self.now(&memory.stream)?;
        work()?;
        Ok(Taken { leaf, start, end: self.now(&memory.stream)? })
    }

    /// Where an operand lies on the device, if it lies there.
    pub(crate) fn address(&self, memory: &Memory, operand: &Operand) -> Result<Option<u64>, Error> {
        let held = |buffers: &[Option<Buffer>], at: u32| buffers.get(at as usize).and_then(Option::as_ref).map(Buffer::address);
        Ok(match operand.slot {
            Slot::Input(at) => held(&memory.inputs, at),
            Slot::Output(at) => held(&memory.outputs, at),
            Slot::Constant(at) => self.offsets.get(at as usize).map(|offset| self.constants.address() + offset),
            Slot::Arena(first) => {
                let size = bytes(operand.dtype, &operand.extents).map_err(Error::bug)?;
                if !memory.arena.holds(first as usize, size) {
                    return Err(Error::bug("a step reaches outside the arena"));
                }
                Some(memory.arena.address() + first)
            }
            Slot::Dynamic(_) => None,
        })
    }

    /// Enqueues a kernel.
    pub(crate) fn launch(&self, memory: &Memory, code: &Code, kernel: usize, operands: &[Operand]) -> Result<(), Error> {
        if code.points == 0 {
            return Ok(());
        }
        let addresses = operands.iter().map(|operand| self.address(memory, operand)?.ok_or_else(|| Error::bug("a kernel takes a tensor of unknown size"))).collect::<Result<Vec<u64>, _>>()?;
        let blocks = u32::try_from(code.points.div_ceil(code.grain)).ok().filter(|blocks| *blocks <= i32::MAX as u32);
        let blocks = blocks.ok_or_else(|| Error::unsupported(format!("kernel '{}' has {} points, which are too many for a GPU", code.name, code.points)))?;
        memory.stream.launch(&self.functions[kernel], blocks, code.team * code.grain as u32, &addresses)
    }
}

/// Compiles the kernels, some at a time on each thread.
fn functions(device: &'static Device, executable: &Executable) -> Result<Vec<Function>, Error> {
    let Some(first) = executable.kernels.first() else { return Ok(Vec::new()) };
    let text = |from: u64, len: u64| executable.code.get(from as usize..(from + len) as usize).and_then(|bytes| std::str::from_utf8(bytes).ok()).ok_or_else(|| Error::invalid("the text of a kernel is broken"));
    let head = text(0, first.offset)?;
    let many = executable.kernels.len().div_ceil(rayon::current_num_threads());
    let loaded = executable.kernels.par_chunks(many).map(|kernels| -> Result<Vec<Function>, Error> {
        let mut whole = head.to_owned();
        for kernel in kernels {
            whole.push_str(text(kernel.offset, kernel.len)?);
        }
        let module: Arc<Module> = device.load(&device.compile(&whole)?)?;
        kernels.iter().map(|kernel| module.function(&kernel.name)).collect()
    });
    Ok(loaded.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// Are steps the same whatever the values are, and not too many? `left` is how many there may be.
fn fixed(executable: &Executable, steps: &[Step], left: &mut u64) -> bool {
    let on_device = |operand: &Operand| match operand.slot {
        Slot::Input(at) => is_fixed(&executable.inputs[at as usize]),
        Slot::Output(at) => is_fixed(&executable.outputs[at as usize]),
        Slot::Constant(_) | Slot::Arena(_) => true,
        Slot::Dynamic(_) => false,
    };
    let constant = |operand: &Operand| match operand.slot {
        Slot::Constant(at) => Some(executable.constants[at as usize].get(0).as_int()),
        _ => None,
    };
    steps.iter().all(|step| {
        *left = left.saturating_sub(1);
        *left > 0
            && match step {
                Step::Launch { .. } => true,
                Step::Copy { from, to } => on_device(from) && on_device(to),
                Step::Loop { trip_count: Some(count), start, cond: None, body, stacked, sliced, .. } => {
                    let before = *left;
                    let pairs = stacked.iter().chain(sliced);
                    let moved = pairs.clone().all(|(a, b)| on_device(a) && on_device(b));
                    let Some(count) = constant(count).filter(|_| moved && start.iter().all(|operand| constant(operand).is_some())) else { return false };
                    let plain = fixed(executable, body, left);
                    let each = (before - *left + pairs.count() as u64 + 1).saturating_mul(u64::try_from(count).unwrap_or(0));
                    *left = before.saturating_sub(each);
                    plain && *left > 0
                }
                Step::Loop { .. } | Step::If { .. } | Step::Interpret { .. } => false,
            }
    })
}
