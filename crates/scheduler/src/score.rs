//! Which of the nodes that fit is the best? Each score is 0 to 100, and they are added by weight.

use crate::affinity::Company;
use crate::cluster::NodeView;
use crate::filter;
use crate::labels;
use crate::spread::Spread;
use crate::subject::Subject;

const FULL: i64 = 100;

const WEIGHT_TAINTS: i64 = 3;
const WEIGHT_AFFINITY: i64 = 2;
const WEIGHT_COMPANY: i64 = 2;
const WEIGHT_SPREAD: i64 = 2;
const WEIGHT_REPLICAS: i64 = 2;
const WEIGHT_LEAST_ALLOCATED: i64 = 1;
const WEIGHT_BALANCE: i64 = 1;

/// The scores of `nodes`, in their order.
pub(crate) fn scores(subject: &Subject, company: &Company, spread: &Spread, nodes: &[&NodeView]) -> Vec<i64> {
    let each = |score: &dyn Fn(&NodeView) -> i64| nodes.iter().map(|view| score(view)).collect::<Vec<i64>>();
    let replicas = |view: &NodeView| {
        let n = subject.controller().and_then(|controller| view.n_of_controller.get(controller));
        i64::try_from(n.copied().unwrap_or(0)).unwrap_or(i64::MAX)
    };
    let parts = [
        (WEIGHT_TAINTS, fewer_is_better(each(&|view| n_untolerated_wishes(subject, view)))),
        (WEIGHT_AFFINITY, more_is_better(each(&|view| preference(subject, view)))),
        (WEIGHT_COMPANY, between(each(&|view| company.score(view)))),
        (WEIGHT_SPREAD, fewer_is_better(each(&|view| spread.crowd(view).unwrap_or(0)))),
        (WEIGHT_REPLICAS, fewer_is_better(each(&replicas))),
        (WEIGHT_LEAST_ALLOCATED, each(&|view| least_allocated(subject, view))),
        (WEIGHT_BALANCE, each(&|view| balance(subject, view))),
    ];
    let total = |idx: usize| parts.iter().map(|(weight, scores)| weight * scores[idx]).sum();
    (0..nodes.len()).map(total).collect()
}

fn n_untolerated_wishes(subject: &Subject, view: &NodeView) -> i64 {
    let wishes = view.taints().iter().filter(|taint| taint.effect == "PreferNoSchedule");
    i64::try_from(wishes.filter(|taint| !filter::is_tolerated(taint, subject.tolerations())).count())
        .unwrap_or(i64::MAX)
}

fn preference(subject: &Subject, view: &NodeView) -> i64 {
    let affinity = subject.spec().and_then(|spec| spec.affinity.as_ref()?.node_affinity.as_ref());
    let terms = affinity.and_then(|affinity| affinity.preferred_during_scheduling_ignored_during_execution.as_ref());
    let met = terms.into_iter().flatten().filter(|term| labels::meets(&term.preference, view.name(), view.labels()));
    met.map(|term| i64::from(term.weight)).sum()
}

/// The share of CPU and memory that would stay free.
fn least_allocated(subject: &Subject, view: &NodeView) -> i64 {
    let free = |all: i64, taken: i64| if all <= 0 || taken > all { 0 } else { (all - taken) * FULL / all };
    let cpu = free(view.allocatable.milli_cpu, view.compared.milli_cpu + subject.compared.milli_cpu);
    let memory = free(view.allocatable.memory, view.compared.memory + subject.compared.memory);
    (cpu + memory) / 2
}

/// How alike the used shares of CPU and memory would be.
fn balance(subject: &Subject, view: &NodeView) -> i64 {
    let used = |all: i64, taken: i64| if all <= 0 { FULL } else { (taken.min(all)) * FULL / all };
    let cpu = used(view.allocatable.milli_cpu, view.requested.milli_cpu + subject.requested.milli_cpu);
    let memory = used(view.allocatable.memory, view.requested.memory + subject.requested.memory);
    FULL - (cpu - memory).abs() / 2
}

fn more_is_better(scores: Vec<i64>) -> Vec<i64> {
    let max = scores.iter().copied().max().unwrap_or(0);
    scores.into_iter().map(|score| if max > 0 { score * FULL / max } else { 0 }).collect()
}

fn fewer_is_better(counts: Vec<i64>) -> Vec<i64> {
    let max = counts.iter().copied().max().unwrap_or(0);
    counts.into_iter().map(|count| if max > 0 { FULL - count * FULL / max } else { FULL }).collect()
}

/// Scores that may be negative, stretched from the worst to the best.
fn between(scores: Vec<i64>) -> Vec<i64> {
    let (min, max) = (scores.iter().copied().min().unwrap_or(0), scores.iter().copied().max().unwrap_or(0));
    scores.into_iter().map(|score| if max > min { (score - min) * FULL / (max - min) } else { 0 }).collect()
}
