//! Amounts of resources: `500m`, `1.5Gi`, `2e3`. Exact to a billionth, printed in the one form that Kubernetes stores.

use std::fmt;
use std::ops::{Add, Sub};

mod parse;

pub(crate) use parse::interpret as suffix;

const NANO: i128 = 1_000_000_000;
/// What an amount is capped at, in either direction.
const MAX: i128 = i64::MAX as i128 * NANO;

/// An amount that is no amount. The texts are upstream's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    #[error("unable to parse numeric part of quantity")]
    Numeric,
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

/// How an amount is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `1.5k`
    DecimalSi,
    /// `1.5Ki`
    BinarySi,
    /// `1.5e3`
    DecimalExponent,
}

/// An exact amount. Two amounts are equal when they are as large, however they are printed.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

impl Quantity {
    pub const ZERO: Self = Self { nanos: 0, format: Format::DecimalSi };

    pub fn from_int(value: i64) -> Self {
        Self { nanos: i128::from(value) * NANO, format: Format::DecimalSi }
    }

    /// Thousandths: 1500 is `1500m`.
    pub fn from_milli(value: i64) -> Self {
        Self { nanos: i128::from(value) * (NANO / 1000), format: Format::DecimalSi }
    }

    /// Bytes, which are printed in powers of 1024.
    pub fn from_bytes(value: i64) -> Self {
        Self { format: Format::BinarySi, ..Self::from_int(value) }
    }

    /// The next whole number, away from zero.
    pub fn value(&self) -> i64 {
        self.scaled(NANO)
    }

    /// The next whole thousandth, away from zero.
    pub fn milli_value(&self) -> i64 {
        self.scaled(NANO / 1000)
    }

    fn scaled(&self, unit: i128) -> i64 {
        let whole = self.nanos / unit;
        let up = if self.nanos % unit == 0 { 0 } else { self.nanos.signum() };
        (whole + up).clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
    }

    pub(crate) fn nanos(&self) -> i128 {
        self.nanos
    }

    pub fn as_f64(&self) -> f64 {
        self.nanos as f64 / NANO as f64
    }

    pub fn is_zero(&self) -> bool {
        self.nanos == 0
    }

    pub fn is_negative(&self) -> bool {
        self.nanos < 0
    }

    /// Whether the amount is a whole number.
    pub fn is_whole(&self) -> bool {
        self.nanos % NANO == 0
    }

    fn capped(nanos: i128, format: Format) -> Self {
        Self { nanos: nanos.clamp(-MAX, MAX), format }
    }

    /// The format of the first amount that is not zero wins.
    fn format_with(&self, other: &Self) -> Format {
        if self.is_zero() { other.format } else { self.format }
    }
}

impl std::str::FromStr for Quantity {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parse::quantity(text)
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl Add for Quantity {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self::capped(self.nanos + other.nanos, self.format_with(&other))
    }
}

impl Sub for Quantity {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self::capped(self.nanos - other.nanos, self.format_with(&other))
    }
}

const DECIMAL: [(i32, &str); 10] =
    [(-9, "n"), (-6, "u"), (-3, "m"), (0, ""), (3, "k"), (6, "M"), (9, "G"), (12, "T"), (15, "P"), (18, "E")];
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let small = self.nanos.abs() < 1024 * NANO;
        match self.format {
            _ if self.is_zero() => f.write_str("0"),
            Format::BinarySi if small || !self.is_whole() => self.fmt_decimal(f, Format::DecimalSi),
            Format::BinarySi => self.fmt_binary(f),
            format @ (Format::DecimalSi | Format::DecimalExponent) => self.fmt_decimal(f, format),
        }
    }
}

impl Quantity {
    /// The largest unit, in steps of a thousand, that needs no fraction.
    fn fmt_decimal(&self, f: &mut fmt::Formatter<'_>, format: Format) -> fmt::Result {
        let (mut mantissa, mut exponent) = (self.nanos, -9);
        while mantissa % 1000 == 0 && exponent < 18 {
            mantissa /= 1000;
            exponent += 3;
        }
        match format {
            Format::DecimalExponent => write!(f, "{mantissa}e{exponent}"),
            Format::DecimalSi | Format::BinarySi => {
                let suffix = DECIMAL.iter().find(|(e, _)| *e == exponent).map_or("", |(_, suffix)| suffix);
                write!(f, "{mantissa}{suffix}")
            }
        }
    }

    fn fmt_binary(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut mantissa, mut power) = (self.nanos / NANO, 0);
        while mantissa % 1024 == 0 && power + 1 < BINARY.len() {
            mantissa /= 1024;
            power += 1;
        }
        write!(f, "{mantissa}{}", BINARY[power])
    }
}

/// The form in which an amount is stored.
pub fn canonical(text: &str) -> Result<String, Error> {
    Ok(text.parse::<Quantity>()?.to_string())
}

#[cfg(test)]
mod tests;
