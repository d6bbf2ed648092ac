//! Element types.
//!
//! In: nothing. Out: [`DType`] and its properties. Must not know: tensors, graphs, devices.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! dtypes {
    ($($variant:ident, $name:literal, $bytes:literal, $class:ident, $doc:literal;)*) => {
        /// The type of a tensor's elements.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
        pub enum DType { $(#[doc = $doc] $variant,)* }

        impl DType {
            /// Every element type, in declaration order.
            pub const ALL: &[DType] = &[$(DType::$variant),*];

            /// The name in Frit's text form and messages.
            pub const fn name(self) -> &'static str {
                match self { $(DType::$variant => $name,)* }
            }

            /// Bytes that one element takes in a Frit buffer. Types narrower than a byte are held
            /// one to a byte; strings take none.
            pub const fn size(self) -> usize {
                match self { $(DType::$variant => $bytes,)* }
            }

            /// What kind of number this is.
            pub const fn class(self) -> Class {
                match self { $(DType::$variant => Class::$class,)* }
            }
        }

        impl FromStr for DType {
            type Err = ();
            fn from_str(text: &str) -> Result<Self, ()> {
                match text { $($name => Ok(DType::$variant),)* _ => Err(()) }
            }
        }
    };
}

dtypes! {
    F32, "f32", 4, Float, "IEEE 754 binary32";
    F64, "f64", 8, Float, "IEEE 754 binary64";
    F16, "f16", 2, Float, "IEEE 754 binary16";
    BF16, "bf16", 2, Float, "bfloat16: binary32 with a 7-bit fraction";
    I8, "i8", 1, Signed, "8-bit two's complement";
    I16, "i16", 2, Signed, "16-bit two's complement";
    I32, "i32", 4, Signed, "32-bit two's complement";
    I64, "i64", 8, Signed, "64-bit two's complement";
    U8, "u8", 1, Unsigned, "8-bit unsigned";
    U16, "u16", 2, Unsigned, "16-bit unsigned";
    U32, "u32", 4, Unsigned, "32-bit unsigned";
    U64, "u64", 8, Unsigned, "64-bit unsigned";
    Bool, "bool", 1, Bool, "0 or 1 in a byte";
    F8E4M3FN, "f8e4m3fn", 1, Float, "8-bit float, 4 exponent bits, no infinities";
    F8E4M3FNUZ, "f8e4m3fnuz", 1, Float, "8-bit float, 4 exponent bits, no infinities, no negative zero";
    F8E5M2, "f8e5m2", 1, Float, "8-bit float, 5 exponent bits";
    F8E5M2FNUZ, "f8e5m2fnuz", 1, Float, "8-bit float, 5 exponent bits, no infinities, no negative zero";
    F8E8M0, "f8e8m0", 1, Float, "8-bit power of two";
    F4E2M1, "f4e2m1", 1, Float, "4-bit float";
    I4, "i4", 1, Signed, "4-bit two's complement, one to a byte";
    U4, "u4", 1, Unsigned, "4-bit unsigned, one to a byte";
    I2, "i2", 1, Signed, "2-bit two's complement, one to a byte";
    U2, "u2", 1, Unsigned, "2-bit unsigned, one to a byte";
    Str, "str", 0, Text, "UTF-8 text";
}

/// What kind of number a [`DType`] holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Class {
    /// Floating point.
    Float,
    /// Two's complement integer.
    Signed,
    /// Unsigned integer.
    Unsigned,
    /// Truth value.
    Bool,
    /// Text.
    Text,
}

impl DType {
    /// Is this a floating-point type?
    pub const fn is_float(self) -> bool {
        matches!(self.class(), Class::Float)
    }

    /// Is this an integer type (bool is not)?
    pub const fn is_int(self) -> bool {
        matches!(self.class(), Class::Signed | Class::Unsigned)
    }

    /// Significant bits of an integer type, 1 for bool; `None` for floats and text.
    pub const fn int_bits(self) -> Option<u32> {
        match self {
            DType::I2 | DType::U2 => Some(2),
            DType::I4 | DType::U4 => Some(4),
            DType::Bool => Some(1),
            _ if self.is_int() => Some(self.size() as u32 * 8),
            _ => None,
        }
    }

    /// Smallest and largest value of an integer type.
    pub const fn int_range(self) -> Option<(i128, i128)> {
        match (self.class(), self.int_bits()) {
            (Class::Signed, Some(bits)) => Some((-(1 << (bits - 1)), (1 << (bits - 1)) - 1)),
            (Class::Unsigned | Class::Bool, Some(bits)) => Some((0, (1 << bits) - 1)),
            _ => None,
        }
    }

    /// The type that sums of this type are accumulated in: f32 for the narrow floats, the type
    /// itself otherwise.
    pub const fn accumulator(self) -> DType {
        match self {
            DType::F64 => DType::F64,
            _ if self.is_float() => DType::F32,
            _ => self,
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
