//! Choosing terms out of an e-graph: the cheapest program, in which what is shared counts once.
//!
//! In: a saturated e-graph, the classes that are wanted, and what each term costs. Out: one term for each class that is
//! needed. Must not know: ops, rules.
//!
//! First greedily: each class keeps the set of classes that its best term needs, with their costs, and takes the term whose
//! set is cheapest. Then by local improvement: a class is given another term if that makes the whole cheaper, and so are
//! several at once where their other terms share a class that nothing needs yet (a merged product pays only if all use it).

use std::collections::{BTreeMap, BTreeSet};

use egg::{Analysis, EGraph, Id, Language};

/// Rounds of local improvement.
const MAX_ROUNDS: usize = 4;

/// What several terms share is looked for below so many classes that only one of them uses, as parts of it are.
const STEPS: usize = 2;

/// One term for each class, by its number in the class.
pub(super) type Choice = BTreeMap<Id, usize>;

/// What each term of each class costs, by its number in the class.
pub(super) type Costs = BTreeMap<Id, Vec<f64>>;

/// What is known of a class while choosing: its best term, and what that needs.
#[derive(Clone)]
struct Best {
    term: usize,
    /// Each class that is needed, itself included, with the cost of its term.
    needs: BTreeMap<Id, f64>,
    total: f64,
}

/// Chooses a term for each class that has a program, so that `roots` and all that they need are cheapest; says what those
/// cost altogether.
///
/// Costs must be positive or zero, and not NaN. None where a root has no term of finite cost without a cycle.
pub(super) fn extract<L: Language, N: Analysis<L>>(graph: &EGraph<L, N>, roots: &[Id], costs: &Costs) -> Option<(Choice, f64)> {
    let chooser = Chooser { graph, costs };
    let mut choice: Choice = chooser.greedy();
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
        for moves in chooser.sharing(&reached(graph, roots, &choice)?, &choice) {
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
    Some((choice, total))
}

/// Other programs that cost no more than `slack` more, each by the terms that it has instead, the cheapest first. Only changes
/// that concern a term that `counts` are looked at.
pub(super) fn alternatives<L: Language, N: Analysis<L>>(graph: &EGraph<L, N>, roots: &[Id], costs: &Costs, choice: &Choice, slack: f64, counts: &dyn Fn(Id, usize) -> bool) -> Vec<Vec<(Id, usize)>> {
    let chooser = Chooser { graph, costs };
    let (Some(total), Some(needed)) = (chooser.price(roots, choice), reached(graph, roots, choice)) else { return Vec::new() };
    let others = |id: &Id| (0..graph[*id].nodes.len()).filter(|k| *k != choice[id] && costs[id][*k].is_finite()).map(|k| vec![(*id, k)]).collect::<Vec<_>>();
    let mut found = Vec::new();
    for moves in needed.iter().flat_map(others).chain(chooser.sharing(&needed, choice)).filter(|moves| moves.iter().any(|(id, k)| counts(*id, *k) || counts(*id, choice[id]))) {
        let mut other = choice.clone();
        other.extend(moves.iter().copied());
        if let Some(cost) = chooser.price(roots, &other).filter(|cost| *cost <= total + slack) {
            found.push((cost, moves));
        }
    }
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    found.into_iter().map(|(_, moves)| moves).collect()
}

struct Chooser<'g, L: Language, N: Analysis<L>> {
    graph: &'g EGraph<L, N>,
    costs: &'g Costs,
}

impl<L: Language, N: Analysis<L>> Chooser<'_, L, N> {
    fn greedy(&self) -> Choice {
        let mut best: BTreeMap<Id, Best> = BTreeMap::new();
        let mut changed = true;
        while changed {
            changed = false;
            for id in self.costs.keys() {
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

    /// For each class that is not needed now and that terms of several needed classes use, by way of no more than
    /// [`STEPS`] others: those classes and terms.
    fn sharing(&self, needed: &[Id], choice: &Choice) -> Vec<Vec<(Id, usize)>> {
        let inside: BTreeSet<Id> = needed.iter().copied().collect();
        let outside = |term: &L| term.children().iter().map(|child| self.graph.find(*child)).filter(|child| !inside.contains(child)).collect::<Vec<_>>();
        let mut users: BTreeMap<Id, BTreeMap<Id, usize>> = BTreeMap::new();
        for id in needed {
            for (at, term) in self.graph[*id].nodes.iter().enumerate().filter(|(at, _)| self.costs[id][*at].is_finite()) {
                let mut found = outside(term);
                for _ in 0..=STEPS {
                    let below = found.iter().filter_map(|child| Some(outside(&self.graph[*child].nodes[*choice.get(child)?]))).flatten().collect();
                    for child in std::mem::replace(&mut found, below) {
                        users.entry(child).or_default().entry(*id).or_insert(at);
                    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use egg::SymbolLang;

    /// A small e-graph with sharing and cycles, and the costs of its terms. SplitMix64 makes it.
    fn drawn(seed: u64) -> (EGraph<SymbolLang, ()>, Vec<Id>, Costs) {
        let mut state = seed;
        let mut below = |end: u64| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (z ^ (z >> 31)) % end
        };
        let mut graph = EGraph::default();
        let mut prices: BTreeMap<String, f64> = BTreeMap::new();
        let count = 3 + below(6);
        // Names of classes, which can't be taken.
        let classes: Vec<Id> = (0..count).map(|k| graph.add(SymbolLang::leaf(format!("class{k}")))).collect();
        for (k, class) in classes.iter().enumerate() {
            for term in 0..1 + below(3) {
                let name = format!("term{k}_{term}");
                // Operands are mostly of a later class, so that most e-graphs have a program.
                let children = (0..below(4)).filter_map(|_| {
                    let lowest = if below(4) == 0 { 0 } else { k as u64 + 1 };
                    (lowest < count).then(|| classes[(lowest + below(count - lowest)) as usize])
                });
                let id = graph.add(SymbolLang::new(&name, children.collect()));
                prices.insert(name, below(10) as f64);
                graph.union(*class, id);
            }
        }
        graph.rebuild();
        let roots = (0..1 + below(2)).map(|k| classes[k as usize]).collect();
        // The names of classes have no price.
        let price = |term: &SymbolLang| prices.get(&term.op.to_string()).copied().unwrap_or(f64::INFINITY);
        let costs = graph.classes().map(|class| (class.id, class.nodes.iter().map(price).collect())).collect();
        (graph, roots, costs)
    }

    /// What the cheapest program costs: every choice of terms is tried.
    fn optimum(graph: &EGraph<SymbolLang, ()>, roots: &[Id], costs: &Costs) -> Option<f64> {
        let terms: Vec<(Id, Vec<usize>)> = costs.iter().map(|(id, costs)| (*id, (0..costs.len()).filter(|k| costs[*k].is_finite()).collect())).collect();
        let choices: usize = terms.iter().map(|(_, terms)| terms.len()).product();
        let totals = (0..choices).filter_map(|number| {
            let mut left = number;
            let choice: Choice = terms
                .iter()
                .map(|(id, terms)| {
                    let term = terms[left % terms.len()];
                    left /= terms.len();
                    (*id, term)
                })
                .collect();
            let needed = reached(graph, roots, &choice)?;
            Some(needed.iter().map(|id| costs[id][choice[id]]).sum())
        });
        totals.min_by(f64::total_cmp)
    }

    #[test]
    fn programs_are_valid_and_nearly_always_the_cheapest() {
        let (mut programs, mut cheapest, mut worst) = (0, 0, 1.0f64);
        for seed in 0..1_000 {
            let (graph, roots, costs) = drawn(seed);
            let choice = extract(&graph, &roots, &costs);
            let best = optimum(&graph, &roots, &costs);
            assert_eq!(choice.is_some(), best.is_some(), "seed {seed}: extraction must find a program where there is one");
            let (Some((choice, total)), Some(best)) = (choice, best) else { continue };
            let needed = reached(&graph, &roots, &choice).expect("what was extracted needs itself");
            let sum: f64 = needed.iter().map(|id| costs[id][choice[id]]).sum();
            assert!((sum - total).abs() < 1e-9, "seed {seed}: {total} is not what the program costs, {sum}");
            assert!(total >= best - 1e-9, "seed {seed}: {total} is cheaper than the cheapest, {best}");
            programs += 1;
            cheapest += usize::from(total <= best + 1e-9);
            worst = worst.max((total + 1.0) / (best + 1.0));
        }
        assert!(programs > 800, "only {programs} of 1000 e-graphs have a program");
        assert!(cheapest * 100 >= programs * 97, "only {cheapest} of {programs} programs are the cheapest; the worst costs {worst:.2} times as much");
    }
}
