//! The files hosts, hostname and resolv.conf that a pod's containers find in /etc.
//!
//! They are bind-mounted, so they are made once and later rewritten in place, never replaced. Containers may write to
//! them, as in Kubernetes: so they lie in a tmpfs of the pod's own, which is all that a container can fill.

use crate::error::{Context, Result};
use crate::pod::request::Network;
use crate::pod::volumes;
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// By how many bytes the files may grow together.
const ROOM: u64 = 64 << 10;

/// Makes the three files in a tmpfs at `directory`.
///
/// # Errors
/// When one cannot be written, or the host's own cannot be read; a host without them is no error.
pub(super) fn make(directory: &Path, hostname: &str, network: Network) -> Result<()> {
    let host = match network {
        Network::Host => host_file("/etc/hosts")?,
        Network::None => Vec::new(),
    };
    let files = [
        ("hosts", hosts(&String::from_utf8_lossy(&host), hostname).into_bytes()),
        ("hostname", format!("{hostname}\n").into_bytes()),
        ("resolv.conf", host_file("/etc/resolv.conf")?),
    ];
    let size: usize = files.iter().map(|(_, content)| content.len()).sum();
    volumes::mount_etc(directory, size as u64 + ROOM)?;
    for (name, content) in files {
        let path = directory.join(name);
        write(&path, &content).context(|| format!("cannot write {path:?}"))?;
    }
    Ok(())
}

/// A file of the host, or nothing where it has none. A megabyte is far more than either file has.
fn host_file(path: &str) -> Result<Vec<u8>> {
    const LARGEST: u64 = 1 << 20;
    let mut content = Vec::new();
    match std::fs::File::open(path) {
        Ok(file) => {
            file.take(LARGEST).read_to_end(&mut content).context(|| format!("cannot read {path}"))?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).context(|| format!("cannot read {path}")),
    }
    Ok(content)
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
    // Readable to whoever a container runs as, whatever podrun's umask is.
    file.set_permissions(std::fs::Permissions::from_mode(0o644))?;
    file.write_all(content)
}

/// The host's file (empty where the pod has a network of its own) with every name added that it has not got:
/// localhost at 127.0.0.1 and at ::1, and the pod's hostname, which without a network is nobody but itself.
fn hosts(host: &str, hostname: &str) -> String {
    let mut text = String::from(if host.is_empty() { "# Made by podrun\n" } else { host });
    if !text.ends_with('\n') {
        text.push('\n');
    }
    for (address, name, more) in [
        ("127.0.0.1", "localhost", ""),
        ("::1", "localhost", " ip6-localhost ip6-loopback"),
        ("127.0.0.1", hostname, ""),
    ] {
        let wanted = if name == hostname && name != "localhost" { None } else { Some(address) };
        if !names(&text, wanted, name) {
            text.push_str(&format!("{address}\t{name}{more}\n"));
        }
    }
    text
}

/// Whether a line of a hosts(5) file gives `name` to `address`, or to any address.
fn names(hosts: &str, address: Option<&str>, name: &str) -> bool {
    hosts.lines().any(|line| {
        let mut fields = line.split('#').next().unwrap_or_default().split_ascii_whitespace();
        let first = fields.next();
        first.is_some() && (address.is_none() || first == address) && fields.any(|field| field == name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_always_names_localhost_and_the_pod() {
        let fresh = hosts("", "shop");
        assert_eq!(
            fresh,
            "# Made by podrun\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.0.1\tshop\n"
        );
        let host = "10.0.0.5 node shop # localhost\n127.0.0.1 localhost\n#::1 localhost";
        assert_eq!(hosts(host, "shop"), format!("{host}\n::1\tlocalhost ip6-localhost ip6-loopback\n"));
        assert!(hosts("10.0.0.5 localhost\n", "a").contains("\n127.0.0.1\tlocalhost\n"));
        assert_eq!(hosts("", "localhost").matches("127.0.0.1").count(), 1);
    }
}
