//! Whether a container is made again.

use super::plan::Plan;
use crate::model::podspec::{RestartAction, RestartOperator, RestartPolicy, Role};

/// Whether a container is wanted back that ended with this code: its rules decide first, then its policy.
pub fn wanted(plan: &Plan, exit_code: i32) -> bool {
    match plan.policy {
        _ if has_done_its_work(plan, exit_code) => false,
        _ if action(plan, exit_code).is_some() => true,
        RestartPolicy::Always => true,
        RestartPolicy::OnFailure => exit_code != 0,
        RestartPolicy::Never => false,
    }
}

/// Whether all containers of the pod are wanted anew when one ended with this code.
pub fn wants_all(plan: &Plan, exit_code: i32) -> bool {
    !has_done_its_work(plan, exit_code)
        && action(plan, exit_code) == Some(RestartAction::RestartAllContainers)
}

fn has_done_its_work(plan: &Plan, exit_code: i32) -> bool {
    plan.role == Role::Init && exit_code == 0
}

/// The action of the first rule that matches.
fn action(plan: &Plan, exit_code: i32) -> Option<RestartAction> {
    let matching = plan.rules.iter().find(|rule| match rule.operator {
        RestartOperator::In => rule.values.contains(&exit_code),
        RestartOperator::NotIn => !rule.values.contains(&exit_code),
    });
    matching.map(|rule| rule.action)
}

/// Whether a container is wanted back that the rules themselves stopped, because a probe of it failed.
pub fn wanted_after_probe(plan: &Plan, exit_code: i32) -> bool {
    plan.policy != RestartPolicy::Never || wanted(plan, exit_code)
}
