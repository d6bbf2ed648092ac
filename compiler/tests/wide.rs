//! The wide emitter against the interpreter of vector programs, on drawn programs that need more registers than there are.

#![allow(unsafe_code, reason = "runs the code that is tested")]

use frit_compiler::lower::{target, wide};
use frit_ir::DType;
use frit_ir::scalar::{Binary, Scalar, Unary};
use frit_ir::tensor::read;
use frit_ir::vector::{Address, Inst, Program, Reg, RegType};
use frit_runtime::code::CodeMemory;

const I64: RegType = RegType { dtype: DType::I64, lanes: 1 };
const ELEMS: usize = 4096;

/// Numbers that follow from a seed (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// A program under construction: values of each type that are known so far.
struct Maker {
    draw: Draw,
    regs: Vec<RegType>,
    floats: Vec<Reg>,
    masks: Vec<Reg>,
    ints: Vec<Reg>,
    lanes: u32,
    /// May it use dot products of pairs?
    pairs: bool,
}

impl Maker {
    fn reg(&mut self, dtype: DType, lanes: u32) -> Reg {
        self.regs.push(RegType { dtype, lanes });
        Reg(self.regs.len() as u32 - 1)
    }

    /// An index of which a vector's lanes, twice as far apart, still lie in a buffer: one of the small integers.
    fn address(&mut self, index: Reg) -> Address {
        Address { buffer: 0, base: 0, index, offset: self.draw.below(1000) as i64 }
    }

    /// One instruction on values that are known, whose result is then known too.
    fn step(&mut self, small: Reg) -> Vec<Inst> {
        let (lanes, kind) = (self.lanes, self.draw.below(if self.pairs { 13 } else { 12 }));
        let float = |maker: &mut Self| {
            let all = maker.floats.clone();
            maker.draw.of(&all)
        };
        match kind {
            0..=2 => {
                let (a, b, dst) = (float(self), float(self), self.reg(DType::F32, lanes));
                let op = self.draw.of(&[Binary::Add, Binary::Sub, Binary::Mul, Binary::Min, Binary::Max]);
                self.floats.push(dst);
                vec![Inst::Binary { dst, op, a, b }]
            }
            3 | 4 => {
                let (a, b, c, dst) = (float(self), float(self), float(self), self.reg(DType::F32, lanes));
                self.floats.push(dst);
                vec![Inst::Fma { dst, a, b, c }]
            }
            5 => {
                let (a, dst) = (float(self), self.reg(DType::F32, lanes));
                let op = self.draw.of(&[Unary::Neg, Unary::Abs, Unary::Floor, Unary::Sign]);
                self.floats.push(dst);
                vec![Inst::Unary { dst, op, a }]
            }
            6 => {
                let (a, b, dst) = (float(self), float(self), self.reg(DType::Bool, lanes));
                let op = self.draw.of(&[Binary::Lt, Binary::Le, Binary::Eq, Binary::Ne]);
                self.masks.push(dst);
                vec![Inst::Binary { dst, op, a, b }]
            }
            7 if self.masks.len() > 1 => {
                let masks = self.masks.clone();
                let (cond, other) = (self.draw.of(&masks), self.draw.of(&masks));
                let (mixed, a, b, dst) = (self.reg(DType::Bool, lanes), float(self), float(self), self.reg(DType::F32, lanes));
                self.masks.push(mixed);
                self.floats.push(dst);
                vec![Inst::Binary { dst: mixed, op: Binary::Xor, a: cond, b: other }, Inst::Select { dst, cond: mixed, a, b }]
            }
            8 => {
                let (from, dst) = (self.address(small), self.reg(DType::F32, lanes));
                let (stride, live) = (self.draw.of(&[0, 1, 2, 3, 4]), 1 + self.draw.below(lanes as usize) as u32);
                if self.draw.below(2) == 0 {
                    self.floats.push(dst);
                    return vec![Inst::Load { dst, from, stride }];
                }
                // Only what is defined goes on: one of the live lanes.
                let (one, all) = (self.reg(DType::F32, 1), self.reg(DType::F32, lanes));
                let lane = self.draw.below(live as usize) as u32;
                self.floats.push(all);
                vec![Inst::PartialLoad { dst, from, stride, live }, Inst::Extract { dst: one, a: dst, lane }, Inst::Splat { dst: all, a: one }]
            }
            9 if !self.masks.is_empty() => {
                let masks = self.masks.clone();
                let (from, guard, dst) = (self.address(small), self.draw.of(&masks), self.reg(DType::F32, lanes));
                self.floats.push(dst);
                vec![Inst::GuardedLoad { dst, from, guard }]
            }
            10 => {
                let (a, one, dst) = (float(self), self.reg(DType::F32, 1), self.reg(DType::F32, lanes));
                let lane = self.draw.below(lanes as usize) as u32;
                self.floats.push(dst);
                vec![Inst::Extract { dst: one, a, lane }, Inst::Splat { dst, a: one }]
            }
            12 => {
                let (a, b, c, dst) = (float(self), float(self), float(self), self.reg(DType::F32, lanes));
                let [x, y] = [(); 2].map(|()| self.reg(DType::I32, lanes));
                self.floats.push(dst);
                vec![Inst::Bitcast { dst: x, a }, Inst::Bitcast { dst: y, a: b }, Inst::Dot { dst, a: x, b: y, c }]
            }
            _ => {
                let ints = self.ints.clone();
                let (a, b, dst) = (self.draw.of(&ints), self.draw.of(&ints), self.reg(DType::I64, 1));
                let op = self.draw.of(&[Binary::Add, Binary::Sub, Binary::Mul, Binary::Min, Binary::Max, Binary::And, Binary::Xor]);
                self.ints.push(dst);
                vec![Inst::Binary { dst, op, a, b }]
            }
        }
    }
}

/// A program of many values that live to its end, where all are stored; in between a loop adds to accumulators.
fn drawn(seed: u64, lanes: u32, steps: usize, pairs: bool) -> Program {
    let mut maker = Maker { draw: Draw(seed), regs: vec![I64, I64], floats: Vec::new(), masks: Vec::new(), ints: vec![Reg(0), Reg(1)], lanes, pairs };
    let mut body = Vec::new();
    let point = Reg(1);
    for value in [1.5, -0.25, 3.0] {
        let dst = maker.reg(DType::F32, lanes);
        body.push(Inst::Const { dst, value: Scalar::Float(value) });
        maker.floats.push(dst);
    }
    for _ in 0..steps {
        let more = maker.step(point);
        body.extend(more);
    }
    let mutable: Vec<Reg> = (0..8).map(|_| maker.reg(DType::F32, lanes)).collect();
    for reg in &mutable {
        let all = maker.floats.clone();
        body.push(Inst::Move { dst: *reg, a: maker.draw.of(&all) });
    }
    let (floats, masks, ints) = (maker.floats.clone(), maker.masks.clone(), maker.ints.clone());
    let counter = maker.reg(DType::I64, 1);
    let mut inner = Vec::new();
    maker.ints.push(counter);
    for reg in &mutable {
        let more = maker.step(counter);
        inner.extend(more);
        let (dst, all) = (maker.reg(DType::F32, lanes), maker.floats.clone());
        inner.push(Inst::Fma { dst, a: maker.draw.of(&all), b: floats[0], c: *reg });
        inner.push(Inst::Move { dst: *reg, a: dst });
    }
    body.push(Inst::Loop { counter, end: 7, step: 2, body: inner });
    (maker.floats, maker.masks, maker.ints) = (floats, masks, ints);
    maker.floats.extend(&mutable);
    for _ in 0..steps / 4 {
        let more = maker.step(point);
        body.extend(more);
    }
    // Every value is stored, the last first.
    let (zero, stride) = (maker.reg(DType::I64, 1), maker.reg(DType::I64, 1));
    let values: Vec<(Reg, u32, u32)> = [(1, &maker.floats, lanes), (2, &maker.masks, lanes), (3, &maker.ints, 1)]
        .into_iter()
        .flat_map(|(buffer, regs, lanes)| regs.iter().map(move |reg| (*reg, buffer, lanes)).collect::<Vec<_>>())
        .collect();
    body.push(Inst::Const { dst: stride, value: Scalar::Int(ELEMS as i128 / 2) });
    body.push(Inst::Binary { dst: zero, op: Binary::Mul, a: point, b: stride });
    let mut at = [0; 4];
    for (src, buffer, lanes) in values.into_iter().rev() {
        let slot = &mut at[buffer as usize];
        body.push(Inst::Store { src, to: Address { buffer, base: 0, index: zero, offset: *slot }, stride: 1 });
        *slot += i64::from(lanes);
        assert!(*slot <= ELEMS as i64 / 2, "the values fit their buffer");
    }
    Program {
        name: format!("drawn {seed} x{lanes}"),
        regs: maker.regs,
        mutable,
        params: vec![DType::F32, DType::F32, DType::Bool, DType::I64],
        scratch_bytes: 0,
        grid: vec![1, 2],
        grid_regs: vec![Reg(0), Reg(1)],
        body,
    }
}

#[test]
fn drawn_programs_do_as_the_interpreter_does() {
    let named = [target::NATIVE, "x86-64-v3"].map(|name| target::named(name).expect("a target"));
    let targets: Vec<_> = named.iter().filter(|target| wide::vectors(target).is_some() && frit_runtime::target::check(target).is_ok()).collect();
    for seed in 0..60 {
        for (lanes, steps, pairs) in [(4, 20, false), (8, 60, false), (16, 40, false), (16, 90, false), (16, 60, true)] {
            let program = drawn(seed, lanes, steps, pairs);
            let mut draw = Draw(seed ^ 0xabcd);
            let input: Vec<u8> = (0..ELEMS).flat_map(|_| ((draw.next() % 2001) as f32 / 500.0 - 2.0).to_le_bytes()).collect();
            let before = vec![input, vec![0; ELEMS * 4], vec![0; ELEMS], vec![0; ELEMS * 8]];
            let mut want = before.clone();
            program.run(&mut want).unwrap_or_else(|error| panic!("{}: {error}\n{program}", program.name));
            for target in targets.iter().filter(|target| !pairs || target.pairs()) {
                let mut got = before.clone();
                let code = wide::emit(&program, target).unwrap_or_else(|error| panic!("{} for {target}: {error}", program.name));
                let memory = CodeMemory::new(&code).expect("memory");
                let mut pointers: Vec<*mut u8> = got.iter_mut().map(|buffer| buffer.as_mut_ptr()).collect();
                pointers.push(std::ptr::null_mut());
                let kernel = memory.entry(0).expect("code");
                // SAFETY: the program stays inside its buffers, as the interpreter has checked, and uses no scratch.
                unsafe { kernel(pointers.as_ptr(), 0, 2) };
                for (buffer, dtype) in program.params.iter().enumerate() {
                    for at in 0..ELEMS {
                        let (got, want) = (read(&got[buffer], at, *dtype), read(&want[buffer], at, *dtype));
                        let same = match (got, want) {
                            (Scalar::Float(a), Scalar::Float(b)) if a.is_nan() && b.is_nan() => true,
                            _ => got == want,
                        };
                        assert!(same, "{} for {target}: element {at} of buffer {buffer} is {got:?}, not {want:?}\n{program}", program.name);
                    }
                }
            }
        }
    }
}
