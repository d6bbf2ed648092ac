//! The `frit` command from outside: its exit status, what it writes, and what it says where something is wrong.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use frit_compiler::lower::target;
use frit_ir::Tensor;
use frit_proto::onnx as wire;
use frit_tests::{data, npz};
use prost::Message;
use serde_json::Value;

/// What a command did.
struct Done {
    status: i32,
    out: String,
    err: String,
}

impl Done {
    fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Self { status: output.status.code().expect("no signal"), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Fails unless the command ended so and said so.
    #[track_caller]
    fn ends(self, status: i32, says: &[&str]) -> Self {
        // Messages are wrapped; their words are compared.
        let said: String = format!("{} {}", self.out, self.err).replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(self.status, status, "{said}");
        for words in says {
            assert!(said.contains(words), "'{words}' is not said in: {said}");
        }
        assert!(!self.out.contains('\x1b') && !self.err.contains('\x1b'), "colours without a terminal: {said}");
        assert!(self.out.lines().chain(self.err.lines()).filter(|line| !line.contains("[possible values") && !line.starts_with("error: invalid value") && !line.starts_with('{')).all(|line| line.chars().count() <= 100), "a line is too long:\n{}{}", self.out, self.err);
        self
    }

    #[track_caller]
    fn json(self) -> Value {
        serde_json::from_str(&self.ends(0, &[]).out).expect("JSON")
    }
}

/// Is there a GPU that Frit can use?
fn has_gpu() -> bool {
    frit_runtime::cuda::device_name().is_ok()
}

/// A folder of one test's own.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        // It is there only if the test was run before.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    fn frit(&self, line: &str) -> Done {
        self.frit_with(line, &[])
    }

    fn frit_with(&self, line: &str, variables: &[(&str, &str)]) -> Done {
        let mut command = Command::new(env!("CARGO_BIN_EXE_frit"));
        command.current_dir(&self.0).args(line.split_whitespace()).env_remove("FRIT_LOG").envs(variables.iter().copied());
        Done::of(command.output().expect("the command starts"))
    }

    fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(&self.0).expect("a folder").map(|entry| entry.expect("a file").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn npz(&self, name: &str) -> Vec<(String, Tensor)> {
        npz::read(&self.0.join(name)).unwrap_or_else(|why| panic!("{why}"))
    }

    /// Copies the digits example's model.
    fn digits(&self) -> &'static str {
        std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/digits/digits.onnx"), self.0.join("digits.onnx")).expect("a copy");
        "digits.onnx"
    }

    /// Makes a model of two nodes: from `x`, f32[n,2], it makes `z`, their double, and `a`, which `op` makes.
    fn pair(&self, op: &str) -> &'static str {
        let node = |op: &str, inputs: &[&str], output: &str| wire::Node { op_type: Some(op.into()), name: Some(format!("the {op}")), input: inputs.iter().map(ToString::to_string).collect(), output: vec![output.into()], ..wire::Node::default() };
        let dim = |value| wire::shape::Dimension { value: Some(value) };
        let shape = wire::Shape { dim: vec![dim(wire::shape::dimension::Value::DimParam("n".into())), dim(wire::shape::dimension::Value::DimValue(2))] };
        let typed = |shape| Some(wire::Type { value: Some(wire::r#type::Value::TensorType(wire::r#type::TensorType { elem_type: Some(1), shape })) });
        let graph = wire::Graph {
            name: Some("pair".into()),
            node: vec![node("Add", &["x", "x"], "z"), node(op, &["x"], "a")],
            input: vec![wire::ValueInfo { name: Some("x".into()), r#type: typed(Some(shape)) }],
            output: ["z", "a"].into_iter().map(|name| wire::ValueInfo { name: Some(name.into()), r#type: None }).collect(),
            ..wire::Graph::default()
        };
        let opset_import = vec![wire::OperatorSetId { domain: None, version: Some(17) }];
        let model = wire::Model { ir_version: Some(8), opset_import, graph: Some(graph), ..wire::Model::default() };
        std::fs::write(self.0.join("pair.onnx"), model.encode_to_vec()).expect("a file");
        "pair.onnx"
    }

    /// Writes an array.
    fn npy(&self, name: &str, descr: &str, shape: &str, data: &[u8]) {
        let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}\n");
        let bytes = [b"\x93NUMPY\x01\x00".as_slice(), &(header.len() as u16).to_le_bytes(), header.as_bytes(), data].concat();
        std::fs::write(self.0.join(name), bytes).expect("a file");
    }

    /// Writes `[[1, -2]]` as an array.
    fn x(&self) {
        self.npy("x.npy", "<f4", "1, 2", &[1f32.to_le_bytes(), (-2f32).to_le_bytes()].concat());
    }
}

fn has_fields(value: &Value, names: &str) {
    for name in names.split_whitespace() {
        assert!(value.get(name).is_some(), "'{name}' is missing: {value}");
    }
}

#[test]
fn wrong_usage_ends_with_2() {
    let folder = Folder::new("usage");
    folder.frit("").ends(2, &["Usage"]);
    folder.frit("juggle model.onnx").ends(2, &["juggle"]);
    folder.frit("run model.onnx --dim n").ends(2, &["NAME=N"]);
    folder.frit("run model.onnx --shape x=1,y").ends(2, &["'y' is not an extent"]);
    folder.frit("run model.onnx --shape x=f99[1]").ends(2, &["'f99' is no dtype"]);
    folder.frit("run model.onnx --device abacus").ends(2, &["possible values: cpu, cuda, eval"]);
    folder.frit("inspect model.onnx --stage ponder").ends(2, &["import, specialise, rewrite, schedule, lower, run"]);
    folder.frit("compile model.onnx -o model.frit --target pdp-11").ends(2, &["the targets are native, x86-64-v2, x86-64-v3, x86-64-v4, aarch64"]);
    folder.frit("--help").ends(0, &["Exit status", "FRIT_LOG"]);
}

#[test]
fn faults_of_models_and_inputs_end_with_1() {
    let folder = Folder::new("faults");
    let model = folder.pair("Relu");
    folder.x();
    folder.npy("wide.npy", "<f4", "1, 3", &[0; 12]);
    folder.npy("ints.npy", "<i8", "1, 2", &[0; 16]);
    folder.frit("run nowhere.onnx").ends(1, &["can't read 'nowhere.onnx'", "help:"]);
    folder.frit(&format!("run {model}")).ends(1, &["dimension 'n' is open", "--dim n=1"]);
    folder.frit(&format!("run {model} --shape x=1,3")).ends(1, &["input 'x' has shape [1, 3]", "the same symbol"]);
    folder.frit(&format!("run {model} --shape z=1,2 --dim n=1")).ends(1, &["--shape says the shape of 'z'", "the inputs are 'x'"]);
    folder.frit(&format!("run {model} --shape x=1,2")).ends(0, &[]);
    folder.frit(&format!("run {model} --shape 0=f32[1,2]")).ends(0, &[]);
    folder.frit(&format!("run {model} --dim m=1")).ends(1, &["no open dimension 'm'"]);
    folder.frit(&format!("run {model} --input y=x.npy")).ends(1, &["the model has no input 'y'", "the inputs are 'x' (f32)"]);
    folder.frit(&format!("run {model} --input x=nowhere.npy")).ends(1, &["can't read 'nowhere.npy'"]);
    folder.frit(&format!("run {model} --input x=ints.npy")).ends(1, &["input 'x' is f32", "i64[1,2] is given"]);
    folder.frit(&format!("run {model} --input x=wide.npy")).ends(1, &["'x'"]);
    if !has_gpu() {
        folder.frit(&format!("run {model} --dim n=1 --device cuda")).ends(1, &["no CUDA device", "--device cpu"]);
    }
    folder.frit(&format!("run {model} --dim n=1 --precision bf16 --device eval")).ends(1, &["the reference interpreter computes as the model says", "--precision"]);
    folder.frit(&format!("run {model} --dim n=1 -o missing/out.npz")).ends(1, &["can't write 'missing/out.npz'"]);
    folder.frit(&format!("compile {model} --dim n=1 -o missing/pair.frit")).ends(1, &["can't write 'missing/pair.frit'"]);
    folder.frit(&format!("compile {model} --dim n=1 -o .")).ends(1, &["can't write '.'"]);
    assert_eq!(folder.files(), ["ints.npy", "pair.onnx", "wide.npy", "x.npy"]);
}

#[test]
fn a_precision_is_asked_for_when_a_model_is_compiled() {
    let folder = Folder::new("precision");
    let model = folder.pair("Relu");
    folder.frit(&format!("run {model} --dim n=1 --precision bf16")).ends(0, &["f32[1,2]"]);
    folder.frit(&format!("run {model} --dim n=1 --precision f8")).ends(2, &["f32, bf16"]);
    folder.frit(&format!("verify {model} --dim n=1 --precision bf16")).ends(0, &["mean error", "fits"]);
    folder.frit(&format!("bench {model} --dim n=1 --runs 1 --precision bf16 --compare f32")).ends(0, &["f32"]);
    folder.frit(&format!("bench {model} --dim n=1 --runs 1 --compare f32")).ends(1, &["compared with itself", "--precision"]);
    folder.frit(&format!("compile {model} --dim n=1 --precision bf16 -o pair.frit")).ends(0, &["wrote 'pair.frit'"]);
    folder.frit("run pair.frit").ends(0, &["f32[1,2]"]);
    folder.frit("run pair.frit --precision bf16").ends(1, &["the precision that it was compiled for"]);
}

#[test]
fn artifacts_for_gpus_are_made_and_shown_without_one() {
    let folder = Folder::new("gpu");
    let model = folder.pair("Relu");
    folder.frit(&format!("compile {model} --dim n=1 -o pair.frit --target cuda")).ends(0, &["wrote 'pair.frit'"]);
    folder.frit("inspect pair.frit").ends(0, &["nvptx64-nvidia-cuda"]);
    folder.frit(&format!("compile {model} --dim n=1 -o cpu.frit")).ends(0, &[]);
    folder.frit("bench cpu.frit --device cuda").ends(1, &["was compiled for the CPU", "--target cuda"]);
    if !has_gpu() {
        folder.frit("run pair.frit").ends(1, &["no CUDA device", "--device cpu"]);
    }
}

#[test]
fn outputs_keep_their_order_on_every_device() {
    let folder = Folder::new("order");
    let model = folder.pair("Relu");
    folder.x();
    for device in ["cpu", "eval", "cuda"].into_iter().filter(|device| *device != "cuda" || has_gpu()) {
        folder.frit(&format!("run {model} --input 0=x.npy --device {device} -o {device}.npz")).ends(0, &["wrote 2 outputs", "z f32[1,2] -4 -1 2 2 -4", "peak memory"]);
        let outputs = folder.npz(&format!("{device}.npz"));
        let names: Vec<&str> = outputs.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["z", "a"]);
        assert_eq!(outputs[0].1.as_slice::<f32>(), [2.0, -4.0]);
        assert_eq!(outputs[1].1.as_slice::<f32>(), [1.0, 0.0]);
    }
    folder.frit(&format!("verify {model} --inputs cpu.npz")).ends(1, &["no input 'z'"]);
}

#[test]
fn what_has_no_kernel_is_named() {
    let folder = Folder::new("interpreted");
    let model = folder.pair("NonZero");
    folder.x();
    folder.frit(&format!("run {model} --input x=x.npy")).ends(0, &["warning: 1 of 3 steps have no kernel", "the NonZero"]);
    folder.frit(&format!("run {model} --input x=x.npy --strict")).ends(1, &["no kernel does this op", "the NonZero", "leave --strict out"]);
    let plan = folder.frit(&format!("inspect {model} --dim n=1 --json")).json();
    let placements: Vec<&str> = plan["compiled"]["steps"].as_array().expect("steps").iter().filter_map(|step| step["placement"].as_str()).collect();
    assert_eq!(placements, ["compiled", "interpreted", "copied"]);
}

#[test]
fn reports_are_json() {
    let folder = Folder::new("json");
    let model = folder.digits();
    let report = folder.frit(&format!("run {model} --json")).json();
    has_fields(&report, "ready_ms run_ms peak_rss_bytes outputs");
    has_fields(&report["outputs"][0], "name type min mean max");
    let report = folder.frit(&format!("inspect {model} --json")).json();
    has_fields(&report, "model inputs outputs nodes ops parameters parameter_bytes");
    has_fields(&report["compiled"], "kernels arena_bytes constant_bytes code_bytes target features steps");
    let report = folder.frit(&format!("verify {model} --seeds 2 --json")).json();
    assert_eq!(report["fits"], true);
    assert_eq!(report["outputs"].as_array().map(Vec::len), Some(2));
    folder.frit(&format!("bench {model} --runs 3 --threads 1 --json bench.json")).ends(0, &["median", "GFLOP/s", "peak memory"]);
    let report: Value = serde_json::from_slice(&std::fs::read(folder.0.join("bench.json")).expect("a file")).expect("JSON");
    has_fields(&report, "model device threads median_ms min_ms runs compile_ms load_ms arena_bytes constant_bytes peak_gflops peak_rss_bytes kernels");
    has_fields(&report["kernels"][0], "name source_nodes rules ms calls flops bytes gflops gbps intensity of_peak of_roof limit placement");
    assert_eq!(report["roofs"].as_array().map(Vec::len), Some(4));
    assert_eq!((report["runs"].as_u64(), report["threads"].as_u64()), (Some(3), Some(1)));
    if cfg!(target_os = "linux") {
        assert!(report["peak_rss_bytes"].as_u64().is_some_and(|bytes| (1 << 20..1 << 32).contains(&bytes)), "{report}");
    }
}

#[test]
fn stages_are_shown() {
    let folder = Folder::new("stages");
    let model = folder.digits();
    for (stage, says) in [("import", "graph \"digits\""), ("specialise", "graph"), ("rewrite", "graph"), ("schedule", "kernel k"), ("lower", "program k"), ("run", "executable \"digits\" for")] {
        let done = folder.frit(&format!("inspect {model} --stage {stage}"));
        assert!(done.status == 0 && done.out.contains(says), "{}", done.err);
    }
    folder.frit(&format!("inspect {model}")).ends(0, &["4 compiled", "probability"]);
    folder.frit(&format!("inspect {model} --dot graph.dot")).ends(0, &["wrote 'graph.dot'"]);
    let log = folder.frit_with(&format!("run {model}"), &[("FRIT_LOG", "debug")]);
    assert!(log.err.contains("schedule") && log.err.contains("session") && !log.err.contains("cranelift") && !log.err.contains('\x1b'), "{}", log.err);
}

#[test]
fn artifacts_run_as_their_models_do() {
    let folder = Folder::new("artifacts");
    let model = folder.digits();
    folder.frit(&format!("run {model} -o model.npz")).ends(0, &["inputs are drawn at random (seed 0)"]);
    let expected = folder.npz("model.npz");
    for name in target::names() {
        let on_gpu = name == target::CUDA;
        let runs = if on_gpu { has_gpu() } else { frit::target::check(&target::named(name).expect("a target")).is_ok() };
        folder.frit(&format!("compile {model} --target {name} -o digits.frit")).ends(0, &["wrote 'digits.frit'"]);
        folder.frit("inspect digits.frit").ends(0, if on_gpu { &["7 compiled", "nvptx64"] } else { &["4 compiled"] });
        assert!(folder.frit("inspect digits.frit --stage run").out.starts_with("executable \"digits\" for "));
        if !runs {
            let refused = folder.frit("run digits.frit").ends(1, if on_gpu { &["no CUDA device", "--device cpu"] } else { &["this machine", "help: compile the model on this machine"] });
            assert_eq!(refused.err.matches("frit::").count(), 1, "{}", refused.err);
            continue;
        }
        folder.frit("run digits.frit -o artifact.npz").ends(0, &[]);
        let got = folder.npz("artifact.npz");
        assert_eq!(got.len(), 1);
        let (a, b) = (got[0].1.as_slice::<f32>(), expected[0].1.as_slice::<f32>());
        assert!(got[0].0 == expected[0].0 && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-5 * b.abs().max(1e-3)), "{name}: {a:?}, not {b:?}");
        assert!(name != target::NATIVE || a == b);
    }
    let architecture = if cfg!(target_arch = "x86_64") { "aarch64" } else { "x86-64-v2" };
    folder.frit(&format!("compile {model} --target {architecture} -o other.frit")).ends(0, &[]);
    folder.frit("run other.frit").ends(1, &["the code is for '"]);

    let whole = std::fs::read(folder.0.join("digits.frit")).expect("a file");
    std::fs::write(folder.0.join("part.frit"), &whole[..whole.len() / 2]).expect("a file");
    for command in ["run", "bench", "inspect", "verify"] {
        folder.frit(&format!("{command} part.frit")).ends(1, &["the artifact is cut off"]);
    }
    folder.frit("compile digits.frit -o again.frit").ends(1, &["is an artifact already"]);
    folder.frit("run digits.frit --dim n=1").ends(1, &["can't be bound"]);
    folder.frit("run digits.frit --device eval").ends(1, &["no graph to interpret"]);
    folder.frit("inspect digits.frit --stage lower").ends(1, &["an artifact holds no graph"]);
}

#[test]
fn kernels_are_explained() {
    let folder = Folder::new("explained");
    let model = folder.digits();
    let explained = folder.frit(&format!("explain {model} --json")).json();
    let kernels = explained["kernels"].as_array().expect("kernels");
    assert!(kernels.len() > 3);
    kernels.iter().for_each(|kernel| has_fields(kernel, "name source_nodes rules before_ns after_ns"));
    folder.frit(&format!("explain {model} --kernel conv2")).ends(0, &["from Conv 'conv2'"]);
    folder.frit(&format!("explain {model} --kernel nowhere")).ends(1, &["no kernel and no source node"]);
    folder.frit(&format!("run {model} --without-rule nosuch")).ends(1, &["there is no rule 'nosuch'"]);
    for allowed in ["--numerics exact", "--numerics finite", "--rule-limit 0", "--without-rule merge-linear"] {
        folder.frit(&format!("run {model} {allowed}")).ends(0, &[]);
    }
    folder.frit(&format!("compile {model} -o digits.frit")).ends(0, &[]);
    folder.frit("run digits.frit --numerics exact").ends(1, &["can't be rewritten"]);
}

#[test]
fn machines_are_measured_once() {
    let folder = Folder::new("machine");
    let kept = folder.0.join("kept");
    let variables = [("FRIT_CACHE", "kept")];
    let first = folder.frit_with("machine --json", &variables).json();
    has_fields(&first, "measured default kept");
    assert_eq!(folder.frit_with("machine --json", &variables).json(), first, "what was measured is kept");
    assert_eq!(std::fs::read_dir(&kept).expect("a folder").count(), 1, "one table, and no part of one");
    let rate = |name: &str| first["measured"][name].as_f64().expect("a number");
    assert!(rate("contraction") > rate("elementwise") && rate("l1-bandwidth") > rate("memory-bandwidth"), "{first}");
    let model = folder.digits();
    folder.frit_with(&format!("run {model} --machine measured"), &variables).ends(0, &[]);
    let file = first["kept"].as_str().expect("a path").to_owned();
    folder.frit(&format!("run {model} --machine {file}")).ends(0, &[]);
    folder.frit(&format!("run {model} --machine nowhere.txt")).ends(1, &["can't read 'nowhere.txt'", "frit machine"]);
    std::fs::write(folder.0.join(&file), "launch -3\n").expect("writes");
    folder.frit_with(&format!("run {model} --machine measured"), &variables).ends(1, &["'launch -3' is not a name and a number above 0", "frit machine --again"]);
    folder.frit_with("machine --again", &variables).ends(0, &["contraction", "--machine measured"]);
    folder.frit_with(&format!("run {model} --machine measured"), &variables).ends(0, &[]);
}

#[test]
fn tuning_is_kept_and_never_changes_results() {
    let folder = Folder::new("tuning");
    let model = folder.digits();
    let cache = folder.0.join("cache").display().to_string();
    let variables = [("FRIT_CACHE", cache.as_str())];
    folder.frit(&format!("compile {model} -o plain.frit --numerics reassociating")).ends(0, &[]);
    let first = folder.frit_with(&format!("compile {model} -o tuned.frit --tune --numerics reassociating"), &variables).ends(0, &["tuned in"]);
    assert!(!first.err.contains(" 0 were measured"), "{}", first.err);
    folder.frit_with(&format!("compile {model} -o again.frit --tune --numerics reassociating"), &variables).ends(0, &[" 0 were measured"]);
    let read = |name: &str| std::fs::read(folder.0.join(name)).expect("an artifact");
    assert!(read("tuned.frit") == read("again.frit"), "what is kept makes the same artifact");
    for name in ["plain", "tuned"] {
        folder.frit(&format!("run {name}.frit -o {name}.npz")).ends(0, &[]);
    }
    assert_eq!(folder.npz("plain.npz"), folder.npz("tuned.npz"));
    let kept = std::fs::read_dir(&cache).expect("the cache").next().expect("a file").expect("a file").path();
    std::fs::write(&kept, "nonsense").expect("a file to write to");
    folder.frit_with(&format!("compile {model} -o broken.frit --tune"), &variables).ends(1, &["is damaged; remove it"]);
    folder.frit(&format!("compile {model} -o other.frit --tune --target aarch64")).ends(1, &["tuning measures"]);
}

#[test]
fn kernels_are_proved() {
    let folder = Folder::new("proved");
    std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/exports/bert.torch-script-13.onnx"), folder.0.join("bert.onnx")).expect("a copy");
    let said = ["proof, checked, of", "gelu (reassociating), at '/Mul_2'", "= gelu[tanh=false](/Add_8)", "transpose[perm=[0, 1, 3, 2]](transpose[perm=[0, 2, 3, 1]](/Reshape_1))"];
    let proved = folder.frit("explain bert.onnx --kernel k --proof").ends(0, &said);
    assert!(!proved.out.contains("proof: none"), "{}", proved.out);
    folder.frit("explain bert.onnx --kernel k --proof --rule-limit 0").ends(0, &["proof: no rule changed its source nodes"]);
    folder.frit("explain bert.onnx --proof").ends(2, &["--kernel"]);
    let explained: Value = serde_json::from_str(&folder.frit("explain bert.onnx --kernel k --proof --json").out).expect("JSON");
    let steps = explained["kernels"][0]["proof"].as_array().expect("steps");
    steps.iter().for_each(|step| has_fields(step, "rule backward at before after"));
    // A rule comes after those that it builds on.
    let at = |rule: &str| steps.iter().position(|step| step["rule"] == rule);
    assert!(at("rms-norm") < at("layer-norm") && at("layer-norm") < at("layer-norm-shift") && at("div-constant") < at("gelu") && at("rms-norm").is_some(), "{steps:?}");
}

#[test]
fn the_page_stands_alone() {
    let folder = Folder::new("page");
    let model = folder.digits();
    folder.frit(&format!("inspect {model} --html page.html")).ends(0, &["page.html"]);
    let page = std::fs::read_to_string(folder.0.join("page.html")).expect("a page");
    assert!(page.contains("conv_add_relu") && !page.contains("/*DATA*/"));
    // Nothing is fetched, and no name ends the script early.
    assert!(!page.contains("src=") && !page.contains("href=") && page.matches("</script>").count() == 2);
    folder.frit(&format!("inspect {model} --html nowhere/page.html")).ends(1, &["can't write"]);
}

#[test]
fn benchmarks_compare_programs() {
    let folder = Folder::new("compare");
    let model = folder.digits();
    let report = folder.frit(&format!("bench {model} --threads 2 --runs 7 --compare unfused --without-rule merge-linear --json -")).json();
    let beside = report["beside"].as_array().expect("programs");
    assert_eq!(beside.iter().map(|other| other["name"].as_str().expect("a name")).collect::<Vec<_>>(), ["unfused", "all rules"]);
    for other in beside {
        has_fields(other, "name median_ms min_ms runs times off kernels");
        assert_eq!(other["runs"], 7);
    }
    let count = |pairs: &Value, which: &str| pairs.as_array().expect("pairs").iter().flat_map(|pair| pair[which].as_array().expect("kernels")).count();
    // Each step is in one pair, and without fusion no kernel does two source nodes' work.
    let unfused = &beside[0]["kernels"];
    assert_eq!(count(unfused, "kernels"), report["kernels"].as_array().expect("kernels").len());
    assert!(count(unfused, "other_kernels") > count(unfused, "kernels"), "{unfused}");
    assert!(unfused.as_array().is_some_and(|pairs| pairs.iter().any(|pair| pair["kernels"].as_array().map(Vec::len) < pair["source_nodes"].as_array().map(Vec::len))), "{unfused}");
    assert_eq!(count(&beside[1]["kernels"], "kernels"), count(unfused, "kernels"));
    folder.frit(&format!("bench {model} --runs 2 --compare unfused")).ends(0, &["of roof", "beside unfused", "steps, unfused", "in turn, on the same inputs", "GFLOP/s of"]);
    folder.frit(&format!("bench {model} --without-rule nosuch")).ends(1, &["there is no rule 'nosuch'"]);
    folder.frit(&format!("bench {model} --compare yesterday")).ends(2, &["unfused"]);
    folder.frit(&format!("compile {model} -o digits.frit")).ends(0, &[]);
    folder.frit("bench digits.frit --compare unfused").ends(1, &["an artifact can't be compiled in another way"]);
    folder.frit("bench digits.frit --against onnxruntime").ends(1, &["other engines can't run an artifact"]);
}

#[test]
fn benchmarks_run_other_engines_in_turn() {
    let folder = Folder::new("against");
    let model = folder.digits();
    let python = data::folder().unwrap_or_else(|why| panic!("{why}")).join("python");
    let python = python.to_str().expect("UTF-8");
    // A module where the user happens to be does not stand in for one of Python's own.
    std::fs::write(folder.0.join("json.py"), "raise Exception('not this one')").expect("a file");
    let report = folder.frit_with(&format!("bench {model} --threads 1 --runs 6 --against onnxruntime --json -"), &[("FRIT_PYTHON", python)]).json();
    let engine = &report["beside"][0];
    assert!(engine["name"].as_str().is_some_and(|name| name.starts_with("onnxruntime ")) && engine["runs"] == 6, "{engine}");
    assert!(engine["off"].as_f64().is_some_and(|off| off < 1e-5) && engine["median_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{engine}");
    folder.frit_with(&format!("bench {model} --runs 2 --against onnxruntime"), &[("FRIT_PYTHON", python)]).ends(0, &["onnxruntime", "times frit's", "outputs off by"]);
    folder.frit_with(&format!("bench {model} --against onnxruntime"), &[("FRIT_PYTHON", "nowhere")]).ends(1, &["can't start 'nowhere'", "pip install numpy onnxruntime", "FRIT_PYTHON"]);
    folder.frit(&format!("bench {model} --against abacus")).ends(2, &["onnxruntime, openvino"]);

    // Packages that are not there, don't take the model, or compute something else.
    std::fs::create_dir(folder.0.join("stubs")).expect("a folder");
    std::fs::write(folder.0.join("stubs/openvino.py"), "raise ImportError('no such luck')").expect("a file");
    let stub = |run: &str| {
        let text = format!("import numpy\nSessionOptions = type('SessionOptions', (), {{}})\ndef set_default_logger_severity(level): pass\nclass InferenceSession:\n    def __init__(self, *_, **__): pass\n    def run(self, names, feed): {run}\n");
        std::fs::write(folder.0.join("stubs/onnxruntime.py"), text).expect("a file");
    };
    let stubs = folder.0.join("stubs");
    let variables = [("FRIT_PYTHON", python), ("PYTHONPATH", stubs.to_str().expect("UTF-8")), ("PYTHONDONTWRITEBYTECODE", "1")];
    folder.frit_with(&format!("bench {model} --against openvino"), &variables).ends(1, &["openvino can't be timed", "no such luck", "pip install numpy openvino"]);
    stub("return [numpy.full((1, 10), 0.5, numpy.float32)]");
    folder.frit_with(&format!("bench {model} --against onnxruntime"), &variables).ends(1, &["output 'probability' of frit and of 'onnxruntime '", "differ by", "--inputs"]);
    stub("raise ValueError('not this model')");
    folder.frit_with(&format!("bench {model} --against onnxruntime"), &variables).ends(1, &["onnxruntime does not run the model: ValueError: not this model"]);
    stub("return []");
    folder.frit_with(&format!("bench {model} --against onnxruntime"), &variables).ends(1, &["0 outputs instead of 1"]);
}

#[test]
fn traces_are_chromes() {
    let folder = Folder::new("trace");
    let model = folder.digits();
    folder.frit(&format!("bench {model} --threads 3 --runs 2 --trace trace.json")).ends(0, &["wrote 'trace.json'"]);
    let trace: Value = serde_json::from_slice(&std::fs::read(folder.0.join("trace.json")).expect("a file")).expect("JSON");
    let events = trace["traceEvents"].as_array().expect("events");
    let named: Vec<&str> = events.iter().filter(|event| event["name"] == "thread_name").filter_map(|event| event["args"]["name"].as_str()).collect();
    assert_eq!(named, ["caller", "thread 1", "thread 2"]);
    let slices: Vec<&Value> = events.iter().filter(|event| event["ph"] == "X").collect();
    let kernels: Vec<&&Value> = slices.iter().filter(|event| event["cat"] == "compiled").collect();
    assert_eq!(kernels.len() % 3, 0);
    assert!(kernels.len() >= 9 && kernels.iter().any(|event| event["args"]["flops"].as_u64() > Some(0)), "{trace:#}");
    kernels.iter().for_each(|event| has_fields(&event["args"], "source_nodes rules flops bytes gflops gbps"));
    // On each track slices lie inside each other or apart; Chrome's tracing draws nothing else right.
    for thread in 0..3 {
        let mut ends: Vec<f64> = Vec::new();
        for slice in slices.iter().filter(|event| event["tid"] == thread) {
            let (start, length) = (slice["ts"].as_f64().expect("a time"), slice["dur"].as_f64().expect("a time"));
            assert!(start >= 0.0 && length >= 0.0);
            if slice["cat"] == "points" {
                ends.push(start + length);
                let inside = kernels.iter().filter(|kernel| kernel["name"] == slice["name"]).any(|kernel| {
                    let (begin, whole) = (kernel["ts"].as_f64().expect("a time"), kernel["dur"].as_f64().expect("a time"));
                    begin <= start + 1e-3 && start + length <= begin + whole + 1e-3
                });
                assert!(inside, "{slice}");
            }
        }
        assert!(ends.windows(2).all(|pair| pair[0] <= pair[1] + 1e-3));
    }
    folder.frit(&format!("bench {model} --runs 2 --trace nowhere/trace.json")).ends(1, &["can't write"]);
}

#[test]
fn the_roofline_stands_alone() {
    let folder = Folder::new("roofline");
    let model = folder.digits();
    // Names are text, not markup.
    std::fs::rename(folder.0.join(model), folder.0.join("d<i>gits.onnx")).expect("a name");
    folder.frit("bench d<i>gits.onnx --threads 1 --runs 2 --html page.html --json bench.json").ends(0, &["wrote 'page.html'"]);
    let page = std::fs::read_to_string(folder.0.join("page.html")).expect("a page");
    assert!(page.contains("d&lt;i&gt;gits.onnx") && !page.contains("<i>") && !page.contains("<!--"), "{page}");
    // Nothing is fetched, nothing is run.
    assert!(!page.contains("src=") && !page.contains("<script") && !page.contains("url(") && page.matches("href=").count() == page.matches("href=\"#s").count());
    let report: Value = serde_json::from_slice(&std::fs::read(folder.0.join("bench.json")).expect("a file")).expect("JSON");
    let kernels = report["kernels"].as_array().expect("kernels");
    let dots = kernels.iter().filter(|kernel| kernel["flops"].as_u64() > Some(0)).count();
    assert_eq!((page.matches("<circle").count(), page.matches("<tr id=").count()), (dots, kernels.len()));
    for says in ["GFLOP/s", "L1 ", "memory ", "convolution", "matrix product", "conv2"] {
        assert!(page.contains(says), "{says}");
    }
    folder.frit("bench d<i>gits.onnx --runs 2 --html nowhere/page.html").ends(1, &["can't write"]);
}
