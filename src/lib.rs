//! podrun: a low-level Linux container runtime whose unit is the pod.

pub mod sys;

pub mod cgroup;
pub mod cli;
pub mod container;
pub mod error;
pub mod model;
pub mod pod;
pub mod programs;
pub mod report;
pub mod seccomp;
pub mod state;
pub mod sync;
