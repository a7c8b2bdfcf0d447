//! Containers.

use crate::manifest::fields::actions::{CONTAINER_RESTART_RULE, LIFECYCLE, PROBE};
use crate::manifest::fields::container_parts::{
    ENV_FROM_SOURCE, ENV_VAR_SOURCE, RESOURCE_CLAIM, VOLUME_DEVICE,
};
use crate::manifest::fields::security::SECURITY_CONTEXT;
use crate::manifest::schema::Kind::{Bool, Int32, Object, Objects, QuantityMap, Text, Texts};
use crate::manifest::schema::{Type, Unset, honoured, unsupported};

pub(super) static CONTAINER: Type = Type {
    name: "Container",
    fields: &[
        honoured("args", Texts),
        honoured("command", Texts),
        honoured("env", Objects(&ENV_VAR)),
        honoured("image", Text),
        honoured("imagePullPolicy", Text),
        honoured("lifecycle", Object(&LIFECYCLE)),
        honoured("livenessProbe", Object(&PROBE)),
        honoured("name", Text),
        honoured("ports", Objects(&CONTAINER_PORT)),
        honoured("readinessProbe", Object(&PROBE)),
        honoured("resizePolicy", Objects(&CONTAINER_RESIZE_POLICY)),
        honoured("resources", Object(&RESOURCE_REQUIREMENTS)),
        honoured("restartPolicy", Text),
        honoured("restartPolicyRules", Objects(&CONTAINER_RESTART_RULE)),
        honoured("securityContext", Object(&SECURITY_CONTEXT)),
        honoured("startupProbe", Object(&PROBE)),
        honoured("stdin", Bool),
        honoured("stdinOnce", Bool),
        honoured("terminationMessagePath", Text),
        honoured("terminationMessagePolicy", Text),
        honoured("tty", Bool),
        honoured("volumeMounts", Objects(&VOLUME_MOUNT)),
        honoured("workingDir", Text),
        unsupported("envFrom", Objects(&ENV_FROM_SOURCE), Unset::Empty),
        unsupported("volumeDevices", Objects(&VOLUME_DEVICE), Unset::Empty),
    ],
};

pub(super) static CONTAINER_PORT: Type = Type {
    name: "ContainerPort",
    fields: &[
        honoured("containerPort", Int32),
        honoured("hostPort", Int32), // with hostNetwork, where it must be containerPort
        honoured("name", Text),
        honoured("protocol", Text),
        unsupported("hostIP", Text, Unset::Empty),
    ],
};

pub(super) static ENV_VAR: Type = Type {
    name: "EnvVar",
    fields: &[
        honoured("name", Text),
        honoured("value", Text),
        unsupported("valueFrom", Object(&ENV_VAR_SOURCE), Unset::Null),
    ],
};

pub(super) static CONTAINER_RESIZE_POLICY: Type = Type {
    name: "ContainerResizePolicy",
    fields: &[honoured("resourceName", Text), honoured("restartPolicy", Text)],
};

pub(super) static RESOURCE_REQUIREMENTS: Type = Type {
    name: "ResourceRequirements",
    fields: &[
        honoured("limits", QuantityMap), // cpu and memory; other names are refused one by one
        honoured("requests", QuantityMap),
        unsupported("claims", Objects(&RESOURCE_CLAIM), Unset::Empty),
    ],
};

pub(in crate::manifest) static VOLUME_MOUNT: Type = Type {
    name: "VolumeMount",
    fields: &[
        honoured("mountPath", Text),
        honoured("name", Text),
        honoured("readOnly", Bool),
        unsupported("bindMountOptions", Texts, Unset::Empty),
        unsupported("mountPropagation", Text, Unset::OneOf(&["None"])),
        unsupported("recursiveReadOnly", Text, Unset::OneOf(&["Disabled"])),
        unsupported("subPath", Text, Unset::Empty),
        unsupported("subPathExpr", Text, Unset::Empty),
    ],
};
