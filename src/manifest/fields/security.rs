//! Security contexts of pods and containers.

use crate::manifest::schema::Kind::{Bool, Int64, Ints64, Object, Objects, Text, Texts};
use crate::manifest::schema::{Type, Unset, honoured, types, unsupported};
use crate::manifest::tree::Node;

pub(super) static POD_SECURITY_CONTEXT: Type = Type {
    name: "PodSecurityContext",
    fields: &[
        honoured("runAsGroup", Int64),
        honoured("runAsNonRoot", Bool),
        honoured("runAsUser", Int64),
        honoured("seccompProfile", Object(&SECCOMP_PROFILE)),
        unsupported("appArmorProfile", Object(&APP_ARMOR_PROFILE), Unset::If(is_unconfined)),
        unsupported("fsGroup", Int64, Unset::Null),
        unsupported("fsGroupChangePolicy", Text, Unset::OneOf(&["Always"])),
        // Both say how volumes get the labels of seLinuxOptions, which is refused.
        unsupported("seLinuxChangePolicy", Text, Unset::OneOf(&["MountOption", "Recursive"])),
        unsupported("seLinuxOptions", Object(&SE_LINUX_OPTIONS), Unset::Empty),
        unsupported("supplementalGroups", Ints64, Unset::Empty),
        unsupported("supplementalGroupsPolicy", Text, Unset::OneOf(&["Merge"])),
        unsupported("sysctls", Objects(&SYSCTL), Unset::Empty),
        unsupported("windowsOptions", Object(&WINDOWS_SECURITY_CONTEXT_OPTIONS), Unset::Empty),
    ],
};

pub(super) static SECURITY_CONTEXT: Type = Type {
    name: "SecurityContext",
    fields: &[
        honoured("allowPrivilegeEscalation", Bool),
        honoured("capabilities", Object(&CAPABILITIES)),
        honoured("privileged", Bool),
        honoured("readOnlyRootFilesystem", Bool),
        honoured("runAsGroup", Int64),
        honoured("runAsNonRoot", Bool),
        honoured("runAsUser", Int64),
        honoured("seccompProfile", Object(&SECCOMP_PROFILE)),
        unsupported("appArmorProfile", Object(&APP_ARMOR_PROFILE), Unset::If(is_unconfined)),
        unsupported("procMount", Text, Unset::OneOf(&["Default"])),
        unsupported("seLinuxOptions", Object(&SE_LINUX_OPTIONS), Unset::Empty),
        unsupported("windowsOptions", Object(&WINDOWS_SECURITY_CONTEXT_OPTIONS), Unset::Empty),
    ],
};

pub(super) static CAPABILITIES: Type =
    Type { name: "Capabilities", fields: &[honoured("add", Texts), honoured("drop", Texts)] };

pub(super) static SECCOMP_PROFILE: Type =
    Type { name: "SeccompProfile", fields: &[honoured("localhostProfile", Text), honoured("type", Text)] };

types! {
    part;
    APP_ARMOR_PROFILE "AppArmorProfile" { localhostProfile: Text, type: Text }
    SE_LINUX_OPTIONS "SELinuxOptions" { level: Text, role: Text, type: Text, user: Text }
    SYSCTL "Sysctl" { name: Text, value: Text }
    WINDOWS_SECURITY_CONTEXT_OPTIONS "WindowsSecurityContextOptions" {
        gmsaCredentialSpec: Text, gmsaCredentialSpecName: Text, hostProcess: Bool, runAsUserName: Text,
    }
}

fn is_unconfined(profile: &Node) -> bool {
    profile.get("type").and_then(Node::text) == Some("Unconfined")
        && profile.get("localhostProfile").is_none()
}
