//! Reading amounts.

use super::{BINARY, DECIMAL, Error, Format, MAX, NANO, Quantity};

/// Digits beyond this many are too small, or too large, to matter.
const DIGITS_MAX: usize = 30;

pub(super) fn quantity(text: &str) -> Result<Quantity, Error> {
    let (negative, rest) = match text.strip_prefix(['+', '-']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    if text.is_empty() {
        return Err(Error::Format);
    }
    let number_end = number_end(rest);
    let (number, suffix) = rest.split_at(number_end);
    check_suffix(suffix)?;
    let (base, exponent, mut format) = interpret(suffix).ok_or(Error::Suffix)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return Err(Error::Numeric);
    }
    let nanos = nanos(whole, fraction, base, exponent);
    if format == Format::BinarySi && nanos > 0 && nanos < NANO {
        format = Format::DecimalSi;
    }
    Ok(Quantity { nanos: if negative { -nanos } else { nanos }, format })
}

/// Digits with at most one point.
fn number_end(text: &str) -> usize {
    let mut point = false;
    for (i, c) in text.char_indices() {
        match c {
            '0'..='9' => {}
            '.' if !point => point = true,
            _ => return i,
        }
    }
    text.len()
}

fn check_suffix(suffix: &str) -> Result<(), Error> {
    let rest = suffix.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
    let rest = rest.strip_prefix(['-', '+']).unwrap_or(rest);
    if rest.bytes().all(|b| b.is_ascii_digit()) { Ok(()) } else { Err(Error::Format) }
}

/// The base, the exponent and the format that a suffix stands for.
pub(crate) fn interpret(suffix: &str) -> Option<(u32, i64, Format)> {
    if let Some((exponent, _)) = DECIMAL.iter().find(|(_, s)| *s == suffix) {
        return Some((10, i64::from(*exponent), Format::DecimalSi));
    }
    if let Some(power) = BINARY.iter().position(|s| *s == suffix) {
        return Some((2, power as i64 * 10, Format::BinarySi));
    }
    let exponent = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    Some((10, exponent, Format::DecimalExponent))
}

/// `whole.fraction * base^exponent` in billionths, rounded up, capped.
fn nanos(whole: &str, fraction: &str, base: u32, exponent: i64) -> i128 {
    let whole = whole.trim_start_matches('0');
    let digits: String = whole.chars().chain(fraction.chars()).collect();
    let scale = if base == 10 { 9 + exponent } else { 9 } - fraction.len() as i64;
    let factor = if base == 2 { 1i128 << exponent } else { 1 };
    let significant = digits.trim_start_matches('0');
    if significant.is_empty() {
        return 0;
    }
    let size = significant.len() as i64 + scale;
    if size > DIGITS_MAX as i64 {
        return MAX;
    }
    if size < -(DIGITS_MAX as i64) {
        return 1;
    }
    let kept = &significant[..significant.len().min(DIGITS_MAX)];
    let dropped = significant.len() - kept.len();
    let rest = significant[kept.len()..].bytes().any(|b| b != b'0');
    let mantissa: i128 = kept.parse().expect("thirty digits fit 128 bits");
    let rounded = shift(mantissa.saturating_mul(factor), scale + dropped as i64, rest);
    rounded.min(MAX)
}

fn shift(mantissa: i128, scale: i64, rest: bool) -> i128 {
    let power = 10i128.checked_pow(scale.unsigned_abs().min(38) as u32).unwrap_or(i128::MAX);
    if scale >= 0 {
        return mantissa.saturating_mul(power);
    }
    mantissa / power + i128::from(rest || mantissa % power != 0)
}
