//! Windows, Fourier transforms, random numbers.

use frit_ir::ops::random::{Distribution, Random};
use frit_ir::ops::{cast::Cast, cosine_window_by::CosineWindowBy, dft_by::DftBy, less::Less, mel_weights::MelWeights, random_like::RandomLike, stft::Stft};
use frit_ir::{DType, OpError, ValueId};

use super::{Handler, Node};

type Values = Result<Vec<ValueId>, OpError>;

pub(super) const OPS: &[(&str, Handler)] = &[
    ("Bernoulli", bernoulli),
    ("BlackmanWindow", |n| window(n, &[0.42, -0.5, 0.08])),
    ("DFT", dft),
    ("HammingWindow", |n| window(n, &[25.0 / 46.0, -21.0 / 46.0])),
    ("HannWindow", |n| window(n, &[0.5, -0.5])),
    ("MelWeightMatrix", |n| {
        let dtype = n.maybe_dtype("output_datatype")?.unwrap_or(DType::F32);
        n.simple(MelWeights { dtype }, 5)
    }),
    ("RandomNormal", |n| random(n, Distribution::Normal)),
    ("RandomNormalLike", |n| random_like(n, Distribution::Normal)),
    ("RandomUniform", |n| random(n, Distribution::Uniform)),
    ("RandomUniformLike", |n| random_like(n, Distribution::Uniform)),
    ("STFT", stft),
];

fn window(n: &mut Node<'_, '_>, coefficients: &[f64]) -> Values {
    let dtype = n.maybe_dtype("output_datatype")?.unwrap_or(DType::F32);
    let symmetric = !n.flag("periodic", true);
    n.simple(CosineWindowBy { coefficients: coefficients.to_vec(), symmetric, dtype }, 1)
}

/// The axis is an attribute before opset 20, then an operand.
fn dft(n: &mut Node<'_, '_>) -> Values {
    let axis = match n.optional(2) {
        Some(axis) => axis,
        None => {
            let default = if n.opset < 20 { 1 } else { -2 };
            n.builder.ints(&[n.int("axis", default)])
        }
    };
    let operands: Vec<ValueId> = [n.input(0)?, axis].into_iter().chain(n.optional(1)).collect();
    let (inverse, onesided) = (n.flag("inverse", false), n.flag("onesided", false));
    Ok(vec![n.apply(DftBy { inverse, onesided }, &operands)?])
}

fn stft(n: &mut Node<'_, '_>) -> Values {
    let (signal, step, window) = (n.input(0)?, n.input(1)?, n.optional(2));
    let length = match (n.optional(3), window) {
        (Some(length), _) => length,
        (None, Some(window)) => {
            let extents = n.builder.extents(window)?;
            n.builder.ints(&extents)
        }
        (None, None) => return Err(OpError::invalid("'STFT' has neither a window nor a frame length")),
    };
    let operands: Vec<ValueId> = [signal, step, length].into_iter().chain(window).collect();
    Ok(vec![n.apply(Stft { onesided: n.flag("onesided", true) }, &operands)?])
}

/// The seed that the model gives, or one of the node's own.
fn seed(n: &Node<'_, '_>) -> i64 {
    n.maybe_float("seed").map_or(n.builder.graph().nodes().len() as i64, |seed| seed.to_bits() as i64)
}

fn bounds(n: &Node<'_, '_>, distribution: Distribution) -> (f64, f64) {
    match distribution {
        Distribution::Uniform => (n.float("low", 0.0), n.float("high", 1.0)),
        Distribution::Normal => (n.float("mean", 0.0), n.float("scale", 1.0)),
    }
}

fn random(n: &mut Node<'_, '_>, distribution: Distribution) -> Values {
    let dtype = n.maybe_dtype("dtype")?.unwrap_or(DType::F32);
    let extents = n.maybe_ints("shape").ok_or_else(|| n.missing("shape"))?.to_vec();
    let (first, second) = bounds(n, distribution);
    let seed = seed(n);
    n.simple(Random { dtype, extents, distribution, first, second, seed }, 0)
}

fn random_like(n: &mut Node<'_, '_>, distribution: Distribution) -> Values {
    let dtype = n.maybe_dtype("dtype")?.unwrap_or(n.builder.dtype(n.input(0)?));
    let (first, second) = bounds(n, distribution);
    let seed = seed(n);
    n.simple(RandomLike { dtype, distribution, first, second, seed }, 1)
}

fn bernoulli(n: &mut Node<'_, '_>) -> Values {
    let x = n.input(0)?;
    let dtype = n.builder.dtype(x);
    let to = n.maybe_dtype("dtype")?.unwrap_or(dtype);
    let seed = seed(n);
    let drawn = n.apply(RandomLike { dtype, distribution: Distribution::Uniform, first: 0.0, second: 1.0, seed }, &[x])?;
    let hit = n.apply(Less {}, &[drawn, x])?;
    Ok(vec![n.apply(Cast { to }, &[hit])?])
}
