//! Python pickles, read as data.
//!
//! In: the bytes of a pickle of protocol 2, as PyTorch writes them. Out: a [`Pickle`], the tree (a graph, where parts are shared) of what was
//! pickled. Nothing is executed: a call is a node that names its function, and names that are not known are refused. Must not know:
//! what the calls mean.

use std::collections::HashMap;

use bytes::Bytes;
use frit_ir::OpError;

/// A pickle has no more parts than this: each takes more memory than bytes in the file.
const MAX_NODES: usize = 1 << 20;

/// One part of a pickle.
pub(crate) type Id = u32;

/// What was pickled.
#[derive(Debug)]
pub(crate) enum Node {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// UTF-8, checked.
    Text(Bytes),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    /// Keys and values, in order.
    Dict(Vec<(Id, Id)>),
    /// The name of a class or function, `module.name`.
    Global(String),
    /// An id that PyTorch gives a meaning: a storage.
    Persistent(Id),
    /// A function (a [`Node::Global`]) applied to a tuple; with the dict of what `SETITEMS` put into the result, and what `BUILD` gave it.
    Call { function: Id, args: Id, items: Option<Id>, state: Option<Id> },
}

/// A pickle, as a list of nodes that refer to each other.
#[derive(Debug)]
pub(crate) struct Pickle {
    nodes: Vec<Node>,
    /// What was pickled as a whole.
    pub(crate) root: Id,
}

/// Names that may stand in a pickle. Beside these, the classes of TorchScript (`__torch__.*`), which are data.
const GLOBALS: &[&str] = &[
    "collections.OrderedDict",
    "torch.Size",
    "torch.device",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch._utils._rebuild_qtensor",
    "torch._utils._rebuild_sparse_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._tensor._rebuild_from_type_v2",
    "torch._utils._rebuild_tensor_v3",
    "torch.jit._pickle.build_boollist",
    "torch.jit._pickle.build_doublelist",
    "torch.jit._pickle.build_intlist",
    "torch.jit._pickle.build_tensorlist",
    "torch.jit._pickle.restore_type_tag",
    "torch.per_channel_affine",
    "torch.per_channel_affine_float_qparams",
    "torch.per_tensor_affine",
    "torch.serialization._get_layout",
    "torch.storage.UntypedStorage",
];

/// Names of dtypes, as `_rebuild_tensor_v3` gets them.
const DTYPES: &[&str] = &["bfloat16", "bool", "complex128", "complex64", "float16", "float32", "float64", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "int16", "int32", "int64", "int8", "uint16", "uint32", "uint64", "uint8"];

fn allowed(name: &str) -> bool {
    GLOBALS.contains(&name)
        || name.starts_with("__torch__.")
        || name.strip_prefix("torch.").is_some_and(|rest| !rest.contains('.') && (rest.ends_with("Storage") || DTYPES.contains(&rest)))
}

impl Pickle {
    /// Reads a pickle.
    ///
    /// # Errors
    /// Invalid where it is cut off or malformed; unsupported where it names what is not known, or uses what PyTorch does not.
    pub(crate) fn read(bytes: &Bytes) -> Result<Self, OpError> {
        let mut machine = Machine { bytes, at: 0, nodes: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
        let root = machine.run()?;
        Ok(Self { nodes: machine.nodes, root })
    }

    /// A node.
    pub(crate) fn node(&self, id: Id) -> &Node {
        &self.nodes[id as usize]
    }

    /// A text.
    pub(crate) fn text(&self, id: Id) -> Option<&str> {
        match self.node(id) {
            Node::Text(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// An integer.
    pub(crate) fn int(&self, id: Id) -> Option<i64> {
        match self.node(id) {
            Node::Int(n) => Some(*n),
            _ => None,
        }
    }

    /// The items of a list or tuple.
    pub(crate) fn items(&self, id: Id) -> Option<&[Id]> {
        match self.node(id) {
            Node::List(items) | Node::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// Integers in a list or tuple.
    pub(crate) fn ints(&self, id: Id) -> Option<Vec<i64>> {
        self.items(id)?.iter().map(|item| self.int(*item)).collect()
    }

    /// The name of a class or function.
    pub(crate) fn global(&self, id: Id) -> Option<&str> {
        match self.node(id) {
            Node::Global(name) => Some(name),
            _ => None,
        }
    }

    /// The function's name, the arguments and the state of a call.
    pub(crate) fn call(&self, id: Id) -> Option<(&str, &[Id], Option<Id>)> {
        match self.node(id) {
            Node::Call { function, args, state, .. } => Some((self.global(*function)?, self.items(*args)?, *state)),
            _ => None,
        }
    }

    /// The entries of a dict, or of an `OrderedDict`.
    pub(crate) fn entries(&self, id: Id) -> Option<&[(Id, Id)]> {
        match self.node(id) {
            Node::Dict(entries) => Some(entries),
            Node::Call { function, items, .. } if self.global(*function) == Some("collections.OrderedDict") => match items.map(|items| self.node(items)) {
                Some(Node::Dict(entries)) => Some(entries),
                _ => Some(&[]),
            },
            _ => None,
        }
    }
}

/// The pickle's stack machine.
struct Machine<'b> {
    bytes: &'b Bytes,
    at: usize,
    nodes: Vec<Node>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

fn cut() -> OpError {
    OpError::invalid("a pickle is cut off").help("the file may have been cut off when it was copied")
}

fn malformed() -> OpError {
    OpError::invalid("a pickle is malformed")
}

impl Machine<'_> {
    fn take(&mut self, len: usize) -> Result<Bytes, OpError> {
        let end = self.at.checked_add(len).filter(|end| *end <= self.bytes.len()).ok_or_else(cut)?;
        let taken = self.bytes.slice(self.at..end);
        self.at = end;
        Ok(taken)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], OpError> {
        self.take(N)?.as_ref().try_into().map_err(|_| cut())
    }

    fn byte(&mut self) -> Result<u8, OpError> {
        Ok(self.number::<1>()?[0])
    }

    fn line(&mut self) -> Result<&str, OpError> {
        let rest = &self.bytes[self.at..];
        let len = rest.iter().position(|byte| *byte == b'\n').ok_or_else(cut)?;
        self.at += len + 1;
        std::str::from_utf8(&rest[..len]).map_err(|_| malformed())
    }

    fn push(&mut self, node: Node) -> Result<(), OpError> {
        if self.nodes.len() >= MAX_NODES {
            return Err(OpError::unsupported(format!("a pickle has more than {MAX_NODES} parts")));
        }
        self.stack.push(self.nodes.len() as Id);
        self.nodes.push(node);
        Ok(())
    }

    /// The last value, which must lie above the last mark.
    fn pop(&mut self) -> Result<Id, OpError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(malformed());
        }
        self.stack.pop().ok_or_else(malformed)
    }

    /// The values above the last mark.
    fn marked(&mut self) -> Result<Vec<Id>, OpError> {
        let mark = self.marks.pop().ok_or_else(malformed)?;
        Ok(self.stack.split_off(mark))
    }

    fn tuple(&mut self, len: usize) -> Result<(), OpError> {
        let mut items = (0..len).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
        items.reverse();
        self.push(Node::Tuple(items))
    }

    fn text(&mut self, len: usize) -> Result<(), OpError> {
        let text = self.take(len)?;
        std::str::from_utf8(&text).map_err(|_| malformed())?;
        self.push(Node::Text(text))
    }

    fn memorise(&mut self, key: u32) -> Result<(), OpError> {
        let top = *self.stack.last().ok_or_else(malformed)?;
        if self.memo.len() >= MAX_NODES {
            return Err(OpError::unsupported(format!("a pickle remembers more than {MAX_NODES} parts")));
        }
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Result<(), OpError> {
        let id = *self.memo.get(&key).ok_or_else(malformed)?;
        if self.stack.len() >= MAX_NODES {
            return Err(OpError::unsupported(format!("a pickle has more than {MAX_NODES} parts")));
        }
        self.stack.push(id);
        Ok(())
    }

    /// Applies the function below to the tuple on top. PyTorch gives enumerations their value as it is.
    fn call(&mut self) -> Result<(), OpError> {
        let mut args = self.pop()?;
        if !matches!(self.nodes[args as usize], Node::Tuple(_)) {
            self.push(Node::Tuple(vec![args]))?;
            args = self.pop()?;
        }
        let function = self.pop()?;
        match (&self.nodes[function as usize], &self.nodes[args as usize]) {
            (Node::Global(_), Node::Tuple(_)) => self.push(Node::Call { function, args, items: None, state: None }),
            _ => Err(malformed()),
        }
    }

    /// Puts pairs into the dict, or the `OrderedDict`, on top.
    fn set(&mut self, items: &[Id]) -> Result<(), OpError> {
        if !items.len().is_multiple_of(2) {
            return Err(malformed());
        }
        let mut target = *self.stack.last().ok_or_else(malformed)?;
        if let Node::Call { items: None, .. } = self.nodes[target as usize] {
            self.push(Node::Dict(Vec::new()))?;
            let made = self.stack.pop();
            if let Node::Call { items, .. } = &mut self.nodes[target as usize] {
                *items = made;
            }
        }
        if let Node::Call { items: Some(items), .. } = self.nodes[target as usize] {
            target = items;
        }
        match &mut self.nodes[target as usize] {
            Node::Dict(entries) => entries.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1]))),
            _ => return Err(malformed()),
        }
        Ok(())
    }

    /// Puts items at the end of the list on top.
    fn append(&mut self, items: &[Id]) -> Result<(), OpError> {
        let target = *self.stack.last().ok_or_else(malformed)?;
        match &mut self.nodes[target as usize] {
            Node::List(list) => list.extend_from_slice(items),
            _ => return Err(malformed()),
        }
        Ok(())
    }

    fn global(&mut self) -> Result<(), OpError> {
        let module = self.line()?.to_owned();
        let name = format!("{module}.{}", self.line()?);
        if !allowed(&name) {
            let help = "a pickle of a whole module holds no graph; export the module: torch.export.save(torch.export.export(module, inputs), \"model.pt2\")";
            return Err(OpError::unsupported(format!("a pickle names '{name}', which is refused")).help(help));
        }
        self.push(Node::Global(name))
    }

    /// Runs to the end; returns what is left.
    fn run(&mut self) -> Result<Id, OpError> {
        loop {
            match self.byte()? {
                // PROTO
                0x80 => {
                    self.byte()?;
                }
                // STOP
                b'.' => return self.pop(),
                // MARK
                b'(' => {
                    if self.marks.len() >= MAX_NODES {
                        return Err(malformed());
                    }
                    self.marks.push(self.stack.len());
                }
                b'N' => self.push(Node::None)?,
                0x88 => self.push(Node::Bool(true))?,
                0x89 => self.push(Node::Bool(false))?,
                // BININT, BININT1, BININT2, LONG1
                b'J' => {
                    let n = i32::from_le_bytes(self.number()?);
                    self.push(Node::Int(i64::from(n)))?;
                }
                b'K' => {
                    let n = self.byte()?;
                    self.push(Node::Int(i64::from(n)))?;
                }
                b'M' => {
                    let n = u16::from_le_bytes(self.number()?);
                    self.push(Node::Int(i64::from(n)))?;
                }
                0x8a => {
                    let len = usize::from(self.byte()?);
                    let bytes = self.take(len)?;
                    let fill = if bytes.last().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
                    let mut wide = [fill; 8];
                    // PyTorch writes eight bytes for what takes fewer.
                    wide.get_mut(..len).ok_or_else(|| OpError::unsupported("a pickle holds an integer of more than 64 bits"))?.copy_from_slice(&bytes);
                    self.push(Node::Int(i64::from_le_bytes(wide)))?;
                }
                // BINFLOAT
                b'G' => {
                    let x = f64::from_be_bytes(self.number()?);
                    self.push(Node::Float(x))?;
                }
                // BINUNICODE
                b'X' => {
                    let len = u32::from_le_bytes(self.number()?);
                    self.text(len as usize)?;
                }
                b']' => self.push(Node::List(Vec::new()))?,
                b'}' => self.push(Node::Dict(Vec::new()))?,
                b')' => self.push(Node::Tuple(Vec::new()))?,
                0x85 => self.tuple(1)?,
                0x86 => self.tuple(2)?,
                0x87 => self.tuple(3)?,
                b't' => {
                    let items = self.marked()?;
                    self.push(Node::Tuple(items))?;
                }
                // APPEND, APPENDS, SETITEM, SETITEMS
                b'a' => {
                    let item = self.pop()?;
                    self.append(&[item])?;
                }
                b'e' => {
                    let items = self.marked()?;
                    self.append(&items)?;
                }
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.set(&[key, value])?;
                }
                b'u' => {
                    let items = self.marked()?;
                    self.set(&items)?;
                }
                b'c' => self.global()?,
                // REDUCE, NEWOBJ
                b'R' | 0x81 => self.call()?,
                // BUILD
                b'b' => {
                    let given = self.pop()?;
                    let target = *self.stack.last().ok_or_else(malformed)?;
                    match &mut self.nodes[target as usize] {
                        Node::Call { state, .. } => *state = Some(given),
                        _ => return Err(malformed()),
                    }
                }
                // BINPERSID
                b'Q' => {
                    let id = self.pop()?;
                    self.push(Node::Persistent(id))?;
                }
                // BINPUT, LONG_BINPUT, BINGET, LONG_BINGET
                b'q' => {
                    let key = self.byte()?;
                    self.memorise(u32::from(key))?;
                }
                b'r' => {
                    let key = u32::from_le_bytes(self.number()?);
                    self.memorise(key)?;
                }
                b'h' => {
                    let key = self.byte()?;
                    self.recall(u32::from(key))?;
                }
                b'j' => {
                    let key = u32::from_le_bytes(self.number()?);
                    self.recall(key)?;
                }
                code => return Err(OpError::unsupported(format!("opcode {code:#04x} at byte {} of a pickle is not known", self.at - 1)).help("save the file with PyTorch's default pickle protocol, 2")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &'static [u8]) -> Result<Pickle, OpError> {
        Pickle::read(&Bytes::from_static(bytes))
    }

    #[test]
    fn numbers_texts_and_containers_are_read() {
        // pickle.dumps({'a': [1, -2, 300, 70000, -(1 << 40)], 'b': (1.5, None, True)}, 2)
        let pickle = read(b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01]q\x02(K\x01J\xfe\xff\xff\xffM,\x01Jp\x11\x01\x00\x8a\x06\x00\x00\x00\x00\x00\xffeX\x01\x00\x00\x00bq\x03G?\xf8\x00\x00\x00\x00\x00\x00N\x88\x87q\x04u.").unwrap();
        let entries = pickle.entries(pickle.root).unwrap();
        assert_eq!(pickle.text(entries[0].0), Some("a"));
        assert_eq!(pickle.ints(entries[0].1), Some(vec![1, -2, 300, 70000, -(1 << 40)]));
        let [x, none, yes] = pickle.items(entries[1].1).unwrap() else { panic!("three items") };
        assert!(matches!(pickle.node(*x), Node::Float(1.5)));
        assert!(matches!(pickle.node(*none), Node::None));
        assert!(matches!(pickle.node(*yes), Node::Bool(true)));
    }

    #[test]
    fn items_of_an_ordered_dict_are_apart_from_its_attributes() {
        // An OrderedDict with one item, then BUILD with {'_metadata': None}.
        let pickle = read(b"\x80\x02ccollections\nOrderedDict\n)R(X\x01\x00\x00\x00kK\x07u}X\x09\x00\x00\x00_metadataNsb.").unwrap();
        let entries = pickle.entries(pickle.root).unwrap();
        assert_eq!(entries.len(), 1);
        assert_eq!(pickle.int(entries[0].1), Some(7));
    }

    #[test]
    fn nothing_is_executed() {
        let error = read(b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.").unwrap_err();
        assert_eq!(error.message, "a pickle names 'os.system', which is refused");
        assert!(read(b"\x80\x02ctorch.hub\nFloatStorage\n.").is_err());
    }

    #[test]
    fn malformed_pickles_are_errors() {
        for bytes in [&b""[..], b".", b"\x80\x02", b"(", b"(t", b"t.", b"K\x01e.", b"]K\x01u.", b"NR.", b"h\x00.", b"q\x00.", b"(0.", b"X\xff\xff\xff\xffabc.", b"\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01.", b"}(K\x01u.", b"N(\x85.", b"X\x01\x00\x00\x00\xff."] {
            assert!(Pickle::read(&Bytes::copy_from_slice(bytes)).is_err(), "{bytes:?}");
        }
    }
}
