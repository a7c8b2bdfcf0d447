//! podrun's own seccomp profile: what `seccompProfile: {type: RuntimeDefault}` means.
//!
//! A list of what ordinary programs need; all else gets EPERM, and what is younger than the list ENOSYS (from
//! [`crate::seccomp`]). Left out is what reaches beyond the container: modules, kexec, clocks, mounts, namespaces, BPF,
//! performance counters, keyrings (which no namespace separates), io_uring and userfaultfd (more often the way into the
//! kernel than a need). What a capability guards comes with that capability, since the kernel then decides.

use oci_spec::runtime::{Capabilities, Capability};
use serde_json::{Value, json};

const FILES: &str = "\
    access cachestat chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 \
    faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 \
    fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr \
    fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd getdents \
    getdents64 getxattr getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel \
    io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit ioctl landlock_add_rule \
    landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr link linkat listxattr \
    listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 mkdir mkdirat mknod mknodat \
    name_to_handle_at newfstatat open openat openat2 pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev \
    pwritev2 read readahead readlink readlinkat readv removexattr removexattrat rename renameat renameat2 \
    rmdir sendfile sendfile64 setxattr setxattrat splice stat stat64 statfs statfs64 statx symlink \
    symlinkat sync sync_file_range syncfs tee truncate truncate64 umask unlink unlinkat utime utimensat \
    utimensat_time64 utimes vmsplice write writev";

const WAITING: &str = "\
    epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old \
    eventfd eventfd2 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake _newselect poll \
    ppoll ppoll_time64 pselect6 pselect6_time64 select signalfd signalfd4 timerfd_create timerfd_gettime \
    timerfd_gettime64 timerfd_settime timerfd_settime64";

const MEMORY: &str = "\
    brk madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap \
    mmap2 mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect \
    process_mrelease remap_file_pages";

const PROCESSES: &str = "\
    execve execveat exit exit_group fork get_robust_list get_thread_area getcpu getpgid getpgrp getpid \
    getppid getpriority getrandom getrlimit getrusage getsid gettid ioprio_get ioprio_set kill pause \
    pidfd_open pidfd_send_signal prctl prlimit64 restart_syscall rseq rt_sigaction rt_sigpending \
    rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 \
    rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr \
    sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity \
    sched_setattr sched_setparam sched_setscheduler sched_yield seccomp set_robust_list set_thread_area \
    set_tid_address setpgid setpriority setrlimit setsid sigaltstack sigprocmask sigreturn sysinfo tgkill \
    times tkill ugetrlimit uname vfork wait4 waitid waitpid";

/// Its own privileges a process may change: capabilities and ids decide how far.
const IDENTITY: &str = "\
    capget capset getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid \
    getresgid32 getresuid getresuid32 getuid getuid32 setfsgid setfsgid32 setfsuid setfsuid32 setgid \
    setgid32 setgroups setgroups32 setregid setregid32 setresgid setresgid32 setresuid setresuid32 \
    setreuid setreuid32 setuid setuid32";

/// Reading clocks, and what the kernel itself refuses without CAP_SYS_TIME.
const TIME: &str = "\
    adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime \
    clock_gettime64 clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time \
    timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64";

const IPC: &str = "\
    ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend \
    mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop \
    semtimedop_time64 shmat shmctl shmdt shmget";

/// `socket` has a rule of its own; `socketcall`, by which 32-bit glibc makes sockets, cannot: its arguments lie in
/// memory.
const NETWORK: &str = "\
    accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg \
    recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair";

/// Looking into other processes: those of the same user in the same PID namespace. Since Linux 4.8 a traced program
/// cannot get round its filter.
const TRACING: &str = "\
    process_vm_readv process_vm_writev ptrace";

/// What only some machines have; libseccomp leaves out what the filtered ones have not.
const MACHINES: &str = "\
    arch_prctl arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush modify_ldt set_tls \
    sync_file_range2 uprobe uretprobe";

/// What comes with a capability.
const WITH: &[(Capability, &str)] = &[
    (Capability::Bpf, "bpf"),
    (Capability::DacReadSearch, "open_by_handle_at"),
    (Capability::Perfmon, "perf_event_open"),
    (
        Capability::SysAdmin,
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick listmount lookup_dcookie mount \
         mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname \
         setns statmount syslog umount umount2 unshare",
    ),
    (Capability::SysBoot, "reboot"),
    (Capability::SysChroot, "chroot"),
    (Capability::SysModule, "delete_module finit_module init_module"),
    (Capability::SysNice, "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    (Capability::SysPacct, "acct"),
    (Capability::SysPtrace, "kcmp pidfd_getfd process_madvise"),
    (Capability::SysRawio, "ioperm iopl"),
    (Capability::SysTime, "clock_settime clock_settime64 settimeofday stime"),
    (Capability::SysTtyConfig, "vhangup"),
    (Capability::Syslog, "syslog"),
];

/// `CLONE_NEW*`, all that clone(2) can make a namespace by.
const NEW_NAMESPACES: i32 = libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWUTS;

/// Execution domains that change no protection: Linux, 32-bit Linux, both with a version of 2.6, and the question.
const PERSONALITIES: [u32; 5] = [0, 0x8, 0x2_0000, 0x2_0008, u32::MAX];

/// What `socket` may have as its family: all but sockets to the hypervisor (AF_VSOCK, 40) and the kernel's cryptography
/// (AF_ALG, 38), which no namespace separates. The kernel looks at 32 bits and the filter at 64, so nothing is said by
/// what a family is not: a number that only seems another one must match no rule.
const FAMILIES: [(&str, i32); 7] = [
    ("SCMP_CMP_LT", libc::AF_ALG),
    ("SCMP_CMP_EQ", libc::AF_NFC),
    ("SCMP_CMP_EQ", 41), // AF_KCM
    ("SCMP_CMP_EQ", 42), // AF_QIPCRTR
    ("SCMP_CMP_EQ", 43), // AF_SMC
    ("SCMP_CMP_EQ", libc::AF_XDP),
    ("SCMP_CMP_EQ", 45), // AF_MCTP
];

/// `linux.seccomp` for a container that has these capabilities. Equal sets give equal texts: the compiled filter is found
/// by it.
pub fn default_profile(capabilities: &Capabilities) -> String {
    let always =
        [FILES, WAITING, MEMORY, PROCESSES, IDENTITY, TIME, IPC, NETWORK, TRACING, MACHINES].join(" ");
    let mut rules = vec![json!({"names": words(&always), "action": "SCMP_ACT_ALLOW"})];
    for (operator, family) in FAMILIES {
        let wanted = argument(0, operator, i64::from(family), None);
        rules.push(json!({"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [wanted]}));
    }
    for personality in PERSONALITIES {
        let wanted = argument(0, "SCMP_CMP_EQ", i64::from(personality), None);
        rules.push(json!({"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [wanted]}));
    }
    if !capabilities.contains(&Capability::SysAdmin) {
        let no_namespace = argument(0, "SCMP_CMP_MASKED_EQ", i64::from(NEW_NAMESPACES), Some(0));
        rules.push(json!({"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [no_namespace]}));
        // Its flags lie in memory, where no filter can look. A libc that is told so takes clone instead.
        rules.push(json!({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": libc::ENOSYS}));
    }
    let with = WITH.iter().filter(|(capability, _)| capabilities.contains(capability));
    rules.extend(with.map(|(_, names)| json!({"names": words(names), "action": "SCMP_ACT_ALLOW"})));
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": libc::EPERM,
        "architectures": architectures(),
        "syscalls": rules,
    })
    .to_string()
}

fn words(names: &str) -> Vec<&str> {
    names.split_whitespace().collect()
}

fn argument(index: u32, operator: &str, value: i64, two: Option<u64>) -> Value {
    match two {
        None => json!({"index": index, "value": value, "op": operator}),
        Some(two) => json!({"index": index, "value": value, "valueTwo": two, "op": operator}),
    }
}

/// The machine's own, and the one whose 32-bit programs it runs.
fn architectures() -> Vec<&'static str> {
    if cfg!(target_arch = "aarch64") {
        vec!["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]
    } else {
        vec!["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
    }
}
