//! Decodes scalars, the ones with a form of their own included: quantities, times, int-or-string, bytes.

use serde_json::Value;

use super::{Place, Walk};
use crate::{
    decode::{Error, base64, duration, literal, parser::Next, quantity, time},
    schema::Scalar,
};

impl Walk<'_> {
    pub(super) fn scalar(&mut self, scalar: Scalar, place: &Place<'_>) -> Result<Option<Value>, Error> {
        let next = self.parser.next()?;
        if next == Next::Null {
            return self.null();
        }
        match scalar {
            Scalar::String => match next {
                Next::String => Ok(Some(Value::String(self.parser.string()?.into_owned()))),
                other => self.wrong(other, "string", place),
            },
            Scalar::Bool => match next {
                Next::True => self.parser.word("true").map(|()| Some(Value::Bool(true))),
                Next::False => self.parser.word("false").map(|()| Some(Value::Bool(false))),
                other => self.wrong(other, "bool", place),
            },
            Scalar::Int32 => self.integer(next, "int32", i64::from(i32::MIN)..=i64::from(i32::MAX), place),
            Scalar::Int64 => self.integer(next, "int64", i64::MIN..=i64::MAX, place),
            Scalar::Double => self.double(next, place),
            Scalar::Bytes => self.bytes(next, place),
            Scalar::Quantity => self.quantity(next, place),
            Scalar::IntOrString => self.int_or_string(next, place),
            Scalar::Time => self.text(next, place, time::seconds),
            Scalar::MicroTime => self.text(next, place, time::micros),
            Scalar::Duration => self.text(next, place, duration::canonical),
            Scalar::RawExtension | Scalar::FieldsV1 => self.any(place, false).map(Some),
        }
    }

    fn integer(
        &mut self,
        next: Next,
        go_type: &str,
        range: std::ops::RangeInclusive<i64>,
        place: &Place<'_>,
    ) -> Result<Option<Value>, Error> {
        if next != Next::Number {
            return self.wrong(next, go_type, place);
        }
        let text = self.parser.number()?;
        match text.parse::<i64>().ok().filter(|integer| range.contains(integer)) {
            Some(integer) => Ok(Some(integer.into())),
            None => {
                self.mistype(&format!("number {text}"), go_type, place);
                Ok(None)
            }
        }
    }

    fn double(&mut self, next: Next, place: &Place<'_>) -> Result<Option<Value>, Error> {
        if next != Next::Number {
            return self.wrong(next, "float64", place);
        }
        let text = self.parser.number()?;
        match text.parse::<f64>().ok().filter(|float| float.is_finite()) {
            Some(float) => Ok(Some(literal::float_value(float))),
            None => {
                self.mistype(&format!("number {text}"), "float64", place);
                Ok(None)
            }
        }
    }

    fn bytes(&mut self, next: Next, place: &Place<'_>) -> Result<Option<Value>, Error> {
        if next != Next::String {
            return self.wrong(next, "[]uint8", place);
        }
        let text = self.parser.string()?;
        match base64::canonical(&text) {
            Ok(text) => Ok(Some(Value::String(text.into_owned()))),
            Err(error) => {
                self.mistyped.get_or_insert(error);
                Ok(None)
            }
        }
    }

    /// A form that JSON writes as text and that refuses everything else by itself.
    fn text(
        &mut self,
        next: Next,
        place: &Place<'_>,
        canonical: fn(&str) -> Result<String, String>,
    ) -> Result<Option<Value>, Error> {
        if next != Next::String {
            self.any(place, false)?;
            self.refuse(format!("json: cannot unmarshal {} into Go value of type string", next.word()));
            return Ok(None);
        }
        let text = self.parser.string()?;
        Ok(canonical(&text).map_err(|error| self.refuse(error)).ok().map(Value::String))
    }

    fn quantity(&mut self, next: Next, place: &Place<'_>) -> Result<Option<Value>, Error> {
        let text = match next {
            Next::String => self.parser.string()?,
            Next::Number => self.parser.number()?.into(),
            _ => self.any(place, false)?.to_string().into(),
        };
        Ok(quantity::canonical(text.trim()).map_err(|error| self.refuse(error)).ok().map(Value::String))
    }

    fn int_or_string(&mut self, next: Next, place: &Place<'_>) -> Result<Option<Value>, Error> {
        let got = match next {
            Next::String => return Ok(Some(Value::String(self.parser.string()?.into_owned()))),
            Next::Number => {
                let text = self.parser.number()?;
                match text.parse::<i32>() {
                    Ok(integer) => return Ok(Some(integer.into())),
                    Err(_) => format!("number {text}"),
                }
            }
            other => {
                self.any(place, false)?;
                other.word().to_owned()
            }
        };
        self.refuse(format!("json: cannot unmarshal {got} into Go value of type int32"));
        Ok(None)
    }
}
