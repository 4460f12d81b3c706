//! The copy of the workspace in which mutants are made.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::{command, workspace::root};

/// Brings the copy up to date and returns its path.
///
/// Unchanged files are not written, so that cargo does not build them again. Contents are compared,
/// not times, because an interrupted run may have left a mutant behind.
pub(super) fn refresh() -> Result<PathBuf> {
    let copy = root().join("target/mutants/tree");
    let listed = command::output(
        "git",
        &[
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "-z",
        ],
    )?;
    let wanted: BTreeSet<_> = listed.split_terminator('\0').map(PathBuf::from).collect();
    for path in &wanted {
        let (from, to) = (root().join(path), copy.join(path));
        let text = match fs::read(&from) {
            Ok(text) => text,
            // Deleted, but not committed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error).with_context(|| from.display().to_string()),
        };
        if fs::read(&to).ok().as_ref() != Some(&text) {
            fs::create_dir_all(to.parent().expect("it is below the copy"))?;
            fs::write(&to, text).with_context(|| to.display().to_string())?;
        }
    }
    remove_others(&copy, Path::new(""), &wanted)?;
    Ok(copy)
}

/// Removes files that are no longer in the workspace: a renamed test must not run twice.
fn remove_others(copy: &Path, below: &Path, wanted: &BTreeSet<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(copy.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            if path != Path::new("target") {
                remove_others(copy, &path, wanted)?;
            }
        } else if !wanted.contains(&path) || !root().join(&path).exists() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
