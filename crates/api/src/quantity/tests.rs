//! Amounts in tables, and laws that hold for all of them.

use proptest::prelude::*;

use super::*;

#[test]
fn amounts_are_printed_in_one_form() {
    let table = [
        ("0", "0"),
        ("1", "1"),
        ("1.5", "1500m"),
        ("100m", "100m"),
        ("1000m", "1"),
        ("0.1", "100m"),
        ("1024", "1024"),
        ("1000", "1k"),
        ("1500", "1500"),
        ("1Ki", "1Ki"),
        ("1024Ki", "1Mi"),
        ("1.5Gi", "1536Mi"),
        ("0.5Gi", "512Mi"),
        ("512", "512"),
        ("1023Ki", "1023Ki"),
        ("100Ki", "100Ki"),
        ("0.5Ki", "512"),
        ("1e3", "1e3"),
        ("1E3", "1e3"),
        ("12e2", "1200e0"),
        ("1e0", "1e0"),
        ("1E", "1E"),
        ("5G", "5G"),
        ("-1", "-1"),
        ("+2", "2"),
        ("1n", "1n"),
        ("0.1n", "1n"),
        ("1u", "1u"),
        ("0.0000000001", "1n"),
        ("3.", "3"),
        (".5", "500m"),
        ("10000000000000000000", "9223372036854775807"),
        ("0Ki", "0"),
        ("1.1Ki", "1126400m"),
        ("64Mi", "64Mi"),
        ("128974848", "128974848"),
        ("129e6", "129e6"),
        ("2Ti", "2Ti"),
        ("00100", "100"),
    ];
    for (text, printed) in table {
        assert_eq!(canonical(text).as_deref(), Ok(printed), "{text}");
    }
}

#[test]
fn what_is_no_amount_is_refused_in_upstreams_words() {
    for (text, error) in [
        ("", Error::Format),
        ("abc", Error::Format),
        ("1.2.3", Error::Format),
        ("1 Gi", Error::Format),
        ("1Kk", Error::Suffix),
        ("Ki", Error::Numeric),
        ("1ee", Error::Suffix),
        ("-", Error::Numeric),
        ("1kb", Error::Format),
    ] {
        assert_eq!(text.parse::<Quantity>(), Err(error), "{text}");
    }
}

#[test]
fn whole_numbers_round_away_from_zero() {
    let q = |text: &str| text.parse::<Quantity>().expect(text);
    assert_eq!((q("1.1").value(), q("-1.1").value(), q("0.1m").milli_value(), q("2").milli_value()), (2, -2, 1, 2000));
    assert_eq!((q("1Gi") + q("1G")).to_string(), "2073741824");
    assert!(q("1Ki") > q("1k") && q("1000m") == q("1"));
}

proptest! {
    #[test]
    fn printing_loses_nothing(nanos in -MAX..MAX, format in 0..3) {
        let format = [Format::DecimalSi, Format::BinarySi, Format::DecimalExponent][format as usize];
        let amount = Quantity { nanos, format };
        let printed = amount.to_string();
        prop_assert_eq!(printed.parse::<Quantity>(), Ok(amount));
        prop_assert_eq!(canonical(&printed), Ok(printed));
    }

    #[test]
    fn any_text_is_an_amount_or_an_error(text in "[-+]?[0-9.]{0,6}[eEinumkKMGTPi]{0,3}[-+]?[0-9]{0,3}") {
        if let Ok(amount) = text.parse::<Quantity>() {
            prop_assert_eq!(amount.to_string().parse::<Quantity>(), Ok(amount));
        }
    }
}
