//! One field of a schedule: lists, ranges, steps and names. It knows no time.

use super::Bits;

/// What a field may hold.
pub(super) struct Field {
    pub(super) min: u64,
    pub(super) max: u64,
    /// Names of the numbers from `min` on.
    pub(super) names: &'static [&'static str],
}

pub(super) fn bits(text: &str, field: &Field) -> Result<Bits, String> {
    let mut all = Bits { set: 0, star: false };
    for expression in text.split(',').filter(|expression| !expression.is_empty()) {
        let range = range(expression, field)?;
        all = Bits { set: all.set | range.set, star: all.star | range.star };
    }
    Ok(all)
}

fn range(expression: &str, field: &Field) -> Result<Bits, String> {
    let steps: Vec<&str> = expression.split('/').collect();
    let bounds: Vec<&str> = steps[0].split('-').collect();
    let is_star = matches!(bounds[0], "*" | "?");
    let (start, mut end) = if is_star {
        (field.min, field.max)
    } else {
        let start = number_or_name(bounds[0], field)?;
        match bounds.as_slice() {
            [_] => (start, start),
            [_, end] => (start, number_or_name(end, field)?),
            _ => return Err(format!("too many hyphens: {expression}")),
        }
    };
    let step = match steps.as_slice() {
        [_] => 1,
        [_, step] => number(step)?,
        _ => return Err(format!("too many slashes: {expression}")),
    };
    // `N/step` goes on to the last number.
    if steps.len() == 2 && bounds.len() == 1 {
        end = field.max;
    }
    check(start, end, step, field, expression)?;
    let set = (start..=end).step_by(usize::try_from(step).unwrap_or(usize::MAX)).fold(0, |set, n| set | 1 << n);
    Ok(Bits { set, star: is_star && step == 1 })
}

fn check(start: u64, end: u64, step: u64, field: &Field, expression: &str) -> Result<(), String> {
    let Field { min, max, .. } = field;
    if start < *min {
        return Err(format!("beginning of range ({start}) below minimum ({min}): {expression}"));
    }
    if end > *max {
        return Err(format!("end of range ({end}) above maximum ({max}): {expression}"));
    }
    if start > end {
        return Err(format!("beginning of range ({start}) beyond end of range ({end}): {expression}"));
    }
    if step == 0 {
        return Err(format!("step of range should be a positive number: {expression}"));
    }
    Ok(())
}

fn number_or_name(text: &str, field: &Field) -> Result<u64, String> {
    let lower = text.to_lowercase();
    match field.names.iter().position(|name| *name == lower) {
        Some(idx) => Ok(field.min + idx as u64),
        None => number(text),
    }
}

fn number(text: &str) -> Result<u64, String> {
    let parsed: i64 = text.parse().map_err(|_| {
        let quoted = crate::validation::go_quote(text);
        format!("failed to parse int from {text}: strconv.Atoi: parsing {quoted}: invalid syntax")
    })?;
    u64::try_from(parsed).map_err(|_| format!("negative number ({parsed}) not allowed: {text}"))
}
