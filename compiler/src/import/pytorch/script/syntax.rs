//! The part of Python that TorchScript is printed in, as a tree.
//!
//! In: what the parser reads. Out: files of classes and functions. Must not know: text, what anything means.

use std::rc::Rc;

/// An expression.
#[derive(Debug)]
pub(super) struct Expr {
    /// The line that it begins in.
    pub(super) line: u32,
    pub(super) kind: Kind,
}

/// What an expression is.
#[derive(Debug)]
pub(super) enum Kind {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Name(Rc<str>),
    Attribute(Box<Expr>, Rc<str>),
    Call(Box<Call>),
    Index(Box<(Expr, Expr)>),
    List(Vec<Expr>),
    Tuple(Vec<Expr>),
    Dict(Vec<(Expr, Expr)>),
    /// An operator of Python's, by the name of the ATen operator that it stands for.
    Operator(&'static str, Vec<Expr>),
}

/// A call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) function: Expr,
    pub(super) positional: Vec<Expr>,
    pub(super) keyword: Vec<(Rc<str>, Expr)>,
}

/// A statement.
#[derive(Debug)]
pub(super) struct Statement {
    /// The line that it begins in.
    pub(super) line: u32,
    pub(super) kind: StatementKind,
}

/// What a statement is.
#[derive(Debug)]
pub(super) enum StatementKind {
    Assign(Expr, Expr),
    Return(Option<Expr>),
    Expr(Expr),
    If { condition: Expr, then: Vec<Statement>, otherwise: Vec<Statement> },
    For { target: Rc<str>, over: Expr, body: Vec<Statement> },
    While { condition: Expr, body: Vec<Statement> },
    With { body: Vec<Statement> },
    Pass,
}

/// A parameter.
#[derive(Debug)]
pub(super) struct Parameter {
    pub(super) name: Rc<str>,
    pub(super) ty: Option<Expr>,
    pub(super) default: Option<Expr>,
}

/// A function or method.
#[derive(Debug)]
pub(super) struct Function {
    /// The file that it stands in.
    pub(super) file: Rc<str>,
    pub(super) name: Rc<str>,
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Vec<Statement>,
}

/// A field that a class declares.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: Rc<str>,
    pub(super) value: Option<Expr>,
}

/// A class.
#[derive(Debug)]
pub(super) struct Class {
    pub(super) name: Rc<str>,
    /// What it derives from: `Module`, `NamedTuple`, `Enum`, `Interface`, or nothing.
    pub(super) base: Option<Rc<str>>,
    pub(super) fields: Vec<Field>,
    pub(super) methods: Vec<Rc<Function>>,
}

/// A file.
#[derive(Debug)]
pub(super) struct File {
    pub(super) classes: Vec<Rc<Class>>,
    pub(super) functions: Vec<Rc<Function>>,
}
