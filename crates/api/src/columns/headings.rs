//! The headings of every kind's columns, from one table.

use super::Column;

const TABLE: &str = include_str!("headings.tsv");

/// The headings of `kind`; those of a kind without any of its own when it is empty.
pub(super) fn of(kind: &str) -> Vec<Column> {
    rows().filter(|row| row[0] == kind).map(|row| column(&row)).collect()
}

fn rows() -> impl Iterator<Item = Vec<&'static str>> {
    TABLE.lines().filter(|line| !line.starts_with('#')).map(|line| line.split('\t').collect())
}

fn column(row: &[&str]) -> Column {
    Column {
        name: row[1].to_owned(),
        column_type: row[2].to_owned(),
        format: row[3].to_owned(),
        description: description(row[5]).replace("\\n", "\n"),
        priority: row[4].parse().expect("priorities are small numbers"),
    }
}

/// Two descriptions are the same for all kinds, and written once.
fn description(text: &str) -> &str {
    let shared = rows().find(|row| row[0] == "@" && row[1] == text).map(|row| row[5]);
    shared.unwrap_or(text)
}
