//! Chooses a node for a pod, or says why there is none. A pure function over the cluster as it is known.

use std::collections::BTreeMap;

use coracle_client::Key;

use crate::affinity::Company;
use crate::cluster::{Cluster, NodeView};
use crate::filter::{self, Reason};
use crate::score;
use crate::spread::Spread;
use crate::storage::Needs;
use crate::subject::Subject;

/// With more nodes than this, it is enough to find some that fit.
const SAMPLED_ABOVE: usize = 100;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A node, and the claims whose volumes are to be made there first.
    Node(String, Vec<Key>),
    Nowhere(Nowhere),
}

/// Why a pod fits no node.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Nowhere {
    n_nodes: usize,
    n_with_reason: BTreeMap<String, usize>,
    /// Nodes where removing other pods would not help, and where it might.
    n_hopeless: usize,
    n_crowded: usize,
    /// What keeps the pod from every node.
    everywhere: Option<String>,
}

impl Nowhere {
    fn add(&mut self, reasons: &[Reason]) {
        for reason in reasons {
            *self.n_with_reason.entry(reason.text.clone()).or_default() += 1;
        }
        match reasons.iter().all(|reason| reason.is_resolvable) {
            true => self.n_crowded += 1,
            false => self.n_hopeless += 1,
        }
    }

    /// One line for the pod's condition and event.
    pub(crate) fn message(&self) -> String {
        if self.n_nodes == 0 {
            return "no nodes available to schedule pods".to_owned();
        }
        let head = format!("0/{} nodes are available:", self.n_nodes);
        if let Some(why) = &self.everywhere {
            return format!("{head} {why}. preemption: {head} {}.", self.preemption());
        }
        let mut counted: Vec<String> = self.n_with_reason.iter().map(|(text, n)| format!("{n} {text}")).collect();
        counted.sort();
        format!("{head} {}. preemption: {head} {}.", counted.join(", "), self.preemption())
    }

    fn preemption(&self) -> String {
        let hopeless = (self.n_hopeless, "Preemption is not helpful for scheduling");
        let crowded = (self.n_crowded, "No preemption victims found for incoming pod");
        let counted = [crowded, hopeless].into_iter().filter(|(n, _)| *n > 0);
        let mut texts: Vec<String> = counted.map(|(n, text)| format!("{n} {text}")).collect();
        texts.sort();
        texts.join(", ")
    }
}

/// `turn` moves with every decision, so that equal nodes take turns.
pub(crate) fn decide(subject: &Subject, cluster: &Cluster, turn: usize) -> Verdict {
    let needs = match Needs::of(subject, &cluster.storage) {
        Ok(needs) => needs,
        Err(why) => {
            let n_nodes = cluster.nodes().count();
            return Verdict::Nowhere(Nowhere {
                n_nodes,
                n_hopeless: n_nodes,
                everywhere: Some(why),
                ..Nowhere::default()
            });
        }
    };
    let (company, spread) = (Company::of(subject, cluster), Spread::of(subject, cluster));
    let nodes: Vec<&NodeView> = cluster.nodes().collect();
    let n_wanted = n_to_find(nodes.len());
    let mut nowhere = Nowhere { n_nodes: nodes.len(), ..Nowhere::default() };
    let mut fitting = Vec::new();
    for offset in 0..nodes.len() {
        let view = nodes[(turn + offset) % nodes.len()];
        let mut reasons = objections(subject, &company, &spread, view);
        if reasons.is_empty() {
            let objection = needs.objection(view, |name| cluster.node(name).is_some_and(|view| view.node.is_some()));
            reasons.extend(objection.map(|text| Reason { text: text.to_owned(), is_resolvable: false }));
        }
        if reasons.is_empty() {
            fitting.push(view);
            if fitting.len() == n_wanted {
                break;
            }
        } else {
            nowhere.add(&reasons);
        }
    }
    match best(subject, &company, &spread, &fitting) {
        Some(view) => Verdict::Node(view.name().to_owned(), needs.waiting),
        None => Verdict::Nowhere(nowhere),
    }
}

fn objections(subject: &Subject, company: &Company, spread: &Spread, view: &NodeView) -> Vec<Reason> {
    let mut reasons = filter::objections(subject, view);
    if reasons.is_empty() {
        reasons = spread.objections(view);
    }
    if reasons.is_empty() {
        reasons = company.objections(view);
    }
    reasons
}

/// The first of the highest score; `fitting` begins at another node each turn.
fn best<'a>(subject: &Subject, company: &Company, spread: &Spread, fitting: &[&'a NodeView]) -> Option<&'a NodeView> {
    if fitting.len() < 2 {
        return fitting.first().copied();
    }
    let scores = score::scores(subject, company, spread, fitting);
    let highest = scores.iter().max()?;
    let idx = scores.iter().position(|score| score == highest)?;
    Some(fitting[idx])
}

/// Of many nodes a share is looked at, smaller the more there are: between a half and a twentieth.
fn n_to_find(n_nodes: usize) -> usize {
    if n_nodes <= SAMPLED_ABOVE {
        return n_nodes.max(1);
    }
    let percent = 50usize.saturating_sub(n_nodes / 125).max(5);
    (n_nodes * percent / 100).max(SAMPLED_ABOVE)
}

#[cfg(test)]
mod tests;
