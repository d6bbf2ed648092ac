//! Keras models: `.keras` archives, and HDF5 files of Keras 2 and 3.
//!
//! In: the path of a model. Out: a [`Graph`]. [`archive`], [`weights`] and [`config`] read what the files hold, [`legacy`] says which weight
//! of an HDF5 file is which. [`net`] follows the layers of a model. The tables of [`core`], [`conv`] and their neighbours say what each
//! layer becomes; a row is a class, what becomes of a mask, and a function from a [`Layer`] to values. [`ops`] has those of `keras.ops`.
//!
//! To add a layer: add a row to the table of its family.

mod config;
mod layer;
mod legacy;
mod net;
mod weights;

mod activation;
mod attention;
mod cell;
mod conv;
mod core;
mod image;
mod lambda;
mod merge;
mod movement;
mod norm;
mod ops;
mod pool;
mod recurrent;
mod shapes;
mod signal;

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use frit_ir::build::Folding;
use frit_ir::{Builder, Error, Graph, OpError, ValueId};
use serde_json::Value;

use super::archive::{Archive, Member};
use super::{Family, Format, Known, Mapped, Model, Refused, ends, map};
use layer::{Layer, Masked};
use weights::Weights;

/// What becomes of the mask that the first operand carries.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mask {
    /// Nothing carries it further.
    Ends,
    /// All results carry it.
    Stays,
    /// The function says what results carry.
    Own,
}

/// Makes values of a layer's operands.
type Handler = fn(&mut Layer<'_>) -> Result<Vec<Masked>, OpError>;

/// A row of a table: a class, what becomes of a mask, and what it is made of.
type Row = (&'static str, Mask, Handler);

/// Layers that are one op of ours, or none.
const LAYERS: &[&[Row]] = &[activation::LAYERS, conv::LAYERS, self::core::LAYERS, image::LAYERS, lambda::LAYERS, merge::LAYERS, movement::LAYERS, norm::LAYERS, pool::LAYERS, recurrent::LAYERS];
/// Layers that are made of several of ours.
const EXPANDED: &[&[Row]] = &[attention::EXPANDED, conv::EXPANDED, self::core::EXPANDED, image::EXPANDED, merge::EXPANDED, movement::EXPANDED, norm::EXPANDED, pool::EXPANDED, recurrent::EXPANDED, signal::EXPANDED];

/// Layers that people meet and that are not supported.
const REFUSED: &[Refused] = &[
    ("CuDNNGRU", CUDNN, "load the model with Keras 2 and save it with GRU layers"),
    ("CuDNNLSTM", CUDNN, "load the model with Keras 2 and save it with LSTM layers"),
    ("FlaxLayer", OTHERS, EXPORT),
    ("HashedCrossing", TEXT, TEXT_INSTEAD),
    ("Hashing", TEXT, TEXT_INSTEAD),
    ("IntegerLookup", "it looks up a table", "look indices up before the model"),
    ("JaxLayer", OTHERS, EXPORT),
    ("Lambda", "its Python code can't be read", "say it with layers or keras.ops instead, or export the model: model.export(\"folder\") writes a SavedModel"),
    ("StringLookup", TEXT, TEXT_INSTEAD),
    ("TFSMLayer", OTHERS, EXPORT),
    ("TextVectorization", TEXT, TEXT_INSTEAD),
    ("TorchModuleWrapper", OTHERS, EXPORT),
];

const COMPLEX: &str = "its numbers are complex";
const CUDNN: &str = "it is a GPU's kernel";
const EXPORT: &str = "export the model: model.export(\"folder\") writes a SavedModel";
const OTHERS: &str = "what it wraps is not in the file";
const TEXT: &str = "it works on text";
const TEXT_INSTEAD: &str = "prepare text before the model";

/// What becomes of layers, activations and operations.
pub fn known() -> Known {
    let layers = |tables: &'static [&[Row]]| tables.iter().flat_map(|table| table.iter().map(|(name, ..)| *name));
    let families = vec![
        Family::new("Layers", layers(LAYERS), layers(EXPANDED)),
        activation::family(),
        ops::family(),
        lambda::family(),
    ];
    Known::new(families, &[("layer", REFUSED), ("operation", ops::REFUSED)])
}

/// The major version of Keras that wrote a file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Debug)]
pub(crate) enum Version {
    /// Keras 2, or 1.
    Two,
    /// Keras 3.
    Three,
}

impl Version {
    fn of(text: &str) -> Self {
        if text.starts_with("2.") || text.starts_with("1.") { Version::Two } else { Version::Three }
    }
}

/// What is known of the whole model, and the complaints so far.
pub(crate) struct Importer {
    weights: Weights,
    /// Where an HDF5 file keeps each weight, if it is not where archives have it.
    places: Option<HashMap<String, String>>,
    /// Weights that are in the graph.
    loaded: HashMap<String, ValueId>,
    version: Version,
    /// Values whose masks were taken away.
    unmasked: HashSet<ValueId>,
    /// How many calls were made.
    calls: usize,
    /// How many models enclose what is imported.
    depth: usize,
    errors: Vec<Error>,
}

impl Importer {
    /// A weight by its path, if it is there.
    ///
    /// # Errors
    /// Invalid where the file is broken.
    fn weight(&mut self, builder: &mut Builder, path: &str) -> Result<Option<ValueId>, OpError> {
        if let Some(known) = self.loaded.get(path) {
            return Ok(Some(*known));
        }
        let place = match &self.places {
            Some(places) => places.get(path).map(String::as_str),
            None => Some(path),
        };
        let Some(tensor) = place.map(|place| self.weights.tensor(place)).transpose()?.flatten() else { return Ok(None) };
        let value = builder.constant(tensor);
        builder.name(value, path);
        self.loaded.insert(path.to_owned(), value);
        Ok(Some(value))
    }
}

/// Imports a model.
///
/// # Errors
/// Every complaint about the model, each with the layer's name.
pub(crate) fn import(model: &Model<'_>, format: Format) -> Result<Graph, Vec<Error>> {
    let one = |error: Error| vec![error];
    let whole = |error: OpError| vec![Error::at(error, "", Vec::new())];
    let Mapped { bytes, pages } = map(model.path).map_err(one)?;
    let size = bytes.len();
    let (mut weights, text, version) = if format == Format::Keras {
        let archive = Archive::open(&Member { bytes, pages: Some(pages) }).map_err(whole)?;
        let member = |name: &str| {
            let lost = || one(Error::invalid(format!("the archive holds no '{name}'")).help("save the whole model as one file: model.save(\"model.keras\")"));
            if archive.has(name) { archive.read(name).map_err(whole) } else { Err(lost()) }
        };
        let (text, data) = (member("config.json")?.bytes, member("model.weights.h5")?);
        let metadata = archive.read("metadata.json").and_then(|text| config::parse(&text.bytes, size)).ok();
        let version = metadata.as_ref().and_then(|value| value.get("keras_version")?.as_str()).map_or(Version::Three, Version::of);
        (Weights::open(data.bytes, data.pages).map_err(whole)?, text, version)
    } else {
        let mut weights = Weights::open(bytes, Some(pages)).map_err(whole)?;
        let Some(text) = weights.text("", "model_config") else {
            return Err(one(Error::invalid(format!("'{}' is an HDF5 file that holds no model's configuration", model.path.display())).help("a file of weights alone holds no graph; save the whole model: model.save(\"model.keras\")")));
        };
        let version = weights.text("", "keras_version").map_or(Version::Two, |text| Version::of(&text));
        (weights, Bytes::from(text), version)
    };
    let tree = config::parse(&text, size).map_err(whole)?;
    let net = net::Net::of_model(&tree, version).map_err(whole)?;
    let places = if format == Format::Keras { None } else { Some(legacy::places(&mut weights, &tree).map_err(whole)?) };
    let mut importer = Importer { weights, places, loaded: HashMap::new(), version, unmasked: HashSet::new(), calls: 0, depth: 0, errors: Vec::new() };
    let mut builder = Builder::new(net.name()).folding(Folding::Early);
    let declared = net.inputs().map_err(whole)?;
    let inputs = ends::inputs(&mut builder, &declared.iter().map(|(name, ty)| (name.as_str(), ty.clone())).collect::<Vec<_>>(), model.binding)?;
    let inputs = inputs.into_iter().map(|value| Masked { value, mask: None }).collect();
    match net::run(&mut builder, &mut importer, &net, inputs) {
        Ok(Some(values)) => {
            for (name, value) in net.output_names().into_iter().zip(values) {
                builder.output(name, value.value);
            }
        }
        Ok(None) => {}
        Err(error) => importer.errors.push(Error::at(error, "", Vec::new())),
    }
    ends::finish(builder, importer.errors)
}

/// How a class is known in paths of weights: `Conv2D` as `conv2d`, `BatchNormalization` as `batch_normalization`.
fn snake(class: &str) -> String {
    let letters: Vec<char> = class.chars().filter(|c| c.is_alphanumeric() || *c == '_').collect();
    let mut text = String::new();
    for (at, letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).map(|k| letters[k]);
        let behind = letters.get(at + 1);
        // A word begins where a capital follows a small letter, or where one is followed by a small letter.
        let begins = letter.is_ascii_uppercase() && before.is_some_and(|before| before.is_ascii_lowercase() || behind.is_some_and(char::is_ascii_lowercase));
        if begins {
            text.push('_');
        }
        text.extend(letter.to_lowercase());
    }
    text
}

/// Names of weights' places within a container: classes, numbered where they occur again.
#[derive(Default)]
struct Names {
    used: HashMap<String, usize>,
}

impl Names {
    /// The place of the next member of a class.
    fn next(&mut self, class: &str) -> String {
        // One class is known by another name than its own.
        let name = snake(if class == "GroupQueryAttention" { "GroupedQueryAttention" } else { class });
        match self.used.get_mut(&name) {
            Some(count) => {
                *count += 1;
                format!("{name}_{count}")
            }
            None => {
                self.used.insert(name.clone(), 0);
                name
            }
        }
    }
}

/// Is it an operation of `keras.ops`, and no layer? Such are not told by their module in HDF5 files, but say nothing of training.
fn is_operation(layer: &Value) -> bool {
    match layer.get("module").and_then(Value::as_str) {
        Some(module) => module.contains(".ops"),
        None => layer.get("config").is_some_and(|config| config.get("trainable").is_none()) && layer.get("class_name").and_then(Value::as_str).is_some_and(|class| class != "InputLayer" && ops::known(class) && layer.get("inbound_nodes").and_then(Value::as_array).is_some_and(|nodes| nodes.iter().all(Value::is_object))),
    }
}
