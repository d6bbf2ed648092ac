//! Schedules compute what the graph computes: every op's samples are scheduled, and the kernels run in the loop form's
//! interpreter, without code generation.

use frit_ir::executable::{Operand, Slot, Step};
use frit_ir::ops::{Domain, Input, Sample, Tolerance};
use frit_ir::vector::Target;
use frit_ir::model::{Handle, Model};
use frit_ir::{Builder, DType, Graph, Op, Scalar, Tensor, eval, text};
use frit_compiler::lower::vectorise::vectorise;
use frit_compiler::cost::Machine;
use frit_compiler::lower::{self, target};
use frit_compiler::schedule::{Device, Precision, Schedule, schedule, ungrouped};

fn target() -> Target {
    Target { triple: "x86_64-unknown-linux-gnu".into(), features: Vec::new(), vector_bits: 128, vector_registers: 16, fma: true, cache: [32 << 10, 1 << 20, 16 << 20], team: 1, points: 16 }
}

/// A device of a target, whose emitters can do everything.
fn device(target: &Target) -> Device<'_> {
    Device { target, machine: &Machine::DEFAULT, supported: &|_| Ok(()), fusion: true, precision: Precision::F32, tuning: None, priced: false }
}

/// Numbers from a generator of Steele, Lea and Flood (SplitMix64, OOPSLA 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn tensor(&mut self, dtype: DType, extents: &[i64], domain: Domain) -> Tensor {
        let (low, high) = match domain {
            Domain::Between(low, high) => (low, high),
            Domain::Any | Domain::Ordinary => (-4.0, 4.0),
        };
        let elems: i64 = extents.iter().product();
        let values: Vec<Scalar> = (0..elems)
            .map(|_| {
                let unit = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
                let special = domain == Domain::Any && dtype.is_float() && self.next().is_multiple_of(8);
                Scalar::Float(if special { [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0][(self.next() % 5) as usize] } else { low + (high - low) * unit })
            })
            .collect();
        Tensor::from_scalars(dtype, extents, values).expect("a small tensor")
    }
}

struct Interpreter<'a> {
    schedule: &'a Schedule,
    /// Kernels run as vector programs for vectors of so many bits; as loops if `None`.
    vector_bits: Option<u32>,
    arena: Vec<u8>,
    inputs: &'a [Tensor],
    outputs: Vec<Vec<u8>>,
    dynamics: Vec<Option<Tensor>>,
}

impl Interpreter<'_> {
    fn read(&self, operand: &Operand) -> Tensor {
        let len = operand.extents.iter().product::<i64>() as usize * operand.dtype.size();
        let bytes = match operand.slot {
            Slot::Input(k) => return self.inputs[k as usize].reshaped(&operand.extents).expect("an input's shape"),
            Slot::Constant(k) => return self.schedule.constants[k as usize].clone(),
            Slot::Dynamic(k) => return self.dynamics[k as usize].clone().expect("made before"),
            Slot::Arena(offset) => &self.arena[offset as usize..offset as usize + len],
            Slot::Output(k) => &self.outputs[k as usize][..],
        };
        Tensor::from_shared(operand.dtype, &operand.extents, bytes.to_vec().into()).expect("an operand's size")
    }

    fn write(&mut self, operand: &Operand, bytes: &[u8]) {
        match operand.slot {
            Slot::Arena(offset) => self.arena[offset as usize..offset as usize + bytes.len()].copy_from_slice(bytes),
            Slot::Output(k) => self.outputs[k as usize] = bytes.to_vec(),
            _ => panic!("a step writes {:?}", operand.slot),
        }
    }

    fn run(&mut self, steps: &[Step]) {
        for step in steps {
            match step {
                Step::Launch { kernel, operands, .. } => {
                    let kernel = &self.schedule.kernels[*kernel as usize];
                    kernel.verify().unwrap_or_else(|problems| panic!("{problems:?}\n{kernel}"));
                    let mut buffers: Vec<Vec<u8>> = operands
                        .iter()
                        .zip(kernel.params())
                        .map(|(operand, (_, place))| {
                            let mut bytes = match operand.slot {
                                Slot::Output(k) => self.outputs[k as usize].clone(),
                                _ => self.read(operand).bytes().to_vec(),
                            };
                            bytes.resize(place.elems as usize * place.dtype.size(), 0);
                            bytes
                        })
                        .collect();
                    match self.vector_bits {
                        None => kernel.run(&mut buffers).unwrap_or_else(|error| panic!("{error}\n{kernel}")),
                        Some(vector_bits) => {
                            let program = vectorise(kernel, &Target { vector_bits, ..target() }).unwrap_or_else(|error| panic!("{error}\n{kernel}"));
                            program.run(&mut buffers).unwrap_or_else(|error| panic!("{error}\n{kernel}\n{program}"));
                        }
                    }
                    for ((operand, (_, place)), bytes) in operands.iter().zip(kernel.params()).zip(&buffers) {
                        if place.space == frit_ir::loops::Space::Output {
                            self.write(operand, bytes);
                        }
                    }
                }
                Step::Interpret { graph, inputs, outputs, .. } => {
                    let graph = text::parse(graph).expect("a printed graph");
                    let inputs: Vec<Tensor> = inputs.iter().map(|o| self.read(o)).collect();
                    for (operand, tensor) in outputs.iter().zip(eval::run(&graph, &inputs.iter().collect::<Vec<_>>()).expect("evaluates")) {
                        match operand.slot {
                            Slot::Dynamic(k) => self.dynamics[k as usize] = Some(tensor),
                            _ => self.write(operand, tensor.bytes()),
                        }
                    }
                }
                Step::Copy { from, to } => {
                    let tensor = self.read(from);
                    self.write(to, tensor.bytes());
                }
                Step::If { cond, then_steps, else_steps } => {
                    let taken = self.read(cond).get(0).as_bool();
                    self.run(if taken { then_steps } else { else_steps });
                }
                Step::Loop { trip_count, start, counter, cond, body, stacked, sliced } => {
                    let trips = trip_count.as_ref().map_or(i64::MAX, |o| self.read(o).ints()[0]);
                    let mut going = start.as_ref().is_none_or(|o| self.read(o).get(0).as_bool());
                    let mut stacks: Vec<Vec<u8>> = vec![Vec::new(); stacked.len()];
                    let mut step = 0;
                    while going && step < trips {
                        self.write(counter, &step.to_le_bytes());
                        for (whole, part) in sliced {
                            let bytes = self.read(whole).bytes().to_vec();
                            let len = part.extents.iter().product::<i64>() as usize * part.dtype.size();
                            self.write(part, &bytes[step as usize * len..(step as usize + 1) * len]);
                        }
                        self.run(body);
                        for (stack, (part, _)) in stacks.iter_mut().zip(stacked) {
                            stack.extend_from_slice(self.read(part).bytes());
                        }
                        going = cond.as_ref().is_none_or(|o| self.read(o).get(0).as_bool());
                        step += 1;
                    }
                    for (stack, (part, whole)) in stacks.iter().zip(stacked) {
                        match whole.slot {
                            Slot::Dynamic(k) => {
                                let extents = [&[step], &part.extents[..]].concat();
                                self.dynamics[k as usize] = Some(Tensor::from_shared(part.dtype, &extents, stack.clone().into()).expect("a stack's size"));
                            }
                            _ => self.write(whole, stack),
                        }
                    }
                }
            }
        }
    }
}

fn run(graph: &Graph, inputs: &[Tensor], vector_bits: Option<u32>) -> Vec<Tensor> {
    execute(&schedule(graph, &device(&target())).expect("schedules"), inputs, vector_bits)
}

/// What a graph's kernels for a GPU compute, which reckons with so many points at once. They run as loops; their text is made, too.
fn run_by_teams(graph: &Graph, inputs: &[Tensor], points: u32) -> Vec<Tensor> {
    let target = Target { points, ..target::cuda() };
    let schedule = schedule(graph, &Device { target: &target, machine: &Machine::GPU, supported: &lower::supported_on_gpu, fusion: true, precision: Precision::F32, tuning: None, priced: false }).expect("schedules");
    for kernel in &schedule.kernels {
        let text = lower::text(kernel, &target).unwrap_or_else(|error| panic!("{error}\n{kernel}"));
        assert!(text.team * text.teams <= 1024 && text.shared_bytes <= 48 << 10, "{} has {} teams of {} and shares {} bytes", kernel.name, text.teams, text.team, text.shared_bytes);
    }
    execute(&schedule, inputs, None)
}

fn execute(schedule: &Schedule, inputs: &[Tensor], vector_bits: Option<u32>) -> Vec<Tensor> {
    let mut machine = Interpreter {
        schedule,
        vector_bits,
        arena: vec![0xff; schedule.arena_bytes as usize],
        inputs,
        outputs: schedule.outputs.iter().map(|port| vec![0xff; port.extents.as_ref().map_or(0, |e| e.iter().product::<i64>() as usize * port.dtype.size())]).collect(),
        dynamics: vec![None; schedule.dynamics as usize],
    };
    machine.run(&schedule.steps);
    schedule.outputs.iter().zip(&machine.outputs).map(|(port, bytes)| Tensor::from_shared(port.dtype, port.extents.as_ref().expect("a fixed shape"), bytes.clone().into()).expect("an output's size")).collect()
}

fn close(got: &Tensor, expected: &Tensor, tolerance: Tolerance) -> Option<String> {
    if got.ty() != expected.ty() {
        return Some(format!("{} instead of {}", got.ty(), expected.ty()));
    }
    got.scalars().zip(expected.scalars()).enumerate().find_map(|(at, (a, b))| {
        let fits = if expected.dtype().is_float() {
            let (a, b) = (a.as_f64(), b.as_f64());
            a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= tolerance.absolute + tolerance.relative * b.abs()
        } else {
            a == b
        };
        (!fits).then(|| format!("element {at} is {a:?} instead of {b:?}"))
    })
}

fn graph(sample: &Sample, random: &mut Random) -> Option<(Graph, Vec<Tensor>)> {
    let mut builder = Builder::new("sample");
    let mut inputs = Vec::new();
    let values: Vec<_> = sample
        .inputs
        .iter()
        .map(|input| {
            let tensor = match input {
                Input::Drawn(dtype, extents, domain) => random.tensor(*dtype, extents, *domain),
                Input::Given(tensor) => tensor.clone(),
                Input::Constant(tensor) => return builder.constant(tensor.clone()),
            };
            inputs.push(tensor.clone());
            builder.input(format!("{}", inputs.len()), tensor.ty())
        })
        .collect();
    let outputs = builder.apply_all(sample.op.clone(), &values).expect("a sample's types fit");
    for (k, value) in outputs.into_iter().enumerate() {
        builder.output(format!("{k}"), value);
    }
    let graph = builder.finish();
    graph.outputs().iter().all(|(_, v)| graph.ty(*v).shape.elems().is_some()).then_some((graph, inputs))
}

#[test]
fn kernels_compute_what_ops_compute() {
    let mut random = Random(1);
    let mut wrong = Vec::new();
    for sample in Op::samples() {
        let Some((graph, inputs)) = graph(&sample, &mut random) else { continue };
        if inputs.iter().map(Tensor::elems).sum::<usize>() > 20_000 {
            continue;
        }
        let shown = format!("{} of {}", text::print(&graph).lines().last().unwrap_or_default(), inputs.iter().map(|t| t.ty().to_string()).collect::<Vec<_>>().join(", "));
        let expected = eval::run(&graph, &inputs.iter().collect::<Vec<_>>()).expect("evaluates");
        for form in 0..5 {
            let vector_bits = [None, Some(128), Some(256), Some(512)].get(form).copied().flatten();
            let got = std::panic::catch_unwind(|| if form == 4 { run_by_teams(&graph, &inputs, 512) } else { run(&graph, &inputs, vector_bits) });
            let form = ["as loops", "with vectors of 128 bits", "with vectors of 256 bits", "with vectors of 512 bits", "by teams"][form];
            let got = match got {
                Ok(got) => got,
                Err(panic) => {
                    wrong.push(format!("{} {shown} {form}: panic {}", sample.op.name(), panic.downcast_ref::<String>().map_or("", |s| s.as_str()).chars().take(1500).collect::<String>()));
                    continue;
                }
            };
            for (got, expected) in got.iter().zip(&expected) {
                if let Some(why) = close(got, expected, sample.op.def().tolerance(expected.dtype())) {
                    wrong.push(format!("{} {shown} {form}: {why}", sample.op.name()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} samples differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn what_would_grow_is_folded_last() {
    use frit_ir::ops::{add::Add, dequantize::Dequantize, gather::Gather, matmul::MatMul, transpose::Transpose};
    let mut random = Random(2);
    let mut builder = Builder::new("quantised").folding(frit_ir::build::Folding::Early);
    let mut weights = |builder: &mut Builder, extents: &[i64], scales: &[i64], axis: i64| {
        let whole = builder.constant(random.tensor(DType::I8, extents, Domain::Between(-128.0, 128.0)));
        let scale = builder.constant(random.tensor(DType::F32, scales, Domain::Between(0.1, 0.2)));
        let zero = builder.constant(random.tensor(DType::I8, scales, Domain::Between(-4.0, 4.0)));
        builder.apply(Dequantize { to: DType::F32, axis, block: 0 }, &[whole, scale, zero]).expect("it fits")
    };
    let (table, wide, narrow, shared) = (weights(&mut builder, &[170, 100], &[170], 0), weights(&mut builder, &[100, 203], &[203], 1), weights(&mut builder, &[130, 203], &[], 0), weights(&mut builder, &[130, 130], &[], 0));
    let ids = builder.input("ids", frit_ir::TensorType::known(DType::I64, &[3]));
    let rows = builder.apply(Gather { axis: 0 }, &[table, ids]).expect("it fits");
    let product = builder.apply(MatMul {}, &[rows, wide]).expect("it fits");
    let turned = builder.apply(Transpose { perm: vec![1, 0] }, &[narrow]).expect("it fits");
    let product = builder.apply(MatMul {}, &[product, turned]).expect("it fits");
    let product = builder.apply(MatMul {}, &[product, shared]).expect("it fits");
    let sum = builder.apply(Add {}, &[shared, shared]).expect("it fits");
    let last = builder.apply(MatMul {}, &[product, sum]).expect("it fits");
    builder.output("last", last);
    let graph = builder.finish();
    let schedule = schedule(&graph, &device(&target())).expect("schedules");
    let constants = |dtype: DType, elems: usize| schedule.constants.iter().filter(|c| c.dtype() == dtype && c.elems() >= elems).count();
    // The table stays as it is; the packed weights are the only large ones of another dtype; nothing is left to every run.
    assert_eq!((constants(DType::I8, 1000), constants(DType::F32, 1000)), (1, 4), "{schedule}");
    assert!(schedule.arena_bytes < 8192, "{schedule}");
    let ids = [Tensor::from_slice(&[3], &[0i64, 169, 77])];
    let expected = eval::run(&graph, &[&ids[0]]).expect("evaluates");
    let tolerance = Tolerance { absolute: 0.0, relative: 1e-4 };
    for vector_bits in [None, Some(256)] {
        assert_eq!(close(&run(&graph, &ids, vector_bits)[0], &expected[0], tolerance), None);
    }
}

#[test]
fn products_of_bytes_are_summed_four_at_a_time() {
    use frit_ir::ops::matmul_integer::MatMulInteger;
    let target = Target { features: vec!["has_avx512f".into(), "has_avx512vnni".into()], vector_bits: 512, vector_registers: 32, ..target() };
    let mut random = Random(11);
    let any = |dtype: DType| if dtype == DType::U8 { Domain::Between(0.0, 256.0) } else { Domain::Between(-129.0, 128.0) };
    // What both are, their zero points and these' shapes, the sum's length, and whether four at a time can be done: rows must begin at
    // multiples of 4, and what is constant must fit a signed byte less its zero point.
    let (u, i) = (DType::U8, DType::I8);
    for (x, x_zero, w, w_zero, depth, summed) in [
        (u, (142.0, vec![]), i, (0.0, vec![37]), 64, true),
        (i, (-5.0, vec![]), i, (0.0, vec![]), 64, true),
        (i, (-128.0, vec![21]), u, (128.0, vec![]), 20, true),
        (u, (255.0, vec![2, 21, 1]), u, (128.0, vec![37]), 4, true),
        (u, (3.0, vec![]), i, (0.0, vec![]), 6, false),
        (u, (3.0, vec![]), u, (0.0, vec![]), 64, false),
    ] {
        let mut builder = Builder::new("bytes");
        let tensor = random.tensor(x, &[2, 21, depth], any(x));
        let number = |dtype: DType, (value, extents): &(f64, Vec<i64>)| {
            let elems = extents.iter().product::<i64>();
            Tensor::from_scalars(dtype, extents, (0..elems).map(|_| Scalar::Float(*value)).collect::<Vec<_>>()).expect("a small tensor")
        };
        let operand = builder.input("x", tensor.ty());
        let weights = builder.constant(random.tensor(w, &[depth, 37], any(w)));
        let (x_zero, w_zero) = (number(x, &x_zero), builder.constant(number(w, &w_zero)));
        let zero = builder.input("zero", x_zero.ty());
        let y = builder.apply(MatMulInteger {}, &[operand, weights, zero, w_zero]).expect("it fits");
        builder.output("y", y);
        let (graph, inputs) = (builder.finish(), [tensor, x_zero]);
        let expected = eval::run(&graph, &inputs.iter().collect::<Vec<_>>()).expect("evaluates");
        let schedule = schedule(&graph, &device(&target)).expect("schedules");
        let dots = schedule.kernels.iter().any(|kernel| kernel.to_string().contains("dot("));
        assert_eq!(dots, summed, "{x} and {w}, {depth} products\n{schedule}");
        for vector_bits in [None, Some(128), Some(512)] {
            assert_eq!(close(&execute(&schedule, &inputs, vector_bits)[0], &expected[0], Tolerance::EXACT), None, "{x} and {w}, {depth} products");
        }
    }
}

#[test]
fn convolutions_of_bytes_are_summed_four_at_a_time() {
    use frit_ir::ops::conv_integer::ConvInteger;
    use frit_ir::ops::{add::Add, cast::Cast, dequantize::Dequantize, max_pool::MaxPool, mul::Mul, padding::Padding, quantize::Quantize};
    let with_dots = Target { features: vec!["has_avx512f".into(), "has_avx512vnni".into()], vector_bits: 512, vector_registers: 32, ..target() };
    let mut random = Random(5);
    let any = |dtype: DType| if dtype == DType::U8 { Domain::Between(0.0, 256.0) } else { Domain::Between(-129.0, 128.0) };
    let (u, i) = (DType::U8, DType::I8);
    // What images and weights are, the images' zero point, the weights' zero points, channels, window, stride, margin, groups, image, and
    // whether four products at a time can be done: weights less their zero points must be signed bytes.
    for (x, x_zero, w, w_zero, channels, window, stride, margin, groups, image, summed) in [
        (u, 131.0, i, vec![0.0], 8, 3, 1, 1, 1, [2, 7, 9], true),
        (i, -3.0, i, vec![0.0; 20], 4, 3, 2, 1, 1, [1, 9, 7], true),
        (u, 0.0, i, vec![0.0], 8, 1, 1, 0, 1, [1, 5, 3], true),
        (i, 0.0, u, vec![128.0], 3, 7, 2, 3, 1, [1, 8, 7], true),
        (u, 255.0, i, vec![0.0], 5, 1, 2, 0, 1, [1, 8, 8], true),
        (u, 7.0, i, vec![0.0], 1, 3, 1, 2, 1, [1, 1, 1], true),
        (u, 7.0, u, vec![3.0], 8, 3, 1, 1, 1, [1, 6, 6], false),
        (i, 7.0, i, vec![0.0], 8, 3, 1, 1, 2, [1, 6, 6], false),
    ] {
        let mut builder = Builder::new("bytes");
        let tensor = random.tensor(x, &[image[0], channels, image[1], image[2]], any(x));
        let operand = builder.input("x", tensor.ty());
        let number = |dtype: DType, values: &[f64]| Tensor::from_scalars(dtype, if values.len() == 1 { &[][..] } else { &[20] }, values.iter().map(|x| Scalar::Float(*x)).collect::<Vec<_>>()).expect("a small tensor");
        let weights = builder.constant(random.tensor(w, &[20, channels / groups, window, window], any(w)));
        let (zero, w_zero) = (builder.constant(number(x, &[x_zero])), builder.constant(number(w, &w_zero)));
        let conv = |size: i64, stride, margin: i64, groups| ConvInteger { strides: vec![stride; 2], dilations: vec![1; 2], before: vec![margin; 2], after: vec![size / 2 * i64::from(margin > 0); 2], groups };
        let sums = builder.apply(conv(window, stride, margin, groups), &[operand, weights, zero, w_zero]).expect("it fits");
        builder.output("sums", sums);
        // Quantised again, as networks do it: two branches that meet, a pool, and one more convolution.
        let scalar = |builder: &mut Builder, x: f64| builder.scalar(DType::F32, x);
        let (step, middle) = (scalar(&mut builder, 2048.0), builder.constant(number(u, &[100.0])));
        let requantise = |builder: &mut Builder, value| builder.apply(Quantize { to: u, axis: 1, block: 0 }, &[value, step, middle]).expect("it fits");
        let back = |builder: &mut Builder, value| builder.apply(Dequantize { to: DType::F32, axis: 1, block: 0 }, &[value, step, middle]).expect("it fits");
        let scales = builder.constant(random.tensor(DType::F32, &[20, 1, 1], Domain::Between(0.5, 2.0)));
        let mut branches = Vec::new();
        for _ in 0..2 {
            let weights = builder.constant(random.tensor(w, &[20, channels / groups, window, window], any(w)));
            let sums = builder.apply(conv(window, stride, margin, groups), &[operand, weights, zero, w_zero]).expect("it fits");
            let sums = builder.apply(Cast { to: DType::F32 }, &[sums]).expect("it fits");
            let value = builder.apply(Mul {}, &[sums, scales]).expect("it fits");
            let value = requantise(&mut builder, value);
            branches.push(back(&mut builder, value));
        }
        let joined = builder.apply(Add {}, &branches).expect("it fits");
        let joined = requantise(&mut builder, joined);
        let pool = MaxPool { extents: vec![3; 2], strides: vec![2; 2], dilations: vec![1; 2], before: vec![1; 2], after: vec![1; 2], padding: Padding::Given, ceil: false, indices: false, reversed: false };
        let pooled = builder.apply(pool, &[joined]).expect("it fits");
        let last = builder.constant(random.tensor(i, &[6, 20, 3, 3], any(i)));
        let nothing = builder.constant(number(i, &[0.0]));
        let y = builder.apply(conv(3, 1, 1, 1), &[pooled, last, middle, nothing]).expect("it fits");
        builder.output("y", y);
        builder.output("joined", joined);
        let (graph, inputs) = (builder.finish(), [tensor]);
        let expected = eval::run(&graph, &inputs.iter().collect::<Vec<_>>()).expect("evaluates");
        let name = format!("{channels} channels of {x} and {w}, windows of {window}, stride {stride}");
        for target in [&with_dots, &target()] {
            let schedule = schedule(&graph, &device(target)).expect("schedules");
            let dots = schedule.kernels.iter().filter(|kernel| kernel.to_string().contains("dot(")).count();
            assert_eq!(dots, if !target.dots() { 0 } else if summed { 4 } else { 1 }, "{name}\n{schedule}");
            for vector_bits in [None, Some(128), Some(512)] {
                for (got, expected) in execute(&schedule, &inputs, vector_bits).iter().zip(&expected) {
                    assert_eq!(close(got, expected, Tolerance::EXACT), None, "{name}\n{schedule}");
                }
            }
        }
    }
}

/// Numbers of kernels that a graph is scheduled to, grouped and not. Both give the same bits, and what the graph gives.
fn counts(name: &str, graph: &Graph, inputs: &[Tensor]) -> (usize, usize) {
    let schedules = [schedule(graph, &device(&target())).expect("schedules"), ungrouped(graph, &device(&target())).expect("schedules")];
    let expected = eval::run(graph, &inputs.iter().collect::<Vec<_>>()).expect("evaluates");
    for vector_bits in [None, Some(128), Some(256), Some(512)] {
        let [grouped, alone] = schedules.each_ref().map(|schedule| execute(schedule, inputs, vector_bits));
        for ((grouped, alone), expected) in grouped.iter().zip(&alone).zip(&expected) {
            let same = grouped.scalars().zip(alone.scalars()).all(|(a, b)| a == b || (a.as_f64().is_nan() && b.as_f64().is_nan()));
            assert!(same, "{name}: grouping changes a number with vectors of {vector_bits:?} bits\n{}", schedules[0]);
            if let Some(why) = close(grouped, expected, Tolerance { absolute: 1e-4, relative: 1e-4 }) {
                panic!("{name} with vectors of {vector_bits:?} bits: {why}\n{}", schedules[0]);
            }
        }
    }
    for (got, expected) in run_by_teams(graph, inputs, 512).iter().zip(&expected) {
        if let Some(why) = close(got, expected, Tolerance { absolute: 1e-4, relative: 1e-4 }) {
            panic!("{name} by teams: {why}");
        }
    }
    let launches = |schedule: &Schedule| schedule.steps.iter().filter(|step| matches!(step, Step::Launch { .. })).count();
    (launches(&schedules[0]), launches(&schedules[1]))
}

/// A graph made by `make` of drawn inputs, and the inputs.
fn made(dtype: DType, shapes: &[&[i64]], domain: Domain, make: impl FnOnce(&Model, &[Handle]) -> Result<(), frit_ir::Error>) -> (Graph, Vec<Tensor>) {
    let model = Model::new("made");
    let handles: Vec<Handle> = shapes.iter().enumerate().map(|(k, shape)| model.input(&format!("x{k}"), dtype, &shape.iter().map(|n| (*n).into()).collect::<Vec<_>>()).expect("an input")).collect();
    make(&model, &handles).expect("a graph");
    let mut random = Random(7);
    (model.finish(), shapes.iter().map(|shape| random.tensor(dtype, shape, domain)).collect())
}

#[test]
fn softmax_is_one_kernel() {
    let shapes: [(&[i64], i64, usize); 11] = [
        (&[3, 7, 33], -1, 1),
        (&[3, 7, 33], 1, 1),
        (&[3, 7, 33], 0, 1),
        (&[2, 5, 7, 9], 1, 1),
        (&[1000, 3], -1, 1),
        (&[40, 1031], -1, 1),
        (&[1, 1000], -1, 1),
        (&[5, 1], -1, 1),
        (&[1, 1], 0, 1),
        (&[3, 0], -1, 1),
        (&[0, 5], -1, 0),
    ];
    for (shape, axis, kernels) in shapes {
        for (dtype, domain) in [(DType::F32, Domain::Ordinary), (DType::F32, Domain::Any), (DType::F64, Domain::Any)] {
            let (graph, inputs) = made(dtype, &[shape], domain, |model, x| model.output("y", &x[0].softmax(axis)?));
            let name = format!("softmax of {dtype} {shape:?} along {axis}");
            let (grouped, _) = counts(&name, &graph, &inputs);
            assert_eq!(grouped, kernels, "{name}");
        }
    }
}

#[test]
fn normalisations_are_one_kernel() {
    for shape in [&[4, 7, 65][..], &[1, 3, 1], &[2, 300], &[130, 4]] {
        let last = &shape[shape.len() - 1..];
        let (graph, inputs) = made(DType::F32, &[shape, last, last], Domain::Any, |model, x| model.output("y", &x[0].layer_norm(-1, 1e-5, &x[1], &x[2])?));
        assert_eq!(counts(&format!("layer norm of {shape:?}"), &graph, &inputs).0, 1, "{shape:?}");
        // What is normalised is used again later, and so are the means.
        let (graph, inputs) = made(DType::F32, &[shape, shape], Domain::Ordinary, |model, x| {
            let sum = (&x[0] + &x[1])?;
            let mean = sum.reduce_mean(&[-1])?;
            let centred = (&sum - &mean)?;
            let scale = (centred.clone() * &centred)?.reduce_mean(&[-1])?;
            model.output("mean", &mean)?;
            model.output("y", &(centred / (scale + 1.0)?)?)?;
            model.output("z", &(sum * 2.0)?)
        });
        let (grouped, alone) = counts(&format!("a residual of {shape:?}"), &graph, &inputs);
        assert!(grouped <= 2 && grouped < alone, "{shape:?}: {grouped} of {alone}");
    }
}

#[test]
fn attention_is_one_kernel() {
    for (heads, rows, columns, depth) in [(3, 37, 29, 16), (12, 64, 64, 24), (1, 5, 200, 8), (2, 1, 33, 4)] {
        let shapes: [&[i64]; 4] = [&[2, heads, rows, depth], &[2, heads, columns, depth], &[2, heads, columns, depth], &[rows, columns]];
        let (graph, inputs) = made(DType::F32, &shapes, Domain::Ordinary, |model, x| {
            let scores = (x[0].matmul(&x[1].transpose(&[0, 1, 3, 2])?)? * 0.25)?;
            let weights = (scores + &x[3])?.softmax(-1)?;
            model.output("y", &weights.matmul(&x[2])?.transpose(&[0, 2, 1, 3])?.reshape(&[2, rows, heads * depth])?)
        });
        let (grouped, alone) = counts(&format!("attention of {shapes:?}"), &graph, &inputs);
        assert!(grouped <= if rows < 8 { 3 } else { 1 }, "{shapes:?}: {grouped} of {alone}");
    }
}

#[test]
fn borders_are_written_by_the_kernel_inside() {
    type Case = (&'static [i64], &'static [i64], &'static [i64], usize);
    let pads: [Case; 9] = [
        (&[1, 3, 9, 7], &[0, 0, 1, 1], &[0, 0, 1, 1], 1),
        (&[2, 3, 9, 7], &[0, 0, 3, 0], &[0, 0, 0, 2], 1),
        (&[1, 70, 5, 5], &[0, 0, 1, 2], &[0, 0, 2, 1], 1),
        (&[3, 4], &[1, 2], &[2, 1], 1),
        (&[5], &[4], &[300], 1),
        (&[20_000], &[3], &[9000], 1),
        (&[2, 600, 17], &[1, 0, 0], &[0, 0, 5], 1),
        (&[1, 1, 1], &[1, 1, 1], &[1, 1, 1], 1),
        (&[2, 0, 3], &[0, 2, 1], &[0, 2, 0], 1),
    ];
    for (shape, before, after, kernels) in pads {
        let (graph, inputs) = made(DType::F32, &[shape], Domain::Any, |model, x| model.output("y", &(&x[0] * 2.0)?.pad(before, after, 3.0)?));
        let name = format!("{shape:?} with {before:?} before and {after:?} after");
        assert_eq!(counts(&name, &graph, &inputs).0, kernels, "{name}");
    }
    // Convolutions of what others use as well.
    let shapes: [&[i64]; 4] = [&[2, 3, 11, 13], &[8, 3, 3, 3], &[8, 8, 3, 3], &[8, 8, 1, 1]];
    let (graph, inputs) = made(DType::F32, &shapes, Domain::Ordinary, |model, x| {
        let first = x[0].conv(&x[1], &[1, 1], &[1, 1])?.relu()?;
        let second = first.conv(&x[2], &[2, 2], &[1, 1])?;
        model.output("y", &second)?;
        model.output("z", &first.conv(&x[3], &[1, 1], &[0, 0])?)
    });
    let (grouped, _) = counts("convolutions", &graph, &inputs);
    assert!(grouped <= 5, "{grouped}");
}

#[test]
fn images_lie_with_their_channels_last() {
    use frit_ir::ops::{add::Add, broadcast::Broadcast, clip::Clip, concat::Concat, convolution::Convolution, max_pool::MaxPool, mul::Mul, padding::Padding, reduce::How, reduce::Reduce, relu::Relu, reshape::Reshape, sigmoid::Sigmoid, slice::Slice, transpose::Transpose};
    use frit_ir::ops::{winograd_input::WinogradInput, winograd_output::WinogradOutput, winograd_weight::WinogradWeight};
    for (batch, [h, w]) in [(1, [11, 13]), (2, [9, 34]), (1, [3, 2])] {
        let mut random = Random(13);
        let mut builder = Builder::new("images");
        let image = random.tensor(DType::F32, &[batch, 3, h, w], Domain::Ordinary);
        let x = builder.input("x", image.ty());
        let mut weights = |b: &mut Builder, extents: &[i64]| b.constant(random.tensor(DType::F32, extents, Domain::Between(-0.2, 0.2)));
        let conv = |stride: i64, margin: i64, groups: i64| Convolution { strides: vec![stride; 2], dilations: Vec::new(), before: vec![margin; 2], after: vec![margin; 2], padding: Padding::Given, groups };
        let node = |b: &mut Builder, op: Op, operands: &[_]| b.apply(op, operands).expect("it fits");
        // From few channels to many, one at a time, and back; what comes in is added, after a gate.
        let filter = weights(&mut builder, &[20, 3, 3, 3]);
        let bias = weights(&mut builder, &[20, 1, 1]);
        let first = node(&mut builder, conv(2, 1, 1).into(), &[x, filter]);
        let first = node(&mut builder, Add {}.into(), &[first, bias]);
        let first = node(&mut builder, Relu {}.into(), &[first]);
        let filter = weights(&mut builder, &[20, 1, 5, 3]);
        let single = node(&mut builder, Convolution { before: vec![2, 1], after: vec![2, 1], ..conv(1, 1, 20) }.into(), &[first, filter]);
        let (low, high) = (builder.scalar(DType::F32, 0.0), builder.scalar(DType::F32, 6.0));
        let single = node(&mut builder, Clip {}.into(), &[single, low, high]);
        let mean = node(&mut builder, Reduce { how: How::Sum, axes: vec![2, 3] }.into(), &[single]);
        let gate = node(&mut builder, Reshape { extents: vec![batch, 20, 1, 1] }.into(), &[mean]);
        let gate = node(&mut builder, Sigmoid {}.into(), &[gate]);
        let gated = node(&mut builder, Mul {}.into(), &[single, gate]);
        let filter = weights(&mut builder, &[20, 20, 1, 1]);
        let block = node(&mut builder, conv(1, 0, 1).into(), &[gated, filter]);
        let block = node(&mut builder, Add {}.into(), &[block, first]);
        // Two branches, one of them pooled, and one by Winograd's algorithm along rows.
        let pool = MaxPool { extents: vec![3; 2], strides: vec![1; 2], dilations: vec![1; 2], before: vec![1; 2], after: vec![1; 2], padding: Padding::Given, ceil: false, indices: false, reversed: false };
        let pooled = node(&mut builder, pool.into(), &[block]);
        let joined = node(&mut builder, Concat { axis: 1 }.into(), &[block, pooled]);
        let filter = Random(17).tensor(DType::F32, &[24, 40, 3, 3], Domain::Between(-0.2, 0.2));
        let filter = Op::from(WinogradWeight { axis: 0, tile: 4 }).def().eval(&[&filter]).expect("evaluates").remove(0);
        let filter = builder.constant(filter);
        let points = node(&mut builder, WinogradInput { axis: 0, tile: 4, taps: 3, before: vec![1, 1], after: vec![1, 1] }.into(), &[joined]);
        let products = node(&mut builder, conv(1, 0, 6).into(), &[points, filter]);
        let rows = (h + 1) / 2;
        let wide = node(&mut builder, WinogradOutput { axis: 0, tile: 4, taps: 3, extent: rows }.into(), &[products]);
        let wide = node(&mut builder, Relu {}.into(), &[wide]);
        // Some channels, each element four times.
        let columns = (w + 1) / 2;
        let some = node(&mut builder, Slice { starts: vec![0, 4, 0, 0], extents: vec![batch, 17, rows, columns], steps: vec![1; 4] }.into(), &[wide]);
        let apart = node(&mut builder, Reshape { extents: vec![batch, 17, rows, 1, columns, 1] }.into(), &[some]);
        let again = node(&mut builder, Broadcast { extents: vec![batch, 17, rows, 2, columns, 2] }.into(), &[apart]);
        let large = node(&mut builder, Reshape { extents: vec![batch, 17, 2 * rows, 2 * columns] }.into(), &[again]);
        let filter = weights(&mut builder, &[18, 17, 3, 3]);
        let large = node(&mut builder, conv(2, 1, 1).into(), &[large, filter]);
        builder.output("large", large);
        // Two of each channel, and a number, whose order of axes is empty.
        let filter = weights(&mut builder, &[48, 1, 3, 3]);
        let twice = node(&mut builder, conv(1, 1, 24).into(), &[wide, filter]);
        let filter = weights(&mut builder, &[18, 48, 1, 1]);
        let twice = node(&mut builder, conv(1, 0, 1).into(), &[twice, filter]);
        builder.output("twice", twice);
        let number = node(&mut builder, Reduce { how: How::Max, axes: vec![0, 1, 2, 3] }.into(), &[wide]);
        let number = node(&mut builder, Reshape { extents: Vec::new() }.into(), &[number]);
        let number = node(&mut builder, Transpose { perm: Vec::new() }.into(), &[number]);
        builder.output("number", number);
        // Channels last anyway, and whoever reads them in the old order.
        let turned = node(&mut builder, Transpose { perm: vec![0, 2, 3, 1] }.into(), &[wide]);
        let doubled = node(&mut builder, Add {}.into(), &[turned, turned]);
        let flat = node(&mut builder, Reshape { extents: vec![batch, 24 * rows * ((w + 1) / 2)] }.into(), &[wide]);
        builder.output("turned", doubled);
        builder.output("flat", flat);
        builder.output("block", pooled);
        let graph = builder.finish();
        counts(&format!("{batch} images of {h}x{w}"), &graph, &[image]);
        let schedule = schedule(&graph, &device(&target())).expect("schedules").to_string();
        let last = format!("f32[{batch},{rows},{},20]", (w + 1) / 2);
        assert!(schedule.contains(&last), "nothing is {last}\n{schedule}");
    }
}

#[test]
fn long_sums_lose_little() {
    use frit_ir::ops::reduce::{How, Reduce};
    // One after the other in columns, and alone; 26,003 is a prime number, which has no parts. A step rounds by 2^-24 at most.
    let cases: [(&[i64], &[usize], i32); 5] = [(&[26_000, 20], &[0], 130 + 200), (&[170, 153, 20], &[0, 1], 170 + 153), (&[26_000, 3], &[0], 130 + 200), (&[2, 160, 162, 40], &[1, 2], 160 + 162), (&[26_003, 20], &[0], 26_003)];
    for (extents, axes, steps) in cases {
        let x = Tensor::from_scalars(DType::F32, extents, vec![Scalar::Float(0.1); extents.iter().product::<i64>() as usize]).expect("a tensor");
        let mut builder = Builder::new("sum");
        let value = builder.input("x", x.ty());
        let sum = builder.apply(Reduce { how: How::Sum, axes: axes.to_vec() }, &[value]).expect("it fits");
        builder.output("sum", sum);
        let graph = builder.finish();
        let exact = f64::from(0.1f32) * axes.iter().map(|axis| extents[*axis]).product::<i64>() as f64;
        for vector_bits in [None, Some(128), Some(512)] {
            let got = run(&graph, std::slice::from_ref(&x), vector_bits).remove(0);
            let off = got.scalars().map(|y| (y.as_f64() / exact - 1.0).abs()).fold(0.0, f64::max);
            assert!(off <= f64::from(steps) * 2f64.powi(-24), "{extents:?} along {axes:?} is off by {off:e}");
        }
    }
}

#[test]
fn teams_multiply_matrices_of_any_shape() {
    // Rows, columns, steps of the sum; is the first operand, or the second one, turned?
    let shapes = [(2, 4, 4, false, false), (5, 33, 7, true, false), (17, 130, 40, false, true), (130, 131, 9, true, true), (40, 70, 100, false, true), (33, 9, 530, false, false)];
    for (rows, columns, steps, first, second) in shapes {
        for dtype in [DType::F32, DType::F64, DType::I32].into_iter().take(if rows == 5 { 3 } else { 1 }) {
            let turned = |turned: bool, a: i64, b: i64| if turned { [2, b, a] } else { [2, a, b] };
            let (a, b) = (turned(first, rows, steps), turned(second, steps, columns));
            let (graph, inputs) = made(dtype, &[&a, &b, &[columns]], Domain::Ordinary, |model, x| {
                let turn = |x: &Handle, turned: bool| if turned { x.transpose(&[0, 2, 1]) } else { Ok(x.clone()) };
                model.output("y", &(turn(&x[0], first)?.matmul(&turn(&x[1], second)?)? + &x[2])?)
            });
            let expected = eval::run(&graph, &inputs.iter().collect::<Vec<_>>()).expect("evaluates");
            // With few points at once tiles are large, with many they are small and the sum is cut to slices.
            for points in [4, 512, 8192] {
                if let Some(why) = close(&run_by_teams(&graph, &inputs, points)[0], &expected[0], Tolerance { absolute: 1e-4, relative: 1e-4 }) {
                    panic!("{dtype} {rows}x{columns}x{steps} for {points} points at once: {why}");
                }
            }
        }
    }
}

#[test]
fn alternatives_compute_the_same_bits() {
    use frit_compiler::schedule::tuning::Tuning;
    use frit_ir::ops::{convolution::Convolution, matmul::MatMul, padding::Padding};
    let mut random = Random(11);
    let mut weights = |builder: &mut Builder, extents: &[i64]| builder.constant(random.tensor(DType::F32, extents, Domain::Ordinary));
    let mut builder = Builder::new("contractions");
    let x = builder.input("x", frit_ir::TensorType::known(DType::F32, &[1, 12, 9, 11]));
    let a = builder.input("a", frit_ir::TensorType::known(DType::F32, &[30, 20]));
    let b = builder.input("b", frit_ir::TensorType::known(DType::F32, &[20, 70]));
    let filter = weights(&mut builder, &[18, 12, 3, 3]);
    let wide = weights(&mut builder, &[70, 90]);
    let same = Convolution { strides: Vec::new(), dilations: Vec::new(), before: vec![1, 1], after: vec![1, 1], padding: Padding::Given, groups: 1 };
    let image = builder.apply(same, &[x, filter]).expect("it fits");
    let product = builder.apply(MatMul {}, &[a, b]).expect("it fits");
    let product = builder.apply(MatMul {}, &[product, wide]).expect("it fits");
    builder.output("image", image);
    builder.output("product", product);
    let graph = builder.finish();
    let inputs: Vec<Tensor> = [&[1, 12, 9, 11][..], &[30, 20], &[20, 70]].iter().map(|extents| random.tensor(DType::F32, extents, Domain::Ordinary)).collect();
    let target = target();
    let planned = |trial: usize| {
        let tuning = Tuning { trial, ..Tuning::default() };
        schedule(&graph, &Device { tuning: Some(&tuning), ..device(&target) }).expect("schedules")
    };
    let first = planned(0);
    assert_eq!(first.trace.trials.len(), 3);
    let expected = execute(&first, &inputs, None);
    let most = first.trace.trials.iter().map(|trial| trial.alternatives.len()).max().expect("trials");
    assert!(most > 2);
    for trial in 1..=most {
        let other = planned(trial);
        assert_eq!(other.trace.trials.iter().map(|trial| &trial.key).collect::<Vec<_>>(), first.trace.trials.iter().map(|trial| &trial.key).collect::<Vec<_>>());
        assert!(other.kernels.iter().zip(&first.kernels).any(|(other, first)| other != first), "alternative {trial} differs nowhere");
        assert!(execute(&other, &inputs, None) == expected, "alternative {trial} computes other bits");
    }
    // What is known is built so, whatever is tried.
    let trial = &first.trace.trials[0];
    let mut known = Tuning { trial: 1, ..Tuning::default() };
    known.kernels.insert(trial.key.clone(), trial.alternatives[1].clone());
    let again: Tuning = known.to_string().parse().expect("a text of its own");
    assert_eq!(again, Tuning { trial: 0, ..known.clone() });
    let other = schedule(&graph, &Device { tuning: Some(&known), ..device(&target) }).expect("schedules");
    assert!(other.kernels[trial.kernel as usize].body == planned(2).kernels[trial.kernel as usize].body);
}
