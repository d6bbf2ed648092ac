//! Other engines, each in a Python process of its own.
//!
//! In: an engine's name, a model, inputs. Out: a running engine: its outputs, and times when asked for. Must not know: how
//! they are compared.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use frit::{DType, Error, Session, Tensor};
use serde_json::Value;

use crate::args::Engine;
use crate::npy;

/// What the process runs.
const SCRIPT: &str = include_str!("engine.py");

/// Names the Python that runs engines.
const PYTHON: &str = "FRIT_PYTHON";

/// A folder for what goes to the process and comes from it.
struct Folder(PathBuf);

impl Folder {
    fn new(engine: &str) -> Result<Self, Error> {
        let path = std::env::temp_dir().join(format!("frit-bench-{}-{engine}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|error| Error::invalid(format!("can't make the folder '{}': {error}", path.display())).help("TMPDIR names another place"))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // It lies where such things are cleaned up.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An engine that has loaded a model. It ends when it is dropped.
pub(super) struct Running {
    name: &'static str,
    /// The package's version.
    version: String,
    /// What it made of the inputs.
    pub outputs: Vec<Tensor>,
    child: Child,
    ask: Option<ChildStdin>,
    answer: BufReader<ChildStdout>,
    folder: Folder,
}

impl Running {
    /// Starts an engine with a model and runs it once.
    ///
    /// # Errors
    /// Invalid where Python or the package is missing, or the engine does not take the model or the inputs.
    pub(super) fn start(engine: Engine, model: &Path, session: &Session, inputs: &[Tensor]) -> Result<Self, Error> {
        let name = engine.name();
        let folder = Folder::new(name)?;
        let [given, made, said] = ["inputs.npz", "outputs.npz", "said.txt"].map(|file| folder.0.join(file));
        let failed = |error: std::io::Error| Error::invalid(format!("can't write to '{}': {error}", folder.0.display()));
        let ports = session.inputs().iter().map(|port| port.name.as_str());
        std::fs::write(&given, npy::zip(ports.zip(inputs)).map_err(|error| Error::at(error, "", Vec::new()))?).map_err(failed)?;
        let python = std::env::var_os(PYTHON).filter(|python| !python.is_empty()).unwrap_or_else(|| "python3".into());
        let mut command = Command::new(&python);
        command.args(["-c", SCRIPT, name]).arg(model).arg(&given).arg(session.threads().to_string()).arg(&made);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(&said).map_err(failed)?);
        let mut child = command.spawn().map_err(|error| Error::invalid(format!("can't start '{}', the Python that runs {name}: {error}", python.display())).help(install(name)))?;
        let (ask, answer) = (child.stdin.take(), child.stdout.take());
        let answer = BufReader::new(answer.ok_or_else(|| Error::bug("a process without its output"))?);
        let mut running = Self { name, version: String::new(), outputs: Vec::new(), child, ask, answer, folder };
        let ready = running.answer()?;
        if let Some(missing) = ready["missing"].as_str() {
            return Err(Error::invalid(format!("{name} can't be timed: '{}' has no package {missing} ({})", python.display(), ready["why"].as_str().unwrap_or_default())).help(install(name)));
        }
        // What follows a dash says how it was built.
        running.version = ready["version"].as_str().and_then(|version| version.split('-').next()).unwrap_or_default().to_owned();
        let dtypes: Vec<DType> = session.outputs().iter().map(|port| port.dtype).collect();
        running.outputs = read(&made, &dtypes).map_err(|why| Error::invalid(format!("what {name} made can't be read: {why}")))?;
        Ok(running)
    }

    /// Its name and version.
    pub(super) fn title(&self) -> String {
        format!("{} {}", self.name, self.version)
    }

    /// Times runs: so many, or as many as fill the time.
    pub(super) fn time(&mut self, runs: Option<usize>, enough: Duration) -> Result<Vec<f64>, Error> {
        let runs = runs.map_or_else(|| "-".to_owned(), |runs| runs.to_string());
        let asked = self.ask.as_mut().map(|ask| writeln!(ask, "{runs} {}", enough.as_secs_f64()).and_then(|()| ask.flush()));
        if !matches!(asked, Some(Ok(()))) {
            return Err(self.ended());
        }
        let times: Vec<f64> = self.answer()?.as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
        if times.is_empty() { Err(self.ended()) } else { Ok(times) }
    }

    fn answer(&mut self) -> Result<Value, Error> {
        let mut line = String::new();
        match self.answer.read_line(&mut line) {
            Ok(1..) => serde_json::from_str(&line).map_err(|_| self.ended()),
            _ => Err(self.ended()),
        }
    }

    /// What it said before it ended.
    fn ended(&self) -> Error {
        let said = std::fs::read_to_string(self.folder.0.join("said.txt")).unwrap_or_default();
        let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
        Error::invalid(format!("{} does not run the model: {}", self.name, last.trim())).help("leave it out of --against")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It ends when there is nobody to ask it, but not in the middle of a run.
        self.ask = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn install(name: &str) -> String {
    format!("`python3 -m pip install numpy {name}` installs it; {PYTHON}=PATH names the Python to use")
}

/// The arrays of a file that `numpy.savez` wrote, in the order in which they were given.
fn read(path: &Path, dtypes: &[DType]) -> Result<Vec<Tensor>, String> {
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    let arrays = npy::unzip(&bytes).map_err(|error| error.message)?;
    if arrays.len() != dtypes.len() {
        return Err(format!("{} outputs instead of {}", arrays.len(), dtypes.len()));
    }
    arrays.iter().zip(dtypes).map(|((_, array), dtype)| npy::read(array, Some(*dtype)).map_err(|error| error.message)).collect()
}
