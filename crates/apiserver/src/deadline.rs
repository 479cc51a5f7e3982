//! How long a request may take: what the server allows, or less when the client says so.

use std::time::Duration;

use coracle_api::status::Status;

use crate::query::Query;

/// Bytes of a duration that are looked at. Longer ones are no duration that anybody means.
const TEXT_BYTES_MAX: usize = 64;

/// The time that a request has, by its `timeout` parameter and the server's own maximum.
pub(crate) fn of(query: &Query, time_max: Duration) -> Result<Duration, Status> {
    let text = query.text("timeout");
    if text.is_empty() {
        return Ok(time_max);
    }
    let seconds = parse(text)
        .map_err(|why| Status::bad_request(format!("invalid timeout specified in the request URL - {why}")))?;
    // Nothing, or less, is no wish.
    let is_wish = seconds > 0.0 && seconds < time_max.as_secs_f64();
    Ok(if is_wish { Duration::from_secs_f64(seconds) } else { time_max })
}

/// Go's `time.ParseDuration`, in seconds, with its words.
fn parse(text: &str) -> Result<f64, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    if text.len() > TEXT_BYTES_MAX {
        return Err(invalid());
    }
    let (sign, unsigned) = match text.as_bytes() {
        [b'-', ..] => (-1.0, &text[1..]),
        [b'+', ..] => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    if unsigned == "0" {
        return Ok(0.0);
    }
    if unsigned.is_empty() {
        return Err(invalid());
    }
    let (mut rest, mut seconds) = (unsigned, 0.0);
    while !rest.is_empty() {
        let n_digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(n_digits);
        let n_unit = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(n_unit);
        let number: f64 = number.parse().map_err(|_| invalid())?;
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {text:?}"));
        }
        seconds +=
            number * unit_seconds(unit).ok_or_else(|| format!("time: unknown unit {unit:?} in duration {text:?}"))?;
        rest = tail;
    }
    Ok(sign * seconds)
}

fn unit_seconds(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1e-9,
        "us" | "µs" | "μs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Duration = Duration::from_secs(60);

    fn of_text(text: &str) -> Result<Duration, String> {
        let query = Query::parse(&format!("timeout={text}"));
        of(&query, MAX).map_err(|status| status.message)
    }

    #[test]
    fn a_client_may_ask_for_less_time_and_gets_no_more() {
        for (text, expected) in [("", MAX), ("10s", MAX / 6), ("1m", MAX), ("1h30m", MAX), ("0", MAX), ("-5s", MAX)] {
            assert_eq!(of_text(text), Ok(expected), "{text}");
        }
        assert_eq!(of_text("1s500ms"), Ok(Duration::from_millis(1500)));
        assert_eq!(of_text("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(of_text(".5s"), Ok(Duration::from_millis(500)));
    }

    #[test]
    fn what_is_no_duration_is_refused_in_gos_words() {
        let refused = |text: &str| of_text(text).unwrap_err();
        let prefix = "invalid timeout specified in the request URL - time:";
        assert_eq!(refused("abc"), format!("{prefix} invalid duration \"abc\""));
        assert_eq!(refused("5"), format!("{prefix} missing unit in duration \"5\""));
        assert_eq!(refused("5x"), format!("{prefix} unknown unit \"x\" in duration \"5x\""));
        assert_eq!(refused("-"), format!("{prefix} invalid duration \"-\""));
        assert_eq!(refused("1..5s"), format!("{prefix} invalid duration \"1..5s\""));
    }
}
