//! Looks at an executable before any of its code runs: every step's operands exist, lie inside what they name, and have
//! the bytes that kernels touch.
//!
//! In: an [`Executable`], from a compiler or a file that anybody may have written. Out: nothing, or the first complaint.
//! Must not know: how steps are run.
//!
//! What can't be checked is what machine code does. An artifact is as trustworthy as a program that one starts.

use frit_ir::executable::{Code, Executable, Operand, Port, Slot, Step};
use frit_ir::tensor::{ALIGNMENT, checked_elems};
use frit_ir::{DType, Error};

/// Threads of a block on a GPU.
const MOST_THREADS: u64 = 1024;

/// Steps nest no deeper than this.
pub const MAX_DEPTH: usize = frit_ir::executable::MAX_DEPTH;

/// Checks an executable.
///
/// # Errors
/// Invalid with the first step that does not fit.
pub fn check(executable: &Executable) -> Result<(), Error> {
    let arena = usize::try_from(executable.arena_bytes).ok().filter(|bytes| *bytes <= isize::MAX as usize);
    let mut checker = Checker { executable, arena: arena.ok_or_else(|| broken("its arena does not fit into memory"))?, written: executable.outputs.iter().map(is_empty).collect() };
    for port in executable.inputs.iter().chain(&executable.outputs) {
        if let Some(extents) = &port.extents {
            bytes(port.dtype, extents).map_err(|why| broken(format!("the shape of '{}': {why}", port.name)))?;
        }
    }
    for (at, state) in executable.states.iter().enumerate() {
        let end = |ports: &[Port]| ports.len().checked_sub(executable.states.len()).and_then(|first| ports.get(first + at)).map(|port| (port.dtype, port.extents.clone()));
        let initial = executable.constants.get(*state as usize).map(|tensor| (tensor.dtype(), Some(tensor.extents().to_vec())));
        if initial.is_none() || end(&executable.inputs) != initial || end(&executable.outputs) != initial {
            return Err(broken(format!("state {at} is not what the ends of the program say")));
        }
    }
    for kernel in &executable.kernels {
        checker.kernel(kernel).map_err(|why| broken(format!("kernel '{}': {why}", kernel.name)))?;
    }
    checker.steps(&executable.steps, 0)?;
    match checker.written.iter().position(|written| !written) {
        Some(at) => Err(broken(format!("no step writes the output '{}'", executable.outputs[at].name))),
        None => Ok(()),
    }
}

/// Does the run time know the number of bytes of an output before the program runs?
pub(crate) fn is_fixed(port: &Port) -> bool {
    port.extents.is_some() && port.dtype != DType::Str
}

/// Bytes of a tensor.
pub(crate) fn bytes(dtype: DType, extents: &[i64]) -> Result<usize, String> {
    let elems = checked_elems(extents).map_err(|error| error.message)?;
    elems.checked_mul(dtype.size()).filter(|bytes| *bytes <= isize::MAX as usize).ok_or_else(|| format!("{dtype}{extents:?} does not fit into memory"))
}

fn broken(why: impl std::fmt::Display) -> Error {
    Error::invalid(format!("the program is broken: {why}")).help("compile the model again")
}

/// What a step does with an operand.
#[derive(Clone, Copy, PartialEq)]
enum Access {
    Read,
    Write,
}

/// An output without elements needs no step that writes it.
fn is_empty(port: &Port) -> bool {
    port.extents.as_ref().is_some_and(|extents| extents.contains(&0))
}

struct Checker<'e> {
    executable: &'e Executable,
    arena: usize,
    written: Vec<bool>,
}

impl Checker<'_> {
    fn kernel(&self, kernel: &Code) -> Result<(), String> {
        let end = kernel.offset.checked_add(kernel.len);
        if kernel.len == 0 || end.is_none_or(|end| end > self.executable.code.len() as u64) {
            return Err(format!("its {} bytes at {} lie outside the code, which has {}", kernel.len, kernel.offset, self.executable.code.len()));
        }
        if kernel.grain == 0 {
            return Err("its grain is 0".to_owned());
        }
        if self.executable.target.is_cuda() && (kernel.team == 0 || u64::from(kernel.team).saturating_mul(kernel.grain) > MOST_THREADS) {
            return Err(format!("its blocks have {} teams of {} threads, and a GPU's have {MOST_THREADS} threads at most", kernel.grain, kernel.team));
        }
        if kernel.scratch_bytes > isize::MAX as u64 / 2048 {
            return Err(format!("its scratch of {} bytes does not fit into memory", kernel.scratch_bytes));
        }
        Ok(())
    }

    fn steps(&mut self, steps: &[Step], depth: usize) -> Result<(), Error> {
        if depth > MAX_DEPTH {
            return Err(broken(format!("its steps nest deeper than {MAX_DEPTH}")));
        }
        for step in steps {
            self.step(step).map_err(|why| broken(format!("{}: {why}", name(step))))?;
            match step {
                Step::If { then_steps, else_steps, .. } => {
                    self.steps(then_steps, depth + 1)?;
                    self.steps(else_steps, depth + 1)?;
                }
                Step::Loop { body, .. } => self.steps(body, depth + 1)?,
                Step::Launch { .. } | Step::Interpret { .. } | Step::Copy { .. } => {}
            }
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Launch { kernel, operands, .. } => self.launch(*kernel, operands),
            Step::Interpret { inputs, outputs, .. } => {
                inputs.iter().try_for_each(|operand| self.operand(operand, Access::Read).map(drop))?;
                outputs.iter().try_for_each(|operand| self.operand(operand, Access::Write).map(drop))
            }
            Step::Copy { from, to } => {
                let sizes = (self.operand(from, Access::Read)?, self.operand(to, Access::Write)?);
                match sizes {
                    _ if from.dtype != to.dtype => Err(format!("{} is copied to {}", from.dtype, to.dtype)),
                    (Some(a), Some(b)) if a != b => Err(format!("{a} bytes are copied to {b}")),
                    _ => Ok(()),
                }
            }
            Step::If { cond, .. } => self.single(cond, DType::Bool, Access::Read),
            Step::Loop { trip_count, start, counter, cond, stacked, sliced, .. } => {
                if trip_count.is_none() && cond.is_none() {
                    return Err("a loop never ends".to_owned());
                }
                trip_count.iter().try_for_each(|operand| self.single(operand, DType::I64, Access::Read))?;
                start.iter().chain(cond).try_for_each(|operand| self.single(operand, DType::Bool, Access::Read))?;
                self.single(counter, DType::I64, Access::Write)?;
                sliced.iter().try_for_each(|(whole, part)| self.part(whole, Access::Read, part, Access::Write))?;
                stacked.iter().try_for_each(|(part, whole)| self.part(whole, Access::Write, part, Access::Read))
            }
        }
    }

    fn launch(&mut self, kernel: u32, operands: &[Operand]) -> Result<(), String> {
        let Some(kernel) = self.executable.kernels.get(kernel as usize) else { return Err(format!("there is no kernel {kernel}")) };
        if kernel.params.len() != operands.len() {
            return Err(format!("it takes {} operands, not {}", kernel.params.len(), operands.len()));
        }
        for (at, (operand, param)) in operands.iter().zip(&kernel.params).enumerate() {
            let access = if param.written { Access::Write } else { Access::Read };
            let Some(have) = self.operand(operand, access)? else {
                return Err(format!("the size of operand {at} is only known at run time"));
            };
            let need = param.elems.checked_mul(param.dtype.size() as u64);
            if need.is_none_or(|need| need > have as u64) {
                return Err(format!("operand {at} has {have} bytes, and the kernel touches {} of {}", param.elems, param.dtype));
            }
        }
        Ok(())
    }

    /// An operand of one element.
    fn single(&mut self, operand: &Operand, dtype: DType, access: Access) -> Result<(), String> {
        let bytes = self.operand(operand, access)?;
        if operand.dtype == dtype && bytes.is_none_or(|bytes| bytes == dtype.size()) {
            Ok(())
        } else {
            Err(format!("a control operand is {}{:?} instead of one {dtype}", operand.dtype, operand.extents))
        }
    }

    /// A tensor and what one iteration of a loop sees of it.
    fn part(&mut self, whole: &Operand, of_whole: Access, part: &Operand, of_part: Access) -> Result<(), String> {
        let sizes = (self.operand(whole, of_whole)?, self.operand(part, of_part)?);
        if whole.dtype != part.dtype {
            return Err(format!("{} is cut into {}", whole.dtype, part.dtype));
        }
        if sizes.0.is_some() {
            let Some(count) = whole.extents.first() else { return Err("a loop cuts a tensor of rank 0".to_owned()) };
            let part_bytes = bytes(whole.dtype, &whole.extents[1..])?;
            if sizes.1.is_some_and(|bytes| bytes != part_bytes) {
                return Err(format!("{count} parts of {part_bytes} bytes don't make {}{:?}", whole.dtype, whole.extents));
            }
        }
        Ok(())
    }

    /// Bytes of an operand; nothing where they are only known at run time.
    fn operand(&mut self, operand: &Operand, access: Access) -> Result<Option<usize>, String> {
        let executable = self.executable;
        let own = || bytes(operand.dtype, &operand.extents);
        match operand.slot {
            Slot::Input(_) | Slot::Constant(_) if access == Access::Write => Err("an input or a constant is written".to_owned()),
            Slot::Input(at) => {
                let Some(port) = executable.inputs.get(at as usize) else { return Err(format!("there is no input {at}")) };
                same_dtype(operand, port.dtype)?;
                if port.dtype == DType::Str {
                    return Ok(None);
                }
                port.extents.as_ref().map(|extents| same_bytes(own()?, bytes(port.dtype, extents)?)).transpose()
            }
            Slot::Constant(at) => {
                let Some(tensor) = executable.constants.get(at as usize) else { return Err(format!("there is no constant {at}")) };
                same_dtype(operand, tensor.dtype())?;
                if tensor.dtype() == DType::Str {
                    return Ok(None);
                }
                same_bytes(own()?, tensor.bytes().len()).map(Some)
            }
            Slot::Output(at) => {
                let Some(port) = executable.outputs.get(at as usize) else { return Err(format!("there is no output {at}")) };
                same_dtype(operand, port.dtype)?;
                self.written[at as usize] |= access == Access::Write;
                match &port.extents {
                    Some(extents) if is_fixed(port) => same_bytes(own()?, bytes(port.dtype, extents)?).map(Some),
                    _ => Ok(None),
                }
            }
            Slot::Arena(first) => {
                if operand.dtype == DType::Str {
                    return Err("text can't lie in the arena".to_owned());
                }
                let bytes = own()?;
                let end = usize::try_from(first).ok().and_then(|first| first.checked_add(bytes));
                if !first.is_multiple_of(ALIGNMENT as u64) || end.is_none_or(|end| end > self.arena) {
                    return Err(format!("{bytes} bytes at {first} of an arena of {} bytes", self.arena));
                }
                Ok(Some(bytes))
            }
            Slot::Dynamic(at) if at < executable.dynamics => Ok(None),
            Slot::Dynamic(at) => Err(format!("there is no dynamic tensor {at}")),
        }
    }
}

fn same_dtype(operand: &Operand, dtype: DType) -> Result<(), String> {
    if operand.dtype == dtype { Ok(()) } else { Err(format!("{dtype} is used as {}", operand.dtype)) }
}

fn same_bytes(own: usize, bytes: usize) -> Result<usize, String> {
    if own == bytes { Ok(bytes) } else { Err(format!("{bytes} bytes are used as {own}")) }
}

/// A step in messages.
fn name(step: &Step) -> String {
    let (what, sources) = match step {
        Step::Launch { sources, .. } => ("launch", sources.as_slice()),
        Step::Interpret { sources, .. } => ("interpreter step", sources.as_slice()),
        Step::Copy { .. } => ("copy", [].as_slice()),
        Step::If { .. } => ("if", [].as_slice()),
        Step::Loop { .. } => ("loop", [].as_slice()),
    };
    if sources.is_empty() { what.to_owned() } else { format!("{what} of '{}'", sources.join("', '")) }
}
