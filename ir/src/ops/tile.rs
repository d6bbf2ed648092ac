//! A tensor repeated along its axes.
use crate::compute::Compute;
use crate::dtype::DType;
use crate::error::OpError;
use crate::expr::Source;
use crate::ops::{Arg, Arity, Body, Domain, OpDef, Sample};
use crate::scalar::Binary;
use crate::shape::{Dim, TensorType};

op! {
    /// `y[i..] = x[i mod extent..]`, each axis `repeats` times as long. Source: NumPy `tile`.
    pub struct Tile = "tile" {
        /// How many copies along each axis.
        pub repeats: Vec<i64>,
    }
}

impl OpDef for Tile {
    derived!();
    fn arity(&self) -> Arity {
        1..=1
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let dims = args[0].ty.dims()?;
        if dims.len() != self.repeats.len() || self.repeats.iter().any(|n| *n < 0) {
            return Err(OpError::invalid(format!("'tile' of shape {} by {:?} needs a number of copies for each axis", args[0].ty.shape, self.repeats)));
        }
        let result: Vec<Dim> = dims.iter().zip(&self.repeats).map(|(dim, n)| dim.times(&Dim::Known(*n))).collect();
        if let Some(extents) = result.iter().map(Dim::known).collect::<Option<Vec<_>>>() {
            crate::tensor::checked_elems(&extents)?;
        }
        Ok(vec![TensorType::ranked(args[0].ty.dtype, result)])
    }
    fn body(&self, args: &[&TensorType]) -> Result<Body, OpError> {
        let from = args[0].extents()?;
        let extents = self.infer(&[Arg { ty: args[0], value: None }])?[0].extents()?;
        Ok(Body::Loops(vec![Compute::map(args[0].dtype, &extents, |e, at| {
            let index = at
                .iter()
                .enumerate()
                .map(|(k, i)| {
                    if self.repeats[k] == 1 {
                        return *i;
                    }
                    let extent = e.int(from[k]);
                    e.binary(Binary::Mod, *i, extent)
                })
                .collect();
            e.load(Source(0), args[0].dtype, index)
        })]))
    }
}

impl Tile {
    pub(crate) fn samples() -> Vec<Sample> {
        vec![
            Sample::drawn(Tile { repeats: vec![2, 1, 3] }, Domain::Any, &[(DType::F32, &[2, 3, 5])]),
            Sample::drawn(Tile { repeats: vec![17] }, Domain::Any, &[(DType::I64, &[1])]),
            Sample::drawn(Tile { repeats: vec![0, 2] }, Domain::Any, &[(DType::F16, &[4, 3])]),
            Sample::drawn(Tile { repeats: vec![] }, Domain::Any, &[(DType::Bool, &[])]),
            Sample::drawn(Tile { repeats: vec![3, 2] }, Domain::Any, &[(DType::I8, &[0, 3])]),
        ]
    }
}
