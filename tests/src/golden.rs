//! Golden files: one case per file, a header that says what is done and the text that must come out.
//!
//! In: a folder of files. Out: cases, and the differences to what came out. With `BLESS=1` in the environment the
//! files are rewritten instead, unless `CI` is set. Must not know: what the cases do.
//!
//! ```text
//! model samples/onnx/convnet.onnx
//! dim batch=2
//! ---
//! the expected text
//! ```

use std::path::{Path, PathBuf};

/// A file's words before the line, each line as its first word and the rest.
pub type Header = Vec<(String, String)>;

/// One case.
#[derive(Clone, Debug)]
pub struct Golden {
    /// Where it lies.
    pub path: PathBuf,
    /// What is done.
    pub header: Header,
    /// What must come out.
    pub expected: String,
}

const LINE: &str = "---\n";

/// The tests' own folder: samples and golden files lie in it.
pub fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Are expectations rewritten?
///
/// # Panics
/// Where both `BLESS` and `CI` are set.
pub fn blessing() -> bool {
    let bless = std::env::var("BLESS").is_ok_and(|value| value == "1");
    assert!(!bless || std::env::var_os("CI").is_none_or(|value| value.is_empty() || value == "false"), "golden files are not rewritten in CI");
    bless
}

/// The cases of a folder below `golden`, by name.
///
/// # Errors
/// Where there are none, or a file can't be read, is not a `.txt`, or has no header.
pub fn cases(folder: &str) -> Result<Vec<Golden>, String> {
    let root = home().join("golden").join(folder);
    let entries = std::fs::read_dir(&root).map_err(|error| format!("{}: {error}", root.display()))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    paths.sort();
    if paths.is_empty() {
        return Err(format!("{} is empty", root.display()));
    }
    paths.into_iter().map(read).collect()
}

fn read(path: PathBuf) -> Result<Golden, String> {
    if path.extension().is_none_or(|extension| extension != "txt") {
        return Err(format!("{} is not a golden file", path.display()));
    }
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let (header, expected) = match (text.strip_prefix(LINE), text.split_once(&format!("\n{LINE}"))) {
        (Some(expected), _) => ("", expected),
        (None, Some(parts)) => parts,
        (None, None) if blessing() => (text.trim_end(), ""),
        (None, None) => return Err(format!("{} has no line '---' between header and expectation", path.display())),
    };
    let split = |line: &str| line.split_once(' ').map_or((line.to_owned(), String::new()), |(word, rest)| (word.to_owned(), rest.trim().to_owned()));
    Ok(Golden { header: header.lines().map(split).collect(), expected: expected.to_owned(), path })
}

impl Golden {
    /// Compares what came out with what must, or rewrites the file.
    ///
    /// # Errors
    /// Where they differ, or nothing is expected.
    pub fn check(&self, actual: &str) -> Result<(), String> {
        if actual.trim().is_empty() {
            return Err("nothing came out".into());
        }
        if blessing() {
            let header: String = self.header.iter().map(|(word, rest)| format!("{word} {rest}").trim_end().to_owned() + "\n").collect();
            return std::fs::write(&self.path, format!("{header}{LINE}{}\n", actual.trim_end())).map_err(|error| error.to_string());
        }
        if self.expected.trim().is_empty() {
            return Err("the expectation is empty; run with BLESS=1 and look at what comes out".into());
        }
        let (mut expected, mut got) = (self.expected.trim_end().lines(), actual.trim_end().lines());
        for line in 1.. {
            match (expected.next(), got.next()) {
                (None, None) => return Ok(()),
                (a, b) if a == b => {}
                (a, b) => return Err(format!("line {line} after the header\n  expected: {}\n  got:      {}", a.unwrap_or("(the end)"), b.unwrap_or("(the end)"))),
            }
        }
        Ok(())
    }
}

/// Fails with all complaints, if there are any.
///
/// # Panics
/// If there are any.
pub fn report(failures: &[String]) {
    assert!(failures.is_empty(), "{} fail:\n{}\nrun with BLESS=1 to accept what came out", failures.len(), failures.join("\n"));
}
