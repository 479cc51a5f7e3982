//! Lists of indexes such as `0,2-4`.

/// How many indexes a list holds, or why it is none of a job with so many completions.
pub(super) fn count(text: &str, completions: i64) -> Result<i64, String> {
    let (mut total, mut last) = (0, None);
    for interval in text.split(',').filter(|_| !text.is_empty()) {
        let (first, end) = parse(interval, completions)?;
        if let Some(last) = last.filter(|last| *last >= first) {
            return Err(format!("non-increasing order, previous: {last}, current: {first}"));
        }
        total += end - first + 1;
        last = Some(end);
    }
    Ok(total)
}

fn parse(interval: &str, completions: i64) -> Result<(i64, i64), String> {
    let limits: Vec<&str> = interval.split('-').collect();
    match limits.as_slice() {
        [one] => index(one, completions).map(|one| (one, one)),
        [first, last] => {
            let (first, last) = (index(first, completions)?, index(last, completions)?);
            if first >= last {
                return Err(format!("non-increasing order, previous: {first}, current: {last}"));
            }
            Ok((first, last))
        }
        _ => {
            let quoted = crate::validation::go_quote(interval);
            let rule = "violates the requirement that an index interval can have at most two parts separated by '-'";
            Err(format!("the fragment {quoted} {rule}"))
        }
    }
}

fn index(text: &str, completions: i64) -> Result<i64, String> {
    let quoted = crate::validation::go_quote(text);
    let index: i64 = text.parse().map_err(|_| format!("cannot convert string to integer for index: {quoted}"))?;
    if index >= completions { Err(format!("too large index: {quoted}")) } else { Ok(index) }
}

/// The first index that two lists share. What cannot be read is passed over: it is reported elsewhere.
pub(super) fn overlap(completed: &str, failed: &str, completions: i64) -> Option<i64> {
    let intervals = |text: &str| -> Vec<(i64, i64)> {
        text.split(',').filter_map(|interval| parse(interval, completions).ok()).collect()
    };
    let (completed, failed) = (intervals(completed), intervals(failed));
    let shared = completed.iter().flat_map(|c| failed.iter().map(move |f| (c, f)));
    shared.filter(|(c, f)| c.0 <= f.1 && f.0 <= c.1).map(|(c, f)| c.0.max(f.0)).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_indexes_grows_and_stays_below_the_completions() {
        assert_eq!(count("", 3), Ok(0));
        assert_eq!(count("0,2-4", 5), Ok(4));
        let table = [
            ("0-9", "too large index: \"9\""),
            ("2-1", "non-increasing order, previous: 2, current: 1"),
            ("1,1", "non-increasing order, previous: 1, current: 1"),
            ("x", "cannot convert string to integer for index: \"x\""),
        ];
        for (text, why) in table {
            assert_eq!(count(text, 3), Err(why.to_owned()), "{text}");
        }
        assert_eq!(overlap("0-2", "2,4", 5), Some(2));
        assert_eq!(overlap("0-1", "2,4", 5), None);
    }
}
