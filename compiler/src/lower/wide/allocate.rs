//! Gives registers numbers.
//!
//! In: a [`Function`]. Out: a [`Location`] for each of its registers. Must not know: what instructions do.
//!
//! A scan over live intervals (Poletto and Sarkar, "Linear Scan Register Allocation", 1999). A register has one place for all
//! of its life. Where registers run out, that one goes to memory whose uses lie in the fewest loops, and of these the one with the
//! fewest uses for its length: so nothing that an inner loop needs gives way to what is only needed outside of it.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use super::machine::{Class, Function, Isa, Op, VReg};

/// General registers but for the stack pointer and two that code may use in between.
const GENERAL: usize = 13;
/// Masks but for the first, which stands for none.
const MASKS: usize = 7;
/// So many of the last vectors and masks are kept free where some lie in memory.
pub(super) const SPARE: usize = 2;

/// Where a register is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Location {
    /// In the register of that number within its class.
    Register(u8),
    /// In the stack slot of that number.
    Slot(u32),
    /// A constant that is read from where constants lie.
    Constant,
    /// Never used.
    Nowhere,
}

/// What allocation made of a function.
pub(super) struct Allocation {
    pub locations: Vec<Location>,
    /// Number of stack slots.
    pub slots: u32,
}

#[derive(Clone, Copy)]
struct Interval {
    reg: VReg,
    start: usize,
    end: usize,
    /// The most loops around a use.
    depth: u32,
    /// Uses, those in loops counted more.
    uses: f64,
}

impl Interval {
    /// Orders intervals by what it costs to keep them in memory.
    fn cost(&self, other: &Self) -> Ordering {
        let dense = |interval: &Self| interval.uses / (interval.end - interval.start + 1) as f64;
        self.depth.cmp(&other.depth).then(dense(self).total_cmp(&dense(other))).then(other.reg.cmp(&self.reg))
    }
}

/// Allocates the registers of a function.
pub(super) fn allocate(function: &Function, isa: Isa) -> Allocation {
    let intervals = intervals(function);
    let registers = [GENERAL, isa.vectors(), MASKS];
    let mut spare = [0; 3];
    loop {
        let allocation = scan(function, &intervals, [0, 1, 2].map(|class| registers[class] - spare[class]));
        let mut needed = spare;
        for (at, location) in allocation.locations.iter().enumerate() {
            let class = function.classes[at];
            if matches!(location, Location::Slot(_) | Location::Constant) && class != Class::General {
                needed[class as usize] = SPARE;
            }
        }
        if needed == spare {
            return allocation;
        }
        spare = needed;
    }
}

/// The live intervals, by their start.
fn intervals(function: &Function) -> Vec<Interval> {
    let mut all: Vec<Interval> = (0..function.classes.len() as u32).map(|reg| Interval { reg: VReg(reg), start: usize::MAX, end: 0, depth: 0, uses: 0.0 }).collect();
    // Open loops: where they begin, and what they mention.
    let mut open: Vec<(usize, BTreeSet<VReg>)> = Vec::new();
    let mut ended: Vec<(usize, usize, BTreeSet<VReg>)> = Vec::new();
    for (at, instruction) in function.body.iter().enumerate() {
        if instruction.op == Op::Loop {
            open.push((2 * at, BTreeSet::new()));
        }
        let depth = open.len() as u32;
        let mut touch = |reg: VReg, position: usize| {
            let interval = &mut all[reg.0 as usize];
            interval.start = interval.start.min(position);
            interval.end = interval.end.max(position);
            interval.depth = interval.depth.max(depth);
            interval.uses += 8f64.powi(depth as i32);
            if let Some((_, mentioned)) = open.last_mut() {
                mentioned.insert(reg);
            }
        };
        instruction.reads().for_each(|reg| touch(reg, 2 * at));
        if let Some(dst) = instruction.dst {
            touch(dst, 2 * at + 1);
        }
        if matches!(instruction.op, Op::Repeat { .. })
            && let Some((start, mentioned)) = open.pop()
        {
            if let Some((_, outer)) = open.last_mut() {
                outer.extend(mentioned.iter().copied());
            }
            ended.push((start, 2 * at + 1, mentioned));
        }
    }
    for reg in function.constants.keys() {
        let interval = &mut all[reg.0 as usize];
        if interval.start != usize::MAX {
            interval.start = 0;
            interval.uses /= 2.0;
        }
    }
    // What comes from outside a loop is needed until its end. Inner loops end first.
    for (start, end, mentioned) in ended {
        for reg in mentioned {
            let interval = &mut all[reg.0 as usize];
            if interval.start < start {
                interval.end = interval.end.max(end);
            }
        }
    }
    all.retain(|interval| interval.start != usize::MAX);
    all.sort_by_key(|interval| (interval.start, interval.reg));
    all
}

/// Gives the registers of each class that there are.
fn scan(function: &Function, intervals: &[Interval], registers: [usize; 3]) -> Allocation {
    let mut locations = vec![Location::Nowhere; function.classes.len()];
    // What each register holds now.
    let mut held: [Vec<Option<Interval>>; 3] = registers.map(|count| vec![None; count]);
    let hints = hints(function);
    let mut in_memory = Vec::new();
    let mut memory = |interval: &Interval, locations: &mut Vec<Location>| {
        locations[interval.reg.0 as usize] = if function.constants.contains_key(&interval.reg) {
            Location::Constant
        } else {
            in_memory.push(*interval);
            Location::Slot(0)
        };
    };
    for interval in intervals {
        let held = &mut held[function.class(interval.reg) as usize];
        for slot in held.iter_mut() {
            if slot.is_some_and(|other| other.end < interval.start) {
                *slot = None;
            }
        }
        let hinted = hints[interval.reg.0 as usize].iter().find_map(|hint| match locations[hint.0 as usize] {
            Location::Register(number) if held.get(usize::from(number)).is_some_and(Option::is_none) => Some(usize::from(number)),
            _ => None,
        });
        if let Some(number) = hinted.or_else(|| held.iter().position(Option::is_none)) {
            held[number] = Some(*interval);
            locations[interval.reg.0 as usize] = Location::Register(number as u8);
            continue;
        }
        let cheapest = held.iter().enumerate().filter_map(|(number, other)| other.map(|other| (number, other))).min_by(|a, b| a.1.cost(&b.1));
        match cheapest {
            Some((number, other)) if other.cost(interval) == Ordering::Less => {
                memory(&other, &mut locations);
                held[number] = Some(*interval);
                locations[interval.reg.0 as usize] = Location::Register(number as u8);
            }
            _ => memory(interval, &mut locations),
        }
    }
    // What lives at different times shares a slot.
    in_memory.sort_by_key(|interval| (interval.start, interval.reg));
    let mut ends: Vec<usize> = Vec::new();
    for interval in in_memory {
        let slot = ends.iter().position(|end| *end < interval.start).unwrap_or(ends.len());
        if slot == ends.len() {
            ends.push(interval.end);
        } else {
            ends[slot] = interval.end;
        }
        locations[interval.reg.0 as usize] = Location::Slot(slot as u32);
    }
    Allocation { locations, slots: ends.len() as u32 }
}

/// The registers whose number a register had best have too: operands that an instruction overwrites, the best first.
fn hints(function: &Function) -> Vec<Vec<VReg>> {
    let mut hints = vec![Vec::new(); function.classes.len()];
    for instruction in &function.body {
        let Some(dst) = instruction.dst else { continue };
        let hints: &mut Vec<VReg> = &mut hints[dst.0 as usize];
        match instruction.op {
            Op::Fma(_) => hints.extend(instruction.sources.iter().rev()),
            Op::Copy | Op::Alu(_) => hints.extend(&instruction.sources),
            _ => {}
        }
    }
    hints
}
