//! The words of an expression, and numbers as libsmartcols or people write them.

use std::cmp::Ordering;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
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
    pub(super) fn name(&self) -> &'static str {
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
pub(super) enum Comparison {
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
    pub(super) fn name(self) -> &'static str {
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

    pub(super) fn holds(self, ordering: Option<Ordering>) -> bool {
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

/// Reads the number that the text begins with, and tells its length.
pub(super) type ScanNumber = fn(&str) -> Result<(Token, usize), String>;

pub(super) fn scan(text: &str, number: ScanNumber) -> Result<Vec<Token>, String> {
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
pub(super) fn scan_number(text: &str) -> Result<(Token, usize), String> {
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
pub(super) fn scan_human(text: &str) -> Result<(Token, usize), String> {
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
