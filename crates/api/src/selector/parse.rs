//! The text form of label selectors, with upstream's words for what does not parse.

use super::{Operator, Requirement, joined};
use crate::names::qualified_name;
use crate::validation::FieldError;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// A key, a value, or one of the words `in` and `notin`.
    Word(String),
    /// `=`, `==`, `!=`, `<`, `>`, `!`, `(`, `)` or `,`.
    Symbol(&'static str),
    /// Symbols that mean nothing together.
    Nonsense(String),
    End,
}

impl Token {
    fn text(&self) -> &str {
        match self {
            Self::Word(text) | Self::Nonsense(text) => text,
            Self::Symbol(symbol) => symbol,
            Self::End => "",
        }
    }

    fn is(&self, symbol: &str) -> bool {
        matches!(self, Self::Symbol(s) if *s == symbol)
    }

    fn ends_requirement(&self) -> bool {
        *self == Self::End || self.is(",")
    }
}

const SYMBOLS: [&str; 9] = [")", ",", "!", "==", "=", ">", "<", "!=", "("];
const OPERATORS: &str = "in, notin, =, ==, !=, gt, lt";

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_symbol(c: char) -> bool {
    matches!(c, '=' | '!' | '(' | ')' | ',' | '>' | '<')
}

fn tokens(text: &str) -> Vec<Token> {
    let mut rest = text.trim_start_matches(is_space);
    let mut tokens = Vec::new();
    while !rest.is_empty() {
        let (token, length) = if rest.starts_with(is_symbol) { symbol(rest) } else { word(rest) };
        tokens.push(token);
        rest = rest[length..].trim_start_matches(is_space);
    }
    tokens.push(Token::End);
    tokens
}

fn word(rest: &str) -> (Token, usize) {
    let length = rest.find(|c| is_symbol(c) || is_space(c)).unwrap_or(rest.len());
    (Token::Word(rest[..length].to_owned()), length)
}

/// The longest symbol that can be read without passing over something that is none.
fn symbol(rest: &str) -> (Token, usize) {
    let run = rest.find(|c| !is_symbol(c)).unwrap_or(rest.len());
    let mut found = None;
    for length in 1..=run {
        match SYMBOLS.iter().find(|s| **s == &rest[..length]) {
            Some(symbol) => found = Some((Token::Symbol(symbol), length)),
            None if found.is_some() => break,
            None => {}
        }
    }
    found.unwrap_or_else(|| (Token::Nonsense(format!("error expected: keyword found '{}'", &rest[..run])), run))
}

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
}

impl Parser {
    fn peek(&mut self) -> Token {
        self.tokens.peek().cloned().unwrap_or(Token::End)
    }

    fn next(&mut self) -> Token {
        self.tokens.next().unwrap_or(Token::End)
    }
}

pub(super) fn requirements(text: &str) -> Result<Vec<Requirement>, String> {
    let mut parser = Parser { tokens: tokens(text).into_iter().peekable() };
    let mut requirements = Vec::new();
    loop {
        match parser.peek() {
            Token::End => return Ok(requirements),
            token if matches!(token, Token::Word(_)) || token.is("!") => {
                requirements.push(requirement(&mut parser).map_err(|e| format!("unable to parse requirement: {e}"))?);
            }
            token => return Err(format!("found '{}', expected: !, identifier, or 'end of string'", token.text())),
        }
        match parser.next() {
            Token::End => return Ok(requirements),
            token if token.is(",") => after_comma(&parser.peek())?,
            token => return Err(format!("found '{}', expected: ',' or 'end of string'", token.text())),
        }
    }
}

fn after_comma(token: &Token) -> Result<(), String> {
    if matches!(token, Token::Word(_)) || token.is("!") {
        return Ok(());
    }
    Err(format!("found '{}', expected: identifier after ','", token.text()))
}

fn requirement(parser: &mut Parser) -> Result<Requirement, String> {
    let mut token = parser.next();
    let negated = token.is("!");
    if negated {
        token = parser.next();
    }
    let Token::Word(key) = token else {
        return Err(format!("found '{}', expected: identifier", token.text()));
    };
    let problems = qualified_name(&key);
    if !problems.is_empty() {
        return Err(FieldError::invalid("<nil>", &key.into(), &problems.join("; ")).to_string());
    }
    if negated {
        return checked(&key, Operator::DoesNotExist, Vec::new());
    }
    if parser.peek().ends_requirement() {
        return checked(&key, Operator::Exists, Vec::new());
    }
    let operator = operator(parser)?;
    let values = match operator {
        Operator::In | Operator::NotIn => set(parser)?,
        _ => vec![exact(parser)?],
    };
    checked(&key, operator, values)
}

fn checked(key: &str, operator: Operator, mut values: Vec<String>) -> Result<Requirement, String> {
    values.sort();
    values.dedup();
    Requirement::checked(key, operator, values).map_err(|errors| joined(&errors))
}

fn operator(parser: &mut Parser) -> Result<Operator, String> {
    let token = parser.next();
    match (&token, token.text()) {
        (Token::Word(_), "in") => Ok(Operator::In),
        (Token::Word(_), "notin") => Ok(Operator::NotIn),
        (Token::Symbol(_), "=") => Ok(Operator::Equals),
        (Token::Symbol(_), "==") => Ok(Operator::DoubleEquals),
        (Token::Symbol(_), "!=") => Ok(Operator::NotEquals),
        (Token::Symbol(_), ">") => Ok(Operator::GreaterThan),
        (Token::Symbol(_), "<") => Ok(Operator::LessThan),
        (_, found) => Err(format!("found '{found}', expected: {OPERATORS}")),
    }
}

fn exact(parser: &mut Parser) -> Result<String, String> {
    if parser.peek().ends_requirement() {
        return Ok(String::new());
    }
    match parser.next() {
        Token::Word(value) => Ok(value),
        token => Err(format!("found '{}', expected: identifier", token.text())),
    }
}

fn set(parser: &mut Parser) -> Result<Vec<String>, String> {
    let open = parser.next();
    if !open.is("(") {
        return Err(format!("found '{}' expected: '('", open.text()));
    }
    let mut values = Vec::new();
    loop {
        match parser.next() {
            token if token.is(")") => {
                values.push(String::new());
                return Ok(values);
            }
            token if token.is(",") => values.push(String::new()),
            Token::Word(value) => {
                values.push(value);
                match parser.next() {
                    token if token.is(")") => return Ok(values),
                    token if token.is(",") => {}
                    token => return Err(format!("found '{}', expected: ',' or ')'", token.text())),
                }
            }
            token if values.is_empty() => {
                return Err(format!("found '{}', expected: ',', ')' or identifier", token.text()));
            }
            token => return Err(format!("found '{}', expected: ',', or identifier", token.text())),
        }
    }
}
