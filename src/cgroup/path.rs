//! From `linux.cgroupsPath` to directories.

use super::detect::{Hierarchies, Hierarchy};
use super::{Cgroup, Group, Mode};
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// The group at `path` in every hierarchy; see [`Hierarchies::resolve`].
pub(super) fn resolve(hierarchies: &Hierarchies, path: &str) -> Result<Cgroup> {
    let mode = hierarchies.mode();
    let below = clean(path)?;
    let groups = hierarchies.list.iter().map(|h| {
        let base = if path.starts_with('/') { h.mount.clone() } else { h.mount.join(own(h, mode)?) };
        Ok(Group { controllers: h.controllers.clone(), mount: h.mount.clone(), dir: base.join(&below) })
    });
    Ok(Cgroup { mode, groups: groups.collect::<Result<_>>()? })
}

/// What relative paths count from.
fn own(hierarchy: &Hierarchy, mode: Mode) -> Result<&Path> {
    let own = hierarchy.own.as_deref().ok_or_else(|| {
        let at = hierarchy.mount.display();
        Error::host(format!("our own cgroup lies outside what is mounted at {at}"))
            .hint("give an absolute linux.cgroupsPath")
    })?;
    // We are in our own group, and v2 forbids a group to have both processes and controllers below it.
    Ok(if mode == Mode::V2 { own.parent().unwrap_or(own) } else { own })
}

/// The path's names alone. `..` would lead to groups of others.
fn clean(path: &str) -> Result<PathBuf> {
    let refuse = |why: &str| {
        Err(Error::user(format!("invalid linux.cgroupsPath {path:?}: {why}"))
            .hint("write it like /pods/web, or leave it out"))
    };
    if path.contains('\0') {
        return refuse("it has a NUL byte");
    }
    let names: Vec<&str> = path.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
    if names.contains(&"..") {
        return refuse("it has a \"..\"");
    }
    if names.is_empty() {
        return refuse("it names no group");
    }
    Ok(names.iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(controllers: &[&str], own: Option<&str>) -> Hierarchies {
        let hierarchy = |names: &&str| Hierarchy {
            controllers: (*names).to_owned(),
            mount: Path::new("/cg").join(if names.is_empty() { "v2" } else { names }),
            own: own.map(PathBuf::from),
            read_only: false,
        };
        Hierarchies { list: controllers.iter().map(hierarchy).collect() }
    }

    fn dirs(group: &Cgroup) -> Vec<String> {
        group.dirs().map(|(_, dir)| dir.display().to_string()).collect()
    }

    #[test]
    fn absolute_paths_count_from_the_mount_points() {
        let host = host(&["memory", "name=systemd", ""], Some("own"));
        let group = host.resolve(Some("//a/./b/"), "id").unwrap();
        assert_eq!(dirs(&group), ["/cg/memory/a/b", "/cg/name=systemd/a/b", "/cg/v2/a/b"]);
        assert_eq!(group.path(), "/a/b");
        assert_eq!(host.for_absolute("/podrun/pod1").unwrap().child("_pause").path(), "/podrun/pod1/_pause");
    }

    #[test]
    fn relative_paths_count_from_our_own_group_and_on_v2_from_the_one_above() {
        let hybrid = host(&["memory", ""], Some("user/me"));
        assert_eq!(
            dirs(&hybrid.resolve(Some("x"), "id").unwrap()),
            ["/cg/memory/user/me/x", "/cg/v2/user/me/x"]
        );
        let v2 = host(&[""], Some("user/me"));
        assert_eq!(dirs(&v2.resolve(None, "id").unwrap()), ["/cg/v2/user/podrun-oci/id"]);
        let top = host(&[""], Some(""));
        assert_eq!(dirs(&top.resolve(Some(""), "id").unwrap()), ["/cg/v2/podrun-oci/id"]);
        let outside = host(&[""], None);
        assert!(outside.resolve(None, "id").is_err());
        assert!(outside.resolve(Some("/x"), "id").is_ok());
    }

    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        let host = host(&[""], Some(""));
        for bad in ["..", "/a/../b", "a/..", "/", ".", "//", "a\0b"] {
            assert!(host.resolve(Some(bad), "id").is_err(), "{bad:?}");
        }
        assert!(host.resolve(Some("/a..b/...c"), "id").is_ok());
    }
}
