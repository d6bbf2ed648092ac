//! The op list. One op is one file beside this one; this page is the list, one line each.
//!
//! In: operand types. Out: what each op infers, computes and expands to. Printer, parser,
//! verifier, interpreter, scheduler and per-op tests are derived from this list. Must not know:
//! source formats, devices.
//!
//! To add an op: write `ir/src/ops/<op>.rs` (copy a neighbour of its kind) and add its line to
//! `ops!` below.

pub mod attr;
pub(crate) mod compose;
#[macro_use]
mod define;
pub mod padding;
pub mod recurrent;
pub mod sample;
pub mod subgraph;
pub(crate) mod strassen;
pub(crate) mod winograd;

use crate::build::Builder;
use crate::compute::Compute;
use crate::dtype::DType;
use crate::error::{Kind, OpError};
use crate::graph::ValueId;
use crate::shape::{Dim, Shape, TensorType};
use crate::tensor::Tensor;

pub use attr::{Attr, AttrValue};
pub use sample::{Domain, Input, Sample};

/// An operand as inference sees it.
#[derive(Clone, Copy, Debug)]
pub struct Arg<'a> {
    /// Dtype and shape.
    pub ty: &'a TensorType,
    /// The tensor, where it is a constant.
    pub value: Option<&'a Tensor>,
}

/// What an op is made of.
#[derive(Debug)]
pub enum Body {
    /// One loop nest per output.
    Loops(Vec<Compute>),
    /// Other ops, see [`OpDef::expand`].
    Expansion,
    /// Irregular work: only [`OpDef::eval`] says what it does.
    Routine,
}

/// How many operands an op takes, from and to (inclusive).
pub type Arity = std::ops::RangeInclusive<usize>;

/// Any number of operands from `n`.
pub const fn at_least(n: usize) -> Arity {
    n..=usize::MAX
}

/// How far a compiled result may lie from the reference interpreter's.
///
/// A result `a` is right for a reference `b` if `|a - b| <= absolute + relative * |b|`, or both are
/// NaN, or they are equal. Integers and bools are always compared exactly.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Tolerance {
    /// Part that does not depend on the size of the value.
    pub absolute: f64,
    /// Part in units of the value.
    pub relative: f64,
}

impl Tolerance {
    /// The same value.
    pub const EXACT: Tolerance = Tolerance { absolute: 0.0, relative: 0.0 };

    /// So many units in the last place of a dtype.
    pub fn ulps(count: f64, dtype: DType) -> Tolerance {
        let (epsilon, tiny) = match dtype {
            DType::F64 => (f64::EPSILON, f64::MIN_POSITIVE),
            DType::F32 => (f64::from(f32::EPSILON), f64::from(f32::MIN_POSITIVE)),
            DType::F16 => (2f64.powi(-10), 2f64.powi(-24)),
            DType::BF16 => (2f64.powi(-7), f64::from(f32::MIN_POSITIVE)),
            _ => (0.0, 0.0),
        };
        Tolerance { absolute: count * tiny, relative: count * epsilon }
    }

    /// Sums whose terms are rounded in another order: the error grows with the root of the number of
    /// terms (Higham, Accuracy and Stability of Numerical Algorithms, 2.8 and 4.2) and with the size
    /// of the terms, taken to be of order `magnitude`.
    pub fn sum(dtype: DType, magnitude: f64) -> Tolerance {
        let one = Tolerance::ulps(16.0, dtype.accumulator());
        let last = Tolerance::ulps(1.0, dtype);
        Tolerance { absolute: one.relative * magnitude + last.absolute, relative: one.relative + last.relative }
    }
}

/// An op: its types, its meaning, its tests.
pub trait OpDef: std::fmt::Debug {
    /// The name in the text form: the file's name.
    fn name(&self) -> &'static str;

    /// The attributes, in declaration order.
    fn attrs(&self) -> Vec<(&'static str, Attr)>;

    /// How many operands.
    fn arity(&self) -> Arity;

    /// Dtypes of the results, whatever the shapes are. By default one result of the first operand's dtype.
    fn dtypes(&self, args: &[DType]) -> Vec<DType> {
        args.first().map(|dtype| vec![*dtype]).unwrap_or_default()
    }

    /// Types of the results.
    ///
    /// # Errors
    /// Invalid where the operands don't fit; [`Kind::Unknown`] where a shape can't be told yet (the result is
    /// then unranked). By default the op is a composite, and the types are those of its expansion.
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        infer_expansion(self, args)
    }

    /// What the op computes, for operands whose extents are all known. By default: it is a composite.
    ///
    /// # Errors
    /// As [`OpDef::infer`].
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        let _ = args;
        Ok(Body::Expansion)
    }

    /// Writes a composite as other ops. Must not fail for operands of known shape that `infer` accepts, except with
    /// [`Kind::Unknown`] where it needs the value of an operand that is not a constant.
    ///
    /// # Errors
    /// As [`OpDef::infer`].
    fn expand(&self, builder: &mut Builder, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let _ = (builder, inputs);
        Err(OpError::bug(format!("op '{}' has no expansion", self.name())))
    }

    /// Does a composite only exist so that its parameters may be operands (`reshape_to`, `slice_by`)?
    /// Such ops are expanded as soon as those operands are constants; others keep their names until scheduling.
    fn expands_early(&self) -> bool {
        false
    }

    /// Does it compute each element of its one result from one element of each operand, after NumPy's broadcasting?
    fn elementwise(&self) -> bool {
        false
    }

    /// Does it give the same results for the same operands? Ops that draw random numbers don't, and are not folded.
    fn deterministic(&self) -> bool {
        true
    }

    /// Computes the results. By default by the body: its loops point by point, or its expansion.
    ///
    /// # Errors
    /// Invalid where the operands' values are at fault (an index out of range); unsupported where memory runs out.
    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        eval_body(self, inputs)
    }

    /// How far a compiled result may be off for results of this dtype.
    fn tolerance(&self, dtype: DType) -> Tolerance {
        let _ = dtype;
        Tolerance::EXACT
    }
}

/// Types of a composite's results: those of its expansion.
///
/// # Errors
/// As [`OpDef::infer`].
pub fn infer_expansion<T: OpDef + ?Sized>(op: &T, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
    let mut builder = Builder::new("infer");
    let inputs = bind(&mut builder, args);
    let outputs = op.expand(&mut builder, &inputs)?;
    Ok(outputs.iter().map(|v| builder.ty(*v).clone()).collect())
}

/// As [`infer_expansion`], and where that can't be told yet the dims of the one result that `partial` gives: at least
/// their number. The result has the first operand's dtype.
///
/// # Errors
/// As [`OpDef::infer`].
pub fn infer_parameters<T: OpDef + ?Sized>(op: &T, args: &[Arg<'_>], partial: impl FnOnce() -> Result<Vec<Dim>, OpError>) -> Result<Vec<TensorType>, OpError> {
    match infer_expansion(op, args) {
        Err(error) if error.kind == Kind::Unknown => {
            let dtypes: Vec<DType> = args.iter().map(|arg| arg.ty.dtype).collect();
            let dims = partial()?;
            Ok(op.dtypes(&dtypes).into_iter().map(|dtype| TensorType::ranked(dtype, dims.clone())).collect())
        }
        other => other,
    }
}

impl Arg<'_> {
    /// The integers, if the operand is a constant.
    pub fn ints(&self) -> Option<Vec<i64>> {
        self.value.map(Tensor::ints)
    }

    /// Number of elements of a vector (a scalar counts as one); [`OpError::unknown`] where it is open.
    ///
    /// # Errors
    /// Invalid where the operand has more than one axis.
    pub fn length(&self) -> Result<usize, OpError> {
        match self.ty.dims()? {
            [] => Ok(1),
            [one] => one.known().and_then(|n| usize::try_from(n).ok()).ok_or_else(OpError::unknown),
            _ => Err(OpError::invalid(format!("a vector is needed, not {}", self.ty))),
        }
    }
}

/// The operands in a builder of their own: what is known as constants, the others as inputs.
pub(crate) fn bind(builder: &mut Builder, args: &[Arg<'_>]) -> Vec<ValueId> {
    args.iter()
        .enumerate()
        .map(|(at, arg)| match arg.value {
            Some(tensor) => builder.constant(tensor.clone()),
            None => builder.input(format!("{at}"), arg.ty.clone()),
        })
        .collect()
}

/// Evaluates an op by its body.
///
/// # Errors
/// As [`OpDef::eval`].
pub fn eval_body<T: OpDef + ?Sized>(op: &T, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
    let types: Vec<TensorType> = inputs.iter().map(|tensor| tensor.ty()).collect();
    match op.body(&types.iter().collect::<Vec<_>>())? {
        Body::Loops(nests) => nests.iter().map(|nest| nest.run(inputs)).collect(),
        Body::Expansion => {
            let mut builder = Builder::new(op.name());
            let constants: Vec<ValueId> = inputs.iter().map(|tensor| builder.constant((*tensor).clone())).collect();
            let outputs = op.expand(&mut builder, &constants)?;
            for value in outputs {
                builder.output("", value);
            }
            crate::eval::run(&builder.finish(), &[]).map_err(|error| OpError { kind: error.kind, message: error.message, help: error.help })
        }
        Body::Routine => Err(OpError::bug(format!("op '{}' neither has a body nor an evaluation", op.name()))),
    }
}

impl Op {
    /// Types of the results; unranked where they can't be told yet.
    ///
    /// # Errors
    /// Invalid where number, dtypes or shapes of the operands don't fit.
    pub fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let arity = self.def().arity();
        if !arity.contains(&args.len()) {
            let expected = if arity.start() == arity.end() { arity.start().to_string() } else if *arity.end() == usize::MAX { format!("at least {}", arity.start()) } else { format!("{} to {}", arity.start(), arity.end()) };
            return Err(OpError::invalid(format!("op '{}' takes {expected} operands, not {}", self.name(), args.len())));
        }
        match self.def().infer(args) {
            Err(error) if error.kind == Kind::Unknown => {
                let dtypes: Vec<DType> = args.iter().map(|arg| arg.ty.dtype).collect();
                Ok(self.def().dtypes(&dtypes).into_iter().map(|dtype| TensorType::new(dtype, Shape::Unranked)).collect())
            }
            other => other,
        }
    }

    /// The op's name.
    pub fn name(&self) -> &'static str {
        self.def().name()
    }
}

ops! {
    // Constants.
    constant::Constant,
    iota::Iota,
    cosine_window::CosineWindow,
    random::Random,
    // Elementwise, one operand.
    abs::Abs,
    exp::Exp,
    log::Log,
    neg::Neg,
    sqrt::Sqrt,
    reciprocal::Reciprocal,
    sin::Sin,
    cos::Cos,
    tan::Tan,
    asin::Asin,
    acos::Acos,
    atan::Atan,
    sinh::Sinh,
    cosh::Cosh,
    tanh::Tanh,
    asinh::Asinh,
    acosh::Acosh,
    atanh::Atanh,
    erf::Erf,
    floor::Floor,
    ceil::Ceil,
    round::Round,
    sign::Sign,
    not::Not,
    is_nan::IsNan,
    is_inf::IsInf,
    sigmoid::Sigmoid,
    leaky_relu::LeakyRelu,
    elu::Elu,
    celu::Celu,
    selu::Selu,
    hard_sigmoid::HardSigmoid,
    hard_swish::HardSwish,
    swish::Swish,
    softplus::Softplus,
    mish::Mish,
    softsign::Softsign,
    thresholded_relu::ThresholdedRelu,
    shrink::Shrink,
    gelu::Gelu,
    bitcast::Bitcast,
    cast_narrow::CastNarrow,
    cast::Cast,
    // Elementwise, two and three operands.
    add::Add,
    sub::Sub,
    mul::Mul,
    div::Div,
    max::Max,
    min::Min,
    pow::Pow,
    equal::Equal,
    rem::Rem,
    modulo::Modulo,
    and::And,
    or::Or,
    xor::Xor,
    shl::Shl,
    shr::Shr,
    less::Less,
    less_equal::LessEqual,
    prelu::Prelu,
    clip::Clip,
    quantize::Quantize,
    dequantize::Dequantize,
    select::Select,
    // Movement.
    broadcast::Broadcast,
    reshape::Reshape,
    transpose::Transpose,
    slice::Slice,
    concat::Concat,
    pad::Pad,
    extend::Extend,
    tile::Tile,
    triangle::Triangle,
    depth_to_space::DepthToSpace,
    space_to_depth::SpaceToDepth,
    reverse_sequence::ReverseSequence,
    eye_like::EyeLike,
    one_hot::OneHot,
    // Gather and scatter.
    gather::Gather,
    gather_elements::GatherElements,
    gather_nd::GatherNd,
    scatter_elements::ScatterElements,
    scatter_nd::ScatterNd,
    tensor_scatter::TensorScatter,
    // Sorting and selection.
    top_k::TopK,
    unique::Unique,
    compress::Compress,
    nonzero::NonZero,
    tree_ensemble::TreeEnsemble,
    frames::Frames,
    // Images.
    grid_sample::GridSample,
    fold::Fold,
    roi_align::RoiAlign,
    max_roi_pool::MaxRoiPool,
    non_max_suppression::NonMaxSuppression,
    // Reduction and contraction.
    reduce::Reduce,
    matmul::MatMul,
    conv::Conv,
    pair::Pair,
    matmul_pairs::MatMulPairs,
    conv_pairs::ConvPairs,
    cumulate::Cumulate,
    det::Det,
    conv_transpose::ConvTranspose,
    deform_conv::DeformConv,
    einsum::Einsum,
    window::Window,
    window_index::WindowIndex,
    strassen_input::StrassenInput,
    strassen_output::StrassenOutput,
    strassen_weight::StrassenWeight,
    winograd_input::WinogradInput,
    winograd_output::WinogradOutput,
    winograd_weight::WinogradWeight,
    mel_weights::MelWeights,
    max_unpool::MaxUnpool,
    // Composites.
    relu::Relu,
    softmax::Softmax,
    log_softmax::LogSoftmax,
    hardmax::Hardmax,
    swiglu::Swiglu,
    average::Average,
    aggregate::Aggregate,
    arg_extreme::ArgExtreme,
    standardise::Standardise,
    dynamic_quantize::DynamicQuantize,
    matmul_integer::MatMulInteger,
    conv_integer::ConvInteger,
    matmul_quantized::MatMulQuantized,
    nll_loss::NllLoss,
    gemm::Gemm,
    max_pool::MaxPool,
    average_pool::AveragePool,
    global_pool::GlobalPool,
    lp_pool::LpPool,
    batch_norm::BatchNorm,
    layer_norm::LayerNorm,
    rms_norm::RmsNorm,
    group_norm::GroupNorm,
    lp_norm::LpNorm,
    lrn::Lrn,
    lstm::Lstm,
    gru::Gru,
    rnn::Rnn,
    dft::Dft,
    attention::Attention,
    rotary_embedding::RotaryEmbedding,
    linear_attention::LinearAttention,
    causal_conv::CausalConv,
    // Composites whose parameters are operands.
    shape_of::ShapeOf,
    size_of::SizeOf,
    reshape_to::ReshapeTo,
    aggregate_by::AggregateBy,
    cumulate_by::CumulateBy,
    flattened::Flattened,
    flatten::Flatten,
    squeeze::Squeeze,
    unsqueeze::Unsqueeze,
    expand_to::ExpandTo,
    tile_by::TileBy,
    split::Split,
    slice_by::SliceBy,
    pad_by::PadBy,
    center_crop_pad::CenterCropPad,
    one_hot_by::OneHotBy,
    range::Range,
    trilu_by::TriluBy,
    dot::Dot,
    convolution::Convolution,
    convolution_integer::ConvolutionInteger,
    deconvolution::Deconvolution,
    cosine_window_by::CosineWindowBy,
    dft_by::DftBy,
    stft::Stft,
    random_like::RandomLike,
    resize_to::ResizeTo,
    affine_grid::AffineGrid,
    col2im::Col2Im,
    channel_bias::ChannelBias,
    // Control flow.
    fail::Fail,
    if_::If,
    loop_::Loop,
    scan::Scan,
}
