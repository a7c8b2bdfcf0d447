//! `pod list`

use super::{Seen, follow, not_found, now, object};
use crate::cli::args::pod_name;
use crate::cli::output::{self, Table};
use crate::cli::{Globals, collected, yaml};
use crate::container::{self, Host};
use crate::error::Result;
use crate::lifecycle::Summary;
use crate::model::ids::{PodName, PodNamespace};
use crate::model::podspec::{PodSpec, Role};
use crate::model::sandbox::ContainerStatus;
use crate::model::time;
use crate::pod::{self, PodKind, PodRef};
use clap::ValueEnum;
use serde_json::{Value, json};

/// Form of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// A table with more columns.
    Wide,
    /// A Kubernetes v1.PodList.
    Json,
    /// The same in YAML.
    Yaml,
    /// `pod/NAME` lines.
    Name,
}

/// List pods
#[derive(Debug, PartialEq, clap::Args)]
#[command(
    after_help = "Example:\n  podrun pod list --all-namespaces\n  podrun pod list shop -o json\n  podrun pod list --watch"
)]
pub struct ListArgs {
    /// Form of the list, if not the plain table
    #[arg(short, long, value_name = "FORM")]
    pub output: Option<Form>,
    /// Namespace to list
    #[arg(short, long, value_name = "NS", default_value = "default")]
    pub namespace: PodNamespace,
    /// List the pods of all namespaces
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Go on printing the lines that change, until Ctrl-C
    #[arg(short, long)]
    pub watch: bool,
    /// The pods, if not all: NAME, pod/NAME or pods/NAME
    #[arg(value_name = "POD", value_parser = pod_name, conflicts_with = "all_namespaces")]
    pub pods: Vec<PodName>,
}

/// A line of the list.
#[derive(Debug)]
pub struct Row {
    pub(super) seen: Seen,
    state: Value,
    pub(super) summary: Summary,
    /// Too little is there of the pod to tell what containers it has: it has only just been begun, or is nearly gone.
    pub(super) partial: bool,
    /// The pod was shown before and is no more.
    pub(super) gone: bool,
}

impl ListArgs {
    /// Prints the list.
    ///
    /// # Errors
    /// When the records or /proc cannot be read, or stdout cannot be written.
    pub fn run(&self, globals: &Globals) -> Result<i32> {
        let host = globals.host_of_existing()?;
        if self.watch {
            return follow::follow(self, &host).map(|()| 0);
        }
        let rows = self.rows(&host)?;
        match self.output {
            // One pod that is named is no list.
            Some(form @ (Form::Json | Form::Yaml)) if self.pods.len() == 1 => {
                rows.iter().try_for_each(|row| object(form, &row.object()))?;
            }
            Some(Form::Json) => output::json(&objects(&rows))?,
            Some(Form::Yaml) => output::print(&yaml::document(&objects(&rows)))?,
            _ if rows.is_empty() && self.pods.is_empty() => output::note(&self.nothing_found()),
            _ if rows.is_empty() => {}
            Some(Form::Name) => {
                output::print(
                    &rows.iter().map(|row| format!("pod/{}\n", row.seen.pod.name())).collect::<String>(),
                )?;
            }
            _ => self.table(rows.iter()).print()?,
        }
        let missing = |name: &&PodName| !rows.iter().any(|row| row.seen.pod.name() == *name);
        let errors =
            self.pods.iter().filter(missing).map(|name| {
                not_found(&host, &PodRef { namespace: self.namespace.clone(), name: name.clone() })
            });
        collected(|count| format!("cannot find {count} of {} pods", self.pods.len()), errors.collect())?;
        Ok(0)
    }

    /// The pods that are asked for, in order of namespace and name.
    ///
    /// # Errors
    /// When the records or /proc cannot be read.
    pub(super) fn rows(&self, host: &Host) -> Result<Vec<Row>> {
        let pods = pod::list(&host.layout)?;
        let containers = container::list(host)?;
        let wanted = pods.into_iter().filter(|pod| self.all_namespaces || *pod.namespace() == self.namespace);
        let named = wanted.filter(|pod| self.pods.is_empty() || self.pods.contains(pod.name()));
        named.map(|pod| Row::new(Seen::new(host, pod, &containers))).collect()
    }

    /// Prints the rows at these places, as the list would have them; `first` the table's header, too.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub(super) fn print_changed(&self, rows: &[&Row], changed: &[usize], first: bool) -> Result<()> {
        let chosen = || changed.iter().filter_map(|place| rows.get(*place));
        match self.output {
            Some(Form::Name) => {
                chosen().try_for_each(|row| output::print(&format!("pod/{}\n", row.seen.pod.name())))
            }
            Some(form @ (Form::Json | Form::Yaml)) => {
                chosen().try_for_each(|row| object(form, &row.object()))
            }
            _ if first && rows.is_empty() => Ok(()),
            _ => {
                let table = self.table(rows.iter().copied()).whole();
                let line = |(place, line): (usize, &str)| {
                    let wanted = place.checked_sub(1).is_none_or(|place| changed.contains(&place));
                    (wanted && (first || place > 0)).then(|| format!("{line}\n"))
                };
                output::print(&table.lines().enumerate().filter_map(line).collect::<String>())
            }
        }
    }

    fn nothing_found(&self) -> String {
        if self.all_namespaces {
            "No resources found".to_owned()
        } else {
            format!("No resources found in {} namespace.", self.namespace)
        }
    }

    fn table<'a>(&self, rows: impl Iterator<Item = &'a Row>) -> Table {
        let wide = self.output == Some(Form::Wide);
        let mut header = vec!["NAME", "READY", "STATUS", "RESTARTS", "AGE"];
        if self.all_namespaces {
            header.insert(0, "NAMESPACE");
        }
        if wide {
            header.extend(["IP", "NODE", "PID", "CGROUP"]);
        }
        let node =
            nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let mut table = Table::new(&header);
        for row in rows {
            let mut cells = row.cells();
            if self.all_namespaces {
                cells.insert(0, row.seen.pod.namespace().to_string());
            }
            if wide {
                let ip = row.state["ips"][0].as_str().unwrap_or("<none>");
                let cgroup = row.seen.pod.cgroup_path().unwrap_or_default();
                cells.extend([ip.to_owned(), node.clone(), row.state["pid"].to_string(), cgroup]);
            }
            table.row(cells);
        }
        table
    }
}

/// Prints one object; in YAML as one document of several.
fn object(form: Form, object: &Value) -> Result<()> {
    match form {
        Form::Yaml => output::print(&yaml::document(object)),
        _ => output::json(object),
    }
}

/// A v1.PodList.
fn objects(rows: &[Row]) -> Value {
    let items: Vec<Value> = rows.iter().map(Row::object).collect();
    json!({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": items})
}

impl Row {
    /// Of a pod that was looked at.
    ///
    /// # Errors
    /// When /proc cannot be read.
    pub(super) fn new(seen: Seen) -> Result<Self> {
        let state = serde_json::to_value(seen.pod.state(&seen.containers)?).unwrap_or_default();
        let spec = seen.status.is_none().then(|| seen.pod.spec().ok()).flatten();
        let summary = match (&seen.status, &spec) {
            (Some(status), _) => Summary::of(status, seen.pod.is_deleting(), now()),
            (None, Some(spec)) => Summary { ready: format!("0/{}", counted(spec)), ..summary(&seen, &state) },
            (None, None) => summary(&seen, &state),
        };
        let bare = seen.pod.directory().is_ok() && seen.pod.kind() == PodKind::Bare;
        let partial = !bare && seen.status.is_none() && spec.is_none();
        Ok(Self { seen, state, summary, partial, gone: false })
    }

    /// Whether another row tells something else; the time that passes does not count.
    pub(super) fn differs(&self, other: &Self) -> bool {
        let words = |row: &Self| {
            let Summary { ready, status, restarts } = row.summary.clone();
            (ready, status, restarts.split(' ').next().map(str::to_owned), row.gone)
        };
        self.seen.pod.uid() != other.seen.pod.uid() || words(self) != words(other)
    }

    fn cells(&self) -> Vec<String> {
        let age = self.seen.pod.created().map(|created| time::age(now().saturating_sub(created)));
        let Summary { ready, status, restarts } = self.summary.clone();
        let age = age.unwrap_or_else(|| "<unknown>".to_owned());
        vec![self.seen.pod.name().to_string(), ready, status, restarts, age]
    }

    /// The pod as a v1.Pod. One whose files are missing or damaged must not hide the others.
    pub(super) fn object(&self) -> Value {
        match self.seen.pod.kind() {
            PodKind::Manifest => object::of(&self.seen).unwrap_or_else(|_| self.bare_object()),
            PodKind::Bare => self.bare_object(),
        }
    }

    /// A bare pod as a v1.Pod: what of it there is without a manifest.
    fn bare_object(&self) -> Value {
        let state = &self.state;
        let statuses = state["containers"].as_array().into_iter().flatten().map(container_status);
        let names = self.seen.containers.iter().map(|view| json!({"name": view.name}));
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": state["name"],
                "namespace": state["namespace"],
                "uid": state["id"],
                "creationTimestamp": self.seen.pod.created().map(time::rfc3339),
            },
            "spec": {
                "hostname": state["hostname"],
                "hostNetwork": state["network"] == "host",
                "containers": names.collect::<Vec<_>>(),
                "volumes": volumes(state),
            },
            "status": {
                "phase": state["phase"],
                "podIPs": state["ips"].as_array().into_iter().flatten().map(|ip| json!({"ip": ip})).collect::<Vec<_>>(),
                "containerStatuses": statuses.collect::<Vec<_>>(),
            },
        })
    }
}

/// The containers that READY is about: sidecars are, other init containers are not.
fn counted(spec: &PodSpec) -> usize {
    let inits = 0..spec.init_containers.len();
    spec.containers.len() + inits.filter(|index| spec.role(*index) == Role::Sidecar).count()
}

/// Of a pod that nobody supervises.
fn summary(seen: &Seen, state: &Value) -> Summary {
    let containers = &seen.containers;
    let ready = containers.iter().filter(|view| view.status == ContainerStatus::Running).count();
    let restarts: u32 = containers.iter().map(|view| view.restart_count).sum();
    let phase = state["phase"].as_str().unwrap_or_default();
    Summary {
        ready: format!("{ready}/{}", containers.len()),
        status: if seen.pod.is_deleting() { "Terminating" } else { phase }.to_owned(),
        restarts: restarts.to_string(),
    }
}

fn volumes(state: &Value) -> Vec<Value> {
    let volume = |volume: &Value| match volume["type"].as_str() {
        Some("hostPath") => json!({"name": volume["name"], "hostPath": {"path": volume["path"]}}),
        _ => json!({"name": volume["name"], "emptyDir": {}}),
    };
    state["volumes"].as_array().into_iter().flatten().map(volume).collect()
}

/// A v1.ContainerStatus.
fn container_status(container: &Value) -> Value {
    let reason = &container["reason"];
    let state = match container["state"].as_str() {
        Some("Running") => json!({"running": {}}),
        // The code is null where nobody knows it: the parent of init is whoever called podrun.
        Some("Terminated") => json!({"terminated": {"reason": reason, "exitCode": container["exitCode"]}}),
        _ => json!({"waiting": {"reason": reason}}),
    };
    json!({
        "name": container["name"],
        "containerID": format!("podrun://{}", container["id"].as_str().unwrap_or_default()),
        "ready": container["ready"],
        "restartCount": container["restartCount"],
        "state": state,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubernetes_objects() {
        let running = json!({"name": "a", "id": "a", "state": "Running", "reason": null, "exitCode": null,
            "restartCount": 0, "ready": true});
        assert_eq!(container_status(&running)["state"], json!({"running": {}}));
        assert_eq!(container_status(&running)["containerID"], "podrun://a");
        let ended = json!({"state": "Terminated", "reason": "Error", "exitCode": 1});
        assert_eq!(
            container_status(&ended)["state"],
            json!({"terminated": {"reason": "Error", "exitCode": 1}})
        );
        let state = json!({"volumes": [{"name": "d", "type": "emptyDir", "path": "/x"},
            {"name": "h", "type": "hostPath", "path": "/srv"}]});
        let want = json!([{"name": "d", "emptyDir": {}}, {"name": "h", "hostPath": {"path": "/srv"}}]);
        assert_eq!(Value::from(volumes(&state)), want);
    }
}
