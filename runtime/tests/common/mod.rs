//! Executables made by hand, so that the run time is tested without a compiler.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::path::PathBuf;

use frit_ir::executable::{Code, Executable, Operand, Param, Port, Slot, Step};
use frit_ir::vector::{Instructions, Target};
use frit_ir::{DType, Tensor};
use frit_runtime::{Options, Session, Threads};

/// `c[i] = a[i] + b[i]` in f32, through scratch, for x86-64 and the System V convention.
const ADD: &[u8] = &[
    0x48, 0x8b, 0x07, // mov rax, [rdi]
    0x48, 0x8b, 0x4f, 0x08, // mov rcx, [rdi + 8]
    0x4c, 0x8b, 0x47, 0x10, // mov r8, [rdi + 16]
    0x4c, 0x8b, 0x4f, 0x18, // mov r9, [rdi + 24]
    0x48, 0x39, 0xd6, // next: cmp rsi, rdx
    0x73, 0x1f, // jae done
    0xf3, 0x0f, 0x10, 0x04, 0xb0, // movss xmm0, [rax + rsi * 4]
    0xf3, 0x41, 0x0f, 0x11, 0x01, // movss [r9], xmm0
    0xf3, 0x0f, 0x10, 0x0c, 0xb1, // movss xmm1, [rcx + rsi * 4]
    0xf3, 0x41, 0x0f, 0x58, 0x09, // addss xmm1, [r9]
    0xf3, 0x41, 0x0f, 0x11, 0x0c, 0xb0, // movss [r8 + rsi * 4], xmm1
    0x48, 0xff, 0xc6, // inc rsi
    0xeb, 0xdc, // jmp next
    0xc3, // done: ret
];

pub(crate) fn has_machine_code() -> bool {
    let has = cfg!(all(target_arch = "x86_64", not(windows)));
    #[allow(clippy::print_stderr, reason = "a skipped test must be seen")]
    if !has {
        eprintln!("skipped: the test's machine code is for x86-64 and the System V convention");
    }
    has
}

pub(crate) fn target() -> Target {
    let triple = format!("{}-unknown-{}", std::env::consts::ARCH, std::env::consts::OS);
    Target { triple, features: Vec::new(), vector_bits: 128, vector_registers: 16, fma: false, cache: [32 << 10, 1 << 20, 8 << 20], team: 1, points: 16 }
}

pub(crate) fn port(name: &str, dtype: DType, extents: Option<&[i64]>) -> Port {
    Port { name: name.to_owned(), dtype, extents: extents.map(<[i64]>::to_vec), declared: String::new() }
}

pub(crate) fn operand(slot: Slot, dtype: DType, extents: &[i64]) -> Operand {
    Operand { slot, dtype, extents: extents.to_vec() }
}

pub(crate) fn empty() -> Executable {
    Executable { name: "test".to_owned(), target: target(), inputs: Vec::new(), outputs: Vec::new(), states: Vec::new(), constants: Vec::new(), kernels: Vec::new(), code: Vec::new(), arena_bytes: 0, dynamics: 0, steps: Vec::new() }
}

/// An interpreter step over a graph in text form.
pub(crate) fn interpret(graph: &str, inputs: Vec<Operand>, outputs: Vec<Operand>) -> Step {
    Step::Interpret { graph: graph.to_owned(), inputs, outputs, sources: vec!["n".to_owned()], why: "a test".to_owned() }
}

/// `add` of two operands of one type, in the interpreter.
pub(crate) fn add(ty: &str, a: Operand, b: Operand, c: Operand) -> Step {
    interpret(&format!("graph \"add\" {{ input \"a\" %0: {ty} input \"b\" %1: {ty} %2: {ty} = add(%0, %1) output \"c\" %2 }}"), vec![a, b], vec![c])
}

/// `y = (x + w) + w` over `n` floats: one kernel, launched twice, a constant and the arena.
pub(crate) fn two_launches(n: i64) -> Executable {
    let param = |written| Param { dtype: DType::F32, elems: n as u64, written };
    let at = |slot| operand(slot, DType::F32, &[n]);
    let launch = |operands| Step::Launch { kernel: 0, operands, sources: vec!["plus".to_owned()], rules: Vec::new() };
    let weights: Vec<f32> = (0..n).map(|i| i as f32 * 0.5).collect();
    Executable {
        inputs: vec![port("x", DType::F32, Some(&[n]))],
        outputs: vec![port("y", DType::F32, Some(&[n]))],
        constants: vec![Tensor::from_slice(&[n], &weights)],
        kernels: vec![Code {
            name: "add".to_owned(),
            offset: 0,
            len: ADD.len() as u64,
            points: n as u64,
            team: 1,
            grain: 16,
            scratch_bytes: 4,
            params: vec![param(false), param(false), param(true)],
            instructions: Instructions::default(),
            flops: n as u64,
            bytes: 12 * n as u64,
        }],
        code: ADD.to_vec(),
        arena_bytes: n as u64 * 4,
        steps: vec![
            launch(vec![at(Slot::Input(0)), at(Slot::Constant(0)), at(Slot::Arena(0))]),
            launch(vec![at(Slot::Arena(0)), at(Slot::Constant(0)), at(Slot::Output(0))]),
        ],
        ..empty()
    }
}

/// The same program in the interpreter, for machines that the kernel is not for; with text and a dynamic tensor besides.
pub(crate) fn interpreted(n: i64) -> Executable {
    let at = |slot| operand(slot, DType::F32, &[n]);
    let ty = format!("f32[{n}]");
    let weights: Vec<f32> = (0..n).map(|i| i as f32 * 0.5).collect();
    let labels = Tensor::from_strings(&[2], vec!["cat".to_owned(), "dog".to_owned()]).expect("two strings");
    Executable {
        inputs: vec![port("x", DType::F32, Some(&[n]))],
        outputs: vec![port("y", DType::F32, Some(&[n])), port("labels", DType::Str, Some(&[2]))],
        constants: vec![Tensor::from_slice(&[n], &weights), labels],
        arena_bytes: n as u64 * 4,
        dynamics: 1,
        steps: vec![
            add(&ty, at(Slot::Input(0)), at(Slot::Constant(0)), at(Slot::Dynamic(0))),
            Step::Copy { from: at(Slot::Dynamic(0)), to: at(Slot::Arena(0)) },
            add(&ty, at(Slot::Arena(0)), at(Slot::Constant(0)), at(Slot::Output(0))),
            Step::Copy { from: operand(Slot::Constant(1), DType::Str, &[2]), to: operand(Slot::Output(1), DType::Str, &[2]) },
        ],
        ..empty()
    }
}

pub(crate) fn ramp(n: i64) -> Tensor {
    Tensor::from_slice(&[n], &(0..n).map(|i| i as f32).collect::<Vec<f32>>())
}

pub(crate) fn session(executable: Executable, threads: usize) -> Session {
    Session::new(executable, &Options { threads: Threads::count(threads).expect("threads") }).expect("a whole program")
}

/// A path that no other test uses.
pub(crate) fn scratch(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("frit-runtime-tests-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    folder.join(name)
}
