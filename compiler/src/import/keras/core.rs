//! Dense layers, embeddings, masks, and what does nothing when a model isn't trained.

use frit_ir::ops::aggregate::{Aggregate, Statistic};
use frit_ir::ops::{abs::Abs, einsum::Einsum, equal::Equal, gather::Gather, matmul::MatMul, matmul_integer::MatMulInteger, not::Not, round::Round};
use frit_ir::{DType, OpError, ValueId};
use serde_json::Value;

use super::activation::{activate, clip};
use super::config::{Config, number};
use super::layer::{Call, Layer, Masked, Quantised, bare};
use super::{Mask, Row};

type Values = Result<Vec<Masked>, OpError>;

pub(super) const LAYERS: &[Row] = &[
    ("ActivityRegularization", Mask::Stays, same),
    ("AlphaDropout", Mask::Stays, same),
    ("Dropout", Mask::Stays, same),
    ("GaussianDropout", Mask::Stays, same),
    ("GaussianNoise", Mask::Stays, same),
    ("Identity", Mask::Stays, same),
    ("LayerScale", Mask::Ends, |n| {
        let (x, factor) = (n.x()?, n.weight(0)?);
        Ok(bare([n.mul(x, factor)?]))
    }),
    ("SpatialDropout1D", Mask::Stays, same),
    ("SpatialDropout2D", Mask::Stays, same),
    ("SpatialDropout3D", Mask::Stays, same),
    ("StochasticDepth", Mask::Ends, same),
];

/// Made of several of ours.
pub(super) const EXPANDED: &[Row] = &[
    ("Dense", Mask::Stays, dense),
    ("EinsumDense", Mask::Ends, einsum_dense),
    ("Embedding", Mask::Own, embedding),
    ("Masking", Mask::Own, masking),
    ("SpectralNormalization", Mask::Ends, |n| {
        // What it divides by is in the weights when they are saved.
        let layer = n.config.get("layer").ok_or_else(|| Config::missing("layer"))?;
        let x = n.first()?;
        n.inner(layer, "layer", Call::of(x))
    }),
];

/// What a layer does that only matters in training.
pub(super) fn same(n: &mut Layer<'_>) -> Values {
    Ok(bare([n.x()?]))
}

/// Adds a bias that may not be there.
pub(super) fn biased(n: &mut Layer<'_>, y: ValueId, at: usize) -> Result<ValueId, OpError> {
    if !n.config.flag("use_bias", true)? {
        return Ok(y);
    }
    let bias = n.weight(at)?;
    n.add(y, bias)
}

fn dense(n: &mut Layer<'_>) -> Values {
    let x = n.x()?;
    let y = match n.policy.quantised {
        Some(Quantised::Int8) => int8_product(n, x)?,
        Some(Quantised::Other) => return Err(OpError::unsupported("weights that are quantised in another way than to int8 are not supported").help("save the model before it is quantised, or quantise it to int8")),
        None => {
            let kernel = n.weight(0)?;
            n.apply(MatMul {}, &[x, kernel])?
        }
    };
    let y = biased(n, y, 1)?;
    Ok(bare([activate(n, y, "activation")?]))
}

/// The product of bytes: of weights with a scale for each column, and of an input with one for each row, made of its largest number.
fn int8_product(n: &mut Layer<'_>, x: ValueId) -> Result<ValueId, OpError> {
    let kernel = n.raw_weight("", 0)?;
    let scale = n.weight(if n.config.flag("use_bias", true)? { 2 } else { 1 })?;
    let quantizer = n.config.get("quantization_config").and_then(|config| config.get("config"));
    if quantizer.is_some_and(|config| config.get("activation_quantizer").is_none_or(Value::is_null)) {
        let dtype = n.builder.dtype(x);
        let kernel = n.cast(kernel, dtype)?;
        let y = n.apply(MatMul {}, &[x, kernel])?;
        return n.div(y, scale);
    }
    let epsilon = quantizer.and_then(|config| number(config.get("activation_quantizer")?.get("config")?.get("epsilon")?)).unwrap_or(1e-7);
    let axis = n.axis_of(x, -1)?;
    let sizes = n.apply(Abs {}, &[x])?;
    let largest = n.apply(Aggregate { statistic: Statistic::Max, axes: vec![axis], keep: true }, &[sizes])?;
    let largest = n.offset(largest, epsilon)?;
    let most = n.number_like(x, 127.0);
    let x_scale = n.div(most, largest)?;
    let scaled = n.mul(x, x_scale)?;
    let rounded = n.apply(Round {}, &[scaled])?;
    let rounded = clip(n, rounded, -127.0, 127.0)?;
    let bytes = n.cast(rounded, DType::I8)?;
    let zero = n.builder.scalar(DType::I8, 0.0);
    let y = n.apply(MatMulInteger {}, &[bytes, kernel, zero, zero])?;
    let y = n.cast(y, n.policy.compute)?;
    let scale = n.mul(scale, x_scale)?;
    n.div(y, scale)
}

fn einsum_dense(n: &mut Layer<'_>) -> Values {
    if n.policy.quantised.is_some() {
        return Err(OpError::unsupported("weights that are quantised are not supported here").help("save the model before it is quantised"));
    }
    let equation = n.config.maybe_text("equation")?.ok_or_else(|| Config::missing("equation"))?.to_owned();
    let (x, kernel) = (n.x()?, n.weight(0)?);
    let mut y = n.apply(Einsum { equation }, &[x, kernel])?;
    if n.config.get("bias_axes").is_some() {
        let bias = n.weight(1)?;
        y = n.add(y, bias)?;
    }
    Ok(bare([activate(n, y, "activation")?]))
}

/// Is each number another than one number?
pub(super) fn differs(n: &mut Layer<'_>, x: ValueId, number: f64) -> Result<ValueId, OpError> {
    let number = n.number_like(x, number);
    let equal = n.apply(Equal {}, &[x, number])?;
    n.apply(Not {}, &[equal])
}

fn embedding(n: &mut Layer<'_>) -> Values {
    let x = n.x()?;
    let mask = if n.config.flag("mask_zero", false)? { Some(differs(n, x, 0.0)?) } else { None };
    let indices = if matches!(n.builder.dtype(x), DType::I32 | DType::I64) { x } else { n.cast(x, DType::I32)? };
    let y = match n.policy.quantised {
        None => {
            let table = n.weight(0)?;
            n.apply(Gather { axis: 0 }, &[table, indices])?
        }
        Some(Quantised::Int8) => {
            let (table, scales) = (n.raw_weight("", 0)?, n.weight(1)?);
            let y = n.apply(Gather { axis: 0 }, &[table, indices])?;
            let y = n.cast(y, n.policy.compute)?;
            let rank = n.rank(scales)?;
            let scales = if rank == 1 { n.reshape(scales, &[-1, 1])? } else { scales };
            let scale = n.apply(Gather { axis: 0 }, &[scales, indices])?;
            n.div(y, scale)?
        }
        Some(Quantised::Other) => return Err(OpError::unsupported("weights that are quantised in another way than to int8 are not supported").help("save the model before it is quantised")),
    };
    Ok(vec![Masked { value: y, mask }])
}

fn masking(n: &mut Layer<'_>) -> Values {
    let x = n.x()?;
    let ignored = n.config.float("mask_value", 0.0)?;
    let differs = differs(n, x, ignored)?;
    let differs = n.cast(differs, DType::I32)?;
    let axis = n.axis_of(x, -1)?;
    let any = n.apply(Aggregate { statistic: Statistic::Max, axes: vec![axis], keep: true }, &[differs])?;
    let kept = n.cast(any, DType::Bool)?;
    let factor = n.cast(kept, n.policy.compute)?;
    let value = n.mul(x, factor)?;
    let mut dims = n.dims(kept)?;
    dims.pop();
    let mask = n.reshape(kept, &dims)?;
    Ok(vec![Masked { value, mask: Some(mask) }])
}
