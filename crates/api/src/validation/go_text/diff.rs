//! A unified diff of two texts, line by line, by the matching of Python's `difflib`, which Go's library follows.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::ops::Range;

/// Lines shown around a change.
const CONTEXT: usize = 3;
/// In a text of this many lines, a line that is everywhere says nothing about what matches what.
const POPULAR_LINES_MIN: usize = 200;

/// A run of lines that both texts have.
#[derive(Clone, Copy)]
struct Block {
    a: usize,
    b: usize,
    size: usize,
}

/// What is done with a part of the first text to get a part of the second.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Edit {
    is_equal: bool,
    a: Range<usize>,
    b: Range<usize>,
}

/// Empty when the texts are the same.
pub(super) fn unified(old: &str, new: &str) -> String {
    let (a, b): (Vec<&str>, Vec<&str>) = (old.split('\n').collect(), new.split('\n').collect());
    let mut out = String::new();
    for group in groups(edits(&a, &b)) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
        let (old, new) = (range(first.a.start..last.a.end), range(first.b.start..last.b.end));
        let _ = writeln!(out, "@@ -{old} +{new} @@");
        for edit in &group {
            let mut lines =
                |sign: char, lines: &[&str]| lines.iter().for_each(|line| out.extend([&format!("{sign}{line}\n")[..]]));
            if edit.is_equal {
                lines(' ', &a[edit.a.clone()]);
            } else {
                lines('-', &a[edit.a.clone()]);
                lines('+', &b[edit.b.clone()]);
            }
        }
    }
    out
}

fn range(lines: Range<usize>) -> String {
    match lines.len() {
        0 => format!("{},0", lines.start),
        1 => (lines.start + 1).to_string(),
        n => format!("{},{n}", lines.start + 1),
    }
}

/// Where each line of the second text is.
fn positions<'l>(b: &[&'l str]) -> HashMap<&'l str, Vec<usize>> {
    let mut positions: HashMap<&str, Vec<usize>> = HashMap::new();
    for (i, line) in b.iter().enumerate() {
        positions.entry(line).or_default().push(i);
    }
    if b.len() >= POPULAR_LINES_MIN {
        positions.retain(|_, at| at.len() <= b.len() / 100 + 1);
    }
    positions
}

fn longest(
    a: &[&str],
    b: &[&str],
    positions: &HashMap<&str, Vec<usize>>,
    (within_a, within_b): (Range<usize>, Range<usize>),
) -> Block {
    let mut best = Block { a: within_a.start, b: within_b.start, size: 0 };
    let mut lengths: HashMap<usize, usize> = HashMap::new();
    for i in within_a.clone() {
        let mut next = HashMap::new();
        for &j in positions.get(a[i]).into_iter().flatten().filter(|j| within_b.contains(j)) {
            let size = j.checked_sub(1).and_then(|before| lengths.get(&before)).copied().unwrap_or_default() + 1;
            next.insert(j, size);
            if size > best.size {
                best = Block { a: i + 1 - size, b: j + 1 - size, size };
            }
        }
        lengths = next;
    }
    while best.a > within_a.start && best.b > within_b.start && a[best.a - 1] == b[best.b - 1] {
        best = Block { a: best.a - 1, b: best.b - 1, size: best.size + 1 };
    }
    while best.a + best.size < within_a.end
        && best.b + best.size < within_b.end
        && a[best.a + best.size] == b[best.b + best.size]
    {
        best.size += 1;
    }
    best
}

fn blocks(a: &[&str], b: &[&str]) -> Vec<Block> {
    let positions = positions(b);
    let (mut waiting, mut found) = (vec![(0..a.len(), 0..b.len())], Vec::new());
    while let Some((in_a, in_b)) = waiting.pop() {
        let block = longest(a, b, &positions, (in_a.clone(), in_b.clone()));
        if block.size > 0 {
            waiting.push((in_a.start..block.a, in_b.start..block.b));
            waiting.push((block.a + block.size..in_a.end, block.b + block.size..in_b.end));
            found.push(block);
        }
    }
    found.sort_by_key(|block| (block.a, block.b));
    let mut joined: Vec<Block> = Vec::new();
    for block in found {
        match joined.last_mut() {
            Some(last) if last.a + last.size == block.a && last.b + last.size == block.b => last.size += block.size,
            _ => joined.push(block),
        }
    }
    joined
}

fn edits(a: &[&str], b: &[&str]) -> Vec<Edit> {
    let (mut at_a, mut at_b, mut edits) = (0, 0, Vec::new());
    let end = Block { a: a.len(), b: b.len(), size: 0 };
    for block in blocks(a, b).into_iter().chain([end]) {
        if at_a < block.a || at_b < block.b {
            edits.push(Edit { is_equal: false, a: at_a..block.a, b: at_b..block.b });
        }
        (at_a, at_b) = (block.a + block.size, block.b + block.size);
        if block.size > 0 {
            edits.push(Edit { is_equal: true, a: block.a..at_a, b: block.b..at_b });
        }
    }
    edits
}

/// Changes that are near each other, with what is around them.
fn groups(mut edits: Vec<Edit>) -> Vec<Vec<Edit>> {
    if edits.iter().all(|edit| edit.is_equal) {
        return Vec::new();
    }
    if let Some(first) = edits.first_mut().filter(|edit| edit.is_equal) {
        *first = tail(first);
    }
    if let Some(last) = edits.last_mut().filter(|edit| edit.is_equal) {
        *last = head(last);
    }
    let (mut groups, mut group) = (Vec::new(), Vec::new());
    for edit in edits {
        if edit.is_equal && edit.a.len() > 2 * CONTEXT {
            group.push(head(&edit));
            groups.push(std::mem::replace(&mut group, vec![tail(&edit)]));
        } else {
            group.push(edit);
        }
    }
    if group.iter().any(|edit| !edit.is_equal) {
        groups.push(group);
    }
    groups
}

fn head(edit: &Edit) -> Edit {
    let n = edit.a.len().min(CONTEXT);
    Edit { is_equal: true, a: edit.a.start..edit.a.start + n, b: edit.b.start..edit.b.start + n }
}

fn tail(edit: &Edit) -> Edit {
    let n = edit.a.len().min(CONTEXT);
    Edit { is_equal: true, a: edit.a.end - n..edit.a.end, b: edit.b.end - n..edit.b.end }
}

#[cfg(test)]
mod tests {
    use super::unified;

    #[test]
    fn far_changes_are_apart_and_near_ones_together() {
        let old: Vec<String> = (1..=30).map(|i| i.to_string()).collect();
        let mut new = old.clone();
        new[4] = "five".to_owned();
        new.insert(8, "more".to_owned());
        new.remove(25);
        let diff = unified(&old.join("\n"), &new.join("\n"));
        let heads: Vec<&str> = diff.lines().filter(|line| line.starts_with("@@")).collect();
        assert_eq!(heads, ["@@ -2,10 +2,11 @@", "@@ -22,7 +23,6 @@"]);
        assert!(unified("a\nb", "a\nb").is_empty());
    }
}
