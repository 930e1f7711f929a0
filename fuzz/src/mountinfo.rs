//! `/proc/PID/mountinfo`, and what is made of it.

use nskit::inspect::mounttree;
use nskit::sys::mountinfo::{Line, lines, unescape};

/// A line is read whole or not at all; a mount is hidden by one that is listed.
pub fn check(data: &[u8]) {
    for line in data.split(|&byte| byte == b'\n') {
        let Some(read) = Line::parse(line) else { continue };
        for field in [read.root, read.point, read.source] {
            assert!(unescape(field).as_os_str().len() <= field.len());
        }
        let Line { id, parent, device: (major, minor), .. } = read;
        let tags: &[u8] = if read.tags.is_empty() { b"" } else { b" " };
        let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
        let written = format!(
            "{id} {parent} {major}:{minor} {} {} {}{}{} - {} {} {}",
            text(read.root),
            text(read.point),
            text(read.options),
            text(tags),
            text(read.tags),
            text(read.kind),
            text(read.source),
            text(read.super_options)
        );
        // Numbers can be written in more than one way, and fields be empty.
        let again = text(line);
        let fields = |line: &str| {
            line.split(' ').skip(3).filter(|field| !field.is_empty()).map(str::to_owned).collect::<Vec<_>>()
        };
        assert!(fields(&written) == fields(&again), "{written} instead of {again}");
    }
    let mounts = mounttree::parse(data);
    assert_eq!(mounts.len(), lines(data).count());
    for hidden_by in mounts.iter().filter_map(|mount| mount.hidden_by) {
        assert!(mounts.iter().any(|mount| mount.id == hidden_by));
    }
}
