//! Sessions over executables made by hand.

mod common;

use common::{add, empty, has_machine_code, interpreted, operand, port, ramp, session, two_launches};
use frit_ir::executable::{Executable, Slot, Step};
use frit_ir::{DType, Tensor};
use frit_runtime::{Options, Session, Threads};

fn program(n: i64) -> Executable {
    if has_machine_code() { two_launches(n) } else { interpreted(n) }
}

fn expected(n: i64) -> Vec<f32> {
    (0..n).map(|i| i as f32 * 2.0).collect()
}

#[test]
fn kernels_run_at_any_thread_count() {
    for n in [0, 1, 15, 16, 100, 4097] {
        for threads in [1, 2, 5] {
            let session = session(program(n), threads);
            let outputs = session.run(&[ramp(n)]).expect("a run");
            assert_eq!(outputs[0].as_slice::<f32>(), expected(n), "{n} on {threads} threads");
            assert!(outputs[0].address().is_multiple_of(64));
        }
    }
}

#[test]
fn the_callers_pool_is_used() {
    let pool = std::sync::Arc::new(rayon::ThreadPoolBuilder::new().num_threads(3).build().expect("a pool"));
    let session = Session::new(program(1000), &Options { threads: Threads::shared(pool.clone()) }).expect("a session");
    assert_eq!(session.run(&[ramp(1000)]).expect("a run")[0].as_slice::<f32>(), expected(1000));
    assert_eq!(pool.install(|| session.run(&[ramp(1000)])).expect("a run")[0].as_slice::<f32>(), expected(1000));
}

#[test]
fn many_callers_share_sessions_and_their_threads() {
    let threads = Threads::count(3).expect("threads");
    let sessions = [(); 2].map(|()| Session::new(program(3000), &Options { threads: threads.clone() }).expect("a session"));
    std::thread::scope(|scope| {
        for caller in 0..8 {
            let session = &sessions[caller % 2];
            scope.spawn(move || {
                for round in 0..20 {
                    let start = (caller * 100 + round) as f32;
                    let input: Vec<f32> = (0..3000).map(|i| i as f32 + start).collect();
                    let outputs = session.run(&[Tensor::from_slice(&[3000], &input)]).expect("a run");
                    let want: Vec<f32> = (0..3000).map(|i| (i as f32 + start) + i as f32 * 0.5 + i as f32 * 0.5).collect();
                    assert_eq!(outputs[0].as_slice::<f32>(), want);
                }
            });
        }
    });
}

#[test]
fn interpreter_steps_text_and_dynamic_tensors_run() {
    let session = session(interpreted(5), 1);
    let (outputs, times) = session.run_profiled(&[ramp(5)]).expect("a run");
    assert_eq!(outputs[0].as_slice::<f32>(), expected(5));
    assert_eq!(outputs[1].strings(), ["cat", "dog"]);
    assert_eq!(times.len(), session.executable().leaves().len());
    assert!(times.iter().enumerate().all(|(at, time)| time.step == at && time.calls == 1));
    let named = session.run_named([("x", ramp(5))]).expect("a run");
    assert_eq!(named.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["y", "labels"]);
}

#[test]
fn inputs_that_do_not_fit_are_told_apart() {
    let session = session(interpreted(5), 1);
    let message = |error: frit_ir::Error| {
        assert!(error.is_invalid());
        error.to_string()
    };
    assert_eq!(message(session.run(&[]).expect_err("none given")), "the program takes 1 inputs, not 0\n  help: the inputs are 'x' f32[5]");
    assert_eq!(message(session.run(&[ramp(6)]).expect_err("a wrong shape")), "input 'x' takes f32[5], and f32[6] is given\n  help: the inputs are 'x' f32[5]");
    assert_eq!(message(session.run(&[Tensor::from_ints(&[1, 2, 3, 4, 5])]).expect_err("a wrong dtype")), "input 'x' takes f32[5], and i64[5] is given\n  help: the inputs are 'x' f32[5]");
    assert_eq!(message(session.run_named([("z", ramp(5))]).expect_err("a wrong name")), "the program has no input 'z'\n  help: the inputs are 'x' f32[5]");
    assert_eq!(message(session.run_named([("x", ramp(5)), ("x", ramp(5))]).expect_err("twice")), "input 'x' is given twice\n  help: the inputs are 'x' f32[5]");
    assert_eq!(message(session.run_named::<&str>([]).expect_err("none given")), "no tensor is given for input 'x'\n  help: the inputs are 'x' f32[5]");
}

/// `y = sum of rows of x while the running sum is at most limit`, and all running sums.
fn loop_program() -> Executable {
    let f = |slot| operand(slot, DType::F32, &[2]);
    let count = |slot| operand(slot, DType::I64, &[]);
    let flag = |slot| operand(slot, DType::Bool, &[]);
    Executable {
        inputs: vec![port("x", DType::F32, Some(&[3, 2])), port("trips", DType::I64, Some(&[])), port("go", DType::Bool, Some(&[]))],
        outputs: vec![port("y", DType::F32, Some(&[2])), port("sums", DType::F32, None), port("last", DType::I64, Some(&[]))],
        constants: vec![Tensor::from_slice(&[2], &[0f32, 0.0])],
        arena_bytes: 320,
        dynamics: 1,
        steps: vec![
            Step::Copy { from: f(Slot::Constant(0)), to: f(Slot::Arena(0)) },
            Step::Copy { from: count(Slot::Input(1)), to: count(Slot::Output(2)) },
            Step::Loop {
                trip_count: Some(count(Slot::Input(1))),
                start: Some(flag(Slot::Input(2))),
                counter: count(Slot::Arena(192)),
                cond: None,
                body: vec![
                    add("f32[2]", f(Slot::Arena(0)), f(Slot::Arena(64)), f(Slot::Arena(128))),
                    Step::Copy { from: f(Slot::Arena(128)), to: f(Slot::Arena(0)) },
                    Step::Copy { from: count(Slot::Arena(192)), to: count(Slot::Output(2)) },
                ],
                stacked: vec![(f(Slot::Arena(0)), operand(Slot::Dynamic(0), DType::F32, &[]))],
                sliced: vec![(operand(Slot::Input(0), DType::F32, &[3, 2]), f(Slot::Arena(64)))],
            },
            Step::Copy { from: operand(Slot::Dynamic(0), DType::F32, &[]), to: operand(Slot::Output(1), DType::F32, &[]) },
            Step::If {
                cond: flag(Slot::Input(2)),
                then_steps: vec![Step::Copy { from: f(Slot::Arena(0)), to: f(Slot::Output(0)) }],
                else_steps: vec![Step::Copy { from: f(Slot::Constant(0)), to: f(Slot::Output(0)) }],
            },
        ],
        ..empty()
    }
}

#[test]
fn loops_slice_and_stack() {
    let session = session(loop_program(), 1);
    let x = Tensor::from_slice(&[3, 2], &[1f32, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let run = |trips: i64, go: bool| session.run(&[x.clone(), Tensor::from_slice(&[], &[trips]), Tensor::from_bools(&[], &[go])]);
    let outputs = run(3, true).expect("a run");
    assert_eq!(outputs[0].as_slice::<f32>(), [9.0, 12.0]);
    assert_eq!(outputs[1], Tensor::from_slice(&[3, 2], &[1f32, 2.0, 4.0, 6.0, 9.0, 12.0]));
    assert_eq!(outputs[2].ints(), [2]);
    assert_eq!(run(2, true).expect("a run")[1].extents(), [2, 2]);
    let none = run(3, false).expect("a run");
    assert_eq!((none[0].as_slice::<f32>(), none[1].extents()), ([0.0, 0.0].as_slice(), [0, 2].as_slice()));
    assert!(run(4, true).expect_err("there are three rows").is_invalid());
}

#[test]
fn a_condition_ends_a_loop_and_stacks_of_known_size_are_filled_in_place() {
    let count = |slot| operand(slot, DType::I64, &[]);
    let pair = |slot| operand(slot, DType::I64, &[3]);
    let executable = Executable {
        outputs: vec![port("counts", DType::I64, Some(&[3]))],
        arena_bytes: 128,
        steps: vec![Step::Loop {
            trip_count: None,
            start: None,
            counter: count(Slot::Arena(0)),
            cond: Some(operand(Slot::Arena(64), DType::Bool, &[])),
            // Go on while max(count + 1, 2) = 2.
            body: vec![common::interpret(
                "graph \"g\" { input \"i\" %0: i64[] %1: i64[] = constant() {value=i64[] [1]} %2: i64[] = constant() {value=i64[] [2]} %3: i64[] = add(%0, %1) %4: i64[] = max(%3, %2) %5: bool[] = equal(%4, %2) output \"c\" %5 }",
                vec![count(Slot::Arena(0))],
                vec![operand(Slot::Arena(64), DType::Bool, &[])],
            )],
            stacked: vec![(count(Slot::Arena(0)), pair(Slot::Output(0)))],
            sliced: vec![],
        }],
        ..empty()
    };
    let session = session(executable, 1);
    assert_eq!(session.run(&[]).expect("a run")[0].ints(), [0, 1, 2]);
}

/// Changes that make a whole program broken, and what is said of them.
#[test]
fn broken_programs_are_refused() {
    type Change = (&'static str, fn(&mut Executable));
    fn operands(executable: &mut Executable, step: usize) -> &mut Vec<frit_ir::executable::Operand> {
        match &mut executable.steps[step] {
            Step::Launch { operands, .. } => operands,
            _ => unreachable!("the test's steps are launches"),
        }
    }
    let changes: &[Change] = &[
        ("an arena that is too small", |e| e.arena_bytes -= 1),
        ("an arena that fits nowhere", |e| e.arena_bytes = u64::MAX),
        ("an unaligned range", |e| {
            e.arena_bytes += 64;
            operands(e, 0)[2].slot = Slot::Arena(4);
        }),
        ("a range far outside", |e| operands(e, 0)[2].slot = Slot::Arena(u64::MAX - 63)),
        ("an input that is not there", |e| operands(e, 0)[0].slot = Slot::Input(1)),
        ("a constant that is not there", |e| operands(e, 0)[1].slot = Slot::Constant(1)),
        ("an output that is not there", |e| operands(e, 1)[2].slot = Slot::Output(1)),
        ("an output that nobody writes", |e| operands(e, 1)[2].slot = Slot::Arena(0)),
        ("a dynamic tensor that is not there", |e| operands(e, 0)[2].slot = Slot::Dynamic(0)),
        ("a kernel with a dynamic tensor", |e| {
            e.dynamics = 1;
            operands(e, 0)[2].slot = Slot::Dynamic(0);
        }),
        ("a written constant", |e| operands(e, 0)[2].slot = Slot::Constant(0)),
        ("a written input", |e| operands(e, 0)[2].slot = Slot::Input(0)),
        ("fewer operands than parameters", |e| drop(operands(e, 0).pop())),
        ("extents that are not the input's", |e| operands(e, 0)[0].extents = vec![50]),
        ("negative extents", |e| operands(e, 0)[2].extents = vec![-100]),
        ("extents beyond memory", |e| operands(e, 0)[2].extents = vec![i64::MAX, 8]),
        ("a dtype that is not the input's", |e| operands(e, 0)[0].dtype = DType::I32),
        ("a kernel that touches more than there is", |e| e.kernels[0].params[0].elems += 1),
        ("a kernel that touches more than memory", |e| e.kernels[0].params[0].elems = u64::MAX),
        ("a kernel outside the code", |e| e.kernels[0].offset = 1000),
        ("a kernel that ends outside the code", |e| e.kernels[0].len = u64::MAX),
        ("a kernel of no code", |e| e.kernels[0].len = 0),
        ("a kernel that is not there", |e| e.kernels.clear()),
        ("a grain of nothing", |e| e.kernels[0].grain = 0),
        ("scratch beyond memory", |e| e.kernels[0].scratch_bytes = u64::MAX),
        ("an interpreter step that does not parse", |e| e.steps.push(common::interpret("graph {", Vec::new(), Vec::new()))),
        ("an interpreter step with other operands", |e| {
            let one = operands(e, 0)[0].clone();
            e.steps.push(common::interpret("graph \"g\" { }", vec![one], Vec::new()));
        }),
        ("a copy between sizes", |e| {
            let from = operands(e, 0)[0].clone();
            e.steps.push(Step::Copy { from, to: operand(Slot::Arena(0), DType::F32, &[50]) });
        }),
        ("a copy between dtypes", |e| {
            let from = operands(e, 0)[0].clone();
            e.steps.push(Step::Copy { from, to: operand(Slot::Arena(0), DType::I32, &[100]) });
        }),
        ("a condition that is a vector", |e| {
            let cond = operands(e, 0)[0].clone();
            e.steps.push(Step::If { cond, then_steps: Vec::new(), else_steps: Vec::new() });
        }),
        ("a loop without end", |e| {
            let counter = operand(Slot::Arena(0), DType::I64, &[]);
            e.steps.push(Step::Loop { trip_count: None, start: None, counter, cond: None, body: Vec::new(), stacked: Vec::new(), sliced: Vec::new() });
        }),
        ("steps that nest without end", |e| {
            for _ in 0..100 {
                let then_steps = std::mem::take(&mut e.steps);
                e.steps = vec![Step::If { cond: operand(Slot::Arena(0), DType::Bool, &[]), then_steps, else_steps: Vec::new() }];
            }
        }),
        ("extents of an output beyond memory", |e| e.outputs[0].extents = Some(vec![i64::MAX, i64::MAX])),
    ];
    for (what, change) in changes {
        let mut executable = two_launches(100);
        executable.target = common::target();
        change(&mut executable);
        let error = Session::new(executable, &Options::default()).map(drop).expect_err(what);
        assert!(error.is_invalid(), "{what}: {error}");
        assert!(error.message.starts_with("the program is broken: "), "{what}: {error}");
        assert!(error.help.is_some(), "{what}: {error}");
    }
}
