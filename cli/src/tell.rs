//! What the user sees: errors, warnings, progress, tables, JSON.
//!
//! In: errors and rows. Out: text on the terminal; results on standard output, everything else on standard error. Must not
//! know: models.

use std::fmt;
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};
use frit::Error;
use indicatif::ProgressBar;
use miette::Diagnostic;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::fmt::time::uptime;

/// More errors than this are counted, not shown.
const MOST_ERRORS: usize = 20;

/// Columns of what is not written to a terminal.
const COLUMNS: u16 = 100;

/// What is logged by `FRIT_LOG` is Frit's own, unless another crate is named there after these.
const QUIET: &str = "egg=warn,cranelift_codegen=warn,cranelift_frontend=warn,regalloc2=warn";

/// What the first panic was.
static PANIC: Mutex<Option<Error>> = Mutex::new(None);

/// Sets up logging (`FRIT_LOG`) and what is kept of a panic.
pub(crate) fn start() {
    if let Some(filter) = std::env::var("FRIT_LOG").ok().filter(|filter| !filter.is_empty()) {
        let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let log = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(format!("{QUIET},{filter}"))).with_writer(std::io::stderr).with_ansi(colours);
        log.with_timer(uptime()).with_span_events(FmtSpan::CLOSE).init();
    }
    std::panic::set_hook(Box::new(|panic| {
        let what = panic.payload_as_str().unwrap_or("no message");
        let place = panic.location().map(|at| format!(" ({}:{})", at.file(), at.line())).unwrap_or_default();
        let error = Error::bug(format!("{what}{place}")).help("please report it with the model, or with what `frit inspect` says of it");
        PANIC.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }));
}

/// The bug that made a thread panic.
pub(crate) fn panicked() -> Error {
    PANIC.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_else(|| Error::bug("a thread panicked"))
}

struct Told<'e>(&'e Error);

impl fmt::Debug for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, f)
    }
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if !self.0.node.is_empty() {
            write!(f, "\nin {}", self.0.node)?;
        }
        if !self.0.inputs.is_empty() {
            write!(f, "\nwith inputs {}", self.0.inputs.join(", "))?;
        }
        Ok(())
    }
}

impl std::error::Error for Told<'_> {}

impl Diagnostic for Told<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.0.kind.code()))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.0.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }
}

/// Shows errors.
pub(crate) fn errors(errors: &[Error]) {
    let columns = Table::new().use_stderr().width().unwrap_or(COLUMNS).min(COLUMNS);
    let handler = miette::MietteHandlerOpts::new().break_words(false).width(columns.into()).build();
    for error in errors.iter().take(MOST_ERRORS) {
        line(&Shown(&handler, &Told(error)).to_string());
    }
    if let Some(more) = errors.len().checked_sub(MOST_ERRORS).filter(|more| *more > 0) {
        line(&format!("and {more} more"));
    }
}

/// A diagnostic as a handler renders it.
struct Shown<'h>(&'h miette::MietteHandler, &'h Told<'h>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        miette::ReportHandler::debug(self.0, self.1, f)
    }
}

/// Says something beside the results.
pub(crate) fn line(text: &str) {
    // A closed terminal leaves nobody to tell.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Prints a result.
pub(crate) fn print(text: &str) {
    // The reader may have seen enough (`| head`).
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end_matches('\n'));
}

/// Does something that may take long; after a second it shows on a terminal that it goes on.
pub(crate) fn busy<T>(what: &'static str, work: impl FnOnce() -> T) -> T {
    if !std::io::stderr().is_terminal() {
        return work();
    }
    std::thread::scope(|scope| {
        let (done, waiting) = mpsc::channel::<()>();
        scope.spawn(move || {
            if waiting.recv_timeout(Duration::from_secs(1)) == Err(mpsc::RecvTimeoutError::Timeout) {
                let bar = ProgressBar::new_spinner().with_message(what);
                bar.enable_steady_tick(Duration::from_millis(100));
                // Nothing is ever sent: it ends when the other end is dropped.
                let _ = waiting.recv();
                bar.finish_and_clear();
            }
        });
        let result = work();
        drop(done);
        result
    })
}

/// A table; columns whose heading begins with `>` are aligned to the right.
pub(crate) fn table(headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let terminal = std::io::stdout().is_terminal();
    let line = if terminal { '─' } else { '-' };
    let style = TableStyle::new().header_separator(LineStyle::none().fill(line).junction(line));
    let mut table = Table::new();
    table.load_style(style).set_content_arrangement(ContentArrangement::Dynamic);
    if !terminal {
        table.set_width(COLUMNS);
    }
    table.set_header(headings.iter().map(|heading| heading.trim_start_matches('>')));
    for row in rows {
        table.add_row(row);
    }
    for (at, heading) in headings.iter().enumerate() {
        if let Some(column) = table.column_mut(at) {
            column.set_padding((0, 1));
            if heading.starts_with('>') {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    table.to_string().lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// Bytes with a unit.
pub(crate) fn bytes(n: u64) -> String {
    match n {
        0..1_000 => format!("{n} B"),
        1_000..1_000_000 => format!("{:.1} kB", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", n as f64 / 1e6),
        _ => format!("{:.2} GB", n as f64 / 1e9),
    }
}

/// A number of things with a unit.
pub(crate) fn count(n: u64) -> String {
    match n {
        0..10_000 => n.to_string(),
        10_000..1_000_000 => format!("{:.1} k", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2} M", n as f64 / 1e6),
        _ => format!("{:.2} G", n as f64 / 1e9),
    }
}

/// The first of some names and how many more there are, in few characters: of a long name the end is shown.
pub(crate) fn brief(names: &[String]) -> String {
    const MOST: usize = 20;
    let Some(first) = names.first() else { return String::new() };
    let skipped = first.chars().count().saturating_sub(MOST);
    let first = if skipped > 2 { format!("..{}", first.chars().skip(skipped + 2).collect::<String>()) } else { first.clone() };
    if names.len() > 1 { format!("{first} +{}", names.len() - 1) } else { first }
}

/// Names in one cell.
pub(crate) fn names(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first, .., last] => format!("{first} .. {last} ({})", names.len()),
    }
}
