//! The query of a request: every parameter, decoded once, read as upstream reads them.

use coracle_api::status::Status;
use url::form_urlencoded;

/// The parameters in the order in which they were sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(query: &str) -> Self {
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// The first value of `name`.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The first value of `name`, or nothing.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// Every value of `name`.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect()
    }

    /// True when `name` is there, whatever it says, except `false` and `0`.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.optional_flag(name).unwrap_or(false)
    }

    pub(crate) fn optional_flag(&self, name: &str) -> Option<bool> {
        self.get(name).map(|value| !value.eq_ignore_ascii_case("false") && value != "0")
    }

    /// The number in `name`.
    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>, Status> {
        let Some(text) = self.get(name) else { return Ok(None) };
        parse_int(text).map(Some).map_err(Status::bad_request)
    }
}

/// Go's `strconv.ParseInt`, with its words.
pub(crate) fn parse_int(text: &str) -> Result<i64, String> {
    text.parse().map_err(|error| number_error("ParseInt", text, &error))
}

/// Go's `strconv.ParseUint`, with its words.
pub(crate) fn parse_uint(text: &str) -> Result<u64, String> {
    // Rust reads a sign where Go does not.
    if text.starts_with('+') {
        return Err(format!("strconv.ParseUint: parsing \"{text}\": invalid syntax"));
    }
    text.parse().map_err(|error| number_error("ParseUint", text, &error))
}

fn number_error(function: &str, text: &str, error: &std::num::ParseIntError) -> String {
    use std::num::IntErrorKind;
    let why = match error.kind() {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
        _ => "invalid syntax",
    };
    format!("strconv.{function}: parsing {}: {why}", coracle_api::validation::go_quote(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_true_unless_they_say_otherwise() {
        let query = Query::parse("a=true&b=perhaps&c=&d=0&e=False&g");
        let found: Vec<bool> = ["a", "b", "c", "d", "e", "f", "g"].iter().map(|name| query.flag(name)).collect();
        assert_eq!(found, [true, true, true, false, false, false, true]);
    }

    #[test]
    fn numbers_fail_in_gos_words() {
        let query = Query::parse("limit=many&big=99999999999999999999&n=-3");
        assert_eq!(query.number("limit").unwrap_err().message, "strconv.ParseInt: parsing \"many\": invalid syntax");
        assert_eq!(
            query.number("big").unwrap_err().message,
            "strconv.ParseInt: parsing \"99999999999999999999\": value out of range"
        );
        assert_eq!(query.number("n").unwrap(), Some(-3));
        assert_eq!(query.number("none").unwrap(), None);
        assert!(parse_uint("-1").is_err() && parse_uint("+1").is_err());
    }
}
