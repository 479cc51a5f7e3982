//! Loss of power at every moment: whatever was acknowledged is there afterwards, and nothing is there by half.

use super::disk::{Disk, Random};
use super::model::Model;
use super::{receive_to, small};
use crate::{Error, ListOptions, Op, Revision, Store, Txn};

const KEYS: u64 = 5;
/// Rounds of concurrent transactions until the power is cut, if it was not before.
const ROUNDS: usize = 8;

fn open(disk: &Disk) -> Result<Store, Error> {
    Store::over(Box::new(disk.clone()), small())
}

fn random_txn(random: &mut Random) -> Txn {
    let mut success: Vec<Op> = Vec::new();
    for _ in 0..=random.below(2) {
        let key = format!("k{}", random.below(KEYS)).into();
        if success.iter().any(|op| *op.key() == key) {
            continue;
        }
        let size = [3, 300, 3000, 9000][random.below(4) as usize];
        let value = vec![random.below(256) as u8; size].into();
        success.push(if random.below(4) == 0 { Op::Delete { key } } else { Op::Put { key, value } });
    }
    Txn { compare: Vec::new(), success }
}

/// Writes until the power goes, and returns the newest acknowledged revision. The model does it all.
async fn write(store: &Store, model: &mut Model, random: &mut Random) -> Revision {
    let mut acknowledged = store.revision();
    for _ in 0..ROUNDS {
        let txns: Vec<Txn> = (0..=random.below(3)).map(|_| random_txn(random)).collect();
        let expected: Vec<_> = txns.iter().map(|txn| model.txn(txn)).collect();
        let outcomes = futures::future::join_all(txns.into_iter().map(|txn| store.txn(txn))).await;
        for (outcome, expected) in outcomes.into_iter().zip(expected) {
            match outcome {
                Ok(outcome) => assert_eq!(outcome, expected),
                Err(Error::Disk { .. }) => return acknowledged,
                Err(error) => panic!("{error}"),
            }
            acknowledged = store.revision();
        }
    }
    acknowledged
}

/// What is on the disk is the model at some revision, not before what was acknowledged.
async fn check(store: &Store, model: &mut Model, acknowledged: Revision) {
    assert!((acknowledged..=model.revision()).contains(&store.revision()), "{} {acknowledged}", store.revision());
    model.rewind(store.revision());
    let (newest, oldest) = (store.revision(), store.compacted());
    for revision in oldest..=newest {
        let options = ListOptions { revision: Some(revision), ..ListOptions::default() };
        assert_eq!(store.list("", options.clone()).await.unwrap(), model.list("", &options));
    }
    let events = receive_to(&mut store.watch("", oldest).await.unwrap(), newest).await;
    assert_eq!(events, model.events("", oldest));
}

/// Lives through one loss of power after another, each `cut` operations after the start.
fn survive(seed: u64, cuts: impl IntoIterator<Item = u64>) {
    let mut random = Random::new(seed);
    let mut disk = Disk::default();
    let mut model = Model::new();
    let mut acknowledged = 1;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        for cut in cuts {
            disk.cut_power_after(cut);
            if let Ok(store) = open(&disk) {
                check(&store, &mut model, acknowledged).await;
                acknowledged = write(&store, &mut model, &mut random).await;
            }
            disk = disk.lose_power(&mut random);
        }
        check(&open(&disk).unwrap(), &mut model, acknowledged).await;
    });
}

/// Operations of a run whose power is never cut, opening and closing included.
fn n_operations(seed: u64) -> u64 {
    let disk = Disk::default();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = open(&disk).unwrap();
        write(&store, &mut Model::new(), &mut Random::new(seed)).await;
    });
    disk.n_operations()
}

#[test]
fn a_loss_of_power_at_any_operation_loses_nothing_acknowledged() {
    for seed in 0..12 {
        for cut in 0..=n_operations(seed) {
            survive(seed, [cut]);
        }
    }
}

#[test]
fn many_losses_of_power_in_a_row_lose_nothing_acknowledged() {
    for seed in 100..200 {
        let mut random = Random::new(seed);
        survive(seed, (0..6).map(|_| random.below(150)));
    }
}
