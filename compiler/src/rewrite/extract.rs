//! Choosing terms out of an e-graph: the cheapest program, in which what is shared counts once.
//!
//! In: a saturated e-graph, the classes that are wanted, and the cost of each term. Out: one term for each class that is
//! needed. Must not know: ops, rules.
//!
//! First greedily: each class keeps the set of classes that its best term needs, with their costs, and takes the term whose
//! set is cheapest. Then by local improvement: a class is given another term if that makes the whole cheaper, and so are
//! several at once where their other terms share a class that nothing needs yet (a merged product pays only if all use it).

use std::collections::{BTreeMap, BTreeSet};

use egg::{Analysis, EGraph, Id, Language};

/// Rounds of local improvement.
const MAX_ROUNDS: usize = 4;

/// One term for each class, by its number in the class.
pub(super) type Choice = BTreeMap<Id, usize>;

/// What is known of a class while choosing: its best term, and what that needs.
#[derive(Clone)]
struct Best {
    term: usize,
    /// Each class that is needed, itself included, with the cost of its term.
    needs: BTreeMap<Id, f64>,
    total: f64,
}

/// Chooses terms for `roots` and all that they need.
///
/// Costs must be positive or zero, and not NaN. None where a root has no term of finite cost without a cycle.
pub(super) fn extract<L: Language, N: Analysis<L>>(graph: &EGraph<L, N>, roots: &[Id], cost: &dyn Fn(Id, &L) -> f64) -> Option<Choice> {
    let mut classes: Vec<Id> = graph.classes().map(|class| class.id).collect();
    classes.sort_unstable();
    let costs: BTreeMap<Id, Vec<f64>> = classes.iter().map(|id| (*id, graph[*id].nodes.iter().map(|term| cost(*id, term)).collect())).collect();
    let chooser = Chooser { graph, costs };
    let mut choice: Choice = chooser.greedy(&classes);
    let mut total = chooser.price(roots, &choice)?;
    for _ in 0..MAX_ROUNDS {
        let mut improved = false;
        for id in reached(graph, roots, &choice)? {
            for other in 0..graph[id].nodes.len() {
                let current = choice[&id];
                if other == current || !chooser.costs[&id][other].is_finite() {
                    continue;
                }
                choice.insert(id, other);
                match chooser.price(roots, &choice) {
                    Some(cheaper) if cheaper < total - 1e-9 => {
                        total = cheaper;
                        improved = true;
                    }
                    _ => {
                        choice.insert(id, current);
                    }
                }
            }
        }
        for moves in chooser.sharing(&reached(graph, roots, &choice)?) {
            let before: Vec<(Id, usize)> = moves.iter().map(|(id, _)| (*id, choice[id])).collect();
            choice.extend(moves);
            match chooser.price(roots, &choice) {
                Some(cheaper) if cheaper < total - 1e-9 => {
                    total = cheaper;
                    improved = true;
                }
                _ => choice.extend(before),
            }
        }
        if !improved {
            break;
        }
    }
    let needed = reached(graph, roots, &choice)?;
    choice.retain(|id, _| needed.contains(id));
    Some(choice)
}

struct Chooser<'g, L: Language, N: Analysis<L>> {
    graph: &'g EGraph<L, N>,
    costs: BTreeMap<Id, Vec<f64>>,
}

impl<L: Language, N: Analysis<L>> Chooser<'_, L, N> {
    fn greedy(&self, classes: &[Id]) -> Choice {
        let mut best: BTreeMap<Id, Best> = BTreeMap::new();
        let mut changed = true;
        while changed {
            changed = false;
            for id in classes {
                for (at, term) in self.graph[*id].nodes.iter().enumerate() {
                    let limit = best.get(id).map_or(f64::INFINITY, |known| known.total - 1e-9);
                    if let Some(candidate) = self.candidate(*id, at, term, &best, limit) {
                        best.insert(*id, candidate);
                        changed = true;
                    }
                }
            }
        }
        best.into_iter().map(|(id, best)| (id, best.term)).collect()
    }

    /// What a class needs with a term, if that costs less than `limit`.
    fn candidate(&self, id: Id, at: usize, term: &L, best: &BTreeMap<Id, Best>, limit: f64) -> Option<Best> {
        let own = self.costs[&id][at];
        if !own.is_finite() || own >= limit {
            return None;
        }
        let mut needs = BTreeMap::from([(id, own)]);
        for child in term.children() {
            let theirs = &best.get(&self.graph.find(*child))?.needs;
            if theirs.contains_key(&id) {
                return None;
            }
            needs.extend(theirs.iter().map(|(id, cost)| (*id, *cost)));
        }
        let total = needs.values().sum();
        (total < limit).then_some(Best { term: at, needs, total })
    }

    /// For each class that is not needed now and that terms of several needed classes use: those classes and terms.
    fn sharing(&self, needed: &[Id]) -> Vec<Vec<(Id, usize)>> {
        let inside: BTreeSet<Id> = needed.iter().copied().collect();
        let mut users: BTreeMap<Id, BTreeMap<Id, usize>> = BTreeMap::new();
        for id in needed {
            for (at, term) in self.graph[*id].nodes.iter().enumerate().filter(|(at, _)| self.costs[id][*at].is_finite()) {
                for child in term.children().iter().map(|child| self.graph.find(*child)).filter(|child| !inside.contains(child)) {
                    users.entry(child).or_default().entry(*id).or_insert(at);
                }
            }
        }
        users.into_values().filter(|users| users.len() > 1).map(|users| users.into_iter().collect()).collect()
    }

    /// What the roots cost altogether.
    fn price(&self, roots: &[Id], choice: &Choice) -> Option<f64> {
        Some(reached(self.graph, roots, choice)?.iter().map(|id| self.costs[id][choice[id]]).sum())
    }
}

/// The classes that the roots need, operands first; none where they need themselves.
pub(super) fn reached<L: Language, N: Analysis<L>>(graph: &EGraph<L, N>, roots: &[Id], choice: &Choice) -> Option<Vec<Id>> {
    let mut order = Vec::new();
    // Whether a class is done, or still open above us.
    let mut state: BTreeMap<Id, bool> = BTreeMap::new();
    let mut stack: Vec<(Id, bool)> = roots.iter().rev().map(|id| (graph.find(*id), false)).collect();
    while let Some((id, left)) = stack.pop() {
        if left {
            state.insert(id, true);
            order.push(id);
            continue;
        }
        match state.get(&id) {
            Some(true) => continue,
            Some(false) => return None,
            None => {}
        }
        state.insert(id, false);
        stack.push((id, true));
        let term = &graph[id].nodes[*choice.get(&id)?];
        for child in term.children().iter().rev().map(|child| graph.find(*child)) {
            match state.get(&child) {
                Some(true) => {}
                Some(false) => return None,
                None => stack.push((child, false)),
            }
        }
    }
    Some(order)
}
