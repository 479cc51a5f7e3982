//! `cargo xtask bench`: what users feel, as ratios to a named peer or to the figure that was promised.
//!
//! Each measurement is the median of several runs; where the peer can run here, runs are paired and alternate.

mod access;
mod child;
mod creates;
mod density;
mod etcd;
mod events;
mod haproxy;
mod http;
mod idle;
mod isolated;
mod lists;
mod neighbours;
mod objects;
mod overlay;
mod process;
mod quota;
mod rollout;
mod scale;
mod services;

use anyhow::{Result, bail};

/// A benchmark and its name.
type Bench = (&'static str, fn() -> Result<()>);

const BENCHES: &[Bench] = &[
    ("idle", idle::run),
    ("creates", creates::run),
    ("lists", lists::run),
    ("events", events::run),
    ("objects", objects::run),
    ("rollout", rollout::run),
    ("http", http::run),
    ("isolated", isolated::run),
    ("neighbours", neighbours::run),
    ("quota", quota::run),
    ("scale", scale::run),
    ("density", density::run),
    ("overlay", overlay::run),
    ("haproxy", haproxy::run),
    ("services", services::run),
];

fn main() -> Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = wanted.iter().find(|name| BENCHES.iter().all(|(known, _)| known != name)) {
        let known: Vec<_> = BENCHES.iter().map(|(name, _)| name).collect();
        bail!("no benchmark {unknown:?}; there are {known:?}");
    }
    for (name, bench) in BENCHES.iter().filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|w| w == name)) {
        println!("{name}");
        bench()?;
    }
    Ok(())
}

/// The client's side, on one thread: it shall leave the machine to the server.
fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// What several runs measured.
struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    fn of(values: Vec<f64>) -> Self {
        let (least, most) = (percentile(&values, 0.0), percentile(&values, 1.0));
        Self { least, median: percentile(&values, 0.5), most }
    }
}

/// The value below which that share of all lies.
fn percentile(values: &[f64], share: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share).round() as usize]
}

/// Two that were measured in turn, with their spreads, and the ratio of their medians.
fn report_spread(what: &str, ours: &Spread, unit: &str, peer: &str, theirs: &Spread) {
    report(what, ours.median, unit, peer, theirs.median);
    println!("  {:<44} {:.1}..{:.1}, peer {:.1}..{:.1}", "", ours.least, ours.most, theirs.least, theirs.most);
}

/// What was measured, with its spread, against a limit.
fn report_limit(what: &str, ours: &Spread, unit: &str, limit: &str, most: f64) {
    report(what, ours.median, unit, limit, most);
    if ours.least < ours.most {
        println!("  {:<44} {:.2}..{:.2}", "", ours.least, ours.most);
    }
}

/// The median of what was measured.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// One line of a report: what was measured, against what, and the ratio.
fn report(what: &str, ours: f64, unit: &str, peer: &str, theirs: f64) {
    println!("  {what:<44} {ours:>10.1} {unit:<8} {peer:<44} {theirs:>10.1} {unit:<8} ratio {:.2}", ours / theirs);
}
