//! The `frit` command: runs, compiles, times, shows and verifies models.
//!
//! In: arguments. Out: tables, files and an exit status: 0 done, 1 the model or the input is at fault, 2 usage, 3 a bug of
//! Frit's. The only place with pretty errors and progress bars. Must not know: how any of it is done.

mod args;
mod bench;
mod draw;
mod explain;
mod inspect;
mod machine;
mod memory;
mod model;
mod npy;
mod run;
mod tell;
mod verify;

use std::process::ExitCode;

use clap::Parser;
use frit::{Error, Kind};

use args::{Args, Command};

fn main() -> ExitCode {
    let args = Args::parse();
    tell::start();
    let done = std::panic::catch_unwind(|| match &args.command {
        Command::Run(args) => run::run(args),
        Command::Compile(args) => run::compile(args),
        Command::Bench(args) => bench::bench(args),
        Command::Inspect(args) => inspect::inspect(args),
        Command::Verify(args) => verify::verify(args),
        Command::Explain(args) => explain::explain(args),
        Command::Machine(args) => machine::machine(args),
    });
    match done {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(errors)) => {
            tell::errors(&errors);
            ExitCode::from(status(&errors))
        }
        Err(_) => {
            tell::errors(&[tell::panicked()]);
            ExitCode::from(3)
        }
    }
}

/// The exit status of errors: a bug if one is.
fn status(errors: &[Error]) -> u8 {
    if errors.iter().any(|error| matches!(error.kind, Kind::Bug | Kind::Unknown)) { 3 } else { 1 }
}

#[cfg(test)]
mod tests {
    use frit::Error;

    use super::status;

    #[test]
    fn a_bug_outweighs_a_fault_of_the_model() {
        assert_eq!(status(&[Error::invalid("a"), Error::unsupported("b")]), 1);
        assert_eq!(status(&[Error::invalid("a"), Error::bug("b")]), 3);
    }
}
