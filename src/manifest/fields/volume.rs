//! Volumes.

use crate::manifest::fields::volume_kinds::{
    AWS_ELASTIC_BLOCK_STORE_VOLUME_SOURCE, AZURE_DISK_VOLUME_SOURCE, AZURE_FILE_VOLUME_SOURCE,
    CEPH_FS_VOLUME_SOURCE, CINDER_VOLUME_SOURCE, CONFIG_MAP_VOLUME_SOURCE, CSI_VOLUME_SOURCE,
    DOWNWARD_API_VOLUME_SOURCE, EPHEMERAL_VOLUME_SOURCE, FC_VOLUME_SOURCE, FLEX_VOLUME_SOURCE,
    FLOCKER_VOLUME_SOURCE, GCE_PERSISTENT_DISK_VOLUME_SOURCE, GIT_REPO_VOLUME_SOURCE,
    GLUSTERFS_VOLUME_SOURCE, IMAGE_VOLUME_SOURCE, ISCSI_VOLUME_SOURCE, NFS_VOLUME_SOURCE,
    PERSISTENT_VOLUME_CLAIM_VOLUME_SOURCE, PHOTON_PERSISTENT_DISK_VOLUME_SOURCE, PORTWORX_VOLUME_SOURCE,
    PROJECTED_VOLUME_SOURCE, QUOBYTE_VOLUME_SOURCE, RBD_VOLUME_SOURCE, SCALE_IO_VOLUME_SOURCE,
    SECRET_VOLUME_SOURCE, STORAGE_OS_VOLUME_SOURCE, VSPHERE_VIRTUAL_DISK_VOLUME_SOURCE,
};
use crate::manifest::schema::Kind::{Int32, Object, Quantity, Text};
use crate::manifest::schema::{Type, Unset, honoured, unsupported};

pub(in crate::manifest) static VOLUME: Type = Type {
    name: "Volume",
    fields: &[
        honoured("emptyDir", Object(&EMPTY_DIR_VOLUME_SOURCE)),
        honoured("hostPath", Object(&HOST_PATH_VOLUME_SOURCE)),
        honoured("name", Text),
        unsupported("awsElasticBlockStore", Object(&AWS_ELASTIC_BLOCK_STORE_VOLUME_SOURCE), Unset::Null),
        unsupported("azureDisk", Object(&AZURE_DISK_VOLUME_SOURCE), Unset::Null),
        unsupported("azureFile", Object(&AZURE_FILE_VOLUME_SOURCE), Unset::Null),
        unsupported("cephfs", Object(&CEPH_FS_VOLUME_SOURCE), Unset::Null),
        unsupported("cinder", Object(&CINDER_VOLUME_SOURCE), Unset::Null),
        unsupported("configMap", Object(&CONFIG_MAP_VOLUME_SOURCE), Unset::Null),
        unsupported("csi", Object(&CSI_VOLUME_SOURCE), Unset::Null),
        unsupported("downwardAPI", Object(&DOWNWARD_API_VOLUME_SOURCE), Unset::Null),
        unsupported("ephemeral", Object(&EPHEMERAL_VOLUME_SOURCE), Unset::Null),
        unsupported("fc", Object(&FC_VOLUME_SOURCE), Unset::Null),
        unsupported("flexVolume", Object(&FLEX_VOLUME_SOURCE), Unset::Null),
        unsupported("flocker", Object(&FLOCKER_VOLUME_SOURCE), Unset::Null),
        unsupported("gcePersistentDisk", Object(&GCE_PERSISTENT_DISK_VOLUME_SOURCE), Unset::Null),
        unsupported("gitRepo", Object(&GIT_REPO_VOLUME_SOURCE), Unset::Null),
        unsupported("glusterfs", Object(&GLUSTERFS_VOLUME_SOURCE), Unset::Null),
        unsupported("image", Object(&IMAGE_VOLUME_SOURCE), Unset::Null),
        unsupported("iscsi", Object(&ISCSI_VOLUME_SOURCE), Unset::Null),
        unsupported("nfs", Object(&NFS_VOLUME_SOURCE), Unset::Null),
        unsupported("persistentVolumeClaim", Object(&PERSISTENT_VOLUME_CLAIM_VOLUME_SOURCE), Unset::Null),
        unsupported("photonPersistentDisk", Object(&PHOTON_PERSISTENT_DISK_VOLUME_SOURCE), Unset::Null),
        unsupported("portworxVolume", Object(&PORTWORX_VOLUME_SOURCE), Unset::Null),
        unsupported("projected", Object(&PROJECTED_VOLUME_SOURCE), Unset::Null),
        unsupported("quobyte", Object(&QUOBYTE_VOLUME_SOURCE), Unset::Null),
        unsupported("rbd", Object(&RBD_VOLUME_SOURCE), Unset::Null),
        unsupported("scaleIO", Object(&SCALE_IO_VOLUME_SOURCE), Unset::Null),
        unsupported("secret", Object(&SECRET_VOLUME_SOURCE), Unset::Null),
        unsupported("storageos", Object(&STORAGE_OS_VOLUME_SOURCE), Unset::Null),
        unsupported("vsphereVolume", Object(&VSPHERE_VIRTUAL_DISK_VOLUME_SOURCE), Unset::Null),
    ],
};

pub(super) static EMPTY_DIR_VOLUME_SOURCE: Type = Type {
    name: "EmptyDirVolumeSource",
    fields: &[
        honoured("medium", Text),
        honoured("sizeLimit", Quantity),
        unsupported("mode", Int32, Unset::Null),
    ],
};

pub(super) static HOST_PATH_VOLUME_SOURCE: Type =
    Type { name: "HostPathVolumeSource", fields: &[honoured("path", Text), honoured("type", Text)] };
