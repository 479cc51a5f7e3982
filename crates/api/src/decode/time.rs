//! RFC 3339 times: read with Go's rules and complaints, written in UTC as Kubernetes writes them.

use jiff::{Timestamp, civil};

const SECONDS: &str = "2006-01-02T15:04:05Z07:00";
const MICROS: &str = "2006-01-02T15:04:05.000000Z07:00";

/// A `Time`: whole seconds.
pub(super) fn seconds(text: &str) -> Result<String, String> {
    let time = Reader { text, rest: text, layout: SECONDS }.read(false)?;
    Ok(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// A `MicroTime`: six digits of a second, no fewer.
pub(super) fn micros(text: &str) -> Result<String, String> {
    let time = Reader { text, rest: text, layout: MICROS }.read(true)?;
    Ok(time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string())
}

/// Walks a layout's elements over a text, as Go's `time.Parse` does.
struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
    layout: &'static str,
}

impl Reader<'_> {
    fn fail<T>(&self, element: &str) -> Result<T, String> {
        let (text, layout, rest) = (self.text, self.layout, self.rest);
        Err(format!("parsing time {text:?} as {layout:?}: cannot parse {rest:?} as {element:?}"))
    }

    fn range<T>(&self, what: &str) -> Result<T, String> {
        Err(format!("parsing time {:?}: {what} out of range", self.text))
    }

    fn digits(&mut self, n_digits: usize, element: &str) -> Result<i32, String> {
        match self.rest.get(..n_digits) {
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.rest = &self.rest[n_digits..];
                Ok(digits.parse().expect("at most nine digits fit"))
            }
            Some(_) | None => self.fail(element),
        }
    }

    fn literal(&mut self, literal: &str) -> Result<(), String> {
        match self.rest.strip_prefix(literal) {
            Some(rest) => {
                self.rest = rest;
                Ok(())
            }
            None => self.fail(literal),
        }
    }

    fn read(mut self, micros: bool) -> Result<Timestamp, String> {
        let year = self.digits(4, "2006")?;
        self.literal("-")?;
        let month = self.digits(2, "01")?;
        if !(1..=12).contains(&month) {
            return self.range("month");
        }
        self.literal("-")?;
        let day = self.digits(2, "02")?;
        self.literal("T")?;
        let hour = self.below(24, "15", "hour")?;
        self.literal(":")?;
        let minute = self.below(60, "04", "minute")?;
        self.literal(":")?;
        let second = self.below(60, "05", "second")?;
        let nanos = if micros { self.exact_micros()? } else { self.fraction() };
        let offset_seconds = self.offset()?;
        if !self.rest.is_empty() {
            return Err(format!("parsing time {:?}: extra text: {:?}", self.text, self.rest));
        }
        let date = i8::try_from(day).ok().and_then(|day| civil::Date::new(year as i16, month as i8, day).ok());
        let Some(date) = date else { return self.range("day") };
        let time = date.at(hour as i8, minute as i8, second as i8, nanos);
        let utc = time.to_zoned(jiff::tz::TimeZone::UTC).map(|zoned| zoned.timestamp());
        match utc.and_then(|utc| utc.checked_sub(jiff::SignedDuration::from_secs(offset_seconds))) {
            Ok(time) => Ok(time),
            Err(_) => self.range("year"),
        }
    }

    fn below(&mut self, limit: i32, element: &str, what: &str) -> Result<i32, String> {
        let value = self.digits(2, element)?;
        if value < limit { Ok(value) } else { self.range(what) }
    }

    fn exact_micros(&mut self) -> Result<i32, String> {
        match self.rest.strip_prefix('.').and_then(|rest| rest.get(..6)) {
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.rest = &self.rest[7..];
                Ok(digits.parse::<i32>().expect("six digits fit") * 1000)
            }
            Some(_) | None => self.fail(".000000"),
        }
    }

    /// A fraction that the layout does not name is read all the same.
    fn fraction(&mut self) -> i32 {
        let Some(rest) = self.rest.strip_prefix(['.', ',']) else { return 0 };
        let n_digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if n_digits > 0 {
            self.rest = &rest[n_digits..];
        }
        0
    }

    fn offset(&mut self) -> Result<i64, String> {
        if let Some(rest) = self.rest.strip_prefix('Z') {
            self.rest = rest;
            return Ok(0);
        }
        let whole = self.rest;
        let bytes = whole.as_bytes();
        let sign = match bytes.first() {
            Some(b'+') => 1,
            Some(b'-') => -1,
            Some(_) | None => return self.fail("Z07:00"),
        };
        let two = |at: usize| whole.get(at..at + 2).and_then(|digits| digits.parse::<u8>().ok()).map(i64::from);
        match (two(1), bytes.get(3), two(4)) {
            (Some(hours), Some(b':'), Some(minutes)) if hours <= 24 && minutes <= 60 => {
                self.rest = &whole[6..];
                Ok(sign * (hours * 3600 + minutes * 60))
            }
            _ => self.fail("Z07:00"),
        }
    }
}
