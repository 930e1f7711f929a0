//! Filter expressions of `lsns` and `ns-inspect`.

#[allow(dead_code)]
#[path = "../../applets/ns_inspect/filter/mod.rs"]
mod expression;

use expression::{Filter, Value};

/// An expression is refused with a reason, or says the same of a row each time.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for parsed in [Filter::parse(text), Filter::parse_human(text)] {
        match parsed {
            Err(why) => assert!(!why.is_empty()),
            Ok(filter) => {
                let row = |column: usize| match filter.columns()[column].as_bytes().first().map(|byte| byte % 4) {
                    Some(0) => Value::Number(4_026_531_840),
                    Some(1) => Value::Text("net".to_owned()),
                    Some(2) => Value::Float(1.5),
                    _ => Value::Empty,
                };
                assert_eq!(filter.passes(row), filter.passes(row));
                assert_eq!(filter.text(), text);
            }
        }
    }
}
