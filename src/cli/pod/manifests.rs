//! Manifests on the command line: `-f FILE`, `-f -`, and for `apply` a directory.

use crate::error::{Context, Error, Kind, Result};
use crate::manifest::{self, Manifest, Options};
use crate::model::backoff::BackoffTimes;
use crate::model::ids::PodNamespace;
use crate::report;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Names of files in a directory that hold manifests end with one of these.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// How manifests are read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reading<'a> {
    /// `-n`: where a manifest belongs that does not say so itself.
    pub namespace: Option<&'a PodNamespace>,
    /// Warn of fields that are not supported yet, in place of refusing them.
    pub ignore_unsupported: bool,
    /// Nothing but the pods' names is wanted: no warnings.
    pub names_only: bool,
    /// How soon containers that crash are started again.
    pub backoff: BackoffTimes,
}

/// Reads the manifests in a file, or on stdin for `-`, and prints their warnings.
///
/// # Errors
/// When the file cannot be read, or what is in it is no manifest that podrun can honour.
pub fn read(file: &Path, reading: Reading<'_>) -> Result<Vec<Manifest>> {
    let shown = if is_stdin(file) { "stdin".to_owned() } else { file.to_string_lossy().into_owned() };
    let text = bytes(file)?;
    let options = Options { ignore_unsupported: reading.ignore_unsupported };
    let mut manifests = manifest::read(&text, &shown, &options)?;
    for manifest in &mut manifests {
        if !reading.names_only {
            manifest.warnings.iter().for_each(|warning| report::warn(warning));
        }
        manifest.spec.backoff = reading.backoff;
        if let Some(namespace) = reading.namespace {
            belong(manifest, namespace)?;
        }
    }
    Ok(manifests)
}

/// Likewise for everything that `apply` takes: a file, stdin, or the files of a directory in the order of their names.
///
/// # Errors
/// As [`read()`]; also when the directory holds no manifest, or two of the same pod.
pub fn read_all(place: &Path, reading: Reading<'_>) -> Result<Vec<Manifest>> {
    if is_stdin(place) || !place.is_dir() {
        return read(place, reading);
    }
    let mut all: Vec<Manifest> = Vec::new();
    for file in files(place)? {
        for manifest in read(&file, reading)? {
            if all.iter().any(|other| is_same_pod(other, &manifest)) {
                let name = manifest.spec.name.as_str();
                return Err(Error::user(format!("there are two manifests of pod {name:?} in {place:?}"))
                    .hint(format!("the second is {}", manifest.place("metadata.name"))));
            }
            all.push(manifest);
        }
    }
    Ok(all)
}

fn is_same_pod(one: &Manifest, other: &Manifest) -> bool {
    one.spec.name == other.spec.name && one.spec.namespace == other.spec.namespace
}

fn is_stdin(file: &Path) -> bool {
    file == Path::new("-")
}

/// The files of a directory that hold manifests, sorted.
fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let title = || format!("cannot read {directory:?}");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).context(title)? {
        let path = entry.context(title)?.path();
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if EXTENSIONS.contains(&extension) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(Error::user(format!("there is no manifest in {directory:?}"))
            .hint(format!("their names end with .{}", EXTENSIONS.join(", ."))));
    }
    Ok(files)
}

fn bytes(file: &Path) -> Result<Vec<u8>> {
    let most = u64::try_from(manifest::LARGEST).unwrap_or(u64::MAX).saturating_add(1);
    let mut text = Vec::new();
    if is_stdin(file) {
        std::io::stdin().lock().take(most).read_to_end(&mut text).context(|| "cannot read stdin")?;
        return Ok(text);
    }
    let open = || std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NOCTTY).open(file);
    open()
        .and_then(|file: File| file.take(most).read_to_end(&mut text))
        .context_as(Kind::User, || format!("cannot read {file:?}"))
        .map_err(|error| match error.errno() {
            Some(libc::EISDIR) => error.hint("podrun pod apply -f takes a directory"),
            _ => error,
        })?;
    Ok(text)
}

/// Puts a manifest without a namespace into the command's; in words of kubectl where it has another.
fn belong(manifest: &mut Manifest, namespace: &PodNamespace) -> Result<()> {
    let written = &manifest.object["metadata"]["namespace"];
    if !written.is_null() && manifest.spec.namespace != *namespace {
        let theirs = manifest.spec.namespace.as_str();
        return Err(Error::user(format!(
            "the namespace from the provided object {theirs:?} does not match the namespace {:?}",
            namespace.as_str()
        ))
        .hint(format!(
            "leave out --namespace, or correct metadata.namespace ({})",
            manifest.place("metadata.namespace")
        )));
    }
    manifest.spec.namespace = namespace.clone();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: NAME\nspec:\n  containers:\n  - name: a\n    image: b\n";

    #[test]
    fn a_directory_is_read_in_order() {
        let place = std::env::temp_dir().join(format!("podrun-manifests-{}", std::process::id()));
        std::fs::create_dir(&place).unwrap();
        let error = read_all(&place, Reading::default()).unwrap_err();
        assert!(error.to_string().contains("no manifest"), "{error}");
        let write = |name: &str, text: String| {
            crate::state::atomic::replace(
                &place,
                name,
                text.as_bytes(),
                crate::state::atomic::Durability::Boot,
            )
            .unwrap();
        };
        write("2.yml", POD.replace("NAME", "b"));
        write("1.yaml", POD.replace("NAME", "a"));
        write("notes.txt", "nonsense: [".into());
        let names = |all: Vec<Manifest>| all.iter().map(|m| m.spec.name.to_string()).collect::<Vec<_>>();
        assert_eq!(names(read_all(&place, Reading::default()).unwrap()), ["a", "b"]);
        assert_eq!(names(read_all(&place.join("2.yml"), Reading::default()).unwrap()), ["b"]);
        let error = read(&place, Reading::default()).unwrap_err();
        assert!(error.remedy().is_some_and(|hint| hint.contains("apply")), "{error}");
        write("3.json", POD.replace("NAME", "a"));
        let error = read_all(&place, Reading::default()).unwrap_err();
        assert!(error.to_string().contains("two manifests of pod \"a\""), "{error}");
        std::fs::remove_dir_all(place).unwrap();
    }

    #[test]
    fn namespaces_must_agree() {
        let prod: PodNamespace = "prod".parse().unwrap();
        let read =
            |text: &str| manifest::read(text.as_bytes(), "x.yaml", &Options::default()).unwrap().remove(0);
        let mut silent = read(&POD.replace("NAME", "a"));
        belong(&mut silent, &prod).unwrap();
        assert_eq!(silent.spec.namespace, prod);
        let mut other = read(&POD.replace("NAME", "a\n  namespace: test"));
        let error = belong(&mut other, &prod).unwrap_err();
        assert!(error.to_string().contains("\"test\" does not match the namespace \"prod\""), "{error}");
        assert!(error.remedy().is_some_and(|hint| hint.contains("x.yaml:5")), "{:?}", error.remedy());
    }
}
