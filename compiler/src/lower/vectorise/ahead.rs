//! Asks for memory that a tile of sums will need when it is done.
//!
//! In: a [`Program`]. Out: the same with [`Inst::Prefetch`]. A tile is summed up in registers for a long time, and then all of its rows are
//! stored, and what is added to them is read: memory that nothing touched before, far apart, so that no hardware foresees it. So the
//! addresses are computed before the sum. Must not know: loop forms, caches.

use frit_ir::dtype::DType;
use frit_ir::vector::{Inst, Program, Reg};

use crate::lower::TILE;

/// Adds prefetches to a program.
pub(super) fn prefetch(program: &mut Program) {
    let mut body = std::mem::take(&mut program.body);
    block(program, &mut body);
    program.body = body;
}

fn block(program: &Program, insts: &mut Vec<Inst>) {
    let mut at = 0;
    while at < insts.len() {
        let Inst::Loop { body, .. } = &mut insts[at] else {
            at += 1;
            continue;
        };
        if !holds_tile(program, body) {
            block(program, body);
            at += 1;
            continue;
        }
        let end = insts[at + 1..].iter().position(|inst| matches!(inst, Inst::Loop { .. })).map_or(insts.len(), |found| at + 1 + found);
        let mut behind = insts.split_off(at + 1);
        let rest = behind.split_off(end - at - 1);
        let (before, wanted) = ahead(program, &mut behind);
        let added = before.len() + wanted.len();
        insts.splice(at..at, before.into_iter().chain(wanted));
        insts.append(&mut behind);
        at += added + 1;
        insts.extend(rest);
    }
}

/// Does the body of a loop add to a tile of accumulators?
fn holds_tile(program: &Program, body: &[Inst]) -> bool {
    let mut tile: Vec<Reg> = body.iter().filter_map(|inst| if let Inst::Move { dst, .. } = inst { Some(*dst) } else { None }).filter(|reg| program.regs[reg.0 as usize].lanes > 1).collect();
    tile.sort_unstable();
    tile.dedup();
    tile.len() >= TILE && !body.iter().any(|inst| matches!(inst, Inst::Loop { .. }))
}

/// Takes the index arithmetic out of what follows a loop that can as well be done before it, and gives it and what to prefetch.
fn ahead(program: &Program, behind: &mut Vec<Inst>) -> (Vec<Inst>, Vec<Inst>) {
    let is_index = |reg: Reg| program.regs[reg.0 as usize].dtype == DType::I64 && program.regs[reg.0 as usize].lanes == 1;
    // Registers that are only known behind the loop.
    let mut late: Vec<Reg> = Vec::new();
    let (mut before, mut left, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
    for inst in behind.drain(..) {
        let operands = match &inst {
            Inst::Const { dst, .. } if is_index(*dst) => Some(vec![]),
            Inst::Binary { dst, a, b, .. } if is_index(*dst) => Some(vec![*a, *b]),
            _ => None,
        };
        if let Some(operands) = operands
            && operands.iter().all(|reg| !late.contains(reg) && !program.mutable.contains(reg))
        {
            before.push(inst);
            continue;
        }
        let vector = |reg: Reg| program.regs[reg.0 as usize].lanes > 1;
        let access = match &inst {
            Inst::Load { dst, from, stride: 1 } | Inst::GuardedLoad { dst, from, .. } if vector(*dst) => Some((*from, false)),
            Inst::Store { src, to, stride: 1 } | Inst::GuardedStore { src, to, .. } if vector(*src) => Some((*to, true)),
            _ => None,
        };
        if let Some((at, write)) = access
            && (at.buffer as usize) < program.params.len()
            && !late.contains(&at.index)
        {
            let prefetch = Inst::Prefetch { at, write };
            if !wanted.contains(&prefetch) {
                wanted.push(prefetch);
            }
        }
        late.extend(inst.dst());
        left.push(inst);
    }
    *behind = left;
    (before, wanted)
}
