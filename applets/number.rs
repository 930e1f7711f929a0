//! Numbers in arguments, as util-linux reads them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use nskit::error::Errno;
use nskit::{Error, Result};

/// Why a text is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    /// Not digits throughout.
    Syntax,
    /// Too small or too large.
    Range,
}

/// A signed number as strtoimax(3) takes it: white space and a sign may come first, nothing may follow.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn signed(text: &OsStr) -> Result<i64, Bad> {
    let (negative, digits) = parts(text.as_bytes());
    match magnitude(digits)? {
        n if negative => n.try_into().map(|n: i64| -n).map_err(|_| Bad::Range),
        n => n.try_into().map_err(|_| Bad::Range),
    }
}

/// An id: unsigned, 32 bits. A number beyond is refused, not cut.
///
/// # Errors
/// What is wrong with it. A negative number is out of range, whatever follows it.
pub(crate) fn id(text: &OsStr) -> Result<u32, Bad> {
    let (negative, digits) = parts(text.as_bytes());
    if negative && digits.first().is_some_and(|digit| (b'1'..=b'9').contains(digit)) {
        return Err(Bad::Range);
    }
    magnitude(digits)?.try_into().map_err(|_| Bad::Range)
}

/// [`id`], with util-linux's message when it is none: `failed to parse uid: 'x'`.
///
/// # Errors
/// That message.
pub(crate) fn id_or(text: &OsStr, message: &str) -> Result<u32> {
    id(text).map_err(|bad| refused(bad, text, message))
}

/// [`signed`], with util-linux's message when it is none.
///
/// # Errors
/// That message.
pub(crate) fn signed_or(text: &OsStr, message: &str) -> Result<i64> {
    signed(text).map_err(|bad| refused(bad, text, message))
}

/// util-linux's sentence about a number that is refused.
pub(crate) fn refused(bad: Bad, text: &OsStr, message: &str) -> Error {
    let error = Error::invalid(format!("{message}: '{}'", text.to_string_lossy()));
    match bad {
        Bad::Syntax => error,
        Bad::Range => error.with_errno(Errno::RANGE),
    }
}

fn parts(text: &[u8]) -> (bool, &[u8]) {
    let start = text.iter().position(|byte| !matches!(byte, b' ' | b'\t'..=b'\r')).unwrap_or(text.len());
    match &text[start..] {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    }
}

fn magnitude(digits: &[u8]) -> Result<u64, Bad> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Bad::Syntax);
    }
    digits.iter().try_fold(0u64, |n, digit| n.checked_mul(10)?.checked_add(u64::from(digit - b'0'))).ok_or(Bad::Range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_ids_of_32_bits_and_nothing_else() {
        let id = |text: &str| id(text.as_ref());
        assert_eq!(id("0"), Ok(0));
        assert_eq!(id(" \t+7"), Ok(7));
        assert_eq!(id("-0"), Ok(0));
        assert_eq!(id("4294967295"), Ok(u32::MAX));
        for (text, bad) in [
            ("", Bad::Syntax),
            ("x", Bad::Syntax),
            ("1x", Bad::Syntax),
            ("1 ", Bad::Syntax),
            ("- 1", Bad::Syntax),
            ("0x10", Bad::Syntax),
            ("-1", Bad::Range),
            ("-1x", Bad::Range),
            ("4294967296", Bad::Range),
            ("4294967301", Bad::Range),
            ("99999999999999999999", Bad::Range),
        ] {
            assert_eq!(id(text), Err(bad), "{text:?}");
        }
    }

    #[test]
    fn reads_signed_numbers_of_64_bits() {
        let signed = |text: &str| signed(text.as_ref());
        assert_eq!(signed("-5"), Ok(-5));
        assert_eq!(signed("9223372036854775807"), Ok(i64::MAX));
        assert_eq!(signed("9223372036854775808"), Err(Bad::Range));
        assert_eq!(signed("5s"), Err(Bad::Syntax));
    }
}
