//! How a pod wants its HTTP components to be served, as its annotations say. Pure.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use coracle_runtime::{REQUESTS_MAX, REQUESTS_QUEUED_MAX};

const PREFIX: &str = "http.coracle.dev/";
const REUSE: &str = "max-instance-reuse-count";
const CONCURRENT: &str = "max-concurrent-requests";
const QUEUED: &str = "max-queued-requests";
const TIMEOUT: &str = "request-timeout";

const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// More than anything that ends with an answer takes.
const REQUEST_TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// More would only be refused by the node's pool of instances.
const CONCURRENT_MAX: u32 = 100_000;
const QUEUED_MAX: u32 = 1_000_000;

/// How requests to a pod's HTTP components are handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Serving {
    pub(crate) instance_requests_max: NonZeroU32,
    pub(crate) requests_max: usize,
    pub(crate) requests_queued_max: usize,
    pub(crate) request_time_max: Duration,
}

impl Default for Serving {
    fn default() -> Self {
        Self {
            instance_requests_max: NonZeroU32::MIN,
            requests_max: REQUESTS_MAX,
            requests_queued_max: REQUESTS_QUEUED_MAX,
            request_time_max: REQUEST_TIMEOUT,
        }
    }
}

/// An annotation that cannot be meant as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error(
        "annotation {}{name}: there is no such setting; there are {}, {}, {} and {}",
        PREFIX,
        REUSE,
        CONCURRENT,
        QUEUED,
        TIMEOUT
    )]
    Unknown { name: String },
    #[error("annotation {}{name}: {value:?} is not a whole number from {least} to {most}", PREFIX)]
    Number { name: &'static str, value: String, least: u32, most: u32 },
    #[error("annotation {}{}: {value:?} is not a duration from 1ms to 24h, such as 30s or 1m30s", PREFIX, TIMEOUT)]
    Duration { value: String },
}

impl Serving {
    /// What `annotations` ask for. A mistake is refused, lest a pod runs in another way than its author believes.
    pub(crate) fn of(annotations: &BTreeMap<String, String>) -> Result<Self, Error> {
        let mut serving = Self::default();
        for (name, value) in annotations {
            match name.strip_prefix(PREFIX) {
                None => {}
                Some(REUSE) => serving.instance_requests_max = number(REUSE, value, NonZeroU32::MIN, u32::MAX)?,
                Some(CONCURRENT) => serving.requests_max = number(CONCURRENT, value, 1_u32, CONCURRENT_MAX)? as usize,
                Some(QUEUED) => serving.requests_queued_max = number(QUEUED, value, 0_u32, QUEUED_MAX)? as usize,
                Some(TIMEOUT) => serving.request_time_max = duration(value)?,
                Some(name) => return Err(Error::Unknown { name: name.to_owned() }),
            }
        }
        Ok(serving)
    }
}

fn number<N>(name: &'static str, value: &str, least: N, most: u32) -> Result<N, Error>
where
    N: FromStr + Into<u32> + Copy,
{
    let fits = |number: &N| (least.into()..=most).contains(&(*number).into());
    let refused = || Error::Number { name, value: value.to_owned(), least: least.into(), most };
    value.parse().ok().filter(fits).ok_or_else(refused)
}

/// As Go prints durations.
fn duration(value: &str) -> Result<Duration, Error> {
    let parsed = value.parse::<jiff::SignedDuration>().ok().and_then(|span| Duration::try_from(span).ok());
    let fits = |time: &Duration| (Duration::from_millis(1)..=REQUEST_TIMEOUT_MAX).contains(time);
    parsed.filter(fits).ok_or_else(|| Error::Duration { value: value.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(annotations: &[(&str, &str)]) -> Result<Serving, String> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Serving::of(&annotations.iter().map(owned).collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_pod_that_asks_for_nothing_gets_a_fresh_instance_for_each_request_and_a_minute() {
        let serving = of(&[("team", "shop"), ("coracle.dev/other", "x")]).unwrap();
        assert_eq!(serving, Serving::default());
        assert_eq!((serving.instance_requests_max.get(), serving.request_time_max.as_secs()), (1, 60));
    }

    #[test]
    fn every_setting_has_its_annotation() {
        let serving = of(&[
            ("http.coracle.dev/max-instance-reuse-count", "1000"),
            ("http.coracle.dev/max-concurrent-requests", "8"),
            ("http.coracle.dev/max-queued-requests", "0"),
            ("http.coracle.dev/request-timeout", "1m30s"),
        ]);
        let expected = Serving {
            instance_requests_max: NonZeroU32::new(1000).unwrap(),
            requests_max: 8,
            requests_queued_max: 0,
            request_time_max: Duration::from_secs(90),
        };
        assert_eq!(serving.unwrap(), expected);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_in_words() {
        for (name, value, words) in [
            ("max-instance-reuse-count", "0", "\"0\" is not a whole number from 1 to 4294967295"),
            ("max-concurrent-requests", "many", "\"many\" is not a whole number from 1 to 100000"),
            ("max-queued-requests", "-1", "\"-1\" is not a whole number from 0 to 1000000"),
            ("request-timeout", "30", "\"30\" is not a duration from 1ms to 24h, such as 30s or 1m30s"),
            ("request-timeout", "48h", "\"48h\" is not a duration from 1ms to 24h, such as 30s or 1m30s"),
            ("request-timeouts", "30s", "there is no such setting; there are max-instance-reuse-count, "),
        ] {
            let refused = of(&[(&format!("http.coracle.dev/{name}"), value)]).unwrap_err();
            assert!(refused.starts_with(&format!("annotation http.coracle.dev/{name}: {words}")), "{refused}");
        }
    }
}
