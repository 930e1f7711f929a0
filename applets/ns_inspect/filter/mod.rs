//! Filter expressions as libsmartcols has them: scols-filter(5).
//!
//! `and` and `or` bind equally and to the left, comparisons tighter, `!` tightest. Both sides of a comparison are
//! brought to one type: that of the literal where one side is a column.
//!
//! In our own views numbers may be written as people do: `1.5M` bytes, `1h30m`.

mod scan;
mod value;

use nskit::sys::regex::Regex;

pub(crate) use self::value::Value;

use self::scan::{Comparison, ScanNumber, Token, scan, scan_human, scan_number};
use self::value::Type;

const MAX_BYTES: usize = 1024;
const MAX_NODES: usize = 256;
const MAX_PATTERN: usize = 256;

enum Node {
    Value(Value),
    /// An index into [`Filter::columns`].
    Column(usize),
    Not(Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Compare(Comparison, Box<Node>, Box<Node>),
    Match {
        pattern: Regex,
        text: Box<Node>,
        wanted: bool,
    },
}

/// A parsed expression.
pub(crate) struct Filter {
    root: Option<Node>,
    columns: Vec<String>,
    text: String,
}

impl Filter {
    /// Parses an expression; an empty one lets everything through.
    ///
    /// The error is a sentence that says what was unexpected.
    pub(crate) fn parse(expression: &str) -> Result<Filter, String> {
        Filter::parse_with(expression, scan_number)
    }

    /// The same, with sizes that have a fraction, and with times, which are numbers of seconds.
    pub(crate) fn parse_human(expression: &str) -> Result<Filter, String> {
        Filter::parse_with(expression, scan_human)
    }

    fn parse_with(expression: &str, number: ScanNumber) -> Result<Filter, String> {
        if expression.len() > MAX_BYTES {
            return Err(format!("the expression is longer than {MAX_BYTES} bytes"));
        }
        let tokens = scan(expression, number)?;
        let mut parser = Parser { tokens: tokens.into_iter().peekable(), columns: Vec::new(), nodes: 0 };
        if parser.tokens.peek().is_none() {
            return Ok(Filter { root: None, columns: Vec::new(), text: expression.to_owned() });
        }
        let root = parser.expression()?;
        if let Some(token) = parser.tokens.next() {
            return Err(format!("syntax error, unexpected {}, expecting end of file", token.name()));
        }
        Ok(Filter { root: Some(root), columns: parser.columns, text: expression.to_owned() })
    }

    /// The expression as it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The names of columns as they were written.
    pub(crate) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Whether a row passes, whose values `value` gives by the position in [`Filter::columns`].
    pub(crate) fn passes(&self, mut value: impl FnMut(usize) -> Value) -> bool {
        self.root.as_ref().is_none_or(|root| eval(root, &mut value).is_true())
    }
}

fn eval(node: &Node, value: &mut dyn FnMut(usize) -> Value) -> Value {
    match node {
        Node::Value(literal) => literal.clone(),
        Node::Column(column) => value(*column),
        Node::Not(inner) => Value::Boolean(!eval(inner, value).is_true()),
        Node::And(a, b) => Value::Boolean(eval(a, value).is_true() && eval(b, value).is_true()),
        Node::Or(a, b) => Value::Boolean(eval(a, value).is_true() || eval(b, value).is_true()),
        Node::Match { pattern, text, wanted } => {
            let text = match eval(text, value).cast(Type::Text) {
                Value::Text(text) => text,
                _ => String::new(),
            };
            Value::Boolean(pattern.matches(&text) == *wanted)
        }
        Node::Compare(comparison, a, b) => {
            let (left, right) = (eval(a, value), eval(b, value));
            // A missing value equals nothing, as in SQL, but differs from any text.
            let (Some(left_type), Some(right_type)) = (left.kind(), right.kind()) else {
                let text = [&left, &right].into_iter().any(|side| side.kind() == Some(Type::Text));
                return Value::Boolean(*comparison == Comparison::NotEqual && text);
            };
            let mut kind = match (&**a, &**b) {
                (Node::Column(_), Node::Column(_)) => left_type,
                (Node::Column(_), _) => right_type,
                _ => left_type,
            };
            if kind == Type::Number && [left_type, right_type].contains(&Type::Float) {
                kind = Type::Float;
            }
            let ordering = left.cast(kind).compare(&right.cast(kind));
            Value::Boolean(comparison.holds(ordering))
        }
    }
}

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    columns: Vec<String>,
    nodes: usize,
}

impl Parser {
    fn count(&mut self) -> Result<(), String> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(format!("the expression has more than {MAX_NODES} parts"));
        }
        Ok(())
    }

    fn expression(&mut self) -> Result<Node, String> {
        let mut left = self.comparison()?;
        while let Some(token @ (Token::And | Token::Or)) = self.tokens.peek().cloned() {
            self.tokens.next();
            self.count()?;
            let right = self.comparison()?;
            left = match token {
                Token::And => Node::And(Box::new(left), Box::new(right)),
                _ => Node::Or(Box::new(left), Box::new(right)),
            };
        }
        Ok(left)
    }

    fn comparison(&mut self) -> Result<Node, String> {
        let mut left = self.operand()?;
        while let Some(Token::Compare(comparison)) = self.tokens.peek().cloned() {
            self.tokens.next();
            self.count()?;
            let right = self.operand()?;
            left = if let Comparison::Matches | Comparison::MatchesNot = comparison {
                let Node::Value(Value::Text(pattern)) = right else {
                    return Err("a regular expression has to be a string".into());
                };
                if pattern.len() > MAX_PATTERN {
                    return Err(format!("the regular expression is longer than {MAX_PATTERN} bytes"));
                }
                if explodes(&pattern) {
                    return Err("the regular expression repeats a repetition".into());
                }
                let wanted = comparison == Comparison::Matches;
                Node::Match { pattern: Regex::new(&pattern)?, text: Box::new(left), wanted }
            } else {
                Node::Compare(comparison, Box::new(left), Box::new(right))
            };
        }
        Ok(left)
    }

    fn operand(&mut self) -> Result<Node, String> {
        self.count()?;
        let Some(token) = self.tokens.next() else { return Err("syntax error, unexpected end of file".into()) };
        Ok(match token {
            Token::Number(number) => Node::Value(Value::Number(number)),
            Token::Float(number) => Node::Value(Value::Float(number)),
            Token::Text(text) => Node::Value(Value::Text(text)),
            Token::Boolean(boolean) => Node::Value(Value::Boolean(boolean)),
            Token::Column(name) => {
                let known = self.columns.iter().position(|column| *column == name);
                Node::Column(known.unwrap_or_else(|| {
                    self.columns.push(name);
                    self.columns.len() - 1
                }))
            }
            Token::Not => Node::Not(Box::new(self.operand()?)),
            Token::Open => {
                let inner = self.expression()?;
                match self.tokens.next() {
                    Some(Token::Close) => inner,
                    Some(token) => return Err(format!("syntax error, unexpected {}", token.name())),
                    None => return Err("syntax error, unexpected end of file".into()),
                }
            }
            token => return Err(format!("syntax error, unexpected {}", token.name())),
        })
    }
}

/// Whether compiling the pattern could need more memory than there is: a repetition of a repetition, or one of more
/// than 1,024 times.
fn explodes(pattern: &str) -> bool {
    let bytes = pattern.as_bytes();
    let repeats = |at: usize| matches!(bytes.get(at), Some(b'+' | b'*'));
    let mut groups: Vec<bool> = Vec::new();
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            b'+' | b'*' if repeats(at + 1) => return true,
            b'+' | b'*' => groups.iter_mut().for_each(|group| *group = true),
            b'(' => groups.push(false),
            b')' if groups.pop() == Some(true) && repeats(at + 1) => return true,
            b'{' => {
                let bounds = bytes[at + 1..].split(|&byte| byte == b'}').next().unwrap_or_default();
                let bounds = String::from_utf8_lossy(bounds);
                let too_many = |bound: &str| !bound.is_empty() && !bound.parse().is_ok_and(|times: u32| times <= 1024);
                if bounds.split(|c: char| !c.is_ascii_digit()).any(too_many) {
                    return true;
                }
            }
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(expression: &str) -> bool {
        let filter = Filter::parse(expression).unwrap();
        filter.passes(|column| match filter.columns()[column].as_str() {
            "NPROCS" => Value::Number(12),
            "TYPE" => Value::Text("net".into()),
            _ => Value::Empty,
        })
    }

    fn error(expression: &str) -> String {
        Filter::parse(expression).err().unwrap()
    }

    #[test]
    fn a_column_is_compared_as_what_it_is_compared_with() {
        assert!(passes("NPROCS == 12 && TYPE == 'net'"));
        assert!(passes("NPROCS == \"12\""));
        assert!(passes("NPROCS > 11.5"));
        assert!(passes("NPROCS < 1K and NPROCS le 1KiB"));
        assert!(passes("TYPE =~ '^n.t$' and TYPE !~ 'mnt'"));
    }

    #[test]
    fn and_and_or_bind_equally_and_not_binds_tightest() {
        assert!(!passes("true or true and false"));
        assert!(passes("not false and true"));
        assert!(!passes("! NPROCS == 12"));
        assert!(passes("!(NPROCS == 13)"));
    }

    #[test]
    fn what_is_missing_is_false_and_equals_nothing() {
        assert!(!passes("PID"));
        assert!(!passes("PID == 0") && !passes("PID != 0"));
        assert!(passes("NPROCS") && passes(""));
    }

    #[test]
    fn errors_say_what_was_not_expected() {
        assert_eq!(error("NS =="), "syntax error, unexpected end of file");
        assert_eq!(error(")"), "syntax error, unexpected ')'");
        assert_eq!(error("NS == 1 2"), "syntax error, unexpected NUMBER, expecting end of file");
        assert_eq!(error("NS == 1 extra"), "syntax error, unexpected HOLDER, expecting end of file");
        assert_eq!(error("NS =~ \"*\""), "Invalid preceding regular expression");
    }

    #[test]
    fn sizes_and_times_are_numbers_where_people_write_them() {
        let holds = |expression: &str| Filter::parse_human(expression).unwrap().passes(|_| Value::Number(5400));
        for expression in
            ["AGE > 5m", "AGE == 1h30m", "AGE < 1day", "MEMORY > 1.5K", "MEMORY < 1.5MiB", "PROCS == 5400", "AGE > 2.5"]
        {
            assert!(holds(expression), "{expression}");
        }
        assert!(!holds("AGE > 2h") && !holds("MEMORY > 6KB"));
        let why = Filter::parse_human("AGE > 5x").err().unwrap();
        assert_eq!(why, "\"5x\" is neither a size, as 1.5M or 2GiB, nor a time, as 90s or 1h30m");
        // lsns keeps to libsmartcols.
        assert_eq!(error("PID > 5m"), "syntax error, unexpected HOLDER, expecting end of file");
    }

    #[test]
    fn patterns_that_would_eat_all_memory_are_refused() {
        for pattern in ["(a+)+", "a**", "a{1,9999}"] {
            assert!(Filter::parse(&format!("NS =~ '{pattern}'")).is_err(), "{pattern}");
        }
        assert!(Filter::parse("NS =~ '(ab)+c{2}'").is_ok());
    }
}
