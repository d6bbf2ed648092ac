//! The stages in order, from a graph to an executable.
//!
//! In: an imported (or hand-built) graph and [`Options`]. Out: an [`Executable`], or the dump of a stage. Must not know:
//! source formats, the run time.

use std::fmt;
use std::str::FromStr;

use frit_ir::compute::Compute;
use frit_ir::executable::{Executable, Step};
use frit_ir::graph::Graph;
use frit_ir::vector::Target;
use frit_ir::{Error, Tensor, text};

use crate::cost::Machine;
use crate::lower::{self, target};
use crate::rewrite::{self, Prices, Report, rewrite};
use crate::schedule::{self, Device, Precision, Schedule, Trace, schedule};
use crate::schedule::tuning::{self, Tuning};
use crate::specialise::{Binding, specialise};

/// The forms that a model passes through, in order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Stage {
    /// Bytes to graph.
    Import,
    /// Open dimensions bound, shapes inferred, constants folded.
    Specialise,
    /// Graph to cheaper equal graph.
    Rewrite,
    /// Graph to kernels and buffer plan.
    Schedule,
    /// Kernels to machine code.
    Lower,
    /// Executable and tensors to tensors.
    Run,
}

impl Stage {
    /// All stages, in order.
    pub const ALL: &[Stage] = &[Stage::Import, Stage::Specialise, Stage::Rewrite, Stage::Schedule, Stage::Lower, Stage::Run];

    /// The name on the command line and in golden tests.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Import => "import",
            Stage::Specialise => "specialise",
            Stage::Rewrite => "rewrite",
            Stage::Schedule => "schedule",
            Stage::Lower => "lower",
            Stage::Run => "run",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Stage {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Stage::ALL.iter().copied().find(|stage| stage.name() == text).ok_or_else(|| format!("there is no stage '{text}'"))
    }
}

/// How to compile.
#[derive(Clone, Debug)]
pub struct Options {
    /// What stands for open dimensions.
    pub binding: Binding,
    /// Which of a model's signatures is imported, where it has several.
    pub signature: Option<String>,
    /// What code is made for.
    pub target: Target,
    /// What time is estimated for.
    pub machine: Machine,
    /// How it is rewritten.
    pub rewrite: rewrite::Options,
    /// Is it an error if an op is left to the reference interpreter?
    pub strict: bool,
    /// May a kernel do the work of several source nodes (what rules made one node of counts as one)? Programs without fusion
    /// are there to be compared with.
    pub fusion: bool,
    /// What products (matrix products and convolutions) of f32 and bf16 are computed in.
    pub precision: Precision,
    /// What measurements found of kernels and programs, if that is used. It never changes results.
    pub tuning: Option<Tuning>,
}

impl Default for Options {
    /// For this machine, with nothing bound.
    fn default() -> Self {
        Self { binding: Binding::default(), signature: None, target: target::host(), machine: Machine::DEFAULT, rewrite: rewrite::Options::default(), strict: false, fusion: true, precision: Precision::F32, tuning: None }
    }
}

impl Options {
    /// Does something by what programs cost.
    pub fn priced<T>(&self, act: impl FnOnce(&Prices<'_>) -> T) -> T {
        // Rewriting is the same without fusion, so that programs can be compared.
        let device = Device { fusion: true, ..self.device() };
        // Without instructions for bytes their products are those of 32-bit integers, which take two steps each.
        let mut machine = if self.target.dots() { self.machine.clone() } else { Machine { dot: self.machine.contraction / 2.0, ..self.machine.clone() } };
        // What is rewritten are still products of f32.
        if self.precision == Precision::BF16 && self.target.pairs() {
            machine.contraction *= 2.0;
        }
        act(&Prices { machine: &machine, kernels: &|graph| schedule::price(graph, &device) })
    }

    /// How it is rewritten. Rules that compute results in blocks are left out where factors are rounded: what cancels in exact sums would
    /// not cancel then. Teams of threads stage operands in pieces, which they would do seven times for Strassen's products.
    pub fn rewriting(&self) -> rewrite::Options {
        let mut options = self.rewrite.clone();
        if self.precision == Precision::BF16 {
            options.without.extend(rewrite::rules().filter(|rule| rule.class == rewrite::Class::Blocked).map(|rule| rule.name.to_owned()));
        }
        if self.target.team > 1 {
            options.without.insert("strassen".to_owned());
        }
        options
    }

    /// What is scheduled for.
    pub fn device(&self) -> Device<'_> {
        let supported: &dyn Fn(&Compute) -> Result<(), String> = if self.target.is_cuda() { &lower::supported_on_gpu } else { &lower::supported };
        Device { target: &self.target, machine: &self.machine, supported, fusion: self.fusion, precision: self.precision, tuning: self.tuning.as_ref(), priced: false }
    }
}

/// Compiles a graph.
///
/// # Errors
/// Invalid where the model is at fault or a dimension stays open; unsupported with `strict` where an op has no
/// kernel.
pub fn compile(graph: &Graph, options: &Options) -> Result<Executable, Vec<Error>> {
    let (mut schedule, _) = scheduled(graph, options)?;
    // Constants are packed by now; the graph that holds them as they were is not kept while code is made.
    schedule.trace = Trace::default();
    let _span = tracing::info_span!("lower").entered();
    lower::lower(schedule, &options.target).map_err(|error| vec![error])
}

/// Compiles a graph and says what each kernel computes.
///
/// # Errors
/// As [`compile`].
pub fn traced(graph: &Graph, options: &Options) -> Result<(Executable, Trace), Vec<Error>> {
    let (rewritten, _) = rewritten(graph, options)?;
    finished(&rewritten, graph.states(), options)
}

/// What a graph goes by in [`Tuning::programs`], its dimensions being bound.
pub fn program_key(graph: &Graph) -> String {
    tuning::key(text::summarise(graph))
}

/// Compiles a graph that was rewritten, and says what each kernel computes.
///
/// # Errors
/// As [`compile`].
pub fn finished(rewritten: &Graph, states: &[Tensor], options: &Options) -> Result<(Executable, Trace), Vec<Error>> {
    let mut schedule = planned(rewritten, states, options)?;
    let trace = std::mem::take(&mut schedule.trace);
    Ok((lower::lower(schedule, &options.target).map_err(|error| vec![error])?, trace))
}

/// A graph after the rewrite stage, and what rewriting did.
///
/// # Errors
/// As [`compile`].
pub fn rewritten(graph: &Graph, options: &Options) -> Result<(Graph, Report), Vec<Error>> {
    let graph = tracing::info_span!("specialise").in_scope(|| specialise(graph, &options.binding))?;
    let mut rules = options.rewriting();
    rules.without.extend(options.tuning.iter().flat_map(|tuning| tuning.programs.get(&program_key(&graph))).flatten().cloned());
    let (graph, report) = tracing::info_span!("rewrite").in_scope(|| options.priced(|prices| rewrite(&graph, &rules, prices))).map_err(|error| vec![error])?;
    tracing::debug!(?report, "rewritten");
    Ok((graph, report))
}

pub(crate) fn scheduled(graph: &Graph, options: &Options) -> Result<(Schedule, Report), Vec<Error>> {
    let (rewritten, report) = rewritten(graph, options)?;
    Ok((planned(&rewritten, graph.states(), options)?, report))
}

fn planned(graph: &Graph, states: &[Tensor], options: &Options) -> Result<Schedule, Vec<Error>> {
    let mut schedule = tracing::info_span!("schedule").in_scope(|| schedule(graph, &options.device())).map_err(|error| vec![error])?;
    // Stages keep the ends of a graph as they are, so states are still its last ones.
    for state in states {
        schedule.states.push(schedule.constants.len() as u32);
        schedule.constants.push(state.clone());
    }
    if options.strict {
        let mut errors = Vec::new();
        interpreted(&schedule.steps, &mut errors);
        if !errors.is_empty() {
            return Err(errors);
        }
    }
    Ok(schedule)
}

fn interpreted(steps: &[Step], errors: &mut Vec<Error>) {
    for step in steps {
        match step {
            Step::Interpret { sources, why, .. } => errors.push(Error { node: sources.join(", "), ..Error::unsupported(format!("no kernel does this op: {why}")).help("leave --strict out to run it in the reference interpreter") }),
            Step::If { then_steps, else_steps, .. } => {
                interpreted(then_steps, errors);
                interpreted(else_steps, errors);
            }
            Step::Loop { body, .. } => interpreted(body, errors),
            Step::Launch { .. } | Step::Copy { .. } => {}
        }
    }
}

/// What a stage makes of a graph, as text.
///
/// # Errors
/// As [`compile`].
pub fn dump(graph: &Graph, options: &Options, stage: Stage) -> Result<String, Vec<Error>> {
    Ok(match stage {
        Stage::Import => text::summarise(graph),
        Stage::Specialise => text::summarise(&specialise(graph, &options.binding)?),
        Stage::Rewrite => text::summarise(&rewritten(graph, options)?.0),
        Stage::Schedule => scheduled(graph, options)?.0.to_string(),
        Stage::Run => compile(graph, options)?.to_string(),
        Stage::Lower => {
            let (schedule, _) = scheduled(graph, options)?;
            if options.target.is_cuda() {
                let texts = schedule.kernels.iter().map(|kernel| lower::text(kernel, &options.target)).collect::<Result<Vec<_>, _>>().map_err(|error| vec![error])?;
                return Ok(texts.iter().map(|text| format!("// {} threads a point, {} points a block, {} bytes shared\n{}\n", text.team, text.teams, text.shared_bytes, text.text)).collect());
            }
            let programs = schedule.kernels.iter().map(|kernel| lower::program(kernel, &options.target)).collect::<Result<Vec<_>, _>>().map_err(|error| vec![error])?;
            programs.iter().map(|program| format!("{program}\n")).collect()
        }
    })
}
