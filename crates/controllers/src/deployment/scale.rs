//! The arithmetic of a rollout: how many pods may be too many, how many may be missing. Numbers in, numbers out.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::proportion::{Rounding, scaled};

/// How far a rollout may leave the wanted size, upwards and downwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fence {
    pub(super) surge: i32,
    pub(super) unavailable: i32,
}

pub(super) fn replicas(deployment: &Deployment) -> i32 {
    deployment.spec.replicas.unwrap_or(1)
}

pub(super) fn is_recreate(deployment: &Deployment) -> bool {
    let strategy = deployment.spec.strategy.as_ref();
    strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate")
}

/// The fence of this deployment's strategy.
pub(super) fn fence(deployment: &Deployment) -> Fence {
    if is_recreate(deployment) {
        return Fence { surge: 0, unavailable: 0 };
    }
    let strategy = deployment.spec.strategy.as_ref();
    let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
    resolve(
        rolling.and_then(|rolling| rolling.max_surge.as_ref()),
        rolling.and_then(|rolling| rolling.max_unavailable.as_ref()),
        replicas(deployment),
    )
}

fn resolve(surge: Option<&IntOrString>, unavailable: Option<&IntOrString>, replicas: i32) -> Fence {
    let quarter = IntOrString::String("25%".to_owned());
    let surge = scaled(surge.unwrap_or(&quarter), replicas, Rounding::Up);
    let unavailable = scaled(unavailable.unwrap_or(&quarter), replicas, Rounding::Down);
    // With neither, nothing could ever move.
    let unavailable = if surge == 0 && unavailable == 0 { 1 } else { unavailable };
    Fence { surge, unavailable: unavailable.min(replicas) }
}

/// The size of the new set that the fence allows, given what all sets together ask for.
pub(super) fn new_set_size(wanted: i32, fence: Fence, new: i32, total: i32) -> i32 {
    let room = wanted + fence.surge - total;
    if room <= 0 { new } else { new + room.min(wanted - new) }
}

/// How many pods old sets may give up in all, healthy or not.
pub(super) fn old_excess(wanted: i32, fence: Fence, total: i32, new: i32, new_available: i32) -> i32 {
    let min_available = wanted - fence.unavailable;
    total - min_available - (new - new_available)
}

/// By how much a set of `size` changes when the deployment's largest size goes from `max_before` to `max_now`.
pub(super) fn fraction(size: i32, max_before: i32, max_now: i32, wanted: i32) -> i32 {
    if wanted == 0 {
        return -size;
    }
    if max_before == 0 {
        return 0;
    }
    let scaled = f64::from(size) * f64::from(max_now) / f64::from(max_before);
    #[expect(clippy::cast_possible_truncation, reason = "a share of an i32 fits an i32")]
    let rounded = scaled.round() as i32;
    rounded - size
}

/// A fraction, within what is left to hand out.
pub(super) fn within(fraction: i32, left: i32) -> i32 {
    if left > 0 { fraction.min(left) } else { fraction.max(left) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn percent(percent: i32) -> IntOrString {
        IntOrString::String(format!("{percent}%"))
    }

    fn fence_of(surge: IntOrString, unavailable: IntOrString, replicas: i32) -> (i32, i32) {
        let fence = resolve(Some(&surge), Some(&unavailable), replicas);
        (fence.surge, fence.unavailable)
    }

    #[test]
    fn surge_rounds_up_and_unavailable_rounds_down() {
        assert_eq!(fence_of(percent(25), percent(25), 3), (1, 0));
        assert_eq!(fence_of(percent(25), percent(25), 10), (3, 2));
        assert_eq!(fence_of(IntOrString::Int(0), percent(10), 5), (0, 1), "something must give");
        assert_eq!(fence_of(IntOrString::Int(0), IntOrString::Int(9), 5), (0, 5));
        assert_eq!(fence_of(percent(100), IntOrString::Int(0), 4), (4, 0));
        assert_eq!(resolve(None, None, 4), Fence { surge: 1, unavailable: 1 });
        assert_eq!(resolve(None, None, 0), Fence { surge: 0, unavailable: 0 });
    }

    proptest! {
        #[test]
        fn the_new_set_never_goes_past_the_surge(
            wanted in 0..500i32, surge in 0..200i32, unavailable in 0..200i32, new in 0..500i32, old in 0..500i32,
        ) {
            let new = new.min(wanted);
            let size = new_set_size(wanted, Fence { surge, unavailable }, new, new + old);
            prop_assert!(size >= new && size <= wanted);
            prop_assert!(size + old <= (wanted + surge).max(new + old));
        }

        #[test]
        fn shares_never_exceed_what_is_left(size in 0..500i32, before in 0..700i32, now in 0..700i32, left in -300..300i32) {
            let share = within(fraction(size, before, now, 1), left);
            let is_within = if left > 0 { share <= left } else { share >= left };
            prop_assert!(is_within);
        }
    }
}
