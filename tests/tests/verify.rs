//! A wrong rule is found: the difference is seen, and bisection names the rule and the source nodes.

use frit::verify::{Culprit, compare, locate, part};
use frit::{Options, Precision, RunOptions, Session, compile};
use frit_compiler::rewrite::{self, Class, Rule};
use frit_ir::model::Model;
use frit_ir::{DType, Graph, Tensor, eval};

/// Wrong, and cheaper.
const PLANTED: Rule = Rule { name: "planted", class: Class::Exact, left: "sub(?a, ?b)", right: "neg(?a)", when: "same_type(?a, ?@)", why: "It is not right." };

/// The line that the difference stands in.
const DIFFERENCE: u32 = 20;

fn graph() -> Graph {
    let m = Model::new("small");
    let x = m.input("x", DType::F32, &[4.into(), 8.into()]).expect("an input");
    let w = m.constant(Tensor::from_slice(&[8, 8], &(0..64).map(|k| (k % 7) as f32 / 7.0).collect::<Vec<_>>()));
    // The source nodes are named after this line.
    let y = ((x.matmul(&w).expect("a product") - 1.5).expect("a difference").tanh().expect("tanh") * 3.0).expect("a product");
    m.output("y", &y).expect("an output");
    m.finish()
}

fn options() -> Options {
    Options { rewrite: rewrite::Options { extra: vec![&PLANTED], ..rewrite::Options::default() }, ..Options::default() }
}

#[test]
fn a_planted_rule_is_named() {
    let graph = graph();
    let inputs = [Tensor::from_slice(&[4, 8], &(0..32).map(|k| (k as f32).sin()).collect::<Vec<_>>())];
    let executable = compile(&graph, &options()).expect("it compiles");
    let got = Session::new(executable, &RunOptions::default()).expect("a session").run(&inputs).expect("results");
    let expected = eval::run(&graph, &inputs.iter().collect::<Vec<_>>()).expect("results");
    assert!(!compare(&graph, &got, &expected, part(Precision::F32))[0].fits);
    match locate(&graph, &options(), &inputs).expect("a culprit") {
        Culprit::Rule(rule, sources) => {
            assert_eq!(rule.name, "planted");
            // The difference, and what other rules joined with it.
            let here = format!("{}:{DIFFERENCE}:", file!());
            assert!(!sources.is_empty() && sources.iter().all(|source| source.starts_with(&here)), "{sources:?} in {here}");
        }
        other => panic!("{other:?} was blamed"),
    }
}

#[test]
fn without_it_all_is_well() {
    let graph = graph();
    let inputs = [Tensor::from_slice(&[4, 8], &[0.25f32; 32])];
    assert!(matches!(locate(&graph, &Options::default(), &inputs), Ok(Culprit::Kernels)));
}
