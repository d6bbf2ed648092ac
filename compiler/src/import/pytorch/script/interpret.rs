//! Runs TorchScript's code at import time.
//!
//! In: modules as they lie in an archive, and arguments. Out: what a method gives; tensors are values of a graph under
//! construction. What is known (attributes, numbers, shapes) is computed, branches on it are taken and loops over it unrolled; only
//! operators on tensors leave nodes. Must not know: how an archive is laid out, single operators on tensors.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use frit_ir::build::origin;
use frit_ir::graph::Origins;
use frit_ir::{DType, Dim, OpError, ValueId};

use super::control::Repeat;
use super::library::{Library, Part};
use super::python::{self, Var};
use super::state::{self, Leaf};
use super::syntax::{Call, Class, Expr, Function, Kind, Parameter, Statement, StatementKind};
use crate::import::pytorch::aten::{self, Arguments, Context};
use crate::import::pytorch::pickle::{Id, Node};
use crate::import::pytorch::storage::Pickled;
use crate::import::pytorch::value::{Symbol, Value};

/// Statements and calls that are run, at most.
const MAX_STEPS: usize = 1 << 18;

/// Calls nest no deeper than this.
const MAX_CALLS: usize = 100;

/// A module, or an instance of another class.
pub(super) struct Object {
    pub(super) class: Rc<Class>,
    /// The dotted name of the class.
    pub(super) class_name: Rc<str>,
    /// The name by which the module can be reached from the main one; empty for that.
    pub(super) path: String,
    pub(super) attributes: BTreeMap<Rc<str>, Var>,
    /// What it was in the archive, for attributes that were not looked at yet.
    pub(super) pickled: Option<Id>,
}

/// A program that runs.
pub(super) struct Interpreter<'a> {
    /// The graph under construction.
    pub(super) context: Context,
    /// What the archive holds.
    pub(super) library: &'a Library<'a>,
    /// What exists.
    pub(super) objects: Vec<Object>,
    /// The parts of pickles that were looked at.
    loaded: HashMap<(Part, Id), Var>,
    /// The tensors among them: those that are the same elements of one storage are one tensor.
    tensors: HashMap<Elements, Value>,
    /// The attributes of modules that were looked at: whose they are, and their parts as they were.
    pub(super) originals: BTreeMap<(String, Rc<str>), (usize, Vec<Leaf>)>,
    /// Attributes that are something else than in the archive, by the module's path and their name.
    pub(super) given: BTreeMap<(String, Rc<str>), Var>,
    /// Where it went wrong: the place and the types of the operands.
    pub(super) failed: Option<(String, Vec<String>)>,
    steps: usize,
    loaded_all: bool,
    /// The modules whose methods run, and where in the code they are.
    frames: Vec<Frame>,
}

struct Frame {
    module: String,
    file: Rc<str>,
    line: u32,
}

/// Which elements of which storage: address, dtype, sizes, strides, offset.
type Elements = (usize, (DType, bool), Vec<i64>, Vec<i64>, i64);

/// The variables of a call.
pub(super) type Scope = HashMap<Rc<str>, Var>;

/// What running gives.
pub(super) type Done<T = Var> = Result<T, OpError>;

/// Arguments that are given by name.
type Keywords = Vec<(Rc<str>, Var)>;

/// The steps of a `for`.
enum Steps {
    /// What it runs over.
    Known(Vec<Var>),
    /// As often as only a run can tell.
    Open(ValueId),
}

/// What a statement leads to.
pub(super) enum Flow {
    Next,
    Return(Var),
}

impl<'a> Interpreter<'a> {
    /// A program that has not begun.
    pub(super) fn new(context: Context, library: &'a Library<'a>) -> Self {
        Self { context, library, objects: Vec::new(), loaded: HashMap::new(), tensors: HashMap::new(), originals: BTreeMap::new(), given: BTreeMap::new(), failed: None, steps: 0, loaded_all: false, frames: Vec::new() }
    }

    /// How deep calls nest now.
    pub(super) fn depth(&self) -> usize {
        self.frames.len()
    }

    /// Forgets calls that ended with an error which is none.
    pub(super) fn unwind(&mut self, depth: usize) {
        self.frames.truncate(depth);
        self.failed = None;
    }

    /// Looks at all attributes and constants, so that both branches of an `if` find the same ones. Those that can't be read are left to
    /// whoever asks for them.
    pub(super) fn load(&mut self) {
        if std::mem::replace(&mut self.loaded_all, true) {
            return;
        }
        let library = self.library;
        let mut object = 0;
        while object < self.objects.len() {
            let pickle = library.pickle(Part::Data);
            if let Some(Node::Dict(entries)) = self.objects[object].pickled.map(|state| pickle.node(state)) {
                for name in entries.iter().filter_map(|(key, _)| pickle.text(*key)) {
                    self.attribute(&Var::Object(object), &name.into()).ok();
                }
            }
            object += 1;
        }
        let constants = library.pickle(Part::Constants);
        for at in 0..constants.items(constants.root).map_or(0, <[Id]>::len) {
            self.constant(&format!("c{at}")).ok();
        }
        self.failed = None;
    }

    /// Counts what is done, so that it ends.
    fn step(&mut self) -> Done<()> {
        self.steps += 1;
        if self.steps > MAX_STEPS { Err(OpError::unsupported(format!("the program does not end within {MAX_STEPS} steps")).help("loops over what is known are unrolled; make them shorter, or vectorise them")) } else { Ok(()) }
    }

    /// Where the program is.
    fn place(&self) -> String {
        match self.frames.last() {
            Some(Frame { module, file, line }) if module.is_empty() => format!("{file} line {line}"),
            Some(Frame { module, file, line }) => format!("module '{module}', {file} line {line}"),
            None => String::new(),
        }
    }

    /// Calls a method of an object.
    pub(super) fn call_method(&mut self, object: usize, name: &str, arguments: Vec<Var>, keyword: Keywords) -> Done {
        let class = self.objects[object].class.clone();
        let Some(method) = class.methods.iter().find(|method| *method.name == *name) else {
            return Err(OpError::invalid(format!("class '{}' has no method '{name}'", class.name)));
        };
        let mut positional = vec![Var::Object(object)];
        positional.extend(arguments);
        self.call_function(method, Some(object), positional, keyword)
    }

    fn call_function(&mut self, function: &Function, object: Option<usize>, positional: Vec<Var>, keyword: Keywords) -> Done {
        self.step()?;
        if self.frames.len() >= MAX_CALLS {
            return Err(OpError::invalid(format!("calls nest deeper than {MAX_CALLS}: '{}' may call itself", function.name)));
        }
        if positional.len() > function.parameters.len() {
            return Err(OpError::invalid(format!("'{}' takes {} arguments, and {} are given", function.name, function.parameters.len(), positional.len())));
        }
        let module = object.map_or_else(|| self.frames.last().map(|frame| frame.module.clone()).unwrap_or_default(), |object| self.objects[object].path.clone());
        self.frames.push(Frame { module, file: function.file.clone(), line: 0 });
        let mut scope = Scope::new();
        for (parameter, value) in function.parameters.iter().zip(positional) {
            scope.insert(parameter.name.clone(), value);
        }
        for (name, value) in keyword {
            if !function.parameters.iter().any(|parameter| parameter.name == name) || scope.insert(name.clone(), value).is_some() {
                return Err(OpError::invalid(format!("'{}' takes no argument '{name}'", function.name)));
            }
        }
        for parameter in &function.parameters {
            if !scope.contains_key(&parameter.name) {
                let value = self.default(function, parameter)?;
                scope.insert(parameter.name.clone(), value);
            }
        }
        let result = match self.block(&function.body, &mut scope)? {
            Flow::Return(value) => value,
            Flow::Next => Var::NONE,
        };
        self.frames.pop();
        Ok(result)
    }

    /// What a parameter is if it is not given.
    pub(super) fn default(&mut self, function: &Function, parameter: &Parameter) -> Done {
        match &parameter.default {
            Some(default) => self.eval(default, &Scope::new()),
            None => Err(OpError::invalid(format!("argument '{}' of '{}' is missing", parameter.name, function.name))),
        }
    }

    pub(super) fn block(&mut self, statements: &[Statement], scope: &mut Scope) -> Done<Flow> {
        for statement in statements {
            self.step()?;
            self.at(statement.line);
            if let Flow::Return(value) = self.statement(statement, scope)? {
                return Ok(Flow::Return(value));
            }
        }
        Ok(Flow::Next)
    }

    fn at(&mut self, line: u32) {
        if let Some(frame) = self.frames.last_mut() {
            frame.line = line;
        }
    }

    fn statement(&mut self, statement: &Statement, scope: &mut Scope) -> Done<Flow> {
        match &statement.kind {
            StatementKind::Pass => {}
            StatementKind::Expr(expr) => drop(self.eval(expr, scope)?),
            StatementKind::Assign(target, expr) => {
                let value = self.eval(expr, scope)?;
                self.assign(target, value, scope)?;
            }
            StatementKind::Return(None) => return Ok(Flow::Return(Var::NONE)),
            StatementKind::Return(Some(expr)) => return Ok(Flow::Return(self.eval(expr, scope)?)),
            StatementKind::With { body } => return self.block(body, scope),
            StatementKind::If { condition, then, otherwise } => {
                let value = self.eval(condition, scope)?;
                match self.truth(&value)? {
                    Some(true) => return self.block(then, scope),
                    Some(false) => return self.block(otherwise, scope),
                    None => {
                        let condition = self.condition(&value)?;
                        self.if_open(condition, then, otherwise, scope)?;
                    }
                }
            }
            StatementKind::For { target, over, body } => {
                let items = match self.steps(over, scope)? {
                    Steps::Known(items) => items,
                    Steps::Open(trips) => {
                        self.loop_open(Repeat { trips: Some(trips), condition: None, target: Some(target), body }, scope)?;
                        return Ok(Flow::Next);
                    }
                };
                for item in items {
                    self.step()?;
                    scope.insert(target.clone(), item);
                    if let Flow::Return(value) = self.block(body, scope)? {
                        return Ok(Flow::Return(value));
                    }
                }
            }
            StatementKind::While { condition, body } => loop {
                self.step()?;
                self.at(statement.line);
                let value = self.eval(condition, scope)?;
                match self.truth(&value)? {
                    Some(true) => {
                        if let Flow::Return(value) = self.block(body, scope)? {
                            return Ok(Flow::Return(value));
                        }
                    }
                    Some(false) => break,
                    None => {
                        let begins = self.condition(&value)?;
                        self.loop_open(Repeat { trips: None, condition: Some((begins, condition)), target: None, body }, scope)?;
                        break;
                    }
                }
            },
        }
        Ok(Flow::Next)
    }

    /// What a `for` runs over.
    fn steps(&mut self, over: &Expr, scope: &Scope) -> Done<Steps> {
        let too_many = |count: i64| OpError::unsupported(format!("a loop runs {count} times; at most {MAX_STEPS} steps are unrolled"));
        if let Kind::Call(call) = &over.kind
            && matches!(&call.function.kind, Kind::Name(name) if **name == *"range" && !scope.contains_key(name))
        {
            let bounds = self.all(&call.positional, scope)?;
            if let [Var::Plain(Value::Symbol(end))] = bounds.as_slice()
                && self.known(&bounds[0])?.is_none()
            {
                return Ok(Steps::Open(end.value));
            }
            let bounds = bounds.iter().map(|bound| self.int(bound)).collect::<Done<Vec<_>>>()?;
            let (start, end, step) = match bounds.as_slice() {
                [end] => (0, *end, 1),
                [start, end] => (*start, *end, 1),
                [start, end, step] if *step != 0 => (*start, *end, *step),
                _ => return Err(OpError::invalid("'range' takes one to three numbers")),
            };
            let count = range_length(start, end, step);
            if count as u64 > MAX_STEPS as u64 {
                return Err(too_many(count));
            }
            return Ok(Steps::Known((0..count).map(|at| Var::int(start.wrapping_add(at.wrapping_mul(step)))).collect()));
        }
        let value = self.eval(over, scope)?;
        let items = match &value {
            Var::Dict(_) => python::operator("keys", &[value]).unwrap_or(Ok(Var::NONE))?.elements().ok_or_else(|| OpError::bug("keys are a list"))?,
            _ => value.elements().ok_or_else(|| OpError::unsupported(format!("a loop runs over {}", value.words())))?,
        };
        Ok(Steps::Known(items))
    }

    fn assign(&mut self, target: &Expr, value: Var, scope: &mut Scope) -> Done<()> {
        match &target.kind {
            Kind::Name(name) => drop(scope.insert(name.clone(), value)),
            Kind::Tuple(targets) => {
                let items = value.elements().ok_or_else(|| OpError::invalid(format!("{} is taken apart", value.words())))?;
                if items.len() != targets.len() {
                    return Err(OpError::invalid(format!("{} values are taken apart into {}", items.len(), targets.len())));
                }
                for (target, item) in targets.iter().zip(items) {
                    if !matches!(target.kind, Kind::Name(_) | Kind::Attribute(..)) {
                        return Err(OpError::invalid("an assignment has no name"));
                    }
                    self.assign(target, item, scope)?;
                }
            }
            Kind::Attribute(base, name) => match self.eval(base, scope)? {
                Var::Object(object) => {
                    // What it was is looked at, to see whether it changes.
                    if !self.objects[object].attributes.contains_key(name) && self.objects[object].pickled.is_some() {
                        self.attribute(&Var::Object(object), name)?;
                    }
                    self.objects[object].attributes.insert(name.clone(), value);
                }
                other => return Err(OpError::invalid(format!("attribute '{name}' of {} is set", other.words()))),
            },
            Kind::Index(both) => {
                let (of, key) = (self.eval(&both.0, scope)?, self.eval(&both.1, scope)?);
                python::operator("_set_item", &[of, key, value]).unwrap_or_else(|| Err(OpError::invalid("an element of what is no container is set")))?;
            }
            _ => return Err(OpError::invalid("an assignment has no name")),
        }
        Ok(())
    }

    pub(super) fn eval(&mut self, expr: &Expr, scope: &Scope) -> Done {
        Ok(match &expr.kind {
            Kind::None => Var::NONE,
            Kind::Bool(x) => Var::bool(*x),
            Kind::Int(n) => Var::int(*n),
            Kind::Float(x) => Var::float(*x),
            Kind::Text(text) => Var::text(text.as_str()),
            Kind::Name(name) => scope.get(name).cloned().unwrap_or_else(|| Var::Path(name.clone())),
            Kind::List(items) => Var::list(self.all(items, scope)?),
            Kind::Tuple(items) => Var::tuple(self.all(items, scope)?),
            Kind::Dict(entries) => {
                let entries = entries.iter().map(|(key, item)| Ok((self.eval(key, scope)?, self.eval(item, scope)?))).collect::<Done<Vec<_>>>()?;
                Var::dict(entries)
            }
            Kind::Attribute(base, name) => {
                let base = self.eval(base, scope)?;
                self.attribute(&base, name)?
            }
            Kind::Index(both) => {
                let (of, key) = (self.eval(&both.0, scope)?, self.eval(&both.1, scope)?);
                match python::element(&of, &key) {
                    Some(done) => done?,
                    None => return Err(OpError::unsupported(format!("an element of {} is asked for", of.words()))),
                }
            }
            Kind::Operator(name, operands) => {
                let operands = self.all(operands, scope)?;
                self.at(expr.line);
                self.aten(name, operands, Vec::new())?
            }
            Kind::Call(call) => {
                self.step()?;
                let result = self.call(call, scope);
                if result.is_ok() {
                    self.at(expr.line);
                }
                result?
            }
        })
    }

    fn all(&mut self, items: &[Expr], scope: &Scope) -> Done<Vec<Var>> {
        items.iter().map(|item| self.eval(item, scope)).collect()
    }

    /// `base.name`.
    pub(super) fn attribute(&mut self, base: &Var, name: &Rc<str>) -> Done {
        match base {
            Var::Object(object) => {
                if let Some(value) = self.objects[*object].attributes.get(name) {
                    return Ok(value.clone());
                }
                if let Some(value) = self.unpickled(*object, name)? {
                    let key = (self.objects[*object].path.clone(), name.clone());
                    let value = self.given.get(&key).cloned().unwrap_or(value);
                    let parts = state::leaves(self, &value)?;
                    self.originals.insert(key, (*object, parts));
                    self.objects[*object].attributes.insert(name.clone(), value.clone());
                    return Ok(value);
                }
                let class = self.objects[*object].class.clone();
                match class.fields.iter().find(|field| field.name == *name).and_then(|field| field.value.as_ref()) {
                    Some(value) => self.eval(value, &Scope::new()),
                    None => Err(OpError::invalid(format!("an object of class '{}' has no attribute '{name}'", class.name))),
                }
            }
            Var::Path(path) if **path == *"CONSTANTS" => self.constant(name),
            Var::Path(path) => {
                // The name and the value of an enumeration's member.
                if matches!(&**name, "name" | "value")
                    && let Some((class, member)) = path.rsplit_once('.')
                    && let Ok(class) = self.library.class(class)
                    && class.base.as_deref() == Some("Enum")
                    && let Some(value) = class.fields.iter().find(|field| *field.name == *member).and_then(|field| field.value.as_ref())
                {
                    return if **name == *"name" { Ok(Var::text(member)) } else { self.eval(value, &Scope::new()) };
                }
                Ok(Var::Path(format!("{path}.{name}").into()))
            }
            Var::Tuple(items, Some(names)) => match names.iter().position(|known| known == name) {
                Some(at) if at < items.len() => Ok(items[at].clone()),
                _ => Err(OpError::invalid(format!("a tuple has no field '{name}'"))),
            },
            _ => Err(OpError::invalid(format!("attribute '{name}' of {} is asked for", base.words()))),
        }
    }

    fn call(&mut self, call: &Call, scope: &Scope) -> Done {
        // What types say is not looked at.
        if let Kind::Name(name) = &call.function.kind
            && !scope.contains_key(name)
        {
            match (&**name, call.positional.as_slice()) {
                ("annotate" | "unchecked_cast", [_, value]) => return self.eval(value, scope),
                ("uninitialized", [_]) => return Ok(Var::Uninitialised),
                ("isinstance", [value, ty]) => {
                    let value = self.eval(value, scope)?;
                    return Ok(Var::bool(self.is_of(&value, ty)));
                }
                _ => {}
            }
        }
        let method = match &call.function.kind {
            Kind::Attribute(base, name) => match self.eval(base, scope)? {
                Var::Object(object) => Some((object, name)),
                Var::Path(path) => {
                    let (positional, keyword) = self.arguments(call, scope)?;
                    return self.call_path(&format!("{path}.{name}"), positional, keyword);
                }
                other => return Err(OpError::unsupported(format!("method '{name}' of {} is called", other.words()))),
            },
            _ => None,
        };
        if let Some((object, name)) = method {
            let (positional, keyword) = self.arguments(call, scope)?;
            return self.call_method(object, name, positional, keyword);
        }
        let function = self.eval(&call.function, scope)?;
        let (positional, keyword) = self.arguments(call, scope)?;
        match function {
            Var::Path(path) => self.call_path(&path, positional, keyword),
            other => Err(OpError::invalid(format!("{} is called", other.words()))),
        }
    }

    fn arguments(&mut self, call: &Call, scope: &Scope) -> Done<(Vec<Var>, Keywords)> {
        let positional = self.all(&call.positional, scope)?;
        let keyword = call.keyword.iter().map(|(name, value)| Ok((name.clone(), self.eval(value, scope)?))).collect::<Done<_>>()?;
        Ok((positional, keyword))
    }

    /// Calls what a dotted name stands for.
    fn call_path(&mut self, path: &str, positional: Vec<Var>, keyword: Keywords) -> Done {
        if let Some(name) = path.strip_prefix("torch.") {
            return self.aten(name, positional, keyword);
        }
        if let Some(name) = path.strip_prefix("ops.prim.") {
            return self.prim(name, positional);
        }
        if let Some(name) = path.strip_prefix("ops.aten.") {
            return self.aten(name, positional, keyword);
        }
        if let Some(name) = path.strip_prefix("ops.") {
            return self.operator(&name.replacen('.', "::", 1), &positional, &keyword);
        }
        if path.starts_with("__torch__.") {
            return self.call_qualified(path, positional, keyword);
        }
        self.builtin(path, positional)
    }

    /// Calls a function of the archive, or makes an instance of a class.
    fn call_qualified(&mut self, path: &str, positional: Vec<Var>, keyword: Keywords) -> Done {
        if let Some(name) = path.strip_suffix(".__new__") {
            let class = self.library.class(name)?;
            self.objects.push(Object { class, class_name: name.into(), path: String::new(), attributes: BTreeMap::new(), pickled: None });
            return Ok(Var::Object(self.objects.len() - 1));
        }
        if let Some(function) = self.library.function(path)? {
            return self.call_function(&function, None, positional, keyword);
        }
        let class = self.library.class(path)?;
        if class.base.as_deref() == Some("NamedTuple") {
            let names: Rc<[Rc<str>]> = class.fields.iter().map(|field| field.name.clone()).collect();
            let mut items = positional;
            items.extend(keyword.into_iter().map(|(_, value)| value));
            return if items.len() == names.len() { Ok(Var::Tuple(items.into(), Some(names))) } else { Err(OpError::invalid(format!("'{path}' has {} fields, and {} values are given", names.len(), items.len()))) };
        }
        self.objects.push(Object { class, class_name: path.into(), path: String::new(), attributes: BTreeMap::new(), pickled: None });
        let object = self.objects.len() - 1;
        self.call_method(object, "__init__", positional, keyword)?;
        Ok(Var::Object(object))
    }

    /// Functions of Python's.
    fn builtin(&mut self, name: &str, operands: Vec<Var>) -> Done {
        match (name, operands.as_slice()) {
            ("int", [x]) => self.converted("Int", x),
            ("float", [x]) => self.converted("Float", x),
            ("bool", [x]) => match self.truth(x)? {
                Some(x) => Ok(Var::bool(x)),
                None => self.converted("Bool", x),
            },
            ("str", [x]) => Ok(Var::text(python::written(x))),
            ("getattr", [base, Var::Plain(Value::Str(name))]) => self.attribute(base, &name.as_str().into()),
            ("hasattr", [Var::Object(object), Var::Plain(Value::Str(name))]) => {
                let name: Rc<str> = name.as_str().into();
                Ok(Var::bool(self.attribute(&Var::Object(*object), &name).is_ok()))
            }
            ("print", _) => Ok(Var::NONE),
            ("max" | "min", [_, _]) => self.aten(name, operands, Vec::new()),
            ("abs" | "len", [_]) => self.aten(name, operands, Vec::new()),
            ("range", _) => Err(OpError::unsupported("'range' is used outside 'for'")),
            _ => Err(OpError::unsupported(format!("function '{name}' is not supported"))),
        }
    }

    /// A number as `int`, `float` or `bool` make it.
    pub(super) fn converted(&mut self, name: &str, x: &Var) -> Done {
        if let Some(done) = python::operator(name, std::slice::from_ref(x)) {
            return done;
        }
        if let Some(known) = self.known(x)? {
            return python::operator(name, &[known]).unwrap_or_else(|| Err(OpError::bug(format!("'{name}' of a number"))));
        }
        self.operator(&format!("aten::{name}"), std::slice::from_ref(x), &[])
    }

    /// The number that a tensor of one element, or a symbol, is known to be.
    pub(super) fn known(&mut self, x: &Var) -> Done<Option<Var>> {
        let value = match x {
            Var::Plain(Value::Tensor(tensor)) => self.context.read(*tensor)?,
            Var::Plain(Value::Symbol(symbol)) => symbol.value,
            _ => return Ok(None),
        };
        let Some(tensor) = self.context.builder.as_constant(value).filter(|tensor| tensor.elems() == 1) else { return Ok(None) };
        let scalar = tensor.get(0);
        let dtype = tensor.dtype();
        Ok(Some(if dtype == DType::Bool {
            Var::bool(scalar.as_bool())
        } else if dtype.is_float() {
            Var::float(scalar.as_f64())
        } else {
            Var::int(i64::try_from(scalar.as_int()).map_err(|_| OpError::unsupported("an integer takes more than 64 bits"))?)
        }))
    }

    /// Is it true? Nothing where only a run can tell.
    fn truth(&mut self, x: &Var) -> Done<Option<bool>> {
        if let Some(known) = python::truth(x) {
            return Ok(Some(known));
        }
        if let Some(known) = self.known(x)? {
            return Ok(python::truth(&known));
        }
        if x.is_open() { Ok(None) } else { Err(OpError::invalid(format!("{} is neither true nor false", x.words()))) }
    }

    /// An integer that is known.
    fn int(&mut self, x: &Var) -> Done<i64> {
        let x = self.known(x)?.unwrap_or_else(|| x.clone());
        match x {
            Var::Plain(Value::Int(n)) => Ok(n),
            Var::Plain(Value::Bool(x)) => Ok(i64::from(x)),
            _ if x.is_open() => Err(OpError::unsupported("a loop runs as often as the values of tensors say")),
            _ => Err(OpError::invalid(format!("{} stands where an integer should", x.words()))),
        }
    }

    /// Is a value of a type?
    fn is_of(&self, value: &Var, ty: &Expr) -> bool {
        match &ty.kind {
            Kind::Tuple(types) | Kind::List(types) => types.iter().any(|ty| self.is_of(value, ty)),
            Kind::None => value.is_none(),
            Kind::Name(name) => match (&**name, value) {
                ("Tensor", Var::Plain(Value::Tensor(_)))
                | ("int", Var::Plain(Value::Int(_)))
                | ("float", Var::Plain(Value::Float(_)))
                | ("bool", Var::Plain(Value::Bool(_)))
                | ("str", Var::Plain(Value::Str(_)))
                | ("NoneType", Var::Plain(Value::None))
                | ("list", Var::List(_))
                | ("tuple", Var::Tuple(..))
                | ("Any", _) => true,
                ("int", Var::Plain(Value::Symbol(symbol))) => self.context.builder.dtype(symbol.value).is_int(),
                ("float", Var::Plain(Value::Symbol(symbol))) => self.context.builder.dtype(symbol.value).is_float(),
                _ => false,
            },
            Kind::Index(both) => match (&both.0.kind, value) {
                (Kind::Name(name), Var::List(list)) if **name == *"List" => list.borrow().iter().all(|item| self.is_of(item, &both.1)),
                (Kind::Name(name), Var::Tuple(items, _)) if **name == *"Tuple" => match &both.1.kind {
                    Kind::Tuple(types) => types.len() == items.len() && types.iter().zip(items.iter()).all(|(ty, item)| self.is_of(item, ty)),
                    _ => items.len() == 1 && self.is_of(&items[0], &both.1),
                },
                (Kind::Name(name), Var::Dict(_)) if **name == *"Dict" => true,
                (Kind::Name(name), _) if **name == *"Optional" => value.is_none() || self.is_of(value, &both.1),
                _ => false,
            },
            Kind::Attribute(..) => match value {
                Var::Object(object) => dotted(ty).is_some_and(|name| *name == *self.objects[*object].class_name),
                _ => false,
            },
            _ => false,
        }
    }

    /// Operators of the compiler itself.
    fn prim(&mut self, name: &str, operands: Vec<Var>) -> Done {
        match (name, operands.as_slice()) {
            ("RaiseException", [message, ..]) => Err(OpError::invalid(format!("the model raises an error: {}", python::written(message)))),
            ("NumToTensor", [x]) => self.scalar_tensor(x),
            ("unchecked_cast" | "data" | "unchecked_unwrap_optional", [x]) => Ok(x.clone()),
            ("dtype", [x]) => {
                let value = self.tensor(x)?;
                Ok(Var::Plain(Value::Dtype(self.context.builder.dtype(value))))
            }
            ("device", [_]) => Ok(Var::Plain(Value::Device("cpu".to_owned()))),
            ("layout", [_]) => Ok(Var::Plain(Value::Layout)),
            ("shape", [_]) => self.aten("size", operands, Vec::new()),
            ("type", [Var::Plain(Value::Device(device))]) => Ok(Var::text(device.split(':').next().unwrap_or("cpu"))),
            ("index", [Var::Plain(Value::Device(_))]) => Ok(Var::NONE),
            ("is_cuda" | "is_xpu" | "is_quantized" | "is_mkldnn" | "is_sparse" | "is_nested" | "is_mps" | "is_vulkan" | "is_meta" | "is_ipu" | "is_hpu" | "requires_grad" | "is_sparse_csr", [_]) => Ok(Var::bool(false)),
            ("is_cpu" | "is_leaf", [_]) => Ok(Var::bool(true)),
            ("itemsize", [x]) => {
                let value = self.tensor(x)?;
                Ok(Var::int(self.context.builder.dtype(value).size() as i64))
            }
            ("max" | "min", [list]) if list.elements().is_some() && list.is_open() => Err(OpError::unsupported(format!("'{name}' of a list of tensors is not supported"))),
            ("max" | "min" | "abs" | "ndim" | "rangelist" | "tolist" | "numel" | "mT" | "mH" | "T" | "H", _) => match name {
                "ndim" => self.aten("dim", operands, Vec::new()),
                "rangelist" => {
                    let end = self.int(&operands[0])?;
                    if end > MAX_STEPS as i64 { Err(OpError::unsupported("a list is too long")) } else { Ok(Var::list((0..end).map(Var::int).collect())) }
                }
                "T" => self.aten("numpy_T", operands, Vec::new()),
                _ => self.aten(name, operands, Vec::new()),
            },
            _ => Err(OpError::unsupported(format!("op 'prim::{name}' is not supported"))),
        }
    }

    /// The value of a tensor.
    fn tensor(&mut self, x: &Var) -> Done<ValueId> {
        match x {
            Var::Plain(Value::Tensor(tensor)) => self.context.read(*tensor),
            Var::Plain(Value::Symbol(symbol)) => Ok(symbol.value),
            _ => Err(OpError::invalid(format!("{} stands where a tensor should", x.words()))),
        }
    }

    /// A number as a tensor without axes.
    fn scalar_tensor(&mut self, x: &Var) -> Done {
        let value = match x {
            Var::Plain(Value::Symbol(symbol)) => symbol.value,
            Var::Plain(Value::Int(n)) => self.context.builder.constant(frit_ir::Tensor::scalar(DType::I64, frit_ir::Scalar::Int(i128::from(*n)))),
            Var::Plain(Value::Float(x)) => self.context.builder.scalar(DType::F64, *x),
            Var::Plain(Value::Bool(x)) => self.context.builder.constant(frit_ir::Tensor::from_bools(&[], &[*x])),
            _ => return Err(OpError::invalid(format!("{} stands where a number should", x.words()))),
        };
        Ok(Var::Plain(self.context.fresh(value)))
    }

    /// Operators named `torch.*`: on tensors, numbers and containers.
    fn aten(&mut self, name: &str, operands: Vec<Var>, keyword: Keywords) -> Done {
        match (name, operands.as_slice()) {
            ("warn" | "manual_seed" | "set_grad_enabled", _) => return Ok(Var::NONE),
            ("is_grad_enabled" | "is_autocast_enabled" | "is_autocast_cpu_enabled" | "is_scripting" | "is_inference", _) => return Ok(Var::bool(false)),
            ("device", [device, ..]) => return Ok(Var::Plain(Value::Device(python::written(device)))),
            ("__range_length", [start, end, step]) => {
                let (start, end, step) = (self.int(start)?, self.int(end)?, self.int(step)?);
                return if step == 0 { Err(OpError::invalid("'range' steps by zero")) } else { Ok(Var::int(range_length(start, end, step))) };
            }
            ("__derive_index", [at, start, step]) => {
                let scaled = self.aten("mul", vec![at.clone(), step.clone()], Vec::new())?;
                return self.aten("add", vec![start.clone(), scaled], Vec::new());
            }
            ("tensor" | "as_tensor", [data, rest @ ..]) => {
                let dtype = keyword.iter().find(|(name, _)| **name == *"dtype").map(|(_, dtype)| dtype).or(rest.first()).cloned();
                return self.made(data, dtype.filter(|dtype| !dtype.is_none()));
            }
            ("dim" | "size" | "len" | "numel" | "stride", [Var::Plain(Value::Tensor(tensor)), rest @ ..]) => {
                let value = self.context.read(*tensor)?;
                if let Some(done) = self.shape(name, value, rest)? {
                    return Ok(done);
                }
            }
            ("is_floating_point" | "is_complex", [Var::Plain(Value::Tensor(tensor))]) => {
                let value = self.context.read(*tensor)?;
                return Ok(Var::bool(name == "is_floating_point" && self.context.builder.dtype(value).is_float()));
            }
            ("is_contiguous", [Var::Plain(Value::Tensor(_)), ..]) => return Ok(Var::bool(true)),
            ("__is__" | "__isnot__", [a, b]) if a.is_none() || b.is_none() => return Ok(Var::bool((a.is_none() && b.is_none()) == (name == "__is__"))),
            ("__not__", [x]) => {
                if let Some(x) = self.truth(x)? {
                    return Ok(Var::bool(!x));
                }
            }
            ("Int" | "Float" | "Bool" | "IntImplicit" | "FloatImplicit" | "ScalarImplicit" | "item", [x]) => {
                if let Some(known) = self.known(x)? {
                    let name = if name == "item" { "ScalarImplicit" } else { name };
                    return python::operator(name, &[known]).unwrap_or_else(|| Err(OpError::bug(format!("'{name}' of a number"))));
                }
            }
            ("cpu" | "cuda", [x]) => return Ok(x.clone()),
            ("keys" | "values" | "items", [Var::Object(_)]) => return Err(OpError::unsupported("modules are listed while the model runs")),
            _ => {}
        }
        if keyword.is_empty()
            && let Some(done) = python::operator(name, &operands)
        {
            return done;
        }
        if keyword.is_empty()
            && let Some(name) = arithmetic(name)
            && operands.iter().all(|x| matches!(x, Var::Plain(Value::Int(_) | Value::Float(_) | Value::Bool(_) | Value::Symbol(_))))
        {
            let numbers = operands.iter().map(Var::value).collect::<Done<Vec<_>>>()?;
            return aten::python(&mut self.context, name, &numbers).map(Var::from);
        }
        self.operator(&format!("aten::{name}"), &operands, &keyword)
    }

    /// A tensor of numbers, or of lists of them.
    fn made(&mut self, data: &Var, dtype: Option<Var>) -> Done {
        let result = if matches!(data, Var::Plain(Value::Tensor(_))) {
            data.clone()
        } else if let Some(items) = data.elements() {
            let parts = items.iter().map(|item| self.made(item, None)).collect::<Done<Vec<_>>>()?;
            let numbers = parts.iter().map(|part| self.tensor(part)).collect::<Done<Vec<_>>>()?;
            // Whole numbers among others are what the others are.
            let widest = numbers.iter().map(|value| self.context.builder.dtype(*value)).max_by_key(|dtype| (dtype.is_float(), dtype.is_int()));
            if parts.is_empty() {
                let empty = self.context.builder.constant(frit_ir::Tensor::zeros(DType::F32, &[0])?);
                Var::Plain(self.context.fresh(empty))
            } else {
                let parts = parts.into_iter().map(|part| self.cast(part, widest.unwrap_or(DType::F32))).collect::<Done<Vec<_>>>()?;
                self.operator("aten::stack", &[Var::list(parts)], &[])?
            }
        } else {
            let scalar = self.scalar_tensor(data)?;
            let float = self.tensor(&scalar).map(|value| self.context.builder.dtype(value).is_float())?;
            if float { self.cast(scalar, DType::F32)? } else { scalar }
        };
        match dtype {
            Some(dtype) => self.operator("aten::to", &[result, dtype], &[]),
            None => Ok(result),
        }
    }

    fn cast(&mut self, tensor: Var, dtype: DType) -> Done {
        let value = self.tensor(&tensor)?;
        if self.context.builder.dtype(value) == dtype {
            return Ok(tensor);
        }
        self.operator("aten::to", &[tensor, Var::Plain(Value::Dtype(dtype))], &[])
    }

    /// What is known of a tensor's shape.
    fn shape(&mut self, name: &str, value: ValueId, rest: &[Var]) -> Done<Option<Var>> {
        let ty = self.context.builder.ty(value).clone();
        let Some(dims) = ty.shape.dims() else { return Ok(None) };
        let known = |dim: &Dim| dim.known().map(Var::int);
        Ok(match (name, rest) {
            ("dim", []) => Some(Var::int(dims.len() as i64)),
            ("size", []) => dims.iter().map(known).collect::<Option<Vec<_>>>().map(Var::list),
            ("size", [axis]) => {
                let axis = self.int(axis)?;
                known(&dims[frit_ir::shape::axis(axis, dims.len())?])
            }
            ("len", []) => dims.first().and_then(known),
            ("numel", []) => ty.shape.elems().map(Var::int),
            // As if it were contiguous, which no number can tell from what PyTorch does.
            ("stride", []) => dims.iter().map(Dim::known).collect::<Option<Vec<_>>>().map(|extents| Var::list(frit_ir::tensor::row_strides(&extents).into_iter().map(Var::int).collect())),
            _ => None,
        })
    }

    /// Operators of the shared tables.
    fn operator(&mut self, target: &str, operands: &[Var], keyword: &[(Rc<str>, Var)]) -> Done {
        let positional = operands.iter().map(Var::value).collect::<Done<Vec<_>>>()?;
        let keyword = keyword.iter().map(|(name, value)| Ok((name.to_string(), value.value()?))).collect::<Done<Vec<_>>>()?;
        let module = self.frames.last().map_or("", |frame| frame.module.as_str());
        let name = if module.is_empty() { self.place() } else { module.to_owned() };
        self.context.builder.set_origins(origin(name, target, ""));
        let mut arguments = Arguments { positional, keyword };
        // Tracing passes tensors without axes where numbers are wanted.
        if !aten::fits(target, &arguments) {
            let mut numbers = arguments.clone();
            for value in numbers.positional.iter_mut().chain(numbers.keyword.iter_mut().map(|(_, value)| value)) {
                self.make_number(value)?;
            }
            if aten::fits(target, &numbers) {
                arguments = numbers;
            }
        }
        match aten::call(&mut self.context, target, None, &arguments) {
            Ok(mut results) => Ok(match results.len() {
                0 => Var::NONE,
                1 => Var::from(results.remove(0)),
                _ => Var::tuple(results.into_iter().map(Var::from).collect()),
            }),
            Err(error) => {
                let place = format!("{} ({target})", self.place());
                let types = arguments.positional.iter().map(|value| self.type_words(value)).collect();
                self.failed.get_or_insert((place, types));
                Err(error)
            }
        }
    }

    /// A tensor without axes as a number.
    fn make_number(&mut self, value: &mut Value) -> Done<()> {
        if let Value::Tensor(tensor) = value {
            let single = self.context.read(*tensor)?;
            if self.context.builder.rank(single).is_ok_and(|rank| rank == 0) {
                *value = match self.known(&Var::Plain(value.clone()))? {
                    Some(Var::Plain(known)) => known,
                    _ => Value::Symbol(Symbol { value: single, dim: Dim::Unknown }),
                };
            }
        }
        Ok(())
    }

    /// The type of an operand, for messages.
    fn type_words(&mut self, value: &Value) -> String {
        match value {
            Value::Tensor(tensor) => match self.context.read(*tensor) {
                Ok(value) => self.context.builder.ty(value).to_string(),
                Err(_) => "a tensor".to_owned(),
            },
            Value::Symbol(Symbol { value, .. }) => self.context.builder.ty(*value).to_string(),
            other => python::written(&Var::from(other.clone())),
        }
    }

    /// A part of a pickle as a value. `path` is the name by which it can be reached.
    pub(super) fn unpickle(&mut self, part: Part, id: Id, path: &str, depth: usize) -> Done {
        if let Some(known) = self.loaded.get(&(part, id)) {
            return Ok(known.clone());
        }
        let depth = depth.checked_sub(1).ok_or_else(|| OpError::unsupported("a pickle nests too deep"))?;
        let library = self.library;
        let pickle = library.pickle(part);
        let each = |interpreter: &mut Self, items: &[Id]| -> Done<Vec<Var>> { items.iter().enumerate().map(|(at, item)| interpreter.unpickle(part, *item, &format!("{path}.{at}"), depth)).collect() };
        let var = match pickle.node(id) {
            Node::None => Var::NONE,
            Node::Bool(x) => Var::bool(*x),
            Node::Int(n) => Var::int(*n),
            Node::Float(x) => Var::float(*x),
            Node::Text(_) => Var::text(pickle.text(id).unwrap_or_default()),
            Node::List(items) => Var::list(each(self, items)?),
            Node::Tuple(items) => Var::tuple(each(self, items)?),
            Node::Dict(entries) => {
                let entries = entries.iter().map(|(key, item)| {
                    let key = self.unpickle(part, *key, path, depth)?;
                    let path = format!("{path}.{}", python::written(&key));
                    Ok((key, self.unpickle(part, *item, &path, depth)?))
                });
                Var::dict(entries.collect::<Done<_>>()?)
            }
            Node::Global(name) => return Err(OpError::unsupported(format!("an attribute is '{name}', which is not supported"))),
            Node::Persistent(_) => return Err(OpError::invalid("a storage stands where a value should")),
            Node::Call { .. } => match library.tensor(part, id)? {
                Some(Pickled::Plain(view)) => {
                    let key = (view.storage.bytes.as_ptr() as usize, (view.dtype, view.complex), view.sizes.clone(), view.strides.clone(), view.offset);
                    let value = match self.tensors.get(&key) {
                        Some(known) => known.clone(),
                        None => {
                            self.context.builder.set_origins(Origins::default());
                            let tensor = view.tensor(&mut self.context, path)?;
                            self.tensors.insert(key, tensor.clone());
                            tensor
                        }
                    };
                    Var::Plain(value)
                }
                Some(Pickled::Quantised) => return Err(OpError::unsupported(format!("'{path}' is a quantised tensor, which is not supported")).help("export the model before it is quantised")),
                None => return self.unpickle_call(part, id, path, depth),
            },
        };
        self.loaded.insert((part, id), var.clone());
        Ok(var)
    }

    fn unpickle_call(&mut self, part: Part, id: Id, path: &str, depth: usize) -> Done {
        let library = self.library;
        let pickle = library.pickle(part);
        let Some((name, args, state)) = pickle.call(id) else { return Err(OpError::invalid("a pickle is malformed")) };
        let var = match (name, args) {
            (name, _) if name.starts_with("__torch__.torch.classes.") => return Err(OpError::unsupported(format!("'{path}' is of class '{name}', which is not supported")).help("export the model before it is quantised or packed for a machine")),
            (name, _) if name.starts_with("__torch__.") => {
                let class = library.class(name)?;
                if class.base.as_deref() == Some("Enum") {
                    let value = args.first().map(|value| self.unpickle(part, *value, path, depth)).transpose()?.unwrap_or(Var::NONE);
                    for field in &class.fields {
                        if let Some(known) = &field.value
                            && python::equal(&self.eval(known, &Scope::new())?, &value)
                        {
                            return Ok(Var::Path(format!("{name}.{}", field.name).into()));
                        }
                    }
                    return Err(OpError::invalid(format!("'{}' has no member of value '{}'", class.name, python::written(&value))));
                }
                let built = class.methods.iter().any(|method| *method.name == *"__setstate__");
                self.objects.push(Object { class, class_name: name.into(), path: path.to_owned(), attributes: BTreeMap::new(), pickled: state.filter(|_| !built) });
                let object = self.objects.len() - 1;
                self.loaded.insert((part, id), Var::Object(object));
                if let Some(state) = state.filter(|_| built) {
                    let state = self.unpickle(part, state, path, depth)?;
                    self.call_method(object, "__setstate__", vec![state], Vec::new())?;
                }
                Var::Object(object)
            }
            ("torch.device", [device, ..]) => Var::Plain(Value::Device(pickle.text(*device).unwrap_or("cpu").to_owned())),
            ("collections.OrderedDict", _) => {
                let entries = pickle.entries(id).unwrap_or_default().iter().map(|(key, item)| Ok((self.unpickle(part, *key, path, depth)?, self.unpickle(part, *item, path, depth)?)));
                Var::dict(entries.collect::<Done<_>>()?)
            }
            (name, [inner, ..]) if name.starts_with("torch.jit._pickle.") => self.unpickle(part, *inner, path, depth)?,
            _ => return Err(OpError::unsupported(format!("'{path}' is made by '{name}', which is not supported"))),
        };
        self.loaded.insert((part, id), var.clone());
        Ok(var)
    }

    /// An attribute as it lies in the archive.
    fn unpickled(&mut self, object: usize, name: &str) -> Done<Option<Var>> {
        let library = self.library;
        let Object { pickled: Some(state), path, .. } = &self.objects[object] else { return Ok(None) };
        let pickle = library.pickle(Part::Data);
        let Node::Dict(entries) = pickle.node(*state) else { return Ok(None) };
        let Some((_, item)) = entries.iter().find(|(key, _)| pickle.text(*key) == Some(name)) else { return Ok(None) };
        let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        self.unpickle(Part::Data, *item, &path, MAX_CALLS).map(Some)
    }

    /// `CONSTANTS.c0` and its like.
    fn constant(&mut self, name: &str) -> Done {
        let pickle = self.library.pickle(Part::Constants);
        let item = name.strip_prefix('c').and_then(|at| at.parse::<usize>().ok()).and_then(|at| pickle.items(pickle.root)?.get(at).copied());
        let item = item.ok_or_else(|| OpError::invalid(format!("the archive has no constant '{name}'")))?;
        self.unpickle(Part::Constants, item, name, MAX_CALLS)
    }

    /// Where an error happened, and with which operands.
    pub(super) fn located(&mut self, error: OpError) -> frit_ir::Error {
        let (place, types) = self.failed.take().unwrap_or_else(|| (self.place(), Vec::new()));
        frit_ir::Error::at(error, place, types)
    }
}

/// The name in Python of an operator on numbers that only a run can tell.
fn arithmetic(name: &str) -> Option<&str> {
    Some(match name {
        "add" | "sub" | "mul" | "pow" | "floordiv" | "neg" | "eq" | "ne" | "lt" | "le" | "gt" | "ge" | "max" | "min" | "sqrt" | "floor" | "ceil" => name,
        "div" => "truediv",
        "floor_divide" => "floordiv",
        "remainder" => "mod",
        "__and__" => "and_",
        "__or__" => "or_",
        "__not__" => "not_",
        _ => return None,
    })
}

/// The number of steps of a `range`.
fn range_length(start: i64, end: i64, step: i64) -> i64 {
    let distance = i128::from(end) - i128::from(start);
    let step = i128::from(step);
    let count = if step > 0 { (distance + step - 1) / step } else { (distance + step + 1) / step };
    i64::try_from(count.max(0)).unwrap_or(i64::MAX)
}

/// A dotted name.
pub(super) fn dotted(expr: &Expr) -> Option<String> {
    match &expr.kind {
        Kind::Name(name) => Some(name.to_string()),
        Kind::Attribute(base, name) => Some(format!("{}.{name}", dotted(base)?)),
        _ => None,
    }
}
