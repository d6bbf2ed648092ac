//! The emitters for CPUs against the definition of scalar arithmetic, on edge values of every dtype.

#![allow(unsafe_code, reason = "runs the code that is tested")]

use frit_compiler::lower::{clif, target, wide};
use frit_ir::DType;
use frit_ir::expr::bitcast;
use frit_ir::scalar::{Binary, Scalar, Unary, cast, dot_pairs};
use frit_ir::tensor::{read, write};
use frit_ir::vector::{Address, Inst, Program, Reg, RegType};
use frit_runtime::code::CodeMemory;

const DTYPES: &[DType] = &[
    DType::F32,
    DType::F64,
    DType::F16,
    DType::BF16,
    DType::I8,
    DType::I16,
    DType::I32,
    DType::I64,
    DType::U8,
    DType::U16,
    DType::U32,
    DType::U64,
    DType::Bool,
];
/// What the wide emitter leaves to the portable one.
const LEFT: &[&str] = &[
    "for 3 lanes",
    "for 6 lanes",
    "for div on",
    "for floor_div on",
    "for rem on",
    "for mod on",
    "for pow on",
    "for shl on",
    "for shr on",
    "for sqrt on i",
    "for sqrt on u",
    "for a reinterpretation on",
    "for a multiply-add on",
    "for a cast to f16 on",
    "for a cast to bf16 on",
    "for a cast to f32 on u64",
    "for a cast to f64 on u64",
    "for atan2 on bool",
    "for a dot product of one lane",
];
/// What it leaves besides where there is AVX2 only: instructions that only AVX-512 has, and guards of lanes below 32 bits.
const LEFT_BY_AVX2: &[&str] = &[
    "for Vpmullq in AVX2",
    "for Vpminsq in AVX2",
    "for Vpminuq in AVX2",
    "for Vpmaxsq in AVX2",
    "for Vpmaxuq in AVX2",
    "for Vpabsq in AVX2",
    "for Vpsraq in AVX2",
    "for Vpsravq in AVX2",
    "for Vcvtudq2ps in AVX2",
    "for Vcvtudq2pd in AVX2",
    "for Vcvtqq2pd in AVX2",
    "for Vcvtuqq2pd in AVX2",
    "for Vcvttps2udq in AVX2",
    "for Vcvttpd2udq in AVX2",
    "for Vcvttps2qq in AVX2",
    "for Vcvttpd2qq in AVX2",
    "for Vcvttps2uqq in AVX2",
    "for Vcvttpd2uqq in AVX2",
    "for Vpdpbusd in AVX2",
    "for Vdpbf16ps in AVX2",
    "for scale on",
    "for guarded elements on",
];
const I64: RegType = RegType { dtype: DType::I64, lanes: 1 };

/// The code of a program for each target that this machine can run, itself first. There must be code for the others too.
fn emitted(program: &Program) -> Vec<Vec<u8>> {
    let fused = program.body.iter().any(|inst| matches!(inst, Inst::Fma { .. }) || matches!(inst, Inst::Dot { dst, .. } if program.regs[dst.0 as usize].dtype == DType::F32));
    let mut codes: Vec<Vec<u8>> = Vec::new();
    for name in target::names().filter(|name| *name != target::CUDA) {
        let target = target::named(name).expect("a target");
        if target.fma || !fused {
            let code = clif::emit(program, &target).unwrap_or_else(|e| panic!("{} for {name}: {e}", program.name));
            if frit_runtime::target::check(&target).is_ok() && !codes.contains(&code) {
                codes.push(code);
            }
            let Some((bits, _)) = wide::vectors(&target) else { continue };
            match wide::emit(program, &target) {
                Ok(code) if frit_runtime::target::check(&target).is_ok() && !codes.contains(&code) => codes.push(code),
                Ok(_) => {}
                Err(error) => {
                    let left = LEFT.iter().chain(if bits == 256 { LEFT_BY_AVX2 } else { &[] });
                    assert!(error.is_unsupported() && left.into_iter().any(|what| error.message.contains(what)), "{} for {name}: {error}", program.name);
                }
            }
        }
    }
    codes
}

/// Runs a program on buffers over its whole grid. Code for other targets that this machine can run must give the same bits.
fn run(program: &Program, buffers: &mut [Vec<u8>]) {
    let codes = emitted(program);
    let before = buffers.to_vec();
    run_code(&codes[0], program, buffers);
    let output = *program.params.last().expect("an output");
    for code in &codes[1..] {
        let mut again = before.clone();
        run_code(code, program, &mut again);
        let (ours, theirs) = (buffers.last().expect("an output"), again.last().expect("an output"));
        for at in 0..ours.len() / output.size() {
            let (ours, theirs) = (read(ours, at, output), read(theirs, at, output));
            assert!(same(ours, theirs), "{}: code for another target gives {theirs:?}, not {ours:?}", program.name);
        }
    }
}

fn run_code(code: &[u8], program: &Program, buffers: &mut [Vec<u8>]) {
    let memory = CodeMemory::new(code).expect("memory");
    let mut scratch = vec![0u64; (program.scratch_bytes as usize).div_ceil(8)];
    let mut pointers: Vec<*mut u8> = buffers.iter_mut().map(|b| b.as_mut_ptr()).collect();
    pointers.push(scratch.as_mut_ptr().cast());
    let kernel = memory.entry(0).expect("code");
    let points = program.grid.iter().product::<i64>() as u64;
    // In two pieces, as a pool of threads would.
    let middle = points / 3;
    // SAFETY: the programs of these tests stay inside the buffers that they are given.
    unsafe {
        kernel(pointers.as_ptr(), 0, middle);
        kernel(pointers.as_ptr(), middle, points);
    }
}

/// A program whose one grid axis counts groups of lanes: it loads a group of each input, does `body` and stores its result.
fn groups(name: &str, inputs: &[DType], output: DType, lanes: u32, count: usize, body: impl Fn(&[Reg], Reg) -> Vec<Inst>) -> Program {
    let mut regs = vec![I64; 3];
    let (group, width, index) = (Reg(0), Reg(1), Reg(2));
    let mut insts = vec![
        Inst::Const { dst: width, value: Scalar::Int(i128::from(lanes)) },
        Inst::Binary { dst: index, op: Binary::Mul, a: group, b: width },
    ];
    let mut loaded = Vec::new();
    for (at, dtype) in inputs.iter().enumerate() {
        let dst = Reg(regs.len() as u32);
        regs.push(RegType { dtype: *dtype, lanes });
        insts.push(Inst::Load { dst, from: Address { buffer: at as u32, base: 0, index, offset: 0 }, stride: 1 });
        loaded.push(dst);
    }
    let out = Reg(regs.len() as u32);
    regs.push(RegType { dtype: output, lanes });
    insts.extend(body(&loaded, out));
    insts.push(Inst::Store { src: out, to: Address { buffer: inputs.len() as u32, base: 0, index, offset: 0 }, stride: 1 });
    Program {
        name: name.to_owned(),
        regs,
        mutable: Vec::new(),
        params: inputs.iter().copied().chain([output]).collect(),
        scratch_bytes: 0,
        grid: vec![count.div_ceil(lanes as usize) as i64],
        grid_regs: vec![group],
        body: insts,
    }
}

fn same(got: Scalar, want: Scalar) -> bool {
    match (got, want) {
        (Scalar::Float(a), Scalar::Float(b)) if a.is_nan() && b.is_nan() => true,
        _ => got == want,
    }
}

fn edges(dtype: DType) -> Vec<Scalar> {
    let raw: Vec<Scalar> = match dtype {
        _ if dtype.is_float() => {
            let mut all = vec![f64::NAN];
            for x in [
                0.0, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 7.0, 10.25, 100.5, 127.5, 128.0, 255.9, 256.0, 1023.0, 2049.0, 4097.0, 32767.5, 65503.0,
                65519.9, 65520.0, 65536.0, 8388609.0, 16777217.0, 2147483647.0, 2147483648.0, 4294967295.0, 4294967296.0, 9.223372036854775e18,
                1.8446744073709552e19, 1e20, 1.9e34, 3.4028235e38, 3.40282357e38, 1e39, 1e300, f64::MAX, f64::INFINITY, 1e-3, 5.9e-8, 2.9e-8, 6.1e-5,
                6.0e-5, 3.05e-5, 1.17e-38, 1.0e-40, 1.4e-45, 1e-46, 2.3e-308, 5e-324, 1.0 + 2f64.powi(-11), 1.0 + 2f64.powi(-11) + 2f64.powi(-40), 1.0 + 3.0 * 2f64.powi(-11),
                1.0 + 2f64.powi(-8), 1.0 + 2f64.powi(-8) + 2f64.powi(-45), 1.0 + 3.0 * 2f64.powi(-8), 0.1, 0.3, 1234.5678,
            ] {
                all.extend([x, -x]);
            }
            all.into_iter().map(Scalar::Float).collect()
        }
        DType::Bool => vec![Scalar::Bool(false), Scalar::Bool(true)],
        _ => {
            let (low, high) = dtype.int_range().expect("an integer");
            [0, 1, 2, 3, 4, 5, 7, 8, 10, 15, 16, 31, 32, 33, 63, 64, 65, 100, 127, 128, 255, 1000, 32768, 65535, 1 << 24, (1 << 24) + 1, (1 << 53) + 1, (1 << 60) + 12345]
                .into_iter()
                .flat_map(|n| [n, -n, low + n, high - n])
                .filter(|n| (low..=high).contains(n))
                .map(Scalar::Int)
                .collect()
        }
    };
    raw.into_iter().map(|x| cast(x, dtype)).collect()
}

/// Values as bytes, padded with repetitions to a multiple of 8 and a little more.
fn bytes(values: &[Scalar], dtype: DType) -> Vec<u8> {
    let count = values.len().next_multiple_of(16) + 16;
    let mut data = vec![0; count * dtype.size()];
    for at in 0..count {
        write(&mut data, at, dtype, values[at % values.len()]);
    }
    data
}

fn check(name: &str, inputs: &[(DType, &[Scalar])], output: DType, body: impl Fn(&[Reg], Reg) -> Vec<Inst>, want: impl Fn(&[Scalar]) -> Scalar) {
    let count = inputs[0].1.len();
    for lanes in [1, 2, 3, 4, 8, 16] {
        let dtypes: Vec<DType> = inputs.iter().map(|(dtype, _)| *dtype).collect();
        let program = groups(name, &dtypes, output, lanes, count, &body);
        let mut buffers: Vec<Vec<u8>> = inputs.iter().map(|(dtype, values)| bytes(values, *dtype)).collect();
        buffers.push(vec![0; (count.next_multiple_of(16) + 16) * output.size()]);
        run(&program, &mut buffers);
        for at in 0..count {
            let operands: Vec<Scalar> = inputs.iter().map(|(_, values)| values[at]).collect();
            let (got, want) = (read(&buffers[inputs.len()], at, output), want(&operands));
            assert!(same(got, want), "{name} x{lanes} of {operands:?}: {got:?}, not {want:?}");
        }
    }
}

fn pairs(dtype: DType) -> (Vec<Scalar>, Vec<Scalar>) {
    let all = edges(dtype);
    all.iter().flat_map(|a| all.iter().map(|b| (*a, *b))).unzip()
}

#[test]
fn unary_operations_keep_to_the_definition() {
    let ops = [Unary::Neg, Unary::Abs, Unary::Sign, Unary::Floor, Unary::Ceil, Unary::Round, Unary::Trunc, Unary::Sqrt, Unary::Not, Unary::IsNan];
    for dtype in DTYPES {
        let values = edges(*dtype);
        for op in ops {
            let name = format!("{} {dtype}", op.name());
            check(&name, &[(*dtype, &values)], op.result(*dtype), |x, dst| vec![Inst::Unary { dst, op, a: x[0] }], |x| op.apply(x[0], *dtype));
        }
    }
}

#[test]
fn binary_operations_keep_to_the_definition() {
    for dtype in DTYPES {
        let (xs, ys) = pairs(*dtype);
        for op in Binary::ALL.iter().copied() {
            let bitwise = matches!(op, Binary::And | Binary::Or | Binary::Xor | Binary::Shl | Binary::Shr);
            if matches!(op, Binary::Dot | Binary::DotPairs) || op == Binary::Scale && *dtype != DType::F32 || op == Binary::Atan2 && *dtype != DType::Bool || dtype.is_float() && (bitwise || op == Binary::Pow) {
                continue;
            }
            let name = format!("{} {dtype}", op.name());
            let finite = |y: &Scalar| if op == Binary::Scale && y.as_f64().is_infinite() { Scalar::Float(-7.5) } else { *y };
            let ys: Vec<Scalar> = ys.iter().map(finite).collect();
            check(
                &name,
                &[(*dtype, &xs), (*dtype, &ys)],
                op.result(*dtype),
                |x, dst| vec![Inst::Binary { dst, op, a: x[0], b: x[1] }],
                |x| op.apply(x[0], x[1], *dtype),
            );
        }
    }
}

#[test]
fn dot_products_keep_to_the_definition() {
    let (mut xs, mut ys) = pairs(DType::I32);
    // Bytes of all signs side by side.
    for n in 0..64i128 {
        xs.push(cast(Scalar::Int(0x1234_5678 * (2 * n + 1)), DType::I32));
        ys.push(cast(Scalar::Int(0x9abc_def1 * (3 * n + 1)), DType::I32));
    }
    let zs: Vec<Scalar> = xs.iter().rev().copied().collect();
    check(
        "dot",
        &[(DType::I32, &xs), (DType::I32, &ys), (DType::I32, &zs)],
        DType::I32,
        |x, dst| vec![Inst::Dot { dst, a: x[0], b: x[1], c: x[2] }],
        |x| Binary::Add.apply(x[2], Binary::Dot.apply(x[0], x[1], DType::I32), DType::I32),
    );
    // The reference by hand: 255 * -128 + 1 * 127 + 128 * 1 + 0 * 5.
    let want = Binary::Dot.apply(Scalar::Int(0x0080_01ff), Scalar::Int(0x0501_7f80), DType::I32);
    assert_eq!(want, Scalar::Int(255 * -128 + 127 + 128));
}

#[test]
fn dot_products_of_pairs_keep_to_the_definition() {
    // Halves of all kinds: zeros, subnormal, least, ordinary and largest numbers, infinities, NaN.
    let halves = [0i128, 0x8000, 1, 0x807f, 0x0080, 0x8080, 0x3f80, 0xbf81, 0x4049, 0x1f80, 0x9fff, 0x5f80, 0xdf81, 0x7f7f, 0xff7f, 0x7f80, 0xff80, 0x7fc0];
    let (mut xs, mut ys, mut zs) = (Vec::new(), Vec::new(), Vec::new());
    let mut random = 1u32;
    for (i, low) in halves.iter().enumerate() {
        for (k, high) in halves.iter().enumerate() {
            for turn in 0..3 {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                xs.push(cast(Scalar::Int(low | high << 16), DType::I32));
                ys.push(cast(Scalar::Int(halves[(i + 5 * k + 7 * turn) % halves.len()] | halves[(k + turn) % halves.len()] << 16), DType::I32));
                let sums = [0.0, -0.0, 1e-40, -1.5, f32::MAX, f32::INFINITY, f32::NAN, 1.2e-38, f32::from_bits(random & 0xbfff_ffff)];
                zs.push(Scalar::Float(f64::from(sums[(i + k + turn) % sums.len()])));
            }
        }
    }
    check(
        "dot of pairs",
        &[(DType::I32, &xs), (DType::I32, &ys), (DType::F32, &zs)],
        DType::F32,
        |x, dst| vec![Inst::Dot { dst, a: x[0], b: x[1], c: x[2] }],
        |x| Scalar::Float(f64::from(dot_pairs(x[0].as_int(), x[1].as_int(), x[2].as_f64() as f32))),
    );
    // The reference by hand: 2^24 + 3 * 1 + 0.5 * 1 rounds after the high product, to 2^24 + 4, and stays there.
    assert_eq!(dot_pairs(0x4040_3f00, 0x3f80_3f80, 16_777_216.0), 16_777_220.0);
    // The low product goes last: 2^24 + 1 rounds to 2^24, twice; added to each other first they would be 2.
    assert_eq!(dot_pairs(0x3f80_3f80, 0x3f80_3f80, 16_777_216.0), 16_777_216.0);
    assert_eq!(dot_pairs(0x0001_0000, 0x7f00_0000, 0.0), 0.0);
    assert_eq!(dot_pairs(0x2000_0000, 0x1f00_0000, -1e-38), 0.0);
}

#[test]
fn operations_with_constants_keep_to_the_definition() {
    for dtype in [DType::F32, DType::F64, DType::I8, DType::U8, DType::I32, DType::U32, DType::I64, DType::U64] {
        let values = edges(dtype);
        let ops: &[Binary] = if dtype.is_float() {
            &[Binary::Min, Binary::Max]
        } else {
            &[Binary::Div, Binary::FloorDiv, Binary::Rem, Binary::Mod, Binary::Shl, Binary::Shr, Binary::Min]
        };
        let constants: Vec<Scalar> = [0.0, -0.0, 1.0, -1.0, 2.0, 3.0, 6.5, 7.0, 8.0, 64.0, -8.0, f64::NAN].iter().map(|c| cast(Scalar::Float(*c), dtype)).collect();
        for op in ops.iter().copied() {
            for value in &constants {
                let name = format!("{} {dtype} {value:?}", op.name());
                let count = values.len();
                for lanes in [1, 4] {
                    let mut program = groups(&name, &[dtype], dtype, lanes, count, |_, _| Vec::new());
                    let (out, constant) = (Reg(4), Reg(5));
                    program.regs.push(RegType { dtype, lanes });
                    let at = program.body.len() - 1;
                    program.body.splice(
                        at..at,
                        [Inst::Const { dst: constant, value: *value }, Inst::Binary { dst: out, op, a: Reg(3), b: constant }],
                    );
                    let mut buffers = vec![bytes(&values, dtype), vec![0; (count + 16) * dtype.size()]];
                    run(&program, &mut buffers);
                    for (at, x) in values.iter().enumerate() {
                        let (got, want) = (read(&buffers[1], at, dtype), op.apply(*x, *value, dtype));
                        assert!(same(got, want), "{name} x{lanes} of {x:?}: {got:?}, not {want:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn casts_keep_to_the_definition() {
    for from in DTYPES {
        let values = edges(*from);
        for to in DTYPES {
            let name = format!("cast {from} {to}");
            check(&name, &[(*from, &values)], *to, |x, dst| vec![Inst::Cast { dst, a: x[0] }], |x| cast(x[0], *to));
            if from.size() == to.size() && *from != DType::Bool && *to != DType::Bool {
                let name = format!("bitcast {from} {to}");
                check(&name, &[(*from, &values)], *to, |x, dst| vec![Inst::Bitcast { dst, a: x[0] }], |x| bitcast(x[0], *from, *to));
            }
        }
    }
}

/// Emitters may do both by one instruction.
#[test]
fn numbers_rounded_and_cast_keep_to_the_definition() {
    let mut values = edges(DType::F32);
    values.extend((-520..520).map(|n| Scalar::Float(f64::from(n) / 2.0)));
    values.extend([127.49999, 127.50001, -128.50002, 254.99998, 255.50002, 65535.5, -32768.5].map(Scalar::Float));
    for to in [DType::I8, DType::U8, DType::I16, DType::U16, DType::I32] {
        for lanes in [1, 4, 8, 16] {
            let rounded = Reg(5);
            let mut program = groups("round", &[DType::F32], to, lanes, values.len(), |x, dst| vec![Inst::Unary { dst: rounded, op: Unary::Round, a: x[0] }, Inst::Cast { dst, a: rounded }]);
            assert_eq!(program.regs.len(), rounded.0 as usize);
            program.regs.push(RegType { dtype: DType::F32, lanes });
            let mut buffers = vec![bytes(&values, DType::F32), vec![0; (values.len().next_multiple_of(16) + 16) * to.size()]];
            run(&program, &mut buffers);
            for (at, value) in values.iter().enumerate() {
                let x = read(&bytes(&[*value], DType::F32), 0, DType::F32);
                let (got, want) = (read(&buffers[1], at, to), cast(Unary::Round.apply(x, DType::F32), to));
                assert!(same(got, want), "round {x:?} to {to} x{lanes}: {got:?}, not {want:?}");
            }
        }
    }
}

#[test]
fn every_f16_and_bf16_survives_a_load_and_store() {
    for (dtype, integer) in [(DType::F16, DType::U16), (DType::BF16, DType::U16)] {
        let count = 1 << 16;
        let program = groups("copy", &[dtype], dtype, 4, count, |x, dst| vec![Inst::Cast { dst, a: x[0] }]);
        let data: Vec<u8> = (0..count).flat_map(|n| (n as u16).to_le_bytes()).collect();
        let mut buffers = vec![data.clone(), vec![0; count * 2]];
        run(&program, &mut buffers);
        for at in 0..count {
            let (got, want) = (read(&buffers[1], at, dtype), read(&data, at, dtype));
            assert!(same(got, want), "{dtype} {:?}: {got:?}, not {want:?}", read(&data, at, integer));
        }
    }
}

#[test]
fn selections_and_multiply_adds_keep_to_the_definition() {
    for dtype in DTYPES {
        let (xs, ys) = pairs(*dtype);
        let conds: Vec<Scalar> = (0..xs.len()).map(|at| Scalar::Bool(at % 3 == 1)).collect();
        check(
            &format!("select {dtype}"),
            &[(DType::Bool, &conds), (*dtype, &xs), (*dtype, &ys)],
            *dtype,
            |x, dst| vec![Inst::Select { dst, cond: x[0], a: x[1], b: x[2] }],
            |x| if x[0].as_bool() { x[1] } else { x[2] },
        );
        if !target::host().fma || *dtype == DType::Bool {
            continue;
        }
        let zs: Vec<Scalar> = ys.iter().rev().copied().collect();
        check(
            &format!("fma {dtype}"),
            &[(*dtype, &xs), (*dtype, &ys), (*dtype, &zs)],
            *dtype,
            |x, dst| vec![Inst::Fma { dst, a: x[0], b: x[1], c: x[2] }],
            |x| match dtype {
                DType::F32 => Scalar::Float(f64::from((x[0].as_f64() as f32).mul_add(x[1].as_f64() as f32, x[2].as_f64() as f32))),
                _ if dtype.is_float() => cast(Scalar::Float(x[0].as_f64().mul_add(x[1].as_f64(), x[2].as_f64())), *dtype),
                _ => Binary::Add.apply(Binary::Mul.apply(x[0], x[1], *dtype), x[2], *dtype),
            },
        );
    }
}

/// A program that copies groups of lanes. Groups begin where the first parameter says; the second says which lanes are copied, the
/// third holds the elements.
fn guarded_copy(dtype: DType, lanes: u32, groups: usize) -> Program {
    let (group, width, first, begin, guard, value) = (Reg(0), Reg(1), Reg(2), Reg(3), Reg(4), Reg(5));
    let at = |buffer, index| Address { buffer, base: 0, index, offset: 0 };
    let moved = |buffer| Address { buffer, base: 0, index: begin, offset: -3 };
    Program {
        name: format!("guarded {dtype} x{lanes}"),
        regs: vec![I64, I64, I64, I64, RegType { dtype: DType::Bool, lanes }, RegType { dtype, lanes }],
        mutable: Vec::new(),
        params: vec![DType::I64, DType::Bool, dtype, dtype, dtype],
        scratch_bytes: 0,
        grid: vec![groups as i64],
        grid_regs: vec![group],
        body: vec![
            Inst::Const { dst: width, value: Scalar::Int(i128::from(lanes)) },
            Inst::Binary { dst: first, op: Binary::Mul, a: group, b: width },
            Inst::Load { dst: begin, from: at(0, group), stride: 1 },
            Inst::Load { dst: guard, from: at(1, first), stride: 1 },
            Inst::GuardedLoad { dst: value, from: moved(2), guard },
            Inst::Store { src: value, to: at(3, first), stride: 1 },
            Inst::GuardedStore { src: value, to: moved(4), guard },
        ],
    }
}

#[test]
fn guarded_lanes_are_the_only_ones_touched() {
    for dtype in DTYPES {
        let values = edges(*dtype);
        for lanes in [1u32, 2, 3, 4, 8, 16] {
            // Every pattern of four lanes, one group after the other; what remains of a group repeats it, shifted.
            let groups = 16;
            let guards: Vec<Vec<bool>> = (0..groups).map(|group| (0..lanes as usize).map(|lane| (group >> (lane % 4)) & 1 == 1).collect()).collect();
            let elems = groups * lanes as usize;
            let mut begins = vec![0; groups * 8];
            let (mut wanted, mut stored) = (vec![0; elems * dtype.size()], vec![0x5a; elems * dtype.size()]);
            let mut source = vec![0; elems * dtype.size()];
            for at in 0..elems {
                write(&mut source, at, *dtype, values[at % values.len()]);
            }
            for (group, guard) in guards.iter().enumerate() {
                // Lanes that are not copied may lie before the buffer, behind it, or nowhere.
                let first = guard.iter().position(|inside| *inside).map(|lane| group as i64 * 3 % 5 - lane as i64);
                write(&mut begins, group, DType::I64, Scalar::Int(i128::from(first.map_or(1 << 45, |first| first + 3))));
                for (lane, _) in guard.iter().enumerate().filter(|(_, inside)| **inside) {
                    let from = (first.unwrap_or(0) + lane as i64) as usize;
                    let value = read(&source, from, *dtype);
                    write(&mut wanted, group * lanes as usize + lane, *dtype, value);
                    write(&mut stored, from, *dtype, value);
                }
            }
            let guard_bytes = guards.iter().flatten().map(|inside| u8::from(*inside)).collect();
            let program = guarded_copy(*dtype, lanes, groups);
            program.verify().expect("a program");
            let mut buffers = vec![begins, guard_bytes, source.clone(), vec![0xff; wanted.len()], vec![0x5a; stored.len()]];
            let mut interpreted = buffers.clone();
            run(&program, &mut buffers);
            program.run(&mut interpreted).expect("the program's buffers");
            for (name, buffers) in [("code", buffers), ("interpreter", interpreted)] {
                for at in 0..elems {
                    let (got, want) = (read(&buffers[3], at, *dtype), read(&wanted, at, *dtype));
                    assert!(same(got, want), "{} {name}: element {at} is {got:?}, not {want:?}", program.name);
                    let (got, want) = (read(&buffers[4], at, *dtype), read(&stored, at, *dtype));
                    assert!(same(got, want), "{} {name}: stored element {at} is {got:?}, not {want:?}", program.name);
                }
            }
        }
    }
}

#[test]
fn lanes_lie_a_stride_apart() {
    for dtype in DTYPES {
        let values = edges(*dtype);
        for lanes in [1u32, 2, 3, 4, 8, 16] {
            for stride in [-2i64, -1, 0, 1, 2, 3, 4, 5] {
                // The lanes end, or where they go backwards begin, with the buffer's last element.
                let reach = (lanes as usize - 1) * stride.unsigned_abs() as usize;
                let first = if stride < 0 { reach as i64 } else { 0 };
                let (index, value) = (Reg(0), Reg(1));
                let at = |buffer, offset| Address { buffer, base: 0, index, offset };
                let program = Program {
                    name: format!("stride {stride} {dtype} x{lanes}"),
                    regs: vec![I64, RegType { dtype: *dtype, lanes }],
                    mutable: Vec::new(),
                    params: vec![*dtype, *dtype, *dtype],
                    scratch_bytes: 0,
                    grid: vec![3],
                    grid_regs: vec![index],
                    body: vec![
                        // What is prefetched need not be there.
                        Inst::Prefetch { at: at(2, 1 << 20), write: true },
                        Inst::Prefetch { at: at(0, first), write: false },
                        Inst::Load { dst: value, from: at(0, first), stride },
                        Inst::Store { src: value, to: at(1, 0), stride: 1 },
                        Inst::Store { src: value, to: at(2, first), stride },
                    ],
                };
                let elems = reach + 3;
                let mut source = vec![0; elems * dtype.size()];
                (0..elems).for_each(|at| write(&mut source, at, *dtype, values[at % values.len()]));
                let mut buffers = vec![source.clone(), vec![0; (lanes as usize + 2) * dtype.size()], vec![0x5a; elems * dtype.size()]];
                run(&program, &mut buffers);
                let reached: Vec<i64> = (0..3).flat_map(|point| (0..i64::from(lanes)).map(move |lane| point + first + lane * stride)).collect();
                for at in (0..elems).filter(|at| !reached.contains(&(*at as i64))) {
                    assert!(buffers[2][at * dtype.size()..][..dtype.size()].iter().all(|byte| *byte == 0x5a), "{}: element {at} was written", program.name);
                }
                for lane in 0..lanes as usize {
                    let from = (first + 2 + lane as i64 * stride) as usize;
                    let (loaded, stored, want) = (read(&buffers[1], lane + 2, *dtype), read(&buffers[2], from, *dtype), read(&source, from, *dtype));
                    assert!(same(loaded, want), "{}: lane {lane} is {loaded:?}, not {want:?}", program.name);
                    assert!(same(stored, want), "{}: element {from} is {stored:?}, not {want:?}", program.name);
                }
            }
        }
    }
}

#[test]
fn lanes_are_repeated() {
    for dtype in DTYPES {
        let values = edges(*dtype);
        for (few, times) in [(2u32, 1u32), (2, 2), (4, 2), (8, 2), (2, 8), (4, 4), (3, 2)] {
            let (index, a, dst) = (Reg(0), Reg(1), Reg(2));
            let at = |buffer| Address { buffer, base: 0, index, offset: 0 };
            let program = Program {
                name: format!("{few} lanes of {dtype}, {times} times"),
                regs: vec![I64, RegType { dtype: *dtype, lanes: few }, RegType { dtype: *dtype, lanes: few * times }],
                mutable: Vec::new(),
                params: vec![*dtype, *dtype],
                scratch_bytes: 0,
                grid: vec![1],
                grid_regs: vec![index],
                body: vec![Inst::Load { dst: a, from: at(0), stride: 1 }, Inst::Repeat { dst, a, times }, Inst::Store { src: dst, to: at(1), stride: 1 }],
            };
            program.verify().expect("a program");
            let mut source = vec![0; few as usize * dtype.size()];
            (0..few as usize).for_each(|at| write(&mut source, at, *dtype, values[at % values.len()]));
            let mut buffers = vec![source.clone(), vec![0; (few * times) as usize * dtype.size()]];
            let mut interpreted = buffers.clone();
            run(&program, &mut buffers);
            program.run(&mut interpreted).expect("the program's buffers");
            for lane in 0..(few * times) as usize {
                let want = read(&source, lane / times as usize, *dtype);
                for (name, buffers) in [("code", &buffers), ("interpreter", &interpreted)] {
                    let got = read(&buffers[1], lane, *dtype);
                    assert!(same(got, want), "{} {name}: lane {lane} is {got:?}, not {want:?}", program.name);
                }
            }
        }
    }
}
