//! Simulated quantisation, as training with it leaves it in a graph.

use frit_ir::ops::{add::Add, and::And, clip::Clip, div::Div, less_equal::LessEqual, mul::Mul, reshape::Reshape, round::Round, sub::Sub};
use frit_ir::{DType, ValueId};

use super::Handler;
use super::call::Call;

pub(super) const EXPANDED: &[(&str, Handler)] = &[
    ("fake_quantize_per_channel_affine", |c| simulated(c).and_then(|[y, _]| c.one(y))),
    ("fake_quantize_per_channel_affine_cachemask", |c| simulated(c).and_then(|both| c.several(&both))),
    ("fake_quantize_per_tensor_affine", |c| simulated(c).and_then(|[y, _]| c.one(y))),
    ("fake_quantize_per_tensor_affine_cachemask", |c| simulated(c).and_then(|both| c.several(&both))),
];

/// `(clip(round(x / scale) + zero_point, quant_min, quant_max) - zero_point) * scale`, with a product by the reciprocal as PyTorch has it, and
/// where nothing was clipped. Source: the documentation of `torch.fake_quantize_per_tensor_affine`.
fn simulated(c: &mut Call<'_>) -> Result<[ValueId; 2], frit_ir::OpError> {
    let x = c.tensor("self")?;
    let dtype = c.dtype(x);
    let (mut scale, mut zero) = (c.as_dtype("scale", DType::F32)?, c.as_dtype("zero_point", DType::F32)?);
    if c.has("axis") {
        let axis = c.axis("axis", x)?;
        let rank = c.rank(x)?;
        for operand in [&mut scale, &mut zero] {
            let count = c.extents(*operand)?.iter().product();
            let extents = (0..rank).map(|k| if k == axis { count } else { 1 }).collect();
            *operand = c.apply(Reshape { extents }, &[*operand])?;
        }
    }
    let (low, high) = (c.int("quant_min")? as f64, c.int("quant_max")? as f64);
    let (low, high) = (c.like(scale, low), c.like(scale, high));
    let one = c.like(scale, 1.0);
    let wide = c.cast(x, DType::F32)?;
    let inverse = c.apply(Div {}, &[one, scale])?;
    let scaled = c.apply(Mul {}, &[wide, inverse])?;
    let rounded = c.apply(Round {}, &[scaled])?;
    let shifted = c.apply(Add {}, &[rounded, zero])?;
    let (above, below) = (c.apply(LessEqual {}, &[low, shifted])?, c.apply(LessEqual {}, &[shifted, high])?);
    let kept = c.apply(And {}, &[above, below])?;
    let clipped = c.apply(Clip {}, &[shifted, low, high])?;
    let back = c.apply(Sub {}, &[clipped, zero])?;
    let y = c.apply(Mul {}, &[back, scale])?;
    Ok([c.cast(y, dtype)?, kept])
}
