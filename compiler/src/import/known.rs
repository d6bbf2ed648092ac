//! What becomes of the ops of a source format.
//!
//! In: the tables of an importer. Out: what documents list, and the complaint about an op that no table has. Must not know: single formats.

use frit_ir::OpError;

/// What people meet and is not supported: its name, where `*` stands for the rest of one, why, and what to do instead.
pub type Refused = (&'static str, &'static str, &'static str);

/// What becomes of ops of one kind.
pub struct Family {
    /// What they are, as `Layers`.
    pub kind: &'static str,
    /// Those that usually are one op here, or none, sorted. What only brings operands in order is not counted.
    pub own: Vec<&'static str>,
    /// Those that usually are made of several, sorted.
    pub expanded: Vec<&'static str>,
}

impl Family {
    /// Sorts the names.
    pub(crate) fn new(kind: &'static str, own: impl IntoIterator<Item = &'static str>, expanded: impl IntoIterator<Item = &'static str>) -> Self {
        let sorted = |names: Vec<&'static str>| {
            let mut names = names;
            names.sort_unstable();
            names
        };
        Self { kind, own: sorted(own.into_iter().collect()), expanded: sorted(expanded.into_iter().collect()) }
    }
}

/// What becomes of the ops of a format.
pub struct Known {
    /// What is imported.
    pub families: Vec<Family>,
    /// Some of what is not: what it is, as `op`, and why.
    pub refused: Vec<(&'static str, Refused)>,
}

impl Known {
    /// With tables of what is refused.
    pub(crate) fn new(families: Vec<Family>, refused: &[(&'static str, &[Refused])]) -> Self {
        Self { families, refused: refused.iter().flat_map(|(what, table)| table.iter().map(|row| (*what, *row))).collect() }
    }
}

/// The complaint about `what`, an op or the like of a name: why it is refused and what to do instead, or `otherwise`.
pub(crate) fn unsupported<'a>(what: &str, name: &str, refused: impl IntoIterator<Item = &'a Refused>, otherwise: &str) -> OpError {
    match refused.into_iter().find(|(listed, ..)| is_named(name, listed)) {
        Some((_, why, instead)) => OpError::unsupported(format!("{what} '{name}' is not supported: {why}")).help(*instead),
        None => OpError::unsupported(format!("{what} '{name}' is not supported")).help(otherwise),
    }
}

/// Is a name what a table says, where `*` stands for the rest of a name?
fn is_named(name: &str, listed: &str) -> bool {
    listed.strip_suffix('*').map_or(listed == name, |start| name.starts_with(start))
}
