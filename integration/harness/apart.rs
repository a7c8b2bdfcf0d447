//! A mount namespace for real clients: whatever they are told, they write to `/run`, `/var/lib`, `/etc` and `/opt` too,
//! and look there for a daemon of the machine's. What they write there goes with the namespace. Their home and their place
//! for temporary files are the test's: a person's settings are no part of it.

use super::command::{Cmd, Running};
use std::ffi::OsString;
use std::path::Path;

/// A command that runs `script` in such a namespace, made by unshare(1) with `flags` for further ones.
pub fn command(place: &Path, flags: &[&str], script: &str) -> Cmd {
    // resolv.conf is a link into /run on many machines. Podman takes every directory beside the hierarchies of cgroup v1
    // for one more, and fills it with files; runc leaves such directories.
    let script = format!(
        "set -e
        names=$(cat /etc/resolv.conf || true)
        mount -t tmpfs none /run
        mount -t tmpfs none /var/lib
        for name in etc opt; do
            [ -d /$name ] || continue
            mkdir /var/lib/$name /var/lib/$name.work
            mount -t overlay -o lowerdir=/$name,upperdir=/var/lib/$name,workdir=/var/lib/$name.work none /$name
        done
        if [ ! -e /sys/fs/cgroup/cgroup.controllers ]; then
            mkdir /var/lib/cgroup
            for entry in /sys/fs/cgroup/*; do
                if [ -L $entry ]; then
                    cp -P $entry /var/lib/cgroup
                elif mountpoint -q $entry; then
                    mkdir /var/lib/cgroup/${{entry##*/}}
                    mount --bind $entry /var/lib/cgroup/${{entry##*/}}
                fi
            done
            mount --rbind /var/lib/cgroup /sys/fs/cgroup
        fi
        rm -f /etc/resolv.conf
        echo \"$names\" >/etc/resolv.conf
        {script}"
    );
    let [home, scratch] = variables(place);
    let words = ["unshare", "-m", "--propagation", "private"].iter().chain(flags).copied();
    Cmd::new(place, words.chain(["env", &home, &scratch, "sh", "-c", &script]).map(str::to_owned))
}

/// What to put before a command that is to run in the namespace of `holder`.
pub fn inside(place: &Path, holder: &Running) -> Vec<OsString> {
    let pid = holder.pid().to_string();
    let [home, scratch] = variables(place);
    ["nsenter", "-m", "-t", &pid, "env", &home, &scratch].map(OsString::from).into()
}

fn variables(place: &Path) -> [String; 2] {
    ["HOME", "TMPDIR"].map(|name| format!("{name}={}", place.display()))
}
