//! Quotas: a write that uses more than before is charged in the very transaction that stores it.
//!
//! **Invariant:** what is stored was paid for. Two writes that fit alone and not together are never both stored: each
//! compares the quota that it read.

use std::collections::HashMap;
use std::sync::Arc;

use coracle_api::kind::{Part, name_of};
use coracle_api::quota::{self, Amounts, Counted};
use coracle_api::status::Status;
use coracle_store::{Compare, KeyValue, Op, Txn};
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

use crate::registry::Write;
use crate::resources::Resource;

/// Namespaces whose writers take turns. Those that nobody waits for are forgotten when there are more.
const NAMESPACES_MAX: usize = 1024;

/// Writers to a namespace with quotas wait for each other here, and not for conflicts in the store.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<HashMap<String, Arc<Turn<()>>>>);

impl Turns {
    async fn take(&self, namespace: &str) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.lock();
            if turns.len() >= NAMESPACES_MAX {
                turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            }
            Arc::clone(turns.entry(namespace.to_owned()).or_default())
        };
        turn.lock_owned().await
    }
}

/// What a write costs, until it is stored.
#[derive(Debug, Default)]
pub(crate) struct Charge {
    compare: Vec<Compare>,
    success: Vec<Op>,
    _turn: Option<OwnedMutexGuard<()>>,
}

impl Charge {
    /// Stores the new usage with the object.
    pub(crate) fn add_to(&mut self, txn: &mut Txn) {
        txn.compare.append(&mut self.compare);
        txn.success.append(&mut self.success);
    }
}

/// Charges the namespace's quotas for `object`, or says which of them is exceeded.
pub(super) async fn charge(write: &Write<'_>, object: &Value, old: Option<&Value>) -> Result<Charge, Status> {
    let kind = &write.resource.kind;
    let counted = Counted { group: &kind.group, plural: &kind.plural };
    if !kind.namespaced || !is_charged(counted, write.part, old.is_some()) {
        return Ok(Charge::default());
    }
    let quotas = write.state.resource("", "v1", "resourcequotas");
    if write.state.stored_below(&quotas, write.namespace).await?.is_empty() {
        return Ok(Charge::default());
    }
    let turn = write.state.quota_turns.take(write.namespace).await;
    let mut charge = Charge { _turn: Some(turn), ..Charge::default() };
    let now = Timestamp::now();
    for kv in write.state.stored_below(&quotas, write.namespace).await? {
        let quota = quotas.decode(&kv);
        let used = usage_with(&quota, counted, object, old, now)
            .map_err(|why| Status::forbidden(kind.resource(), name_of(object), &why))?;
        if let Some(used) = used {
            charge.add(&quotas, &kv, quota, &used);
        }
    }
    Ok(charge)
}

impl Charge {
    fn add(&mut self, quotas: &Resource, kv: &KeyValue, mut quota: Value, used: &Amounts) {
        quota["status"]["used"] = used.iter().map(|(name, amount)| (name.clone(), json!(amount.to_string()))).collect();
        self.compare.push(Compare { key: Arc::clone(&kv.key), mod_revision: kv.mod_revision });
        self.success.push(Op::Put { key: Arc::clone(&kv.key), value: quotas.encode(&quota) });
    }
}

/// Every creation is charged; of the changes, those that can make an object use more.
fn is_charged(counted: Counted<'_>, part: Part, is_update: bool) -> bool {
    match (counted.group, counted.plural, is_update) {
        (_, _, false) => true,
        ("", "services" | "persistentvolumeclaims", true) => part == Part::Object,
        ("", "pods", true) => part == Part::Resize,
        _ => false,
    }
}

/// What is used with `object`; `None` when the quota is not about it, or it uses no more than before.
fn usage_with(
    quota: &Value,
    counted: Counted<'_>,
    object: &Value,
    old: Option<&Value>,
    now: Timestamp,
) -> Result<Option<Amounts>, String> {
    let (name, hard) = (name_of(quota), quota::amounts(&quota["status"]["hard"]));
    if !counted.is_in(quota, &hard, object) {
        return Ok(None);
    }
    if let Some(missing) = counted.missing(&hard, object) {
        return Err(format!("failed quota: {name}: {missing}"));
    }
    let used = quota::amounts(&quota["status"]["used"]);
    let bounded: Vec<&str> = hard.keys().filter(|resource| counted.counts(resource)).map(String::as_str).collect();
    if bounded.iter().any(|resource| !used.contains_key(*resource)) {
        return Err(format!("status unknown for quota: {name}, resources: {}", bounded.join(",")));
    }
    let before = old.map(|old| counted.usage(old, now)).unwrap_or_default();
    let mut asked = quota::exceeding(&counted.usage(object, now), &before);
    asked.retain(|resource, _| hard.contains_key(resource));
    if asked.is_empty() {
        return Ok(None);
    }
    let sum = quota::add(&used, &asked);
    let exceeded: Vec<&String> = asked.keys().filter(|resource| sum[*resource] > hard[*resource]).collect();
    if exceeded.is_empty() {
        return Ok(Some(sum));
    }
    let of = |amounts: &Amounts| {
        let kept = amounts.iter().filter(|(resource, _)| exceeded.contains(resource));
        quota::printed(&kept.map(|(resource, amount)| (resource.clone(), *amount)).collect())
    };
    Err(format!("exceeded quota: {name}, requested: {}, used: {}, limited: {}", of(&asked), of(&used), of(&hard)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRETS: Counted<'_> = Counted { group: "", plural: "secrets" };

    fn quota(hard: Value, used: Value) -> Value {
        json!({"metadata": {"name": "q"}, "status": {"hard": hard, "used": used}})
    }

    fn told(quota: &Value, counted: Counted<'_>, object: &Value, old: Option<&Value>) -> String {
        match usage_with(quota, counted, object, old, Timestamp::UNIX_EPOCH) {
            Ok(None) => "not charged".to_owned(),
            Ok(Some(used)) => quota::printed(&used),
            Err(why) => why,
        }
    }

    #[test]
    fn a_write_is_charged_or_told_what_is_exceeded() {
        let full = quota(json!({"count/secrets": "2", "secrets": "5"}), json!({"count/secrets": "2", "secrets": "2"}));
        assert_eq!(
            told(&full, SECRETS, &json!({}), None),
            "exceeded quota: q, requested: count/secrets=1, used: count/secrets=2, limited: count/secrets=2"
        );
        let free = quota(json!({"secrets": "5", "pods": "1"}), json!({"secrets": "2", "pods": "0"}));
        assert_eq!(told(&free, SECRETS, &json!({}), None), "pods=0,secrets=3");
        let unknown = quota(json!({"secrets": "5"}), json!({}));
        assert_eq!(told(&unknown, SECRETS, &json!({}), None), "status unknown for quota: q, resources: secrets");
        assert_eq!(told(&quota(json!({"pods": "1"}), json!({})), SECRETS, &json!({}), None), "not charged");
    }

    #[test]
    fn a_change_is_charged_for_what_is_more() {
        let claims = Counted { group: "", plural: "persistentvolumeclaims" };
        let claim = |size: &str| json!({"spec": {"resources": {"requests": {"storage": size}}}});
        let quota = quota(json!({"requests.storage": "5Gi"}), json!({"requests.storage": "4Gi"}));
        assert_eq!(told(&quota, claims, &claim("2Gi"), Some(&claim("1Gi"))), "requests.storage=5Gi");
        assert_eq!(told(&quota, claims, &claim("1Gi"), Some(&claim("1Gi"))), "not charged");
        assert!(told(&quota, claims, &claim("3Gi"), Some(&claim("1Gi"))).contains("requested: requests.storage=2Gi"));
    }
}
