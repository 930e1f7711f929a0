//! The types of D-Bus values, written as letters. Pure.
//!
//! See the D-Bus specification, "Type system".

/// How deep containers may be in each other: the limit of the specification for arrays and structures together.
pub const DEEPEST: usize = 64;
/// The longest signature of the specification.
pub const LONGEST: usize = 255;

/// Splits the first whole type off a signature; `None` when there is none, or it is not valid.
pub fn first_type(signature: &str) -> Option<(&str, &str)> {
    if signature.len() > LONGEST || !signature.is_ascii() {
        return None;
    }
    let length = type_length(signature.as_bytes(), 0, false)?;
    Some(signature.split_at(length))
}

fn type_length(bytes: &[u8], depth: usize, in_array: bool) -> Option<usize> {
    if depth > DEEPEST {
        return None;
    }
    match bytes.first()? {
        b'y' | b'b' | b'n' | b'q' | b'i' | b'u' | b'x' | b't' | b'd' | b's' | b'o' | b'g' | b'v' => Some(1),
        b'a' => Some(1 + type_length(&bytes[1..], depth + 1, true)?),
        open @ (b'(' | b'{') => {
            let close = if *open == b'(' { b')' } else { b'}' };
            let (mut at, mut fields) = (1, 0);
            while *bytes.get(at)? != close {
                at += type_length(&bytes[at..], depth + 1, false)?;
                fields += 1;
            }
            // An entry is of an array, and its key no container.
            let fits = if close == b'}' {
                in_array && fields == 2 && !matches!(bytes[1], b'a' | b'(' | b'{' | b'v')
            } else {
                fields > 0
            };
            fits.then_some(at + 1)
        }
        _ => None,
    }
}

/// Whether this is the path of an object: `/`, or names of letters, digits and `_`, each behind a slash.
pub fn is_object_path(path: &str) -> bool {
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    path == "/" || path.strip_prefix('/').is_some_and(|names| names.split('/').all(is_name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_split_into_whole_types() {
        assert_eq!(first_type("a(sv)a(sa(sv))"), Some(("a(sv)", "a(sa(sv))")));
        assert_eq!(first_type("uoss"), Some(("u", "oss")));
        for wrong in ["", "a", "(", "()", "(s", ")", "{sv}", "a{s}", "a{vs}", "a{sss}", "z", "é"] {
            assert_eq!(first_type(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        assert!(first_type(&"a".repeat(80)).is_none() && first_type(&"(".repeat(200)).is_none());
    }

    #[test]
    fn an_object_path_is_of_names() {
        assert!(["/", "/a", "/a_1/B"].into_iter().all(is_object_path));
        assert!(!["", "a", "//", "/a/", "/a-b", "/é"].into_iter().any(is_object_path));
    }
}
