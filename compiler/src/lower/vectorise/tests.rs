//! Each kernel gives what the loop form's interpreter gives, for vectors of several lengths.

use frit_ir::compute::Combine;
use frit_ir::dtype::DType;
use frit_ir::expr::{ExprId, Exprs, Source, Var};
use frit_ir::loops::{Kernel, LoopKind, Place, Space, Stmt};
use frit_ir::scalar::{Binary, Scalar, Unary};
use frit_ir::tensor::{read, write};
use frit_ir::vector::{Address, Inst, Program, Target};

use super::vectorise;

fn target(vector_bits: u32) -> Target {
    Target { triple: "x86_64-unknown-linux-gnu".into(), features: Vec::new(), vector_bits, vector_registers: 16, fma: vector_bits > 128, cache: [32 << 10, 1 << 20, 8 << 20], team: 1, points: 16 }
}

/// As [`target`], with masks.
fn masked(vector_bits: u32) -> Target {
    Target { features: vec!["has_avx512f".into()], ..target(vector_bits) }
}

fn place(dtype: DType, elems: i64, space: Space) -> Place {
    Place { dtype, elems, space }
}

fn kernel(name: &str, places: Vec<Place>, grid: Vec<(Var, i64)>, exprs: Exprs, body: Vec<Stmt>) -> Kernel {
    Kernel { name: name.into(), places, grid, exprs, body, flops: 0, bytes: 0 }
}

fn each(var: Var, extent: i64, kind: LoopKind, body: Vec<Stmt>) -> Stmt {
    Stmt::For { var, extent, kind, body }
}

fn store(place: Source, index: ExprId, value: ExprId) -> Stmt {
    Stmt::Store { place, index, value, guard: None }
}

/// `sum of coefficient * var + constant`.
fn index(e: &mut Exprs, terms: &[(Var, i64)], constant: i64) -> ExprId {
    let mut sum = e.int(constant);
    for (var, coefficient) in terms {
        let (var, coefficient) = (e.var(*var), e.int(*coefficient));
        let term = e.mul(var, coefficient);
        sum = e.add(sum, term);
    }
    sum
}

/// Bytes for a kernel's parameters: small numbers, and for floats now and then one that is none.
fn buffers(kernel: &Kernel, odd: bool) -> Vec<Vec<u8>> {
    let mut seed = 7u64;
    let mut draw = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 40) as i64
    };
    kernel
        .params()
        .map(|(_, place)| {
            let mut bytes = vec![0; place.elems as usize * place.dtype.size()];
            for at in 0..place.elems as usize {
                let n = draw();
                let value = match (place.space, place.dtype.is_float(), n % 23) {
                    (Space::Input, true, 0) if odd => Scalar::Float(f64::NAN),
                    (Space::Input, true, 1) if odd => Scalar::Float(f64::INFINITY),
                    (Space::Input, true, 2) if odd => Scalar::Float(-0.0),
                    (Space::Input, true, _) => Scalar::Float((n % 2001 - 1000) as f64 / 64.0),
                    (Space::Input, false, _) => Scalar::Int(i128::from(n % 5)),
                    _ => Scalar::Int(0),
                };
                write(&mut bytes, at, place.dtype, value);
            }
            bytes
        })
        .collect()
}

/// Does it compute the same with vectors of 64 to 512 bits, and with masks? Returns the programs, those with masks last.
fn check(kernel: &Kernel, tolerance: f64) -> Vec<Program> {
    kernel.verify().unwrap_or_else(|problems| panic!("{problems:?}\n{kernel}"));
    let mut programs = Vec::new();
    for target in [target(64), target(128), target(256), target(512), masked(256), masked(512)] {
        let vector_bits = target.vector_bits;
        let program = vectorise(kernel, &target).unwrap_or_else(|error| panic!("{error}\n{kernel}"));
        assert_eq!(program, vectorise(kernel, &target).unwrap(), "twice the same");
        for odd in [false, true] {
            let (mut expected, mut got) = (buffers(kernel, odd), buffers(kernel, odd));
            kernel.run(&mut expected).unwrap_or_else(|error| panic!("{error}\n{kernel}"));
            program.run(&mut got).unwrap_or_else(|error| panic!("{error}\n{kernel}\n{program}"));
            for (at, (_, place)) in kernel.params().enumerate() {
                for i in 0..place.elems as usize {
                    let (want, have) = (read(&expected[at], i, place.dtype), read(&got[at], i, place.dtype));
                    let (x, y) = (want.as_f64(), have.as_f64());
                    let close = want == have || (x.is_nan() && y.is_nan()) || x == y || (x - y).abs() <= tolerance * x.abs().max(1.0);
                    assert!(close, "{vector_bits} bits: element {i} of parameter {at} is {y}, not {x}\n{kernel}\n{program}");
                }
            }
        }
        programs.push(program);
    }
    programs
}

const F32: DType = DType::F32;
const I: Var = Var(0);
const J: Var = Var(1);
const K: Var = Var(2);
const L: Var = Var(3);

#[test]
fn elementwise_with_broadcasting() {
    for n in [1, 3, 4, 5, 16, 67, 300] {
        let mut e = Exprs::new();
        let flat = index(&mut e, &[(I, n), (J, 1)], 0);
        let (row, column) = (index(&mut e, &[(J, 1)], 0), index(&mut e, &[(I, 1)], 0));
        let (a, b, c) = (e.load(Source(0), F32, vec![flat]), e.load(Source(1), F32, vec![row]), e.load(Source(2), F32, vec![column]));
        let product = e.mul(a, b);
        let sum = e.add(product, c);
        let zero = e.float(0.0, F32);
        let value = e.binary(Binary::Max, sum, zero);
        let value = e.unary(Unary::Abs, value);
        let body = vec![each(J, n, LoopKind::Vector, vec![store(Source(3), flat, value)])];
        let places = vec![place(F32, 4 * n, Space::Input), place(F32, n, Space::Input), place(F32, 4, Space::Input), place(F32, 4 * n, Space::Output)];
        check(&kernel("elementwise", places, vec![(I, 4)], e, body), 0.0);
    }
}

#[test]
fn masks_do_what_is_left_over_at_once() {
    let stores = |program: &Program| {
        let mut found = Vec::new();
        let mut blocks = vec![&program.body];
        while let Some(block) = blocks.pop() {
            for inst in block {
                match inst {
                    Inst::Loop { body, .. } => blocks.push(body),
                    Inst::Store { src, .. } => found.push((program.regs[src.0 as usize].lanes, false)),
                    Inst::GuardedStore { src, .. } => found.push((program.regs[src.0 as usize].lanes, true)),
                    _ => {}
                }
            }
        }
        found.sort_unstable();
        found
    };
    for (n, wanted) in [(49, vec![(1, false), (16, false), (16, false), (16, false)]), (31, vec![(16, false), (16, true)]), (11, vec![(16, true)]), (24, vec![(8, false), (16, false)]), (5, vec![(8, true)])] {
        let mut e = Exprs::new();
        let at = index(&mut e, &[(J, 1)], 0);
        let x = e.load(Source(0), F32, vec![at]);
        let y = e.mul(x, x);
        let body = vec![each(J, n, LoopKind::Vector, vec![store(Source(1), at, y)])];
        let programs = check(&kernel("squares", vec![place(F32, n, Space::Input), place(F32, n, Space::Output)], vec![], e, body), 0.0);
        assert_eq!(stores(&programs[5]), wanted, "{}", programs[5]);
    }
}

#[test]
fn row_reductions() {
    for combine in [Combine::Sum, Combine::Max, Combine::Min] {
        for n in [1, 4, 7, 16, 23, 33, 49, 64, 67, 259] {
            for space in [Space::Registers, Space::Scratch] {
                let mut e = Exprs::new();
                let (flat, zero) = (index(&mut e, &[(I, n), (J, 1)], 0), e.int(0));
                let again = index(&mut e, &[(I, n), (K, 1)], 0);
                let first = e.constant(combine.identity(F32), F32);
                let x = e.load(Source(0), F32, vec![flat]);
                let square = e.mul(x, x);
                let value = if combine == Combine::Sum { square } else { x };
                let total = e.load(Source(2), F32, vec![zero]);
                let y = e.load(Source(0), F32, vec![again]);
                let normal = e.sub(y, total);
                let body = vec![
                    store(Source(2), zero, first),
                    each(J, n, LoopKind::Vector, vec![Stmt::Accumulate { place: Source(2), index: zero, combine, value }]),
                    each(K, n, LoopKind::Vector, vec![store(Source(1), again, normal)]),
                ];
                let places = vec![place(F32, 3 * n, Space::Input), place(F32, 3 * n, Space::Output), place(F32, 1, space)];
                check(&kernel("row", places, vec![(I, 3)], e, body), 1e-4);
            }
        }
    }
}

#[test]
fn matmul_tile() {
    // One 6 x 8 tile of the product of a 6 x 20 and a 20 x 8 matrix, whose panel is packed first.
    for (m, n, k) in [(6, 8, 20), (5, 12, 7), (6, 48, 9), (2, 3, 4), (3, 23, 5), (2, 49, 6)] {
        let mut e = Exprs::new();
        let packed = index(&mut e, &[(L, n), (Var(4), 1)], 0);
        let from = index(&mut e, &[(L, n), (Var(4), 1), (Var(9), 0)], 0);
        let source = e.load(Source(1), F32, vec![from]);
        let cleared = index(&mut e, &[(Var(5), n), (Var(6), 1)], 0);
        let zero = e.float(0.0, F32);
        let acc = index(&mut e, &[(I, n), (J, 1)], 0);
        let a = index(&mut e, &[(Var(9), m * k), (I, k), (K, 1)], 0);
        let b = index(&mut e, &[(K, n), (J, 1)], 0);
        let (a, b) = (e.load(Source(0), F32, vec![a]), e.load(Source(4), F32, vec![b]));
        let product = e.mul(a, b);
        let tile = index(&mut e, &[(Var(7), n), (Var(8), 1)], 0);
        let to = index(&mut e, &[(Var(9), m * n), (Var(7), n), (Var(8), 1)], 0);
        let sum = e.load(Source(3), F32, vec![tile]);
        let body = vec![
            each(L, k, LoopKind::Serial, vec![each(Var(4), n, LoopKind::Vector, vec![store(Source(4), packed, source)])]),
            each(Var(5), m, LoopKind::Unrolled, vec![each(Var(6), n, LoopKind::Vector, vec![store(Source(3), cleared, zero)])]),
            each(K, k, LoopKind::Serial, vec![each(I, m, LoopKind::Unrolled, vec![each(J, n, LoopKind::Vector, vec![Stmt::Accumulate { place: Source(3), index: acc, combine: Combine::Sum, value: product }])])]),
            each(Var(7), m, LoopKind::Unrolled, vec![each(Var(8), n, LoopKind::Vector, vec![store(Source(2), to, sum)])]),
        ];
        let places = vec![
            place(F32, 2 * m * k, Space::Input),
            place(F32, k * n, Space::Input),
            place(F32, 2 * m * n, Space::Output),
            place(F32, m * n, Space::Registers),
            place(F32, k * n, Space::Scratch),
        ];
        let programs = check(&kernel("matmul", places, vec![(Var(9), 2)], e, body), 1e-4);
        if (m, n) == (6, 8) {
            // With 256 bits the inner loop is one vector of the panel and six times load, multiply-add, move.
            let inner = programs[2].body.iter().rev().find_map(|inst| if let Inst::Loop { body, .. } = inst { Some(body) } else { None }).unwrap();
            let count = |wanted: fn(&Inst) -> bool| inner.iter().filter(|inst| wanted(inst)).count();
            assert_eq!(count(|inst| matches!(inst, Inst::Fma { .. })), 6, "{}", programs[2]);
            assert_eq!(count(|inst| matches!(inst, Inst::Load { .. })), 7, "{}", programs[2]);
            assert!(count(|inst| matches!(inst, Inst::Binary { .. })) <= 2, "{}", programs[2]);
            // What is stored behind the loop is asked for before it.
            let sum = programs[2].body.iter().rposition(|inst| matches!(inst, Inst::Loop { .. })).unwrap();
            let places = |insts: &[Inst], place: fn(&Inst) -> Option<Address>| insts.iter().filter_map(place).collect::<Vec<Address>>();
            let asked = places(&programs[2].body[..sum], |inst| if let Inst::Prefetch { at, write: true } = inst { Some(*at) } else { None });
            let stored = places(&programs[2].body[sum..], |inst| if let Inst::Store { to, .. } = inst { Some(*to) } else { None });
            assert_eq!((asked.len(), asked), (6, stored), "{}", programs[2]);
        }
    }
}

#[test]
fn strides_and_gathers() {
    for n in [3, 8, 37, 64] {
        let mut e = Exprs::new();
        let row = index(&mut e, &[(I, n), (J, 1)], 0);
        let transposed = index(&mut e, &[(J, 5), (I, 1)], 0);
        let backwards = index(&mut e, &[(J, -1)], n - 1);
        let half = { let (place, two) = (index(&mut e, &[(I, 2), (J, 1)], 0), e.int(2)); e.binary(Binary::FloorDiv, place, two) };
        let third = { let (j, three) = (e.var(J), e.int(3)); e.binary(Binary::FloorDiv, j, three) };
        let at = e.load(Source(2), DType::I64, vec![row]);
        let values = [e.load(Source(0), F32, vec![transposed]), e.load(Source(1), F32, vec![backwards]), e.load(Source(1), F32, vec![third]), e.load(Source(0), F32, vec![half]), e.load(Source(0), F32, vec![at])];
        let sum = values.into_iter().reduce(|a, b| e.add(a, b)).unwrap();
        let number = { let j = e.var(J); e.cast(F32, j) };
        let value = e.sub(sum, number);
        let body = vec![each(J, n, LoopKind::Vector, vec![store(Source(3), row, value), store(Source(4), transposed, sum)])];
        let places = vec![
            place(F32, 5 * n, Space::Input),
            place(F32, n, Space::Input),
            place(DType::I64, 5 * n, Space::Input),
            place(F32, 5 * n, Space::Output),
            place(F32, 5 * n, Space::Output),
        ];
        check(&kernel("strides", places, vec![(I, 5)], e, body), 0.0);
    }
}

#[test]
fn padding() {
    // A 3-point sum over a row with a margin of zeros, the rows too.
    for n in [1, 4, 9, 40] {
        let mut e = Exprs::new();
        let (i, j) = (e.var(I), e.var(J));
        let mut sum = e.float(0.0, F32);
        for (di, dj) in [(-1, 0), (0, -1), (0, 0), (0, 1), (1, 0)] {
            let (row, column) = { let (a, b) = (e.int(di), e.int(dj)); (e.add(i, a), e.add(j, b)) };
            let (inside, holds) = (e.within(row, Some(0), Some(3)), e.within(column, Some(0), Some(n)));
            let guard = e.and(inside, holds);
            let at = index(&mut e, &[(I, n), (J, 1)], di * n + dj);
            let x = e.guarded_load(Source(0), F32, vec![at], guard);
            sum = e.add(sum, x);
            // Only the rows have a margin: the guard is the same for all lanes.
            let (clipped, low) = (e.int(n - 1), e.int(0));
            let near = e.binary(Binary::Min, column, clipped);
            let near = e.binary(Binary::Max, near, low);
            let line = { let (width, row) = (e.int(n), row); e.mul(row, width) };
            let at = e.add(line, near);
            let x = e.guarded_load(Source(0), F32, vec![at], inside);
            sum = e.add(sum, x);
            let at = index(&mut e, &[(I, n), (J, 1)], di * n);
            let x = e.guarded_load(Source(0), F32, vec![at], inside);
            sum = e.add(sum, x);
        }
        let at = index(&mut e, &[(I, n), (J, 1)], 0);
        let even = { let two = e.int(2); let left = e.binary(Binary::Mod, j, two); let zero = e.int(0); e.binary(Binary::Eq, left, zero) };
        let upper = { let one = e.int(1); e.binary(Binary::Lt, i, one) };
        let body = vec![each(
            J,
            n,
            LoopKind::Vector,
            vec![
                store(Source(1), at, sum),
                Stmt::Store { place: Source(2), index: at, value: sum, guard: Some(even) },
                Stmt::Store { place: Source(3), index: at, value: sum, guard: Some(upper) },
            ],
        )];
        let places = vec![place(F32, 3 * n, Space::Input), place(F32, 3 * n, Space::Output), place(F32, 3 * n, Space::Output), place(F32, 3 * n, Space::Output)];
        check(&kernel("padding", places, vec![(I, 3)], e, body), 0.0);
    }
}

#[test]
fn rows_that_run_as_one() {
    // Rows of `width` elements with a margin on both sides, taken as one; vectors begin and end anywhere in them.
    for (width, count, first) in [(60, 150, 7), (17, 49, 3), (16, 48, 0), (19, 40, 18), (5, 33, 2), (64, 64, 0)] {
        let mut e = Exprs::new();
        let (rows, around) = ((first + 2 * count) / width + 2, width + 2);
        let x = index(&mut e, &[(I, count), (J, 1)], first);
        let (row, column) = { let w = e.int(width); (e.binary(Binary::FloorDiv, x, w), e.binary(Binary::Mod, x, w)) };
        let (at, padded) = { let (w, a) = (e.int(width), e.int(around)); let (line, wide) = (e.mul(row, w), e.mul(row, a)); (e.add(line, column), e.add(wide, column)) };
        let inside = { let next = index(&mut e, &[], 1); let right = e.add(column, next); e.within(right, None, Some(width)) };
        let right = { let one = e.int(1); e.add(at, one) };
        let turned = { let r = e.int(rows); let line = e.mul(column, r); e.add(line, row) };
        let values = [e.load(Source(0), F32, vec![padded]), e.load(Source(1), F32, vec![row]), e.guarded_load(Source(2), F32, vec![right], inside), e.load(Source(2), F32, vec![turned])];
        let sum = values.into_iter().reduce(|a, b| e.add(a, b)).unwrap();
        let to = index(&mut e, &[(I, count), (J, 1)], 0);
        let body = vec![each(
            J,
            count,
            LoopKind::Vector,
            vec![
                store(Source(3), to, sum),
                store(Source(4), padded, sum),
                store(Source(5), row, sum),
                Stmt::Store { place: Source(6), index: right, value: sum, guard: Some(inside) },
            ],
        )];
        let places = vec![
            place(F32, rows * around, Space::Input),
            place(F32, rows, Space::Input),
            place(F32, rows * width, Space::Input),
            place(F32, 2 * count, Space::Output),
            place(F32, rows * around, Space::Output),
            place(F32, rows, Space::Output),
            place(F32, rows * width, Space::Output),
        ];
        check(&kernel("rows", places, vec![(I, 2)], e, body), 0.0);
    }
}

#[test]
fn guards_that_hold_for_some_lanes_or_none() {
    // The limit is 0 to 4 more than `below`: guards hold for no lane, for some, for all; the addresses of the others lie outside.
    for (n, below) in [(1, 0), (5, -9), (21, -9), (21, -2), (40, 7), (40, 12), (40, 40)] {
        let mut e = Exprs::new();
        let column = index(&mut e, &[(I, 1)], 0);
        let limit = { let (least, drawn) = (e.int(below), e.load(Source(1), DType::I64, vec![column])); e.add(drawn, least) };
        let j = e.var(J);
        let inside = e.binary(Binary::Lt, j, limit);
        let guard = { let (holds, even) = (e.within(j, None, Some(n - 1)), e.load(Source(2), DType::Bool, vec![j])); let holds = e.and(holds, inside); e.and(holds, even) };
        let (far, at) = (index(&mut e, &[(I, n - 1), (J, 1)], 0), index(&mut e, &[(I, n), (J, 1)], 0));
        let x = e.guarded_load(Source(0), F32, vec![far], guard);
        let y = { let one = e.float(1.0, F32); e.add(x, one) };
        let backwards = index(&mut e, &[(I, n), (J, -1)], n - 1);
        let body = vec![each(
            J,
            n,
            LoopKind::Vector,
            vec![
                store(Source(3), at, y),
                Stmt::Store { place: Source(4), index: far, value: y, guard: Some(guard) },
                Stmt::Store { place: Source(5), index: backwards, value: y, guard: Some(guard) },
                Stmt::Store { place: Source(6), index: at, value: y, guard: Some({ let zero = e.int(0); e.binary(Binary::Lt, limit, zero) }) },
            ],
        )];
        let places = vec![
            place(F32, (3 * n - 3).max(1), Space::Input),
            place(DType::I64, 3, Space::Input),
            place(DType::Bool, n, Space::Input),
            place(F32, 3 * n, Space::Output),
            place(F32, (3 * n - 3).max(1), Space::Output),
            place(F32, 3 * n, Space::Output),
            place(F32, 3 * n, Space::Output),
        ];
        check(&kernel("limits", places, vec![(I, 3)], e, body), 0.0);
    }
}

#[test]
fn mixed_dtypes() {
    for n in [2, 8, 35] {
        let mut e = Exprs::new();
        let at = index(&mut e, &[(J, 1)], 0);
        let (byte, wide, mask) = (e.load(Source(0), DType::U8, vec![at]), e.load(Source(1), DType::F64, vec![at]), e.load(Source(2), DType::Bool, vec![at]));
        let byte = e.cast(F32, byte);
        let narrow = e.cast(F32, wide);
        let less = e.binary(Binary::Lt, byte, narrow);
        let either = e.binary(Binary::Or, less, mask);
        let picked = e.select(either, byte, narrow);
        let bits = e.bitcast(DType::I32, picked);
        let long = e.cast(DType::I64, bits);
        let (three, j) = (e.int(3), e.var(J));
        let long = e.binary(Binary::FloorDiv, long, three);
        let long = e.add(long, j);
        let body = vec![each(J, n, LoopKind::Vector, vec![store(Source(3), at, picked), store(Source(4), at, either), store(Source(5), at, long)])];
        let places = vec![
            place(DType::U8, n, Space::Input),
            place(DType::F64, n, Space::Input),
            place(DType::Bool, n, Space::Input),
            place(F32, n, Space::Output),
            place(DType::Bool, n, Space::Output),
            place(DType::I64, n, Space::Output),
        ];
        check(&kernel("mixed", places, vec![], e, body), 0.0);
    }
    // Only 8-byte elements: half as many lanes.
    let mut e = Exprs::new();
    let at = index(&mut e, &[(J, 1)], 0);
    let x = e.load(Source(0), DType::F64, vec![at]);
    let y = e.add(x, x);
    let body = vec![each(J, 19, LoopKind::Vector, vec![store(Source(1), at, y)])];
    let programs = check(&kernel("f64", vec![place(DType::F64, 19, Space::Input), place(DType::F64, 19, Space::Output)], vec![], e, body), 0.0);
    for (program, lanes) in programs[1..].iter().zip([2, 4, 8, 4, 8]) {
        assert_eq!(program.regs.iter().map(|ty| ty.lanes).max(), Some(lanes));
    }
}

#[test]
fn tiles_that_are_no_registers() {
    // A running product needs what the last iteration left: tile[j % 2]; a column-wise walk through a row-wise tile.
    let mut e = Exprs::new();
    let at = index(&mut e, &[(I, 8), (J, 1)], 0);
    let turned = index(&mut e, &[(K, 8), (L, 1)], 0);
    let to = index(&mut e, &[(L, 8), (K, 1)], 0);
    let x = e.load(Source(0), F32, vec![at]);
    let y = e.load(Source(2), F32, vec![turned]);
    let body = vec![
        each(I, 8, LoopKind::Unrolled, vec![each(J, 8, LoopKind::Vector, vec![store(Source(2), at, x)])]),
        each(L, 8, LoopKind::Unrolled, vec![each(K, 8, LoopKind::Vector, vec![store(Source(1), to, y)])]),
    ];
    let places = vec![place(F32, 64, Space::Input), place(F32, 64, Space::Output), place(F32, 64, Space::Registers)];
    let programs = check(&kernel("transpose", places, vec![], e, body), 0.0);
    assert_eq!(programs[1].scratch_bytes, 256);

    // A loop that overwrites what it accumulates into runs one iteration after the other.
    let mut e = Exprs::new();
    let (zero, at) = (e.int(0), index(&mut e, &[(J, 1)], 0));
    let x = e.load(Source(0), F32, vec![at]);
    let nothing = e.float(0.0, F32);
    let sum = e.load(Source(2), F32, vec![zero]);
    let body = vec![
        store(Source(2), zero, nothing),
        each(J, 21, LoopKind::Vector, vec![Stmt::Accumulate { place: Source(2), index: zero, combine: Combine::Sum, value: x }, store(Source(1), at, sum)]),
    ];
    let places = vec![place(F32, 21, Space::Input), place(F32, 21, Space::Output), place(F32, 1, Space::Registers)];
    check(&kernel("running_sum", places, vec![], e, body), 1e-5);
}

#[test]
fn what_does_not_move_is_computed_once() {
    let mut e = Exprs::new();
    let at = index(&mut e, &[(I, 4096), (J, 64), (K, 1)], 0);
    let scale = index(&mut e, &[(I, 1)], 0);
    let (x, s) = (e.load(Source(0), F32, vec![at]), e.load(Source(1), F32, vec![scale]));
    let root = e.unary(Unary::Sqrt, s);
    let y = e.binary(Binary::Div, x, root);
    let body = vec![each(J, 64, LoopKind::Serial, vec![each(K, 64, LoopKind::Vector, vec![store(Source(2), at, y)])])];
    let places = vec![place(F32, 8192, Space::Input), place(F32, 2, Space::Input), place(F32, 8192, Space::Output)];
    let program = vectorise(&kernel("scale", places, vec![(I, 2)], e, body), &target(256)).unwrap();
    let text = program.to_string();
    let sqrt = text.lines().find(|line| line.contains("sqrt")).unwrap();
    assert!(sqrt.starts_with("    r"), "{text}");
    assert_eq!(text.matches("sqrt").count(), 1, "{text}");
    check(&kernel_of_row_blocks(), 1e-4);
}

/// Sums of blocks of rows: unrolled rows inside a vector loop, each with an accumulator of its own.
fn kernel_of_row_blocks() -> Kernel {
    let mut e = Exprs::new();
    let at = index(&mut e, &[(I, 4 * 50), (J, 50), (K, 1)], 0);
    let row = index(&mut e, &[(J, 1)], 0);
    let (x, w) = (e.load(Source(0), F32, vec![at]), { let k = index(&mut e, &[(K, 1)], 0); e.load(Source(1), F32, vec![k]) });
    let product = e.mul(x, w);
    let nothing = e.float(0.0, F32);
    let (clear, out) = (index(&mut e, &[(L, 1)], 0), index(&mut e, &[(I, 4), (Var(4), 1)], 0));
    let tile = index(&mut e, &[(Var(4), 1)], 0);
    let sum = e.load(Source(3), F32, vec![tile]);
    let body = vec![
        each(L, 4, LoopKind::Unrolled, vec![store(Source(3), clear, nothing)]),
        each(K, 50, LoopKind::Vector, vec![each(J, 4, LoopKind::Unrolled, vec![Stmt::Accumulate { place: Source(3), index: row, combine: Combine::Sum, value: product }])]),
        each(Var(4), 4, LoopKind::Unrolled, vec![store(Source(2), out, sum)]),
    ];
    kernel("row_blocks", vec![place(F32, 400, Space::Input), place(F32, 50, Space::Input), place(F32, 8, Space::Output), place(F32, 4, Space::Registers)], vec![(I, 2)], e, body)
}
