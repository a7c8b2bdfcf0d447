//! The Pod itself.

use crate::manifest::fields::cluster::{
    AFFINITY, EVICTION_RESPONDER, MANAGED_FIELDS_ENTRY, OWNER_REFERENCE, POD_SCHEDULING_GATE,
    POD_SCHEDULING_GROUP, TOLERATION, TOPOLOGY_SPREAD_CONSTRAINT,
};
use crate::manifest::fields::container::{CONTAINER, RESOURCE_REQUIREMENTS};
use crate::manifest::fields::container_parts::EPHEMERAL_CONTAINER;
use crate::manifest::fields::security::POD_SECURITY_CONTEXT;
use crate::manifest::fields::volume::VOLUME;
use crate::manifest::fields::volume_kinds::LOCAL_OBJECT_REFERENCE;
use crate::manifest::schema::Kind::{
    Any, Bool, Int32, Int64, Object, Objects, QuantityMap, Text, TextMap, Texts, Time,
};
use crate::manifest::schema::{Type, Unset, cluster, honoured, types, unsupported};

pub(in crate::manifest) static POD: Type = Type {
    name: "Pod",
    fields: &[
        honoured("apiVersion", Text),
        honoured("kind", Text),
        honoured("metadata", Object(&OBJECT_META)),
        honoured("spec", Object(&POD_SPEC)),
        // Written by a server of any version and read by nobody, so its fields are not looked at.
        cluster("status", Any),
    ],
};

pub(super) static OBJECT_META: Type = Type {
    name: "ObjectMeta",
    fields: &[
        honoured("annotations", TextMap),
        honoured("labels", TextMap),
        honoured("name", Text),
        honoured("namespace", Text),
        cluster("creationTimestamp", Time),
        cluster("deletionGracePeriodSeconds", Int64),
        cluster("deletionTimestamp", Time),
        cluster("finalizers", Texts),
        cluster("generateName", Text), // what a controller made the name from
        cluster("generation", Int64),
        cluster("managedFields", Objects(&MANAGED_FIELDS_ENTRY)),
        cluster("ownerReferences", Objects(&OWNER_REFERENCE)),
        cluster("resourceVersion", Text),
        cluster("selfLink", Text),
        cluster("uid", Text),
    ],
};

static POD_SPEC: Type = Type {
    name: "PodSpec",
    fields: &[
        honoured("activeDeadlineSeconds", Int64),
        honoured("containers", Objects(&CONTAINER)),
        honoured("hostNetwork", Bool),
        honoured("hostname", Text),
        honoured("initContainers", Objects(&CONTAINER)),
        honoured("os", Object(&POD_OS)), // linux; another is refused
        honoured("restartPolicy", Text),
        honoured("securityContext", Object(&POD_SECURITY_CONTEXT)),
        honoured("shareProcessNamespace", Bool),
        honoured("terminationGracePeriodSeconds", Int64),
        honoured("volumes", Objects(&VOLUME)),
        cluster("affinity", Object(&AFFINITY)),
        cluster("automountServiceAccountToken", Bool),
        cluster("enableServiceLinks", Bool),
        cluster("evictionResponders", Objects(&EVICTION_RESPONDER)),
        // They name Secrets of the cluster; a kubelet that cannot find one pulls without it.
        cluster("imagePullSecrets", Objects(&LOCAL_OBJECT_REFERENCE)),
        cluster("nodeName", Text),
        cluster("nodeSelector", TextMap),
        cluster("preemptionPolicy", Text),
        cluster("priority", Int32),
        cluster("priorityClassName", Text),
        cluster("schedulerName", Text),
        cluster("schedulingGates", Objects(&POD_SCHEDULING_GATE)),
        cluster("schedulingGroup", Object(&POD_SCHEDULING_GROUP)),
        cluster("serviceAccount", Text),
        cluster("serviceAccountName", Text),
        cluster("tolerations", Objects(&TOLERATION)),
        cluster("topologySpreadConstraints", Objects(&TOPOLOGY_SPREAD_CONSTRAINT)),
        unsupported("dnsConfig", Object(&POD_DNS_CONFIG), Unset::Empty),
        // Without a cluster's DNS all three mean the host's resolv.conf, as for a kubelet that was given no clusterDNS.
        unsupported("dnsPolicy", Text, Unset::OneOf(&["ClusterFirst", "ClusterFirstWithHostNet", "Default"])),
        unsupported("ephemeralContainers", Objects(&EPHEMERAL_CONTAINER), Unset::Empty),
        unsupported("hostAliases", Objects(&HOST_ALIAS), Unset::Empty),
        unsupported("hostIPC", Bool, Unset::Bool(false)),
        unsupported("hostPID", Bool, Unset::Bool(false)),
        unsupported("hostUsers", Bool, Unset::Bool(true)),
        unsupported("hostnameOverride", Text, Unset::Null),
        unsupported("overhead", QuantityMap, Unset::Empty),
        unsupported("readinessGates", Objects(&POD_READINESS_GATE), Unset::Empty),
        unsupported("resourceClaims", Objects(&POD_RESOURCE_CLAIM), Unset::Empty),
        unsupported("resources", Object(&RESOURCE_REQUIREMENTS), Unset::Empty),
        unsupported("runtimeClassName", Text, Unset::Empty),
        unsupported("setHostnameAsFQDN", Bool, Unset::Bool(false)),
        unsupported("subdomain", Text, Unset::Empty),
    ],
};

types! {
    part;
    HOST_ALIAS "HostAlias" { hostnames: Texts, ip: Text }
    POD_DNS_CONFIG "PodDNSConfig" {
        nameservers: Texts, options: Objects(&POD_DNS_CONFIG_OPTION), searches: Texts,
    }
    POD_DNS_CONFIG_OPTION "PodDNSConfigOption" { name: Text, value: Text }
    POD_READINESS_GATE "PodReadinessGate" { conditionType: Text }
    POD_RESOURCE_CLAIM "PodResourceClaim" {
        name: Text, resourceClaimName: Text, resourceClaimTemplateName: Text,
    }
}

types! {
    honoured;
    POD_OS "PodOS" { name: Text }
}
