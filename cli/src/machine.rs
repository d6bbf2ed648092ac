//! `frit machine`, and what `--machine` names.

use std::path::Path;

use frit::Error;
use frit::machine::{Machine, measured};
use serde_json::{Map, Value, json};

use crate::args;
use crate::tell;

/// What stands for the table that is the same everywhere.
pub(crate) const DEFAULT: &str = "default";

/// What each number of a table is, by its name.
const MEANINGS: [(&str, &str); 12] = [
    ("contraction", "products and sums in register tiles, per ns and core"),
    ("dot", "such of 8-bit integers, per ns and core"),
    ("elementwise", "additions of single elements, per ns and core"),
    ("l1-bytes", "first cache"),
    ("l1-bandwidth", "bytes per ns from it"),
    ("l2-bytes", "second cache"),
    ("l2-bandwidth", "bytes per ns from it"),
    ("l3-bytes", "third cache"),
    ("l3-bandwidth", "bytes per ns from it"),
    ("memory-bandwidth", "bytes per ns from memory"),
    ("launch", "ns to launch a kernel"),
    ("threads", "threads that share the work"),
];

/// The machine that `--machine` names.
pub(crate) fn named(name: &str) -> Result<Machine, Error> {
    match name {
        DEFAULT => Ok(Machine::DEFAULT),
        "measured" => Ok(tell::busy("measuring the machine", || measured(false))?.0),
        file => {
            let unreadable = |error: std::io::Error| Error::invalid(format!("can't read '{file}': {error}")).help("--machine takes `default`, `measured`, or a table that `frit machine` printed");
            std::fs::read_to_string(Path::new(file)).map_err(unreadable)?.parse()
        }
    }
}

/// Shows the machine.
pub(crate) fn machine(args: &args::Machine) -> Result<(), Vec<Error>> {
    let (machine, kept) = tell::busy("measuring the machine", || measured(args.again)).map_err(|error| vec![error])?;
    let (here, usual) = (machine.numbers(), Machine::DEFAULT.numbers());
    let of = |numbers: &[(&str, f64)], name: &str| numbers.iter().find(|(known, _)| *known == name).map_or(f64::NAN, |(_, number)| *number);
    let kept = kept.map(|path| path.display().to_string());
    if args.json {
        let table = |numbers: &[(&str, f64)]| Value::Object(numbers.iter().map(|(name, number)| ((*name).to_owned(), json!(number))).collect::<Map<_, _>>());
        tell::print(&format!("{:#}", json!({ "measured": table(&here), "default": table(&usual), "kept": kept })));
        return Ok(());
    }
    let short = |number: f64| if number >= 100.0 { format!("{number:.0}") } else { format!("{number:.1}") };
    let rows = MEANINGS.iter().map(|(name, meaning)| vec![(*name).to_owned(), short(of(&here, name)), short(of(&usual, name)), (*meaning).to_owned()]);
    tell::print(&tell::table(&["number", "measured", "default", "what it is"], rows));
    match kept {
        Some(path) => tell::line(&format!("kept in {path}; `--machine measured` uses it")),
        None => tell::line("not kept: FRIT_CACHE, XDG_CACHE_HOME and HOME name no folder"),
    }
    Ok(())
}
