//! Writes what was measured into the checkout.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::child::python;
use super::markdown;
use super::report::Report;
use crate::samara::repository;

/// Between these lines of the README is what this run knows better.
const BEGIN: &str = "<!-- make bench-peers writes from here -->";
const END: &str = "<!-- to here -->";

/// `docs/performance.json`, `.md` and `.svg`, and a part of the README.
pub fn write(report: &Report) -> Result<()> {
    let docs = repository().join("docs");
    fs::create_dir_all(&docs)?;
    let json = docs.join("performance.json");
    replace(&json, &json_of(report)?)?;
    draw(&json, &docs.join("performance.svg"))?;
    replace(&docs.join("performance.md"), &markdown::document(report))?;
    let readme = repository().join("README.md");
    let text = fs::read_to_string(&readme)?;
    replace(&readme, &with_excerpt(&text, &markdown::excerpt(report))?)
}

/// The file for programs alone.
pub fn write_json(report: &Report, path: &Path) -> Result<()> {
    replace(path, &json_of(report)?)
}

fn json_of(report: &Report) -> Result<String> {
    Ok(serde_json::to_string_pretty(report)? + "\n")
}

/// The bar chart.
fn draw(json: &Path, svg: &Path) -> Result<()> {
    let drawn = python("chart.py").arg(json).arg(svg).output().context("cannot run .venv/bin/python")?;
    ensure!(drawn.status.success(), "chart.py: {}", String::from_utf8_lossy(&drawn.stderr).trim());
    Ok(())
}

/// The README with a new excerpt.
fn with_excerpt(readme: &str, excerpt: &str) -> Result<String> {
    let parts = readme.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = parts.with_context(|| format!("the README has no lines {BEGIN:?} and {END:?}"))?;
    Ok(format!("{before}{BEGIN}\n\n{excerpt}\n{END}{after}"))
}

/// Replaces a file as a whole.
fn replace(path: &Path, text: &str) -> Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let written = || format!("cannot write {}", path.display());
    fs::write(&partial, text).with_context(written)?;
    fs::rename(&partial, path).with_context(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_excerpt_is_replaced_and_nothing_else() {
        let readme = format!("# A\n\n{BEGIN}\nold\n{END}\n\nB\n");
        let new = with_excerpt(&readme, "new\n").expect("a README");
        assert_eq!(new, format!("# A\n\n{BEGIN}\n\nnew\n\n{END}\n\nB\n"));
        assert_eq!(with_excerpt(&new, "new\n").expect("the same"), new);
        with_excerpt("# A\n", "new").expect_err("a README without the lines");
    }
}
