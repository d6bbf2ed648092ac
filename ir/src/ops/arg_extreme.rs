//! Where the largest or smallest element is.
use crate::build::Builder;
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::ops::reduce::How;
use crate::ops::{Arg, Arity, Domain, OpDef, Sample};
use crate::ops::{equal::Equal, iota::Iota, is_nan::IsNan, or::Or, reduce::Reduce, reshape::Reshape, select::Select};
use crate::shape::{Dim, TensorType};

op! {
    /// The index (i64) of the largest or smallest element along `axis`. Among equal ones it is the
    /// first or the last; NaN counts as the extreme. Source: NumPy `argmax`, `argmin`.
    pub struct ArgExtreme = "arg_extreme" {
        /// The axis.
        pub axis: usize,
        /// The largest rather than the smallest?
        pub largest: bool,
        /// The last rather than the first of equal elements?
        pub last: bool,
        /// Does the axis stay, with extent 1?
        pub keep: bool,
    }
}

impl OpDef for ArgExtreme {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn dtypes(&self, _: &[DType]) -> Vec<DType> {
        vec![DType::I64]
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let mut dims = args[0].ty.dims()?.to_vec();
        if self.axis >= dims.len() || dims[self.axis].known() == Some(0) || args[0].ty.dtype == DType::Str {
            return Err(OpError::invalid(format!("there is no extreme element along axis {} of {}", self.axis, args[0].ty)));
        }
        if self.keep {
            dims[self.axis] = Dim::Known(1);
        } else {
            dims.remove(self.axis);
        }
        Ok(vec![TensorType::ranked(DType::I64, dims)])
    }
    /// The extreme value first, then the least or greatest index at which it stands.
    fn expand(&self, b: &mut Builder, x: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let mut extents = b.extents(x[0])?;
        let count = extents[self.axis];
        let axes = vec![self.axis];
        let extreme = b.apply(Reduce { how: if self.largest { How::Max } else { How::Min }, axes: axes.clone() }, x)?;
        let mut hit = b.apply(Equal {}, &[x[0], extreme])?;
        if b.dtype(x[0]).is_float() {
            // If there is a NaN it is the extreme, and equals nothing.
            let nan = b.apply(IsNan {}, x)?;
            hit = b.apply(Or {}, &[hit, nan])?;
        }
        let mut line = vec![1; extents.len()];
        line[self.axis] = count;
        let numbers = b.apply(Iota { dtype: DType::I64, extents: line, axis: self.axis }, &[])?;
        let none = b.scalar(DType::I64, if self.last { -1.0 } else { count as f64 });
        let places = b.apply(Select {}, &[hit, numbers, none])?;
        let place = b.apply(Reduce { how: if self.last { How::Max } else { How::Min }, axes }, &[places])?;
        if self.keep {
            return Ok(vec![place]);
        }
        extents.remove(self.axis);
        Ok(vec![b.apply(Reshape { extents }, &[place])?])
    }
}

impl ArgExtreme {
    pub(crate) fn samples() -> Vec<Sample> {
        let mut samples = Vec::new();
        for (largest, last) in [(true, false), (true, true), (false, false), (false, true)] {
            for (axis, dtype, extents) in [(1, DType::F32, &[7i64, 33][..]), (0, DType::F32, &[67, 5]), (1, DType::I32, &[3, 5, 2]), (0, DType::F16, &[9]), (0, DType::F32, &[1, 1])] {
                samples.push(Sample::drawn(ArgExtreme { axis, largest, last, keep: axis == 1 }, Domain::Any, &[(dtype, extents)]));
            }
        }
        samples
    }
}
