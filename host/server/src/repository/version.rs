//! The order of versions.

use std::cmp::Ordering;

/// Compares versions number by number where they have numbers, so that 10 comes after 9.
pub fn compare_versions(a: &str, b: &str) -> Ordering {
    let parts = |version: &str| -> Vec<Result<u64, String>> {
        version.split('.').map(|part| part.parse().map_err(|_| part.to_owned())).collect()
    };
    parts(a).cmp(&parts(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        let mut versions = ["10", "9", "1.10", "1.9", "beta", "1"];
        versions.sort_by(|a, b| compare_versions(a, b));
        assert_eq!(versions, ["1", "1.9", "1.10", "9", "10", "beta"]);
    }
}
