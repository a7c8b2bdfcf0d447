//! Whether a container is made again.

use super::plan::Plan;
use crate::model::podspec::{RestartOperator, RestartPolicy, Role};

/// Whether a container is wanted back that ended with this code: its rules decide first, then its policy.
pub fn wanted(plan: &Plan, exit_code: i32) -> bool {
    if plan.role == Role::Init && exit_code == 0 {
        return false; // its work is done
    }
    let matches = plan.rules.iter().any(|rule| match rule.operator {
        RestartOperator::In => rule.values.contains(&exit_code),
        RestartOperator::NotIn => !rule.values.contains(&exit_code),
    });
    matches
        || match plan.policy {
            RestartPolicy::Always => true,
            RestartPolicy::OnFailure => exit_code != 0,
            RestartPolicy::Never => false,
        }
}

/// Whether a container is wanted back that the rules themselves stopped, because a probe of it failed.
pub fn wanted_after_probe(plan: &Plan, exit_code: i32) -> bool {
    plan.policy != RestartPolicy::Never || wanted(plan, exit_code)
}
