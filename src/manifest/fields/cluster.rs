//! What schedulers, controllers and the API server read.

use crate::manifest::schema::Kind::{Any, Bool, Int32, Int64, Object, Objects, Text, TextMap, Texts, Time};
use crate::manifest::schema::types;

types! {
    part;
    AFFINITY "Affinity" {
        nodeAffinity: Object(&NODE_AFFINITY), podAffinity: Object(&POD_AFFINITY),
        podAntiAffinity: Object(&POD_ANTI_AFFINITY),
    }
    EVICTION_RESPONDER "EvictionResponder" { name: Text, priority: Int32 }
    LABEL_SELECTOR "LabelSelector" {
        matchExpressions: Objects(&LABEL_SELECTOR_REQUIREMENT), matchLabels: TextMap,
    }
    LABEL_SELECTOR_REQUIREMENT "LabelSelectorRequirement" { key: Text, operator: Text, values: Texts }
    MANAGED_FIELDS_ENTRY "ManagedFieldsEntry" {
        apiVersion: Text, fieldsType: Text, fieldsV1: Any, manager: Text, operation: Text, subresource: Text,
        time: Time,
    }
    NODE_AFFINITY "NodeAffinity" {
        preferredDuringSchedulingIgnoredDuringExecution: Objects(&PREFERRED_SCHEDULING_TERM),
        requiredDuringSchedulingIgnoredDuringExecution: Object(&NODE_SELECTOR),
    }
    NODE_SELECTOR "NodeSelector" { nodeSelectorTerms: Objects(&NODE_SELECTOR_TERM) }
    NODE_SELECTOR_REQUIREMENT "NodeSelectorRequirement" { key: Text, operator: Text, values: Texts }
    NODE_SELECTOR_TERM "NodeSelectorTerm" {
        matchExpressions: Objects(&NODE_SELECTOR_REQUIREMENT),
        matchFields: Objects(&NODE_SELECTOR_REQUIREMENT),
    }
    OWNER_REFERENCE "OwnerReference" {
        apiVersion: Text, blockOwnerDeletion: Bool, controller: Bool, kind: Text, name: Text, uid: Text,
    }
    POD_AFFINITY "PodAffinity" {
        preferredDuringSchedulingIgnoredDuringExecution: Objects(&WEIGHTED_POD_AFFINITY_TERM),
        requiredDuringSchedulingIgnoredDuringExecution: Objects(&POD_AFFINITY_TERM),
    }
    POD_AFFINITY_TERM "PodAffinityTerm" {
        labelSelector: Object(&LABEL_SELECTOR), matchLabelKeys: Texts, mismatchLabelKeys: Texts,
        namespaceSelector: Object(&LABEL_SELECTOR), namespaces: Texts, topologyKey: Text,
    }
    POD_ANTI_AFFINITY "PodAntiAffinity" {
        preferredDuringSchedulingIgnoredDuringExecution: Objects(&WEIGHTED_POD_AFFINITY_TERM),
        requiredDuringSchedulingIgnoredDuringExecution: Objects(&POD_AFFINITY_TERM),
    }
    POD_SCHEDULING_GATE "PodSchedulingGate" { name: Text }
    POD_SCHEDULING_GROUP "PodSchedulingGroup" { podGroupName: Text }
    PREFERRED_SCHEDULING_TERM "PreferredSchedulingTerm" {
        preference: Object(&NODE_SELECTOR_TERM), weight: Int32,
    }
    TOLERATION "Toleration" { effect: Text, key: Text, operator: Text, tolerationSeconds: Int64, value: Text }
    TOPOLOGY_SPREAD_CONSTRAINT "TopologySpreadConstraint" {
        labelSelector: Object(&LABEL_SELECTOR), matchLabelKeys: Texts, maxSkew: Int32, minDomains: Int32,
        nodeAffinityPolicy: Text, nodeTaintsPolicy: Text, topologyKey: Text, whenUnsatisfiable: Text,
    }
    WEIGHTED_POD_AFFINITY_TERM "WeightedPodAffinityTerm" {
        podAffinityTerm: Object(&POD_AFFINITY_TERM), weight: Int32,
    }
}
