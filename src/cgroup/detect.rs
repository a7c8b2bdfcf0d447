//! What /proc/self/mountinfo and /proc/self/cgroup say about the host's hierarchies: one pass over each.

use super::{Cgroup, Mode, path};
use crate::error::{Context, Error, Result};
use std::io;
use std::path::{Path, PathBuf};

/// The cgroup hierarchies of this host as this process sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchies {
    pub(super) list: Vec<Hierarchy>,
}

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hierarchy {
    /// As /proc/self/cgroup names them; empty for v2.
    pub(super) controllers: String,
    pub(super) mount: PathBuf,
    /// Our own group, relative to `mount`; `None` where it lies outside what is mounted.
    pub(super) own: Option<PathBuf>,
    pub(super) read_only: bool,
}

/// Reads what is mounted. No hierarchy, or a read-only one, is an error only when a group is to be made.
///
/// # Errors
/// When /proc cannot be read.
pub fn detect() -> Result<Hierarchies> {
    let mountinfo = read("/proc/self/mountinfo")?;
    Ok(Hierarchies { list: hierarchies(&mountinfo, &read("/proc/self/cgroup")?) })
}

/// /proc/self/cgroup is missing where the kernel has no cgroups. Paths that are no UTF-8 are none of ours.
fn read(path: &str) -> Result<String> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error).context(|| format!("cannot read {path}")),
    }
}

impl Hierarchies {
    /// Which cgroup versions are mounted.
    pub fn mode(&self) -> Mode {
        let v2 = self.list.iter().any(|h| h.controllers.is_empty());
        let v1 = self.list.iter().any(|h| !h.controllers.is_empty());
        match (v1, v2) {
            (false, false) => Mode::None,
            (true, false) => Mode::V1,
            (false, true) => Mode::V2,
            (true, true) => Mode::Hybrid,
        }
    }

    /// The controllers of each mounted v1 hierarchy (`""` for v2) and its mount point.
    pub fn mounts(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.list.iter().map(|h| (h.controllers.as_str(), h.mount.as_path()))
    }

    /// The group that `linux.cgroupsPath` names: an absolute path counts from each hierarchy's mount point, a
    /// relative one from our own group (on v2 from the one above it: a group that has processes cannot hand
    /// controllers down). `None` or an empty path means `podrun-oci/<id>`.
    ///
    /// # Errors
    /// When no cgroup file system is mounted, one is mounted read-only, or the path has `..` or names no group.
    pub fn resolve(&self, cgroups_path: Option<&str>, id: &str) -> Result<Cgroup> {
        self.writable()?;
        match cgroups_path.filter(|path| !path.is_empty()) {
            Some(given) => path::resolve(self, given),
            None => path::resolve(self, &format!("podrun-oci/{id}")),
        }
    }

    /// The group of this process, in every hierarchy where it can be seen.
    ///
    /// # Errors
    /// When it can be seen in none.
    pub fn own(&self) -> Result<Cgroup> {
        let group = |h: &Hierarchy| {
            let own = h.own.as_deref()?;
            Some(super::Group {
                controllers: h.controllers.clone(),
                mount: h.mount.clone(),
                dir: h.mount.join(own),
            })
        };
        let groups: Vec<_> = self.list.iter().filter_map(group).collect();
        if groups.is_empty() {
            return Err(Error::host("our own cgroup lies outside of what is mounted"));
        }
        Ok(Cgroup { mode: self.mode(), groups })
    }

    /// The group at an absolute path in every hierarchy, such as `/podrun/pod<uid>`.
    ///
    /// # Errors
    /// As [`Hierarchies::resolve`].
    pub fn for_absolute(&self, absolute: &str) -> Result<Cgroup> {
        self.writable()?;
        path::resolve(self, &format!("/{absolute}"))
    }

    fn writable(&self) -> Result<()> {
        if self.list.is_empty() {
            return Err(Error::host("no cgroup file system is mounted")
                .hint("mount one: mount -t cgroup2 cgroup2 /sys/fs/cgroup"));
        }
        match self.list.iter().find(|h| h.read_only) {
            Some(h) => {
                Err(Error::host(format!("the cgroup file system at {} is read-only", h.mount.display()))
                    .hint(format!("remount it: mount -o remount,rw {}", h.mount.display())))
            }
            None => Ok(()),
        }
    }
}

/// One line of mountinfo, proc_pid_mountinfo(5).
struct Mount<'a> {
    root: &'a str,
    point: PathBuf,
    read_only: bool,
    kind: &'a str,
    super_options: &'a str,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split(' ');
        let root = fields.nth(3)?;
        let point = PathBuf::from(unescape(fields.next()?));
        let options = fields.next()?;
        fields.find(|f| *f == "-")?; // ends the optional fields, of which there may be none
        let kind = fields.next()?;
        let super_options = fields.nth(1)?;
        let read_only = [options, super_options].iter().any(|o| o.split(',').any(|o| o == "ro"));
        Some(Mount { root, point, read_only, kind, super_options })
    }

    /// The hierarchy behind the mount: named by that line of /proc/self/cgroup all of whose names are among the
    /// mount's options, so that no list of controllers has to be known here.
    fn hierarchy(&self, own_groups: &[(&str, &str)]) -> Option<Hierarchy> {
        let serves = |names: &str| match self.kind {
            "cgroup2" => names.is_empty(),
            "cgroup" => {
                !names.is_empty()
                    && names.split(',').all(|name| self.super_options.split(',').any(|o| o == name))
            }
            _ => false,
        };
        let (controllers, own) = own_groups.iter().find(|(names, _)| serves(names))?;
        Some(Hierarchy {
            controllers: (*controllers).to_owned(),
            mount: self.point.clone(),
            own: relative(own, &unescape(self.root)),
            read_only: self.read_only,
        })
    }
}

/// Our own group's path below what is mounted. A `/..` in front is the kernel's way to say that the group lies
/// outside our cgroup namespace, cgroup_namespaces(7).
fn relative(own: &str, root: &str) -> Option<PathBuf> {
    let below = Path::new(own).strip_prefix(root).ok()?;
    let inside = below.components().all(|c| matches!(c, std::path::Component::Normal(_)));
    inside.then(|| below.to_owned())
}

fn hierarchies(mountinfo: &str, own: &str) -> Vec<Hierarchy> {
    let own_groups: Vec<(&str, &str)> = own
        .lines()
        .filter_map(|line| line.split_once(':').and_then(|(_number, rest)| rest.split_once(':')))
        .collect();
    let mut found: Vec<Hierarchy> = Vec::new();
    for mount in mountinfo.lines().filter_map(Mount::parse) {
        // A later mount at or above an earlier one hides it.
        if mount.point != Path::new("/") {
            found.retain(|h| !h.mount.starts_with(&mount.point));
        }
        let Some(new) = mount.hierarchy(&own_groups) else { continue };
        match found.iter_mut().find(|h| h.controllers == new.controllers) {
            // The same hierarchy twice: the first, unless only the second can be written.
            Some(old) if old.read_only && !new.read_only => *old = new,
            Some(_) => {}
            None => found.push(new),
        }
    }
    found
}

/// Undoes the octal escapes of mountinfo (`\040` is a space).
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let escaped = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match (escaped, part.get(3..)) {
            (Some(byte), Some(rest)) => {
                plain.push(char::from(byte));
                plain.push_str(rest);
            }
            _ => {
                plain.push('\\');
                plain.push_str(part);
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &str = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
        25 22 0:22 / /sys rw,nosuid shared:7 - sysfs sysfs rw\n\
        29 25 0:26 / /sys/fs/cgroup rw,nosuid,nodev shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n";
    const V1: &str = "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
        32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime master:3 - cgroup cgroup rw,cpu,cpuacct\n\
        35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
        40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/x,name=systemd\n";
    const UNIFIED: &str = "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
    const V1_OWN: &str = "9:name=systemd:/user:1/x\n4:memory:/api/9f\n1:cpu,cpuacct:/\n0::/u\n";

    fn detected(mountinfo: &str, own: &str) -> Hierarchies {
        Hierarchies { list: hierarchies(mountinfo, own) }
    }

    fn of<'a>(hierarchies: &'a Hierarchies, controllers: &str) -> &'a Hierarchy {
        hierarchies.list.iter().find(|h| h.controllers == controllers).unwrap()
    }

    #[test]
    fn v2_alone() {
        let found = detected(V2, "0::/user.slice/session-1.scope\n");
        assert_eq!(found.mode(), Mode::V2);
        assert_eq!(found.list.len(), 1);
        assert_eq!(found.list[0].mount, Path::new("/sys/fs/cgroup"));
        assert_eq!(found.list[0].own.as_deref(), Some(Path::new("user.slice/session-1.scope")));
    }

    #[test]
    fn v1_alone_and_hybrid() {
        let found = detected(V1, V1_OWN);
        assert_eq!(found.mode(), Mode::V1);
        assert_eq!(of(&found, "cpu,cpuacct").own.as_deref(), Some(Path::new("")));
        assert_eq!(of(&found, "memory").own.as_deref(), Some(Path::new("api/9f")));
        assert_eq!(of(&found, "name=systemd").own.as_deref(), Some(Path::new("user:1/x")));
        let hybrid = detected(&format!("{V1}{UNIFIED}"), V1_OWN);
        assert_eq!(hybrid.mode(), Mode::Hybrid);
        assert_eq!(of(&hybrid, "").mount, Path::new("/sys/fs/cgroup/unified"));
    }

    #[test]
    fn hidden_mounts_do_not_count() {
        let covered = format!(
            "{V1}{UNIFIED}50 31 0:50 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
            51 50 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
        );
        let found = detected(&covered, V1_OWN);
        assert_eq!(found.list.iter().map(|h| h.controllers.as_str()).collect::<Vec<_>>(), ["memory"]);
    }

    #[test]
    fn a_container_sees_its_own_part() {
        let line = "35 31 0:32 /docker/ab /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        let own = |path: &str| hierarchies(line, &format!("4:memory:{path}\n"))[0].own.clone();
        assert_eq!(own("/docker/ab").as_deref(), Some(Path::new("")));
        assert_eq!(own("/docker/ab/x").as_deref(), Some(Path::new("x")));
        assert_eq!(own("/other"), None);
        let outside = hierarchies(V2, "0::/../other\n");
        assert_eq!(outside[0].own, None);
    }

    #[test]
    fn nothing_or_read_only_is_an_error_only_when_a_group_is_wanted() {
        let none = detected("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n", "0::/\n");
        assert_eq!(none.mode(), Mode::None);
        assert_eq!(none.resolve(None, "c").unwrap_err().to_string(), "no cgroup file system is mounted");
        let read_only = detected("29 25 0:26 / /a\\040b ro,nosuid - cgroup2 cgroup2 rw\n", "0::/\n");
        let error = read_only.for_absolute("/podrun/x").unwrap_err();
        assert_eq!(error.to_string(), "the cgroup file system at /a b is read-only");
        assert_eq!(error.remedy(), Some("remount it: mount -o remount,rw /a b"));
    }

    #[test]
    fn of_two_mounts_the_one_that_can_be_written() {
        let first = "29 25 0:26 / /ro ro - cgroup2 cgroup2 rw\n";
        let second = "30 25 0:26 / /rw rw - cgroup2 cgroup2 rw\n";
        assert_eq!(hierarchies(&format!("{first}{second}"), "0::/\n")[0].mount, Path::new("/rw"));
        assert_eq!(hierarchies(&format!("{second}{first}"), "0::/\n")[0].mount, Path::new("/rw"));
    }

    #[test]
    fn nonsense_is_skipped() {
        assert!(hierarchies("\n1 2 3\nx\n1 2 3:4 / /x rw - \n", "::\nabc\n").is_empty());
    }
}
