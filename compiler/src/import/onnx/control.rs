//! Control flow.

use frit_ir::ops::if_::If;
use frit_ir::{OpError, ValueId};

use super::{Handler, Node};

type Values = Result<Vec<ValueId>, OpError>;

pub(super) const OPS: &[(&str, Handler)] = &[("If", if_)];

fn if_(n: &mut Node<'_, '_>) -> Values {
    let (graphs, captures) = n.subgraphs(&["then_branch", "else_branch"])?;
    let [then_branch, else_branch]: [_; 2] = graphs.try_into().map_err(|_| OpError::bug("two graphs were asked for"))?;
    let mut inputs = vec![n.input(0)?];
    inputs.extend(captures);
    n.builder.apply_all(If { then_branch, else_branch }, &inputs)
}
