//! What a TorchScript archive holds: code, attributes, constants.
//!
//! In: an archive. Out: classes and functions by their dotted names, pickles and the tensors in them. Files are read when something
//! in them is asked for. Must not know: what code means.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use frit_ir::OpError;

use super::parse;
use super::syntax::{Class, File, Function};
use crate::import::archive::Archive;
use crate::import::pytorch::pickle::{Id, Pickle};
use crate::import::pytorch::storage::{Pickled, Storages};

/// All code that is read has no more parts than this.
const MAX_NODES: usize = 600_000;

/// The pickles.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Part {
    /// The module and its attributes.
    Data,
    /// Constants that the code names.
    Constants,
}

/// What an archive holds.
pub(super) struct Library<'a> {
    archive: &'a Archive,
    files: RefCell<HashMap<String, Rc<File>>>,
    nodes: Cell<usize>,
    data: (Pickle, Storages<'a>),
    constants: (Pickle, Storages<'a>),
}

impl<'a> Library<'a> {
    /// Opens an archive.
    ///
    /// # Errors
    /// Invalid where parts are missing or malformed.
    pub(super) fn open(archive: &'a Archive) -> Result<Self, OpError> {
        let part = |name: &str| Ok::<_, OpError>((Pickle::read(&archive.read(&format!("{name}.pkl"))?.bytes)?, Storages::new(archive, &format!("{name}/"))?));
        Ok(Self { archive, files: RefCell::default(), nodes: Cell::new(MAX_NODES), data: part("data")?, constants: part("constants")? })
    }

    /// A pickle.
    pub(super) fn pickle(&self, part: Part) -> &Pickle {
        match part {
            Part::Data => &self.data.0,
            Part::Constants => &self.constants.0,
        }
    }

    /// Of a pickle's node, the tensor that it is; nothing where it is something else.
    ///
    /// # Errors
    /// As [`Storages::tensor`].
    pub(super) fn tensor(&self, part: Part, id: Id) -> Result<Option<Pickled>, OpError> {
        let (pickle, storages) = match part {
            Part::Data => &self.data,
            Part::Constants => &self.constants,
        };
        storages.tensor(pickle, id)
    }

    /// The file of a dotted name, and the name in it.
    fn file<'n>(&self, name: &'n str) -> Result<(Rc<File>, &'n str), OpError> {
        let (module, inner) = name.rsplit_once('.').ok_or_else(|| OpError::invalid(format!("the code has no '{name}'")))?;
        if let Some(file) = self.files.borrow().get(module) {
            return Ok((file.clone(), inner));
        }
        let path: Rc<str> = format!("code/{}.py", module.replace('.', "/")).into();
        if !self.archive.has(&path) {
            return Err(OpError::invalid(format!("the archive has no code of '{name}'")));
        }
        let mut nodes = self.nodes.get();
        let file = Rc::new(parse::parse(&path, &self.archive.text(&path)?, &mut nodes)?);
        self.nodes.set(nodes);
        self.files.borrow_mut().insert(module.to_owned(), file.clone());
        Ok((file, inner))
    }

    /// A class.
    ///
    /// # Errors
    /// Invalid where there is none of that name.
    pub(super) fn class(&self, name: &str) -> Result<Rc<Class>, OpError> {
        let (file, inner) = self.file(name)?;
        file.classes.iter().find(|class| *class.name == *inner).cloned().ok_or_else(|| OpError::invalid(format!("the code has no class '{name}'")))
    }

    /// A function, if there is one of that name.
    ///
    /// # Errors
    /// Invalid where its file can't be read.
    pub(super) fn function(&self, name: &str) -> Result<Option<Rc<Function>>, OpError> {
        let (file, inner) = self.file(name)?;
        Ok(file.functions.iter().find(|function| *function.name == *inner).cloned())
    }
}
