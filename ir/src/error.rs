//! What can be wrong with a program, said so that its author can mend it.
//!
//! In: an op's complaint. Out: [`OpError`] (what is wrong with one op) and [`Error`] (the same with
//! the node's own name, its source op and its input types). Must not know: terminals, colours.

use std::fmt;

/// Which of three kinds of trouble this is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The model or the input is at fault.
    Invalid,
    /// It is right, but Frit can't do it.
    Unsupported,
    /// A bug of Frit's.
    Bug,
    /// Not an error: the answer depends on something that is not known yet (an open shape, a
    /// value that is only there at run time).
    Unknown,
}

impl Kind {
    /// A stable code for messages and machines.
    pub const fn code(self) -> &'static str {
        match self {
            Kind::Invalid => "frit::invalid",
            Kind::Unsupported => "frit::unsupported",
            Kind::Bug => "frit::bug",
            Kind::Unknown => "frit::unknown",
        }
    }
}

/// A complaint about one op's inputs or attributes.
#[derive(Clone, PartialEq, Debug)]
pub struct OpError {
    /// The kind of trouble.
    pub kind: Kind,
    /// What is wrong, without the node's name.
    pub message: String,
    /// What the user can do, where there is something.
    pub help: Option<String>,
}

impl OpError {
    /// The model or the input is at fault.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self { kind: Kind::Invalid, message: message.into(), help: None }
    }

    /// Right, but not supported.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self { kind: Kind::Unsupported, message: message.into(), help: None }
    }

    /// A bug of Frit's.
    pub fn bug(message: impl Into<String>) -> Self {
        Self { kind: Kind::Bug, message: message.into(), help: None }
    }

    /// The answer depends on something that is not known yet.
    pub fn unknown() -> Self {
        Self { kind: Kind::Unknown, message: "depends on a value that is not known yet".into(), help: None }
    }

    /// Adds what the user can do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for OpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for OpError {}

/// A complaint about a program, with the place in it.
#[derive(Clone, PartialEq, Debug)]
pub struct Error {
    /// The kind of trouble.
    pub kind: Kind,
    /// Where: the node's name in the user's framework, its source op and opset; empty if it is not about a node.
    pub node: String,
    /// The types of the node's inputs, printed.
    pub inputs: Vec<String>,
    /// What is wrong.
    pub message: String,
    /// What the user can do.
    pub help: Option<String>,
}

impl Error {
    /// A complaint that is not about one node.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, node: String::new(), inputs: Vec::new(), message: message.into(), help: None }
    }

    /// The model or the input is at fault.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message)
    }

    /// Right, but not supported.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(Kind::Unsupported, message)
    }

    /// A bug of Frit's.
    pub fn bug(message: impl Into<String>) -> Self {
        Self::new(Kind::Bug, message)
    }

    /// Adds what the user can do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Places an op's complaint at a node.
    pub fn at(error: OpError, node: impl Into<String>, inputs: Vec<String>) -> Self {
        Self { kind: error.kind, node: node.into(), inputs, message: error.message, help: error.help }
    }

    /// Is the model or the input at fault (rather than Frit)?
    pub fn is_invalid(&self) -> bool {
        self.kind == Kind::Invalid
    }

    /// Is it something that Frit can't do?
    pub fn is_unsupported(&self) -> bool {
        self.kind == Kind::Unsupported
    }

    /// Is it a bug of Frit's?
    pub fn is_bug(&self) -> bool {
        self.kind == Kind::Bug
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.node.is_empty() {
            write!(f, "{}: ", self.node)?;
        }
        f.write_str(&self.message)?;
        if !self.inputs.is_empty() {
            write!(f, " (inputs: {})", self.inputs.join(", "))?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

impl From<Error> for OpError {
    /// An error inside a subgraph, seen from the op that holds it.
    fn from(error: Error) -> Self {
        let message = if error.node.is_empty() { error.message } else { format!("{}: {}", error.node, error.message) };
        OpError { kind: error.kind, message, help: error.help }
    }
}

impl From<OpError> for Error {
    /// A complaint whose place is not known.
    fn from(error: OpError) -> Self {
        Error::at(error, String::new(), Vec::new())
    }
}
