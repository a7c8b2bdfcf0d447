//! What becomes of good manifests.

use super::table::full_pod;
use super::{LENIENT, STRICT, one, with};
use crate::manifest::{LARGEST, read};
use crate::model::podspec::{ImagePullPolicy, PodSpec, RestartPolicy, SeccompProfile};
use crate::model::volume::{Medium, VolumeSource};
use serde_json::json;

const WHOLE: &str = r#"
apiVersion: v1
kind: Pod
metadata:
  name: shop
  namespace: prod
  labels: {app: shop}
  annotations: {example.com/note: hello}
spec:
  hostname: till
  hostNetwork: no
  shareProcessNamespace: yes
  restartPolicy: OnFailure
  terminationGracePeriodSeconds: 010   # octal, as Kubernetes reads it
  securityContext:
    runAsUser: 1000
    runAsGroup: 1000
    runAsNonRoot: true
    seccompProfile: {type: RuntimeDefault}
  volumes:
  - name: cache
    emptyDir: {medium: Memory, sizeLimit: 64Mi}
  - name: data
    hostPath: {path: /srv/data, type: DirectoryOrCreate}
  containers:
  - name: web
    image: registry.example:5000/team/web:1.2
    imagePullPolicy: Never
    command: [/bin/web, --name=$(NAME)]
    args: ["$$(NAME)", $(NOPE)]
    workingDir: /srv
    env:
    - {name: HOST, value: till}
    - {name: NAME, value: "web on $(HOST) with $(LATER)"}
    - {name: LATER}
    resources:
      limits: {cpu: 1, memory: 64Mi}
      requests: {cpu: 250m}
    ports:
    - {name: http, containerPort: 8080}
    volumeMounts:
    - {name: cache, mountPath: /cache}
    - {name: data, mountPath: /data, readOnly: true}
    tty: true
    stdin: true
    stdinOnce: true
    securityContext:
      runAsUser: 0
      runAsNonRoot: false
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}
  - name: plain
    image: busybox
"#;

#[test]
fn a_whole_pod() {
    let manifest = one(WHOLE);
    let spec = &manifest.spec;
    assert_eq!((spec.name.as_str(), spec.namespace.as_str()), ("shop", "prod"));
    assert_eq!(spec.labels["app"], "shop");
    assert_eq!(spec.annotations["example.com/note"], "hello");
    assert_eq!(spec.hostname.as_deref(), Some("till"));
    assert!(!spec.host_network && spec.share_process_namespace);
    assert_eq!(spec.restart_policy, RestartPolicy::OnFailure);
    assert_eq!(spec.termination_grace_period_seconds, 8);
    let VolumeSource::EmptyDir { medium, size_limit_bytes } = &spec.volumes[0].source else { panic!() };
    assert_eq!((*medium, *size_limit_bytes), (Medium::Memory, Some(64 << 20)));
    assert_eq!(spec.volumes[1].source.kind(), "hostPath");
    assert_eq!(manifest.object["spec"]["terminationGracePeriodSeconds"], 8);
    containers_of_the_whole_pod(spec);
    let line_of = |words: &str| WHOLE.lines().position(|line| line.contains(words)).unwrap() + 1;
    for (path, words) in [
        ("spec.volumes[1].hostPath", "hostPath:"),
        ("spec.volumes[1].hostPath.type", "hostPath:"),
        ("spec.containers[1].imagePullPolicy", "- name: plain"),
        ("spec.containers[0].env[1].value", "{name: NAME"),
        ("nonsense", "apiVersion"),
    ] {
        assert_eq!(manifest.place(path), format!("shop.yaml:{}", line_of(words)), "{path}");
    }
}

fn containers_of_the_whole_pod(spec: &PodSpec) {
    let web = &spec.containers[0];
    assert_eq!(web.image_pull_policy, Some(ImagePullPolicy::Never));
    assert_eq!(web.command, ["/bin/web", "--name=web on till with $(LATER)"]);
    assert_eq!(web.args, ["$(NAME)", "$(NOPE)"]);
    assert_eq!(web.env[2], ("LATER".to_owned(), String::new()));
    assert_eq!((web.resources.limits.cpu_millis, web.resources.requests.cpu_millis), (Some(1000), Some(250)));
    assert_eq!(web.resources.requests.memory_bytes, Some(64 << 20));
    assert_eq!((web.ports[0].container_port, web.ports[0].protocol.as_str()), (8080, "TCP"));
    assert_eq!(web.volume_mounts[1].path.to_str(), Some("/data"));
    assert!(web.volume_mounts[1].read_only && !web.volume_mounts[0].read_only);
    assert!(web.tty && web.stdin && web.stdin_once);
    assert_eq!((web.security.run_as_user, web.security.run_as_group), (Some(0), Some(1000)));
    assert!(!web.security.run_as_non_root && !web.security.allow_privilege_escalation);
    assert!(web.security.read_only_root_filesystem);
    assert_eq!(web.security.capabilities_drop, ["ALL"]);
    assert_eq!(web.security.seccomp_profile, SeccompProfile::RuntimeDefault);
    let plain = &spec.containers[1];
    assert!(plain.security.run_as_non_root && plain.security.allow_privilege_escalation);
    assert_eq!(plain.command, [""; 0]);
}

#[test]
fn defaults() {
    let spec = one(&with("", "")).spec;
    assert_eq!(spec.namespace.as_str(), "default");
    assert_eq!(spec.restart_policy, RestartPolicy::Always);
    assert_eq!(spec.termination_grace_period_seconds, 30);
    assert_eq!((spec.hostname, spec.accepted_fields), (None, vec![]));
    let security = &spec.containers[0].security;
    assert!(security.allow_privilege_escalation && !security.privileged);
    assert_eq!(security.seccomp_profile, SeccompProfile::Unconfined);
    assert_eq!(spec.containers[0].image_pull_policy, None);
    let volumes = one(&with("", "volumes: [{name: a}, {name: b, emptyDir: null}]")).spec.volumes;
    assert_eq!(volumes.len(), 2);
    assert!(volumes.iter().all(|volume| {
        volume.source == VolumeSource::EmptyDir { medium: Medium::Disk, size_limit_bytes: None }
    }));
}

#[test]
fn files_of_several_documents_and_lists() {
    let named = |name: &str| with("", "").replace("shop", name);
    let names = |text: &str| -> Vec<String> {
        read(text.as_bytes(), "f", &STRICT).unwrap().iter().map(|one| one.spec.name.to_string()).collect()
    };
    assert_eq!(names(&format!("---\n# a\n---\n{}---\n{}---\n", named("a"), named("b"))), ["a", "b"]);
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [full_pod()]});
    assert_eq!(names(&list.to_string()), ["shop"]);
    let mut item = full_pod();
    item.as_object_mut().unwrap().retain(|key, _| key != "kind" && key != "apiVersion");
    let list = json!({"apiVersion": "v1", "kind": "PodList", "items": [item]});
    assert_eq!(names(&list.to_string()), ["shop"]);
    for (text, want) in [
        (String::new(), "f holds no Pod"),
        ("# nothing\n---\n".into(), "f holds no Pod"),
        (format!("{}---\n{}", named("a"), named("a")), "f:13: Pod \"default/a\" is in the file twice"),
        ("a: 1".into(), "f:1:1: kind is missing"),
        ("- a".into(), "f:1:1: kind is missing"),
        ("x".into(), "f:1:1: kind is missing"),
        (
            format!("{}---\napiVersion: apps/v1\nkind: Deployment\n", named("a")),
            "f:11:7: kind \"Deployment\" is not supported",
        ),
        (named("a").replace("v1", "v2"), "f:2:7: apiVersion \"v2\" has no Pod"),
        ("kind: Pod".into(), "f:1:7: apiVersion is missing"),
        ("a: b: c".into(), "f:1:5: mapping values"),
    ] {
        let error = read(text.as_bytes(), "f", &STRICT).unwrap_err().to_string();
        assert!(error.starts_with(want), "{error}");
    }
    assert!(
        read(b"a: 1\nb: \xff\n", "f", &STRICT)
            .unwrap_err()
            .to_string()
            .contains("f:2: the text is not UTF-8")
    );
    assert!(
        read(&vec![b' '; LARGEST + 1], "f", &STRICT).unwrap_err().to_string().contains("more than 3 MiB")
    );
}

#[test]
fn what_kubectl_get_prints_is_accepted() {
    let manifest = one(include_str!("../../../examples/from-cluster.yaml"));
    let accepted = &manifest.spec.accepted_fields;
    for field in ["status", "metadata.uid", "spec.nodeName", "spec.tolerations", "spec.serviceAccountName"] {
        assert!(accepted.iter().any(|one| one == field), "{field} is not in {accepted:?}");
    }
    assert!(accepted.iter().any(|one| one.starts_with("spec.volumes[") && one.contains("kube-api-access-")));
    assert!(manifest.spec.volumes.iter().all(|volume| !volume.name.as_str().starts_with("kube-api-access-")));
    assert!(
        manifest.spec.containers[0]
            .volume_mounts
            .iter()
            .all(|mount| !mount.path.starts_with("/var/run/secrets"))
    );
}

#[test]
fn defaults_of_kubernetes_are_never_refused() {
    let container = "terminationMessagePath: /dev/termination-log\nterminationMessagePolicy: File\nlivenessProbe: null\nenvFrom: []\nsecurityContext: {procMount: Default}\nlifecycle: {}\nresizePolicy: [{resourceName: cpu, restartPolicy: NotRequired}]\nports: [{containerPort: 80, hostPort: 0, hostIP: ''}]\nvolumeMounts: [{name: v, mountPath: /v, subPath: '', mountPropagation: None, recursiveReadOnly: Disabled}]";
    let spec = "dnsPolicy: ClusterFirst\nsecurityContext: {}\nhostPID: false\nhostUsers: true\nreadinessGates: []\ninitContainers: []\nvolumes: [{name: v, emptyDir: {}, configMap: null}]\nos: {name: linux}\nschedulerName: default-scheduler\nenableServiceLinks: true\nsubdomain: ''";
    let manifest = one(&with(container, spec));
    assert_eq!(manifest.warnings, [""; 0]);
    assert_eq!(manifest.spec.accepted_fields, ["spec.schedulerName", "spec.enableServiceLinks"]);
}

#[test]
fn ignored_fields_leave_a_pod_that_stands() {
    let text = with(
        "volumeMounts: [{name: c, mountPath: /c}, {name: v, mountPath: /v}]",
        "volumes: [{name: c, configMap: {name: x}},\n  {name: v, emptyDir: {medium: HugePages-2Mi}}]\nhostIPC: true",
    );
    let manifest = read(text.as_bytes(), "shop.yaml", &LENIENT).unwrap().remove(0);
    assert_eq!(manifest.spec.volumes.len(), 1);
    assert_eq!(manifest.volume_place(&manifest.spec.volumes[0]), "shop.yaml:7");
    assert_eq!(manifest.spec.containers[0].volume_mounts.len(), 1);
    assert_eq!(manifest.warnings.len(), 4, "{:?}", manifest.warnings);
    assert!(manifest.warnings.contains(&"shop.yaml:8: spec.hostIPC: not supported yet, ignored".to_owned()));
    assert!(
        manifest.warnings.iter().any(|one| one.contains("volumeMounts[0]: ") && one.contains("not mounted"))
    );
}

#[test]
fn warnings() {
    let manifest = one(&with(
        "stdinOnce: true\nenv: [{name: A, value: x}, {name: B, value: $(A)}, {name: A, value: z}]\nresources: {limits: {memory: 64m}}",
        "",
    ));
    assert_eq!(manifest.spec.containers[0].env, [("A".into(), "z".into()), ("B".into(), "x".into())]);
    assert_eq!(
        manifest.warnings,
        [
            "shop.yaml:9: spec.containers[0].stdinOnce: has no effect without stdin: true",
            "shop.yaml:10: spec.containers[0].env[2].name: A is set twice; the later value counts",
            "shop.yaml:11: spec.containers[0].resources.limits[memory]: \"64m\" is 64 thousandths of a byte; M and Mi are millions"
        ]
    );
}

#[test]
fn examples_are_valid() {
    for (directory, least) in [("examples", 15), ("integration/kubernetes", 18)] {
        let mut count = 0;
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|end| end == "yaml") {
                let text = std::fs::read(&path).unwrap();
                let all =
                    read(&text, path.to_str().unwrap(), &STRICT).unwrap_or_else(|error| panic!("{error}"));
                assert!(all.iter().all(|one| one.warnings.is_empty()), "{path:?}");
                count += 1;
            }
        }
        assert!(count >= least, "{directory}");
    }
}
