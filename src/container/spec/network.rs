//! `linux.netDevices`: which names may be asked for.

/// Longest name, with the NUL byte that ends it (`IFNAMSIZ`).
pub(crate) const LONGEST_NAME: usize = 16;

/// Whether the kernel takes this for the name of a network device (`dev_valid_name`).
pub fn is_device_name(name: &str) -> bool {
    let fits = (1..LONGEST_NAME).contains(&name.len()) && name != "." && name != "..";
    fits && !name.chars().any(|c| c == '/' || c == ':' || c.is_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_the_kernel_takes() {
        for name in ["eth0", "a", "dev%d", "fifteen-letters"] {
            assert!(is_device_name(name), "{name}");
        }
        for name in ["", ".", "..", "a/b", "a:b", "a b", "sixteen-letters-"] {
            assert!(!is_device_name(name), "{name}");
        }
    }
}
