//! The rules, by what they are about. One table a file.
//!
//! A row is `class "name": "left" => "right", if "condition", "why";`. The language of its texts is that of
//! [`pattern`](super::pattern); functions stand in [`functions`](super::functions).

use super::rule::{Class, Rule};

/// Declares a table.
macro_rules! rules {
    ($(#![doc = $doc:literal])* $($class:ident $name:literal: $left:literal => $right:literal, $(if $when:literal,)? $why:literal;)*) => {
        /// The table.
        pub(super) const RULES: &[Rule] = &[$(Rule {
            name: $name,
            class: rules!(@class $class),
            left: $left,
            right: $right,
            when: concat!($($when)?),
            why: $why,
        },)*];
    };
    (@class exact) => { Class::Exact };
    (@class reassociating) => { Class::Reassociating };
    (@class blocked) => { Class::Blocked };
    (@class finite) => { Class::Finite };
}

mod activation;
mod algebra;
mod attention;
mod contraction;
mod movement;
mod normalisation;
mod quantise;
mod reduce;

/// Every table, by name.
pub(super) const TABLES: &[(&str, &[Rule])] = &[
    ("algebra", algebra::RULES),
    ("contraction", contraction::RULES),
    ("movement", movement::RULES),
    ("quantise", quantise::RULES),
    ("reduce", reduce::RULES),
    ("normalisation", normalisation::RULES),
    ("activation", activation::RULES),
    ("attention", attention::RULES),
];
