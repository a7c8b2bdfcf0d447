//! `checkpoint`: known, so that callers are answered properly, and not supported yet.

use crate::error::Result;
use crate::model::ids::ContainerId;
use std::path::PathBuf;

/// Save a running container's state (not supported yet)
#[derive(Debug, PartialEq, clap::Args)]
#[command(after_help = "Example:\n  podrun checkpoint --image-path /var/tmp/web web")]
pub struct CheckpointArgs {
    /// Directory of the images
    #[arg(long, value_name = "DIR")]
    pub image_path: Option<PathBuf>,
    /// Directory of work files and logs
    #[arg(long, value_name = "DIR")]
    pub work_path: Option<PathBuf>,
    /// Directory of the images of an earlier dump
    #[arg(long, value_name = "DIR")]
    pub parent_path: Option<PathBuf>,
    /// Leave the container running
    #[arg(long)]
    pub leave_running: bool,
    /// Allow open TCP connections
    #[arg(long)]
    pub tcp_established: bool,
    /// Leave out sockets of open TCP connections
    #[arg(long)]
    pub tcp_skip_in_flight: bool,
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
    /// Descriptor that is told when lazy pages are ready
    #[arg(long, value_name = "FD", allow_negative_numbers = true)]
    pub status_fd: Option<i32>,
    /// Address and port of the page server
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub page_server: Option<String>,
    /// Dump the memory alone and leave the container running
    #[arg(long)]
    pub pre_dump: bool,
    /// What to do with cgroups
    #[arg(long, value_name = "MODE")]
    pub manage_cgroups_mode: Option<String>,
    /// Make this namespace anew on restore
    #[arg(long, value_name = "NAMESPACE")]
    pub empty_ns: Vec<String>,
    /// Free what later dumps make unneeded
    #[arg(long)]
    pub auto_dedup: bool,
    /// The container
    #[arg(value_name = "ID")]
    pub id: ContainerId,
}

impl CheckpointArgs {
    /// Says that this is not supported yet.
    ///
    /// # Errors
    /// Always.
    pub fn run(&self) -> Result<i32> {
        Err(super::not_supported("checkpoint"))
    }
}
