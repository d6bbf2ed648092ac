//! Functions of TensorFlow that Keras 2 keeps between layers.
//!
//! In: the function's name and its keywords. Out: what the operation of `keras.ops` that does the same makes. Must not know: how.

use frit_ir::OpError;
use serde_json::{Map, Value};

use super::config::Config;
use super::layer::{Arg, Call, Layer, Masked};
use super::{Mask, Row, ops};
use crate::import::Family;

type Values = Result<Vec<Masked>, OpError>;

pub(super) const LAYERS: &[Row] = &[("SlicingOpLambda", Mask::Ends, function), ("TFOpLambda", Mask::Ends, function)];

/// What a function calls its keywords, and what the operation does.
type Keywords = &'static [(&'static str, &'static str)];

const NONE: Keywords = &[];
const PAIR: Keywords = &[("x", "x1"), ("y", "x2")];
const REDUCED: Keywords = &[("keep_dims", "keepdims")];

/// Functions, the operations that do the same, and what these call their keywords.
const FUNCTIONS: &[(&str, &str, Keywords)] = &[
    ("__operators__.add", "Add", PAIR),
    ("__operators__.getitem", "GetItem", &[("slice_spec", "key")]),
    ("__operators__.mul", "Multiply", PAIR),
    ("__operators__.neg", "Negative", NONE),
    ("__operators__.pow", "Power", PAIR),
    ("__operators__.sub", "Subtract", PAIR),
    ("__operators__.truediv", "Divide", PAIR),
    ("cast", "Cast", NONE),
    ("clip_by_value", "Clip", &[("clip_value_min", "x_min"), ("clip_value_max", "x_max")]),
    ("concat", "Concatenate", NONE),
    ("expand_dims", "ExpandDims", NONE),
    ("identity", "Copy", NONE),
    ("linalg.matmul", "Matmul", &[("a", "x1"), ("b", "x2")]),
    ("math.abs", "Absolute", NONE),
    ("math.add", "Add", PAIR),
    ("math.cos", "Cos", NONE),
    ("math.divide", "Divide", PAIR),
    ("math.erf", "Erf", NONE),
    ("math.exp", "Exp", NONE),
    ("math.log", "Log", NONE),
    ("math.maximum", "Maximum", PAIR),
    ("math.minimum", "Minimum", PAIR),
    ("math.multiply", "Multiply", PAIR),
    ("math.pow", "Power", PAIR),
    ("math.reduce_max", "Max", REDUCED),
    ("math.reduce_mean", "Mean", REDUCED),
    ("math.reduce_min", "Min", REDUCED),
    ("math.reduce_prod", "Prod", REDUCED),
    ("math.reduce_sum", "Sum", REDUCED),
    ("math.rsqrt", "Rsqrt", NONE),
    ("math.sigmoid", "Sigmoid", NONE),
    ("math.sin", "Sin", NONE),
    ("math.softplus", "Softplus", NONE),
    ("math.sqrt", "Sqrt", NONE),
    ("math.square", "Square", NONE),
    ("math.subtract", "Subtract", PAIR),
    ("math.tanh", "Tanh", NONE),
    ("math.truediv", "Divide", PAIR),
    ("nn.elu", "Elu", NONE),
    ("nn.leaky_relu", "LeakyRelu", &[("alpha", "negative_slope")]),
    ("nn.relu", "Relu", NONE),
    ("nn.relu6", "Relu6", NONE),
    ("nn.selu", "Selu", NONE),
    ("nn.sigmoid", "Sigmoid", NONE),
    ("nn.silu", "Silu", NONE),
    ("nn.softmax", "Softmax", NONE),
    ("nn.softplus", "Softplus", NONE),
    ("nn.tanh", "Tanh", NONE),
    ("reshape", "Reshape", &[("shape", "newshape")]),
    ("squeeze", "Squeeze", NONE),
    ("stack", "Stack", NONE),
    ("stop_gradient", "StopGradient", NONE),
    ("tile", "Tile", &[("multiples", "repeats")]),
    ("transpose", "Transpose", &[("perm", "axes")]),
];

/// What becomes of the functions: what does of the operations.
pub(super) fn family() -> Family {
    let names = |expanded: bool| FUNCTIONS.iter().filter(move |(_, class, _)| ops::is_expanded(class) == expanded).map(|(name, ..)| *name);
    Family::new("Functions of TensorFlow in models of Keras 2", names(false), names(true))
}

/// An argument without values, as a configuration has it.
fn plain(arg: &Arg<'_, Masked>) -> Option<Value> {
    match arg {
        Arg::Data(data) => Some((*data).clone()),
        Arg::List(list) => list.iter().map(plain).collect::<Option<Vec<_>>>().map(Value::Array),
        Arg::Value(_) | Arg::Dict(_) => None,
    }
}

fn function(n: &mut Layer<'_>) -> Values {
    let said = n.config.maybe_text("function")?.ok_or_else(|| Config::missing("function"))?;
    let known = FUNCTIONS.iter().find(|(name, ..)| *name == said).and_then(|(_, class, names)| Some((*class, *names, ops::handler(class)?)));
    let Some((class, names, handler)) = known else {
        return Err(OpError::unsupported(format!("TensorFlow's function '{said}' between layers is not supported")).help("docs/keras.md lists what is; say it with layers, or export the model: model.export(\"folder\") writes a SavedModel"));
    };
    let call = std::mem::replace(&mut n.call, Call { args: Vec::new(), kwargs: Vec::new() });
    let kwargs: Vec<_> = call.kwargs.into_iter().map(|(key, arg)| (names.iter().find(|(from, _)| *from == key).map_or(key, |(_, to)| *to), arg)).collect();
    let params: Map<String, Value> = kwargs.iter().filter_map(|(key, arg)| Some(((*key).to_owned(), plain(arg)?))).collect();
    let params = Value::Object(params);
    handler(&mut Layer { builder: &mut *n.builder, importer: &mut *n.importer, class, config: Config::new(&params), path: n.path.clone(), call: Call { args: call.args, kwargs }, policy: n.policy })
}
