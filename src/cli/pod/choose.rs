//! Which container of a pod a command means.

use crate::cli::output;
use crate::error::{Error, Result};
use crate::model::podspec::{ContainerSpec, PodSpec};

/// Annotation that names the container which is meant when none is named.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// The container that `-c` names; without one the pod's default, which is said on stderr where there are several.
///
/// # Errors
/// When the pod has no container of that name.
pub fn container<'a>(spec: &'a PodSpec, asked: Option<&str>) -> Result<&'a ContainerSpec> {
    if let Some(name) = asked {
        return spec.container(name).ok_or_else(|| {
            Error::not_found(format!("container {name:?} is not valid for pod {:?}", spec.name.as_str()))
                .hint(format!("its containers are {}", names(spec)))
        });
    }
    let (chosen, sentence) = default(spec)?;
    if let Some(sentence) = sentence {
        output::note(&sentence);
    }
    Ok(chosen)
}

/// The default container, and what is said where there was a choice, in kubectl's words.
fn default(spec: &PodSpec) -> Result<(&ContainerSpec, Option<String>)> {
    if let Some(name) = spec.annotations.get(DEFAULT_CONTAINER) {
        if let Some(container) = spec.container(name) {
            return Ok((container, None));
        }
        output::note(&format!("Default container name {name:?} not found in pod {}", spec.name));
    }
    let first = spec.containers.first().ok_or_else(|| Error::not_found("the pod has no container"))?;
    let sentence = (spec.all_containers().count() > 1)
        .then(|| format!("Defaulted container {:?} out of: {}", first.name.as_str(), names(spec)));
    Ok((first, sentence))
}

/// In kubectl's order: first those that are meant most often.
fn names(spec: &PodSpec) -> String {
    let containers = spec.containers.iter().map(|container| container.name.to_string());
    let inits = spec.init_containers.iter().map(|container| format!("{} (init)", container.name));
    containers.chain(inits).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::pod::samples;

    #[test]
    fn the_first_container_is_meant_unless_another_is_named() {
        let mut spec = samples::spec(&["app", "sidecar"]);
        assert_eq!(container(&spec, Some("sidecar")).unwrap().name.as_str(), "sidecar");
        let error = container(&spec, Some("nginx")).unwrap_err();
        assert_eq!(error.to_string(), "container \"nginx\" is not valid for pod \"shop\"");
        assert_eq!(error.remedy(), Some("its containers are app, sidecar"));
        let (chosen, sentence) = default(&spec).unwrap();
        assert_eq!(chosen.name.as_str(), "app");
        assert_eq!(sentence.as_deref(), Some("Defaulted container \"app\" out of: app, sidecar"));
        spec.annotations.insert(DEFAULT_CONTAINER.into(), "sidecar".into());
        let (chosen, sentence) = default(&spec).unwrap();
        assert_eq!((chosen.name.as_str(), sentence), ("sidecar", None));
        spec.annotations.clear();
        spec.containers.pop();
        assert_eq!(default(&spec).unwrap().1, None);
        spec.init_containers = samples::spec(&["fetch"]).containers;
        assert_eq!(container(&spec, Some("fetch")).unwrap().name.as_str(), "fetch");
        let (chosen, sentence) = default(&spec).unwrap();
        assert_eq!(chosen.name.as_str(), "app");
        assert_eq!(sentence.as_deref(), Some("Defaulted container \"app\" out of: app, fetch (init)"));
    }
}
