//! Probes, hooks, and what a variable can be taken from; and ephemeral containers, which share them.

use crate::manifest::fields::container::{CONTAINER_PORT, ENV_VAR, RESOURCE_REQUIREMENTS, VOLUME_MOUNT};
use crate::manifest::fields::security::SECURITY_CONTEXT;
use crate::manifest::schema::Kind::{
    Bool, Int32, Int64, IntOrText, Ints32, Object, Objects, Quantity, Text, Texts,
};
use crate::manifest::schema::parts;

parts! {
    CONFIG_MAP_ENV_SOURCE "ConfigMapEnvSource" { name: Text, optional: Bool }
    CONFIG_MAP_KEY_SELECTOR "ConfigMapKeySelector" { key: Text, name: Text, optional: Bool }
    CONTAINER_RESIZE_POLICY "ContainerResizePolicy" { resourceName: Text, restartPolicy: Text }
    CONTAINER_RESTART_RULE "ContainerRestartRule" {
        action: Text, exitCodes: Object(&CONTAINER_RESTART_RULE_ON_EXIT_CODES),
    }
    CONTAINER_RESTART_RULE_ON_EXIT_CODES "ContainerRestartRuleOnExitCodes" { operator: Text, values: Ints32 }
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
    EXEC_ACTION "ExecAction" { command: Texts }
    FILE_KEY_SELECTOR "FileKeySelector" { key: Text, optional: Bool, path: Text, volumeName: Text }
    GRPC_ACTION "GRPCAction" { mode: Text, port: Int32, service: Text }
    HTTP_GET_ACTION "HTTPGetAction" {
        host: Text, httpHeaders: Objects(&HTTP_HEADER), path: Text, port: IntOrText, protocol: Text,
        scheme: Text,
    }
    HTTP_HEADER "HTTPHeader" { name: Text, value: Text }
    LIFECYCLE "Lifecycle" {
        postStart: Object(&LIFECYCLE_HANDLER), preStop: Object(&LIFECYCLE_HANDLER), stopSignal: Text,
    }
    LIFECYCLE_HANDLER "LifecycleHandler" {
        exec: Object(&EXEC_ACTION), httpGet: Object(&HTTP_GET_ACTION), sleep: Object(&SLEEP_ACTION),
        tcpSocket: Object(&TCP_SOCKET_ACTION),
    }
    OBJECT_FIELD_SELECTOR "ObjectFieldSelector" { apiVersion: Text, fieldPath: Text }
    PROBE "Probe" {
        exec: Object(&EXEC_ACTION), failureThreshold: Int32, grpc: Object(&GRPC_ACTION),
        httpGet: Object(&HTTP_GET_ACTION), initialDelaySeconds: Int32, periodSeconds: Int32,
        successThreshold: Int32, tcpSocket: Object(&TCP_SOCKET_ACTION), terminationGracePeriodSeconds: Int64,
        timeoutSeconds: Int32,
    }
    RESOURCE_CLAIM "ResourceClaim" { name: Text, request: Text }
    RESOURCE_FIELD_SELECTOR "ResourceFieldSelector" { containerName: Text, divisor: Quantity, resource: Text }
    SECRET_ENV_SOURCE "SecretEnvSource" { name: Text, optional: Bool }
    SECRET_KEY_SELECTOR "SecretKeySelector" { key: Text, name: Text, optional: Bool }
    SLEEP_ACTION "SleepAction" { seconds: Int64 }
    TCP_SOCKET_ACTION "TCPSocketAction" { host: Text, port: IntOrText }
    VOLUME_DEVICE "VolumeDevice" { devicePath: Text, name: Text }
}
