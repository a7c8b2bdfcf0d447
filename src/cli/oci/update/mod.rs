//! `update`

mod names;

use crate::cli::Globals;
use crate::cli::args::memory_size;
use crate::container;
use crate::error::{Context, Error, Kind, Result};
use crate::model::ids::ContainerId;
use crate::report;
use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxPids, LinuxResources};
use serde_json::Value;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Largest resources file that is read, 1 MiB.
const LARGEST_BYTES: u64 = 1 << 20;

/// Change a container's resource limits
///
/// What is not named stays as it is.
#[derive(Debug, PartialEq, clap::Args)]
#[command(after_help = "Example:\n  podrun update --memory 512m --pids-limit 100 web\n  \
    echo '{\"cpu\": {\"shares\": 512}}' | podrun update --resources - web")]
pub struct UpdateArgs {
    /// JSON file of the limits, as linux.resources of config.json; - reads stdin
    #[arg(short, long, value_name = "FILE")]
    pub resources: Option<PathBuf>,
    /// Single limits.
    #[command(flatten)]
    pub limits: Limits,
    /// The container
    #[arg(value_name = "ID")]
    pub id: ContainerId,
}

/// Limits given one by one.
#[derive(Debug, Default, PartialEq, clap::Args)]
pub struct Limits {
    /// Memory limit in bytes, or like 512m or 1.5g; -1 for none
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true, value_parser = memory_size)]
    pub memory: Option<i64>,
    /// Memory that is left to the container when the host runs short
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true, value_parser = memory_size)]
    pub memory_reservation: Option<i64>,
    /// Limit of memory and swap together; -1 for none
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true, value_parser = memory_size)]
    pub memory_swap: Option<i64>,
    /// Length of a CPU period in microseconds
    #[arg(long, value_name = "USEC", allow_negative_numbers = true)]
    pub cpu_period: Option<u64>,
    /// CPU time allowed in a period, in microseconds; -1 for no limit
    #[arg(long, value_name = "USEC", allow_negative_numbers = true)]
    pub cpu_quota: Option<i64>,
    /// CPU time that may be saved up for a burst, in microseconds
    #[arg(long, value_name = "USEC")]
    pub cpu_burst: Option<u64>,
    /// Weight of the container's CPU time against others'
    #[arg(long, value_name = "SHARES")]
    pub cpu_share: Option<u64>,
    /// Length of a real-time period in microseconds
    #[arg(long, value_name = "USEC")]
    pub cpu_rt_period: Option<u64>,
    /// Real-time CPU time allowed in a period, in microseconds
    #[arg(long, value_name = "USEC", allow_negative_numbers = true)]
    pub cpu_rt_runtime: Option<i64>,
    /// 1 for SCHED_IDLE, 0 for the default
    #[arg(long, value_name = "0|1", value_parser = clap::value_parser!(i64).range(0..=1))]
    pub cpu_idle: Option<i64>,
    /// CPUs to use, like 0-3,7
    #[arg(long, value_name = "LIST")]
    pub cpuset_cpus: Option<String>,
    /// Memory nodes to use, like 0-1
    #[arg(long, value_name = "LIST")]
    pub cpuset_mems: Option<String>,
    /// Most processes and threads; -1 for no limit
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = pids_limit)]
    pub pids_limit: Option<i64>,
    /// Weight of the container's block I/O, 10 to 1000
    #[arg(long, value_name = "WEIGHT", value_parser = clap::value_parser!(u16).range(10..=1000))]
    pub blkio_weight: Option<u16>,
    /// Share of the L3 cache, like L3:0=7f0;1=1f, of a container with linux.intelRdt
    #[arg(long, value_name = "SCHEMA", value_parser = schema)]
    pub l3_cache_schema: Option<String>,
    /// Share of the memory bandwidth, like MB:0=20;1=70, of a container with linux.intelRdt
    #[arg(long, value_name = "SCHEMA", value_parser = schema)]
    pub mem_bw_schema: Option<String>,
    /// Limit of kernel memory, which kernels have no more
    #[arg(long, value_name = "SIZE", hide = true)]
    pub kernel_memory: Option<String>,
    /// Limit of TCP buffers, which kernels have no more
    #[arg(long, value_name = "SIZE", hide = true)]
    pub kernel_memory_tcp: Option<String>,
}

impl UpdateArgs {
    /// Sets the limits.
    ///
    /// # Errors
    /// Those of [`container::update()`], a malformed resources file, and flags that would have no effect.
    pub fn run(&self, globals: &Globals) -> Result<i32> {
        let schemata = [&self.limits.l3_cache_schema, &self.limits.mem_bw_schema];
        let schemata: Vec<String> = schemata.into_iter().flatten().cloned().collect();
        let host = globals.host()?;
        let version = || {
            let record = container::record::load(&host, &self.id);
            let title = || format!("cannot update container {:?}", self.id.as_str());
            record.map(|(_, record)| record.oci_version).context(title)
        };
        container::update(&host, &self.id, &self.limits(version)?, &schemata)?;
        Ok(0)
    }

    /// The limits; `version` is of the runtime spec that the container's config is written for.
    fn limits(&self, version: impl FnOnce() -> Result<String>) -> Result<LinuxResources> {
        match &self.resources {
            None => self.limits.resources(),
            Some(path) if self.limits == Limits::default() => read(path, version),
            Some(_) => {
                Err(Error::new(Kind::Usage, "limits are given both by --resources and by other flags")
                    .hint("put them all into the file"))
            }
        }
    }
}

fn read(path: &Path, version: impl FnOnce() -> Result<String>) -> Result<LinuxResources> {
    let mut text = String::new();
    let taken = if path == Path::new("-") {
        std::io::stdin().lock().take(LARGEST_BYTES + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(LARGEST_BYTES + 1).read_to_string(&mut text))
    };
    let length = taken.context_as(Kind::User, || format!("cannot read the resources from {path:?}"))?;
    if u64::try_from(length).is_ok_and(|length| length > LARGEST_BYTES) {
        return Err(Error::user(format!("cannot read the resources from {path:?}: they exceed 1 MiB")));
    }
    let title = || format!("cannot understand the resources in {path:?}");
    let value: Value = serde_json::from_str(&text).context(title)?;
    let mut value = names::corrected(&value).unwrap_or(value);
    container::shape::check_resources(&value).context(title)?;
    container::untyped::check_resources(&value).context(title)?;
    container::untyped::settle_pids(&mut value, &version()?);
    container::config::typed(value).context(title)
}

/// One line; an empty one would change nothing.
fn schema(text: &str) -> Result<String> {
    if text.contains('=') && !text.contains(['\n', '\0']) {
        return Ok(text.to_owned());
    }
    Err(Error::new(Kind::Usage, format!("{text:?} is no schema"))
        .hint("write it like L3:0=7f0;1=1f or MB:0=20;1=70"))
}

/// A number of processes, or -1.
fn pids_limit(text: &str) -> Result<i64> {
    let refuse = || Error::new(Kind::Usage, format!("{text:?} is no number of processes"));
    let limit: i64 = text.parse().map_err(|_| refuse())?;
    if limit >= -1 { Ok(limit) } else { Err(refuse().hint("give a number, or -1 for no limit")) }
}

impl Limits {
    /// The flags whose value changes nothing: 0 and an empty text stand for "not given" in the runtime spec.
    fn warn_of_no_effect(&self) {
        let zeroes = [
            ("--memory", self.memory == Some(0)),
            ("--memory-reservation", self.memory_reservation == Some(0)),
            ("--memory-swap", self.memory_swap == Some(0)),
            ("--cpu-period", self.cpu_period == Some(0)),
            ("--cpu-quota", self.cpu_quota == Some(0)),
            ("--cpu-share", self.cpu_share == Some(0)),
            ("--cpu-rt-period", self.cpu_rt_period == Some(0)),
            ("--cpu-rt-runtime", self.cpu_rt_runtime == Some(0)),
        ];
        for (flag, _) in zeroes.iter().filter(|(_, zero)| *zero) {
            report::warn(&format!("{flag} 0 changes nothing"));
        }
        for (flag, list) in [("--cpuset-cpus", &self.cpuset_cpus), ("--cpuset-mems", &self.cpuset_mems)] {
            if list.as_deref() == Some("") {
                report::warn(&format!("{flag} \"\" changes nothing"));
            }
        }
    }

    fn resources(&self) -> Result<LinuxResources> {
        if self.kernel_memory.is_some() || self.kernel_memory_tcp.is_some() {
            return Err(Error::user("--kernel-memory and --kernel-memory-tcp have no effect")
                .hint("leave them out: kernel memory counts towards --memory"));
        }
        if *self == Self::default() {
            return Err(Error::new(Kind::Usage, "no limit is given").hint("podrun update --help lists them"));
        }
        self.warn_of_no_effect();
        let mut resources = LinuxResources::default();
        let memory = self.memory();
        if memory != LinuxMemory::default() {
            resources.set_memory(Some(memory));
        }
        let cpu = self.cpu();
        if cpu != LinuxCpu::default() {
            resources.set_cpu(Some(cpu));
        }
        if let Some(limit) = self.pids_limit {
            let mut pids = LinuxPids::default();
            // 0 would be taken for "not given", and is the same: nobody is killed for it, and nobody may be added.
            pids.set_limit(if limit == 0 { 1 } else { limit });
            resources.set_pids(Some(pids));
        }
        if self.blkio_weight.is_some() {
            let mut block_io = LinuxBlockIo::default();
            block_io.set_weight(self.blkio_weight);
            resources.set_block_io(Some(block_io));
        }
        Ok(resources)
    }

    fn memory(&self) -> LinuxMemory {
        let mut memory = LinuxMemory::default();
        memory.set_limit(self.memory);
        memory.set_reservation(self.memory_reservation);
        // Swap is counted together with memory: no limit of the one means none of both, unless it is said.
        memory.set_swap(self.memory_swap.or(self.memory.filter(|limit| *limit == -1)));
        memory
    }

    fn cpu(&self) -> LinuxCpu {
        let mut cpu = LinuxCpu::default();
        cpu.set_shares(self.cpu_share);
        cpu.set_quota(self.cpu_quota);
        cpu.set_period(self.cpu_period);
        cpu.set_burst(self.cpu_burst);
        cpu.set_idle(self.cpu_idle);
        cpu.set_realtime_runtime(self.cpu_rt_runtime);
        cpu.set_realtime_period(self.cpu_rt_period);
        cpu.set_cpus(self.cpuset_cpus.clone());
        cpu.set_mems(self.cpuset_mems.clone());
        cpu
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_become_resources() {
        let limits = Limits {
            memory: Some(-1),
            cpu_quota: Some(-1),
            cpuset_cpus: Some("0-1".into()),
            pids_limit: Some(7),
            ..Limits::default()
        };
        let value = serde_json::to_value(limits.resources().unwrap()).unwrap();
        let want = serde_json::json!({"memory": {"limit": -1, "swap": -1},
            "cpu": {"quota": -1, "cpus": "0-1"}, "pids": {"limit": 7}});
        assert_eq!(value, want);
    }

    #[test]
    fn flags_without_effect_are_refused() {
        let refused = [Limits::default(), Limits { kernel_memory: Some("1".into()), ..Limits::default() }];
        for limits in refused {
            assert!(limits.resources().is_err(), "{limits:?}");
        }
        let limits = Limits { pids_limit: Some(1), ..Limits::default() };
        let both = UpdateArgs { resources: Some("/dev/null".into()), limits, id: "c1".parse().unwrap() };
        assert_eq!(both.limits(|| Ok(String::new())).unwrap_err().kind(), Kind::Usage);
    }
}
