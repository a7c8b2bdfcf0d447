//! podrun: a low-level Linux container runtime whose unit is the pod.

pub mod sys;

pub mod error;
pub mod model;
pub mod report;
pub mod state;
