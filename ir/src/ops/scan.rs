//! A subgraph applied to one element after another.
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::Graph;
use crate::ops::subgraph::{at, either, infer, nothing, stack};
use crate::ops::{Arg, Arity, Body, Domain, OpDef, Sample, at_least};
use crate::shape::{Dim, TensorType, axis};
use crate::tensor::Tensor;

op! {
    /// `scan(states.., scanned.., captures..)`: applies `body` once for each index along an axis of the scanned tensors.
    ///
    /// Operands: `states` initial states, then one scanned tensor per entry of `input_axes`, then captures, which are the
    /// same in every step. `body` takes `(states.., elements.., captures..)`, an element being what lies at the step's index
    /// of a scanned tensor, without that axis; it gives `(states.., elements..)`, one element per entry of `output_axes`.
    /// The states that a step gives are those that the next one takes. Results: the last states, then for each element of
    /// the body's the elements of all steps, side by side along a new axis.
    ///
    /// All scanned tensors have one extent along their axes, the number of steps. Without steps the results are the initial
    /// states and tensors of extent 0. States keep their shapes in every step. Source: ONNX `Scan` from opset 9.
    pub struct Scan = "scan" {
        /// One step.
        pub body: Graph,
        /// Number of states.
        pub states: usize,
        /// The axis that is scanned, per scanned tensor; negative counts from the end.
        pub input_axes: Vec<i64>,
        /// Is it scanned from the end, per scanned tensor?
        pub input_reversed: Vec<bool>,
        /// The axis along which elements are collected, per collected result; negative counts from the end.
        pub output_axes: Vec<i64>,
        /// Does the first step's element come last, per collected result?
        pub output_reversed: Vec<bool>,
    }
}

impl Scan {
    fn check(&self, operands: usize) -> Result<(), OpError> {
        let fixed = self.states.saturating_add(self.input_axes.len());
        let right = self.input_axes.len() == self.input_reversed.len()
            && self.output_axes.len() == self.output_reversed.len()
            && !self.input_axes.is_empty()
            && self.body.outputs().len() == self.states.saturating_add(self.output_axes.len())
            && operands >= fixed
            && self.body.inputs().len() == operands;
        if right { Ok(()) } else { Err(OpError::invalid(format!("the body of 'scan' takes {} operands and gives {} results, which do not fit {operands} operands", self.body.inputs().len(), self.body.outputs().len()))) }
    }

    /// Types of the body's operands for types of the op's.
    ///
    /// # Errors
    /// Invalid where operands don't fit the attributes; unknown where a scanned tensor's rank is open.
    pub fn body_inputs(&self, args: &[&TensorType]) -> Result<Vec<TensorType>, OpError> {
        self.check(args.len())?;
        let mut types = Vec::new();
        for (at, ty) in args.iter().enumerate() {
            let mut ty = (*ty).clone();
            if let Some(which) = at.checked_sub(self.states).filter(|k| *k < self.input_axes.len()) {
                let mut dims = ty.dims()?.to_vec();
                dims.remove(axis(self.input_axes[which], dims.len())?);
                ty = TensorType::ranked(ty.dtype, dims);
            }
            types.push(ty);
        }
        Ok(types)
    }

    /// The number of steps for types of the operands.
    ///
    /// # Errors
    /// Invalid where scanned tensors differ in it; unknown where a rank is open.
    pub fn steps(&self, args: &[&TensorType]) -> Result<Dim, OpError> {
        self.check(args.len())?;
        let mut steps = Dim::Unknown;
        for (ty, along) in args[self.states..].iter().zip(&self.input_axes) {
            let dims = ty.dims()?;
            let dim = &dims[axis(*along, dims.len())?];
            if !steps.may_equal(dim) {
                return Err(OpError::invalid(format!("'scan' goes over {steps} and {dim} elements at once")));
            }
            if steps.known().is_none() {
                steps = dim.clone();
            }
        }
        Ok(steps)
    }
}

impl OpDef for Scan {
    derived!();
    fn arity(&self) -> Arity {
        at_least(1)
    }
    fn dtypes(&self, _: &[DType]) -> Vec<DType> {
        self.body.outputs().iter().map(|(_, value)| self.body.ty(*value).dtype).collect()
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        let given: Vec<&TensorType> = args.iter().map(|arg| arg.ty).collect();
        let steps = self.steps(&given)?;
        let mut types = self.body_inputs(&given)?;
        let fixed = self.states + self.input_axes.len();
        // A state's type must hold before and after each step; it can only get wider, so this ends.
        let mut outputs;
        loop {
            let inner: Vec<Arg<'_>> = types.iter().enumerate().map(|(k, ty)| Arg { ty, value: if k < fixed { None } else { args[k].value } }).collect();
            outputs = infer(&self.body, &inner)?;
            let wider: Vec<TensorType> = (0..self.states).map(|k| TensorType::new(types[k].dtype, either(&types[k].shape, &outputs[k].shape))).collect();
            if let Some(k) = (0..self.states).find(|k| types[*k].dtype != outputs[*k].dtype) {
                return Err(OpError::invalid(format!("state {k} of 'scan' is {} before a step and {} after it", types[k], outputs[k])));
            }
            if types[..self.states] == wider {
                break;
            }
            types.splice(..self.states, wider);
        }
        let mut results = types[..self.states].to_vec();
        for (ty, along) in outputs[self.states..].iter().zip(&self.output_axes) {
            results.push(match ty.dims() {
                Ok(dims) => {
                    let mut dims = dims.to_vec();
                    let at = axis(*along, dims.len() + 1)?;
                    dims.insert(at, steps.clone());
                    TensorType::ranked(ty.dtype, dims)
                }
                Err(_) => ty.clone(),
            });
        }
        Ok(results)
    }
    fn body(&self, _: &[&TensorType]) -> Result<Body, OpError> {
        Ok(Body::Routine)
    }
    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let types: Vec<TensorType> = inputs.iter().map(|tensor| tensor.ty()).collect();
        let types: Vec<&TensorType> = types.iter().collect();
        let steps = self.steps(&types)?.known().ok_or_else(|| OpError::bug("a tensor's extent is known"))? as usize;
        let scanned = &inputs[self.states..self.states + self.input_axes.len()];
        let captures = &inputs[self.states + self.input_axes.len()..];
        let axes = scanned.iter().zip(&self.input_axes).map(|(tensor, k)| axis(*k, tensor.rank())).collect::<Result<Vec<_>, _>>()?;
        let mut states: Vec<Tensor> = inputs[..self.states].iter().map(|tensor| (*tensor).clone()).collect();
        let mut collected: Vec<Vec<Tensor>> = vec![Vec::new(); self.output_axes.len()];
        for step in 0..steps {
            let elements = scanned
                .iter()
                .enumerate()
                .map(|(k, tensor)| at(tensor, axes[k], if self.input_reversed[k] { steps - 1 - step } else { step }))
                .collect::<Result<Vec<_>, _>>()?;
            let operands: Vec<&Tensor> = states.iter().chain(&elements).chain(captures.iter().copied()).collect();
            let mut results = crate::eval::run(&self.body, &operands)?;
            for (list, element) in collected.iter_mut().zip(results.split_off(self.states)) {
                list.push(element);
            }
            states = results;
        }
        let element_types = if steps == 0 {
            let inner = self.body_inputs(&types)?;
            let inner: Vec<Arg<'_>> = inner.iter().map(|ty| Arg { ty, value: None }).collect();
            infer(&self.body, &inner)?.split_off(self.states)
        } else {
            Vec::new()
        };
        for (k, mut list) in collected.into_iter().enumerate() {
            let result = match list.first() {
                Some(first) => {
                    let along = axis(self.output_axes[k], first.rank() + 1)?;
                    if self.output_reversed[k] {
                        list.reverse();
                    }
                    stack(&list, along)?
                }
                None => nothing(&element_types[k], axis(self.output_axes[k], element_types[k].rank()? + 1)?)?,
            };
            states.push(result);
        }
        Ok(states)
    }
}

impl Scan {
    pub(crate) fn samples() -> Vec<Sample> {
        let mut body = crate::build::Builder::new("sum");
        let state = body.input("state", TensorType::known(DType::F32, &[3]));
        let element = body.input("element", TensorType::known(DType::F32, &[3]));
        let Ok(sum) = body.apply(crate::ops::add::Add {}, &[state, element]) else { return Vec::new() };
        body.output("state", sum);
        body.output("sum", sum);
        let body = body.finish();
        [false, true]
            .into_iter()
            .map(|reversed| Scan { body: body.clone(), states: 1, input_axes: vec![1], input_reversed: vec![reversed], output_axes: vec![-1], output_reversed: vec![reversed] })
            .map(|op| Sample::drawn(op, Domain::Between(-1.0, 1.0), &[(DType::F32, &[3]), (DType::F32, &[3, 5])]))
            .collect()
    }
}
