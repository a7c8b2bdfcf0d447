//! What podrun does not support of containers: variables from elsewhere, devices, containers for debugging.

use crate::manifest::fields::actions::{CONTAINER_RESTART_RULE, LIFECYCLE, PROBE};
use crate::manifest::fields::container::{
    CONTAINER_PORT, CONTAINER_RESIZE_POLICY, ENV_VAR, RESOURCE_REQUIREMENTS, VOLUME_MOUNT,
};
use crate::manifest::fields::security::SECURITY_CONTEXT;
use crate::manifest::schema::Kind::{Bool, Object, Objects, Quantity, Text, Texts};
use crate::manifest::schema::types;

types! {
    part;
    CONFIG_MAP_ENV_SOURCE "ConfigMapEnvSource" { name: Text, optional: Bool }
    CONFIG_MAP_KEY_SELECTOR "ConfigMapKeySelector" { key: Text, name: Text, optional: Bool }
    ENV_FROM_SOURCE "EnvFromSource" {
        configMapRef: Object(&CONFIG_MAP_ENV_SOURCE), prefix: Text, secretRef: Object(&SECRET_ENV_SOURCE),
    }
    ENV_VAR_SOURCE "EnvVarSource" {
        configMapKeyRef: Object(&CONFIG_MAP_KEY_SELECTOR), fieldRef: Object(&OBJECT_FIELD_SELECTOR),
        fileKeyRef: Object(&FILE_KEY_SELECTOR), resourceFieldRef: Object(&RESOURCE_FIELD_SELECTOR),
        secretKeyRef: Object(&SECRET_KEY_SELECTOR),
    }
    EPHEMERAL_CONTAINER "EphemeralContainer" {
        args: Texts, command: Texts, env: Objects(&ENV_VAR), envFrom: Objects(&ENV_FROM_SOURCE), image: Text,
        imagePullPolicy: Text, lifecycle: Object(&LIFECYCLE), livenessProbe: Object(&PROBE), name: Text,
        ports: Objects(&CONTAINER_PORT), readinessProbe: Object(&PROBE),
        resizePolicy: Objects(&CONTAINER_RESIZE_POLICY), resources: Object(&RESOURCE_REQUIREMENTS),
        restartPolicy: Text, restartPolicyRules: Objects(&CONTAINER_RESTART_RULE),
        securityContext: Object(&SECURITY_CONTEXT), startupProbe: Object(&PROBE), stdin: Bool,
        stdinOnce: Bool, targetContainerName: Text, terminationMessagePath: Text,
        terminationMessagePolicy: Text, tty: Bool, volumeDevices: Objects(&VOLUME_DEVICE),
        volumeMounts: Objects(&VOLUME_MOUNT), workingDir: Text,
    }
    FILE_KEY_SELECTOR "FileKeySelector" { key: Text, optional: Bool, path: Text, volumeName: Text }
    OBJECT_FIELD_SELECTOR "ObjectFieldSelector" { apiVersion: Text, fieldPath: Text }
    RESOURCE_CLAIM "ResourceClaim" { name: Text, request: Text }
    RESOURCE_FIELD_SELECTOR "ResourceFieldSelector" { containerName: Text, divisor: Quantity, resource: Text }
    SECRET_ENV_SOURCE "SecretEnvSource" { name: Text, optional: Bool }
    SECRET_KEY_SELECTOR "SecretKeySelector" { key: Text, name: Text, optional: Bool }
    VOLUME_DEVICE "VolumeDevice" { devicePath: Text, name: Text }
}
