//! Numbers that users give as such or as percentages.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// What becomes of a part of one.
#[derive(Clone, Copy)]
pub(crate) enum Rounding {
    Up,
    Down,
}

/// A number, or that share of `total`.
pub(crate) fn scaled(value: &IntOrString, total: i32, rounding: Rounding) -> i32 {
    match value {
        IntOrString::Int(count) => *count,
        IntOrString::String(text) => {
            let percent: i64 = text.trim_end_matches('%').parse().unwrap_or(0);
            let hundredfold = percent * i64::from(total);
            let share = match rounding {
                Rounding::Up => (hundredfold + 99).div_euclid(100),
                Rounding::Down => hundredfold.div_euclid(100),
            };
            i32::try_from(share).unwrap_or(i32::MAX)
        }
    }
}
