//! A layer of a Keras model as the tables' functions see it: operands with their masks, configuration, weights, a builder.

use frit_ir::ops::{add::Add, cast::Cast, div::Div, mul::Mul, reshape_to::ReshapeTo, select::Select, slice_by::SliceBy, sub::Sub};
use frit_ir::shape::axis;
use frit_ir::{Builder, DType, Dim, Op, OpError, ValueId};
use serde_json::Value;

use super::config::Config;
use super::{EXPANDED, Importer, LAYERS, Mask, REFUSED, Version, is_operation, net, ops};
use crate::import::known;
use crate::import::layout;

/// A value, and which of its steps count: a bool for each of the first axes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Masked {
    pub(crate) value: ValueId,
    pub(crate) mask: Option<ValueId>,
}

impl From<ValueId> for Masked {
    fn from(value: ValueId) -> Self {
        Self { value, mask: None }
    }
}

/// An operand of a call.
pub(crate) enum Arg<'m, V> {
    /// A layer's result.
    Value(V),
    List(Vec<Arg<'m, V>>),
    Dict(Vec<(&'m str, Arg<'m, V>)>),
    /// Anything else, as the configuration has it.
    Data(&'m Value),
}

impl<'m, V> Arg<'m, V> {
    /// The same with other values.
    pub(super) fn map<W>(&self, of: &mut impl FnMut(&V) -> Result<W, OpError>) -> Result<Arg<'m, W>, OpError> {
        Ok(match self {
            Arg::Value(value) => Arg::Value(of(value)?),
            Arg::List(list) => Arg::List(list.iter().map(|arg| arg.map(of)).collect::<Result<_, _>>()?),
            Arg::Dict(list) => Arg::Dict(list.iter().map(|(key, arg)| Ok((*key, arg.map(of)?))).collect::<Result<_, OpError>>()?),
            Arg::Data(data) => Arg::Data(data),
        })
    }

    /// Calls a function with each value, in order.
    pub(super) fn each<'s>(&'s self, with: &mut impl FnMut(&'s V)) {
        match self {
            Arg::Value(value) => with(value),
            Arg::List(list) => list.iter().for_each(|arg| arg.each(with)),
            Arg::Dict(list) => list.iter().for_each(|(_, arg)| arg.each(with)),
            Arg::Data(_) => {}
        }
    }

    /// All values, in order.
    pub(crate) fn values(&self) -> Vec<V>
    where
        V: Copy,
    {
        let mut all = Vec::new();
        self.each(&mut |value| all.push(*value));
        all
    }
}

/// A call of a layer.
pub(crate) struct Call<'m> {
    pub(crate) args: Vec<Arg<'m, Masked>>,
    pub(crate) kwargs: Vec<(&'m str, Arg<'m, Masked>)>,
}

impl<'m> Call<'m> {
    /// A call with one operand.
    pub(crate) fn of(value: Masked) -> Self {
        Self { args: vec![Arg::Value(value)], kwargs: Vec::new() }
    }

    /// All values.
    pub(super) fn values(&self) -> impl Iterator<Item = Masked> + '_ {
        self.args.iter().chain(self.kwargs.iter().map(|(_, arg)| arg)).flat_map(Arg::values)
    }

    fn map(&self, of: &mut impl FnMut(&Masked) -> Result<Masked, OpError>) -> Result<Call<'m>, OpError> {
        let args = self.args.iter().map(|arg| arg.map(of)).collect::<Result<_, _>>()?;
        Ok(Call { args, kwargs: self.kwargs.iter().map(|(key, arg)| Ok((*key, arg.map(of)?))).collect::<Result<_, OpError>>()? })
    }
}

/// What dtypes a layer keeps its weights in and computes in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    pub(crate) variable: DType,
    pub(crate) compute: DType,
    /// Are its weights integers with scales?
    pub(crate) quantised: Option<Quantised>,
}

/// Ways of quantising weights.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Quantised {
    /// Bytes.
    Int8,
    /// Two numbers in a byte.
    Int4,
    /// Any other.
    Other,
}

impl Policy {
    fn plain(name: &str) -> Result<Self, OpError> {
        Ok(match name {
            "mixed_float16" => Self { variable: DType::F32, compute: DType::F16, quantised: None },
            "mixed_bfloat16" => Self { variable: DType::F32, compute: DType::BF16, quantised: None },
            // Layers that make text of numbers, or the other way, say so where they are imported.
            "string" => Self { variable: DType::F32, compute: DType::F32, quantised: None },
            name => {
                let dtype = dtype(name)?;
                Self { variable: dtype, compute: dtype, quantised: None }
            }
        })
    }

    /// A layer's policy.
    pub(crate) fn of(config: &Config<'_>) -> Result<Self, OpError> {
        let Some(said) = config.get("dtype") else { return Self::plain("float32") };
        if let Some(name) = said.as_str() {
            return Self::plain(name);
        }
        let inner = said.get("config").map(Config::new).ok_or_else(|| OpError::invalid("'dtype' is no policy"))?;
        match said.get("class_name").and_then(Value::as_str) {
            Some("QuantizedDTypePolicy" | "QuantizedFloat8DTypePolicy" | "GPTQDTypePolicy" | "AWQDTypePolicy" | "Int4DTypePolicy") => {
                let mode = inner.text("mode", "")?;
                // A number of elements that share a scale may stand behind a stroke.
                let quantised = match mode.split('/').next() {
                    Some("int8") => Quantised::Int8,
                    Some("int4") => Quantised::Int4,
                    _ => Quantised::Other,
                };
                Ok(Self { quantised: Some(quantised), ..Self::plain(inner.text("source_name", "float32")?)? })
            }
            Some("DTypePolicyMap") => Self::plain("float32"),
            _ => Self::plain(inner.text("name", "float32")?),
        }
    }
}

/// A dtype by Keras's name.
pub(crate) fn dtype(name: &str) -> Result<DType, OpError> {
    Ok(match name {
        "float32" => DType::F32,
        "float64" => DType::F64,
        "float16" => DType::F16,
        "bfloat16" => DType::BF16,
        "int8" => DType::I8,
        "int16" => DType::I16,
        "int32" | "int" => DType::I32,
        "int64" => DType::I64,
        "uint8" => DType::U8,
        "uint16" => DType::U16,
        "uint32" => DType::U32,
        "uint64" => DType::U64,
        "bool" => DType::Bool,
        "string" => return Err(OpError::unsupported("text is not supported").help("give the model numbers: make them before it")),
        other => return Err(OpError::unsupported(format!("dtype '{other}' is not supported"))),
    })
}

/// What a model makes of a value that goes in: it has the dtype that the model says.
pub(super) fn as_input(builder: &mut Builder, config: &Value, input: Masked) -> Result<Masked, OpError> {
    let to = dtype(Config::new(config).text("dtype", "float32")?)?;
    let value = if builder.dtype(input.value) == to { input.value } else { builder.apply(Cast { to }, &[input.value])? };
    Ok(Masked { value, mask: input.mask })
}

/// A model's calls of layers: those within a model count each time that it is called.
const MOST_CALLS: usize = 1 << 16;

/// Adds one call of a layer.
///
/// # Errors
/// What is wrong with it; unsupported where the layer is not known.
pub(super) fn apply(builder: &mut Builder, importer: &mut Importer, spec: &Value, path: &str, call: Call<'_>) -> Result<Vec<Masked>, OpError> {
    importer.calls += 1;
    if importer.calls > MOST_CALLS {
        return Err(OpError::unsupported(format!("a model with more than {MOST_CALLS} calls of layers is not supported")));
    }
    let class = net::class(spec)?;
    let module = spec.get("module").and_then(Value::as_str);
    let config = Config::new(spec.get("config").unwrap_or(&Value::Null));
    let custom = module.is_some_and(|module| !["keras", "tf_keras", "tensorflow"].contains(&module.split('.').next().unwrap_or_default()));
    if custom {
        return Err(unknown(class));
    }
    if net::is_model(spec) {
        let inner = net::Net::new(spec, path, importer.version)?;
        importer.calls += inner.size();
        let inputs = call.args.iter().flat_map(Arg::values).collect();
        // What failed within has been reported.
        return net::run(builder, importer, &inner, inputs)?.ok_or_else(|| OpError::invalid(format!("model '{}' could not be imported", inner.name())));
    }
    if is_operation(spec) {
        let handler = ops::handler(class).ok_or_else(|| known::unsupported("operation", class, ops::REFUSED, "docs/keras.md lists what is"))?;
        let policy = Policy::plain("float32")?;
        return handler(&mut Layer { builder, importer, class, config, path: path.to_owned(), call, policy });
    }
    let row = LAYERS.iter().chain(EXPANDED).flat_map(|table| table.iter()).find(|(name, ..)| *name == class);
    let Some((_, mask, handler)) = row else { return Err(unknown(class)) };
    let policy = Policy::of(&config)?;
    let call = if policy.compute.is_float() {
        call.map(&mut |arg| {
            let from = builder.dtype(arg.value);
            let value = if from.is_float() && from != policy.compute { builder.apply(Cast { to: policy.compute }, &[arg.value])? } else { arg.value };
            Ok(Masked { value, mask: arg.mask })
        })?
    } else {
        call
    };
    let mut layer = Layer { builder, importer, class, config, path: path.to_owned(), call, policy };
    let mut values = handler(&mut layer)?;
    if *mask == Mask::Stays
        && let Some(mask) = layer.mask()
    {
        values.iter_mut().for_each(|value| value.mask = Some(mask));
    }
    Ok(values)
}

fn unknown(class: &str) -> OpError {
    known::unsupported("layer", class, REFUSED, "docs/keras.md lists what is; the code of layers that are not Keras's own is not in the file: say it with other layers or keras.ops, or export the model: model.export(\"folder\") writes a SavedModel")
}

/// A layer under import.
pub(crate) struct Layer<'a> {
    /// Where values are added.
    pub(crate) builder: &'a mut Builder,
    pub(super) importer: &'a mut Importer,
    /// The layer's class.
    pub(crate) class: &'a str,
    pub(crate) config: Config<'a>,
    /// Where its weights lie.
    pub(crate) path: String,
    pub(crate) call: Call<'a>,
    pub(crate) policy: Policy,
}

impl<'a> Layer<'a> {
    /// The first operand.
    pub(crate) fn x(&self) -> Result<ValueId, OpError> {
        self.first().map(|x| x.value)
    }

    /// The first operand with its mask.
    pub(crate) fn first(&self) -> Result<Masked, OpError> {
        self.call.args.first().and_then(|arg| arg.values().first().copied()).or_else(|| self.call.values().next()).ok_or_else(|| OpError::invalid("it has no operand"))
    }

    /// All values of the first operand, which may be a list. Operations take them one by one.
    pub(crate) fn inputs(&self) -> Vec<Masked> {
        match self.call.args.first() {
            Some(arg @ (Arg::List(_) | Arg::Dict(_))) => arg.values(),
            _ => self.call.args.iter().flat_map(Arg::values).collect(),
        }
    }

    /// A keyword of the call, or what stands at a place.
    pub(crate) fn arg(&self, at: usize, name: &str) -> Option<&Arg<'a, Masked>> {
        let found = self.call.kwargs.iter().find(|(key, _)| *key == name).map(|(_, arg)| arg).or_else(|| self.call.args.get(at));
        found.filter(|arg| !matches!(arg, Arg::Data(Value::Null)))
    }

    /// The value of a keyword, or of what stands at a place.
    pub(crate) fn value(&self, at: usize, name: &str) -> Option<Masked> {
        self.arg(at, name).and_then(|arg| arg.values().first().copied())
    }

    /// A truth value that the call says.
    pub(crate) fn call_flag(&self, name: &str) -> bool {
        matches!(self.arg(usize::MAX, name), Some(Arg::Data(Value::Bool(true))))
    }

    /// The mask: the one that is given, or the one that the first operand carries.
    pub(crate) fn mask(&self) -> Option<ValueId> {
        self.value(usize::MAX, "mask").map(|mask| mask.value).or_else(|| self.first().ok()?.mask)
    }

    /// The major version of Keras that wrote the file.
    pub(crate) fn version(&self) -> Version {
        self.importer.version
    }

    /// A weight of the layer's own, in the dtype that it computes in.
    pub(crate) fn weight(&mut self, at: usize) -> Result<ValueId, OpError> {
        self.weight_of("", at)
    }

    /// A weight of a part of the layer.
    pub(crate) fn weight_of(&mut self, part: &str, at: usize) -> Result<ValueId, OpError> {
        let weight = self.raw_weight(part, at)?;
        if !self.builder.dtype(weight).is_float() || !self.policy.compute.is_float() {
            return Ok(weight);
        }
        let weight = if self.policy.variable.is_float() { self.cast(weight, self.policy.variable)? } else { weight };
        self.cast(weight, self.policy.compute)
    }

    /// A weight as it is in the file.
    pub(crate) fn raw_weight(&mut self, part: &str, at: usize) -> Result<ValueId, OpError> {
        let between = if part.is_empty() { "" } else { "/" };
        let path = format!("{}{between}{part}/vars/{at}", self.path);
        let found = self.importer.weight(self.builder, &path)?;
        found.ok_or_else(|| OpError::invalid(format!("the file has no weight '{path}'")).help("it may have been saved before the layer was called, or by an older version of Keras; load it and save it again"))
    }

    /// Has a part of the layer weights?
    pub(crate) fn has_weight(&mut self, part: &str) -> Result<bool, OpError> {
        let path = format!("{}/{part}/vars/0", self.path);
        Ok(self.importer.weight(self.builder, &path)?.is_some())
    }

    /// Takes the mask away from a value, for all who read it later.
    pub(crate) fn unmask(&mut self, value: ValueId) {
        self.importer.unmasked.insert(value);
    }

    /// Adds an op of one result.
    pub(crate) fn apply(&mut self, op: impl Into<Op>, inputs: &[ValueId]) -> Result<ValueId, OpError> {
        self.builder.apply(op, inputs)
    }

    /// A layer within this one, such as one that is wrapped.
    pub(crate) fn inner(&mut self, spec: &Value, part: &str, call: Call<'_>) -> Result<Vec<Masked>, OpError> {
        let path = format!("{}/{part}", self.path);
        let origins = self.builder.origins().clone();
        let values = apply(self.builder, self.importer, spec, &path, call);
        self.builder.set_origins(origins);
        values
    }

    /// A number in the dtype of a value.
    pub(crate) fn number_like(&mut self, x: ValueId, number: f64) -> ValueId {
        let dtype = self.builder.dtype(x);
        self.builder.scalar(dtype, number)
    }

    /// Conversion; nothing where the dtype is right already.
    pub(crate) fn cast(&mut self, x: ValueId, to: DType) -> Result<ValueId, OpError> {
        if self.builder.dtype(x) == to { Ok(x) } else { self.apply(Cast { to }, &[x]) }
    }

    pub(crate) fn add(&mut self, x: ValueId, y: ValueId) -> Result<ValueId, OpError> {
        self.apply(Add {}, &[x, y])
    }

    pub(crate) fn sub(&mut self, x: ValueId, y: ValueId) -> Result<ValueId, OpError> {
        self.apply(Sub {}, &[x, y])
    }

    pub(crate) fn mul(&mut self, x: ValueId, y: ValueId) -> Result<ValueId, OpError> {
        self.apply(Mul {}, &[x, y])
    }

    pub(crate) fn div(&mut self, x: ValueId, y: ValueId) -> Result<ValueId, OpError> {
        self.apply(Div {}, &[x, y])
    }

    pub(crate) fn select(&mut self, cond: ValueId, x: ValueId, y: ValueId) -> Result<ValueId, OpError> {
        self.apply(Select {}, &[cond, x, y])
    }

    /// `x` times a number.
    pub(crate) fn scale(&mut self, x: ValueId, number: f64) -> Result<ValueId, OpError> {
        let number = self.number_like(x, number);
        self.mul(x, number)
    }

    /// `x` plus a number.
    pub(crate) fn offset(&mut self, x: ValueId, number: f64) -> Result<ValueId, OpError> {
        let number = self.number_like(x, number);
        self.add(x, number)
    }

    /// `x` under another shape, in which -1 stands for what is left over and 0 for the extent of the same axis.
    pub(crate) fn reshape(&mut self, x: ValueId, shape: &[i64]) -> Result<ValueId, OpError> {
        let shape = self.builder.ints(shape);
        self.apply(ReshapeTo { zero_copies: true }, &[x, shape])
    }

    /// `x` with its axes in another order.
    pub(crate) fn permuted(&mut self, x: ValueId, perm: &[usize]) -> Result<ValueId, OpError> {
        layout::permuted(self.builder, x, perm)
    }

    /// Elements from `start` to `end` by `step` along an axis, as in Python.
    pub(crate) fn slice(&mut self, x: ValueId, axis: usize, start: i64, end: i64, step: i64) -> Result<ValueId, OpError> {
        let operands = [start, end, axis as i64, step].map(|n| self.builder.ints(&[n]));
        self.apply(SliceBy {}, &[x, operands[0], operands[1], operands[2], operands[3]])
    }

    /// `x` backward along an axis.
    pub(crate) fn reversed(&mut self, x: ValueId, axis: usize) -> Result<ValueId, OpError> {
        self.slice(x, axis, -1, i64::MIN, -1)
    }

    /// The rank of a value.
    pub(crate) fn rank(&self, x: ValueId) -> Result<usize, OpError> {
        self.builder.rank(x)
    }

    /// The extent of a value's axis, which must be known.
    pub(crate) fn extent(&self, x: ValueId, axis: usize) -> Result<i64, OpError> {
        let dims = self.builder.ty(x).dims()?;
        let dim = dims.get(axis).ok_or_else(|| OpError::invalid(format!("an operand of {} axes has no axis {axis}", dims.len())))?;
        dim.known().ok_or_else(OpError::unknown)
    }

    /// The dimensions of a value as `reshape` takes them: those that are open are copied.
    pub(crate) fn dims(&self, x: ValueId) -> Result<Vec<i64>, OpError> {
        Ok(self.builder.ty(x).dims()?.iter().map(|dim| Dim::known(dim).unwrap_or(0)).collect())
    }

    /// Does the layer have its channels last?
    pub(crate) fn channels_last(&self) -> Result<bool, OpError> {
        match self.config.text("data_format", "channels_last")? {
            "channels_last" => Ok(true),
            "channels_first" => Ok(false),
            other => Err(OpError::invalid(format!("'data_format' is '{other}'"))),
        }
    }

    /// An axis of a value, counted as in Python.
    pub(crate) fn axis_of(&self, x: ValueId, number: i64) -> Result<usize, OpError> {
        axis(number, self.rank(x)?)
    }
}

/// Results that carry no mask.
pub(crate) fn bare(values: impl IntoIterator<Item = ValueId>) -> Vec<Masked> {
    values.into_iter().map(Masked::from).collect()
}
