//! Dense layers, embeddings, masks, and what does nothing when a model isn't trained.

use frit_ir::ops::aggregate::{Aggregate, Statistic};
use frit_ir::ops::{abs::Abs, concat::Concat, einsum::Einsum, equal::Equal, gather::Gather, matmul::MatMul, matmul_integer::MatMulInteger, not::Not, round::Round, shl::Shl, shr::Shr};
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
    ("SpectralNormalization", Mask::Ends, |n| {
        // What it divides by is in the weights when they are saved.
        let layer = n.config.get("layer").ok_or_else(|| Config::missing("layer"))?;
        let x = n.first()?;
        n.inner(layer, "layer", Call::of(x))
    }),
    ("StochasticDepth", Mask::Ends, same),
];

/// Made of several of ours.
pub(super) const EXPANDED: &[Row] = &[
    ("Dense", Mask::Stays, dense),
    ("EinsumDense", Mask::Ends, einsum_dense),
    ("Embedding", Mask::Own, embedding),
    ("Masking", Mask::Own, masking),
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
        Some(Quantised::Int8) => {
            let kernel = n.raw_weight("", 0)?;
            narrow_product(n, x, kernel, true)?
        }
        Some(Quantised::Int4) => {
            let packed = n.raw_weight("", 0)?;
            let units = n.config.int("units")?;
            let kernel = unpacked(n, packed, units)?;
            let at = scale_at(n)?;
            let scale = n.weight(at)?;
            if n.rank(scale)? == 1 {
                narrow_product(n, x, kernel, false)?
            } else {
                let kernel = grouped(n, kernel, at, 0)?;
                n.apply(MatMul {}, &[x, kernel])?
            }
        }
        Some(Quantised::Other) => return Err(OpError::unsupported("weights that are quantised in another way than to int8 or int4 are not supported").help("save the model before it is quantised, or quantise it to int8")),
        None => {
            let kernel = n.weight(0)?;
            n.apply(MatMul {}, &[x, kernel])?
        }
    };
    let y = biased(n, y, 1)?;
    Ok(bare([activate(n, y, "activation")?]))
}

/// Where the scales of a dense layer lie among its weights.
fn scale_at(n: &Layer<'_>) -> Result<usize, OpError> {
    Ok(if n.config.flag("use_bias", true)? { 2 } else { 1 })
}

/// Numbers of four bits, two in a byte along the last axis, the first in the low bits, as bytes: `count` of them along it.
fn unpacked(n: &mut Layer<'_>, packed: ValueId, count: i64) -> Result<ValueId, OpError> {
    let (rank, extents) = (n.rank(packed)?, n.dims(packed)?);
    let four = n.builder.scalar(DType::I8, 4.0);
    // Shifted to the left and back again, the low bits have their sign.
    let low = n.apply(Shl {}, &[packed, four])?;
    let parts = [n.apply(Shr {}, &[low, four])?, n.apply(Shr {}, &[packed, four])?];
    let mut apart = extents.clone();
    apart.push(1);
    let parts = [n.reshape(parts[0], &apart)?, n.reshape(parts[1], &apart)?];
    let both = n.apply(Concat { axis: rank }, &parts)?;
    let mut wide = extents;
    if let Some(last) = wide.last_mut() {
        *last = last.saturating_mul(2);
    }
    let all = n.reshape(both, &wide)?;
    n.slice(all, rank - 1, 0, count, 1)
}

/// What narrow numbers stand for, where groups of them along an axis have a scale and a zero point. Weight `at` are the scales, then come the zero
/// points and each index's group.
fn grouped(n: &mut Layer<'_>, x: ValueId, at: usize, axis: usize) -> Result<ValueId, OpError> {
    let (scale, zero, groups) = (n.weight(at)?, n.raw_weight("", at + 1)?, n.raw_weight("", at + 2)?);
    let groups = n.cast(groups, DType::I32)?;
    let (scale, zero) = (n.apply(Gather { axis }, &[scale, groups])?, n.apply(Gather { axis }, &[zero, groups])?);
    let (x, zero) = (n.cast(x, n.policy.compute)?, n.cast(zero, n.policy.compute)?);
    let distance = n.sub(x, zero)?;
    n.mul(distance, scale)
}

/// The product of bytes: of weights with a scale for each column, and of an input with one for each row, made of its largest number, unless it stays what
/// it is; `rounded` says whether it does where the configuration is silent.
fn narrow_product(n: &mut Layer<'_>, x: ValueId, kernel: ValueId, rounded: bool) -> Result<ValueId, OpError> {
    let at = scale_at(n)?;
    let scale = n.weight(at)?;
    let quantizer = n.config.get("quantization_config").and_then(|config| config.get("config"));
    let stays = quantizer.map_or(!rounded, |config| config.get("activation_quantizer").is_none_or(Value::is_null));
    if stays {
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
            let table = n.raw_weight("", 0)?;
            scaled_rows(n, table, indices)?
        }
        Some(Quantised::Int4) => {
            let packed = n.raw_weight("", 0)?;
            let width = n.config.int("output_dim")?;
            let table = unpacked(n, packed, width)?;
            let scale = n.weight(1)?;
            if n.rank(scale)? == 1 {
                scaled_rows(n, table, indices)?
            } else {
                let table = grouped(n, table, 1, 1)?;
                n.apply(Gather { axis: 0 }, &[table, indices])?
            }
        }
        Some(Quantised::Other) => return Err(OpError::unsupported("weights that are quantised in another way than to int8 or int4 are not supported").help("save the model before it is quantised")),
    };
    Ok(vec![Masked { value: y, mask }])
}

/// Rows of a table of bytes, each with a scale.
fn scaled_rows(n: &mut Layer<'_>, table: ValueId, indices: ValueId) -> Result<ValueId, OpError> {
    let scales = n.weight(1)?;
    let y = n.apply(Gather { axis: 0 }, &[table, indices])?;
    let y = n.cast(y, n.policy.compute)?;
    let rank = n.rank(scales)?;
    let scales = if rank == 1 { n.reshape(scales, &[-1, 1])? } else { scales };
    let scale = n.apply(Gather { axis: 0 }, &[scales, indices])?;
    n.div(y, scale)
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
