//! A method's parameters as inputs of a graph.
//!
//! In: parameters, the example that a traced module was made with (if it was kept), and what is known of shapes. Out: the tensors among
//! the arguments, as typed inputs, and how arguments are put together of them. Must not know: how code runs.

use std::collections::BTreeSet;

use frit_ir::shape::TensorType;
use frit_ir::{DType, Error, OpError};

use super::syntax::{Expr, Function, Kind};
use crate::import::archive::Archive;
use crate::import::pytorch::pickle::{Id, Node, Pickle};
use crate::import::pytorch::storage::{Pickled, Storages};
use crate::specialise::Binding;

/// Types nest no deeper than this.
const MAX_DEPTH: usize = 16;

/// An argument.
pub(super) enum Argument {
    /// The input of this number.
    Input(usize),
    /// What the parameter is if it is not given.
    Default,
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Argument>),
    Tuple(Vec<Argument>),
    Dict(Vec<(String, Argument)>),
}

/// A method's inputs.
pub(super) struct Inputs {
    /// The tensors, by name.
    pub(super) declared: Vec<(String, TensorType)>,
    /// The arguments, one for each parameter but the first (`self`).
    pub(super) arguments: Vec<Argument>,
    /// The bound dimensions that are no numbers of the method's.
    pub(super) rest: Binding,
}

/// The arguments that a traced module was made with.
pub(super) struct Example<'a> {
    pickle: Pickle,
    storages: Storages<'a>,
}

impl<'a> Example<'a> {
    /// That of an archive, if it keeps one.
    ///
    /// # Errors
    /// Invalid where it is malformed.
    pub(super) fn of(archive: &'a Archive) -> Result<Option<Self>, OpError> {
        if !archive.has("traced_inputs.pkl") {
            return Ok(None);
        }
        Ok(Some(Self { pickle: Pickle::read(&archive.read("traced_inputs.pkl")?.bytes)?, storages: Storages::new(archive, "traced_inputs/")? }))
    }

    /// What a list, tuple or dictionary is without the type that it is tagged with.
    fn plain(&self, mut id: Id) -> Id {
        for _ in 0..MAX_DEPTH {
            match self.pickle.call(id) {
                Some((name, [inner, ..], _)) if name.starts_with("torch.jit._pickle.") => id = *inner,
                _ => break,
            }
        }
        id
    }

    /// The arguments of a method.
    fn arguments(&self, method: &str) -> Option<&[Id]> {
        let entries = self.pickle.entries(self.plain(self.pickle.root))?;
        let (_, arguments) = entries.iter().find(|(key, _)| self.pickle.text(*key) == Some(method))?;
        self.pickle.items(self.plain(*arguments))
    }

    fn items(&self, id: Id) -> Option<&[Id]> {
        self.pickle.items(self.plain(id))
    }

    fn entries(&self, id: Id) -> Option<&[(Id, Id)]> {
        self.pickle.entries(self.plain(id))
    }

    fn tensor(&self, id: Id) -> Option<TensorType> {
        match self.storages.tensor(&self.pickle, id) {
            Ok(Some(Pickled::Plain(view))) => Some(TensorType::known(view.dtype, &view.sizes)),
            _ => None,
        }
    }
}

/// The inputs of a method.
///
/// # Errors
/// Invalid where shapes or numbers are not known.
pub(super) fn of(method: &Function, example: Option<&Example<'_>>, binding: &Binding) -> Result<Inputs, Vec<Error>> {
    let parameters = method.parameters.get(1..).unwrap_or_default();
    let given = example.and_then(|example| example.arguments(&method.name)).unwrap_or_default();
    let read = |binding: &Binding| {
        let mut reader = Reader { binding, example, declared: Vec::new(), used: BTreeSet::new(), errors: Vec::new() };
        let arguments: Vec<Argument> = parameters.iter().enumerate().map(|(at, parameter)| {
            let found = reader.argument(&parameter.name, parameter.ty.as_ref(), given.get(at).copied(), MAX_DEPTH);
            match found {
                Some(argument) => argument,
                None if parameter.default.is_some() => Argument::Default,
                None => {
                    reader.missing(&parameter.name, parameter.ty.as_ref());
                    Argument::None
                }
            }
        }).collect();
        (reader.declared, reader.used, reader.errors, arguments)
    };
    // Positions count those inputs that there are.
    let names: Vec<String> = read(binding).0.into_iter().map(|(name, _)| name).collect();
    let named = binding.by_name(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let (declared, used, errors, arguments) = read(&named);
    if !errors.is_empty() {
        return Err(errors);
    }
    let dims = named.dims.into_iter().filter(|(name, _)| !used.contains(name)).collect();
    let declared = declared.into_iter().filter_map(|(name, ty)| Some((name, ty?))).collect();
    Ok(Inputs { declared, arguments, rest: Binding { dims, ..Binding::default() } })
}

struct Reader<'a> {
    binding: &'a Binding,
    example: Option<&'a Example<'a>>,
    /// Inputs so far; without a type where its shape is not known.
    declared: Vec<(String, Option<TensorType>)>,
    /// The bound dimensions that are numbers.
    used: BTreeSet<String>,
    errors: Vec<Error>,
}

impl Reader<'_> {
    /// An argument of a type; nothing where it is not given.
    fn argument(&mut self, name: &str, ty: Option<&Expr>, given: Option<Id>, depth: usize) -> Option<Argument> {
        let depth = depth.checked_sub(1)?;
        let Some(ty) = ty else { return Some(self.tensor(name, given)) };
        match &ty.kind {
            Kind::Name(word) => match &**word {
                "Tensor" => Some(self.tensor(name, given)),
                "int" | "bool" | "float" | "number" => self.number(name, word, given),
                "str" => given.and_then(|id| self.example?.pickle.text(id)).map(|text| Argument::Text(text.to_owned())),
                _ => None,
            },
            Kind::Index(both) => {
                let Kind::Name(outer) = &both.0.kind else { return None };
                let inner = &both.1;
                match &**outer {
                    "Optional" => {
                        let tensor = matches!(&inner.kind, Kind::Name(word) if **word == *"Tensor");
                        let known = given.is_some_and(|id| self.example.is_some_and(|example| !matches!(example.pickle.node(id), Node::None)));
                        if known || !tensor || self.binding.shapes.contains_key(name) { self.argument(name, Some(inner), given, depth) } else { None }
                    }
                    "Tuple" => {
                        let types = match &inner.kind {
                            Kind::Tuple(types) => types.as_slice(),
                            _ => std::slice::from_ref(inner),
                        };
                        let items = given.and_then(|id| self.example?.items(id)).map(<[Id]>::to_vec).unwrap_or_default();
                        let all = types.iter().enumerate().map(|(at, ty)| self.argument(&format!("{name}_{at}"), Some(ty), items.get(at).copied(), depth)).collect::<Option<Vec<_>>>();
                        all.map(Argument::Tuple)
                    }
                    "List" => {
                        let items = given.and_then(|id| self.example?.items(id)).map(<[Id]>::to_vec).unwrap_or_default();
                        let bound = (0..).take_while(|at| self.binding.shapes.contains_key(&format!("{name}_{at}"))).count();
                        let count = bound.max(items.len());
                        if count == 0 {
                            return None;
                        }
                        let all = (0..count).map(|at| self.argument(&format!("{name}_{at}"), Some(inner), items.get(at).copied(), depth)).collect::<Option<Vec<_>>>();
                        all.map(Argument::List)
                    }
                    "Dict" => {
                        let Kind::Tuple(types) = &inner.kind else { return None };
                        let example = self.example?;
                        let entries = example.entries(given?)?;
                        let all = entries.iter().map(|(key, item)| {
                            let key = example.pickle.text(*key)?;
                            Some((key.to_owned(), self.argument(&format!("{name}_{key}"), types.get(1), Some(*item), depth)?))
                        });
                        all.collect::<Option<Vec<_>>>().map(Argument::Dict)
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// A tensor: its shape is the one that is given, or the example's; so is its dtype, else f32.
    fn tensor(&mut self, name: &str, given: Option<Id>) -> Argument {
        let example = given.and_then(|id| self.example?.tensor(id));
        let dtype = self.binding.dtypes.get(name).copied().or(example.as_ref().map(|ty| ty.dtype)).unwrap_or(DType::F32);
        let ty = match self.binding.shapes.get(name) {
            Some(extents) => Some(TensorType::known(dtype, extents)),
            None => example.map(|ty| TensorType { dtype, ..ty }),
        };
        if ty.is_none() {
            let help = format!("TorchScript declares no shapes; say it, as in --shape {name}=f32[1,3,224,224], or give the input with --input {name}=FILE.npy");
            self.errors.push(Error::invalid(format!("the shape of input '{name}' is open")).help(help));
        }
        self.declared.push((name.to_owned(), ty));
        Argument::Input(self.declared.len() - 1)
    }

    /// A number that the program is specialised to.
    fn number(&mut self, name: &str, ty: &str, given: Option<Id>) -> Option<Argument> {
        if let Some(n) = self.binding.dims.get(name) {
            self.used.insert(name.to_owned());
            return Some(match ty {
                "bool" => Argument::Bool(*n != 0),
                "float" => Argument::Float(*n as f64),
                _ => Argument::Int(*n),
            });
        }
        match self.example?.pickle.node(given?) {
            Node::Int(n) => Some(Argument::Int(*n)),
            Node::Bool(x) => Some(Argument::Bool(*x)),
            Node::Float(x) => Some(Argument::Float(*x)),
            _ => None,
        }
    }

    /// Complains about a parameter that nothing is known of.
    fn missing(&mut self, name: &str, ty: Option<&Expr>) {
        let number = matches!(ty.map(|ty| &ty.kind), Some(Kind::Name(word)) if matches!(&**word, "int" | "bool" | "float" | "number"));
        self.errors.push(if number {
            Error::invalid(format!("the number '{name}' is open")).help(format!("the model is compiled for one value of it; bind it, as in --dim {name}=1"))
        } else {
            Error::unsupported(format!("argument '{name}' of the method is of a type that can't be given")).help("wrap the module in one whose arguments are tensors, and save that")
        });
    }
}
