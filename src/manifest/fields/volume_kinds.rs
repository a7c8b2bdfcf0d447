//! The kinds of volumes that podrun has not got yet.

use crate::manifest::fields::cluster::LABEL_SELECTOR;
use crate::manifest::fields::container_parts::{OBJECT_FIELD_SELECTOR, RESOURCE_FIELD_SELECTOR};
use crate::manifest::fields::pod::OBJECT_META;
use crate::manifest::schema::Kind::{Bool, Int32, Int64, Object, Objects, QuantityMap, Text, TextMap, Texts};
use crate::manifest::schema::types;

types! {
    part;
    AWS_ELASTIC_BLOCK_STORE_VOLUME_SOURCE "AWSElasticBlockStoreVolumeSource" {
        fsType: Text, partition: Int32, readOnly: Bool, volumeID: Text,
    }
    AZURE_DISK_VOLUME_SOURCE "AzureDiskVolumeSource" {
        cachingMode: Text, diskName: Text, diskURI: Text, fsType: Text, kind: Text, readOnly: Bool,
    }
    AZURE_FILE_VOLUME_SOURCE "AzureFileVolumeSource" { readOnly: Bool, secretName: Text, shareName: Text }
    CSI_VOLUME_SOURCE "CSIVolumeSource" {
        driver: Text, fsType: Text, nodePublishSecretRef: Object(&LOCAL_OBJECT_REFERENCE), readOnly: Bool,
        volumeAttributes: TextMap,
    }
    CEPH_FS_VOLUME_SOURCE "CephFSVolumeSource" {
        monitors: Texts, path: Text, readOnly: Bool, secretFile: Text,
        secretRef: Object(&LOCAL_OBJECT_REFERENCE), user: Text,
    }
    CINDER_VOLUME_SOURCE "CinderVolumeSource" {
        fsType: Text, readOnly: Bool, secretRef: Object(&LOCAL_OBJECT_REFERENCE), volumeID: Text,
    }
    CLUSTER_TRUST_BUNDLE_PROJECTION "ClusterTrustBundleProjection" {
        labelSelector: Object(&LABEL_SELECTOR), name: Text, optional: Bool, path: Text, signerName: Text,
        user: Int64,
    }
    CONFIG_MAP_PROJECTION "ConfigMapProjection" { items: Objects(&KEY_TO_PATH), name: Text, optional: Bool }
    CONFIG_MAP_VOLUME_SOURCE "ConfigMapVolumeSource" {
        defaultMode: Int32, defaultUser: Int64, items: Objects(&KEY_TO_PATH), name: Text, optional: Bool,
    }
    DOWNWARD_API_PROJECTION "DownwardAPIProjection" { items: Objects(&DOWNWARD_API_VOLUME_FILE) }
    DOWNWARD_API_VOLUME_FILE "DownwardAPIVolumeFile" {
        fieldRef: Object(&OBJECT_FIELD_SELECTOR), mode: Int32, path: Text,
        resourceFieldRef: Object(&RESOURCE_FIELD_SELECTOR), user: Int64,
    }
    DOWNWARD_API_VOLUME_SOURCE "DownwardAPIVolumeSource" {
        defaultMode: Int32, defaultUser: Int64, items: Objects(&DOWNWARD_API_VOLUME_FILE),
    }
    EPHEMERAL_VOLUME_SOURCE "EphemeralVolumeSource" {
        volumeClaimTemplate: Object(&PERSISTENT_VOLUME_CLAIM_TEMPLATE),
    }
    FC_VOLUME_SOURCE "FCVolumeSource" {
        fsType: Text, lun: Int32, readOnly: Bool, targetWWNs: Texts, wwids: Texts,
    }
    FLEX_VOLUME_SOURCE "FlexVolumeSource" {
        driver: Text, fsType: Text, options: TextMap, readOnly: Bool,
        secretRef: Object(&LOCAL_OBJECT_REFERENCE),
    }
    FLOCKER_VOLUME_SOURCE "FlockerVolumeSource" { datasetName: Text, datasetUUID: Text }
    GCE_PERSISTENT_DISK_VOLUME_SOURCE "GCEPersistentDiskVolumeSource" {
        fsType: Text, partition: Int32, pdName: Text, readOnly: Bool,
    }
    GIT_REPO_VOLUME_SOURCE "GitRepoVolumeSource" { directory: Text, repository: Text, revision: Text }
    GLUSTERFS_VOLUME_SOURCE "GlusterfsVolumeSource" { endpoints: Text, path: Text, readOnly: Bool }
    ISCSI_VOLUME_SOURCE "ISCSIVolumeSource" {
        chapAuthDiscovery: Bool, chapAuthSession: Bool, fsType: Text, initiatorName: Text, iqn: Text,
        iscsiInterface: Text, lun: Int32, portals: Texts, readOnly: Bool,
        secretRef: Object(&LOCAL_OBJECT_REFERENCE), targetPortal: Text,
    }
    IMAGE_VOLUME_SOURCE "ImageVolumeSource" { pullPolicy: Text, reference: Text }
    KEY_TO_PATH "KeyToPath" { key: Text, mode: Int32, path: Text, user: Int64 }
    LOCAL_OBJECT_REFERENCE "LocalObjectReference" { name: Text }
    NFS_VOLUME_SOURCE "NFSVolumeSource" { path: Text, readOnly: Bool, server: Text }
    PERSISTENT_VOLUME_CLAIM_SPEC "PersistentVolumeClaimSpec" {
        accessModes: Texts, dataSource: Object(&TYPED_LOCAL_OBJECT_REFERENCE),
        dataSourceRef: Object(&TYPED_OBJECT_REFERENCE), resources: Object(&VOLUME_RESOURCE_REQUIREMENTS),
        selector: Object(&LABEL_SELECTOR), storageClassName: Text, volumeAttributesClassName: Text,
        volumeMode: Text, volumeName: Text,
    }
    PERSISTENT_VOLUME_CLAIM_TEMPLATE "PersistentVolumeClaimTemplate" {
        metadata: Object(&OBJECT_META), spec: Object(&PERSISTENT_VOLUME_CLAIM_SPEC),
    }
    PERSISTENT_VOLUME_CLAIM_VOLUME_SOURCE "PersistentVolumeClaimVolumeSource" {
        claimName: Text, readOnly: Bool,
    }
    PHOTON_PERSISTENT_DISK_VOLUME_SOURCE "PhotonPersistentDiskVolumeSource" { fsType: Text, pdID: Text }
    POD_CERTIFICATE_PROJECTION "PodCertificateProjection" {
        certificateChainPath: Text, credentialBundlePath: Text, keyPath: Text, keyType: Text,
        maxExpirationSeconds: Int32, signerName: Text, user: Int64, userAnnotations: TextMap,
    }
    PORTWORX_VOLUME_SOURCE "PortworxVolumeSource" { fsType: Text, readOnly: Bool, volumeID: Text }
    PROJECTED_VOLUME_SOURCE "ProjectedVolumeSource" {
        defaultMode: Int32, defaultUser: Int64, sources: Objects(&VOLUME_PROJECTION),
    }
    QUOBYTE_VOLUME_SOURCE "QuobyteVolumeSource" {
        group: Text, readOnly: Bool, registry: Text, tenant: Text, user: Text, volume: Text,
    }
    RBD_VOLUME_SOURCE "RBDVolumeSource" {
        fsType: Text, image: Text, keyring: Text, monitors: Texts, pool: Text, readOnly: Bool,
        secretRef: Object(&LOCAL_OBJECT_REFERENCE), user: Text,
    }
    SCALE_IO_VOLUME_SOURCE "ScaleIOVolumeSource" {
        fsType: Text, gateway: Text, protectionDomain: Text, readOnly: Bool,
        secretRef: Object(&LOCAL_OBJECT_REFERENCE), sslEnabled: Bool, storageMode: Text, storagePool: Text,
        system: Text, volumeName: Text,
    }
    SECRET_PROJECTION "SecretProjection" { items: Objects(&KEY_TO_PATH), name: Text, optional: Bool }
    SECRET_VOLUME_SOURCE "SecretVolumeSource" {
        defaultMode: Int32, defaultUser: Int64, items: Objects(&KEY_TO_PATH), optional: Bool,
        secretName: Text,
    }
    SERVICE_ACCOUNT_TOKEN_PROJECTION "ServiceAccountTokenProjection" {
        audience: Text, expirationSeconds: Int64, path: Text, user: Int64,
    }
    STORAGE_OS_VOLUME_SOURCE "StorageOSVolumeSource" {
        fsType: Text, readOnly: Bool, secretRef: Object(&LOCAL_OBJECT_REFERENCE), volumeName: Text,
        volumeNamespace: Text,
    }
    TYPED_LOCAL_OBJECT_REFERENCE "TypedLocalObjectReference" { apiGroup: Text, kind: Text, name: Text }
    TYPED_OBJECT_REFERENCE "TypedObjectReference" { apiGroup: Text, kind: Text, name: Text, namespace: Text }
    VOLUME_PROJECTION "VolumeProjection" {
        clusterTrustBundle: Object(&CLUSTER_TRUST_BUNDLE_PROJECTION),
        configMap: Object(&CONFIG_MAP_PROJECTION), downwardAPI: Object(&DOWNWARD_API_PROJECTION),
        podCertificate: Object(&POD_CERTIFICATE_PROJECTION), secret: Object(&SECRET_PROJECTION),
        serviceAccountToken: Object(&SERVICE_ACCOUNT_TOKEN_PROJECTION),
    }
    VOLUME_RESOURCE_REQUIREMENTS "VolumeResourceRequirements" { limits: QuantityMap, requests: QuantityMap }
    VSPHERE_VIRTUAL_DISK_VOLUME_SOURCE "VsphereVirtualDiskVolumeSource" {
        fsType: Text, storagePolicyID: Text, storagePolicyName: Text, volumePath: Text,
    }
}
