//! What is wrong with a manifest, in which words and on which line.

use super::{refused, with};

#[test]
fn all_problems_are_told_at_once() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: Shop\nspec:\n  restartPolicy: Sometimes\n  containers:\n  - name: web\n    envFrom: [{prefix: A}]\n    volumeMounts:\n    - name: dta\n      mountPath: data\n";
    let want = "Pod \"Shop\" is invalid:
  shop.yaml:4:3: metadata.name: Invalid value: \"Shop\": a lowercase RFC 1123 subdomain must consist";
    let error = refused(text);
    assert!(error.starts_with(want), "{error}");
    for line in [
        "  shop.yaml:6:3: spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", \"Never\"",
        "  shop.yaml:8:5: spec.containers[0].image: Required value",
        "  shop.yaml:9:5: spec.containers[0].envFrom: not supported yet (write the variables as name and value)",
        "  shop.yaml:11:7: spec.containers[0].volumeMounts[0].name: Not found: \"dta\" (name one of spec.volumes, or add it there)",
        "  shop.yaml:12:7: spec.containers[0].volumeMounts[0].mountPath: Invalid value: \"data\": must be an absolute path",
    ] {
        assert!(error.lines().any(|one| one == line), "{line}\nis not in\n{error}");
    }
    let many: String = (0..30).map(|i| format!("- {{name: A{i}, value: {i}}}\n")).collect();
    let error = refused(&with(&format!("env:\n{many}"), ""));
    assert_eq!(error.lines().filter(|line| line.contains("must be a string, not the number")).count(), 20);
    assert!(error.contains("\n  and 10 more\nhint: put it in quotes"), "{error}");
}

/// Lines added to the container, lines added to the spec, and what is said of them.
const FIELDS: &[(&str, &str, &str)] = &[
    (
        "imge: x",
        "",
        "shop.yaml:9:5: spec.containers[0].imge: unknown field of Container\nhint: did you mean image?",
    ),
    ("zzz: x", "", "spec.containers[0].zzz: unknown field of Container\nhint: "),
    ("tty: true\ntty: false", "", "shop.yaml:10:5: \"tty\" is written twice, first on line 9"),
    ("env: [{name: A, value: yes}]", "", "must be a string, not the boolean true\nhint: put it in quotes"),
    ("tty: 'true'", "", "tty: must be true or false, not the string \"true\""),
    ("env: {A: b}", "", "env: must be a list, not an object"),
    ("args: [1]", "", "args[0]: must be a string, not the number 1"),
    (
        "ports: [{containerPort: 99999999999}]",
        "",
        "must be an integer of 32 bits, not the number 99999999999",
    ),
    ("env: [null]", "", "env[0]: must be an object, not null"),
    ("command: [\"a\\0b\"]", "", "command[0]: must not hold a NUL character"),
    ("env: [{value: x}]", "", "env[0].name: Required value"),
    ("env: [{name: A=B}]", "", "env[0].name: Invalid value: \"A=B\": a valid environment variable name"),
    ("ports: [{name: http}]", "", "ports[0].containerPort: Required value"),
    (
        "ports: [{containerPort: 0}]",
        "",
        "containerPort: Invalid value: 0: must be between 1 and 65535, inclusive",
    ),
    (
        "ports: [{containerPort: 1, protocol: tcp}]",
        "",
        "Unsupported value: \"tcp\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
    ),
    (
        "ports: [{containerPort: 1, name: x}, {containerPort: 2, name: x}]",
        "",
        "ports[1].name: Duplicate value: \"x\"",
    ),
    (
        "ports: [{containerPort: 80, hostPort: 80}]",
        "",
        "hostPort: forwarding a port is not supported yet\nhint: set spec.hostNetwork: true",
    ),
    (
        "ports: [{containerPort: 80, hostPort: 81}]",
        "hostNetwork: true",
        "Invalid value: 81: must match `containerPort` when `hostNetwork` is true",
    ),
    (
        "ports: [{containerPort: 80}, {containerPort: 80}]",
        "hostNetwork: true",
        "ports[1].hostPort: Duplicate value: \"TCP//80\"",
    ),
    (
        "resources: {limits: {memory: 1Gi}, requests: {memory: 2Gi}}",
        "",
        "requests[memory]: Invalid value: \"2Gi\": must be less than or equal to memory limit of 1Gi",
    ),
    (
        "resources: {limits: {cpu: -1}}",
        "",
        "limits[cpu]: Invalid value: \"-1\": must be greater than or equal to 0",
    ),
    ("resources: {limits: {memory: 1Mb}}", "", "limits[memory]: invalid quantity \"1Mb\": unknown suffix"),
    (
        "resources: {limits: {cpus: 1}}",
        "",
        "Invalid value: \"cpus\": must be a standard resource for containers",
    ),
    ("resources: {limits: {nvidia.com/gpu: 1}}", "", "limits[nvidia.com/gpu]: not supported yet"),
    (
        "resources: {limits: {ephemeral-storage: 1Gi}, requests: {ephemeral-storage: 2Gi}}",
        "",
        "requests[ephemeral-storage]: Invalid value: \"2Gi\": must be less than or equal to ephemeral-storage limit of 1Gi",
    ),
    (
        "imagePullPolicy: always",
        "",
        "Unsupported value: \"always\": supported values: \"Always\", \"IfNotPresent\", \"Never\"",
    ),
    ("workingDir: srv", "", "workingDir: Invalid value: \"srv\": must be an absolute path"),
    (
        "securityContext: {privileged: true, allowPrivilegeEscalation: false}",
        "",
        "cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
    ),
    (
        "securityContext: {runAsUser: -1}",
        "",
        "Invalid value: -1: must be between 0 and 2147483647, inclusive",
    ),
    (
        "securityContext: {capabilities: {add: [NET_ADMN]}}",
        "",
        "Invalid value: \"NET_ADMN\": no capability of that name\nhint: did you mean NET_ADMIN?",
    ),
    ("securityContext: {capabilities: {add: [CAP_SYS_ADMIN]}}", "", "hint: did you mean SYS_ADMIN?"),
    (
        "securityContext: {seccompProfile: {type: Localhost, localhostProfile: x}}",
        "",
        "Localhost is not supported yet\nhint: use RuntimeDefault",
    ),
    ("securityContext: {seccompProfile: {}}", "", "seccompProfile.type: Required value"),
    (
        "securityContext: {seccompProfile: {type: Unconfined, localhostProfile: x}}",
        "",
        "can only be set when seccomp type is Localhost",
    ),
    (
        "volumeMounts: [{name: v, mountPath: /a}, {name: v, mountPath: /a/}]",
        "volumes: [{name: v, emptyDir: {}}]",
        "mountPath: Invalid value: \"/a/\": must be unique",
    ),
    (
        "volumeMounts: [{name: v, mountPath: '/a:b'}]",
        "volumes: [{name: v, emptyDir: {}}]",
        "must not contain ':'",
    ),
    (
        "volumeMounts: [{name: v, mountPath: /}]",
        "volumes: [{name: v, emptyDir: {}}]",
        "must not be the root directory",
    ),
    (
        "volumeMounts: [{name: dta, mountPath: /a}]",
        "volumes: [{name: data, emptyDir: {}}]",
        "Not found: \"dta\"\nhint: did you mean data?",
    ),
    (
        "volumeMounts: [{name: v, mountPath: /a, mountPropagation: Bidirectional}]",
        "volumes: [{name: v, emptyDir: {}}]",
        "mountPropagation: not supported yet",
    ),
    (
        "",
        "volumes: [{name: v, emptyDir: {}, hostPath: {path: /a}}]",
        "Forbidden: may not specify more than 1 volume type",
    ),
    (
        "",
        "volumes: [{name: v, emptyDir: {}}, {name: v, emptyDir: {}}]",
        "volumes[1].name: Duplicate value: \"v\"",
    ),
    (
        "",
        "volumes: [{name: v, emptyDir: {sizeLimit: -1}}]",
        "Invalid value: \"-1\": must be greater than or equal to 0",
    ),
    ("", "volumes: [{name: v, emptyDir: {medium: HugePages-2Mi}}]", "HugePages-2Mi is not supported yet"),
    ("", "volumes: [{name: v, hostPath: {path: srv}}]", "Invalid value: \"srv\": must be an absolute path"),
    ("", "volumes: [{name: v, hostPath: {path: /a/../b}}]", "must not contain '..'"),
    (
        "",
        "volumes: [{name: v, hostPath: {path: /a, type: Dir}}]",
        "Unsupported value: \"Dir\": supported values: \"\", \"DirectoryOrCreate\"",
    ),
    (
        "",
        "volumes: [{name: v, configMap: {name: x}}]",
        "configMap: not supported yet\nhint: put the files into",
    ),
    ("", "hostname: Till", "hostname: Invalid value: \"Till\": a lowercase RFC 1123 label"),
    ("", "securityContext: {fsGroup: 0}", "fsGroup: not supported yet"),
    (
        "",
        "tolerations: [{effekt: x}]",
        "tolerations[0].effekt: unknown field of Toleration\nhint: did you mean effect?",
    ),
    ("", "hostPID: true", "hostPID: not supported yet"),
];

/// What is replaced in a good manifest, by what, and what is said of it.
const REPLACED: &[(&str, &str, &str)] = &[
    ("  name: shop", "  labels: {a: b}", "the Pod is invalid: shop.yaml:3:1: metadata.name: Required value"),
    ("name: web", "name: web_1", "containers[0].name: Invalid value: \"web_1\": a lowercase RFC 1123 label"),
    ("image: nginx", "image: ''", "image: Required value"),
    ("image: nginx", "image: Nginx", "image: invalid image name \"Nginx\""),
    ("image: nginx", "image: ' nginx'", "must not have leading or trailing whitespace"),
    (
        "metadata:",
        "metadata:\n  labels: {a: b c}",
        "labels[a]: Invalid value: \"b c\": a valid label must be",
    ),
    ("metadata:", "metadata:\n  labels: {-a: b}", "Invalid value: \"-a\": name part must consist"),
    ("metadata:", "metadata:\n  labels: {a: 1}", "labels[a]: must be a string, not the number 1"),
    ("containers:\n  - name: web\n    image: nginx\n", "containers: []\n", "spec.containers: Required value"),
    (
        "  containers:",
        "  containers:\n  - {name: web, image: x}",
        "containers[1].name: Duplicate value: \"web\"",
    ),
];

#[test]
fn problems() {
    for (container, spec, want) in FIELDS {
        let error = refused(&with(container, spec));
        assert!(error.contains(want), "{container} {spec}:\n{error}");
    }
    for (from, to, want) in REPLACED {
        let text = with("", "").replacen(from, to, 1);
        let error = refused(&text);
        assert!(error.contains(want), "{text}:\n{error}");
    }
}

#[test]
fn control_characters_of_a_manifest_do_not_reach_the_terminal() {
    for text in [
        with("\"\\e[31mred\": x", ""),
        with("image: x\nimage: y", "\"\\e]0;x\\a\": {\"\\u009b\": 1}"),
        "kind: \"\\e[31m\"".to_owned(),
        "a: \u{7}".to_owned(),
        "a: !\u{1b} x".to_owned(),
    ] {
        let error = refused(&text);
        assert!(!error.contains(|c: char| c.is_control() && c != '\n'), "{error:?}");
    }
}
