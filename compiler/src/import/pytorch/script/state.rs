//! Attributes that change when a module runs: what one run leaves to the next.
//!
//! In: attributes before and after a run. Out: [`Form`]s: which parts of them are known before each run, and which are states of the
//! graph. Must not know: why they change.

use std::rc::Rc;

use frit_ir::{DType, OpError, Scalar, Tensor, TensorType, ValueId};

use super::interpret::Interpreter;
use super::python::{self, Var};
use crate::import::pytorch::value::Value;

/// An attribute nests no deeper than this.
const MAX_DEPTH: usize = 16;

/// A part of an attribute that is no container.
#[derive(Clone, Debug)]
pub(super) enum Leaf {
    /// A tensor, or a number that is not known: its value, and whether it is a number.
    Open(ValueId, bool),
    /// Anything else.
    Known(Var),
}

/// What a part of an attribute is before the first run.
#[derive(Clone, Debug)]
pub(super) enum Before {
    /// A tensor: its type, and its elements if they lie in the archive as they are.
    Tensor(TensorType, Option<Tensor>),
    /// Anything else.
    Known(Var),
}

/// What an attribute consists of.
#[derive(Clone, Debug)]
pub(super) enum Form {
    /// What is the same before each run.
    Known(Var),
    /// A state.
    State(State),
    List(Vec<Form>),
    Tuple(Vec<Form>, Option<Rc<[Rc<str>]>>),
    Dict(Vec<(Var, Form)>),
}

/// A state.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// The name of its attribute.
    pub(super) name: String,
    pub(super) ty: TensorType,
    /// Is it a number of Python's?
    pub(super) number: bool,
    /// What it is before the first run, if that is a tensor of this type.
    pub(super) initial: Option<Tensor>,
}

/// The parts of a value, in order.
///
/// # Errors
/// Unsupported where containers nest too deep; what reading tensors says.
pub(super) fn leaves(interpreter: &mut Interpreter<'_>, var: &Var) -> Result<Vec<Leaf>, OpError> {
    let mut all = Vec::new();
    gather(interpreter, var, MAX_DEPTH, &mut all)?;
    Ok(all)
}

fn gather(interpreter: &mut Interpreter<'_>, var: &Var, depth: usize, all: &mut Vec<Leaf>) -> Result<(), OpError> {
    let depth = depth.checked_sub(1).ok_or_else(|| OpError::unsupported("an attribute nests too deep"))?;
    match var {
        Var::Plain(Value::Tensor(tensor)) => all.push(Leaf::Open(interpreter.context.read(*tensor)?, false)),
        Var::Plain(Value::Complex(real, imaginary)) => {
            for part in [real, imaginary] {
                all.push(Leaf::Open(interpreter.context.read(*part)?, false));
            }
        }
        Var::Plain(Value::Symbol(symbol)) => all.push(Leaf::Open(symbol.value, true)),
        Var::List(_) | Var::Tuple(..) => {
            let items = var.elements().unwrap_or_default();
            // Lists of different lengths have different parts.
            all.push(Leaf::Known(Var::int(items.len() as i64)));
            for item in &items {
                gather(interpreter, item, depth, all)?;
            }
        }
        Var::Dict(entries) => {
            let entries = entries.borrow().clone();
            all.push(Leaf::Known(Var::int(entries.len() as i64)));
            for (key, item) in &entries {
                all.push(Leaf::Known(key.clone()));
                gather(interpreter, item, depth, all)?;
            }
        }
        other => all.push(Leaf::Known(other.clone())),
    }
    Ok(())
}

/// The same parts, apart from the graph that they are values of.
pub(super) fn before(interpreter: &Interpreter<'_>, leaves: &[Leaf]) -> Vec<Before> {
    let builder = &interpreter.context.builder;
    let part = |leaf: &Leaf| match leaf {
        Leaf::Open(value, _) => Before::Tensor(builder.ty(*value).clone(), builder.as_constant(*value).cloned()),
        Leaf::Known(var) => Before::Known(var.clone()),
    };
    leaves.iter().map(part).collect()
}

/// Are parts the same?
pub(super) fn same(before: &[Leaf], after: &[Leaf]) -> bool {
    before.len() == after.len()
        && before.iter().zip(after).all(|(before, after)| match (before, after) {
            (Leaf::Open(before, _), Leaf::Open(after, _)) => before == after,
            (Leaf::Known(before), Leaf::Known(after)) => python::equal(before, after),
            _ => false,
        })
}

/// The form of an attribute after a run. `before` are its parts before the first run, and `varying` says that numbers that are known are
/// states nevertheless, since they change with each run.
///
/// # Errors
/// Unsupported where it holds what can be no state.
pub(super) fn form(interpreter: &mut Interpreter<'_>, name: &str, var: &Var, before: &[Before], varying: bool) -> Result<Form, OpError> {
    let after = leaves(interpreter, var)?;
    let alike = before.len() == after.len();
    let mut at = 0;
    shaped(interpreter, name, var, &mut |interpreter, name, leaf| {
        let old = before.get(at).filter(|_| alike);
        at += 1;
        Ok(match leaf {
            Leaf::Open(value, number) => {
                let ty = interpreter.context.builder.ty(*value).clone();
                if ty.shape.extents().is_none() {
                    return Err(OpError::unsupported(format!("the shape of attribute '{name}' depends on values, and it is kept for the next run")));
                }
                let initial = match old {
                    Some(Before::Tensor(old, constant)) if *old == ty => constant.clone(),
                    Some(Before::Known(old)) if *number => tensor(old).filter(|old| old.ty() == ty),
                    _ => None,
                };
                Form::State(State { name: name.to_owned(), ty, number: *number, initial })
            }
            Leaf::Known(var) => match (tensor(var), old) {
                (Some(now), Some(Before::Known(old))) if varying && !python::equal(var, old) => {
                    Form::State(State { name: name.to_owned(), ty: now.ty(), number: true, initial: tensor(old).filter(|old| old.ty() == now.ty()) })
                }
                (None, _) if matches!(var, Var::Object(_)) => return Err(OpError::unsupported(format!("attribute '{name}' is another object after a run"))),
                _ => Form::Known(var.clone()),
            },
        })
    })
}

/// A number as a tensor.
pub(super) fn tensor(var: &Var) -> Option<Tensor> {
    Some(match var {
        Var::Plain(Value::Int(n)) => Tensor::scalar(DType::I64, Scalar::Int(i128::from(*n))),
        Var::Plain(Value::Float(x)) => Tensor::scalar(DType::F64, Scalar::Float(*x)),
        Var::Plain(Value::Bool(x)) => Tensor::from_bools(&[], &[*x]),
        _ => return None,
    })
}

type Maker<'m, 'a> = dyn FnMut(&mut Interpreter<'a>, &str, &Leaf) -> Result<Form, OpError> + 'm;

/// The containers of a value around what a function makes of its parts. It is called for each part that [`leaves`] gives.
fn shaped<'a>(interpreter: &mut Interpreter<'a>, name: &str, var: &Var, make: &mut Maker<'_, 'a>) -> Result<Form, OpError> {
    Ok(match var {
        Var::Plain(Value::Tensor(tensor)) => {
            let value = interpreter.context.read(*tensor)?;
            make(interpreter, name, &Leaf::Open(value, false))?
        }
        Var::Plain(Value::Complex(..)) => {
            return Err(OpError::unsupported(format!("attribute '{name}' holds complex numbers, and is kept for the next run")).help("keep real and imaginary parts as two attributes"));
        }
        Var::Plain(Value::Symbol(symbol)) => make(interpreter, name, &Leaf::Open(symbol.value, true))?,
        Var::List(_) | Var::Tuple(..) => {
            let items = var.elements().unwrap_or_default();
            make(interpreter, name, &Leaf::Known(Var::NONE))?;
            let forms = items.iter().enumerate().map(|(at, item)| shaped(interpreter, &format!("{name}.{at}"), item, make)).collect::<Result<_, _>>()?;
            match var {
                Var::Tuple(_, names) => Form::Tuple(forms, names.clone()),
                _ => Form::List(forms),
            }
        }
        Var::Dict(entries) => {
            let entries = entries.borrow().clone();
            make(interpreter, name, &Leaf::Known(Var::NONE))?;
            let mut forms = Vec::new();
            for (key, item) in entries {
                make(interpreter, name, &Leaf::Known(Var::NONE))?;
                let name = format!("{name}.{}", python::written(&key));
                forms.push((key, shaped(interpreter, &name, &item, make)?));
            }
            Form::Dict(forms)
        }
        other => make(interpreter, name, &Leaf::Known(other.clone()))?,
    })
}

impl Form {
    /// The states in it, in order.
    pub(super) fn states<'s>(&'s self, all: &mut Vec<&'s State>) {
        match self {
            Form::Known(_) => {}
            Form::State(state) => all.push(state),
            Form::List(forms) | Form::Tuple(forms, _) => forms.iter().for_each(|form| form.states(all)),
            Form::Dict(entries) => entries.iter().for_each(|(_, form)| form.states(all)),
        }
    }

    /// The value that has this form; `make` gives those of its states, in order.
    pub(super) fn realised(&self, make: &mut dyn FnMut(&State) -> Var) -> Var {
        match self {
            Form::Known(var) => var.clone(),
            Form::State(state) => make(state),
            Form::List(forms) => Var::list(forms.iter().map(|form| form.realised(make)).collect()),
            Form::Tuple(forms, names) => Var::Tuple(forms.iter().map(|form| form.realised(make)).collect(), names.clone()),
            Form::Dict(entries) => Var::dict(entries.iter().map(|(key, form)| (key.clone(), form.realised(make))).collect()),
        }
    }

    /// Does a value of another form have this one, too?
    pub(super) fn fits(&self, other: &Form) -> bool {
        let all = |a: &[Form], b: &[Form]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.fits(b));
        match (self, other) {
            (Form::Known(a), Form::Known(b)) => python::equal(a, b),
            (Form::State(a), Form::State(b)) => a.ty == b.ty && a.number == b.number,
            // A number that was set to what is known.
            (Form::State(a), Form::Known(b)) => a.number && tensor(b).is_some_and(|b| b.ty() == a.ty),
            (Form::List(a), Form::List(b)) | (Form::Tuple(a, _), Form::Tuple(b, _)) => all(a, b),
            (Form::Dict(a), Form::Dict(b)) => a.len() == b.len() && a.iter().zip(b).all(|((key, a), (other, b))| python::equal(key, other) && a.fits(b)),
            _ => false,
        }
    }

    /// The values of its states in a value that has this form.
    ///
    /// # Errors
    /// Unsupported where the value has another form.
    pub(super) fn values(&self, interpreter: &mut Interpreter<'_>, var: &Var) -> Result<Vec<ValueId>, OpError> {
        let mut values = Vec::new();
        self.collect(interpreter, var, &mut values)?;
        Ok(values)
    }

    fn collect(&self, interpreter: &mut Interpreter<'_>, var: &Var, values: &mut Vec<ValueId>) -> Result<(), OpError> {
        let other = || OpError::unsupported("an attribute consists of something else after the first run than after later ones");
        match self {
            Form::Known(_) => {}
            Form::State(state) => {
                let value = match var {
                    Var::Plain(Value::Tensor(tensor)) => interpreter.context.read(*tensor)?,
                    Var::Plain(Value::Symbol(symbol)) => symbol.value,
                    known => interpreter.context.builder.constant(tensor(known).ok_or_else(other)?),
                };
                if interpreter.context.builder.ty(value) != &state.ty {
                    return Err(other());
                }
                values.push(value);
            }
            Form::List(forms) | Form::Tuple(forms, _) => {
                let items = var.elements().filter(|items| items.len() == forms.len()).ok_or_else(other)?;
                for (form, item) in forms.iter().zip(&items) {
                    form.collect(interpreter, item, values)?;
                }
            }
            Form::Dict(entries) => {
                let Var::Dict(items) = var else { return Err(other()) };
                let items = items.borrow().clone();
                if items.len() != entries.len() {
                    return Err(other());
                }
                for ((_, form), (_, item)) in entries.iter().zip(&items) {
                    form.collect(interpreter, item, values)?;
                }
            }
        }
        Ok(())
    }

    /// Is it the form of what the attribute is before the first run, too?
    pub(super) fn is_initial(&self, before: &[Before]) -> bool {
        fn walk(form: &Form, before: &mut std::slice::Iter<'_, Before>) -> bool {
            let count = |len: usize, part: Option<&Before>| matches!(part, Some(Before::Known(Var::Plain(Value::Int(n)))) if *n == len as i64);
            match form {
                Form::Known(var) => matches!(before.next(), Some(Before::Known(old)) if python::equal(var, old)),
                Form::State(state) => before.next().is_some() && state.initial.is_some(),
                Form::List(forms) | Form::Tuple(forms, _) => count(forms.len(), before.next()) && forms.iter().all(|form| walk(form, before)),
                Form::Dict(entries) => count(entries.len(), before.next()) && entries.iter().all(|(key, form)| matches!(before.next(), Some(Before::Known(old)) if python::equal(key, old)) && walk(form, before)),
            }
        }
        let mut before = before.iter();
        walk(self, &mut before) && before.next().is_none()
    }
}
