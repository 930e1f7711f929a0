//! Filter expressions as libsmartcols has them: scols-filter(5).
//!
//! `and` and `or` bind equally and to the left, comparisons tighter, `!` tightest. Both sides of a comparison are
//! brought to one type: that of the literal where one side is a column.
//!
//! In our own views numbers may be written as people do: `1.5M` bytes, `1h30m`.

use std::cmp::Ordering;

use nskit::sys::regex::Regex;

const MAX_BYTES: usize = 1024;
const MAX_NODES: usize = 256;
const MAX_PATTERN: usize = 256;

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Open,
    Close,
    And,
    Or,
    Not,
    Compare(Comparison),
    Number(u64),
    Float(f64),
    Text(String),
    Boolean(bool),
    Column(String),
}

impl Token {
    /// What a syntax error calls it.
    fn name(&self) -> &'static str {
        match self {
            Token::Open => "'('",
            Token::Close => "')'",
            Token::And => "AND",
            Token::Or => "OR",
            Token::Not => "NEG",
            Token::Compare(comparison) => comparison.name(),
            Token::Number(_) => "NUMBER",
            Token::Float(_) => "FLOAT",
            Token::Text(_) => "STRING",
            Token::Boolean(true) => "TRUE",
            Token::Boolean(false) => "FALSE",
            Token::Column(_) => "HOLDER",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Matches,
    MatchesNot,
}

impl Comparison {
    fn name(self) -> &'static str {
        match self {
            Comparison::Equal => "EQ",
            Comparison::NotEqual => "NE",
            Comparison::Less => "LT",
            Comparison::LessOrEqual => "LE",
            Comparison::Greater => "GT",
            Comparison::GreaterOrEqual => "GE",
            Comparison::Matches => "REG",
            Comparison::MatchesNot => "NREG",
        }
    }

    fn holds(self, ordering: Option<Ordering>) -> bool {
        match self {
            Comparison::Equal => ordering == Some(Ordering::Equal),
            Comparison::NotEqual => ordering != Some(Ordering::Equal),
            Comparison::Less => ordering == Some(Ordering::Less),
            Comparison::LessOrEqual => matches!(ordering, Some(Ordering::Less | Ordering::Equal)),
            Comparison::Greater => ordering == Some(Ordering::Greater),
            Comparison::GreaterOrEqual => matches!(ordering, Some(Ordering::Greater | Ordering::Equal)),
            Comparison::Matches | Comparison::MatchesNot => false,
        }
    }
}

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

/// A value in an expression, or of a column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Empty,
    Number(u64),
    Float(f64),
    Text(String),
    Boolean(bool),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Number,
    Float,
    Text,
    Boolean,
}

impl Value {
    fn kind(&self) -> Option<Type> {
        match self {
            Value::Empty => None,
            Value::Number(_) => Some(Type::Number),
            Value::Float(_) => Some(Type::Float),
            Value::Text(_) => Some(Type::Text),
            Value::Boolean(_) => Some(Type::Boolean),
        }
    }

    fn is_true(&self) -> bool {
        match self {
            Value::Empty => false,
            Value::Number(number) => *number != 0,
            Value::Float(number) => *number != 0.0,
            Value::Text(text) => !text.is_empty(),
            Value::Boolean(boolean) => *boolean,
        }
    }

    fn cast(self, to: Type) -> Value {
        match (self, to) {
            (Value::Text(text), Type::Number) => text.trim().parse().map_or(Value::Empty, Value::Number),
            (Value::Text(text), Type::Float) => text.trim().parse().map_or(Value::Empty, Value::Float),
            (Value::Number(number), Type::Float) => Value::Float(number as f64),
            (Value::Number(number), Type::Text) => Value::Text(number.to_string()),
            (Value::Float(number), Type::Number) => Value::Number(number as u64),
            (Value::Float(number), Type::Text) => Value::Text(number.to_string()),
            (Value::Boolean(boolean), Type::Number) => Value::Number(u64::from(boolean)),
            (Value::Boolean(boolean), Type::Float) => Value::Float(f64::from(u8::from(boolean))),
            (Value::Boolean(boolean), Type::Text) => Value::Text(if boolean { "true" } else { "false" }.into()),
            // What rpmatch(3) takes for a yes.
            (Value::Text(text), Type::Boolean) => {
                Value::Boolean(text == "1" || text.starts_with(['y', 'Y']) || text.eq_ignore_ascii_case("true"))
            }
            (value @ (Value::Number(_) | Value::Float(_)), Type::Boolean) => Value::Boolean(value.is_true()),
            (value, _) => value,
        }
    }

    fn compare(&self, other: &Value) -> Option<Ordering> {
        match (self, other) {
            (Value::Number(a), Value::Number(b)) => Some(a.cmp(b)),
            (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
            (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
            (Value::Boolean(a), Value::Boolean(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }
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

/// Reads the number that the text begins with, and tells its length.
type ScanNumber = fn(&str) -> Result<(Token, usize), String>;

fn scan(text: &str, number: ScanNumber) -> Result<Vec<Token>, String> {
    const SIGNS: [(&str, Token); 13] = [
        ("&&", Token::And),
        ("||", Token::Or),
        ("==", Token::Compare(Comparison::Equal)),
        ("!=", Token::Compare(Comparison::NotEqual)),
        ("=~", Token::Compare(Comparison::Matches)),
        ("!~", Token::Compare(Comparison::MatchesNot)),
        ("<=", Token::Compare(Comparison::LessOrEqual)),
        (">=", Token::Compare(Comparison::GreaterOrEqual)),
        ("<", Token::Compare(Comparison::Less)),
        (">", Token::Compare(Comparison::Greater)),
        ("!", Token::Not),
        ("(", Token::Open),
        (")", Token::Close),
    ];
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let len = if first == '"' || first == '\'' {
            let Some(end) = rest[1..].find(first) else { return Err("syntax error, unterminated string".into()) };
            tokens.push(Token::Text(rest[1..=end].trim().to_owned()));
            end + 2
        } else if first.is_ascii_digit() {
            let (token, len) = number(rest)?;
            tokens.push(token);
            len
        } else if first.is_ascii_alphabetic() {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"_.%:/-".contains(c)).unwrap_or(rest.len());
            tokens.push(word(&rest[..end]));
            end
        } else if let Some((sign, token)) = SIGNS.iter().find(|(sign, _)| rest.starts_with(sign)) {
            tokens.push(token.clone());
            sign.len()
        } else {
            return Err(format!("syntax error, unexpected '{first}'"));
        };
        rest = rest[len..].trim_start();
    }
    Ok(tokens)
}

fn word(word: &str) -> Token {
    match word {
        "and" | "AND" => Token::And,
        "or" | "OR" => Token::Or,
        "not" | "NOT" => Token::Not,
        "eq" | "EQ" => Token::Compare(Comparison::Equal),
        "ne" | "NE" => Token::Compare(Comparison::NotEqual),
        "lt" | "LT" => Token::Compare(Comparison::Less),
        "le" | "LE" => Token::Compare(Comparison::LessOrEqual),
        "gt" | "GT" => Token::Compare(Comparison::Greater),
        "ge" | "GE" => Token::Compare(Comparison::GreaterOrEqual),
        "true" | "TRUE" => Token::Boolean(true),
        "false" | "FALSE" => Token::Boolean(false),
        name => Token::Column(name.to_owned()),
    }
}

/// A number: `12`, `1.5`, or with a suffix of powers of 1,024: `4K`, `4KiB`.
fn scan_number(text: &str) -> Result<(Token, usize), String> {
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let whole = digits(text);
    let after = &text[whole..];
    if let Some(fraction) = after.strip_prefix('.')
        && digits(fraction) > 0
    {
        let len = whole + 1 + digits(fraction);
        return Ok((Token::Float(text[..len].parse().unwrap_or(0.0)), len));
    }
    let number: u64 = text[..whole].parse().unwrap_or(u64::MAX);
    let Some(power) = after.chars().next().and_then(|suffix| "KMGTPEZY".find(suffix)) else {
        return Ok((Token::Number(number), whole));
    };
    let len = whole + if after[1..].starts_with("iB") { 3 } else { 1 };
    let factor = 1u128.checked_shl(10 * (power as u32 + 1)).unwrap_or(u128::MAX);
    match u128::from(number).checked_mul(factor).and_then(|product| u64::try_from(product).ok()) {
        Some(product) => Ok((Token::Number(product), len)),
        None => Err(format!("\"{}\" number too large", &text[..len])),
    }
}

/// As [`scan_number`], with fractions of sizes, and times as humantime has them. Capitals are of sizes: `5m` is a time.
fn scan_human(text: &str) -> Result<(Token, usize), String> {
    let word = &text[..text.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(text.len())];
    let digits = word.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(word.len());
    let (number, unit) = word.split_at(digits);
    let mut letters = unit.chars();
    let power = letters.next().and_then(|letter| "KMGTPE".find(letter));
    let size = power.filter(|_| matches!(letters.as_str(), "" | "B" | "iB"));
    if unit.is_empty() {
        return scan_number(text);
    }
    if let (Some(power), Ok(number)) = (size, number.parse::<f64>()) {
        let bytes = number * 1024f64.powi(power as i32 + 1);
        // No size is as large as the largest number.
        return Ok((Token::Number(bytes as u64), word.len()));
    }
    match humantime::parse_duration(word) {
        Ok(time) if time.subsec_nanos() == 0 => Ok((Token::Number(time.as_secs()), word.len())),
        Ok(time) => Ok((Token::Float(time.as_secs_f64()), word.len())),
        Err(_) => Err(format!("\"{word}\" is neither a size, as 1.5M or 2GiB, nor a time, as 90s or 1h30m")),
    }
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
