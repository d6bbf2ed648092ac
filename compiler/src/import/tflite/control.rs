//! Control flow, and variables that live from run to run.

use frit_ir::build::Folding;
use frit_ir::graph::Producer;
use frit_ir::ops::{fail::failing, if_::If, loop_::Loop};
use frit_ir::{Builder, DType, Dim, Error, Graph, Op, OpError, Scalar, Shape, Tensor, TensorType, ValueId};

use super::How::Stored;
use super::node::{Node, Values};
use super::{Bound, Importer, MAX_SUBGRAPHS, Row, Scope, Variable};

pub(super) const OPS: &[Row] = &[
    (144, "ASSIGN_VARIABLE", Stored, assign),
    (129, "CALL_ONCE", Stored, call_once),
    (118, "IF", Stored, if_),
    (143, "READ_VARIABLE", Stored, read),
    (142, "VAR_HANDLE", Stored, handle),
    (119, "WHILE", Stored, while_),
];

/// What an input of a subgraph is given.
#[derive(Clone)]
enum Given {
    Constant(Tensor),
    Type(TensorType),
}

impl<'f> Importer<'f> {
    /// A subgraph as a graph, whose inputs are those that are given types, in order.
    fn subgraph(&mut self, outside: &Builder, index: usize, given: &[Given]) -> Result<Graph, Error> {
        let schema = self.schema;
        let subgraph = schema.subgraphs.get(index).ok_or_else(|| Error::invalid(format!("there is no subgraph {index}")))?;
        if self.depth >= MAX_SUBGRAPHS {
            return Err(Error::invalid(format!("subgraphs nest deeper than {MAX_SUBGRAPHS}")));
        }
        if subgraph.inputs.len() != given.len() {
            return Err(Error::invalid(format!("subgraph '{}' takes {} operands, not {}", subgraph.name, subgraph.inputs.len(), given.len())));
        }
        let mut inner = Builder::new(subgraph.name.clone()).folding(Folding::Early);
        inner.set_origins(outside.origins().clone());
        let mut scope = Scope { values: Default::default() };
        for (at, (tensor, given)) in subgraph.inputs.iter().zip(given).enumerate() {
            let value = match given {
                Given::Constant(constant) => inner.constant(constant.clone()),
                Given::Type(ty) => inner.input(format!("{at}"), ty.clone()),
            };
            scope.values.insert(*tensor, Bound::Value(value));
        }
        let before = self.errors.len();
        self.depth += 1;
        self.operators(&mut inner, &mut scope, subgraph);
        for (at, tensor) in subgraph.outputs.iter().enumerate() {
            match self.value(&mut inner, &mut scope, subgraph, *tensor) {
                Ok(Some(value)) => inner.output(format!("{at}"), value),
                Ok(None) => {}
                Err(error) => self.errors.push(Error::at(error, format!("output {at} of subgraph '{}'", subgraph.name), Vec::new())),
            }
        }
        self.depth -= 1;
        let complaint = self.errors.drain(before..).next();
        complaint.map_or_else(|| Ok(inner.finish()), Err)
    }

    /// What a variable tensor holds now; at first that is a state.
    pub(super) fn state(&mut self, builder: &mut Builder, scope: &mut Scope, subgraph: &'f super::Subgraph<'f>, tensor: usize) -> Result<ValueId, OpError> {
        if let Some(Bound::Value(value)) = scope.values.get(&tensor) {
            return Ok(*value);
        }
        let described = &subgraph.tensors[tensor];
        if !described.variable || self.depth > 0 || self.initialising {
            return Err(OpError::unsupported(format!("tensor '{}' is to be a variable of the main graph, and is not", described.name)));
        }
        let dtype = super::dtype(described.number)?;
        let extents: Vec<i64> = described.shape.iter().map(|extent| i64::from(*extent)).collect();
        let elems = frit_ir::tensor::checked_elems(&extents)?;
        self.affordable(elems.saturating_mul(dtype.size()))?;
        // Zero is what the zero point stands for, but only of bytes: shorts have none.
        let zero = super::quantised(described).and_then(|quantisation| quantisation.zeros.first().copied()).unwrap_or(0);
        let initial = Tensor::from_scalars(dtype, &extents, std::iter::repeat_n(Scalar::Int(i128::from(zero)), elems))?;
        let name = unused(builder, &described.name);
        let state = builder.state(name, initial);
        self.states.push((state, tensor));
        scope.values.insert(tensor, Bound::Value(state));
        Ok(state)
    }

    /// May so many bytes be allocated for what the file only names?
    fn affordable(&self, bytes: usize) -> Result<(), OpError> {
        if bytes > self.bytes.len().saturating_mul(2).saturating_add(1 << 25) { Err(OpError::unsupported(format!("a variable of {bytes} bytes is too large for this file"))) } else { Ok(()) }
    }

    /// The variable that an operand is the handle of.
    fn variable(&self, scope: &Scope, operator: &super::Operator<'_>) -> Result<usize, OpError> {
        match operator.inputs.first().copied().flatten().and_then(|tensor| scope.values.get(&tensor)) {
            // What a variable holds is a value of the main graph.
            Some(Bound::Variable(at)) if self.depth == 0 => Ok(*at),
            _ => Err(OpError::unsupported("variables in branches and loops are not supported").help("export the model with its variables frozen")),
        }
    }
}

/// A name that no input has yet.
fn unused(builder: &Builder, name: &str) -> String {
    let taken = |name: &str| builder.graph().inputs().iter().any(|(known, _)| known == name);
    if !taken(name) {
        return name.to_owned();
    }
    (1..).map(|k| format!("{name}_{k}")).find(|name| !taken(name)).unwrap_or_default()
}

fn handle(n: &mut Node<'_, '_>) -> Values {
    let name = n.operator.options.map_or(Ok(String::new()), |options| options.text(1))?;
    let known = n.importer.variables.iter().position(|variable| variable.name == name);
    let at = known.unwrap_or_else(|| {
        n.importer.variables.push(Variable { name, initial: None, state: None, now: None });
        n.importer.variables.len() - 1
    });
    if let Some(tensor) = n.operator.outputs.first() {
        n.scope.values.insert(*tensor, Bound::Variable(at));
    }
    Ok(Vec::new())
}

fn read(n: &mut Node<'_, '_>) -> Values {
    let at = n.importer.variable(n.scope, n.operator)?;
    let name = {
        let variable = &n.importer.variables[at];
        if let Some(now) = variable.now {
            return Ok(vec![now]);
        }
        variable.name.clone()
    };
    if n.importer.initialising {
        return Err(OpError::unsupported(format!("variable '{name}' is read where variables get their first values")));
    }
    let initial = n.importer.variables[at].initial.clone().ok_or_else(|| OpError::unsupported(format!("variable '{name}' is read before it has a value")).help("export the model with its variables initialised"))?;
    let name = unused(n.builder, &name);
    let state = n.builder.state(name, initial);
    let variable = &mut n.importer.variables[at];
    (variable.state, variable.now) = (Some(state), Some(state));
    Ok(vec![state])
}

fn assign(n: &mut Node<'_, '_>) -> Values {
    let at = n.importer.variable(n.scope, n.operator)?;
    let value = n.input(1)?;
    n.importer.variables[at].now = Some(value);
    Ok(Vec::new())
}

/// The subgraph says what variables are at first. It is run here, since it has no operands.
fn call_once(n: &mut Node<'_, '_>) -> Values {
    let index = usize::try_from(n.int(0)?).map_err(|_| OpError::invalid("a negative subgraph"))?;
    let schema = n.importer.schema;
    let subgraph = schema.subgraphs.get(index).ok_or_else(|| OpError::invalid(format!("there is no subgraph {index}")))?;
    if n.importer.depth > 0 || n.importer.initialising || !subgraph.inputs.is_empty() {
        return Err(OpError::unsupported("'CALL_ONCE' in a subgraph, or of one with operands, is not supported"));
    }
    if n.importer.variables.iter().any(|variable| variable.now.is_some()) {
        return Err(OpError::unsupported("'CALL_ONCE' behind the use of variables is not supported"));
    }
    let mut inner = Builder::new(subgraph.name.clone()).folding(Folding::Early);
    let mut scope = Scope { values: Default::default() };
    let before = n.importer.errors.len();
    n.importer.initialising = true;
    n.importer.operators(&mut inner, &mut scope, subgraph);
    n.importer.initialising = false;
    let mut set = Vec::new();
    for (at, variable) in n.importer.variables.iter_mut().enumerate() {
        if let Some(value) = variable.now.take() {
            set.push((at, value));
            inner.output(format!("{at}"), value);
        }
    }
    if let Some(error) = n.importer.errors.drain(before..).next() {
        return Err(error.into());
    }
    let graph = inner.finish();
    let mut bytes = 0usize;
    for (_, node) in graph.nodes() {
        // What is large is filled with a number; whatever takes long is not run here.
        if !matches!(node.op, Op::Constant(_) | Op::ExpandTo(_) | Op::Broadcast(_) | Op::Reshape(_) | Op::Cast(_)) {
            return Err(OpError::unsupported(format!("variables whose first values are computed by '{}' are not supported", node.op.name())).help("export the model with its variables initialised"));
        }
        for value in &node.outputs {
            let ty = graph.ty(*value);
            let elems = ty.shape.elems().and_then(|elems| usize::try_from(elems).ok()).ok_or_else(|| OpError::unsupported("a variable whose shape is open"))?;
            bytes = bytes.saturating_add(elems.saturating_mul(ty.dtype.size()));
        }
    }
    n.importer.affordable(bytes)?;
    let values = frit_ir::eval::run(&graph, &[])?;
    for ((at, _), value) in set.into_iter().zip(values) {
        n.importer.variables[at].initial = Some(value);
    }
    Ok(Vec::new())
}

/// What an operand gives a subgraph.
fn given(n: &Node<'_, '_>, value: ValueId) -> Given {
    n.builder.as_constant(value).map_or_else(|| Given::Type(n.builder.ty(value).clone()), |constant| Given::Constant(constant.clone()))
}

fn index(n: &Node<'_, '_>, slot: usize) -> Result<usize, OpError> {
    usize::try_from(n.int(slot)?).map_err(|_| OpError::invalid("a negative subgraph"))
}

fn if_(n: &mut Node<'_, '_>) -> Values {
    let operands = n.all_inputs()?;
    let (condition, rest) = operands.split_first().ok_or_else(|| OpError::invalid("'IF' without a condition"))?;
    let all: Vec<Given> = rest.iter().map(|value| given(n, *value)).collect();
    let captures: Vec<ValueId> = rest.iter().copied().filter(|value| n.builder.as_constant(*value).is_none()).collect();
    let types: Vec<TensorType> = captures.iter().map(|value| n.builder.ty(*value).clone()).collect();
    let (then_branch, else_branch) = (index(n, 0)?, index(n, 1)?);
    let then_branch = n.importer.subgraph(n.builder, then_branch, &all);
    let else_branch = n.importer.subgraph(n.builder, else_branch, &all);
    let (then_branch, else_branch) = match (then_branch, else_branch) {
        (Ok(a), Ok(b)) => (a, b),
        // A branch that does not fit the shapes is an error only where it is taken.
        (Ok(a), Err(error)) if error.is_invalid() => {
            let b = failing(&a, &types, &error.to_string())?;
            (a, b)
        }
        (Err(error), Ok(b)) if error.is_invalid() => (failing(&b, &types, &error.to_string())?, b),
        (Err(error), _) | (_, Err(error)) => return Err(error.into()),
    };
    let inputs: Vec<ValueId> = [*condition].into_iter().chain(captures).collect();
    n.builder.apply_all(If { then_branch, else_branch }, &inputs)
}

/// The same type for what was either of two: extents that differ are open.
fn either(a: &TensorType, b: &TensorType) -> TensorType {
    let shape = match (a.shape.dims(), b.shape.dims()) {
        (Some(x), Some(y)) if x.len() == y.len() => Shape::Ranked(x.iter().zip(y).map(|(x, y)| if x.provably_equal(y) { x.clone() } else { Dim::Unknown }).collect()),
        _ => Shape::Unranked,
    };
    TensorType::new(a.dtype, shape)
}

/// Both subgraphs take and give the same tensors. Those that the body leaves as they are, are not carried.
fn while_(n: &mut Node<'_, '_>) -> Values {
    let operands = n.all_inputs()?;
    let (cond, body) = (index(n, 0)?, index(n, 1)?);
    let schema = n.importer.schema;
    let subgraph = schema.subgraphs.get(body).ok_or_else(|| OpError::invalid(format!("there is no subgraph {body}")))?;
    if subgraph.inputs.len() != operands.len() || subgraph.outputs.len() != operands.len() {
        return Err(OpError::invalid(format!("the body of 'WHILE' takes {} operands and gives {} results, not {}", subgraph.inputs.len(), subgraph.outputs.len(), operands.len())));
    }
    let fixed: Vec<bool> = subgraph.inputs.iter().zip(&subgraph.outputs).map(|(input, output)| input == output).collect();
    let mut types: Vec<Given> = operands.iter().zip(&fixed).map(|(value, fixed)| if *fixed { given(n, *value) } else { Given::Type(n.builder.ty(*value).clone()) }).collect();
    // What is carried has its type before and after each step; types only get wider, so this ends.
    let graph = loop {
        let graph = n.importer.subgraph(n.builder, body, &types)?;
        let mut settled = true;
        for ((ty, (_, output)), fixed) in types.iter_mut().zip(graph.outputs()).zip(&fixed) {
            let Given::Type(before) = ty else { continue };
            let after = graph.ty(*output);
            if before.dtype != after.dtype {
                return Err(OpError::invalid(format!("a loop carries {before} before a step and {after} after it")));
            }
            let wide = either(before, after);
            if !*fixed && wide != *before {
                *before = wide;
                settled = false;
            }
        }
        if settled {
            break graph;
        }
    };
    let condition = n.importer.subgraph(n.builder, cond, &types)?;
    if condition.outputs().len() != 1 {
        return Err(OpError::invalid("the condition of 'WHILE' is not one result"));
    }
    let initial: Vec<Option<Tensor>> = operands.iter().map(|value| n.builder.as_constant(*value).cloned()).collect();
    // Inputs of both graphs: operands that are not constants inside.
    let inside: Vec<usize> = types.iter().enumerate().filter(|(_, given)| matches!(given, Given::Type(_))).map(|(at, _)| at).collect();
    let counted = steps(&condition, &graph, &initial, &inside);
    let carried: Vec<usize> = inside.iter().copied().filter(|at| !fixed[*at]).collect();
    let captured: Vec<usize> = inside.iter().copied().filter(|at| fixed[*at]).collect();
    let mut inner = Builder::new(subgraph.name.clone()).folding(Folding::Early);
    inner.set_origins(n.builder.origins().clone());
    inner.input("step", TensorType::known(DType::I64, &[]));
    let goes_on = inner.input("cond", TensorType::known(DType::Bool, &[]));
    let mut values = vec![None; operands.len()];
    for at in carried.iter().chain(&captured) {
        let Given::Type(ty) = &types[*at] else { continue };
        values[*at] = Some(inner.input(format!("{at}"), ty.clone()));
    }
    let before: Vec<ValueId> = values.iter().flatten().copied().collect();
    let after = inner.inline(&graph, &before)?;
    let next: Vec<ValueId> = inside.iter().filter_map(|at| if fixed[*at] { values[*at] } else { after.get(*at).copied() }).collect();
    let goes_on = match counted {
        Some(_) => goes_on,
        None => {
            let result = inner.inline(&condition, &next)?;
            scalar(&mut inner, result[0])?
        }
    };
    inner.output("cond", goes_on);
    for at in &carried {
        inner.output(format!("{at}"), after[*at]);
    }
    let trips = n.builder.constant(Tensor::scalar(DType::I64, Scalar::Int(i128::from(counted.unwrap_or(i64::MAX)))));
    let begins = match counted {
        Some(_) => n.builder.constant(Tensor::from_bools(&[], &[true])),
        None => {
            let outer: Vec<ValueId> = inside.iter().map(|at| operands[*at]).collect();
            let result = n.builder.inline(&condition, &outer)?;
            scalar(n.builder, result[0])?
        }
    };
    let inputs: Vec<ValueId> = [trips, begins].into_iter().chain(carried.iter().chain(&captured).map(|at| operands[*at])).collect();
    let last = n.builder.apply_all(Loop { body: inner.finish(), carried: carried.len() }, &inputs)?;
    let mut results = operands;
    for (at, value) in carried.into_iter().zip(last) {
        results[at] = value;
    }
    Ok(results)
}

/// One truth value without axes.
fn scalar(builder: &mut Builder, value: ValueId) -> Result<ValueId, OpError> {
    if builder.rank(value)? == 0 { Ok(value) } else { builder.apply(frit_ir::ops::reshape::Reshape { extents: Vec::new() }, &[value]) }
}

/// The number of steps, where the condition is that counters are below constants.
fn steps(condition: &Graph, body: &Graph, initial: &[Option<Tensor>], inside: &[usize]) -> Option<i64> {
    let node = |graph: &'_ Graph, value: ValueId| match graph.value(value).producer {
        Producer::Node(id, _) => {
            let node = graph.node(id);
            Some((node.op.clone(), node.inputs.clone()))
        },
        Producer::Input(_) => None,
    };
    let input = |graph: &Graph, value: ValueId| match graph.value(value).producer {
        Producer::Input(at) => Some(at),
        Producer::Node(..) => None,
    };
    let one = |tensor: &Tensor| (tensor.elems() == 1 && tensor.dtype().is_int()).then(|| tensor.ints()[0]);
    let mut least: Option<i64> = None;
    let mut terms = vec![condition.outputs().first()?.1];
    while let Some(term) = terms.pop() {
        let (op, operands) = node(condition, term)?;
        match op {
            Op::And(_) => terms.extend(operands),
            Op::Less(_) => {
                let counter = input(condition, *operands.first()?)?;
                let limit = one(condition.constant(*operands.get(1)?)?)?;
                let (_, next) = body.outputs().get(*inside.get(counter)?)?;
                let (Op::Add(_), sum) = node(body, *next)? else { return None };
                let own = sum.iter().position(|value| input(body, *value) == Some(counter))?;
                let step = one(body.constant(*sum.get(1 - own)?)?).filter(|step| *step > 0)?;
                let first = one(initial.get(*inside.get(counter)?)?.as_ref()?)?;
                let count = limit.checked_sub(first)?.max(0).checked_add(step - 1)? / step;
                least = Some(least.map_or(count, |least| least.min(count)));
            }
            _ => return None,
        }
    }
    least
}
