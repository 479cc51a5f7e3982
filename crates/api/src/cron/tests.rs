//! Schedules that are refused, and the moments that others name.

use super::*;

#[test]
fn a_schedule_that_makes_no_sense_is_refused_in_gos_words() {
    let table = [
        ("every day", "expected exactly 5 fields, found 2: [every day]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("0 0 31 2 8", "end of range (8) above maximum (6): 8"),
        ("0 0 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("*/1/2 * * * *", "too many slashes: */1/2"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("x * * * *", "failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax"),
        ("@sometimes", "unrecognized descriptor: @sometimes"),
        ("@every x", "failed to parse duration @every x: time: invalid duration \"x\""),
        ("TZ=Mars/Base 0 0 * * *", "provided bad location Mars/Base: unknown time zone Mars/Base"),
    ];
    for (text, why) in table {
        assert_eq!(parse(text).unwrap_err(), why, "{text}");
    }
}

fn next(schedule: &str, after: &str, zone: &str) -> String {
    let zone = time_zone(zone).unwrap();
    let next = parse(schedule).unwrap().next(after.parse().unwrap(), &zone);
    next.map_or_else(|| "never".to_owned(), |at| at.to_zoned(zone).strftime("%Y-%m-%dT%H:%M%:z").to_string())
}

#[test]
fn the_next_moment_is_found_on_the_zones_clocks() {
    let table = [
        ("* * * * *", "2026-01-01T00:00:00Z", "UTC", "2026-01-01T00:01+00:00"),
        ("* * * * *", "2026-01-01T00:00:59.5Z", "UTC", "2026-01-01T00:01+00:00"),
        ("*/15 * * * *", "2026-01-01T00:59:00Z", "UTC", "2026-01-01T01:00+00:00"),
        ("30 4 1,15 * *", "2026-01-02T00:00:00Z", "UTC", "2026-01-15T04:30+00:00"),
        ("0 0 13 * 5", "2026-01-01T12:00:00Z", "UTC", "2026-01-02T00:00+00:00"),
        ("0 0 29 feb *", "2026-01-01T00:00:00Z", "UTC", "2028-02-29T00:00+00:00"),
        ("0 0 30 2 *", "2026-01-01T00:00:00Z", "UTC", "never"),
        ("@yearly", "2026-01-01T00:00:00Z", "UTC", "2027-01-01T00:00+00:00"),
        ("@every 90s", "2026-01-01T00:00:00Z", "UTC", "2026-01-01T00:01+00:00"),
        ("0 9 * * mon-fri", "2026-01-02T09:00:00Z", "Europe/Berlin", "2026-01-05T09:00+01:00"),
        // Clocks go forward: half past two does not exist that night.
        ("30 2 * * *", "2026-03-28T12:00:00Z", "Europe/Berlin", "2026-03-30T02:30+02:00"),
        // Clocks go back: half past two is there twice.
        ("30 2 * * *", "2026-10-24T12:00:00Z", "Europe/Berlin", "2026-10-25T02:30+02:00"),
        // A zone whose clocks go forward at midnight.
        ("0 0 * * *", "2018-11-03T12:00:00Z", "America/Sao_Paulo", "2018-11-05T00:00-02:00"),
    ];
    for (schedule, after, zone, expected) in table {
        assert_eq!(next(schedule, after, zone), expected, "{schedule} after {after} in {zone}");
    }
}

#[test]
fn zones_are_known_by_their_exact_names() {
    assert!(time_zone("Europe/Berlin").is_some() && time_zone("Etc/UTC").is_some());
    assert!(time_zone("europe/berlin").is_none() && time_zone("Nowhere/City").is_none());
}
