//! The tensors of one call: where each operand's bytes lie, read and written.
//!
//! In: operands that [`check`](crate::check) has seen. Out: their bytes, as tensors or in place. Must not know: steps.
//!
//! On a GPU, whatever has a known size lies in the device's memory and is copied to the host when it is asked for; inputs and
//! constants lie in both.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::atomic::AtomicPtr;

use frit_ir::executable::{Executable, Operand, Slot};
use frit_ir::tensor::AlignedBytes;
use frit_ir::{DType, Error, OpError, Scalar, Tensor};

use crate::check::{bytes, is_fixed};
use crate::cuda;

/// An output in the making.
enum Output {
    /// Its bytes are written in place.
    Fixed(AlignedBytes),
    /// A step makes it whole.
    Open(Option<Tensor>),
}

/// The tensors of one call.
pub(crate) struct Frame<'a> {
    arena: &'a mut [u8],
    held: Held<'a>,
    /// What [`Frame::pointers`] gives, kept so that a launch needs no memory of its own.
    pointers: Vec<AtomicPtr<u8>>,
    /// The program on a GPU, and this call's memory there.
    pub(crate) gpu: Option<(&'a cuda::Program, &'a cuda::Memory)>,
}

/// Those that don't lie in the arena.
struct Held<'a> {
    executable: &'a Executable,
    inputs: &'a [Tensor],
    outputs: Vec<Output>,
    dynamics: Vec<Option<Tensor>>,
}

fn misfit(why: impl Into<String>) -> Error {
    Error::bug(why)
}

fn lost(error: OpError) -> Error {
    Error::at(error, "", Vec::new())
}

impl Held<'_> {
    /// The tensor in a slot outside the arena, unless it is an output of fixed size.
    fn whole(&self, operand: &Operand) -> Result<&Tensor, Error> {
        let tensor = match operand.slot {
            Slot::Input(at) => Some(&self.inputs[at as usize]),
            Slot::Constant(at) => Some(&self.executable.constants[at as usize]),
            Slot::Dynamic(at) => self.dynamics[at as usize].as_ref(),
            Slot::Output(at) => match &self.outputs[at as usize] {
                Output::Open(tensor) => tensor.as_ref(),
                Output::Fixed(_) => None,
            },
            Slot::Arena(_) => None,
        };
        match tensor {
            Some(tensor) if tensor.dtype() == operand.dtype => Ok(tensor),
            Some(tensor) => Err(misfit(format!("a step takes {} and finds {}", operand.dtype, tensor.ty()))),
            None => Err(misfit("a step reads a tensor before it is made")),
        }
    }

    fn bytes(&self, operand: &Operand) -> Result<&[u8], Error> {
        if let Slot::Output(at) = operand.slot
            && let Output::Fixed(bytes) = &self.outputs[at as usize]
        {
            return Ok(bytes.as_slice());
        }
        self.whole(operand).map(Tensor::bytes)
    }
}

impl<'a> Frame<'a> {
    /// The tensors of a call, before its first step. `arena` is at least as large as the executable's.
    pub(crate) fn new(executable: &'a Executable, inputs: &'a [Tensor], arena: &'a mut [u8]) -> Result<Self, Error> {
        let outputs = executable.outputs.iter().map(|port| match &port.extents {
            Some(extents) if is_fixed(port) => Ok(Output::Fixed(AlignedBytes::brief(bytes(port.dtype, extents).map_err(misfit)?).map_err(lost)?)),
            _ => Ok(Output::Open(None)),
        });
        let outputs = outputs.collect::<Result<_, Error>>()?;
        Ok(Self { arena, held: Held { executable, inputs, outputs, dynamics: vec![None; executable.dynamics as usize] }, pointers: Vec::new(), gpu: None })
    }

    /// The same on a GPU; the inputs are still to be loaded.
    pub(crate) fn on_gpu(executable: &'a Executable, inputs: &'a [Tensor], program: &'a cuda::Program, memory: &'a cuda::Memory) -> Result<Self, Error> {
        Ok(Self { gpu: Some((program, memory)), ..Self::new(executable, inputs, &mut [])? })
    }

    /// Copies the inputs to the GPU.
    pub(crate) fn load(&self) -> Result<(), Error> {
        let Some((program, memory)) = self.gpu else { return Ok(()) };
        for (at, tensor) in self.held.inputs.iter().enumerate().filter(|(_, tensor)| !tensor.bytes().is_empty()) {
            let operand = Operand { slot: Slot::Input(at as u32), dtype: tensor.dtype(), extents: tensor.extents().to_vec() };
            if let Some(address) = program.address(memory, &operand)? {
                memory.stream.upload(address, tensor.bytes())?;
            }
        }
        Ok(())
    }

    /// The stream of a GPU and an operand's address there, if it lies there.
    fn on_device(&self, operand: &Operand) -> Result<Option<(&'a cuda::Memory, u64)>, Error> {
        match self.gpu {
            Some((program, memory)) => Ok(program.address(memory, operand)?.map(|address| (memory, address))),
            None => Ok(None),
        }
    }

    /// The results.
    pub(crate) fn finish(mut self) -> Result<Vec<Tensor>, Error> {
        for (at, port) in self.held.executable.outputs.iter().enumerate().filter(|_| self.gpu.is_some()) {
            let operand = Operand { slot: Slot::Output(at as u32), dtype: port.dtype, extents: port.extents.clone().unwrap_or_default() };
            if let (Some((memory, address)), Output::Fixed(bytes)) = (self.on_device(&operand)?, &mut self.held.outputs[at]) {
                memory.stream.download(bytes.as_mut_slice(), address)?;
            }
        }
        let ports = &self.held.executable.outputs;
        let outputs = ports.iter().zip(self.held.outputs).map(|(port, output)| match (output, &port.extents) {
            (Output::Fixed(bytes), Some(extents)) => Tensor::from_bytes(port.dtype, extents, bytes).map_err(lost),
            (Output::Open(Some(tensor)), _) => Ok(tensor),
            _ => Err(misfit(format!("output '{}' was not made", port.name))),
        });
        outputs.collect()
    }

    /// Is the operand's shape the one that it names?
    fn is_fixed(&self, operand: &Operand) -> bool {
        let executable = self.held.executable;
        match operand.slot {
            Slot::Arena(_) => true,
            Slot::Input(at) => is_fixed(&executable.inputs[at as usize]),
            Slot::Output(at) => is_fixed(&executable.outputs[at as usize]),
            Slot::Constant(at) => executable.constants[at as usize].dtype() != DType::Str,
            Slot::Dynamic(_) => false,
        }
    }

    fn range(&self, first: u64, operand: &Operand) -> Result<Range<usize>, Error> {
        let first = first as usize;
        Ok(first..first + bytes(operand.dtype, &operand.extents).map_err(misfit)?)
    }

    fn bytes(&self, operand: &Operand) -> Result<Cow<'_, [u8]>, Error> {
        match (&operand.slot, self.on_device(operand)?) {
            (Slot::Arena(_) | Slot::Output(_), Some((memory, address))) => {
                let mut copy = vec![0; self.size(operand)?];
                memory.stream.download(&mut copy, address)?;
                Ok(Cow::Owned(copy))
            }
            (Slot::Arena(first), None) => Ok(Cow::Borrowed(&self.arena[self.range(*first, operand)?])),
            (Slot::Input(_) | Slot::Constant(_) | Slot::Output(_) | Slot::Dynamic(_), _) => self.held.bytes(operand).map(Cow::Borrowed),
        }
    }

    /// Bytes of an operand.
    fn size(&self, operand: &Operand) -> Result<usize, Error> {
        if self.is_fixed(operand) { bytes(operand.dtype, &operand.extents).map_err(misfit) } else { self.held.bytes(operand).map(<[u8]>::len) }
    }

    /// An operand as a tensor. What lies in the arena is copied, the rest is shared.
    pub(crate) fn tensor(&self, operand: &Operand) -> Result<Tensor, Error> {
        let shared = match operand.slot {
            Slot::Arena(_) => None,
            Slot::Output(_) if self.is_fixed(operand) => None,
            Slot::Input(_) | Slot::Constant(_) | Slot::Output(_) | Slot::Dynamic(_) => Some(self.held.whole(operand)?.clone()),
        };
        match shared {
            Some(tensor) if self.is_fixed(operand) && tensor.extents() != operand.extents => tensor.reshaped(&operand.extents).map_err(lost),
            Some(tensor) => Ok(tensor),
            None => copied(operand.dtype, &operand.extents, &self.bytes(operand)?),
        }
    }

    /// The one element of an operand.
    pub(crate) fn scalar(&self, operand: &Operand) -> Result<Scalar, Error> {
        let bytes = self.bytes(operand)?;
        if bytes.len() == operand.dtype.size() { Ok(frit_ir::tensor::read(&bytes, 0, operand.dtype)) } else { Err(Error::invalid(format!("a condition or count of a loop or branch has {} elements, not one", bytes.len() / operand.dtype.size().max(1)))) }
    }

    /// Writes a count.
    pub(crate) fn set_count(&mut self, operand: &Operand, count: i64) -> Result<(), Error> {
        if let Some((memory, address)) = self.on_device(operand)? {
            return memory.stream.set(address, count);
        }
        self.put(operand, Tensor::from_slice(&operand.extents, &[count]))
    }

    /// Leaves a tensor in a slot.
    pub(crate) fn put(&mut self, operand: &Operand, tensor: Tensor) -> Result<(), Error> {
        if tensor.dtype() != operand.dtype || (self.is_fixed(operand) && tensor.extents() != operand.extents) {
            return Err(misfit(format!("a step makes {} where {}{:?} belongs", tensor.ty(), operand.dtype, operand.extents)));
        }
        if let (Slot::Arena(_) | Slot::Output(_), Some((memory, address))) = (&operand.slot, self.on_device(operand)?) {
            return memory.stream.upload(address, tensor.bytes());
        }
        match operand.slot {
            Slot::Dynamic(at) => self.held.dynamics[at as usize] = Some(tensor),
            Slot::Output(at) => match &mut self.held.outputs[at as usize] {
                Output::Open(slot) => *slot = Some(tensor),
                Output::Fixed(bytes) => bytes.as_mut_slice().copy_from_slice(tensor.bytes()),
            },
            Slot::Arena(first) => {
                let range = self.range(first, operand)?;
                self.arena[range].copy_from_slice(tensor.bytes());
            }
            Slot::Input(_) | Slot::Constant(_) => return Err(misfit("a step writes an input or a constant")),
        }
        Ok(())
    }

    /// Copies an operand to another.
    pub(crate) fn copy(&mut self, from: &Operand, to: &Operand) -> Result<(), Error> {
        if self.is_fixed(from) && self.is_fixed(to) {
            let length = self.size(from)?;
            return self.move_bytes(from, 0..length, to, 0);
        }
        let tensor = self.tensor(from)?;
        let tensor = if self.is_fixed(to) && tensor.extents() != to.extents && to.dtype != DType::Str { tensor.reshaped(&to.extents).map_err(lost)? } else { tensor };
        self.put(to, tensor)
    }

    /// Copies the part of a tensor that one iteration of a loop sees.
    pub(crate) fn slice(&mut self, whole: &Operand, index: u64, part: &Operand) -> Result<(), Error> {
        let fixed = self.is_fixed(whole);
        let extents = if fixed { whole.extents.clone() } else { self.tensor(whole)?.extents().to_vec() };
        let Some((count, rest)) = extents.split_first() else { return Err(misfit("a loop cuts a tensor of rank 0")) };
        if index >= *count as u64 {
            return Err(Error::invalid(format!("iteration {index} of a loop asks for a part of {}{extents:?}", whole.dtype)));
        }
        let size = bytes(whole.dtype, rest).map_err(misfit)?;
        let range = index as usize * size..(index as usize + 1) * size;
        if self.is_fixed(part) {
            if bytes(part.dtype, &part.extents).map_err(misfit)? != size {
                return Err(misfit(format!("a part of {}{extents:?} is not {}{:?}", whole.dtype, part.dtype, part.extents)));
            }
            return self.move_bytes(whole, range, part, 0);
        }
        let tensor = copied(whole.dtype, rest, &self.bytes(whole)?[range])?;
        self.put(part, tensor)
    }

    /// Is the size of a stack known before its loop runs?
    pub(crate) fn is_stack_fixed(&self, whole: &Operand) -> bool {
        self.is_fixed(whole)
    }

    /// Copies what one iteration of a loop made to its place in a stack of fixed size.
    pub(crate) fn stack(&mut self, part: &Operand, whole: &Operand, index: u64) -> Result<(), Error> {
        let size = bytes(whole.dtype, whole.extents.get(1..).unwrap_or_default()).map_err(misfit)?;
        let length = self.size(part)?;
        if whole.extents.first().is_none_or(|count| index >= *count as u64) || length != size {
            return Err(misfit(format!("iteration {index} of a loop adds {length} bytes to {}{:?}", whole.dtype, whole.extents)));
        }
        self.move_bytes(part, 0..length, whole, index as usize * size)
    }

    fn move_bytes(&mut self, from: &Operand, range: Range<usize>, to: &Operand, at: usize) -> Result<(), Error> {
        if let (Slot::Arena(_) | Slot::Output(_), Some((memory, address))) = (&to.slot, self.on_device(to)?) {
            let to = address + at as u64;
            return match self.on_device(from)? {
                _ if range.is_empty() => Ok(()),
                Some((_, from)) => memory.stream.copy(to, from + range.start as u64, range.len()),
                None => memory.stream.upload(to, &self.bytes(from)?[range]),
            };
        }
        match (&from.slot, &to.slot) {
            (Slot::Arena(first), Slot::Arena(target)) => {
                let first = *first as usize;
                self.arena.copy_within(first + range.start..first + range.end, *target as usize + at);
            }
            (_, Slot::Arena(target)) => {
                let source = &self.held.bytes(from)?[range];
                self.arena[*target as usize + at..][..source.len()].copy_from_slice(source);
            }
            (_, Slot::Output(target)) => {
                let target = *target as usize;
                let mut output = std::mem::replace(&mut self.held.outputs[target], Output::Open(None));
                if let Output::Fixed(bytes) = &mut output {
                    let source = &self.bytes(from)?[range];
                    bytes.as_mut_slice()[at..][..source.len()].copy_from_slice(source);
                }
                self.held.outputs[target] = output;
            }
            (_, Slot::Input(_) | Slot::Constant(_) | Slot::Dynamic(_)) => return Err(misfit("a copy has no place to go to")),
        }
        Ok(())
    }

    /// Where the operands' bytes begin, and then where byte `scratch` of the arena lies.
    ///
    /// The pointers are good until the frame is next used.
    pub(crate) fn pointers(&mut self, operands: &[Operand], scratch: usize) -> Result<&[AtomicPtr<u8>], Error> {
        let arena = self.arena.as_mut_ptr();
        let outputs = self.held.outputs.iter_mut().map(|output| if let Output::Fixed(bytes) = output { bytes.as_mut_slice().as_mut_ptr() } else { std::ptr::null_mut() });
        // The outputs' pointers come first: each is taken once, so that none is stale where two operands name one output.
        self.pointers.clear();
        self.pointers.extend(outputs.map(AtomicPtr::new));
        let first = self.pointers.len();
        for operand in operands {
            let pointer = match operand.slot {
                Slot::Arena(first) => arena.wrapping_add(first as usize),
                Slot::Output(at) => *self.pointers[at as usize].get_mut(),
                Slot::Input(_) | Slot::Constant(_) => self.held.whole(operand)?.bytes().as_ptr().cast_mut(),
                Slot::Dynamic(_) => return Err(misfit("a kernel takes a tensor of unknown size")),
            };
            self.pointers.push(AtomicPtr::new(pointer));
        }
        self.pointers.push(AtomicPtr::new(arena.wrapping_add(scratch)));
        Ok(&self.pointers[first..])
    }
}

/// A tensor with a copy of some bytes.
fn copied(dtype: DType, extents: &[i64], bytes: &[u8]) -> Result<Tensor, Error> {
    let mut copy = AlignedBytes::brief(bytes.len()).map_err(lost)?;
    copy.as_mut_slice().copy_from_slice(bytes);
    Tensor::from_bytes(dtype, extents, copy).map_err(lost)
}

/// Joins tensors of one shape along a new first axis; `empty` is the shape of the parts where there are none.
pub(crate) fn stacked(dtype: DType, empty: &[i64], parts: &[Tensor]) -> Result<Tensor, Error> {
    let rest = parts.first().map_or(empty, Tensor::extents);
    if let Some(other) = parts.iter().find(|part| part.extents() != rest) {
        return Err(Error::invalid(format!("iterations of a loop make results of shapes {rest:?} and {:?}, which don't stack", other.extents())));
    }
    let extents: Vec<i64> = std::iter::once(parts.len() as i64).chain(rest.iter().copied()).collect();
    if dtype == DType::Str {
        return Tensor::from_strings(&extents, parts.iter().flat_map(|part| part.strings().iter().cloned()).collect()).map_err(lost);
    }
    let mut whole = AlignedBytes::brief(bytes(dtype, &extents).map_err(misfit)?).map_err(lost)?;
    let mut left = whole.as_mut_slice();
    for part in parts {
        let (head, tail) = left.split_at_mut(part.bytes().len());
        head.copy_from_slice(part.bytes());
        left = tail;
    }
    Tensor::from_bytes(dtype, &extents, whole).map_err(lost)
}
