//! The ids of a user namespace, and what they are outside: `linux.uidMappings`, `linux.gidMappings` and those of mounts,
//! user_namespaces(7).
//!
//! Invariant: a [`Mappings`] is one that the kernel takes, as far as the lists themselves can tell.

use super::stand_in::StandIn;
use crate::error::{Context, Error, Kind, Result};
use crate::sys::clone::{CloneArgs, SingleThreaded};
use crate::sys::{fs, ns, process, socket};
use oci_spec::runtime::LinuxIdMapping;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Most ranges the kernel takes (UID_GID_MAP_MAX_EXTENTS).
const MOST_RANGES: usize = 340;

/// A map is written in one write(2) of less than a page.
const LARGEST_TEXT: usize = 4095;

/// Ids that follow one another inside and outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    inside: u32,
    outside: u32,
    count: u32,
}

/// The map of one kind of id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IdMap(Vec<Range>);

/// Both maps of a user namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mappings {
    /// User ids.
    pub uids: IdMap,
    /// Group ids.
    pub gids: IdMap,
}

impl IdMap {
    fn plan(field: &str, entries: &[LinuxIdMapping]) -> Result<Self> {
        if entries.is_empty() {
            return Err(Error::user(format!(
                "{field}: is missing, and a new user namespace has no ids without"
            ))
            .hint("for example [{\"containerID\": 0, \"hostID\": 100000, \"size\": 65536}]"));
        }
        if entries.len() > MOST_RANGES {
            return Err(Error::user(format!(
                "{field}: {} entries are more than the kernel's {MOST_RANGES}",
                entries.len()
            )));
        }
        let mut map = Self(Vec::with_capacity(entries.len()));
        for (index, entry) in entries.iter().enumerate() {
            let field = || format!("{field}[{index}]");
            let range = Range { inside: entry.container_id(), outside: entry.host_id(), count: entry.size() };
            map.admit(range).context(field)?;
            map.0.push(range);
        }
        if map.text().len() > LARGEST_TEXT {
            return Err(Error::user(format!("{field}: is longer than the kernel takes at once"))
                .hint("fewer, larger ranges"));
        }
        Ok(map)
    }

    /// Whether one more range fits those that are there.
    fn admit(&self, new: Range) -> Result<()> {
        if new.count == 0 {
            return Err(Error::user("size: is 0"));
        }
        // The last id is no id: it stands for "none" in many system calls.
        for (name, first) in [("containerID", new.inside), ("hostID", new.outside)] {
            if first.checked_add(new.count).is_none() {
                return Err(Error::user(format!("{name}: {} ids from {first} up are not ids", new.count)));
            }
        }
        let overlap =
            |a: u32, b: u32, count: u32| a < b.saturating_add(count) && b < a.saturating_add(new.count);
        for (index, earlier) in self.0.iter().enumerate() {
            for (name, a, b) in
                [("container", new.inside, earlier.inside), ("host", new.outside, earlier.outside)]
            {
                if overlap(a, b, earlier.count) {
                    return Err(Error::user(format!("its {name} ids are among those of entry {index}")));
                }
            }
        }
        Ok(())
    }

    /// What an id of the namespace is outside.
    pub fn outside(&self, id: u32) -> Option<u32> {
        let range = self.0.iter().find(|range| id >= range.inside && id - range.inside < range.count)?;
        Some(range.outside + (id - range.inside))
    }

    fn text(&self) -> String {
        let line = |range: &Range| format!("{} {} {}\n", range.inside, range.outside, range.count);
        self.0.iter().map(line).collect::<Vec<_>>().concat()
    }

    fn read(pid: i32, file: &str) -> Result<Self> {
        let path = format!("/proc/{pid}/{file}");
        let text = std::fs::read_to_string(&path).context(|| format!("cannot read {path}"))?;
        let range = |line: &str| {
            let mut numbers = line.split_whitespace().map(str::parse);
            let mut next = || numbers.next()?.ok();
            Some(Range { inside: next()?, outside: next()?, count: next()? })
        };
        let ranges: Option<Vec<Range>> = text.lines().map(range).collect();
        ranges.map(Self).ok_or_else(|| Error::host(format!("cannot understand {path}")))
    }
}

impl Mappings {
    /// Checks the two lists of a config; `prefix` is their place in it.
    ///
    /// # Errors
    /// Names the entry that the kernel would not take, for a reason that it would not tell.
    pub fn plan(
        prefix: &str,
        uids: Option<&[LinuxIdMapping]>,
        gids: Option<&[LinuxIdMapping]>,
    ) -> Result<Self> {
        Ok(Self {
            uids: IdMap::plan(&format!("{prefix}uidMappings"), uids.unwrap_or_default())?,
            gids: IdMap::plan(&format!("{prefix}gidMappings"), gids.unwrap_or_default())?,
        })
    }

    /// Those of the user namespace that a process is in, in terms of our own.
    ///
    /// # Errors
    /// When /proc cannot be read.
    pub fn of_process(pid: i32) -> Result<Self> {
        Ok(Self { uids: IdMap::read(pid, "uid_map")?, gids: IdMap::read(pid, "gid_map")? })
    }

    /// Those of a user namespace, which the kernel tells only of processes: one is made to stand in it for a moment.
    ///
    /// # Errors
    /// When it cannot be joined.
    pub fn of_namespace(namespace: BorrowedFd<'_>, alone: SingleThreaded) -> Result<Self> {
        let (ours, theirs) = socket::pair().context(|| "cannot create a socket pair")?;
        let stand_in = StandIn::make(alone, CloneArgs { quiet: true, ..CloneArgs::default() }, || {
            if process::set_parent_death_signal(libc::SIGKILL).is_ok()
                && ns::setns(namespace, libc::CLONE_NEWUSER).is_ok()
                && socket::send(theirs.as_fd(), b"!").is_ok()
            {
                // Until the command has read the maps, and kills it.
                drop(socket::receive(theirs.as_fd(), &mut [0]));
            }
        })?;
        drop(theirs);
        let joined = socket::receive(ours.as_fd(), &mut [0]).context(|| "cannot hear from a process")?;
        if joined == 0 {
            return Err(Error::host("cannot join the user namespace")
                .hint("podrun must be root of the user namespace that it lies in, or of one further out"));
        }
        Self::of_process(stand_in.pid())
    }

    /// A new user namespace with these maps, which lives as long as the descriptor.
    ///
    /// # Errors
    /// When the kernel makes no more, or does not take the maps.
    pub fn namespace(&self, alone: SingleThreaded) -> Result<OwnedFd> {
        let namespaces = u64::try_from(libc::CLONE_NEWUSER).unwrap_or_default();
        let args = CloneArgs { namespaces, quiet: true, ..CloneArgs::default() };
        let command = nix::unistd::getpid();
        let stand_in = StandIn::make(alone, args, || {
            // A command that died before it was asked for would leave this process for ever.
            if process::set_parent_death_signal(libc::SIGKILL).is_ok() && nix::unistd::getppid() == command {
                process::pause();
            }
        })?;
        self.write(stand_in.pid())?;
        namespace_of(stand_in.pid())
    }

    /// Gives the user namespace that a process has just made its ids.
    ///
    /// # Errors
    /// When the kernel does not take them.
    pub fn write(&self, pid: i32) -> Result<()> {
        for (file, field, map) in
            [("gid_map", "gidMappings", &self.gids), ("uid_map", "uidMappings", &self.uids)]
        {
            fs::write_existing(&Path::new("/proc").join(pid.to_string()).join(file), &map.text())
                .context_as(Kind::User, || format!("cannot set the ids of the user namespace (linux.{field})"))
                .map_err(|error| match error.errno() {
                    Some(libc::EPERM) => error.hint(
                        "hostID and what follows it must be ids of podrun's own user namespace, see /proc/self/uid_map; \
                         mapping them takes CAP_SETUID, CAP_SETGID and, for root, CAP_SETFCAP",
                    ),
                    _ => error,
                })?;
        }
        Ok(())
    }

    /// Who makes the container's files: its root or, where the namespace has none, the given user and group.
    pub fn root(&self, uid: u32, gid: u32) -> (u32, u32) {
        let or = |map: &IdMap, id| if map.outside(0).is_some() { 0 } else { id };
        (or(&self.uids, uid), or(&self.gids, gid))
    }

    /// What a uid of the namespace is outside.
    pub fn outside_uid(&self, uid: u32) -> Option<u32> {
        self.uids.outside(uid)
    }

    /// Makes sure that a process can be this user.
    ///
    /// # Errors
    /// Names the id that the namespace has not got.
    pub fn check(&self, uid: u32, gid: u32, groups: &[u32]) -> Result<()> {
        let missing = |field: String, id: u32, lists: &str| {
            Error::user(format!("process.user.{field}: {id} is no id of the container's user namespace"))
                .hint(format!("map it in linux.{lists}, or choose an id that is"))
        };
        if self.uids.outside(uid).is_none() {
            return Err(missing("uid".into(), uid, "uidMappings"));
        }
        if self.gids.outside(gid).is_none() {
            return Err(missing("gid".into(), gid, "gidMappings"));
        }
        match groups.iter().position(|group| self.gids.outside(*group).is_none()) {
            None => Ok(()),
            Some(index) => Err(missing(format!("additionalGids[{index}]"), groups[index], "gidMappings")),
        }
    }
}

/// The user namespace of a process, open.
fn namespace_of(pid: i32) -> Result<OwnedFd> {
    let path = format!("/proc/{pid}/ns/user");
    fs::open_existing(Path::new(&path), libc::O_RDONLY).context(|| format!("cannot open {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(ranges: &[(u32, u32, u32)]) -> Result<Mappings> {
        let entries: Vec<LinuxIdMapping> = ranges
            .iter()
            .map(|(inside, outside, count)| {
                let json = format!(r#"{{"containerID": {inside}, "hostID": {outside}, "size": {count}}}"#);
                serde_json::from_str(&json).unwrap()
            })
            .collect();
        Mappings::plan("linux.", Some(&entries), Some(&entries))
    }

    #[test]
    fn ids_are_found_on_both_sides() {
        let maps = plan(&[(0, 100_000, 10), (1000, 5, 1)]).unwrap();
        let outside = |id| maps.uids.outside(id);
        assert_eq!(
            [outside(0), outside(9), outside(10), outside(1000)],
            [Some(100_000), Some(100_009), None, Some(5)]
        );
        assert_eq!(maps.uids.text(), "0 100000 10\n1000 5 1\n");
        assert_eq!(maps.root(7, 8), (0, 0));
        assert_eq!(plan(&[(1000, 5, 1)]).unwrap().root(1000, 1000), (1000, 1000));
        assert!(maps.check(9, 1000, &[3]).is_ok());
        for (uid, gid, groups, field) in
            [(10, 0, &[][..], "uid"), (0, 10, &[], "gid"), (0, 0, &[0, 77], "additionalGids[1]")]
        {
            let error = maps.check(uid, gid, groups).unwrap_err().to_string();
            assert!(error.starts_with(&format!("process.user.{field}: ")), "{error}");
        }
    }

    #[test]
    fn what_the_kernel_does_not_take_is_named() {
        let many: Vec<_> = (0..341).map(|n| (n, n, 1)).collect();
        let long: Vec<_> = (0..200).map(|n| (4_000_000_000 + n, 4_000_000_000 + n, 1)).collect();
        for (ranges, text) in [
            (&[][..], "linux.uidMappings: is missing"),
            (&[(0, 0, 0)], "linux.uidMappings[0]: size: is 0"),
            (&[(0, u32::MAX, 1)], "linux.uidMappings[0]: hostID: "),
            (&[(1, 0, u32::MAX)], "linux.uidMappings[0]: containerID: "),
            (
                &[(0, 100, 10), (9, 500, 1)],
                "linux.uidMappings[1]: its container ids are among those of entry 0",
            ),
            (&[(0, 100, 10), (10, 95, 6)], "linux.uidMappings[1]: its host ids are among those of entry 0"),
            (&many, "linux.uidMappings: 341 entries"),
            (&long, "linux.uidMappings: is longer"),
        ] {
            let error = plan(ranges).unwrap_err().to_string();
            assert!(error.starts_with(text), "{error}");
        }
        // All ids there are, and side by side.
        assert!(plan(&[(0, 0, u32::MAX)]).is_ok());
        assert!(plan(&[(0, 100, 10), (10, 110, 1)]).is_ok());
        assert!(Mappings::plan("linux.", None, None).is_err());
    }
}
