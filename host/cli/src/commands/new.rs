//! `samara new`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use samara_artifact::Manifest;
use serde::Serialize;

use crate::options::NewOptions;
use crate::template::{self, Model, Project};

#[derive(Serialize)]
struct Output<'a> {
    output: &'a Path,
    /// The signature of the model that the function asks.
    signature: String,
    /// Where the function will be when it is built, in the project.
    function: &'a str,
    files: Vec<&'a str>,
}

pub fn run(arguments: &NewOptions) -> Result<()> {
    let output = arguments.output.clone().unwrap_or_else(|| PathBuf::from(arguments.name.to_string()));
    let project = match &arguments.model {
        None => template::project(&arguments.name, None)?,
        Some(path) => {
            let component = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            let manifest = Manifest::read_from(&component).with_context(|| path.display().to_string())?;
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            let model = Model { manifest: &manifest, file: &file };
            template::project(&arguments.name, Some(&model)).with_context(|| path.display().to_string())?
        }
    };
    write(&output, &project.files)?;
    tell(arguments, &output, &project)
}

/// Writes a directory with these files, whole or not at all.
fn write(output: &Path, files: &[(&str, String)]) -> Result<()> {
    if output.file_name().is_none() {
        bail!("{} names no directory of its own: give it one with -o", output.display());
    }
    match fs::read_dir(output) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                bail!("{} is there already, and not empty", output.display());
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            bail!("{} is there already, and no directory", output.display());
        }
        Err(error) => return Err(error).with_context(|| format!("cannot look into {}", output.display())),
    }
    let parent = output.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let cannot_write = || format!("cannot write {}", output.display());
    fs::create_dir_all(parent).with_context(cannot_write)?;
    // Only its owner may enter it; the project inside has the usual rights.
    let temporary = tempfile::Builder::new().prefix(".samara-new-").tempdir_in(parent).with_context(cannot_write)?;
    let project = temporary.path().join("project");
    for (path, content) in files {
        let path = project.join(path);
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).with_context(cannot_write)?;
        }
        fs::write(&path, content).with_context(cannot_write)?;
    }
    fs::rename(&project, output).with_context(cannot_write)
}

fn tell(arguments: &NewOptions, output: &Path, project: &Project) -> Result<()> {
    if arguments.json {
        let output = Output {
            output,
            signature: project.signature.to_string(),
            function: &project.wasm,
            files: project.files.iter().map(|(path, _)| *path).collect(),
        };
        println!("{}", serde_json::to_string_pretty(&output)?);
        return Ok(());
    }
    println!("{}", output.display());
    println!("  model        {}", project.signature);
    println!("  function     src/lib.rs");
    println!("  vendored     {}, in vendor/ and wit/", template::SDK);
    println!("what to do next is in {}", output.join("README.md").display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn files() -> Vec<(&'static str, String)> {
        vec![("a.txt", "a".to_owned()), ("b/c.txt", "c".to_owned())]
    }

    fn names(directory: &Path) -> BTreeSet<String> {
        let entries = fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_directory_is_written_whole() {
        let scratch = tempfile::tempdir().unwrap();
        for output in ["new", "deep/er/new"] {
            let output = scratch.path().join(output);
            write(&output, &files()).unwrap();
            assert_eq!(fs::read_to_string(output.join("b/c.txt")).unwrap(), "c");
        }
        fs::create_dir(scratch.path().join("empty")).unwrap();
        write(&scratch.path().join("empty"), &files()).unwrap();
        assert_eq!(names(scratch.path()), ["deep", "empty", "new"].map(str::to_owned).into());
    }

    #[test]
    fn nothing_is_overwritten_and_nothing_left_behind() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("file");
        fs::write(&file, "mine").unwrap();
        for (output, said) in [
            (scratch.path().to_owned(), "not empty"),
            (file.clone(), "no directory"),
            (scratch.path().join(".."), "names no directory"),
        ] {
            let message = write(&output, &files()).unwrap_err().to_string();
            assert!(message.contains(said), "{message}");
        }
        // The second file cannot be written, since the first is in its way.
        let clash = [("a", String::new()), ("a/b", String::new())];
        write(&scratch.path().join("new"), &clash).unwrap_err();
        assert_eq!(names(scratch.path()), ["file".to_owned()].into());
        assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    }
}
