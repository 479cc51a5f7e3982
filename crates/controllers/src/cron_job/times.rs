//! When a CronJob should have started something, and when it will next. Pure; the time is given.

use std::time::Duration;

use coracle_api::cron::{self, Schedule};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::CronJob;

/// So many missed starts are worth a warning.
const MISSED_MAX: i64 = 100;
/// A look comes a little after the moment that it is for.
const DELTA: SignedDuration = SignedDuration::from_millis(100);

/// A schedule on its zone's clocks.
#[derive(Debug)]
pub(super) struct Times {
    schedule: Schedule,
    pub(super) zone: TimeZone,
}

/// Why nothing can be reckoned: reason and text of the event that says so.
pub(super) type Complaint = (&'static str, String);

/// The last moment that has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) at: Option<Timestamp>,
    pub(super) is_far_behind: bool,
    earliest: Timestamp,
}

impl Times {
    pub(super) fn of(cron_job: &CronJob) -> Result<Self, Complaint> {
        let spec = &cron_job.spec;
        let (written, schedule) = cron::split_zone(&spec.schedule);
        let zone = match spec.time_zone.as_deref().or(written) {
            Some(name) => cron::time_zone(name).ok_or_else(|| {
                ("UnknownTimeZone", format!("invalid timeZone: \"{name}\": unknown time zone {name}"))
            })?,
            None => TimeZone::UTC,
        };
        let schedule = cron::parse(schedule)
            .map_err(|why| ("UnparseableSchedule", format!("unparseable schedule: \"{}\" : {why}", spec.schedule)))?;
        Ok(Self { schedule, zone })
    }

    fn next(&self, after: Timestamp) -> Option<Timestamp> {
        self.schedule.next(after, &self.zone)
    }

    /// The last moment that has come since the CronJob last started something, within its deadline if it has one.
    pub(super) fn due(&self, cron_job: &CronJob, now: Timestamp, within_deadline: bool) -> Due {
        let last = cron_job.status.as_ref().and_then(|status| status.last_schedule_time.as_ref());
        let born = cron_job.metadata.creation_timestamp.as_ref();
        let mut earliest = last.or(born).map_or(now, |time| time.0);
        let deadline = cron_job.spec.starting_deadline_seconds.filter(|_| within_deadline);
        if let Some(seconds) = deadline {
            earliest = earliest.max(now - SignedDuration::from_secs(seconds));
        }
        let none = Due { at: None, is_far_behind: false, earliest };
        let Some(first) = self.next(earliest).filter(|first| *first <= now) else { return none };
        let Some(second) = self.next(first).filter(|second| *second <= now) else {
            return Due { at: Some(first), ..none };
        };
        let between = (second.as_second() - first.as_second()).max(1);
        let n_missed = (now.as_second() - first.as_second()) / between + 1;
        let mut at = None;
        let mut next = self.next(first + SignedDuration::from_secs((n_missed - 2) * between));
        while let Some(moment) = next.filter(|moment| *moment <= now) {
            at = Some(moment);
            next = self.next(moment);
        }
        Due { at, is_far_behind: n_missed > MISSED_MAX, earliest }
    }

    /// How long until the next moment.
    pub(super) fn until_next(&self, cron_job: &CronJob, now: Timestamp) -> Option<Duration> {
        let due = self.due(cron_job, now, false);
        let next = self.next(due.at.unwrap_or(due.earliest))?;
        Duration::try_from((next + DELTA).duration_since(now).max(SignedDuration::ZERO)).ok()
    }
}
