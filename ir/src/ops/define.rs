//! The macros that ops are declared with: `ops!` (the list), `op!` (one op's struct and
//! attributes), `elementwise!` (an op that applies one scalar operation).

/// Declares the list: modules, the `Op` enum, and access to each op's definition.
macro_rules! ops {
    ($($module:ident :: $name:ident,)*) => {
        $(pub mod $module;)*

        /// Any op, with its attributes.
        #[derive(Clone, PartialEq, Debug)]
        #[allow(clippy::large_enum_variant, reason = "nodes are few beside what they compute on")]
        pub enum Op { $(#[doc = concat!("See [`", stringify!($module), "`].")] $name($module::$name),)* }

        $(impl From<$module::$name> for Op {
            fn from(op: $module::$name) -> Op { Op::$name(op) }
        })*

        impl Op {
            /// Every op's name, in the list's order.
            pub const NAMES: &[&str] = &[$($module::$name::NAME),*];

            /// The op's definition.
            pub fn def(&self) -> &dyn OpDef {
                match self { $(Op::$name(op) => op,)* }
            }

            /// Makes an op from its name and attributes, as the text form has them.
            ///
            /// # Errors
            /// Invalid where there is no such op, or an attribute is missing or of the wrong kind.
            pub fn parse(name: &str, attrs: &mut std::collections::BTreeMap<String, Attr>) -> Result<Op, OpError> {
                match name {
                    $($module::$name::NAME => $module::$name::from_attrs(attrs).map(Op::from),)*
                    _ => Err(OpError::invalid(format!("there is no op '{name}'"))),
                }
            }

            /// Sample applications of every op, for tests.
            pub fn samples() -> Vec<Sample> {
                let mut all = Vec::new();
                $(all.extend($module::$name::samples());)*
                all
            }
        }
    };
}

/// Declares an op's struct with its attributes, and derives name, printing and parsing.
macro_rules! op {
    ($(#[$meta:meta])* pub struct $name:ident = $text:literal { $($(#[$field_meta:meta])* pub $field:ident : $ty:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Debug)]
        pub struct $name { $($(#[$field_meta])* pub $field: $ty,)* }

        impl $name {
            /// The name in the text form.
            pub const NAME: &'static str = $text;

            /// The attributes, in declaration order.
            pub(crate) fn to_attrs(&self) -> Vec<(&'static str, $crate::ops::Attr)> {
                vec![$((stringify!($field), $crate::ops::AttrValue::to_attr(&self.$field)),)*]
            }

            /// Makes the op from attributes, taking those that it knows.
            ///
            /// # Errors
            /// Invalid where an attribute is missing or of the wrong kind.
            #[allow(unused_variables, reason = "an op may have no attributes")]
            pub(crate) fn from_attrs(attrs: &mut std::collections::BTreeMap<String, $crate::ops::Attr>) -> Result<Self, $crate::error::OpError> {
                Ok(Self { $($field: $crate::ops::attr::take(attrs, stringify!($field))?,)* })
            }
        }
    };
}

/// The two methods of `OpDef` that `op!` derives.
macro_rules! derived {
    () => {
        fn name(&self) -> &'static str {
            Self::NAME
        }
        fn attrs(&self) -> Vec<(&'static str, $crate::ops::Attr)> {
            self.to_attrs()
        }
    };
}

/// Declares an op that applies one scalar expression to each element of its operands, after NumPy's
/// broadcasting of their shapes.
///
/// `|e, x| ...` builds the expression in arena `e` from the operands' elements. All operands have one dtype of
/// the given classes, and so has the result, unless `-> bool` is given. Attributes stand in braces after the
/// name, each with the value that samples use; the expression sees them by reference.
macro_rules! elementwise {
    (
        $(#[$meta:meta])* $name:ident = $text:literal $({ $($(#[$field_meta:meta])* pub $field:ident : $ty:ty = $sample:expr,)* })?,
        $classes:ident $(-> $result:ident)?,
        |$e:ident, $($x:ident),+| $body:expr,
        tolerance: |$dtype:ident| $tolerance:expr,
        domain: $domain:expr $(,)?
    ) => {
        op! { $(#[$meta])* pub struct $name = $text { $($($(#[$field_meta])* pub $field: $ty,)*)? } }

        impl $crate::ops::OpDef for $name {
            derived!();
            fn arity(&self) -> $crate::ops::Arity {
                let n = [$(stringify!($x)),+].len();
                n..=n
            }
            #[allow(unused_mut, unused_variables, unused_assignments, reason = "most ops keep their operands' dtype")]
            fn dtypes(&self, args: &[$crate::dtype::DType]) -> Vec<$crate::dtype::DType> {
                let mut dtype = args[0];
                $(dtype = $crate::ops::sample::result_dtype(stringify!($result));)?
                vec![dtype]
            }
            fn infer(&self, args: &[$crate::ops::Arg<'_>]) -> Result<Vec<$crate::shape::TensorType>, $crate::error::OpError> {
                let types: Vec<&$crate::shape::TensorType> = args.iter().map(|arg| arg.ty).collect();
                $crate::ops::sample::one_dtype(self.name(), &types, $crate::ops::sample::Classes::$classes)?;
                let dims = $crate::shape::broadcast(&types)?;
                let dtypes: Vec<$crate::dtype::DType> = types.iter().map(|ty| ty.dtype).collect();
                Ok(vec![$crate::shape::TensorType::ranked(self.dtypes(&dtypes)[0], dims)])
            }
            fn body(&self, args: &[&$crate::shape::TensorType]) -> Result<$crate::ops::Body, $crate::error::OpError> {
                let dtypes: Vec<$crate::dtype::DType> = args.iter().map(|ty| ty.dtype).collect();
                $($(let $field = &self.$field;)*)?
                let nest = $crate::ops::sample::broadcast_nest(self.dtypes(&dtypes)[0], args, |$e, xs| {
                    let [$($x),+] = xs else { unreachable!("arity was checked") };
                    $(let $x = *$x;)+
                    $body
                })?;
                Ok($crate::ops::Body::Loops(vec![nest]))
            }
            fn elementwise(&self) -> bool {
                true
            }
            fn tolerance(&self, $dtype: $crate::dtype::DType) -> $crate::ops::Tolerance {
                $tolerance
            }
        }

        impl $name {
            pub(crate) fn samples() -> Vec<$crate::ops::Sample> {
                let n = [$(stringify!($x)),+].len();
                $crate::ops::sample::elementwise_samples($name { $($($field: $sample,)*)? }, n, $crate::ops::sample::Classes::$classes, $domain)
            }
        }
    };
}
