//! Attribute values of ops, and how Rust types become attributes and back.
//!
//! In: an op's fields. Out: [`Attr`]s for printing, and fields from parsed [`Attr`]s. Must not know: ops.

use std::collections::BTreeMap;

use crate::dtype::DType;
use crate::error::OpError;
use crate::graph::Graph;
use crate::scalar::Scalar;
use crate::tensor::Tensor;

/// An attribute's value.
#[derive(Clone, PartialEq, Debug)]
pub enum Attr {
    /// An integer.
    Int(i64),
    /// A float.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// Text.
    Text(String),
    /// A dtype.
    DType(DType),
    /// A list.
    List(Vec<Attr>),
    /// A tensor.
    Tensor(Tensor),
    /// A subgraph.
    Graph(Box<Graph>),
}

/// A Rust type that can be an op's attribute.
pub trait AttrValue: Sized {
    /// As an attribute.
    fn to_attr(&self) -> Attr;
    /// From an attribute; nothing where it is of the wrong kind.
    fn from_attr(attr: Attr) -> Option<Self>;
}

macro_rules! attr_value {
    ($($ty:ty, $variant:ident, $x:ident => $to:expr, $y:ident => $from:expr;)*) => {
        $(impl AttrValue for $ty {
            fn to_attr(&self) -> Attr { let $x = self; Attr::$variant($to) }
            fn from_attr(attr: Attr) -> Option<Self> {
                match attr { Attr::$variant($y) => $from, _ => None }
            }
        })*
    };
}

attr_value! {
    i64, Int, x => *x, y => Some(y);
    usize, Int, x => *x as i64, y => usize::try_from(y).ok();
    f64, Float, x => *x, y => Some(y);
    bool, Bool, x => *x, y => Some(y);
    String, Text, x => x.clone(), y => Some(y);
    DType, DType, x => *x, y => Some(y);
    Tensor, Tensor, x => x.clone(), y => Some(y);
    Graph, Graph, x => Box::new(x.clone()), y => Some(*y);
}

impl<T: AttrValue> AttrValue for Vec<T> {
    fn to_attr(&self) -> Attr {
        Attr::List(self.iter().map(AttrValue::to_attr).collect())
    }
    fn from_attr(attr: Attr) -> Option<Self> {
        match attr {
            Attr::List(items) => items.into_iter().map(T::from_attr).collect(),
            _ => None,
        }
    }
}

impl<T: AttrValue> AttrValue for Option<T> {
    fn to_attr(&self) -> Attr {
        Attr::List(self.iter().map(AttrValue::to_attr).collect())
    }
    fn from_attr(attr: Attr) -> Option<Self> {
        match attr {
            Attr::List(items) if items.is_empty() => Some(None),
            Attr::List(items) if items.len() == 1 => T::from_attr(items.into_iter().next()?).map(Some),
            _ => None,
        }
    }
}

impl AttrValue for Scalar {
    fn to_attr(&self) -> Attr {
        match self {
            Scalar::Float(x) => Attr::Float(*x),
            Scalar::Int(n) => i64::try_from(*n).map_or_else(|_| Attr::Text(n.to_string()), Attr::Int),
            Scalar::Bool(b) => Attr::Bool(*b),
        }
    }
    fn from_attr(attr: Attr) -> Option<Self> {
        match attr {
            Attr::Float(x) => Some(Scalar::Float(x)),
            Attr::Int(n) => Some(Scalar::Int(i128::from(n))),
            Attr::Text(n) => n.parse().ok().map(Scalar::Int),
            Attr::Bool(b) => Some(Scalar::Bool(b)),
            Attr::DType(_) | Attr::List(_) | Attr::Tensor(_) | Attr::Graph(_) => None,
        }
    }
}

/// Takes an attribute out of a map.
///
/// # Errors
/// Invalid where it is missing or of the wrong kind.
pub(crate) fn take<T: AttrValue>(attrs: &mut BTreeMap<String, Attr>, name: &str) -> Result<T, OpError> {
    let attr = attrs.remove(name).ok_or_else(|| OpError::invalid(format!("attribute '{name}' is missing")))?;
    T::from_attr(attr).ok_or_else(|| OpError::invalid(format!("attribute '{name}' is of the wrong kind")))
}

/// Makes a field-less enum an attribute, by its variants' names.
macro_rules! attr_enum {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum $name { $($(#[$variant_meta])* $variant,)* }
        impl $crate::ops::AttrValue for $name {
            fn to_attr(&self) -> $crate::ops::Attr {
                $crate::ops::Attr::Text(match self { $($name::$variant => $text,)* }.to_owned())
            }
            fn from_attr(attr: $crate::ops::Attr) -> Option<Self> {
                match attr {
                    $crate::ops::Attr::Text(text) => match text.as_str() { $($text => Some($name::$variant),)* _ => None },
                    _ => None,
                }
            }
        }
    };
}
pub(crate) use attr_enum;
