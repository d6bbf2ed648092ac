//! Convolution of quantised numbers over any number of spatial axes.
use crate::build::Builder;
use crate::compute::{Combine, Compute};
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::{ExprId, Exprs, Source};
use crate::graph::ValueId;
use crate::ops::matmul_integer::shifted;
use crate::ops::{Arg, Arity, Body, Domain, Input, OpDef, Sample};
use crate::ops::{conv::Conv, reshape::Reshape};
use crate::scalar::Scalar;
use crate::shape::TensorType;
use crate::tensor::Tensor;

op! {
    /// `conv_integer(x, w, x_zero, w_zero)`: `conv` of `x - x_zero` and `w - w_zero` in i32, which wraps. `x_zero` is one
    /// number, `w_zero` one or one for each output channel; margins count as `x_zero`. The sum runs over channels last.
    /// Source: ONNX `ConvInteger`.
    pub struct ConvInteger = "conv_integer" {
        /// Distance between windows, per spatial axis.
        pub strides: Vec<i64>,
        /// Distance between a window's elements, per spatial axis.
        pub dilations: Vec<i64>,
        /// Margin in front, per spatial axis.
        pub before: Vec<i64>,
        /// Margin behind, per spatial axis.
        pub after: Vec<i64>,
        /// Number of groups of channels that are convolved apart.
        pub groups: i64,
    }
}

impl ConvInteger {
    /// The convolution of numbers without zero points.
    pub fn plain(&self) -> Conv {
        Conv { strides: self.strides.clone(), dilations: self.dilations.clone(), before: self.before.clone(), after: self.after.clone(), groups: self.groups }
    }

    /// What that convolves: images and weights less their zero points, in i32.
    ///
    /// # Errors
    /// As inference.
    pub fn shifted(&self, b: &mut Builder, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let mut zero = inputs[3];
        if b.rank(zero)? == 1 {
            let mut column = vec![1; b.rank(inputs[1])?];
            column[0] = b.extents(zero)?[0];
            zero = b.apply(Reshape { extents: column }, &[zero])?;
        }
        let x_zero = b.apply(Reshape { extents: Vec::new() }, &inputs[2..3])?;
        Ok(vec![shifted(b, inputs[0], x_zero)?, shifted(b, inputs[1], zero)?])
    }
}

impl OpDef for ConvInteger {
    derived!();
    fn arity(&self) -> Arity {
        4..=4
    }
    fn dtypes(&self, _: &[DType]) -> Vec<DType> {
        vec![DType::I32]
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        if args.iter().any(|arg| !arg.ty.dtype.is_int()) {
            return Err(OpError::invalid("'conv_integer' takes integers"));
        }
        let one = |ty: &TensorType| ty.dims().map(|dims| dims.iter().all(|dim| dim.known().is_none_or(|n| n == 1)));
        let per_channel = |ty: &TensorType, w: &TensorType| Ok::<bool, OpError>(matches!((ty.dims()?, w.dims()?), ([zero], [channels, ..]) if zero.may_equal(channels)));
        if !one(args[2].ty)? || !(one(args[3].ty)? || per_channel(args[3].ty, args[1].ty)?) {
            return Err(OpError::invalid(format!("'conv_integer' with zero points {} and {}", args[2].ty, args[3].ty)));
        }
        let wide = [args[0].ty, args[1].ty].map(|ty| TensorType::new(DType::I32, ty.shape.clone()));
        self.plain().infer(&wide.each_ref().map(|ty| Arg { ty, value: None }))
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        let (x, w) = (args[0].extents()?, args[1].extents()?);
        let zeros = [args[2].extents()?, args[3].extents()?];
        let known: Vec<Arg<'_>> = args.iter().map(|ty| Arg { ty, value: None }).collect();
        let extents = self.infer(&known)?[0].extents()?;
        let conv = self.plain();
        let reduce = [&w[2..], &w[1..2]].concat();
        Ok(Body::Loops(vec![Compute::reduction(DType::I32, &extents, &reduce, Combine::Sum, |e, at, r| {
            let spatial = self.strides.len();
            let (index, inside) = conv.place(e, at, r[spatial], &r[..spatial], [&x, &w, &extents]);
            let a = e.guarded_load(Source(0), args[0].dtype, index, inside);
            let weight = [&[at[1], r[spatial]], &r[..spatial]].concat();
            let b = e.load(Source(1), args[1].dtype, weight);
            let zero = |e: &mut Exprs, operand: usize, at: ExprId| {
                let first = e.int(0);
                let index = zeros[operand].iter().map(|n| if *n == 1 { first } else { at }).collect();
                let zero = e.load(Source(operand as u32 + 2), args[operand + 2].dtype, index);
                e.cast(DType::I32, zero)
            };
            let (a_zero, b_zero) = (zero(e, 0, at[1]), zero(e, 1, at[1]));
            let (a, b) = (e.cast(DType::I32, a), e.cast(DType::I32, b));
            let (mut a, b) = (e.sub(a, a_zero), e.sub(b, b_zero));
            if e.as_const(inside) != Some(Scalar::Bool(true)) {
                let nothing = e.constant(Scalar::Int(0), DType::I32);
                a = e.select(inside, a, nothing);
            }
            e.mul(a, b)
        })]))
    }
    fn expand(&self, b: &mut Builder, inputs: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let shifted = self.shifted(b, inputs)?;
        b.apply_all(self.plain(), &shifted)
    }
}

impl ConvInteger {
    pub(crate) fn samples() -> Vec<Sample> {
        let conv = |strides: &[i64], before: &[i64], after: &[i64], groups| ConvInteger { strides: strides.into(), dilations: vec![1; strides.len()], before: before.into(), after: after.into(), groups };
        let (u, i) = (DType::U8, DType::I8);
        // Weights as programs have them: known, with known zero points.
        let known = |op: ConvInteger, x: DType, of: &[i64], window: &[i64], zero: f64| {
            let numbers = (0..window.iter().product::<i64>()).map(|n| Scalar::Int(i128::from(n * 89 % 256 - 128)));
            let weights = Tensor::from_scalars(i, window, numbers.collect::<Vec<_>>()).into_iter().map(Input::Constant);
            let zeros = [Tensor::scalar(x, Scalar::Float(zero)), Tensor::scalar(i, Scalar::Int(0))].map(Input::Constant);
            Sample { op: op.into(), inputs: [Input::Drawn(x, of.to_vec(), Domain::Any)].into_iter().chain(weights).chain(zeros).collect() }
        };
        let mut samples = vec![
            known(conv(&[1, 1], &[1, 1], &[1, 1], 1), u, &[1, 8, 9, 11], &[21, 8, 3, 3], 77.0),
            known(conv(&[2, 2], &[3, 3], &[2, 3], 1), i, &[1, 3, 17, 15], &[32, 3, 7, 7], -9.0),
            known(conv(&[1, 1], &[0, 0], &[0, 0], 1), u, &[2, 64, 7, 7], &[70, 64, 1, 1], 0.0),
            known(conv(&[2], &[1], &[2], 1), i, &[1, 5, 30], &[18, 5, 4], 12.0),
        ];
        let drawn = [
            (conv(&[2, 1], &[1, 0], &[0, 1], 1), (u, &[1i64, 3, 8, 9][..]), (i, &[4i64, 3, 3, 2][..]), &[4i64][..]),
            (conv(&[1, 1], &[1, 1], &[1, 1], 1), (i, &[2, 8, 5, 7]), (i, &[6, 8, 3, 3]), &[]),
            (conv(&[1, 1], &[0, 0], &[0, 0], 2), (u, &[1, 8, 4, 5]), (u, &[6, 4, 1, 1]), &[1]),
            (conv(&[3], &[2], &[0], 1), (u, &[1, 4, 20]), (i, &[5, 4, 5]), &[5]),
            (conv(&[1, 1], &[0, 0], &[0, 0], 1), (u, &[0, 1, 5, 5]), (u, &[1, 1, 2, 2]), &[]),
        ]
        .into_iter()
        .map(|(op, (x, of), (w, window), zeros)| Sample::drawn(op, Domain::Any, &[(x, of), (w, window), (x, &[]), (w, zeros)]));
        samples.extend(drawn);
        samples
    }
}
