//! Which files patterns name. `*` stands for anything within one name, as in a shell.

use std::path::{Component, Path, PathBuf};

use crate::sources::text::matches;

/// Names looked at in one folder, at most.
const MOST_NAMES: usize = 4096;

/// Files that the pattern names and that are there. A pattern without `*` names its file also if it is not there.
#[must_use]
pub(super) fn files(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let part = part.as_os_str();
        match part.to_str().filter(|part| part.contains('*')) {
            None => found.iter_mut().for_each(|path| path.push(part)),
            Some(part) => {
                found = found.iter().flat_map(|folder| names(folder, part)).collect();
                found.sort();
            }
        }
    }
    if pattern.to_string_lossy().contains('*') {
        found.retain(|path| path.exists());
    }
    found
}

fn names(folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().take(MOST_NAMES);
    let wanted =
        entries.filter(|entry| entry.file_name().to_str().is_some_and(|name| is_named(pattern, name)));
    wanted.map(|entry| entry.path()).collect()
}

/// Hidden files are meant by those patterns alone that say so.
fn is_named(pattern: &str, name: &str) -> bool {
    matches(pattern, name) && (pattern.starts_with('.') || !name.starts_with('.'))
}

/// Whether the pattern names the path, be it there or not.
#[must_use]
pub(super) fn names_path(pattern: &Path, path: &Path) -> bool {
    let (parts, names) = (pattern.components(), path.components());
    let alike = |(part, name): (Component<'_>, Component<'_>)| match (
        part.as_os_str().to_str(),
        name.as_os_str().to_str(),
    ) {
        (Some(part), Some(name)) if part.contains('*') => is_named(part, name),
        _ => part == name,
    };
    parts.clone().count() == names.clone().count() && parts.zip(names).all(alike)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_name_files() {
        let dir = tempfile::tempdir().unwrap();
        for file in ["a/x.log", "a/y.log", "a/.z.log", "b/x.log", "b/x.txt", "c/d/x.log"] {
            let file = dir.path().join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "").unwrap();
        }
        let check = |pattern: &str, expected: &[&str]| {
            let pattern = dir.path().join(pattern);
            let found = files(&pattern);
            assert_eq!(found, expected.iter().map(|e| dir.path().join(e)).collect::<Vec<_>>());
            assert!(found.iter().all(|path| names_path(&pattern, path)), "{}", pattern.display());
        };
        check("a/*.log", &["a/x.log", "a/y.log"]);
        check("*/x.*", &["a/x.log", "b/x.log", "b/x.txt"]);
        check("*/*/x.log", &["c/d/x.log"]);
        check("a/.*", &["a/.z.log"]);
        check("*/x.log", &["a/x.log", "b/x.log"]);
        check("a/none", &["a/none"]);
        check("a/none*", &[]);
        assert!(!names_path(Path::new("/a/*"), Path::new("/a/b/c")));
    }
}
