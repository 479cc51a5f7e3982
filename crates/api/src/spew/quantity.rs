//! Amounts as Go keeps them: short ones as a number with a scale, and with their text where that is canonical already.

use crate::quantity::{Format, Quantity, suffix};

/// Decimal digits that surely fit an `int64`.
const DECIMAL_DIGITS_MAX: i64 = 18;
const BINARY_DIGITS_MAX: i64 = 15;
const NANO: i64 = -9;

/// What stays short.
struct Short<'t> {
    value: i64,
    scale: i64,
    text: &'t str,
}

pub(super) fn write(out: &mut String, text: &str) {
    let parts = if text == "0" { None } else { Parts::of(text) };
    let format = parts.as_ref().map_or(Format::DecimalSi, |parts| parts.format);
    let short = match &parts {
        None => Some(Short { value: 0, scale: 0, text }),
        Some(parts) => parts.short(text),
    };
    let decimal = if short.is_some() { "(*inf.Dec)<nil>".to_owned() } else { long(text) };
    let Short { value, scale, text } = short.unwrap_or(Short { value: 0, scale: 0, text: "" });
    let format = match format {
        Format::DecimalSi => "DecimalSI",
        Format::BinarySi => "BinarySI",
        Format::DecimalExponent => "DecimalExponent",
    };
    out.push_str(&format!(
        "{{i:(resource.int64Amount){{value:(int64){value} scale:(resource.Scale){scale}}} \
         d:(resource.infDecAmount){{Dec:{decimal}}} s:(string){text} Format:(resource.Format){format}}}"
    ));
}

/// An amount's text, taken apart.
struct Parts<'t> {
    is_negative: bool,
    whole: &'t str,
    fraction: &'t str,
    exponent: i64,
    format: Format,
}

impl<'t> Parts<'t> {
    fn of(text: &'t str) -> Option<Self> {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, rest) = unsigned.split_at(end);
        let (_, exponent, format) = suffix(rest)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        Some(Self { is_negative: text.starts_with('-'), whole, fraction, exponent, format })
    }

    fn short(&self, text: &'t str) -> Option<Short<'t>> {
        let digits = format!("{}{}", self.whole, self.fraction);
        let number: i64 = digits.parse().ok()?;
        let is_binary = self.format == Format::BinarySi;
        let (factor, scale, room) = if is_binary {
            let used = self.whole.len() as i64 + self.exponent * 3 / 10 + 1;
            (1i64.checked_shl(u32::try_from(self.exponent).ok()?)?, 0, BINARY_DIGITS_MAX - used)
        } else {
            (1, self.exponent - self.fraction.len() as i64, DECIMAL_DIGITS_MAX - digits.len() as i64)
        };
        if room < 0 || scale < NANO || (is_binary && !self.fraction.is_empty()) {
            return None;
        }
        let value = number.checked_mul(factor)?;
        let is_canonical = match is_binary {
            true => number & 7 != 0,
            false => scale % 3 == 0 && !digits.ends_with("000") && !digits.starts_with('0'),
        };
        let value = if self.is_negative { -value } else { value };
        Some(Short { value, scale, text: if is_canonical { text } else { "" } })
    }
}

/// What an `int64` cannot hold for sure: a decimal of billionths, in words of 64 bits.
fn long(text: &str) -> String {
    let nanos = text.parse::<Quantity>().map_or(0, |quantity| quantity.nanos());
    let magnitude = nanos.unsigned_abs();
    let words: Vec<String> = [magnitude as u64, (magnitude >> 64) as u64]
        .iter()
        .enumerate()
        .filter(|(idx, word)| *idx == 0 || **word != 0)
        .map(|(_, word)| word.to_string())
        .collect();
    format!(
        "(*inf.Dec){{unscaled:(big.Int){{neg:(bool){} abs:(big.nat)[{}]}} scale:(inf.Scale)9}}",
        nanos < 0,
        words.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(text: &str) -> String {
        let mut out = String::new();
        write(&mut out, text);
        out.replace("(resource.int64Amount)", "").replace("(resource.Scale)", "").replace("(resource.infDecAmount)", "")
    }

    #[test]
    fn a_short_amount_keeps_its_text_only_where_it_is_canonical_for_sure() {
        let cases = [
            ("0", 0, 0, "0", "DecimalSI"),
            ("100m", 100, -3, "100m", "DecimalSI"),
            ("2", 2, 0, "2", "DecimalSI"),
            ("5k", 5, 3, "5k", "DecimalSI"),
            ("64Mi", 67_108_864, 0, "", "BinarySI"),
            ("100Mi", 104_857_600, 0, "100Mi", "BinarySI"),
            ("1Gi", 1_073_741_824, 0, "1Gi", "BinarySI"),
            ("12e6", 12, 6, "12e6", "DecimalExponent"),
            ("-1", -1, 0, "-1", "DecimalSI"),
        ];
        for (text, value, scale, kept, format) in cases {
            let expected = format!(
                "{{i:{{value:(int64){value} scale:{scale}}} d:{{Dec:(*inf.Dec)<nil>}} s:(string){kept} Format:(resource.Format){format}}}"
            );
            assert_eq!(printed(text), expected, "{text}");
        }
    }

    #[test]
    fn a_long_amount_is_a_decimal() {
        assert_eq!(
            printed("100Ti"),
            "{i:{value:(int64)0 scale:0} d:{Dec:(*inf.Dec){unscaled:(big.Int){neg:(bool)false \
             abs:(big.nat)[WORDS]} scale:(inf.Scale)9}} s:(string) Format:(resource.Format)BinarySI}"
                .replace("WORDS", &words(100 << 40))
        );
    }

    fn words(amount: u128) -> String {
        let nanos = amount * 1_000_000_000;
        format!("{} {}", nanos % (1 << 64), nanos >> 64)
    }
}
