//! A subgraph applied again and again, by a count and a condition.
use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::Graph;
use crate::ops::subgraph::{either, infer, nothing, stack};
use crate::ops::{Arg, Arity, Body, Input, OpDef, Sample, at_least};
use crate::scalar::Scalar;
use crate::shape::{Dim, Shape, TensorType};
use crate::tensor::Tensor;

op! {
    /// `loop(trips, cond, carried.., captures..)`: applies `body` while `cond` holds, at most `trips` times.
    ///
    /// Operands: the largest number of steps (one i64; negative counts as 0), whether to begin (one bool), `carried` values,
    /// then captures, which are the same in every step. `body` takes `(step, cond, carried.., captures..)`, `step` counting
    /// from 0 and `cond` being true; it gives `(cond, carried.., elements..)`: whether to go on, the values that the next
    /// step takes, and elements that are collected. Results: the last carried values (the initial ones where there is no
    /// step), then the elements of all steps, side by side along a new first axis.
    ///
    /// Carried values may change their shapes, not their dtypes. Source: ONNX `Loop`.
    pub struct Loop = "loop" {
        /// One step.
        pub body: Graph,
        /// Number of carried values.
        pub carried: usize,
    }
}

impl Loop {
    fn check(&self, operands: usize) -> Result<(), OpError> {
        if self.body.inputs().len() == operands && operands >= self.carried.saturating_add(2) && self.body.outputs().len() > self.carried {
            Ok(())
        } else {
            Err(OpError::invalid(format!("the body of 'loop' takes {} operands and gives {} results, which do not fit {operands} operands", self.body.inputs().len(), self.body.outputs().len())))
        }
    }

    /// The extents that the body takes its step and condition with: none, or one of 1 where it declares that.
    fn scalar_extents(&self, input: usize) -> Vec<i64> {
        let (_, value) = &self.body.inputs()[input];
        if self.body.ty(*value).shape.dims().is_some_and(|dims| dims.len() == 1) { vec![1] } else { Vec::new() }
    }

    /// Types of the body's operands for types of the op's, as they hold in every step.
    ///
    /// # Errors
    /// Invalid where operands don't fit the body.
    pub fn body_inputs(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        self.settle(args).map(|(types, _)| types)
    }

    /// The number of steps, where the condition can't end the loop and the count is known.
    pub fn steps(&self, args: &[Arg<'_>]) -> Dim {
        let begins = args[1].value.is_some_and(|cond| cond.elems() == 1 && cond.get(0).as_bool());
        let (_, cond) = self.body.outputs()[0];
        let goes_on = cond == self.body.inputs()[1].1 || self.body.constant(cond).is_some_and(|cond| cond.elems() == 1 && cond.get(0).as_bool());
        match args[0].value {
            Some(trips) if begins && goes_on && trips.elems() == 1 => Dim::Known(trips.ints()[0].max(0)),
            _ => Dim::Unknown,
        }
    }

    fn settle(&self, args: &[Arg<'_>]) -> Result<(Vec<TensorType>, Vec<TensorType>), OpError> {
        self.check(args.len())?;
        let mut types: Vec<TensorType> = args.iter().map(|arg| arg.ty.clone()).collect();
        types[0].shape = Shape::known(&self.scalar_extents(0));
        types[1].shape = Shape::known(&self.scalar_extents(1));
        let carried = 2..2 + self.carried;
        // What is carried must have its type before and after each step; types only get wider, so this ends.
        loop {
            let inner: Vec<Arg<'_>> = types.iter().enumerate().map(|(k, ty)| Arg { ty, value: if k < carried.end { None } else { args[k].value } }).collect();
            let outputs = infer(&self.body, &inner)?;
            let mut wider = Vec::new();
            for k in 0..self.carried {
                let (before, after) = (&types[k + 2], &outputs[k + 1]);
                if before.dtype != after.dtype {
                    return Err(OpError::invalid(format!("value {k} that 'loop' carries is {before} before a step and {after} after it")));
                }
                wider.push(TensorType::new(before.dtype, either(&before.shape, &after.shape)));
            }
            if types[carried.clone()] == wider {
                return Ok((types, outputs));
            }
            types.splice(carried.clone(), wider);
        }
    }
}

fn one(tensor: &Tensor, what: &str) -> Result<Scalar, OpError> {
    if tensor.elems() == 1 { Ok(tensor.get(0)) } else { Err(OpError::invalid(format!("{what} of 'loop' has {} elements, not one", tensor.elems()))) }
}

impl OpDef for Loop {
    derived!();
    fn arity(&self) -> Arity {
        at_least(2)
    }
    fn dtypes(&self, _: &[DType]) -> Vec<DType> {
        self.body.outputs().iter().skip(1).map(|(_, value)| self.body.ty(*value).dtype).collect()
    }
    fn infer(&self, args: &[Arg<'_>]) -> Result<Vec<TensorType>, OpError> {
        if args[0].ty.dtype != DType::I64 || args[1].ty.dtype != DType::Bool {
            return Err(OpError::invalid(format!("'loop' takes an i64 count and a bool, not {} and {}", args[0].ty, args[1].ty)));
        }
        let (types, outputs) = self.settle(args)?;
        if outputs[0].dtype != DType::Bool {
            return Err(OpError::invalid(format!("the body of 'loop' gives {} for whether to go on", outputs[0])));
        }
        let steps = self.steps(args);
        let mut results = types[2..2 + self.carried].to_vec();
        for ty in &outputs[1 + self.carried..] {
            results.push(match ty.dims() {
                Ok(dims) => TensorType::ranked(ty.dtype, std::iter::once(steps.clone()).chain(dims.iter().cloned()).collect()),
                Err(_) => ty.clone(),
            });
        }
        Ok(results)
    }
    fn body(&self, _: &[&TensorType]) -> Result<Body, OpError> {
        Ok(Body::Routine)
    }
    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        self.check(inputs.len())?;
        let trips = one(inputs[0], "the count")?.as_int();
        let mut goes_on = one(inputs[1], "the condition")?.as_bool();
        let captures = &inputs[2 + self.carried..];
        let mut carried: Vec<Tensor> = inputs[2..2 + self.carried].iter().map(|tensor| (*tensor).clone()).collect();
        let mut collected: Vec<Vec<Tensor>> = vec![Vec::new(); self.body.outputs().len() - 1 - self.carried];
        let mut step = 0;
        while goes_on && step < trips {
            let count = Tensor::scalar(DType::I64, Scalar::Int(step)).reshaped(&self.scalar_extents(0))?;
            let cond = Tensor::from_bools(&self.scalar_extents(1), &[true]);
            let operands: Vec<&Tensor> = [&count, &cond].into_iter().chain(&carried).chain(captures.iter().copied()).collect();
            let mut results = crate::eval::run(&self.body, &operands)?;
            for (list, element) in collected.iter_mut().zip(results.split_off(1 + self.carried)) {
                list.push(element);
            }
            carried = results.split_off(1);
            goes_on = one(&results[0], "the condition")?.as_bool();
            step += 1;
        }
        let element_types = if step == 0 && !collected.is_empty() {
            let types: Vec<TensorType> = inputs.iter().map(|tensor| tensor.ty()).collect();
            let args: Vec<Arg<'_>> = types.iter().map(|ty| Arg { ty, value: None }).collect();
            self.settle(&args)?.1.split_off(1 + self.carried)
        } else {
            Vec::new()
        };
        for (k, list) in collected.into_iter().enumerate() {
            carried.push(if list.is_empty() { nothing(&element_types[k], 0)? } else { stack(&list, 0)? });
        }
        Ok(carried)
    }
}

impl Loop {
    pub(crate) fn samples() -> Vec<Sample> {
        let mut body = crate::build::Builder::new("double");
        body.input("step", TensorType::known(DType::I64, &[]));
        let cond = body.input("cond", TensorType::known(DType::Bool, &[]));
        let value = body.input("value", TensorType::known(DType::I64, &[2]));
        let Ok(sum) = body.apply(crate::ops::add::Add {}, &[value, value]) else { return Vec::new() };
        for (name, value) in [("cond", cond), ("value", sum), ("element", value)] {
            body.output(name, value);
        }
        let op = Loop { body: body.finish(), carried: 1 };
        [(3, true), (3, false), (0, true)]
            .into_iter()
            .map(|(trips, begins)| Sample {
                op: op.clone().into(),
                inputs: vec![Input::Given(Tensor::scalar(DType::I64, Scalar::Int(trips))), Input::Given(Tensor::from_bools(&[], &[begins])), Input::Given(Tensor::from_ints(&[1, -3]))],
            })
            .collect()
    }
}
