//! POSIX extended regular expressions, by the C library: regex(3). What util-linux's filters are written in.

use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;

/// A compiled expression.
pub struct Regex {
    compiled: Box<libc::regex_t>,
}

impl Regex {
    /// Compiles an extended regular expression.
    ///
    /// # Errors
    /// The C library's sentence that says what is wrong with it.
    pub fn new(pattern: &str) -> Result<Regex, String> {
        let pattern = CString::new(pattern).map_err(|_| "Invalid regular expression".to_owned())?;
        let mut space = Box::new(MaybeUninit::<libc::regex_t>::uninit());
        // SAFETY: regcomp initialises the space it is given when it returns 0; the pattern is a C string.
        let error =
            unsafe { libc::regcomp(space.as_mut_ptr(), pattern.as_ptr(), libc::REG_EXTENDED | libc::REG_NOSUB) };
        if error != 0 {
            let mut text = [0u8; 128];
            // SAFETY: regerror writes at most `text.len()` bytes and ends them with NUL; after a failed regcomp it
            // takes the error number alone and a pattern that it does not look into.
            unsafe { libc::regerror(error, space.as_ptr(), text.as_mut_ptr().cast(), text.len()) };
            let text = CStr::from_bytes_until_nul(&text).unwrap_or(c"Invalid regular expression");
            return Err(text.to_string_lossy().into_owned());
        }
        // SAFETY: regcomp returned 0. The box keeps its address, as the C library may hold pointers into it.
        let compiled = unsafe { Box::from_raw(Box::into_raw(space).cast::<libc::regex_t>()) };
        Ok(Regex { compiled })
    }

    /// Whether the expression matches anywhere in the text.
    pub fn matches(&self, text: &str) -> bool {
        let Ok(text) = CString::new(text) else { return false };
        // SAFETY: `compiled` was made by regcomp and is freed only on drop; no matches are asked for.
        unsafe { libc::regexec(&*self.compiled, text.as_ptr(), 0, std::ptr::null_mut(), 0) == 0 }
    }
}

impl Drop for Regex {
    fn drop(&mut self) {
        // SAFETY: made by regcomp, and not used after this.
        unsafe { libc::regfree(&mut *self.compiled) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_anywhere_unless_anchored() {
        assert!(Regex::new("n(e|i)t").unwrap().matches("subnet"));
        assert!(!Regex::new("^net").unwrap().matches("subnet"));
    }

    #[test]
    fn a_broken_expression_says_what_is_wrong() {
        assert_eq!(Regex::new("*").err().as_deref(), Some("Invalid preceding regular expression"));
    }
}
