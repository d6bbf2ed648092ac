//! Reads TorchScript's code.
//!
//! In: the text of a file. Out: its classes and functions. Must not know: what anything means.

use std::rc::Rc;

use frit_ir::OpError;

use super::syntax::{Call, Class, Expr, Field, File, Function, Kind, Parameter, Statement, StatementKind};

/// Expressions and blocks nest no deeper than this.
const MAX_DEPTH: usize = 100;

/// A word of the text.
#[derive(Clone, PartialEq, Debug)]
enum Token {
    Name(Rc<str>),
    Int(u64),
    Float(f64),
    Text(String),
    Sign(&'static str),
    /// The end of a statement.
    Newline,
    Indent,
    Dedent,
    End,
}

/// Signs, those first that others are the beginnings of.
const SIGNS: &[&str] = &["->", "**", "//", "==", "!=", "<=", ">=", "<<", ">>", "(", ")", "[", "]", "{", "}", ",", ":", ".", "=", "+", "-", "*", "/", "%", "@", "<", ">", "&", "|", "^", "~"];

/// Operators between two operands: how tightly they bind, and what they stand for.
const OPERATORS: &[(&str, u8, &str)] = &[
    ("or", 1, "__or__"),
    ("and", 2, "__and__"),
    ("<", 4, "lt"),
    (">", 4, "gt"),
    ("<=", 4, "le"),
    (">=", 4, "ge"),
    ("==", 4, "eq"),
    ("!=", 4, "ne"),
    ("is", 4, "__is__"),
    ("in", 4, "__contains__"),
    ("|", 5, "__or__"),
    ("^", 6, "__xor__"),
    ("&", 7, "__and__"),
    ("<<", 8, "__lshift__"),
    (">>", 8, "__rshift__"),
    ("+", 9, "add"),
    ("-", 9, "sub"),
    ("*", 10, "mul"),
    ("/", 10, "div"),
    ("//", 10, "floordiv"),
    ("%", 10, "remainder"),
    ("@", 10, "matmul"),
    ("**", 12, "pow"),
];

/// How tightly a sign before an operand binds.
const UNARY: u8 = 11;

/// Reads a file. `nodes` is how many parts the code may still have in all.
///
/// # Errors
/// Invalid where the text is no such code, with the line.
pub(super) fn parse(path: &Rc<str>, text: &str, nodes: &mut usize) -> Result<File, OpError> {
    let mut parser = Parser { path, text: text.as_bytes(), at: 0, line: 1, indents: vec![0], pending: 0, brackets: 0, fresh: true, token: Token::Newline, token_line: 1, depth: 0, nodes };
    parser.advance()?;
    parser.file()
}

struct Parser<'t> {
    path: &'t Rc<str>,
    text: &'t [u8],
    at: usize,
    line: u32,
    indents: Vec<usize>,
    /// Blocks that are to be closed before the next word.
    pending: usize,
    /// Open brackets, in which lines don't end.
    brackets: usize,
    /// Is it the beginning of a line?
    fresh: bool,
    token: Token,
    token_line: u32,
    depth: usize,
    nodes: &'t mut usize,
}

type Parsed<T> = Result<T, OpError>;

impl Parser<'_> {
    fn wrong(&self, what: &str) -> OpError {
        OpError::invalid(format!("{} line {}: {what}", self.path, self.token_line))
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Goes to the next word.
    fn advance(&mut self) -> Parsed<()> {
        self.token = self.next()?;
        Ok(())
    }

    fn next(&mut self) -> Parsed<Token> {
        if self.pending > 0 {
            self.pending -= 1;
            return Ok(Token::Dedent);
        }
        if self.fresh && self.brackets == 0 {
            self.fresh = false;
            let begin = loop {
                let begin = self.at;
                while self.peek() == Some(b' ') {
                    self.at += 1;
                }
                let width = self.at - begin;
                match self.peek() {
                    Some(b'\n') => {
                        self.at += 1;
                        self.line += 1;
                    }
                    Some(b'#') => self.comment(),
                    None => break 0,
                    Some(_) => break width,
                }
            };
            self.token_line = self.line;
            let deepest = self.indents.last().copied().unwrap_or(0);
            if begin > deepest {
                if self.indents.len() > MAX_DEPTH {
                    return Err(self.wrong("blocks nest too deep"));
                }
                self.indents.push(begin);
                return Ok(Token::Indent);
            }
            while self.indents.last().is_some_and(|indent| *indent > begin) {
                self.indents.pop();
                self.pending += 1;
            }
            if self.indents.last() != Some(&begin) {
                return Err(self.wrong("a line is indented like no block"));
            }
            if self.pending > 0 {
                self.pending -= 1;
                return Ok(Token::Dedent);
            }
        }
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\r') => self.at += 1,
                Some(b'#') => self.comment(),
                Some(b'\n') => {
                    self.at += 1;
                    self.token_line = self.line;
                    self.line += 1;
                    if self.brackets == 0 {
                        self.fresh = true;
                        return Ok(Token::Newline);
                    }
                }
                None => return Ok(Token::End),
                Some(byte) => {
                    self.token_line = self.line;
                    return self.word(byte);
                }
            }
        }
    }

    fn comment(&mut self) {
        while self.peek().is_some_and(|byte| byte != b'\n') {
            self.at += 1;
        }
    }

    fn word(&mut self, byte: u8) -> Parsed<Token> {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => {
                let name = self.run(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80)?;
                Ok(Token::Name(name.into()))
            }
            b'0'..=b'9' => self.number(),
            b'.' if self.text.get(self.at + 1).is_some_and(u8::is_ascii_digit) => self.number(),
            b'"' | b'\'' => self.quoted(byte),
            _ => {
                let rest = &self.text[self.at..];
                let sign = *SIGNS.iter().find(|sign| rest.starts_with(sign.as_bytes())).ok_or_else(|| self.wrong(&format!("'{}' is not expected", char::from(byte))))?;
                self.at += sign.len();
                match sign {
                    "(" | "[" | "{" => self.brackets += 1,
                    ")" | "]" | "}" => self.brackets = self.brackets.saturating_sub(1),
                    _ => {}
                }
                Ok(Token::Sign(sign))
            }
        }
    }

    /// The text as far as its bytes are of a kind.
    fn run(&mut self, kind: impl Fn(u8) -> bool) -> Parsed<String> {
        let begin = self.at;
        while self.peek().is_some_and(&kind) {
            self.at += 1;
        }
        String::from_utf8(self.text[begin..self.at].to_vec()).map_err(|_| self.wrong("text that is not UTF-8"))
    }

    fn number(&mut self) -> Parsed<Token> {
        let mut text = self.run(|byte| byte.is_ascii_digit())?;
        let mut float = false;
        if self.peek() == Some(b'.') {
            float = true;
            self.at += 1;
            text.push('.');
            text += &self.run(|byte| byte.is_ascii_digit())?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            float = true;
            self.at += 1;
            text.push('e');
            if let Some(sign @ (b'+' | b'-')) = self.peek() {
                self.at += 1;
                text.push(char::from(sign));
            }
            text += &self.run(|byte| byte.is_ascii_digit())?;
        }
        if self.peek() == Some(b'j') {
            return Err(OpError::unsupported(format!("{} line {}: complex numbers are not supported", self.path, self.line)));
        }
        let wrong = || self.wrong(&format!("'{text}' is no number"));
        if float { text.parse().map(Token::Float).map_err(|_| wrong()) } else { text.parse().map(Token::Int).map_err(|_| wrong()) }
    }

    fn quoted(&mut self, quote: u8) -> Parsed<Token> {
        self.at += 1;
        let mut bytes = Vec::new();
        loop {
            let byte = self.peek().filter(|byte| *byte != b'\n').ok_or_else(|| self.wrong("text has no end"))?;
            self.at += 1;
            match byte {
                _ if byte == quote => break,
                b'\\' => {
                    let escaped = self.peek().ok_or_else(|| self.wrong("text has no end"))?;
                    self.at += 1;
                    match escaped {
                        b'n' => bytes.push(b'\n'),
                        b't' => bytes.push(b'\t'),
                        b'r' => bytes.push(b'\r'),
                        b'a' => bytes.push(7),
                        b'b' => bytes.push(8),
                        b'f' => bytes.push(12),
                        b'v' => bytes.push(11),
                        b'x' => {
                            let digits = self.text.get(self.at..self.at + 2).and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
                            bytes.push(digits.ok_or_else(|| self.wrong("an escape is malformed"))?);
                            self.at += 2;
                        }
                        b'0'..=b'7' => {
                            let mut code = u32::from(escaped - b'0');
                            for _ in 0..2 {
                                let Some(digit @ b'0'..=b'7') = self.peek() else { break };
                                code = code * 8 + u32::from(digit - b'0');
                                self.at += 1;
                            }
                            bytes.push(code as u8);
                        }
                        other => bytes.push(other),
                    }
                }
                _ => bytes.push(byte),
            }
        }
        String::from_utf8(bytes).map(Token::Text).map_err(|_| self.wrong("text that is not UTF-8"))
    }

    fn is(&self, sign: &str) -> bool {
        matches!(&self.token, Token::Sign(found) if *found == sign)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(&self.token, Token::Name(found) if **found == *word)
    }

    fn accept(&mut self, sign: &str) -> Parsed<bool> {
        let found = self.is(sign);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn accept_word(&mut self, word: &str) -> Parsed<bool> {
        let found = self.is_word(word);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn expect(&mut self, sign: &str) -> Parsed<()> {
        if self.accept(sign)? { Ok(()) } else { Err(self.wrong(&format!("'{sign}' is missing"))) }
    }

    fn name(&mut self) -> Parsed<Rc<str>> {
        let Token::Name(name) = &self.token else { return Err(self.wrong("a name is missing")) };
        let name = name.clone();
        self.advance()?;
        Ok(name)
    }

    fn newline(&mut self) -> Parsed<()> {
        match self.token {
            Token::Newline => self.advance(),
            Token::End => Ok(()),
            _ => Err(self.wrong("a statement does not end where it should")),
        }
    }

    fn expr(&mut self, kind: Kind, line: u32) -> Parsed<Expr> {
        *self.nodes = self.nodes.checked_sub(1).ok_or_else(|| OpError::unsupported("the code has too many parts"))?;
        Ok(Expr { line, kind })
    }

    fn file(&mut self) -> Parsed<File> {
        let mut file = File { classes: Vec::new(), functions: Vec::new() };
        loop {
            match &self.token {
                Token::End => return Ok(file),
                Token::Newline => self.advance()?,
                Token::Name(word) if **word == *"class" => {
                    let class = self.class()?;
                    file.classes.push(Rc::new(class));
                }
                Token::Name(word) if **word == *"def" => {
                    let function = self.function()?;
                    file.functions.push(Rc::new(function));
                }
                // Older files begin with `op_version_set = 1`.
                Token::Name(_) => drop(self.statement()?),
                _ => return Err(self.wrong("a class or a function is expected")),
            }
        }
    }

    fn class(&mut self) -> Parsed<Class> {
        self.advance()?;
        let name = self.name()?;
        let mut base = None;
        if self.accept("(")? {
            if !self.is(")") {
                base = Some(self.name()?);
            }
            self.expect(")")?;
        }
        self.expect(":")?;
        self.newline()?;
        let mut class = Class { name, base, fields: Vec::new(), methods: Vec::new() };
        if self.token != Token::Indent {
            return Ok(class);
        }
        self.advance()?;
        loop {
            match &self.token {
                Token::Dedent => {
                    self.advance()?;
                    return Ok(class);
                }
                Token::End => return Ok(class),
                Token::Newline => self.advance()?,
                Token::Name(word) if **word == *"def" => {
                    let method = self.function()?;
                    class.methods.push(Rc::new(method));
                }
                Token::Name(word) if **word == *"pass" => {
                    self.advance()?;
                    self.newline()?;
                }
                _ => {
                    let target = self.expression()?;
                    // `name : type`, `name : Final[type] = value`, `__parameters__ = [..]`, `__annotations__["0"] = type`.
                    if self.accept(":")? {
                        self.expression()?;
                    }
                    let value = if self.accept("=")? { Some(self.expression()?) } else { None };
                    self.newline()?;
                    if let Kind::Name(name) = target.kind {
                        class.fields.push(Field { name, value });
                    }
                }
            }
        }
    }

    fn function(&mut self) -> Parsed<Function> {
        self.advance()?;
        let name = self.name()?;
        self.expect("(")?;
        let mut parameters = Vec::new();
        while !self.is(")") {
            let name = self.name()?;
            let ty = if self.accept(":")? { Some(self.expression()?) } else { None };
            let default = if self.accept("=")? { Some(self.expression()?) } else { None };
            parameters.push(Parameter { name, ty, default });
            if !self.accept(",")? {
                break;
            }
        }
        self.expect(")")?;
        if self.accept("->")? {
            self.expression()?;
        }
        let body = self.block()?;
        Ok(Function { file: self.path.clone(), name, parameters, body })
    }

    /// `:` and the statements of a block.
    fn block(&mut self) -> Parsed<Vec<Statement>> {
        self.expect(":")?;
        self.newline()?;
        if self.token != Token::Indent {
            return Err(self.wrong("a block is missing"));
        }
        self.advance()?;
        self.deeper()?;
        let mut statements = Vec::new();
        loop {
            match self.token {
                Token::Dedent => {
                    self.advance()?;
                    break;
                }
                Token::End => break,
                Token::Newline => self.advance()?,
                _ => statements.push(self.statement()?),
            }
        }
        self.depth -= 1;
        Ok(statements)
    }

    fn deeper(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(self.wrong("the code nests too deep")) } else { Ok(()) }
    }

    fn statement(&mut self) -> Parsed<Statement> {
        let line = self.token_line;
        *self.nodes = self.nodes.checked_sub(1).ok_or_else(|| OpError::unsupported("the code has too many parts"))?;
        let word = if let Token::Name(word) = &self.token { word.clone() } else { "".into() };
        let kind = match &*word {
            "if" => {
                self.advance()?;
                let condition = self.expression()?;
                let then = self.block()?;
                let otherwise = if self.accept_word("else")? { self.block()? } else { Vec::new() };
                StatementKind::If { condition, then, otherwise }
            }
            "for" => {
                self.advance()?;
                let target = self.name()?;
                if !self.accept_word("in")? {
                    return Err(self.wrong("'in' is missing"));
                }
                let over = self.expression()?;
                StatementKind::For { target, over, body: self.block()? }
            }
            "while" => {
                self.advance()?;
                let condition = self.expression()?;
                StatementKind::While { condition, body: self.block()? }
            }
            "with" => {
                self.advance()?;
                self.expression()?;
                if self.accept_word("as")? {
                    self.name()?;
                }
                StatementKind::With { body: self.block()? }
            }
            "pass" => {
                self.advance()?;
                self.newline()?;
                StatementKind::Pass
            }
            "return" => {
                self.advance()?;
                let value = if self.token == Token::Newline || self.token == Token::End { None } else { Some(self.expressions()?) };
                self.newline()?;
                StatementKind::Return(value)
            }
            _ => {
                let target = self.expressions()?;
                if self.accept(":")? {
                    self.expression()?;
                }
                let kind = if self.accept("=")? { StatementKind::Assign(target, self.expressions()?) } else { StatementKind::Expr(target) };
                self.newline()?;
                kind
            }
        };
        Ok(Statement { line, kind })
    }

    /// One expression, or several as a tuple.
    fn expressions(&mut self) -> Parsed<Expr> {
        self.tuple(|parser| parser.is("=") || matches!(parser.token, Token::Newline | Token::End))
    }

    /// An expression, or several with commas between them, which are a tuple. A comma may stand behind the last one.
    fn tuple(&mut self, ends: impl Fn(&Self) -> bool) -> Parsed<Expr> {
        let line = self.token_line;
        let first = self.expression()?;
        if !self.is(",") {
            return Ok(first);
        }
        let mut all = vec![first];
        while self.accept(",")? && !ends(self) {
            all.push(self.expression()?);
        }
        self.expr(Kind::Tuple(all), line)
    }

    fn expression(&mut self) -> Parsed<Expr> {
        self.deeper()?;
        let expr = self.binary(0)?;
        self.depth -= 1;
        Ok(expr)
    }

    /// Operators that bind more tightly than `floor`.
    fn binary(&mut self, floor: u8) -> Parsed<Expr> {
        let line = self.token_line;
        let mut left = if self.is_word("not") {
            self.advance()?;
            self.deeper()?;
            let operand = self.binary(3)?;
            self.depth -= 1;
            self.expr(Kind::Operator("__not__", vec![operand]), line)?
        } else {
            self.unary()?
        };
        loop {
            let word: &str = match &self.token {
                Token::Sign(sign) => sign,
                Token::Name(name) => name,
                _ => return Ok(left),
            };
            let Some((word, strength, name)) = OPERATORS.iter().find(|(operator, ..)| *operator == word) else { return Ok(left) };
            if *strength <= floor {
                return Ok(left);
            }
            self.advance()?;
            let negated = *word == "is" && self.accept_word("not")?;
            self.deeper()?;
            let right = self.binary(*strength)?;
            self.depth -= 1;
            let (name, operands) = match *word {
                "is" if negated => ("__isnot__", vec![left, right]),
                "in" => (*name, vec![right, left]),
                _ => (*name, vec![left, right]),
            };
            left = self.expr(Kind::Operator(name, operands), line)?;
        }
    }

    fn unary(&mut self) -> Parsed<Expr> {
        let line = self.token_line;
        if self.accept("-")? {
            if let Token::Int(digits) = self.token {
                let negative = 0i64.checked_sub_unsigned(digits).ok_or_else(|| self.wrong("an integer takes more than 64 bits"))?;
                self.advance()?;
                let literal = self.expr(Kind::Int(negative), line)?;
                return self.postfix(literal);
            }
            self.deeper()?;
            let operand = self.binary(UNARY)?;
            self.depth -= 1;
            return self.expr(Kind::Operator("neg", vec![operand]), line);
        }
        if self.accept("~")? {
            self.deeper()?;
            let operand = self.binary(UNARY)?;
            self.depth -= 1;
            return self.expr(Kind::Operator("bitwise_not", vec![operand]), line);
        }
        let atom = self.atom()?;
        self.postfix(atom)
    }

    /// Attributes, calls and indices after an operand.
    fn postfix(&mut self, mut expr: Expr) -> Parsed<Expr> {
        let mut chained = 0;
        loop {
            let line = self.token_line;
            chained += 1;
            if chained > MAX_DEPTH {
                return Err(self.wrong("the code nests too deep"));
            }
            if self.accept(".")? {
                let name = self.name()?;
                expr = self.expr(Kind::Attribute(Box::new(expr), name), line)?;
            } else if self.accept("(")? {
                let (mut positional, mut keyword) = (Vec::new(), Vec::new());
                while !self.is(")") {
                    let argument = self.expression()?;
                    match argument.kind {
                        Kind::Name(name) if self.is("=") => {
                            self.advance()?;
                            keyword.push((name, self.expression()?));
                        }
                        _ => positional.push(argument),
                    }
                    if !self.accept(",")? {
                        break;
                    }
                }
                self.expect(")")?;
                expr = self.expr(Kind::Call(Box::new(Call { function: expr, positional, keyword })), line)?;
            } else if self.accept("[")? {
                let index = self.subscript()?;
                self.expect("]")?;
                expr = self.expr(Kind::Index(Box::new((expr, index))), line)?;
            } else {
                return Ok(expr);
            }
        }
    }

    /// What stands in brackets after an operand: an index, or types.
    fn subscript(&mut self) -> Parsed<Expr> {
        self.tuple(|parser| parser.is("]"))
    }

    /// Expressions up to a closing bracket; says whether a comma stood among them.
    fn list(&mut self, end: &str) -> Parsed<(Vec<Expr>, bool)> {
        let (mut items, mut comma) = (Vec::new(), false);
        while !self.is(end) {
            items.push(self.expression()?);
            if !self.accept(",")? {
                break;
            }
            comma = true;
        }
        self.expect(end)?;
        Ok((items, comma))
    }

    fn atom(&mut self) -> Parsed<Expr> {
        let line = self.token_line;
        let kind = match self.token.clone() {
            Token::Int(digits) => {
                self.advance()?;
                Kind::Int(i64::try_from(digits).map_err(|_| self.wrong("an integer takes more than 64 bits"))?)
            }
            Token::Float(number) => {
                self.advance()?;
                Kind::Float(number)
            }
            Token::Text(text) => {
                self.advance()?;
                Kind::Text(text)
            }
            Token::Name(name) => {
                self.advance()?;
                match &*name {
                    "None" => Kind::None,
                    "True" => Kind::Bool(true),
                    "False" => Kind::Bool(false),
                    "inf" => Kind::Float(f64::INFINITY),
                    "nan" => Kind::Float(f64::NAN),
                    _ => Kind::Name(name),
                }
            }
            Token::Sign("(") => {
                self.advance()?;
                let (mut items, comma) = self.list(")")?;
                match items.pop() {
                    Some(only) if items.is_empty() && !comma => return Ok(only),
                    last => {
                        items.extend(last);
                        Kind::Tuple(items)
                    }
                }
            }
            Token::Sign("[") => {
                self.advance()?;
                Kind::List(self.list("]")?.0)
            }
            Token::Sign("{") => {
                self.advance()?;
                let mut entries = Vec::new();
                while !self.is("}") {
                    let key = self.expression()?;
                    self.expect(":")?;
                    entries.push((key, self.expression()?));
                    if !self.accept(",")? {
                        break;
                    }
                }
                self.expect("}")?;
                Kind::Dict(entries)
            }
            _ => return Err(self.wrong("an expression is missing")),
        };
        self.expr(kind, line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<File, OpError> {
        parse(&"code/a.py".into(), text, &mut 10_000)
    }

    #[test]
    fn what_torchscript_prints_is_read() {
        let file = read(
            "class M(Module):\n  __parameters__ = [\"w\", ]\n  w : Tensor\n  p : Final[Tuple[int, int]] = (1, -2)\n  __annotations__[\"0\"] = __torch__.a.B\n  def forward(self: __torch__.M,\n    x: Tensor,\n    n: int=3) -> Tuple[Tensor, int]:\n    \
             a, b, = (x, n)\n    y : Optional[Tensor] = (self).f(x, alpha=-9223372036854775808, )\n    if torch.gt(n, 0):\n      pass\n    else:\n      ops.prim.RaiseException(\"a \\\"b\\\" \\303\\251\")\n    for i in range(n):\n      x = {\"k\": [1., 2e-05]}[\"k\"][0]\n    return (x, n)\n\ndef f(x: Tensor) -> Tensor:\n  return x\n",
        )
        .unwrap();
        let class = &file.classes[0];
        assert_eq!((&*class.name, class.base.as_deref()), ("M", Some("Module")));
        assert_eq!(class.fields.iter().map(|field| &*field.name).collect::<Vec<_>>(), ["__parameters__", "w", "p"]);
        assert_eq!(class.methods[0].parameters.len(), 3);
        let body = &class.methods[0].body;
        assert!(matches!(&body[0].kind, StatementKind::Assign(Expr { kind: Kind::Tuple(names), .. }, _) if names.len() == 2));
        let StatementKind::Assign(_, Expr { kind: Kind::Call(call), .. }) = &body[1].kind else { panic!("a call is assigned") };
        assert!(matches!(call.keyword[0].1.kind, Kind::Int(i64::MIN)));
        let StatementKind::If { otherwise, .. } = &body[2].kind else { panic!("an if") };
        let StatementKind::Expr(Expr { kind: Kind::Call(call), .. }) = &otherwise[0].kind else { panic!("an error is raised") };
        assert!(matches!(&call.positional[0].kind, Kind::Text(text) if text == "a \"b\" é"));
        assert_eq!(&*file.functions[0].name, "f");
        assert_eq!(body[4].line, 17);
    }

    #[test]
    fn operators_bind_as_in_python() {
        let file = read("def f(x):\n  return not a + b * -c ** 2 < d and e is not None\n").unwrap();
        let StatementKind::Return(Some(expr)) = &file.functions[0].body[0].kind else { panic!("a return") };
        fn shown(expr: &Expr) -> String {
            match &expr.kind {
                Kind::Operator(name, operands) => format!("{name}({})", operands.iter().map(shown).collect::<Vec<_>>().join(" ")),
                Kind::Name(name) => name.to_string(),
                Kind::Int(n) => n.to_string(),
                Kind::None => "None".to_owned(),
                other => format!("{other:?}"),
            }
        }
        assert_eq!(shown(expr), "__and__(__not__(lt(add(a mul(b neg(pow(c 2)))) d)) __isnot__(e None))");
    }

    #[test]
    fn malformed_code_is_an_error_with_its_line() {
        for (text, line) in [("def f(x:\n", 1), ("def f():\n  return (1\n", 2), ("def f():\n  x = \"a\n", 2), ("def f():\n    x = 1\n  y = 2\n", 3), ("def f():\n  x = 99999999999999999999\n", 2), ("class A(\n", 1), ("def f():\nreturn 1\n", 2), ("def f():\n  a $ b\n", 2)] {
            let error = read(text).unwrap_err();
            assert!(error.message.starts_with("code/a.py line "), "{}", error.message);
            let found: u32 = error.message["code/a.py line ".len()..].split(':').next().unwrap().parse().unwrap();
            assert!(found.abs_diff(line) <= 1, "{text:?}: {}", error.message);
        }
        let deep = format!("def f():\n  return {}1{}\n", "(".repeat(5000), ")".repeat(5000));
        assert!(read(&deep).is_err());
        assert!(read(&format!("def f():\n  return {}1\n", "-".repeat(5000))).is_err());
        assert!(parse(&"code/a.py".into(), "def f():\n  return [1, 2, 3, 4, 5]\n", &mut 4).is_err());
    }
}
