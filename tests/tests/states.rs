//! States: what a run leaves to the next one.

use frit::{Builder, DType, Graph, Options, RunOptions, Session, Tensor, TensorType, artifact};
use frit_ir::ops::{add::Add, mul::Mul};
use frit_ir::{eval, text};

fn floats(values: &[f32]) -> Tensor {
    Tensor::from_slice(&[values.len() as i64], values)
}

/// `y = (x + total) * x`, where `total` is the sum of all `x` so far; the state is made before the input, and one more never changes.
fn running() -> Graph {
    let mut builder = Builder::new("running");
    let total = builder.state("total", floats(&[0.5, -1.0]));
    let x = builder.input("x", TensorType::known(DType::F32, &[2]));
    let fixed = builder.state("fixed", floats(&[3.0]));
    let next = builder.apply(Add {}, &[x, total]).unwrap();
    let y = builder.apply(Mul {}, &[next, x]).unwrap();
    let y = builder.apply(Mul {}, &[y, fixed]).unwrap();
    builder.output("y", y);
    builder.update(total, next).unwrap();
    builder.finish()
}

fn session(graph: &Graph) -> Session {
    Session::new(frit::compile(graph, &Options::default()).unwrap(), &RunOptions::default()).unwrap()
}

#[test]
fn states_are_the_last_ends() {
    let graph = running();
    assert_eq!(graph.inputs().iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["x", "total", "fixed"]);
    assert_eq!(graph.outputs().iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["y", "total", "fixed"]);
    frit_ir::verify::verify(&graph).unwrap();
    let written = text::print(&graph);
    assert_eq!(text::parse(&written).unwrap(), graph, "{written}");
    let x = floats(&[1.0, 2.0]);
    let given: Vec<&Tensor> = [&x].into_iter().chain(graph.states()).collect();
    assert_eq!(eval::run(&graph, &given).unwrap()[0].as_slice::<f32>(), [4.5, 6.0]);
}

#[test]
fn a_stream_carries_them_and_a_run_does_not() {
    let session = session(&running());
    let x = [floats(&[1.0, 2.0])];
    let first = session.run(&x).unwrap();
    assert_eq!(first[0].as_slice::<f32>(), [4.5, 6.0]);
    assert_eq!(session.run(&x).unwrap(), first, "a run begins anew");
    let (mut one, mut other) = (session.stream(), session.stream());
    assert_eq!(one.run(&x).unwrap(), first[..1]);
    assert_eq!(one.run(&x).unwrap()[0].as_slice::<f32>(), [7.5, 18.0]);
    assert_eq!(other.run(&x).unwrap(), first[..1], "streams have states of their own");
    assert!(one.run(&[floats(&[1.0])]).is_err());
    assert_eq!(one.states()[0].as_slice::<f32>(), [2.5, 3.0], "a run that fails leaves them");
    one.reset();
    assert_eq!(one.run(&x).unwrap(), first[..1]);
    let given = session.run(&[floats(&[1.0, 2.0]), floats(&[0.0, 0.0]), floats(&[1.0])]).unwrap();
    assert_eq!(given[0].as_slice::<f32>(), [1.0, 4.0]);
    assert_eq!(session.run_named([("x", floats(&[1.0, 2.0]))]).unwrap()[0].1, first[0]);
    assert!(session.run(&[]).unwrap_err().message.contains("3 inputs (2 of them states, which may be left out), not 0"));
}

#[test]
fn an_artifact_keeps_them() {
    let executable = frit::compile(&running(), &Options::default()).unwrap();
    let path = std::env::temp_dir().join(format!("frit-states-{}.frit", std::process::id()));
    artifact::write(&executable, &path).unwrap();
    let loaded = Session::load(&path, &RunOptions::default());
    std::fs::remove_file(&path).unwrap();
    let loaded = loaded.unwrap();
    let mut stream = loaded.stream();
    let x = [floats(&[1.0, 2.0])];
    assert_eq!(stream.run(&x).unwrap()[0].as_slice::<f32>(), [4.5, 6.0]);
    assert_eq!(stream.run(&x).unwrap()[0].as_slice::<f32>(), [7.5, 18.0]);
}

#[test]
fn wrong_updates_are_errors() {
    let mut builder = Builder::new("wrong");
    let x = builder.input("x", TensorType::known(DType::F32, &[2]));
    let state = builder.state("s", floats(&[0.0]));
    assert!(builder.update(x, x).is_err());
    assert!(builder.update(state, x).is_err());
    let text = "graph \"g\" { input \"x\" %0: f32[1] state f32[1] [0.0] }";
    assert!(text::parse(text).is_err());
}
