//! Groups below a container's, for a further process of it: where `exec --cgroup` says, or where the container has put
//! its own first process.

use super::{Cgroup, Group};
use crate::error::{Context, Error, Result};
use std::path::{Path, PathBuf};

impl Cgroup {
    /// The groups that `PATH`, or `CONTROLLER[,CONTROLLER]:PATH` one after the other, name below this one. Hierarchies
    /// that are not named stay as they are.
    ///
    /// # Errors
    /// For a path that leads out of the group, a second colon, and for a controller that no hierarchy has. Whether a group
    /// is there, who opens it sees.
    pub fn below(&self, arguments: &[String]) -> Result<Self> {
        let mut below = self.clone();
        let mut named: Vec<&str> = Vec::new();
        for argument in arguments {
            let title = || format!("--cgroup {argument:?}");
            let Some((controllers, path)) = argument.split_once(':') else {
                if arguments.len() > 1 {
                    return Err(Error::user("a path without controllers stands alone")
                        .hint("write --cgroup CONTROLLER:PATH"))
                    .context(title);
                }
                let path = clean(argument).context(title)?;
                below.groups.iter_mut().for_each(|group| group.dir.extend(&path));
                continue;
            };
            if path.contains(':') {
                let what = format!("invalid --cgroup argument {argument:?}: it has two colons");
                return Err(
                    Error::user(what).hint("write --cgroup CONTROLLER[,CONTROLLER]:PATH, once for each path")
                );
            }
            let path = clean(path).context(title)?;
            for controller in controllers.split(',') {
                if named.contains(&controller) {
                    return Err(Error::user(format!("{controller} has two paths"))).context(title);
                }
                named.push(controller);
            }
            for (group, own) in below.groups.iter_mut().zip(&self.groups) {
                if controllers.split(',').any(|controller| own.has(controller)) {
                    // Of controllers that share a hierarchy, each leads to the same place.
                    group.dir.clone_from(&own.dir);
                    group.dir.extend(&path);
                }
            }
            if let Some(unknown) = controllers.split(',').find(|name| name.is_empty() || !self.has_v1(name)) {
                return Err(Error::user(format!("unknown controller {unknown:?}"))
                    .hint("on cgroup v2 give the path alone; on v1 see /proc/cgroups"))
                .context(title);
            }
        }
        Ok(below)
    }

    /// Where process `pid` is, on the v2 hierarchy: it may have moved below this group, and this group may no longer take
    /// processes since it hands controllers down. The v1 hierarchies stay as they are.
    ///
    /// # Errors
    /// When it is not below this group, or cannot be seen.
    pub fn followed(&self, pid: i32) -> Result<Self> {
        let file = format!("/proc/{pid}/cgroup");
        let text = std::fs::read_to_string(&file).context(|| format!("cannot read {file}"))?;
        let path = text.lines().find_map(|line| line.strip_prefix("0::/")).map(PathBuf::from);
        let mut followed = self.clone();
        for group in followed.groups.iter_mut().filter(|group| group.is_v2()) {
            let dir = path.as_ref().map(|path| group.mount.join(path));
            group.dir = dir.filter(|dir| dir.starts_with(&group.dir)).ok_or_else(|| {
                Error::user("the container's first process is in no cgroup below the container's")
            })?;
        }
        Ok(followed)
    }

    fn has_v1(&self, controller: &str) -> bool {
        self.groups.iter().any(|group: &Group| group.has(controller) && !group.is_v2())
    }
}

/// The names of a path alone. `..` would lead to groups of others.
fn clean(path: &str) -> Result<PathBuf> {
    let names: Vec<&str> = path.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
    if names.contains(&"..") || path.contains('\0') {
        return Err(Error::user("bad sub cgroup path: it leads out of the container's group"));
    }
    Ok(names.iter().map(Path::new).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::Mode;

    fn group(controllers: &[&str]) -> Cgroup {
        let group = |names: &&str| {
            let mount = Path::new("/cg").join(if names.is_empty() { "v2" } else { names });
            Group { controllers: (*names).to_owned(), dir: mount.join("c"), mount }
        };
        Cgroup { mode: Mode::Hybrid, groups: controllers.iter().map(group).collect() }
    }

    fn dirs(cgroup: &Cgroup, arguments: &[&str]) -> Result<Vec<String>> {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let below = cgroup.below(&arguments)?;
        Ok(below.groups.iter().map(|group| group.dir.display().to_string()).collect())
    }

    #[test]
    fn paths_count_from_the_containers_group() {
        let cgroup = group(&["memory", "cpu,cpuacct", ""]);
        assert_eq!(dirs(&cgroup, &[]).unwrap(), ["/cg/memory/c", "/cg/cpu,cpuacct/c", "/cg/v2/c"]);
        assert_eq!(dirs(&cgroup, &["/"]).unwrap(), dirs(&cgroup, &[]).unwrap());
        assert_eq!(
            dirs(&cgroup, &["//a/./b/"]).unwrap(),
            ["/cg/memory/c/a/b", "/cg/cpu,cpuacct/c/a/b", "/cg/v2/c/a/b"]
        );
        let some = dirs(&cgroup, &["memory:m", "cpu,cpuacct:/p/q"]).unwrap();
        assert_eq!(some, ["/cg/memory/c/m", "/cg/cpu,cpuacct/c/p/q", "/cg/v2/c"]);
    }

    #[test]
    fn what_leads_elsewhere_is_refused() {
        let cgroup = group(&["memory", "cpu,cpuacct"]);
        for (arguments, text) in [
            (&[".."][..], "bad sub cgroup path"),
            (&["a/../.."], "bad sub cgroup path"),
            (&["memory:../x"], "bad sub cgroup path"),
            (&["a\0b"], "bad sub cgroup path"),
            (&["whaaat:/"], "unknown controller \"whaaat\""),
            (&[":x"], "unknown controller \"\""),
            (&["memory,:x"], "unknown controller \"\""),
            (&["memory:a", "memory:b"], "memory has two paths"),
            (&["a", "b"], "stands alone"),
        ] {
            let error = dirs(&cgroup, arguments).unwrap_err().to_string();
            assert!(error.starts_with("--cgroup ") && error.contains(text), "{error}");
        }
        let error = dirs(&cgroup, &["memory:a:b"]).unwrap_err().to_string();
        assert_eq!(error, "invalid --cgroup argument \"memory:a:b\": it has two colons");
        let error = dirs(&group(&[""]), &["memory:x"]).unwrap_err().to_string();
        assert!(error.contains("unknown controller \"memory\""), "{error}");
    }

    #[test]
    fn a_process_elsewhere_is_not_followed() {
        let error = group(&[""]).followed(1).unwrap_err().to_string();
        assert!(error.contains("in no cgroup below the container's"), "{error}");
    }
}
