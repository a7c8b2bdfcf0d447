//! `restore`: known, so that callers are answered properly, and not supported yet.

use crate::error::Result;
use crate::model::ids::ContainerId;
use std::path::PathBuf;

/// Make a container from a saved state (not supported yet)
#[derive(Debug, PartialEq, clap::Args)]
#[command(after_help = "Example:\n  podrun restore --image-path /var/tmp/web --bundle /srv/web web")]
pub struct RestoreArgs {
    /// Directory of config.json
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub bundle: PathBuf,
    /// File to write the pid of the container's init to
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// Unix socket that gets the terminal's master
    #[arg(long, value_name = "SOCKET")]
    pub console_socket: Option<PathBuf>,
    /// Directory of the images
    #[arg(long, value_name = "DIR")]
    pub image_path: Option<PathBuf>,
    /// Directory of work files and logs
    #[arg(long, value_name = "DIR")]
    pub work_path: Option<PathBuf>,
    /// Directory of the images of an earlier dump
    #[arg(long, value_name = "DIR")]
    pub parent_path: Option<PathBuf>,
    /// Return as soon as the program runs
    #[arg(short, long)]
    pub detach: bool,
    /// Leave orphans of the container to the caller's subreaper
    #[arg(long)]
    pub no_subreaper: bool,
    /// Use MS_MOVE and chroot in place of pivot_root
    #[arg(long)]
    pub no_pivot: bool,
    /// Allow open TCP connections
    #[arg(long)]
    pub tcp_established: bool,
    /// Close TCP connections that were open
    #[arg(long)]
    pub tcp_close: bool,
    /// Allow Unix sockets whose other end is outside
    #[arg(long)]
    pub ext_unix_sk: bool,
    /// Allow shell jobs
    #[arg(long)]
    pub shell_job: bool,
    /// Handle file locks
    #[arg(long)]
    pub file_locks: bool,
    /// Restore memory pages on demand
    #[arg(long)]
    pub lazy_pages: bool,
    /// What to do with cgroups
    #[arg(long, value_name = "MODE")]
    pub manage_cgroups_mode: Option<String>,
    /// Make this namespace anew
    #[arg(long, value_name = "NAMESPACE")]
    pub empty_ns: Vec<String>,
    /// Free images as they are read
    #[arg(long)]
    pub auto_dedup: bool,
    /// LSM profile to restore with
    #[arg(long, value_name = "TYPE:NAME")]
    pub lsm_profile: Option<String>,
    /// SELinux context of the mounts
    #[arg(long, value_name = "CONTEXT")]
    pub lsm_mount_context: Option<String>,
    /// The container's id
    #[arg(value_name = "ID")]
    pub id: ContainerId,
}

impl RestoreArgs {
    /// Says that this is not supported yet.
    ///
    /// # Errors
    /// Always.
    pub fn run(&self) -> Result<i32> {
        Err(super::not_supported("restore"))
    }
}
