//! The documents say rightly which ops of a format are one op here and which are made of several: what importers apply on behalf of each source
//! node is counted, in every model that the tests have.
//!
//! An op is *expanded* if its nodes usually are made of several ops, else it is *supported* as one, or as none. What only brings operands in order
//! ([`ORDERING`]) is not counted, nor is what is folded.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use frit_compiler::import::{self, Family, Known};
use frit_compiler::specialise::Binding;
use frit_ir::build::APPLIED;
use frit_tests::golden::{blessing, home};
use frit_tests::node_cases::cases;
use frit_tests::{data, npz};
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span};

/// Ops that bring operands in order: they change where elements lie or how wide they are, and not which there are.
const ORDERING: &[&str] = &["bitcast", "broadcast", "cast", "expand_to", "flatten", "reshape", "reshape_to", "shape_of", "size_of", "squeeze", "transpose", "unsqueeze"];

/// Ops that run graphs: what is in these is applied on their behalf.
const GRAPHS: &[&str] = &["Case", "If", "Loop", "Scan", "StatelessCase", "StatelessIf", "StatelessWhile", "While", "IF", "WHILE"];

/// For each source node, by its op and where it lies, the ops that were applied on its behalf.
type Nodes = HashMap<(String, u64), Vec<String>>;

/// Collects what builders say.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Nodes>>);

/// What one event says.
#[derive(Default)]
struct Said {
    op: String,
    source: String,
    at: u64,
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "op" => self.op = value.to_owned(),
            "source" => self.source = value.to_owned(),
            _ => {}
        }
    }
    fn record_u64(&mut self, _: &Field, value: u64) {
        self.at = value;
    }
    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == APPLIED
    }
    fn event(&self, event: &Event<'_>) {
        let mut said = Said::default();
        event.record(&mut said);
        let mut nodes = self.0.lock().expect("no panic while it was held");
        let applied = nodes.entry((said.source, said.at)).or_default();
        if !said.op.is_empty() && !ORDERING.contains(&said.op.as_str()) {
            applied.push(said.op);
        }
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// For each source op the ops that are applied for its nodes in the usual case: as many as for most of them, those apart for which there are none.
type Usual = BTreeMap<String, Vec<String>>;

/// A model, what is known of its inputs, and which of its signatures is meant.
type Model = (PathBuf, Binding, Option<String>);

/// Imports models and notes what their nodes take, by what the document calls their ops, if it is known. What can't be imported counts as far as it goes.
fn usual(models: &[Model], name: &dyn Fn(&str) -> Option<String>) -> Usual {
    let mut all: BTreeMap<String, BTreeMap<usize, (usize, Vec<String>)>> = BTreeMap::new();
    for (path, binding, signature) in models {
        let collector = Collector::default();
        let _ = tracing::subscriber::with_default(collector.clone(), || import::load(path, binding, signature.as_deref()));
        let nodes = std::mem::take(&mut *collector.0.lock().expect("no panic while it was held"));
        for ((source, _), applied) in nodes.into_iter().collect::<BTreeMap<_, _>>() {
            if let Some(name) = name(&source) {
                all.entry(name).or_default().entry(applied.len()).or_insert((0, applied)).0 += 1;
            }
        }
    }
    let most = |(count, (nodes, _)): &(&usize, &(usize, Vec<String>))| (**count > 0, *nodes, std::cmp::Reverse(**count));
    all.into_iter().filter_map(|(name, counts)| Some((name, counts.iter().max_by_key(most)?.1.1.clone()))).collect()
}

fn list(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())).map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

/// The models of a folder of `frameworks/`, and of the exports those whose names end so.
fn models(folder: &str, ends: &[&str]) -> Vec<Model> {
    let mut models = Vec::new();
    for oracle in list(&home().join("frameworks").join(folder)).into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "npz")) {
        let tensors = npz::read(&oracle).expect("an oracle");
        let part = |prefix: &str| tensors.iter().filter_map(|(name, tensor)| Some((name.strip_prefix(prefix)?.to_owned(), tensor.clone()))).collect::<Vec<_>>();
        let binding = Binding {
            dims: part("dim:").iter().map(|(name, tensor)| (name.clone(), tensor.get(0).as_int() as i64)).collect(),
            shapes: part("in:").iter().map(|(name, tensor)| (name.clone(), tensor.extents().to_vec())).collect(),
            dtypes: part("in:").iter().map(|(name, tensor)| (name.clone(), tensor.dtype())).collect(),
        };
        let stem = oracle.file_stem().expect("a name").to_string_lossy().into_owned();
        let (name, signature) = stem.split_once('@').map_or((stem.as_str(), None), |(name, signature)| (name, Some(signature.to_owned())));
        models.push((oracle.with_file_name(name), binding, signature));
    }
    let exports = list(&home().join("exports")).into_iter().filter(|path| ends.iter().any(|end| path.to_string_lossy().ends_with(end)));
    models.extend(exports.map(|path| (path, Binding::default(), None)));
    models
}

/// What is wrong with a format's document, and the ops that nothing is known of.
fn complaints(known: &Known, usual: &Usual) -> (Vec<String>, Vec<String>) {
    let (mut complaints, mut unseen) = (Vec::new(), Vec::new());
    for Family { kind, own, expanded } in &known.families {
        for (name, is_own) in own.iter().map(|name| (name, true)).chain(expanded.iter().map(|name| (name, false))) {
            match usual.get(*name) {
                _ if GRAPHS.contains(name) => {}
                Some(applied) if is_own && applied.len() > 1 => complaints.push(format!("{kind}: {name} is listed as one op, but takes {}", applied.join(", "))),
                Some(applied) if !is_own && applied.len() == 1 => complaints.push(format!("{kind}: {name} is listed as made of several ops, but takes {}", applied[0])),
                Some(applied) if is_own || !applied.is_empty() => {}
                _ => unseen.push(format!("{kind}: {name}")),
            }
        }
    }
    let supported: Vec<&str> = known.families.iter().flat_map(|family| family.own.iter().chain(&family.expanded)).copied().collect();
    let contradictions = known.refused.iter().filter(|(_, (name, ..))| supported.contains(name));
    complaints.extend(contradictions.map(|(what, (name, ..))| format!("{what} {name} is listed as supported and as not supported")));
    (complaints, unseen)
}

/// Everything that is known, by format.
fn formats() -> Vec<(&'static str, Known, Usual)> {
    let cases = cases(&data::folder().expect("the data").join("node")).expect("the node tests");
    let mut onnx: Vec<Model> = cases.into_iter().map(|case| (case.folder.join("model.onnx"), Binding::default(), None)).collect();
    onnx.extend(models("public", &[".onnx"]).into_iter().filter(|(path, ..)| path.extension().is_some_and(|end| end == "onnx")));
    let known = import::pytorch::known();
    let overloads: Vec<&str> = known.families.iter().flat_map(|family| family.own.iter().chain(&family.expanded)).copied().filter(|name| name.contains('.')).collect();
    let pytorch = [models("pytorch", &[".pt2"]), models("torchscript", &[".pt"])].concat();
    let same = |source: &str| Some(source.to_owned());
    vec![
        ("onnx", import::onnx::known(), usual(&onnx, &same)),
        ("tensorflow", import::tensorflow::known(), usual(&models("tensorflow", &[".pb"]), &same)),
        ("tflite", import::tflite::known(), usual(&models("tflite", &[".tflite"]), &same)),
        ("keras", import::keras::known(), usual(&models("keras", &[]), &same)),
        ("pytorch", known, usual(&pytorch, &|source| operator(source, &overloads))),
    ]
}

/// The name of one of PyTorch's operators in the document: `aten.max.dim` in exported programs is `max.dim` if there is such a row, else `max`;
/// `aten::add` in TorchScript is `add`, if no overload of it has a row.
fn operator(source: &str, overloads: &[&str]) -> Option<String> {
    let apart = |name: &str| overloads.iter().any(|overload| overload.split_once('.').is_some_and(|(known, _)| known == name));
    if let Some(name) = source.strip_prefix("aten::") {
        return (!apart(name)).then(|| name.to_owned());
    }
    let name = source.strip_prefix("aten.").map_or_else(|| source.replacen('.', "::", 1), str::to_owned);
    let (plain, _) = name.split_once('.').unwrap_or((&name, ""));
    Some(if overloads.contains(&name.as_str()) { name } else { plain.to_owned() })
}

#[test]
fn ops_are_listed_as_what_they_are() {
    let path = home().join("ops_unseen.txt");
    let mut all = Vec::new();
    let mut text = "# Ops in documents that no model of the tests has, so that nothing says whether they are listed as what they are. Written by\n# BLESS=1 cargo test --release -p frit-tests --test classes\n".to_owned();
    for (format, known, usual) in formats() {
        let (complaints, unseen) = complaints(&known, &usual);
        all.extend(complaints.into_iter().map(|complaint| format!("{format}: {complaint}")));
        text.extend(unseen.iter().map(|op| format!("{format}: {op}\n")));
    }
    assert!(all.is_empty(), "{} complaints:\n{}", all.len(), all.join("\n"));
    if blessing() {
        std::fs::write(&path, &text).expect("the list can be written");
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), text, "tests/ops_unseen.txt is stale");
}

#[test]
fn an_op_in_the_wrong_class_is_found() {
    let usual = Usual::from([("One".to_owned(), vec!["add".to_owned()]), ("Two".to_owned(), vec!["add".to_owned(), "mul".to_owned()]), ("None".to_owned(), Vec::new())]);
    let found = |own: &[&'static str], expanded: &[&'static str], refused: Vec<(&'static str, import::Refused)>| {
        let families = vec![Family { kind: "Ops", own: own.to_vec(), expanded: expanded.to_vec() }];
        let (complaints, unseen) = complaints(&Known { families, refused }, &usual);
        (complaints.len(), unseen.len())
    };
    assert_eq!(found(&["None", "One"], &["Two"], Vec::new()), (0, 0));
    assert_eq!(found(&["Two"], &["One"], Vec::new()), (2, 0));
    assert_eq!(found(&["Three"], &["Four", "None"], Vec::new()), (0, 3));
    assert_eq!(found(&["One"], &[], vec![("op", ("One", "", ""))]), (1, 0));
}
