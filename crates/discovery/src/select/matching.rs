//! Patterns with wildcards, as dbt understands them.

/// Whether a text has a wildcard.
pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', ']'])
}

/// Whether a text matches a pattern with `*`, `?` and `[…]`, like Python's `fnmatch`: `*` matches anything.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    if !is_pattern(pattern) {
        return pattern == text;
    }
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    // Goes back to the last `*` only, which takes at most the product of the lengths.
    let (mut at, mut index) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while index < text.len() {
        if pattern.get(at) == Some(&'*') {
            back = Some((at + 1, index));
            at += 1;
        } else if let Some(next) = one(&pattern, at, text[index]) {
            (at, index) = (next, index + 1);
        } else if let Some((after, from)) = back {
            (at, index) = (after, from + 1);
            back = Some((after, from + 1));
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|rest| *rest == '*')
}

/// Matches one character, and returns the index in the pattern after it.
fn one(pattern: &[char], at: usize, character: char) -> Option<usize> {
    match pattern.get(at)? {
        '?' => Some(at + 1),
        '[' => {
            let is_negated = pattern.get(at + 1) == Some(&'!');
            let first = at + 1 + usize::from(is_negated);
            // A bracket that stands first belongs to the set.
            let length = pattern.get(first + 1..)?.iter().position(|end| *end == ']');
            let Some(length) = length else {
                return (character == '[').then_some(at + 1);
            };
            let end = first + 1 + length;
            (set_has(&pattern[first..end], character) != is_negated).then_some(end + 1)
        }
        plain => (*plain == character).then_some(at + 1),
    }
}

fn set_has(set: &[char], character: char) -> bool {
    let mut at = 0;
    while at < set.len() {
        if set.get(at + 1) == Some(&'-') && at + 2 < set.len() {
            if (set[at]..=set[at + 2]).contains(&character) {
                return true;
            }
            at += 3;
        } else {
            if set[at] == character {
                return true;
            }
            at += 1;
        }
    }
    false
}

/// Whether a path, or a folder that it is in, matches a pattern. `*` stays within a folder, and `**` does not.
pub(super) fn path_matches(pattern: &str, path: &str) -> bool {
    let (pattern, path) = (pattern_of(pattern), segments(path));
    (1..=path.len()).any(|length| segments_match(&pattern, &path[..length]))
}

/// Whether a file matches a pattern, and not only a folder that it is in.
pub(super) fn file_matches(pattern: &str, path: &str) -> bool {
    segments_match(&pattern_of(pattern), &segments(path))
}

fn pattern_of(pattern: &str) -> Vec<&str> {
    let pattern = pattern.trim_start_matches("./").trim_end_matches('/');
    pattern.split('/').collect()
}

fn segments(path: &str) -> Vec<&str> {
    path.split(['/', '\\']).collect()
}

fn segments_match(pattern: &[&str], path: &[&str]) -> bool {
    // `reached[n]`: the first n segments of the path match the pattern up to here.
    let mut reached = vec![false; path.len() + 1];
    reached[0] = true;
    for segment in pattern {
        let mut next = vec![false; path.len() + 1];
        for index in 0..=path.len() {
            if *segment == "**" {
                next[index] = reached[index] || (index > 0 && next[index - 1]);
            } else if index > 0 {
                next[index] = reached[index - 1] && matches(segment, path[index - 1]);
            }
        }
        reached = next;
    }
    reached[path.len()]
}

/// Whether a selector names a node by its folders and name, such as `shop.marts.orders`, `marts.*` or `orders`.
pub(super) fn fqn_matches(selector: &str, fqn: &[Box<str>], is_versioned: bool) -> bool {
    names(selector, fqn, is_versioned) || (fqn.len() > 1 && names(selector, &fqn[1..], is_versioned))
}

fn names(selector: &str, fqn: &[Box<str>], is_versioned: bool) -> bool {
    let leaf = match fqn {
        // A versioned model is named without its version, or with it after a dot or an underscore.
        [.., name, version] if is_versioned => {
            let wanted: Vec<&str> = selector.split('.').collect();
            if wanted[wanted.len().saturating_sub(2)..].join("_") == format!("{name}_{version}") {
                return true;
            }
            name
        }
        [.., name] => name,
        [] => return false,
    };
    if **leaf == *selector {
        return true;
    }
    // A dot in a name separates like one between folders.
    let parts = || fqn.iter().flat_map(|part| part.split('.'));
    let (mut rest, mut wanted) = (parts(), selector);
    loop {
        let (part, others) = wanted
            .split_once('.')
            .map_or((wanted, None), |(part, others)| (part, Some(others)));
        if is_pattern(part) {
            let has_enough = parts().count() >= selector.split('.').count();
            return has_enough
                && (matches(wanted, &join(rest)) || (!selector.contains('.') && matches(selector, leaf)));
        }
        if rest.next() != Some(part) {
            return false;
        }
        match others {
            Some(others) => wanted = others,
            None => return true,
        }
    }
}

fn join<'a>(parts: impl Iterator<Item = &'a str>) -> String {
    parts.collect::<Vec<_>>().join(".")
}
