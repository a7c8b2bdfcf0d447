//! Integration tests: they drive the built binary as root against the real kernel. `harness` is what they stand on.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::exit, reason = "a skipped test ends here and now")]
#![allow(
    clippy::disallowed_methods,
    reason = "tests write plain files and start threads; nothing here clones raw"
)]

mod activation;
mod apply;
mod attributes;
mod bad_input;
mod bad_state;
mod cgroup_groups;
mod clients;
mod config_controllers;
mod config_destinations;
mod config_devices;
mod config_mount_options;
mod config_mounts;
mod config_process;
mod config_refused;
mod config_resources;
mod config_seccomp;
mod containerd;
mod control;
mod crash;
mod differential;
mod documented;
mod documents;
mod events;
mod exec;
mod full_disk;
mod grpc;
mod harness;
mod hooks;
mod hostile;
mod https;
mod id_mapped_mounts;
mod images;
mod images_crash;
mod images_hostile;
mod inherited_mounts;
mod keeper;
mod lifecycle;
mod manifest_pods;
mod manifests;
mod mount_attacks;
mod net_devices;
mod oci_lifecycle;
mod pidfds;
mod pod_exec;
mod pod_pause;
mod pod_volumes;
mod pod_watching;
mod pods;
mod races;
mod robust;
mod seccomp_notify;
mod security;
mod shim;
mod supervision;
mod supervisor;
mod time_namespaces;
mod timing;
mod update;
mod user_namespaces;

/// The files of tests, in the order in which they run.
const FILES: &[fn() -> Vec<harness::Case>] = &[
    oci_lifecycle::cases,
    config_process::cases,
    config_seccomp::cases,
    seccomp_notify::cases,
    config_mounts::cases,
    config_mount_options::cases,
    config_destinations::cases,
    inherited_mounts::cases,
    config_devices::cases,
    config_resources::cases,
    config_controllers::cases,
    cgroup_groups::cases,
    config_refused::cases,
    attributes::cases,
    hooks::cases,
    activation::cases,
    bad_input::cases,
    bad_state::cases,
    pidfds::cases,
    pods::cases,
    pod_volumes::cases,
    pod_exec::cases,
    pod_pause::cases,
    exec::cases,
    control::cases,
    events::cases,
    update::cases,
    keeper::cases,
    lifecycle::cases,
    apply::cases,
    pod_watching::cases,
    timing::cases,
    https::cases,
    grpc::cases,
    documented::cases,
    documents::cases,
    manifest_pods::cases,
    races::cases,
    differential::cases,
    crash::cases,
    images::cases,
    images_hostile::cases,
    images_crash::cases,
    manifests::cases,
    robust::cases,
    full_disk::cases,
    security::cases,
    mount_attacks::cases,
    hostile::cases,
    supervision::cases,
    supervisor::cases,
    user_namespaces::cases,
    time_namespaces::cases,
    id_mapped_mounts::cases,
    net_devices::cases,
    shim::cases,
    containerd::cases,
    clients::cases,
];

fn main() -> std::process::ExitCode {
    harness::runner::main(&FILES.iter().flat_map(|cases| cases()).collect::<Vec<_>>())
}
