//! `cargo xtask bench`: what users feel, as ratios to a named peer or to the figure that was promised.
//!
//! Each measurement is the median of several runs; where the peer can run here, runs are paired and alternate.

mod creates;
mod http;
mod idle;
mod rollout;

use anyhow::{Result, bail};

/// A benchmark and its name.
type Bench = (&'static str, fn() -> Result<()>);

const BENCHES: &[Bench] =
    &[("idle", idle::run), ("creates", creates::run), ("rollout", rollout::run), ("http", http::run)];

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

/// The median of what was measured.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// One line of a report: what was measured, against what, and the ratio.
fn report(what: &str, ours: f64, unit: &str, peer: &str, theirs: f64) {
    println!("  {what:<44} {ours:>10.1} {unit:<8} {peer:<44} {theirs:>10.1} {unit:<8} ratio {:.2}", ours / theirs);
}
