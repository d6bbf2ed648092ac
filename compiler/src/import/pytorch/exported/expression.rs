//! Dimensions of exported programs.
//!
//! In: sizes as programs write them: numbers, or expressions of SymPy's, `Add(Integer(1), Symbol('s0', positive=True, integer=True))`. Out:
//! [`Dim`]s. Must not know: tensors.

use frit_ir::Dim;
use serde_json::Value as Json;

/// Expressions nest no deeper than this.
const MAX_DEPTH: usize = 64;

/// Nor do they take more text than this.
const MAX_TEXT: usize = 1000;

/// A size; nothing where it can't be read.
pub(super) fn dim(size: &Json) -> Option<Dim> {
    if let Some(n) = size["as_int"].as_i64() {
        return Some(Dim::Known(n)).filter(|_| n >= 0);
    }
    let mut reader = Reader { rest: size["as_expr"]["expr_str"].as_str()? };
    let dim = reader.expression(0)?;
    (reader.rest.is_empty() && dim != Dim::Unknown).then_some(dim)
}

/// A dimension, unless it is so long that products of it would be without end.
fn short(dim: Dim) -> Option<Dim> {
    (dim.to_string().len() < MAX_TEXT).then_some(dim)
}

struct Reader<'t> {
    rest: &'t str,
}

impl<'t> Reader<'t> {
    fn take(&mut self, text: &str) -> Option<()> {
        self.rest = self.rest.trim_start().strip_prefix(text)?.trim_start();
        Some(())
    }

    fn word(&mut self) -> &'t str {
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn expression(&mut self, depth: usize) -> Option<Dim> {
        if depth > MAX_DEPTH {
            return None;
        }
        let function = self.word();
        self.take("(")?;
        match function {
            "Integer" => {
                let end = self.rest.find(')')?;
                let n = self.rest[..end].trim().parse().ok()?;
                self.rest = &self.rest[end..];
                self.take(")")?;
                Some(Dim::Known(n))
            }
            "Symbol" => {
                self.take("'")?;
                let end = self.rest.find('\'')?;
                let name = &self.rest[..end];
                let close = self.rest.find(')')?;
                self.rest = &self.rest[close..];
                self.take(")")?;
                Some(Dim::symbol(name))
            }
            "Add" | "Mul" | "FloorDiv" | "Pow" => {
                let mut operands = vec![self.expression(depth + 1)?];
                while self.take(",").is_some() {
                    operands.push(self.expression(depth + 1)?);
                }
                self.take(")")?;
                match (function, operands.as_slice()) {
                    ("Add", all) => all.iter().try_fold(Dim::Known(0), |sum, dim| short(sum.plus(dim))),
                    ("Mul", all) => all.iter().try_fold(Dim::Known(1), |product, dim| short(product.times(dim))),
                    ("FloorDiv", [a, b]) => Some(a.floor_div(b)),
                    ("Pow", [base, Dim::Known(n @ 1..=8)]) => (0..*n).try_fold(Dim::Known(1), |product, _| short(product.times(base))),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Dim> {
        dim(&serde_json::json!({"as_expr": {"expr_str": text}}))
    }

    #[test]
    fn expressions() {
        let s = Dim::symbol("s77");
        assert_eq!(read("Symbol('s77', positive=True, integer=True)"), Some(s.clone()));
        assert_eq!(read("Mul(Integer(2), Symbol('s77', positive=True, integer=True))"), Some(s.times(&Dim::Known(2))));
        assert_eq!(read("Add(Mul(Integer(2), Symbol('s77', integer=True)), Integer(-1))"), Some(s.times(&Dim::Known(2)).minus(&Dim::Known(1))));
        assert_eq!(read("Pow(Symbol('s77'), Integer(2))"), Some(s.times(&s)));
        for broken in ["", "Symbol", "Symbol('s", "Add(", "Add()", "Mod(Symbol('a'), Integer(2))", "Integer(1) Integer(2)"] {
            assert_eq!(read(broken), None, "{broken}");
        }
        assert_eq!(read(&"Add(".repeat(10_000)), None);
        let power = (0..20).fold("Symbol('s')".to_owned(), |base, _| format!("Pow({base}, Integer(8))"));
        assert_eq!(read(&power), None);
    }
}
