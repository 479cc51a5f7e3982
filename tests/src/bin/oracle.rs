//! `cargo xtask oracle`: replays the corpus for an engineer, and prints what differs.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use coracle_tests::cluster::Cluster;
use coracle_tests::oracle::{self, Differences};

const USAGE: &str = "usage: oracle [--write] [--kubeconfig FILE] [AREA[/NAME]]";

#[derive(Default)]
struct Options {
    only: String,
    write: bool,
    kubeconfig: Option<PathBuf>,
}

fn main() -> Result<ExitCode> {
    let options = parse(std::env::args().skip(1))?;
    let dir = tempfile::tempdir()?;
    let cluster = options.kubeconfig.is_none().then(|| Cluster::up(dir.path(), &[]));
    let kubeconfig = options.kubeconfig.unwrap_or_else(|| dir.path().join("kubeconfig"));
    let report = oracle::replay(&kubeconfig, &options.only)?;
    drop(cluster);
    let known = Differences::load()?;
    print!("{}{report}", report.diffs(&known));
    let verdict = known.judge(&report, &options.only);
    if options.write {
        known.rewrite(&report, &options.only)?;
        return Ok(ExitCode::SUCCESS);
    }
    if verdict.is_clean() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("\n{verdict}");
    Ok(ExitCode::FAILURE)
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Options> {
    let mut options = Options::default();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--write" => options.write = true,
            "--kubeconfig" => options.kubeconfig = args.next().map(PathBuf::from),
            flag if flag.starts_with('-') => bail!("no flag {flag:?}; {USAGE}"),
            only => only.clone_into(&mut options.only),
        }
    }
    Ok(options)
}
