//! A container's own restart policy, and its rules.

use crate::manifest::field::Field;
use crate::manifest::pod::{bounded, choice, one_of};
use crate::manifest::report::Report;
use crate::model::podspec::{RestartAction, RestartOperator, RestartPolicy, RestartRule};

/// Kubernetes' bounds.
const MOST_RULES: usize = 20;
const MOST_VALUES: usize = 255;

/// Reads `restartPolicy` and `restartPolicyRules` of a container.
pub(super) fn build(
    container: &Field<'_>,
    report: &mut Report<'_>,
) -> (Option<RestartPolicy>, Vec<RestartRule>) {
    let field = container.get("restartPolicy");
    let list = container.get("restartPolicyRules");
    let items = list.items();
    if !field.is_set() && !items.is_empty() {
        report.wrong(&field.path, "Required value: must specify restartPolicy when restart rules are used");
    }
    let mut rules = Vec::new();
    if bounded(&list, MOST_RULES, report) {
        rules.extend(items.iter().filter_map(|item| rule(item, report)));
    }
    let policies = [
        ("Always", RestartPolicy::Always),
        ("Never", RestartPolicy::Never),
        ("OnFailure", RestartPolicy::OnFailure),
    ];
    (choice(&field, &policies, report), rules)
}

fn rule(field: &Field<'_>, report: &mut Report<'_>) -> Option<RestartRule> {
    let actions =
        [("Restart", RestartAction::Restart), ("RestartAllContainers", RestartAction::RestartAllContainers)];
    let action = one_of(&field.get("action"), &actions, report);
    let codes = field.get("exitCodes");
    if !codes.is_set() {
        report.wrong(&codes.path, "Required value: must be specified");
        return None;
    }
    let operators = [("In", RestartOperator::In), ("NotIn", RestartOperator::NotIn)];
    let operator = one_of(&codes.get("operator"), &operators, report);
    let values = codes.get("values");
    if !bounded(&values, MOST_VALUES, report) {
        return None;
    }
    let code = |value: &Field<'_>| value.int().and_then(|code| i32::try_from(code).ok());
    Some(RestartRule {
        action: action?,
        operator: operator?,
        values: values.items().iter().filter_map(code).collect(),
    })
}
