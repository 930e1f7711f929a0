//! Values, and how they are brought to one type and compared.

use std::cmp::Ordering;

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
pub(super) enum Type {
    Number,
    Float,
    Text,
    Boolean,
}

impl Value {
    pub(super) fn kind(&self) -> Option<Type> {
        match self {
            Value::Empty => None,
            Value::Number(_) => Some(Type::Number),
            Value::Float(_) => Some(Type::Float),
            Value::Text(_) => Some(Type::Text),
            Value::Boolean(_) => Some(Type::Boolean),
        }
    }

    pub(super) fn is_true(&self) -> bool {
        match self {
            Value::Empty => false,
            Value::Number(number) => *number != 0,
            Value::Float(number) => *number != 0.0,
            Value::Text(text) => !text.is_empty(),
            Value::Boolean(boolean) => *boolean,
        }
    }

    pub(super) fn cast(self, to: Type) -> Value {
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

    pub(super) fn compare(&self, other: &Value) -> Option<Ordering> {
        match (self, other) {
            (Value::Number(a), Value::Number(b)) => Some(a.cmp(b)),
            (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
            (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
            (Value::Boolean(a), Value::Boolean(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }
}
