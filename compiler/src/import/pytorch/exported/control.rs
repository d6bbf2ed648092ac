//! Operators that hold graphs: branches, loops, and what only says how gradients are kept.

use frit_ir::build::Folding;
use frit_ir::ops::{cast::Cast, if_::If, loop_::Loop, scan::Scan};
use frit_ir::{Builder, DType, Dim, Graph, OpError, Scalar, Shape, Tensor, TensorType, ValueId};
use serde_json::Value as Json;

use super::super::aten::Context;
use super::super::value::Value;
use super::{Bound, Importer, MAX_DEPTH, Scope, choice, list, odd};

/// What an operand of such an operator is.
enum Operand<'j> {
    Graph(&'j Json),
    Value(Value),
}

impl Importer {
    /// The values that an operator gives; nothing where an operand's node has failed before.
    pub(super) fn control(&mut self, context: &mut Context, scope: &Scope, operator: &str, node: &Json) -> Result<Option<Vec<Value>>, OpError> {
        let mut operands = Vec::new();
        for input in list(node, "inputs") {
            operands.push(match choice(&input["arg"]) {
                Some(("as_graph", graph)) => Operand::Graph(&graph["graph"]),
                _ => match self.argument(scope, &input["arg"])? {
                    Some(value) => Operand::Value(value),
                    None => return Ok(None),
                },
            });
        }
        if self.depth >= MAX_DEPTH {
            return Err(OpError::invalid(format!("graphs nest deeper than {MAX_DEPTH}")));
        }
        self.depth += 1;
        let done = self.holder(context, operator, &operands);
        self.depth -= 1;
        done
    }

    fn holder(&mut self, context: &mut Context, operator: &str, operands: &[Operand<'_>]) -> Result<Option<Vec<Value>>, OpError> {
        use Operand::{Graph, Value as Given};
        match (operator, operands) {
            ("cond", [Given(predicate), Graph(yes), Graph(no), Given(values)]) => {
                let values = elements(values)?;
                match known(context, predicate)? {
                    Ok(holds) => self.inlined(context, if holds { yes } else { no }, &values),
                    Err(condition) => self.branches(context, condition, [yes, no], &values),
                }
            }
            ("while_loop", [Graph(condition), Graph(body), Given(carried), rest @ ..]) => {
                let captured = match rest {
                    [Given(captured)] => elements(captured)?,
                    _ => Vec::new(),
                };
                self.repeated(context, condition, body, &elements(carried)?, &captured)
            }
            ("scan", [Graph(body), Given(initial), Given(scanned), rest @ ..]) => {
                let captured = match rest {
                    [Given(captured)] => elements(captured)?,
                    _ => Vec::new(),
                };
                self.scanned(context, body, &elements(initial)?, &elements(scanned)?, &captured)
            }
            ("map_impl" | "map", [Graph(body), Given(scanned), Given(captured)]) => self.scanned(context, body, &[], &elements(scanned)?, &elements(captured)?),
            // Gradients and automatic precision are settled when a program is exported.
            ("wrap_with_set_grad_enabled", [Given(_), Graph(graph), values @ ..]) | ("wrap_with_autocast", [Given(_), Given(_), Given(_), Given(_), Graph(graph), values @ ..]) => {
                let values = plain(values)?;
                self.inlined(context, graph, &values)
            }
            ("invoke_subgraph", [Graph(graph), Given(_), values @ ..]) | ("hints_wrapper" | "wrap" | "strict_mode" | "tag_activation_checkpoint", [Graph(graph), values @ ..]) => {
                let values = plain(values)?;
                let values = match values.as_slice() {
                    [one @ (Value::List(_) | Value::Tuple(_)), ..] => elements(one)?,
                    _ => values,
                };
                self.inlined(context, graph, &values)
            }
            _ => Err(OpError::unsupported(format!("op 'higher_order.{operator}' is not supported")).help("docs/pytorch.md lists what is")),
        }
    }

    /// A graph's nodes among those of the graph that holds it.
    fn inlined(&mut self, context: &mut Context, graph: &Json, values: &[Value]) -> Result<Option<Vec<Value>>, OpError> {
        let inputs = list(graph, "inputs");
        if inputs.len() != values.len() {
            return Err(OpError::invalid(format!("a graph of {} inputs gets {}", inputs.len(), values.len())));
        }
        let mut scope = Scope::new();
        for (input, value) in inputs.iter().zip(values) {
            if let Some(name) = super::names(input).and_then(|names| names.first().copied()) {
                scope.insert(name.to_owned(), Bound::Value(value.clone()));
            }
        }
        self.nodes(context, &mut scope, graph);
        list(graph, "outputs").iter().map(|output| self.argument(&scope, output)).collect()
    }

    /// A graph by itself: its inputs are those of `types`, then `build` says what becomes of the values that it gives.
    fn inner(&mut self, outer: &Context, types: &[TensorType], build: impl FnOnce(&mut Self, &mut Context, &[ValueId]) -> Result<Option<Vec<ValueId>>, OpError>) -> Result<Option<Graph>, OpError> {
        let mut builder = Builder::new("body").folding(Folding::Early);
        builder.set_origins(outer.builder.origins().clone());
        let mut context = Context::new(builder);
        let inputs: Vec<ValueId> = types.iter().enumerate().map(|(at, ty)| context.builder.input(format!("in{at}"), ty.clone())).collect();
        let Some(values) = build(self, &mut context, &inputs)? else { return Ok(None) };
        for (at, value) in values.into_iter().enumerate() {
            context.builder.output(format!("out{at}"), value);
        }
        Ok(Some(context.builder.finish()))
    }

    /// A graph's values on tensors.
    fn applied(&mut self, context: &mut Context, graph: &Json, values: &[ValueId]) -> Result<Option<Vec<ValueId>>, OpError> {
        let values: Vec<Value> = values.iter().map(|value| context.fresh(*value)).collect();
        let Some(results) = self.inlined(context, graph, &values)? else { return Ok(None) };
        tensors(context, &results).map(Some)
    }

    fn branches(&mut self, context: &mut Context, condition: ValueId, graphs: [&Json; 2], values: &[Value]) -> Result<Option<Vec<Value>>, OpError> {
        let captured = tensors(context, values)?;
        let types: Vec<TensorType> = captured.iter().map(|value| context.builder.ty(*value).clone()).collect();
        let mut branches = Vec::new();
        for graph in graphs {
            let Some(branch) = self.inner(context, &types, |importer, inner, inputs| importer.applied(inner, graph, inputs))? else { return Ok(None) };
            branches.push(branch);
        }
        let (Some(else_branch), Some(then_branch)) = (branches.pop(), branches.pop()) else { return Err(OpError::bug("two branches")) };
        let inputs: Vec<ValueId> = [condition].into_iter().chain(captured).collect();
        let results = context.builder.apply_all(If { then_branch, else_branch }, &inputs)?;
        Ok(Some(results.into_iter().map(|value| context.fresh(value)).collect()))
    }

    fn repeated(&mut self, context: &mut Context, condition: &Json, body: &Json, carried: &[Value], captured: &[Value]) -> Result<Option<Vec<Value>>, OpError> {
        let (carried, captured) = (tensors(context, carried)?, tensors(context, captured)?);
        let all: Vec<ValueId> = carried.iter().chain(&captured).copied().collect();
        let Some(first) = self.applied(context, condition, &all)? else { return Ok(None) };
        let first = truth(&mut context.builder, &first)?;
        let mut types = vec![TensorType::known(DType::I64, &[]), TensorType::known(DType::Bool, &[])];
        types.extend(all.iter().map(|value| context.builder.ty(*value).clone()));
        let count = carried.len();
        let graph = self.inner(context, &types, |importer, inner, inputs| {
            let Some(next) = importer.applied(inner, body, &inputs[2..])? else { return Ok(None) };
            if next.len() != count {
                return Err(OpError::invalid(format!("a loop carries {count} values, and its body gives {}", next.len())));
            }
            let again: Vec<ValueId> = next.iter().chain(&inputs[2 + count..]).copied().collect();
            let Some(holds) = importer.applied(inner, condition, &again)? else { return Ok(None) };
            let holds = truth(&mut inner.builder, &holds)?;
            Ok(Some([holds].into_iter().chain(next).collect()))
        })?;
        let Some(body) = graph else { return Ok(None) };
        let trips = context.builder.constant(Tensor::scalar(DType::I64, Scalar::Int(i128::from(i64::MAX))));
        let inputs: Vec<ValueId> = [trips, first].into_iter().chain(all).collect();
        let results = context.builder.apply_all(Loop { body, carried: count }, &inputs)?;
        Ok(Some(results.into_iter().map(|value| context.fresh(value)).collect()))
    }

    fn scanned(&mut self, context: &mut Context, body: &Json, initial: &[Value], scanned: &[Value], captured: &[Value]) -> Result<Option<Vec<Value>>, OpError> {
        let (initial, scanned, captured) = (tensors(context, initial)?, tensors(context, scanned)?, tensors(context, captured)?);
        let element = |ty: &TensorType| TensorType::new(ty.dtype, ty.shape.dims().filter(|dims| !dims.is_empty()).map_or(Shape::Unranked, |dims| Shape::Ranked(dims[1..].to_vec())));
        let mut types: Vec<TensorType> = initial.iter().map(|value| context.builder.ty(*value).clone()).collect();
        types.extend(scanned.iter().map(|value| element(context.builder.ty(*value))));
        types.extend(captured.iter().map(|value| context.builder.ty(*value).clone()));
        let Some(body) = self.inner(context, &types, |importer, inner, inputs| importer.applied(inner, body, inputs))? else { return Ok(None) };
        let collected = body.outputs().len().checked_sub(initial.len()).ok_or_else(|| OpError::invalid("the body of a scan gives fewer values than it has states"))?;
        let op = Scan {
            states: initial.len(),
            input_axes: vec![0; scanned.len()],
            input_reversed: vec![false; scanned.len()],
            output_axes: vec![0; collected],
            output_reversed: vec![false; collected],
            body,
        };
        let inputs: Vec<ValueId> = initial.into_iter().chain(scanned).chain(captured).collect();
        let results = context.builder.apply_all(op, &inputs)?;
        Ok(Some(results.into_iter().map(|value| context.fresh(value)).collect()))
    }
}

fn elements(value: &Value) -> Result<Vec<Value>, OpError> {
    value.elements().map(<[Value]>::to_vec).ok_or_else(|| odd("operands of a graph"))
}

fn plain(operands: &[Operand<'_>]) -> Result<Vec<Value>, OpError> {
    let value = |operand: &Operand<'_>| match operand {
        Operand::Value(value) => Ok(value.clone()),
        Operand::Graph(_) => Err(odd("operands of a graph")),
    };
    operands.iter().map(value).collect()
}

/// Tensors, and numbers as such.
fn tensors(context: &mut Context, values: &[Value]) -> Result<Vec<ValueId>, OpError> {
    let mut list = Vec::new();
    for value in values {
        list.push(match value {
            Value::Tensor(tensor) => context.read(*tensor)?,
            Value::Symbol(symbol) => symbol.value,
            Value::Int(n) => context.builder.constant(Tensor::scalar(DType::I64, Scalar::Int(i128::from(*n)))),
            Value::Float(x) => context.builder.constant(Tensor::scalar(DType::F64, Scalar::Float(*x))),
            Value::Bool(x) => context.builder.constant(Tensor::scalar(DType::Bool, Scalar::Bool(*x))),
            other => return Err(OpError::unsupported(format!("a graph gets {}, which is not supported", other.words()))),
        });
    }
    Ok(list)
}

/// Whether a condition holds, or the value that says so.
fn known(context: &mut Context, predicate: &Value) -> Result<Result<bool, ValueId>, OpError> {
    let value = match predicate {
        Value::Bool(holds) => return Ok(Ok(*holds)),
        Value::Int(n) => return Ok(Ok(*n != 0)),
        Value::Tensor(tensor) => context.read(*tensor)?,
        Value::Symbol(symbol) => symbol.value,
        other => return Err(OpError::unsupported(format!("a condition that is {}", other.words()))),
    };
    let value = truth(&mut context.builder, &[value])?;
    Ok(match context.builder.as_constant(value) {
        Some(tensor) if tensor.elems() == 1 => Ok(tensor.get(0).as_bool()),
        _ => Err(value),
    })
}

/// One truth value, without axes.
fn truth(builder: &mut Builder, values: &[ValueId]) -> Result<ValueId, OpError> {
    let [value] = values else { return Err(OpError::invalid("a condition is one value")) };
    let value = if builder.dtype(*value) == DType::Bool { *value } else { builder.apply(Cast { to: DType::Bool }, &[*value])? };
    if builder.ty(value).shape == Shape::Ranked(Vec::<Dim>::new()) {
        return Ok(value);
    }
    let shape = builder.ints(&[]);
    builder.apply(frit_ir::ops::reshape_to::ReshapeTo { zero_copies: false }, &[value, shape])
}
