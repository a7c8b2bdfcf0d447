//! The table of fields against Kubernetes' own schema, and each class against what it promises.

use super::{LENIENT, one, refused};
use crate::manifest::fields;
use crate::manifest::read;
use crate::manifest::schema::{Class, Field as Row, Kind, Type, Unset};
use serde_json::{Value as Json, json};

fn kubernetes() -> Json {
    schemars::schema_for!(k8s_openapi::api::core::v1::Pod).to_value()
}

/// Follows a `$ref`; the name is Kubernetes' name of the type.
fn resolve<'a>(root: &'a Json, schema: &'a Json) -> (&'a Json, &'a str) {
    match schema["$ref"].as_str() {
        Some(reference) => {
            let key = reference.rsplit('/').next().unwrap();
            (&root["$defs"][key], key.rsplit('.').next().unwrap())
        }
        None => (schema, ""),
    }
}

fn kind_fits(root: &Json, schema: &Json, kind: Kind) -> bool {
    let (found, name) = resolve(root, schema);
    let is = |word: &str| found["type"] == word;
    let of = |kind: Kind| kind_fits(root, &found["items"], kind);
    let to = |kind: Kind| kind_fits(root, &found["additionalProperties"], kind);
    match kind {
        Kind::Text => is("string") && found["format"].is_null(),
        Kind::Time => is("string") && found["format"] == "date-time",
        Kind::Bool => is("boolean"),
        Kind::Int32 => is("integer") && found["format"] == "int32",
        Kind::Int64 => is("integer") && found["format"] == "int64",
        Kind::Quantity => name == "Quantity",
        Kind::IntOrText => name == "IntOrString",
        Kind::Any => name == "FieldsV1" || name == "PodStatus",
        Kind::Object(kind) => is("object") && name == kind.name,
        Kind::Objects(kind) => is("array") && of(Kind::Object(kind)),
        Kind::Texts => is("array") && of(Kind::Text),
        Kind::Ints32 => is("array") && of(Kind::Int32),
        Kind::Ints64 => is("array") && of(Kind::Int64),
        Kind::TextMap => is("object") && to(Kind::Text),
        Kind::QuantityMap => is("object") && to(Kind::Quantity),
    }
}

/// Compares a type of the table with Kubernetes'. `honoured`: whether its fields must say for themselves who honours them.
fn compare(root: &Json, schema: &Json, kind: &'static Type, path: &str, honoured: bool, seen: &mut usize) {
    let properties = schema["properties"].as_object().unwrap();
    for row in kind.fields {
        let path = format!("{path}.{}", row.name);
        let Some(property) = properties.get(row.name) else { panic!("{path}: not a field of Kubernetes'") };
        assert!(kind_fits(root, property, row.kind), "{path}: {:?} is not the type of {property}", row.kind);
        if honoured {
            assert!(!matches!(row.class, Class::Part), "{path}: is in no class");
        }
        *seen += 1;
        let (Kind::Object(inner) | Kind::Objects(inner)) = row.kind else { continue };
        let (property, _) = resolve(root, property);
        let items = if matches!(row.kind, Kind::Objects(_)) { &property["items"] } else { property };
        let (schema, _) = resolve(root, items);
        compare(root, schema, inner, &path, honoured && is_honoured(row), seen);
    }
    for name in properties.keys() {
        let rows = kind.fields.iter().filter(|row| row.name == name).count();
        assert_eq!(rows, 1, "{path}.{name}: must be in the table once");
    }
}

#[test]
fn table_is_kubernetes_schema() {
    let root = kubernetes();
    let mut seen = 0;
    compare(&root, &root, &fields::POD, "", true, &mut seen);
    assert!(seen > 1100, "only {seen} fields were seen");
}

fn is_honoured(row: &Row) -> bool {
    matches!(row.class, Class::Honoured)
}

/// A value of the type that asks for something.
fn sample(kind: Kind) -> Json {
    let filled = |kind: &'static Type| -> Json {
        kind.fields
            .iter()
            .map(|row| (row.name.to_owned(), sample(row.kind)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    match kind {
        Kind::Text | Kind::IntOrText => json!("x"),
        Kind::Time => json!("2026-01-02T03:04:05Z"),
        Kind::Bool => json!(true),
        Kind::Int32 | Kind::Int64 => json!(7),
        Kind::Quantity => json!("7"),
        Kind::Any => json!({"x": "y"}),
        Kind::Object(kind) => filled(kind),
        Kind::Objects(kind) => json!([filled(kind)]),
        Kind::Texts => json!(["x"]),
        Kind::Ints32 | Kind::Ints64 => json!([7]),
        Kind::TextMap => json!({"x": "y"}),
        Kind::QuantityMap => json!({"x": "7"}),
    }
}

/// Every row reached through honoured fields alone, with its path and the way to set it in a good pod.
fn rows(kind: &'static Type, path: &str, set: &mut dyn FnMut(&'static Row, &str)) {
    for row in kind.fields {
        let path = if path.is_empty() { row.name.to_owned() } else { format!("{path}.{}", row.name) };
        let path = in_full_pod(&path);
        set(row, &path);
        if is_honoured(row) {
            match row.kind {
                Kind::Object(inner) => rows(inner, &path, set),
                Kind::Objects(inner) => rows(inner, &format!("{path}[0]"), set),
                _ => {}
            }
        }
    }
}

/// Where the full pod has what one item of a list cannot have beside what it has.
fn in_full_pod(path: &str) -> String {
    let mut path = path.replace("volumes[0].hostPath.", "volumes[1].hostPath.");
    for (part, item) in [(".httpGet", 1), (".grpc", 2)] {
        if path.contains(part) {
            path = path.replace("ontainers[0]", &format!("ontainers[{item}]"));
        }
    }
    path
}

/// A container with probes and hooks of these handlers; a hook cannot have every handler of a probe.
fn acting(name: &str, probe: &Json, hook: &Json) -> Json {
    let rule = json!({"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}});
    json!({
        "name": name, "image": "nginx", "env": [{"name": "A", "value": "b"}], "ports": [{"containerPort": 80}],
        "resources": {"limits": {}}, "resizePolicy": [{"resourceName": "cpu", "restartPolicy": "NotRequired"}],
        "volumeMounts": [{"name": "v", "mountPath": "/v"}],
        "securityContext": {"capabilities": {}, "seccompProfile": {"type": "Unconfined"}},
        "restartPolicy": "Always", "restartPolicyRules": [rule],
        "startupProbe": probe, "livenessProbe": probe, "readinessProbe": probe,
        "lifecycle": {"postStart": hook, "preStop": hook},
    })
}

/// A pod that has an item in each honoured list.
pub(super) fn full_pod() -> Json {
    let exec = json!({"exec": {"command": ["true"]}});
    let http = json!({"httpGet": {"port": 80, "httpHeaders": [{"name": "A", "value": "b"}]}});
    let containers = |prefix: &str| -> Json {
        let named = |suffix: &str, probe, hook| acting(&format!("{prefix}{suffix}"), probe, hook);
        json!([
            named("", &exec, &exec),
            named("1", &http, &http),
            named("2", &json!({"grpc": {"port": 80}}), &exec)
        ])
    };
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "shop"},
        "spec": {
            "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
            "volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "hostPath": {"path": "/srv"}}],
            "initContainers": containers("init"),
            "containers": containers("web"),
        }
    })
}

fn put(pod: &mut Json, path: &str, value: Json) {
    let mut node = pod;
    for part in path.split('.') {
        let (key, index) = match part.strip_suffix(']').and_then(|part| part.split_once('[')) {
            Some((key, index)) => (key, index.parse::<usize>().ok()),
            None => (part, None),
        };
        node = &mut node[key];
        if let Some(index) = index {
            node = &mut node[index];
        }
    }
    *node = value;
}

/// The manifest as pretty JSON, and the line that the path's key is on.
fn text_of(pod: &Json, key: &str) -> (String, usize) {
    let text = serde_json::to_string_pretty(pod).unwrap();
    let line = text.lines().position(|line| line.trim_start().starts_with(&format!("{key:?}:"))).unwrap() + 1;
    (text, line)
}

#[test]
fn unsupported_fields_are_refused_by_name_and_line() {
    let mut count = 0;
    rows(&fields::POD, "", &mut |row, path| {
        let Class::Unsupported(unset) = row.class else { return };
        let value = match (unset, row.kind) {
            (Unset::Bool(default), Kind::Bool) => json!(!default),
            _ => sample(row.kind),
        };
        let mut pod = full_pod();
        put(&mut pod, path, value);
        let (text, _) = text_of(&pod, row.name);
        let error = refused(&text);
        let line = error.lines().find(|line| line.contains(&format!("{path}: not supported yet")));
        let line = line.unwrap_or_else(|| panic!("{path} is not refused: {error}"));
        let number: usize =
            line.split(':').nth(if line.starts_with("Pod") { 2 } else { 1 }).unwrap().trim().parse().unwrap();
        let written = text.lines().nth(number - 1).unwrap();
        assert!(written.contains(&format!("{:?}:", row.name)), "{path}: line {number} is {written}");
        let lenient =
            read(text.as_bytes(), "shop.json", &LENIENT).unwrap_or_else(|error| panic!("{path}: {error}"));
        let warning = format!("shop.json:{number}: {path}: not supported yet, ignored");
        assert!(lenient[0].warnings.contains(&warning), "{path}: {:?}", lenient[0].warnings);
        count += 1;
    });
    assert!(count > 75, "only {count} fields");
}

#[test]
fn values_that_ask_for_nothing_are_never_refused() {
    rows(&fields::POD, "", &mut |row, path| {
        let Class::Unsupported(unset) = row.class else { return };
        let mut harmless = vec![Json::Null];
        match (unset, row.kind) {
            (Unset::Bool(default), _) => harmless.push(json!(default)),
            (Unset::OneOf(texts), _) => harmless.extend(texts.iter().map(|text| json!(text))),
            (Unset::Empty, Kind::Text) => harmless.push(json!("")),
            (Unset::Empty, Kind::Object(_) | Kind::QuantityMap | Kind::TextMap) => harmless.push(json!({})),
            (Unset::Empty, _) => harmless.push(json!([])),
            (Unset::Null | Unset::If(_), _) => {}
        }
        for value in harmless {
            let mut pod = full_pod();
            put(&mut pod, path, value);
            let manifest = one(&pod.to_string());
            assert_eq!((manifest.warnings, manifest.spec.accepted_fields), (vec![], vec![]), "{path}");
        }
    });
}

#[test]
fn fields_of_the_cluster_are_accepted_and_listed() {
    rows(&fields::POD, "", &mut |row, path| {
        if !matches!(row.class, Class::Cluster) {
            return;
        }
        let mut pod = full_pod();
        put(&mut pod, path, sample(row.kind));
        let manifest = one(&pod.to_string());
        assert_eq!(manifest.spec.accepted_fields, [path]);
        put(&mut pod, path, Json::Null);
        assert_eq!(one(&pod.to_string()).spec.accepted_fields, [""; 0]);
    });
}

#[test]
fn every_field_of_a_wrong_type_is_refused() {
    rows(&fields::POD, "", &mut |row, path| {
        if matches!(row.kind, Kind::Any) || path == "kind" || path == "apiVersion" {
            return;
        }
        let wrong = if matches!(row.kind, Kind::Objects(_) | Kind::Texts | Kind::Ints32 | Kind::Ints64) {
            json!({})
        } else {
            json!([])
        };
        let mut pod = full_pod();
        put(&mut pod, path, wrong);
        assert!(refused(&pod.to_string()).contains(&format!("{path}: must be ")), "{path}");
    });
}
