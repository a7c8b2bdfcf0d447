//! Archives of images, made by hand, header by header, so that no library tidies them up.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

/// An entry in the making.
pub struct Entry<'a> {
    /// Its path.
    pub path: &'a str,
    /// Type flag.
    pub kind: u8,
    /// Target of a link.
    pub link: &'a str,
    /// What is in it.
    pub data: &'a [u8],
    /// The size it claims, if not its data's.
    pub size: Option<u64>,
    /// Permission bits.
    pub mode: u32,
    /// User and group.
    pub owner: (u32, u32),
    /// Seconds since the epoch.
    pub mtime: u64,
    /// Major and minor number.
    pub device: (u32, u32),
}

/// An entry of a kind, with the mode that such have.
pub fn entry<'a>(path: &'a str, kind: u8) -> Entry<'a> {
    let mode = if kind == b'5' { 0o755 } else { 0o644 };
    Entry { path, kind, link: "", data: b"", size: None, mode, owner: (0, 0), mtime: 1000, device: (0, 0) }
}

/// A file.
pub fn file<'a>(path: &'a str, data: &'a str) -> Entry<'a> {
    Entry { data: data.as_bytes(), ..entry(path, b'0') }
}

/// A directory.
pub fn dir(path: &str) -> Entry<'_> {
    entry(path, b'5')
}

/// A hard link (`1`) or a symbolic link (`2`).
pub fn link<'a>(kind: u8, path: &'a str, target: &'a str) -> Entry<'a> {
    Entry { link: target, ..entry(path, kind) }
}

/// A tar archive in the making.
#[derive(Default, Clone)]
pub struct Tar(pub Vec<u8>);

impl Tar {
    /// Adds an entry.
    pub fn add(mut self, entry: &Entry<'_>) -> Self {
        let mut block = [0; 512];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, entry.path.as_bytes());
        put(100, format!("{:07o}", entry.mode).as_bytes());
        put(108, format!("{:07o}", entry.owner.0).as_bytes());
        put(116, format!("{:07o}", entry.owner.1).as_bytes());
        put(124, format!("{:011o}", entry.size.unwrap_or(entry.data.len() as u64)).as_bytes());
        put(136, format!("{:011o}", entry.mtime).as_bytes());
        put(148, b"        ");
        put(156, &[entry.kind]);
        put(157, entry.link.as_bytes());
        put(257, b"ustar\x0000");
        put(329, format!("{:07o}", entry.device.0).as_bytes());
        put(337, format!("{:07o}", entry.device.1).as_bytes());
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        self.0.extend(block);
        self.0.extend(entry.data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// An archive of entries, without its end.
    pub fn all(entries: &[Entry<'_>]) -> Self {
        entries.iter().fold(Self::default(), Self::add)
    }

    /// An extended header for the entry that follows.
    pub fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut data = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let length = (rest + 1..).find(|length| rest + length.to_string().len() == *length).expect("one");
            data.extend([length.to_string().as_bytes(), b" ", key.as_bytes(), b"=", value, b"\n"].concat());
        }
        self.add(&Entry { data: &data, ..entry("pax", b'x') })
    }

    /// The bytes, with the end.
    pub fn end(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }
}

/// SHA-256 in hexadecimal digits.
pub fn sha(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Packed by gzip.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// Packed by zstd.
pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    // A frame to be skipped, and two of data: what writers of chunked layers make.
    let half = bytes.len() / 2;
    let frame =
        |part: &[u8]| ruzstd::encoding::compress_to_vec(part, ruzstd::encoding::CompressionLevel::Fastest);
    [&b"\x50\x2a\x4d\x18\x03\0\0\0abc"[..], &frame(&bytes[..half]), &frame(&bytes[half..])].concat()
}

/// A config of these layers.
pub fn config(layers: &[Vec<u8>]) -> Vec<u8> {
    let diff_ids: Vec<String> = layers.iter().map(|layer| format!("sha256:{}", sha(layer))).collect();
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }, "os": "linux",
        "created": "2026-01-02T03:04:05Z", "config": {"Cmd": ["/bin/x"], "Env": ["A=b"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    config.to_string().into_bytes()
}

/// What `docker save` writes, with files changed as the test likes.
pub fn docker_files(tags: &Value, layers: &[Vec<u8>]) -> BTreeMap<String, Vec<u8>> {
    let config = config(layers);
    let names: Vec<String> = (0..layers.len()).map(|number| format!("{number}/layer.tar")).collect();
    let config_name = format!("{}.json", sha(&config));
    let manifest = json!([{"Config": config_name, "RepoTags": tags, "Layers": names}]);
    let layers = names.into_iter().zip(layers.iter().cloned());
    let documents = [("manifest.json".to_owned(), manifest.to_string().into_bytes()), (config_name, config)];
    layers.chain(documents).collect()
}

/// A tar archive of files.
pub fn archive(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let add = |tar: Tar, (path, data): (&String, &Vec<u8>)| tar.add(&Entry { data, ..entry(path, b'0') });
    files.iter().fold(Tar::default(), add).end()
}

/// What `docker save` writes.
pub fn docker(tags: &Value, layers: &[Vec<u8>]) -> Vec<u8> {
    archive(&docker_files(tags, layers))
}

/// Packs a layer.
pub type Pack = fn(&[u8]) -> Vec<u8>;

/// An OCI image layout whose layers are packed.
pub fn oci_files(name: &str, layers: &[Vec<u8>], pack: Pack) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut blob = |kind: &str, bytes: Vec<u8>| {
        let found =
            json!({"mediaType": kind, "digest": format!("sha256:{}", sha(&bytes)), "size": bytes.len()});
        files.insert(format!("blobs/sha256/{}", sha(&bytes)), bytes);
        found
    };
    let packed: Vec<Value> =
        layers.iter().map(|layer| blob("application/vnd.oci.image.layer.v1.tar+x", pack(layer))).collect();
    let config = blob("application/vnd.oci.image.config.v1+json", config(layers));
    let manifest = json!({"schemaVersion": 2, "config": config, "layers": packed}).to_string().into_bytes();
    let mut manifest = blob("application/vnd.oci.image.manifest.v1+json", manifest);
    manifest["annotations"] = json!({"org.opencontainers.image.ref.name": name});
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    files.insert("index.json".into(), index.to_string().into_bytes());
    files.insert("oci-layout".into(), br#"{"imageLayoutVersion": "1.0.0"}"#.into());
    files
}

/// Writes files into a folder.
pub fn write_tree(folder: &Path, files: &BTreeMap<String, Vec<u8>>) {
    for (name, bytes) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, bytes).expect("a file");
    }
}
