//! Tensors of exported programs, in three layouts.
//!
//! In: an archive. Out: [`View`]s by name. PyTorch 2.6 and 2.7 keep archives of `torch.save` beside the program, 2.8 the same in folders, and
//! later versions each storage as a file, with a list of what lies where. Must not know: what the tensors are for.

use std::collections::BTreeMap;

use frit_ir::OpError;
use serde_json::Value as Json;

use super::{dtype, list, odd};
use crate::import::archive::Archive;
use crate::import::pytorch::pickle::Pickle;
use crate::import::pytorch::storage::{Pickled, Storages, View, big_endian, state_dict};
use crate::import::pytorch::value::Value;

/// The tensors of a program.
pub(super) struct Weights {
    weights: BTreeMap<String, Result<View, OpError>>,
    constants: BTreeMap<String, Result<View, OpError>>,
}

impl Weights {
    /// Finds the tensors that belong to the program in `file`.
    ///
    /// # Errors
    /// Invalid where an archive or a list of tensors can't be read. What is wrong with single tensors is said when they are asked for.
    pub(super) fn open(archive: &Archive, file: &str) -> Result<Self, OpError> {
        let stem = file.rsplit('/').next().and_then(|name| name.strip_suffix(".json")).unwrap_or("model");
        let folder = |kind: &str| -> Result<BTreeMap<String, Result<View, OpError>>, OpError> {
            let config = format!("data/{kind}/{stem}_{kind}_config.json");
            if archive.has(&config) {
                return listed(archive, &format!("data/{kind}/"), &archive.text(&config)?);
            }
            let flat = if kind == "weights" { "serialized_state_dict.pt" } else { "serialized_constants.pt" };
            for name in [format!("data/{kind}/{stem}.pt"), flat.to_owned()] {
                if archive.has(&name) {
                    let member = archive.read(&name)?;
                    // A program without constants keeps an empty file.
                    if member.bytes.is_empty() {
                        return Ok(BTreeMap::new());
                    }
                    return Ok(state_dict(&Archive::open(&member)?)?.into_iter().map(|(name, view)| (name, Ok(view))).collect());
                }
            }
            Ok(BTreeMap::new())
        };
        Ok(Self { weights: folder("weights")?, constants: folder("constants")? })
    }

    /// A tensor, among the constants first or last.
    ///
    /// # Errors
    /// Invalid where there is none of that name, or it can't be read.
    pub(super) fn get(&self, name: &str, constant: bool) -> Result<&View, OpError> {
        let (first, second) = if constant { (&self.constants, &self.weights) } else { (&self.weights, &self.constants) };
        match first.get(name).or_else(|| second.get(name)) {
            Some(Ok(view)) => Ok(view),
            Some(Err(error)) => Err(error.clone()),
            None => Err(OpError::invalid("the archive does not hold it")),
        }
    }
}

/// The tensors that a list names, each in a file that holds its storage.
fn listed(archive: &Archive, folder: &str, text: &str) -> Result<BTreeMap<String, Result<View, OpError>>, OpError> {
    let config: Json = serde_json::from_str(text).map_err(|error| OpError::invalid(format!("the list of tensors can't be read: {error}")))?;
    let entries = config["config"].as_object().ok_or_else(|| odd("list of tensors"))?;
    let big_endian = big_endian(archive)?;
    // What is no tensor has no description.
    let tensors = entries.iter().filter(|(_, entry)| entry["tensor_meta"].is_object());
    Ok(tensors.map(|(name, entry)| (name.clone(), view(archive, folder, entry, big_endian))).collect())
}

fn view(archive: &Archive, folder: &str, entry: &Json, big_endian: bool) -> Result<View, OpError> {
    let path = entry["path_name"].as_str().ok_or_else(|| odd("list of tensors"))?;
    let storage = archive.read(&format!("{folder}{path}"))?;
    if entry["use_pickle"] == true {
        let inner = Archive::open(&storage)?;
        let pickle = Pickle::read(&inner.read("data.pkl")?.bytes)?;
        return match Storages::new(&inner, "data/")?.tensor(&pickle, pickle.root)? {
            Some(Pickled::Plain(view)) => Ok(view),
            _ => Err(OpError::unsupported("it is no plain tensor")),
        };
    }
    let meta = &entry["tensor_meta"];
    let number = |json: &Json| json["as_int"].as_i64().ok_or_else(|| odd("list of tensors"));
    let numbers = |name: &str| list(meta, name).iter().map(number).collect::<Result<Vec<_>, _>>();
    let (dtype, complex) = match dtype(&meta["dtype"])? {
        Value::ComplexDtype(dtype) => (dtype, true),
        Value::Dtype(dtype) => (dtype, false),
        _ => return Err(odd("list of tensors")),
    };
    Ok(View { storage, dtype, complex, sizes: numbers("sizes")?, strides: numbers("strides")?, offset: number(&meta["storage_offset"])?, big_endian })
}
