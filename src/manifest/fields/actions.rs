//! Probes, hooks and rules of restarting.

use crate::manifest::schema::Kind::{Int32, Int64, IntOrText, Ints32, Object, Objects, Text, Texts};
use crate::manifest::schema::{Type, Unset, honoured, types, unsupported};

pub(super) static GRPC_ACTION: Type = Type {
    name: "GRPCAction",
    fields: &[
        honoured("port", Int32),
        honoured("service", Text),
        unsupported("mode", Text, Unset::OneOf(&["Plaintext"])),
    ],
};

pub(super) static HTTP_GET_ACTION: Type = Type {
    name: "HTTPGetAction",
    fields: &[
        honoured("host", Text),
        honoured("httpHeaders", Objects(&HTTP_HEADER)),
        honoured("path", Text),
        honoured("port", IntOrText),
        honoured("scheme", Text),
        unsupported("protocol", Text, Unset::Null),
    ],
};

types! {
    honoured;
    CONTAINER_RESTART_RULE "ContainerRestartRule" {
        action: Text, exitCodes: Object(&CONTAINER_RESTART_RULE_ON_EXIT_CODES),
    }
    CONTAINER_RESTART_RULE_ON_EXIT_CODES "ContainerRestartRuleOnExitCodes" { operator: Text, values: Ints32 }
    EXEC_ACTION "ExecAction" { command: Texts }
    HTTP_HEADER "HTTPHeader" { name: Text, value: Text }
    LIFECYCLE "Lifecycle" {
        postStart: Object(&LIFECYCLE_HANDLER), preStop: Object(&LIFECYCLE_HANDLER), stopSignal: Text,
    }
    LIFECYCLE_HANDLER "LifecycleHandler" {
        exec: Object(&EXEC_ACTION), httpGet: Object(&HTTP_GET_ACTION), sleep: Object(&SLEEP_ACTION),
        tcpSocket: Object(&TCP_SOCKET_ACTION),
    }
    PROBE "Probe" {
        exec: Object(&EXEC_ACTION), failureThreshold: Int32, grpc: Object(&GRPC_ACTION),
        httpGet: Object(&HTTP_GET_ACTION), initialDelaySeconds: Int32, periodSeconds: Int32,
        successThreshold: Int32, tcpSocket: Object(&TCP_SOCKET_ACTION), terminationGracePeriodSeconds: Int64,
        timeoutSeconds: Int32,
    }
    SLEEP_ACTION "SleepAction" { seconds: Int64 }
    TCP_SOCKET_ACTION "TCPSocketAction" { host: Text, port: IntOrText }
}
