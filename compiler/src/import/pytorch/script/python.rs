//! Values of TorchScript's programs, and what they do without tensors.
//!
//! In: operators by ATen's names, and operands that are known. Out: their results, as Python has them. Must not know: graphs,
//! modules, syntax.

use std::cell::RefCell;
use std::rc::Rc;

use frit_ir::OpError;

use crate::import::pytorch::value::Value;

/// Lists and texts are no longer than this.
const MAX_LENGTH: usize = 1 << 20;

/// Containers nest no deeper than this where they are looked through.
const MAX_DEPTH: usize = 16;

/// A value of a program.
#[derive(Clone, Debug)]
pub(super) enum Var {
    /// A tensor, a number, text, None; no container.
    Plain(Value),
    /// A list, which its owners share.
    List(Rc<RefCell<Vec<Var>>>),
    /// A tuple; with the names of its fields, if it has such.
    Tuple(Rc<[Var]>, Option<Rc<[Rc<str>]>>),
    /// A dictionary, in the order of its entries.
    Dict(Rc<RefCell<Vec<(Var, Var)>>>),
    /// A module, or an instance of another class.
    Object(usize),
    /// What a dotted name stands for: a function, a class, an operator.
    Path(Rc<str>),
    /// What is never looked at.
    Uninitialised,
}

impl Var {
    pub(super) const NONE: Var = Var::Plain(Value::None);

    pub(super) fn int(n: i64) -> Self {
        Var::Plain(Value::Int(n))
    }

    pub(super) fn float(x: f64) -> Self {
        Var::Plain(Value::Float(x))
    }

    pub(super) fn bool(x: bool) -> Self {
        Var::Plain(Value::Bool(x))
    }

    pub(super) fn text(text: impl Into<String>) -> Self {
        Var::Plain(Value::Str(text.into()))
    }

    pub(super) fn list(items: Vec<Var>) -> Self {
        Var::List(Rc::new(RefCell::new(items)))
    }

    pub(super) fn tuple(items: Vec<Var>) -> Self {
        Var::Tuple(items.into(), None)
    }

    pub(super) fn dict(entries: Vec<(Var, Var)>) -> Self {
        Var::Dict(Rc::new(RefCell::new(entries)))
    }

    pub(super) fn is_none(&self) -> bool {
        matches!(self, Var::Plain(Value::None))
    }

    /// What it is, for messages.
    pub(super) fn words(&self) -> &'static str {
        match self {
            Var::Plain(value) => value.words(),
            Var::List(_) => "a list",
            Var::Tuple(..) => "a tuple",
            Var::Dict(_) => "a dictionary",
            Var::Object(_) => "an object",
            Var::Path(_) => "a function or class",
            Var::Uninitialised => "a value that was never set",
        }
    }

    /// The elements of a list or tuple.
    pub(super) fn elements(&self) -> Option<Vec<Var>> {
        match self {
            Var::List(list) => Some(list.borrow().clone()),
            Var::Tuple(items, _) => Some(items.to_vec()),
            _ => None,
        }
    }

    /// The value that operators on tensors take.
    ///
    /// # Errors
    /// Unsupported for what is none: objects, functions.
    pub(super) fn value(&self) -> Result<Value, OpError> {
        let mut room = MAX_LENGTH;
        self.value_within(MAX_DEPTH, &mut room)
    }

    fn value_within(&self, depth: usize, room: &mut usize) -> Result<Value, OpError> {
        let deep = || OpError::unsupported("containers are too large or nest too deep");
        *room = room.checked_sub(1).ok_or_else(deep)?;
        let depth = depth.checked_sub(1).ok_or_else(deep)?;
        Ok(match self {
            Var::Plain(value) => value.clone(),
            Var::List(list) => Value::List(list.borrow().iter().map(|item| item.value_within(depth, room)).collect::<Result<_, _>>()?),
            Var::Tuple(items, _) => Value::Tuple(items.iter().map(|item| item.value_within(depth, room)).collect::<Result<_, _>>()?),
            Var::Dict(entries) => Value::Dict(entries.borrow().iter().map(|(key, item)| Ok((key.value_within(depth, room)?, item.value_within(depth, room)?))).collect::<Result<_, OpError>>()?),
            Var::Object(_) | Var::Path(_) | Var::Uninitialised => return Err(OpError::unsupported(format!("an operator gets {}", self.words()))),
        })
    }

    /// Is it, or does it hold, a tensor or a number that is not known yet?
    pub(super) fn is_open(&self) -> bool {
        fn open(var: &Var, depth: usize) -> bool {
            match var {
                Var::Plain(value) => matches!(value, Value::Tensor(_) | Value::Symbol(_)),
                Var::List(list) => depth > 0 && list.borrow().iter().any(|item| open(item, depth - 1)),
                Var::Tuple(items, _) => depth > 0 && items.iter().any(|item| open(item, depth - 1)),
                Var::Dict(entries) => depth > 0 && entries.borrow().iter().any(|(_, item)| open(item, depth - 1)),
                Var::Object(_) | Var::Path(_) | Var::Uninitialised => false,
            }
        }
        open(self, MAX_DEPTH)
    }
}

impl From<Value> for Var {
    fn from(value: Value) -> Self {
        match value {
            Value::List(items) => Var::list(items.into_iter().map(Var::from).collect()),
            Value::Tuple(items) => Var::tuple(items.into_iter().map(Var::from).collect()),
            Value::Dict(entries) => Var::dict(entries.into_iter().map(|(key, item)| (key.into(), item.into())).collect()),
            plain => Var::Plain(plain),
        }
    }
}

/// A number that is known.
#[derive(Clone, Copy)]
enum Number {
    Int(i64),
    Float(f64),
}

impl Number {
    fn of(var: &Var) -> Option<Self> {
        match var {
            Var::Plain(Value::Int(n)) => Some(Number::Int(*n)),
            Var::Plain(Value::Float(x)) => Some(Number::Float(*x)),
            Var::Plain(Value::Bool(x)) => Some(Number::Int(i64::from(*x))),
            _ => None,
        }
    }

    fn float(self) -> f64 {
        match self {
            Number::Int(n) => n as f64,
            Number::Float(x) => x,
        }
    }
}

type Done = Result<Var, OpError>;

/// Are two values the same, as `==` has it? Objects and functions are if they are one.
pub(super) fn equal(a: &Var, b: &Var) -> bool {
    fn within(a: &Var, b: &Var, depth: usize) -> bool {
        let all = |a: &[Var], b: &[Var]| depth > 0 && a.len() == b.len() && a.iter().zip(b).all(|(a, b)| within(a, b, depth - 1));
        match (a, b) {
            _ if Number::of(a).is_some() && Number::of(b).is_some() => match (Number::of(a), Number::of(b)) {
                (Some(Number::Int(a)), Some(Number::Int(b))) => a == b,
                (Some(a), Some(b)) => a.float() == b.float(),
                _ => false,
            },
            (Var::Plain(Value::Str(a)), Var::Plain(Value::Str(b))) | (Var::Plain(Value::Device(a)), Var::Plain(Value::Device(b))) => a == b,
            (Var::Plain(Value::Dtype(a)), Var::Plain(Value::Dtype(b))) => a == b,
            (Var::Plain(Value::Tensor(a)), Var::Plain(Value::Tensor(b))) => a == b,
            (Var::Plain(Value::None), Var::Plain(Value::None)) | (Var::Plain(Value::Layout), Var::Plain(Value::Layout)) | (Var::Uninitialised, Var::Uninitialised) => true,
            (Var::List(a), Var::List(b)) => Rc::ptr_eq(a, b) || all(&a.borrow(), &b.borrow()),
            (Var::Tuple(a, _), Var::Tuple(b, _)) => all(a, b),
            (Var::Dict(a), Var::Dict(b)) => {
                let one = Rc::ptr_eq(a, b);
                let (a, b) = (a.borrow(), b.borrow());
                one || depth > 0 && a.len() == b.len() && a.iter().all(|(key, item)| b.iter().any(|(other, value)| within(key, other, depth - 1) && within(item, value, depth - 1)))
            }
            (Var::Object(a), Var::Object(b)) => a == b,
            (Var::Path(a), Var::Path(b)) => a == b,
            _ => false,
        }
    }
    within(a, b, MAX_DEPTH)
}

/// Are two values one, as `is` has it?
fn identical(a: &Var, b: &Var) -> bool {
    match (a, b) {
        (Var::List(a), Var::List(b)) => Rc::ptr_eq(a, b),
        (Var::Dict(a), Var::Dict(b)) => Rc::ptr_eq(a, b),
        _ => equal(a, b),
    }
}

/// Is it true, as `bool` has it? Nothing where that is not known.
pub(super) fn truth(var: &Var) -> Option<bool> {
    Some(match var {
        Var::Plain(Value::Bool(x)) => *x,
        Var::Plain(Value::Int(n)) => *n != 0,
        Var::Plain(Value::Float(x)) => *x != 0.0,
        Var::Plain(Value::Str(text)) => !text.is_empty(),
        Var::Plain(Value::None) => false,
        Var::List(list) => !list.borrow().is_empty(),
        Var::Dict(entries) => !entries.borrow().is_empty(),
        _ => return None,
    })
}

/// Writes a value as `str` and `format` do.
pub(super) fn written(var: &Var) -> String {
    fn within(var: &Var, depth: usize, text: &mut String) {
        if depth == 0 || text.len() > MAX_LENGTH {
            text.push_str("..");
            return;
        }
        let mut items = |open: &str, items: &[Var], close: &str| {
            text.push_str(open);
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    text.push_str(", ");
                }
                within(item, depth - 1, text);
            }
            text.push_str(close);
        };
        match var {
            Var::Plain(Value::Str(inner)) => text.push_str(inner),
            Var::Plain(Value::Int(n)) => text.push_str(&n.to_string()),
            Var::Plain(Value::Float(x)) if x.fract() == 0.0 && x.abs() < 1e16 => text.push_str(&format!("{x:.1}")),
            Var::Plain(Value::Float(x)) => text.push_str(&x.to_string()),
            Var::Plain(Value::Bool(x)) => text.push_str(if *x { "True" } else { "False" }),
            Var::Plain(Value::None) => text.push_str("None"),
            Var::List(list) => items("[", &list.borrow(), "]"),
            Var::Tuple(list, _) => items("(", list, ")"),
            other => text.push_str(other.words()),
        }
    }
    let mut text = String::new();
    within(var, MAX_DEPTH, &mut text);
    text
}

fn too_long() -> OpError {
    OpError::unsupported(format!("a list or text is longer than {MAX_LENGTH}"))
}

fn bounded(items: Vec<Var>) -> Done {
    if items.len() > MAX_LENGTH { Err(too_long()) } else { Ok(Var::list(items)) }
}

/// An index counted as in Python.
fn index(at: i64, len: usize) -> Result<usize, OpError> {
    let place = if at < 0 { at.checked_add(len as i64) } else { Some(at) };
    place.and_then(|at| usize::try_from(at).ok()).filter(|at| *at < len).ok_or_else(|| OpError::invalid(format!("index {at} is outside a list of {len}")))
}

/// The places that a slice picks.
fn sliced(len: usize, start: Option<i64>, end: Option<i64>, step: i64) -> Result<Vec<usize>, OpError> {
    if step <= 0 {
        return Err(OpError::unsupported("slices of lists step forward"));
    }
    let len = len as i64;
    let clamp = |at: i64| if at < 0 { at.saturating_add(len).max(0) } else { at.min(len) };
    let (start, end) = (start.map_or(0, clamp), end.map_or(len, clamp));
    Ok((start..end).step_by(usize::try_from(step).unwrap_or(usize::MAX)).map(|at| at as usize).collect())
}

/// The element of a container, as `x[key]` has it; nothing for what is no container.
pub(super) fn element(of: &Var, key: &Var) -> Option<Done> {
    let place = |len: usize| match key {
        Var::Plain(Value::Int(at)) => index(*at, len),
        _ => Err(OpError::unsupported(format!("a list is indexed by {}", key.words()))),
    };
    Some(match of {
        Var::List(list) => {
            let list = list.borrow();
            place(list.len()).map(|at| list[at].clone())
        }
        Var::Tuple(items, _) => place(items.len()).map(|at| items[at].clone()),
        Var::Dict(entries) => entries.borrow().iter().find(|(known, _)| equal(known, key)).map(|(_, item)| item.clone()).ok_or_else(|| OpError::invalid(format!("a dictionary has no '{}'", written(key)))),
        Var::Plain(Value::Str(text)) => {
            let letters: Vec<char> = text.chars().collect();
            place(letters.len()).map(|at| Var::text(letters[at]))
        }
        _ => return None,
    })
}

/// Sets the element of a container.
fn set_element(of: &Var, key: &Var, item: &Var) -> Option<Done> {
    match of {
        Var::List(list) => {
            let Var::Plain(Value::Int(at)) = key else { return Some(Err(OpError::unsupported(format!("a list is indexed by {}", key.words())))) };
            let len = list.borrow().len();
            Some(index(*at, len).map(|at| {
                list.borrow_mut()[at] = item.clone();
                Var::NONE
            }))
        }
        Var::Dict(entries) => {
            let place = entries.borrow().iter().position(|(known, _)| equal(known, key));
            let mut entries = entries.borrow_mut();
            match place {
                Some(at) => entries[at].1 = item.clone(),
                None if entries.len() >= MAX_LENGTH => return Some(Err(too_long())),
                None => entries.push((key.clone(), item.clone())),
            }
            Some(Ok(Var::NONE))
        }
        _ => None,
    }
}

/// An operator on operands that are known. Nothing where it is not one on such.
pub(super) fn operator(name: &str, operands: &[Var]) -> Option<Done> {
    if let Some(done) = containers(name, operands) {
        return Some(done);
    }
    match operands {
        [a, b] if name == "__is__" => return Some(Ok(Var::bool(identical(a, b)))),
        [a, b] if name == "__isnot__" => return Some(Ok(Var::bool(!identical(a, b)))),
        [a, b] if matches!(name, "eq" | "ne") && !a.is_open() && !b.is_open() => return Some(Ok(Var::bool(equal(a, b) == (name == "eq")))),
        [a] if name == "__not__" => return truth(a).map(|x| Ok(Var::bool(!x))),
        _ => {}
    }
    if let [Var::Plain(Value::Str(text)), rest @ ..] = operands {
        return texts(name, text, rest);
    }
    match operands {
        [a] => unary(name, a),
        [a, b] => binary(name, a, b),
        _ => None,
    }
}

fn unary(name: &str, a: &Var) -> Option<Done> {
    let number = Number::of(a)?;
    let integer = |x: f64| if x.abs() < 9.3e18 { Ok(Var::int(x as i64)) } else { Err(OpError::invalid(format!("{x} is no integer"))) };
    let wide = || OpError::invalid("an integer takes more than 64 bits");
    Some(match (name, number) {
        ("neg", Number::Int(n)) => n.checked_neg().map(Var::int).ok_or_else(wide),
        ("neg", Number::Float(x)) => Ok(Var::float(-x)),
        ("abs", Number::Int(n)) => n.checked_abs().map(Var::int).ok_or_else(wide),
        ("abs", Number::Float(x)) => Ok(Var::float(x.abs())),
        ("bitwise_not", Number::Int(n)) => Ok(Var::int(!n)),
        ("floor" | "ceil" | "trunc" | "Int" | "IntImplicit", Number::Int(n)) => Ok(Var::int(n)),
        ("floor", Number::Float(x)) => integer(x.floor()),
        ("ceil", Number::Float(x)) => integer(x.ceil()),
        ("trunc" | "Int" | "IntImplicit", Number::Float(x)) => integer(x.trunc()),
        ("round", x) => Ok(Var::float(x.float().round_ties_even())),
        ("Float" | "FloatImplicit", x) => Ok(Var::float(x.float())),
        ("Bool", x) => Ok(Var::bool(x.float() != 0.0)),
        ("ScalarImplicit", _) => Ok(a.clone()),
        ("sqrt", x) => Ok(Var::float(x.float().sqrt())),
        ("exp", x) => Ok(Var::float(x.float().exp())),
        ("log", x) => Ok(Var::float(x.float().ln())),
        ("log2", x) => Ok(Var::float(x.float().log2())),
        ("log10", x) => Ok(Var::float(x.float().log10())),
        ("sin", x) => Ok(Var::float(x.float().sin())),
        ("cos", x) => Ok(Var::float(x.float().cos())),
        ("tan", x) => Ok(Var::float(x.float().tan())),
        ("tanh", x) => Ok(Var::float(x.float().tanh())),
        ("isnan", x) => Ok(Var::bool(x.float().is_nan())),
        ("isinf", x) => Ok(Var::bool(x.float().is_infinite())),
        ("isfinite", x) => Ok(Var::bool(x.float().is_finite())),
        _ => return None,
    })
}

fn binary(name: &str, a: &Var, b: &Var) -> Option<Done> {
    let (x, y) = (Number::of(a)?, Number::of(b)?);
    let truths = (a, b);
    let zero = || OpError::invalid("a number is divided by zero");
    let wide = || OpError::invalid("an integer takes more than 64 bits");
    if let (Var::Plain(Value::Bool(x)), Var::Plain(Value::Bool(y))) = truths {
        match name {
            "__and__" => return Some(Ok(Var::bool(*x && *y))),
            "__or__" => return Some(Ok(Var::bool(*x || *y))),
            "__xor__" => return Some(Ok(Var::bool(x != y))),
            _ => {}
        }
    }
    if let (Number::Int(x), Number::Int(y)) = (x, y) {
        let exact = match name {
            "add" => Some(x.checked_add(y).ok_or_else(wide)),
            "sub" => Some(x.checked_sub(y).ok_or_else(wide)),
            "mul" => Some(x.checked_mul(y).ok_or_else(wide)),
            "floordiv" | "floor_divide" | "remainder" if y == 0 => Some(Err(zero())),
            // Rounded down, and the remainder has the divisor's sign.
            "floordiv" | "floor_divide" => Some(x.checked_div_euclid(y).map(|q| if y < 0 && x.rem_euclid(y) != 0 { q - 1 } else { q }).ok_or_else(wide)),
            "remainder" => Some(x.checked_rem(y).map(|r| if r != 0 && (r < 0) != (y < 0) { r + y } else { r }).ok_or_else(wide)),
            "__and__" => Some(Ok(x & y)),
            "__or__" => Some(Ok(x | y)),
            "__xor__" => Some(Ok(x ^ y)),
            "__lshift__" => Some(u32::try_from(y).ok().and_then(|y| x.checked_shl(y)).ok_or_else(wide)),
            "__rshift__" => Some(u32::try_from(y).ok().and_then(|y| x.checked_shr(y)).ok_or_else(wide)),
            "max" => Some(Ok(x.max(y))),
            "min" => Some(Ok(x.min(y))),
            "gcd" => {
                let (mut x, mut y) = (x.unsigned_abs(), y.unsigned_abs());
                while y != 0 {
                    (x, y) = (y, x % y);
                }
                Some(i64::try_from(x).map_err(|_| wide()))
            }
            _ => None,
        };
        let compared = match name {
            "lt" => Some(x < y),
            "le" => Some(x <= y),
            "gt" => Some(x > y),
            "ge" => Some(x >= y),
            _ => None,
        };
        if let Some(done) = exact.map(|n| n.map(Var::int)).or_else(|| compared.map(|x| Ok(Var::bool(x)))) {
            return Some(done);
        }
    }
    let (x, y) = (x.float(), y.float());
    Some(match name {
        "add" => Ok(Var::float(x + y)),
        "sub" => Ok(Var::float(x - y)),
        "mul" => Ok(Var::float(x * y)),
        "div" | "floordiv" | "floor_divide" | "remainder" if y == 0.0 => Err(zero()),
        "div" => Ok(Var::float(x / y)),
        "floordiv" | "floor_divide" => Ok(Var::float((x / y).floor())),
        "remainder" => Ok(Var::float(if x % y != 0.0 && (x % y < 0.0) != (y < 0.0) { x % y + y } else { x % y })),
        "pow" => Ok(Var::float(x.powf(y))),
        "atan2" => Ok(Var::float(x.atan2(y))),
        "lt" => Ok(Var::bool(x < y)),
        "le" => Ok(Var::bool(x <= y)),
        "gt" => Ok(Var::bool(x > y)),
        "ge" => Ok(Var::bool(x >= y)),
        "max" => Ok(Var::float(x.max(y))),
        "min" => Ok(Var::float(x.min(y))),
        _ => return None,
    })
}

/// Operators on lists, tuples and dictionaries.
fn containers(name: &str, operands: &[Var]) -> Option<Done> {
    let maybe_int = |at: usize| match operands.get(at) {
        Some(Var::Plain(Value::Int(n))) => Some(*n),
        _ => None,
    };
    match (name, operands) {
        ("len", [Var::List(list)]) => return Some(Ok(Var::int(list.borrow().len() as i64))),
        ("len", [Var::Tuple(items, _)]) => return Some(Ok(Var::int(items.len() as i64))),
        ("len", [Var::Dict(entries)]) => return Some(Ok(Var::int(entries.borrow().len() as i64))),
        ("__getitem__", [of, key]) => return element(of, key),
        ("_set_item", [of, key, item]) => return set_element(of, key, item),
        ("dict", []) => return Some(Ok(Var::dict(Vec::new()))),
        ("__contains__", [Var::List(list), item]) if !item.is_open() => return Some(Ok(Var::bool(list.borrow().iter().any(|known| equal(known, item))))),
        ("__contains__", [Var::Tuple(items, _), item]) if !item.is_open() => return Some(Ok(Var::bool(items.iter().any(|known| equal(known, item))))),
        ("__contains__", [Var::Dict(entries), key]) => return Some(Ok(Var::bool(entries.borrow().iter().any(|(known, _)| equal(known, key))))),
        _ => {}
    }
    match operands {
        [Var::List(list), rest @ ..] => {
            let items = || list.borrow().clone();
            Some(match (name, rest) {
                ("append", [item]) => {
                    if list.borrow().len() >= MAX_LENGTH {
                        return Some(Err(too_long()));
                    }
                    list.borrow_mut().push(item.clone());
                    Ok(operands[0].clone())
                }
                ("add", [other]) => {
                    let mut all = items();
                    all.extend(other.elements()?);
                    bounded(all)
                }
                ("extend" | "add_", [other]) => {
                    let more = other.elements()?;
                    if list.borrow().len() + more.len() > MAX_LENGTH {
                        return Some(Err(too_long()));
                    }
                    list.borrow_mut().extend(more);
                    Ok(operands[0].clone())
                }
                ("mul", [Var::Plain(Value::Int(times))]) => {
                    let times = usize::try_from(*times).unwrap_or(0);
                    if list.borrow().len().saturating_mul(times) > MAX_LENGTH {
                        return Some(Err(too_long()));
                    }
                    let all = items();
                    bounded((0..times).flat_map(|_| all.iter().cloned()).collect())
                }
                ("insert", [Var::Plain(Value::Int(at)), item]) => {
                    let mut list = list.borrow_mut();
                    let len = list.len() as i64;
                    let at = if *at < 0 { at.saturating_add(len).max(0) } else { *at }.min(len);
                    list.insert(at as usize, item.clone());
                    Ok(Var::NONE)
                }
                ("pop", _) => {
                    let len = list.borrow().len();
                    index(maybe_int(1).unwrap_or(-1), len).map(|at| list.borrow_mut().remove(at))
                }
                ("Delete", [Var::Plain(Value::Int(at))]) => {
                    let len = list.borrow().len();
                    index(*at, len).map(|at| {
                        list.borrow_mut().remove(at);
                        Var::NONE
                    })
                }
                ("remove", [item]) => {
                    let place = list.borrow().iter().position(|known| equal(known, item));
                    place.map(|at| drop(list.borrow_mut().remove(at))).map(|()| Var::NONE).ok_or_else(|| OpError::invalid("an item that is removed is not in its list"))
                }
                ("clear", []) => {
                    list.borrow_mut().clear();
                    Ok(Var::NONE)
                }
                ("reverse", []) => {
                    list.borrow_mut().reverse();
                    Ok(Var::NONE)
                }
                ("index", [item]) => list.borrow().iter().position(|known| equal(known, item)).map(|at| Var::int(at as i64)).ok_or_else(|| OpError::invalid("an item is not in its list")),
                ("count", [item]) => Ok(Var::int(list.borrow().iter().filter(|known| equal(known, item)).count() as i64)),
                ("copy" | "list", []) => Ok(Var::list(items())),
                ("sorted" | "sort", _) if list.borrow().iter().all(|item| Number::of(item).is_some() || matches!(item, Var::Plain(Value::Str(_)))) => {
                    let mut all = items();
                    all.sort_by(|a, b| match (a, b) {
                        (Var::Plain(Value::Str(a)), Var::Plain(Value::Str(b))) => a.cmp(b),
                        (a, b) => Number::of(a).map_or(0.0, Number::float).total_cmp(&Number::of(b).map_or(0.0, Number::float)),
                    });
                    if rest.first().and_then(truth).unwrap_or(false) {
                        all.reverse();
                    }
                    if name == "sorted" {
                        Ok(Var::list(all))
                    } else {
                        *list.borrow_mut() = all;
                        Ok(Var::NONE)
                    }
                }
                ("slice", _) => {
                    let all = items();
                    sliced(all.len(), maybe_int(1), maybe_int(2), maybe_int(3).unwrap_or(1)).map(|places| Var::list(places.into_iter().map(|at| all[at].clone()).collect()))
                }
                ("sum", []) if !operands[0].is_open() => {
                    let mut sum = Var::int(0);
                    for item in items() {
                        sum = match binary("add", &sum, &item)? {
                            Ok(sum) => sum,
                            Err(error) => return Some(Err(error)),
                        };
                    }
                    Ok(sum)
                }
                ("all" | "any", []) => {
                    let truths = items().iter().map(truth).collect::<Option<Vec<_>>>()?;
                    Ok(Var::bool(if name == "all" { truths.iter().all(|x| *x) } else { truths.iter().any(|x| *x) }))
                }
                ("max" | "min", []) => {
                    let all = items();
                    let mut best = all.first()?.clone();
                    for item in &all[1..] {
                        best = match binary(name, &best, item)? {
                            Ok(best) => best,
                            Err(error) => return Some(Err(error)),
                        };
                    }
                    Ok(best)
                }
                _ => return None,
            })
        }
        [Var::Tuple(items, _), ..] => Some(match name {
            "slice" => sliced(items.len(), maybe_int(1), maybe_int(2), maybe_int(3).unwrap_or(1)).map(|places| Var::tuple(places.into_iter().map(|at| items[at].clone()).collect())),
            "list" => Ok(Var::list(items.to_vec())),
            _ => return None,
        }),
        [Var::Dict(entries), rest @ ..] => {
            let find = |key: &Var| entries.borrow().iter().position(|(known, _)| equal(known, key));
            let lost = |key: &Var| OpError::invalid(format!("a dictionary has no '{}'", written(key)));
            Some(match (name, rest) {
                ("keys", []) => Ok(Var::list(entries.borrow().iter().map(|(key, _)| key.clone()).collect())),
                ("values", []) => Ok(Var::list(entries.borrow().iter().map(|(_, item)| item.clone()).collect())),
                ("items", []) => Ok(Var::list(entries.borrow().iter().map(|(key, item)| Var::tuple(vec![key.clone(), item.clone()])).collect())),
                ("copy" | "dict", []) => Ok(Var::dict(entries.borrow().clone())),
                ("get", [key, default @ ..]) => Ok(find(key).map_or_else(|| default.first().cloned().unwrap_or(Var::NONE), |at| entries.borrow()[at].1.clone())),
                ("setdefault", [key, default]) => match find(key) {
                    Some(at) => Ok(entries.borrow()[at].1.clone()),
                    None => set_element(&operands[0], key, default)?.map(|_| default.clone()),
                },
                ("pop", [key, default @ ..]) => match find(key) {
                    Some(at) => Ok(entries.borrow_mut().remove(at).1),
                    None => default.first().cloned().ok_or_else(|| lost(key)),
                },
                ("Delete", [key]) => find(key).map(|at| drop(entries.borrow_mut().remove(at))).map(|()| Var::NONE).ok_or_else(|| lost(key)),
                ("clear", []) => {
                    entries.borrow_mut().clear();
                    Ok(Var::NONE)
                }
                ("update", [Var::Dict(other)]) => {
                    let more = other.borrow().clone();
                    for (key, item) in &more {
                        if let Some(Err(error)) = set_element(&operands[0], key, item) {
                            return Some(Err(error));
                        }
                    }
                    Ok(Var::NONE)
                }
                _ => return None,
            })
        }
        _ => None,
    }
}

/// Operators on text.
fn texts(name: &str, text: &str, rest: &[Var]) -> Option<Done> {
    let other = |at: usize| match rest.get(at) {
        Some(Var::Plain(Value::Str(text))) => Some(text.as_str()),
        _ => None,
    };
    let int = |at: usize| match rest.get(at) {
        Some(Var::Plain(Value::Int(n))) => Some(*n),
        _ => None,
    };
    let done = match (name, rest) {
        ("len", []) => Ok(Var::int(text.chars().count() as i64)),
        ("add", [Var::Plain(Value::Str(more))]) => Ok(Var::text(format!("{text}{more}"))),
        ("mul", [Var::Plain(Value::Int(times))]) => {
            let times = usize::try_from(*times).unwrap_or(0);
            if text.len().saturating_mul(times) > MAX_LENGTH { Err(too_long()) } else { Ok(Var::text(text.repeat(times))) }
        }
        ("lt" | "le" | "gt" | "ge", [Var::Plain(Value::Str(more))]) => {
            let order = text.cmp(more);
            Ok(Var::bool(match name {
                "lt" => order.is_lt(),
                "le" => order.is_le(),
                "gt" => order.is_gt(),
                _ => order.is_ge(),
            }))
        }
        ("format", _) => {
            let mut parts = text.split("{}");
            let mut all = parts.next().unwrap_or_default().to_owned();
            for (at, part) in parts.enumerate() {
                all += &rest.get(at).map_or_else(|| "{}".to_owned(), written);
                all += part;
            }
            Ok(Var::text(all))
        }
        ("upper", []) => Ok(Var::text(text.to_uppercase())),
        ("lower", []) => Ok(Var::text(text.to_lowercase())),
        ("strip", []) => Ok(Var::text(text.trim())),
        ("lstrip", []) => Ok(Var::text(text.trim_start())),
        ("rstrip", []) => Ok(Var::text(text.trim_end())),
        ("startswith", _) => Ok(Var::bool(text.starts_with(other(0)?))),
        ("endswith", _) => Ok(Var::bool(text.ends_with(other(0)?))),
        ("__contains__", [Var::Plain(Value::Str(part))]) => Ok(Var::bool(text.contains(part.as_str()))),
        ("find", _) => Ok(Var::int(text.find(other(0)?).map_or(-1, |at| text[..at].chars().count() as i64))),
        ("replace", [_, _, ..]) => Ok(Var::text(text.replace(other(0)?, other(1)?))),
        ("split", [Var::Plain(Value::Str(between)), ..]) if !between.is_empty() => Ok(Var::list(text.split(between.as_str()).map(Var::text).collect())),
        ("split", []) => Ok(Var::list(text.split_whitespace().map(Var::text).collect())),
        ("join", [Var::List(list)]) => {
            let parts: Vec<String> = list.borrow().iter().map(written).collect();
            if parts.iter().map(|part| part.len() + text.len()).sum::<usize>() > MAX_LENGTH { Err(too_long()) } else { Ok(Var::text(parts.join(text))) }
        }
        ("isdigit", []) => Ok(Var::bool(!text.is_empty() && text.chars().all(|letter| letter.is_ascii_digit()))),
        ("ord", []) => text.chars().next().map(|letter| Var::int(i64::from(u32::from(letter)))).ok_or_else(|| OpError::invalid("text of no letter has no code")),
        ("Int", []) => text.trim().parse().map(Var::int).map_err(|_| OpError::invalid(format!("'{text}' is no integer"))),
        ("Float", []) => text.trim().parse().map(Var::float).map_err(|_| OpError::invalid(format!("'{text}' is no number"))),
        ("slice", _) => {
            let letters: Vec<char> = text.chars().collect();
            sliced(letters.len(), int(0), int(1), int(2).unwrap_or(1)).map(|places| Var::text(places.into_iter().map(|at| letters[at]).collect::<String>()))
        }
        _ => return None,
    };
    Some(done.and_then(|var| match &var {
        Var::Plain(Value::Str(text)) if text.len() > MAX_LENGTH => Err(too_long()),
        _ => Ok(var),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(name: &str, a: i64, b: i64) -> String {
        match operator(name, &[Var::int(a), Var::int(b)]) {
            Some(Ok(var)) => written(&var),
            Some(Err(error)) => error.message,
            None => "none".to_owned(),
        }
    }

    #[test]
    fn numbers_are_pythons() {
        // Each as Python prints it.
        for (name, a, b, expected) in [("floordiv", -7, 2, "-4"), ("floordiv", 7, -2, "-4"), ("floordiv", -7, -2, "3"), ("remainder", -7, 3, "2"), ("remainder", 7, -3, "-2"), ("div", 7, 2, "3.5"), ("pow", 2, 3, "8.0"), ("add", 2, 3, "5"), ("lt", 2, 3, "True")] {
            assert_eq!(int(name, a, b), expected, "{name} {a} {b}");
        }
        assert_eq!(int("floordiv", 1, 0), "a number is divided by zero");
        assert_eq!(int("add", i64::MAX, 1), "an integer takes more than 64 bits");
        assert_eq!(int("floordiv", i64::MIN, -1), "an integer takes more than 64 bits");
    }

    #[test]
    fn lists_are_shared_and_bounded() {
        let list = Var::list(vec![Var::int(1)]);
        let other = list.clone();
        operator("append", &[list.clone(), Var::int(2)]).unwrap().unwrap();
        assert_eq!(written(&other), "[1, 2]");
        assert_eq!(written(&operator("slice", &[other.clone(), Var::int(-1), Var::NONE, Var::int(1)]).unwrap().unwrap()), "[2]");
        assert!(operator("mul", &[other.clone(), Var::int(i64::MAX)]).unwrap().is_err());
        assert!(operator("__getitem__", &[other.clone(), Var::int(2)]).unwrap().is_err());
        // A list that holds itself.
        operator("append", &[other.clone(), list.clone()]).unwrap().unwrap();
        assert!(equal(&other, &list));
        assert!(other.value().is_err());
        let dict = Var::dict(Vec::new());
        operator("_set_item", &[dict.clone(), dict.clone(), Var::int(1)]).unwrap().unwrap();
        operator("_set_item", &[dict.clone(), dict.clone(), Var::int(2)]).unwrap().unwrap();
        assert_eq!(operator("len", &[dict]).map(|len| written(&len.unwrap())), Some("1".to_owned()));
    }
}
