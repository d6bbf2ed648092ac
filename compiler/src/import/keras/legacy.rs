//! Which weight of an HDF5 file is which.
//!
//! In: the names of weights that each layer lists, in Keras's order, and the model's configuration. Out: for each weight the place that an
//! archive would have it at, and where the file has it. Must not know: what layers compute.

use std::collections::HashMap;

use frit_ir::OpError;
use serde_json::Value;

use super::config::Config;
use super::weights::Weights;
use super::{Names, is_operation, net};

/// Layers within layers nest no deeper than this.
const MAX_DEPTH: usize = 64;

/// A weight: its place in an archive, and whether it is trained. Keras lists those that are first.
struct Slot {
    path: String,
    trained: bool,
}

/// The weights of a file.
///
/// # Errors
/// Invalid where the file lists others than its layers have.
pub(super) fn places(weights: &mut Weights, model: &Value) -> Result<HashMap<String, String>, OpError> {
    let root = if weights.has("model_weights") { "model_weights" } else { "" };
    let mut places = HashMap::new();
    let sequential = net::class(model)? == "Sequential";
    let mut names = Names::default();
    for (at, layer) in net::layers(model)?.iter().enumerate() {
        let class = net::class(layer)?;
        if is_operation(layer) || sequential && class == "InputLayer" && at == 0 {
            continue;
        }
        let path = format!("layers/{}", names.next(class));
        let group = net::name(layer)?;
        let group = if root.is_empty() { group.to_owned() } else { format!("{root}/{group}") };
        let mut slots = Vec::new();
        slots_of(layer, &path, true, 0, &mut slots)?;
        slots.sort_by_key(|slot| !slot.trained);
        let listed = if weights.has(&group) { weights.texts(&group, "weight_names")? } else { Vec::new() };
        if listed.len() != slots.len() {
            // A layer that is not known says so itself when it is imported.
            if !slots.is_empty() {
                return Err(OpError::invalid(format!("layer '{}' has {} weights, but the file lists {}", net::name(layer)?, slots.len(), listed.len())).help("the file may have been made by an older version of Keras; load it and save it again as .keras"));
            }
            continue;
        }
        places.extend(slots.into_iter().zip(listed).map(|(slot, name)| (slot.path, format!("{group}/{name}"))));
    }
    Ok(places)
}

/// The weights of a layer, in the order in which Keras makes them.
fn slots_of(layer: &Value, path: &str, trained: bool, depth: usize, into: &mut Vec<Slot>) -> Result<(), OpError> {
    if depth > MAX_DEPTH {
        return Err(OpError::invalid(format!("layers nest deeper than {MAX_DEPTH}")));
    }
    let class = net::class(layer)?;
    let config = Config::new(layer.get("config").unwrap_or(&Value::Null));
    let trained = trained && config.flag("trainable", true)?;
    let mut own = |part: &str, trained: &[bool]| {
        let between = if part.is_empty() { "" } else { "/" };
        into.extend(trained.iter().enumerate().map(|(at, trained)| Slot { path: format!("{path}{between}{part}/vars/{at}"), trained: *trained }));
    };
    let bias = config.flag("use_bias", true)?;
    let plain = |count: usize| vec![trained; count];
    match class {
        class if net::MODELS.contains(&class) => {
            let mut names = Names::default();
            let sequential = class == "Sequential";
            for (at, layer) in net::layers(layer)?.iter().enumerate() {
                let class = net::class(layer)?;
                if is_operation(layer) || sequential && class == "InputLayer" && at == 0 {
                    continue;
                }
                slots_of(layer, &format!("{path}/layers/{}", names.next(class)), trained, depth + 1, into)?;
            }
        }
        "Dense" | "Conv1D" | "Conv2D" | "Conv3D" | "Convolution1D" | "Convolution2D" | "Convolution3D" | "Conv1DTranspose" | "Conv2DTranspose" | "Conv3DTranspose" | "Convolution2DTranspose" | "DepthwiseConv1D" | "DepthwiseConv2D" => own("", &plain(1 + usize::from(bias))),
        "SeparableConv1D" | "SeparableConv2D" | "SeparableConvolution2D" => own("", &plain(2 + usize::from(bias))),
        "EinsumDense" => own("", &plain(1 + usize::from(config.get("bias_axes").is_some()))),
        "Embedding" | "LayerScale" | "PReLU" => own("", &plain(1)),
        "BatchNormalization" => {
            let factors = usize::from(config.flag("scale", true)?) + usize::from(config.flag("center", true)?);
            own("", &[plain(factors), vec![false; 2]].concat());
        }
        "LayerNormalization" | "GroupNormalization" => {
            let rms = config.flag("rms_scaling", false)?;
            own("", &plain(usize::from(config.flag("scale", true)? || rms) + usize::from(config.flag("center", true)? && !rms)));
        }
        "RMSNormalization" => own("", &plain(1)),
        "Normalization" => {
            let given = config.get("mean").is_some();
            own("", &vec![false; if given { 0 } else { 3 }]);
        }
        "LSTM" | "GRU" | "SimpleRNN" | "ConvLSTM1D" | "ConvLSTM2D" | "ConvLSTM3D" | "CuDNNLSTM" | "CuDNNGRU" => own("cell", &plain(2 + usize::from(bias))),
        "LSTMCell" | "GRUCell" | "SimpleRNNCell" => own("", &plain(2 + usize::from(bias))),
        "RNN" => slots_of(config.get("cell").ok_or_else(|| Config::missing("cell"))?, &format!("{path}/cell"), trained, depth + 1, into)?,
        "StackedRNNCells" => {
            let mut names = Names::default();
            for cell in config.maybe_list("cells")?.unwrap_or_default() {
                slots_of(cell, &format!("{path}/cells/{}", names.next(net::class(cell)?)), trained, depth + 1, into)?;
            }
        }
        "Bidirectional" => {
            let forward = config.get("layer").ok_or_else(|| Config::missing("layer"))?;
            slots_of(forward, &format!("{path}/forward_layer"), trained, depth + 1, into)?;
            slots_of(config.get("backward_layer").unwrap_or(forward), &format!("{path}/backward_layer"), trained, depth + 1, into)?;
        }
        "TimeDistributed" => slots_of(config.get("layer").ok_or_else(|| Config::missing("layer"))?, &format!("{path}/layer"), trained, depth + 1, into)?,
        "SpectralNormalization" => {
            slots_of(config.get("layer").ok_or_else(|| Config::missing("layer"))?, &format!("{path}/layer"), trained, depth + 1, into)?;
            into.push(Slot { path: format!("{path}/vars/0"), trained: false });
        }
        "MultiHeadAttention" | "GroupedQueryAttention" | "GroupQueryAttention" => {
            let gate = config.flag("use_gate", false)?;
            let parts = ["query_dense", "key_dense", "value_dense"].into_iter().chain(gate.then_some("gate_dense")).chain(["output_dense"]);
            parts.for_each(|part| own(part, &plain(1 + usize::from(bias))));
        }
        "Attention" => own("", &plain(usize::from(config.flag("use_scale", false)?) + usize::from(config.get("score_mode").and_then(Value::as_str) == Some("concat")))),
        "AdditiveAttention" => own("", &plain(usize::from(config.flag("use_scale", true)?))),
        _ => {}
    }
    Ok(())
}
