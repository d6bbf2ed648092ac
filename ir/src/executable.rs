//! The executable: machine code, constants, a plan of buffers and a tree of steps.
//!
//! In: what the compiler's last stage makes. Out: what the run time loads from memory or from an
//! artifact and runs. Must not know: how it was compiled.

use std::cell::Cell;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::dtype::DType;
use crate::shape::Shape;
use crate::tensor::Tensor;
use crate::vector::{Instructions, Target};

/// Steps nest no deeper than this.
pub const MAX_DEPTH: usize = 64;

/// A named end of a program.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Port {
    /// The name that the model gives it.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Extents; nothing where they are only known at run time.
    pub extents: Option<Vec<i64>>,
    /// The shape as the model declared it, for messages.
    pub declared: String,
}

/// Where a step finds or leaves a tensor.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Slot {
    /// The caller's input of this number.
    Input(u32),
    /// Constant of this number.
    Constant(u32),
    /// A range of the arena: first byte (a multiple of 64).
    Arena(u64),
    /// The output of this number, written in place into the tensor that the caller receives.
    Output(u32),
    /// A tensor made at run time whose shape is not known before, by number.
    Dynamic(u32),
}

/// A slot and the type of the tensor in it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Operand {
    /// Where.
    pub slot: Slot,
    /// Element type.
    pub dtype: DType,
    /// Extents; empty and meaningless for [`Slot::Dynamic`].
    pub extents: Vec<i64>,
}

/// One compiled kernel.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Code {
    /// The kernel's name.
    pub name: String,
    /// First byte of its code in [`Executable::code`].
    pub offset: u64,
    /// Bytes of code.
    pub len: u64,
    /// Grid points.
    pub points: u64,
    /// Grid points that are worth a thread of their own: work is split no finer. Where threads form teams, the teams of a
    /// block.
    pub grain: u64,
    /// Threads that run one grid point together.
    pub team: u32,
    /// Bytes of scratch that one call needs.
    pub scratch_bytes: u64,
    /// For each parameter: its dtype, number of elements, and whether it is written.
    pub params: Vec<Param>,
    /// Floating-point operations, for reports.
    pub flops: u64,
    /// Vector instructions, for reports; none where the code is text.
    pub instructions: Instructions,
    /// Bytes that move at least once, for reports.
    pub bytes: u64,
}

/// A kernel's parameter.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Param {
    /// Element type.
    pub dtype: DType,
    /// Elements that the kernel may touch.
    pub elems: u64,
    /// Is it written?
    pub written: bool,
}

/// One step of a program.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Step {
    /// Runs a kernel.
    Launch {
        /// Which.
        kernel: u32,
        /// One per parameter.
        operands: Vec<Operand>,
        /// Names of the source nodes it stands for.
        sources: Vec<String>,
        /// Names of the rewrites that made it.
        rules: Vec<String>,
    },
    /// Runs a one-node graph in the reference interpreter.
    Interpret {
        /// The graph, in the text form, with the node's operands as inputs.
        graph: String,
        /// Operands.
        inputs: Vec<Operand>,
        /// Results.
        outputs: Vec<Operand>,
        /// Names of the source nodes it stands for.
        sources: Vec<String>,
        /// Why no kernel does it, for reports.
        why: String,
    },
    /// Copies a tensor.
    Copy {
        /// Where from.
        from: Operand,
        /// Where to.
        to: Operand,
    },
    /// Runs one of two lists of steps.
    If {
        /// One bool.
        cond: Operand,
        /// Where it holds.
        #[serde(deserialize_with = "nested")]
        then_steps: Vec<Step>,
        /// Where it does not.
        #[serde(deserialize_with = "nested")]
        else_steps: Vec<Step>,
    },
    /// Runs steps while a condition holds and a count is not reached. `counter` and `cond` are written by the run time and
    /// the body respectively.
    Loop {
        /// Largest number of iterations, one i64; no bound if absent.
        trip_count: Option<Operand>,
        /// Whether to begin, one bool; yes if absent.
        start: Option<Operand>,
        /// Where the run time writes the iteration's number, one i64 in the arena.
        counter: Operand,
        /// Where the body leaves whether to go on, one bool; always if absent.
        cond: Option<Operand>,
        /// The body.
        #[serde(deserialize_with = "nested")]
        body: Vec<Step>,
        /// For each result that the iterations stack up: where the body leaves it, and where the stack lies (its first
        /// extent is the number of iterations; the shape of `Dynamic` ones is told by how many ran).
        stacked: Vec<(Operand, Operand)>,
        /// For each operand that the iterations walk along: the whole (its first extent is walked), and where the body expects its part.
        sliced: Vec<(Operand, Operand)>,
    },
}

impl Step {
    /// The lists of steps that it holds, in the order in which [`Executable::leaves`] walks them.
    pub fn bodies(&self) -> Vec<&[Step]> {
        match self {
            Step::If { then_steps, else_steps, .. } => vec![then_steps, else_steps],
            Step::Loop { body, .. } => vec![body],
            Step::Launch { .. } | Step::Interpret { .. } | Step::Copy { .. } => Vec::new(),
        }
    }
}

thread_local! {
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Reads a step's own steps, but not deeper than [`MAX_DEPTH`]: a file must not be able to exhaust the stack.
fn nested<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Step>, D::Error> {
    let depth = DEPTH.get();
    if depth >= MAX_DEPTH {
        return Err(serde::de::Error::custom(format!("steps nest deeper than {MAX_DEPTH}")));
    }
    DEPTH.set(depth + 1);
    let steps = Vec::deserialize(deserializer);
    DEPTH.set(depth);
    steps
}

/// A compiled program.
#[derive(Clone, Debug)]
pub struct Executable {
    /// The model's name.
    pub name: String,
    /// What the code needs.
    pub target: Target,
    /// Inputs, in the model's order.
    pub inputs: Vec<Port>,
    /// Outputs, in the model's order.
    pub outputs: Vec<Port>,
    /// For each state, the constant that it is before the first run. States are the last inputs, and what they are after a run the
    /// last outputs.
    pub states: Vec<u32>,
    /// Weights and other constants, packed as kernels want them.
    pub constants: Vec<Tensor>,
    /// The kernels.
    pub kernels: Vec<Code>,
    /// Their code: position-independent, no relocations.
    pub code: Vec<u8>,
    /// Bytes of the arena of one call, without scratch.
    pub arena_bytes: u64,
    /// Number of dynamic tensors.
    pub dynamics: u32,
    /// What to do.
    pub steps: Vec<Step>,
}

/// The steps that hold no others, in the order in which they stand.
pub fn leaves(steps: &[Step]) -> Vec<&Step> {
    let mut all = Vec::new();
    for step in steps {
        match step {
            Step::If { .. } | Step::Loop { .. } => all.extend(step.bodies().into_iter().flat_map(|body| leaves(body))),
            Step::Launch { .. } | Step::Interpret { .. } | Step::Copy { .. } => all.push(step),
        }
    }
    all
}

impl Executable {
    /// All [`leaves`]; profiles number them so.
    pub fn leaves(&self) -> Vec<&Step> {
        leaves(&self.steps)
    }

    /// Bytes of all constants.
    pub fn constant_bytes(&self) -> u64 {
        self.constants.iter().map(|tensor| tensor.bytes().len() as u64).sum()
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.extents {
            Some(extents) => write!(f, "{:?}: {}{}", self.name, self.dtype, Shape::known(extents)),
            None => write!(f, "{:?}: {}[..]", self.name, self.dtype),
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Slot::Input(n) => write!(f, "input {n}"),
            Slot::Constant(n) => write!(f, "constant {n}"),
            Slot::Arena(at) => write!(f, "arena {at}"),
            Slot::Output(n) => write!(f, "output {n}"),
            Slot::Dynamic(n) => write!(f, "dynamic {n}"),
        }
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.slot {
            Slot::Dynamic(_) => write!(f, "{}: {}[..]", self.slot, self.dtype),
            _ => write!(f, "{}: {}{}", self.slot, self.dtype, Shape::known(&self.extents)),
        }
    }
}

/// Prints steps, one a line, those that others hold further to the right. `kernel` is the name of a kernel.
///
/// # Errors
/// Those of the formatter.
pub fn print_steps<'k>(f: &mut fmt::Formatter<'_>, steps: &[Step], kernel: &impl Fn(usize) -> &'k str, depth: usize) -> fmt::Result {
    let list = |operands: &[Operand]| operands.iter().map(Operand::to_string).collect::<Vec<_>>().join(", ");
    let indent = "  ".repeat(depth);
    for step in steps {
        match step {
            Step::Launch { kernel: number, operands, sources, rules } => {
                let by = if rules.is_empty() { String::new() } else { format!(" by {}", rules.join(", ")) };
                writeln!(f, "{indent}launch {}({}) @ {}{by}", kernel(*number as usize), list(operands), sources.join(", "))?;
            }
            Step::Interpret { inputs, outputs, sources, why, .. } => writeln!(f, "{indent}interpret ({}) -> ({}) @ {}: {why}", list(inputs), list(outputs), sources.join(", "))?,
            Step::Copy { from, to } => writeln!(f, "{indent}copy {from} to {to}")?,
            Step::If { cond, then_steps, else_steps } => {
                writeln!(f, "{indent}if {cond}")?;
                print_steps(f, then_steps, kernel, depth + 1)?;
                writeln!(f, "{indent}else")?;
                print_steps(f, else_steps, kernel, depth + 1)?;
            }
            Step::Loop { trip_count, start, counter, cond, body, stacked, sliced } => {
                write!(f, "{indent}loop, counted in {counter}")?;
                for (word, operand) in [("at most", trip_count), ("if", start), ("while", cond)] {
                    if let Some(operand) = operand {
                        write!(f, ", {word} {operand}")?;
                    }
                }
                writeln!(f)?;
                for (whole, part) in sliced {
                    writeln!(f, "{indent}  slice {whole} into {part}")?;
                }
                print_steps(f, body, kernel, depth + 1)?;
                for (part, whole) in stacked {
                    writeln!(f, "{indent}  stack {part} in {whole}")?;
                }
            }
        }
    }
    Ok(())
}

/// The plan of what is run, without the code's and the constants' bytes.
impl fmt::Display for Executable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "executable {:?} for {}", self.name, self.target)?;
        self.inputs.iter().enumerate().try_for_each(|(n, port)| writeln!(f, "  input {n} {port}"))?;
        self.outputs.iter().enumerate().try_for_each(|(n, port)| writeln!(f, "  output {n} {port}"))?;
        self.constants.iter().enumerate().try_for_each(|(n, tensor)| writeln!(f, "  constant {n}: {}", tensor.ty()))?;
        writeln!(f, "  arena of {} bytes, {} dynamic tensors", self.arena_bytes, self.dynamics)?;
        writeln!(f, "\nkernels, {} bytes of code", self.code.len())?;
        for code in &self.kernels {
            writeln!(f, "  {}: {} bytes at {}, {} points, {} at once at least, {} bytes of scratch", code.name, code.len, code.offset, code.points, code.grain, code.scratch_bytes)?;
        }
        writeln!(f, "\nsteps")?;
        print_steps(f, &self.steps, &|number| self.kernels.get(number).map_or("?", |code| code.name.as_str()), 1)
    }
}
