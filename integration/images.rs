//! The image store: every kind of source, what is unpacked, what is refused, kills, races, removal.
//!
//! Archives are made by hand, header by header, so that no library tidies them up.

use crate::harness::command::Outcome;
use crate::harness::{Case, Runtime, Test, case, machine, note, runtime::path_text, skip, sources};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use podrun::image::{Image, Store, user};
use podrun::state::layout::Layout;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};

pub fn cases() -> Vec<Case> {
    vec![
        case!(images_of_the_project_are_imported),
        case!(docker_archives_are_imported),
        case!(oci_layouts_are_imported),
        case!(root_file_systems_are_imported),
        case!(layers_have_what_the_archive_says),
        case!(overlayfs_shows_what_layers_mean),
        case!(whiteouts_hold_in_any_order),
        case!(links_lead_nowhere_outside),
        case!(hostile_layers_are_refused),
        case!(hostile_archives_are_refused),
        case!(bombs_are_refused).seconds(300),
        case!(names_are_given_and_taken),
        case!(images_share_layers),
        case!(users_are_those_of_the_image),
        case!(import_killed).seconds(900),
        case!(remove_killed).seconds(600),
        case!(concurrent_imports_and_removals_end_well).seconds(180),
    ]
}

// --- archives by hand ---------------------------------------------------------------------------------------------------

/// An entry in the making.
struct Entry<'a> {
    path: &'a str,
    kind: u8,
    link: &'a str,
    data: &'a [u8],
    size: Option<u64>,
    mode: u32,
    owner: (u32, u32),
    mtime: u64,
    device: (u32, u32),
}

fn entry<'a>(path: &'a str, kind: u8) -> Entry<'a> {
    let mode = if kind == b'5' { 0o755 } else { 0o644 };
    Entry { path, kind, link: "", data: b"", size: None, mode, owner: (0, 0), mtime: 1000, device: (0, 0) }
}

fn file<'a>(path: &'a str, data: &'a str) -> Entry<'a> {
    Entry { data: data.as_bytes(), ..entry(path, b'0') }
}

fn dir(path: &str) -> Entry<'_> {
    entry(path, b'5')
}

fn link<'a>(kind: u8, path: &'a str, target: &'a str) -> Entry<'a> {
    Entry { link: target, ..entry(path, kind) }
}

/// A tar archive in the making.
#[derive(Default, Clone)]
struct Tar(Vec<u8>);

impl Tar {
    fn add(mut self, entry: &Entry<'_>) -> Self {
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

    fn all(entries: &[Entry<'_>]) -> Self {
        entries.iter().fold(Self::default(), Self::add)
    }

    /// An extended header for the entry that follows.
    fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut data = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let length = (rest + 1..).find(|length| rest + length.to_string().len() == *length).expect("one");
            data.extend([length.to_string().as_bytes(), b" ", key.as_bytes(), b"=", value, b"\n"].concat());
        }
        self.add(&Entry { data: &data, ..entry("pax", b'x') })
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }
}

fn sha(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    // A frame to be skipped, and two of data: what writers of chunked layers make.
    let half = bytes.len() / 2;
    let frame =
        |part: &[u8]| ruzstd::encoding::compress_to_vec(part, ruzstd::encoding::CompressionLevel::Fastest);
    [&b"\x50\x2a\x4d\x18\x03\0\0\0abc"[..], &frame(&bytes[..half]), &frame(&bytes[half..])].concat()
}

fn config(layers: &[Vec<u8>]) -> Vec<u8> {
    let diff_ids: Vec<String> = layers.iter().map(|layer| format!("sha256:{}", sha(layer))).collect();
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }, "os": "linux",
        "created": "2026-01-02T03:04:05Z", "config": {"Cmd": ["/bin/x"], "Env": ["A=b"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    config.to_string().into_bytes()
}

/// What `docker save` writes, with files changed as the test likes.
fn docker_files(tags: &Value, layers: &[Vec<u8>]) -> BTreeMap<String, Vec<u8>> {
    let config = config(layers);
    let names: Vec<String> = (0..layers.len()).map(|number| format!("{number}/layer.tar")).collect();
    let config_name = format!("{}.json", sha(&config));
    let manifest = json!([{"Config": config_name, "RepoTags": tags, "Layers": names}]);
    let layers = names.into_iter().zip(layers.iter().cloned());
    let documents = [("manifest.json".to_owned(), manifest.to_string().into_bytes()), (config_name, config)];
    layers.chain(documents).collect()
}

fn archive(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let add = |tar: Tar, (path, data): (&String, &Vec<u8>)| tar.add(&Entry { data, ..entry(path, b'0') });
    files.iter().fold(Tar::default(), add).end()
}

fn docker(tags: &Value, layers: &[Vec<u8>]) -> Vec<u8> {
    archive(&docker_files(tags, layers))
}

/// An OCI image layout whose layers are packed.
fn oci_files(name: &str, layers: &[Vec<u8>], pack: fn(&[u8]) -> Vec<u8>) -> BTreeMap<String, Vec<u8>> {
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

fn write_tree(folder: &Path, files: &BTreeMap<String, Vec<u8>>) {
    for (name, bytes) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, bytes).expect("a file");
    }
}

// --- the store ----------------------------------------------------------------------------------------------------------

fn store(podrun: &Runtime) -> Store {
    Store::new(&Layout::new(&podrun.root(), &podrun.data_root()).expect("absolute paths"))
}

#[track_caller]
fn image(podrun: &Runtime, text: &str) -> Image {
    let found = store(podrun).lookup(text).expect("a store");
    found.unwrap_or_else(|| panic!("there is no image {text:?}"))
}

fn import_file(t: &Test, bytes: &[u8], words: &[&str]) -> Outcome {
    let path = path_text(&t.file("archive", bytes));
    t.podrun().run(&[&["image", "import", &path], words].concat())
}

/// Imports a layer of one archive, and tells where it is.
#[track_caller]
fn layer(t: &Test, tar: Tar) -> PathBuf {
    import_file(t, &docker(&json!(["x"]), &[tar.end()]), &[]).ok();
    image(&t.podrun(), "x").layers[0].clone()
}

/// What is in the store's directories, that of a store without images left out.
fn left(podrun: &Runtime) -> Vec<String> {
    let mut found = Vec::new();
    for folder in ["layers", "images/blobs/sha256", "images"] {
        let entries = std::fs::read_dir(podrun.data_root().join(folder)).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        found.extend(names.filter(|name| !["blobs", "oci-layout", "index.json"].contains(&name.as_str())));
    }
    let index = std::fs::read_to_string(podrun.data_root().join("images/index.json")).unwrap_or_default();
    if index.contains("sha256") {
        found.push(index);
    }
    found
}

#[track_caller]
fn nothing_left(podrun: &Runtime, after: &str) {
    let left = left(podrun);
    assert!(left.is_empty(), "left after {after}: {left:#?}");
}

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path.as_ref()).unwrap_or_else(|error| panic!("{:?}: {error}", path.as_ref()))
}

fn is_whiteout(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|meta| meta.file_type().is_char_device() && meta.rdev() == 0)
}

fn attribute(path: &Path, name: &str) -> Option<Vec<u8>> {
    let file = std::fs::File::open(path).expect("a file");
    let name = std::ffi::CString::new(name).expect("a name");
    podrun::sys::xattr::get(file.as_fd(), &name).ok()
}

// --- sources ------------------------------------------------------------------------------------------------------------

fn images_of_the_project_are_imported(t: &Test) {
    let podrun = t.podrun();
    for name in ["probe", "busybox", "nginx"] {
        let path = path_text(&sources::project().join(format!("rootfs/build/images/{name}.tar")));
        let outcome = podrun.run(&["image", "import", &path]).ok().quietly();
        assert_eq!(outcome.stdout, format!("docker.io/library/{name}:latest\n"));
    }
    let nginx = image(&podrun, "nginx");
    assert_eq!(nginx.config.cmd, ["nginx", "-g", "daemon off;"]);
    assert!(nginx.config.exposed_ports.contains("80/tcp") && nginx.size < 20_000_000);
    assert_eq!(nginx.layers[1], image(&podrun, "busybox").layers[0]);
    assert_eq!(user::resolve(&nginx.layers, "www-data").expect("a user").uid, 33);
    let list = podrun.run(&["image", "list"]).ok().stdout;
    assert!(list.starts_with("REPOSITORY ") && list.contains("IMAGE ID") && list.contains(&nginx.id[7..19]));
    assert!(list.contains("docker.io/library/nginx"), "{list}");
    let objects = podrun.run(&["image", "list", "-o", "json"]).ok().json();
    assert!(objects.as_array().is_some_and(|all| all.len() == 3 && all[0]["names"][0].is_string()));
    assert_eq!(podrun.run(&["image", "list", "-q"]).ok().stdout.lines().count(), 3);
}

fn docker_archives_are_imported(t: &Test) {
    let podrun = t.podrun();
    let layers = [Tar::all(&[file("a", "one")]).end(), Tar::all(&[file("b", "two")]).end()];
    let bytes = docker(&json!(["x:1", "r.example/y:2"]), &layers);
    for (how, bytes) in [("plain", bytes.clone()), ("gzip", gzip(&bytes)), ("zstd", zstd(&bytes))] {
        let outcome = import_file(t, &bytes, &[]).ok();
        assert_eq!(outcome.stdout, "docker.io/library/x:1\nr.example/y:2\n", "{how}");
        let found = image(&podrun, "x:1");
        assert_eq!(found.id, format!("sha256:{}", sha(&config(&layers))));
        assert_eq!(
            (read(found.layers[0].join("b")), read(found.layers[1].join("a"))),
            ("two".into(), "one".into())
        );
        podrun.run(&["image", "remove", "--force", &found.id]).ok();
        nothing_left(&podrun, how);
    }
    // Packed layers in it, links instead of files, and an archive that comes through a pipe.
    let mut files = docker_files(&Value::Null, &layers);
    files.insert("0/layer.tar".into(), gzip(&layers[0]));
    files.remove("1/layer.tar");
    let tar =
        files.iter().fold(Tar::default(), |tar, (path, data)| tar.add(&Entry { data, ..entry(path, b'0') }));
    let tar = tar.add(&Entry { data: &layers[1], ..entry("shared/layer.tar", b'0') });
    let bytes = tar.add(&link(b'2', "1/layer.tar", "../shared/layer.tar")).end();
    import_file(t, &bytes, &[])
        .refused(&["does not say what its image is called", "image import ARCHIVE NAME"]);
    nothing_left(&podrun, "an archive without names");
    podrun.cmd(&["image", "import", "-", "piped"]).input(bytes).run().ok();
    assert_eq!(read(image(&podrun, "piped").layers[0].join("b")), "two");
}

fn oci_layouts_are_imported(t: &Test) {
    let podrun = t.podrun();
    let layers = [Tar::all(&[file("a", "one")]).end(), Tar::all(&[file("b", "two")]).end()];
    let packings: [(&str, fn(&[u8]) -> Vec<u8>); 3] =
        [("plain", <[u8]>::to_vec), ("gzip", gzip), ("zstd", zstd)];
    for (how, pack) in packings {
        let files = oci_files("r.example/x:1", &layers, pack);
        let folder = t.path(how);
        write_tree(&folder, &files);
        for source in [folder, t.file("layout.tar", archive(&files))] {
            podrun.run(&["image", "import", &path_text(&source)]).ok();
            let found = image(&podrun, "r.example/x:1");
            assert_eq!(read(found.layers[0].join("b")), "two");
            // The manifest is kept to the byte, so its digest names the image.
            let by_digest = format!("r.example/x@{}", found.digests[0]);
            assert_eq!(image(&podrun, &by_digest).id, found.id);
            assert!(files.contains_key(&format!("blobs/sha256/{}", &found.digests[0][7..])));
            podrun.run(&["image", "remove", "r.example/x:1"]).ok();
            nothing_left(&podrun, how);
        }
    }
    // A name that is only a tag is none; a manifest for another machine is not taken.
    let files = oci_files("latest", &layers, gzip);
    import_file(t, &archive(&files), &[]).refused(&["does not say what its image is called"]);
    let mut other = files.clone();
    let mut index: Value = serde_json::from_slice(&files["index.json"]).expect("JSON");
    index["manifests"][0]["platform"] = json!({"architecture": "s390x", "os": "linux"});
    other.insert("index.json".into(), index.to_string().into_bytes());
    import_file(t, &archive(&other), &["x"]).refused(&["no image for linux/", "linux/s390x"]);
    nothing_left(&podrun, "refusals");
}

fn root_file_systems_are_imported(t: &Test) {
    let podrun = t.podrun();
    let tar = Tar::all(&[dir("./"), dir("./bin"), file("./bin/x", "program")]).end();
    for (how, bytes) in [("plain", tar.clone()), ("gzip", gzip(&tar)), ("zstd", zstd(&tar))] {
        import_file(t, &bytes, &["-c", "CMD [\"/bin/x\"]", "-c", "ENV A=b c", "mine"]).ok();
        let found = image(&podrun, "mine");
        assert_eq!(
            (found.config.cmd, found.config.env),
            (vec!["/bin/x".to_owned()], vec!["A=b c".to_owned()]),
            "{how}"
        );
        assert_eq!(read(found.layers[0].join("bin/x")), "program");
    }
    import_file(t, &tar, &[]).refused(&["does not say what its image is called"]);
    import_file(t, &tar[..tar.len() - 1024], &["cut"]).refused(&["it has no end"]);
    import_file(t, &docker(&json!(["x"]), &[tar]), &["-c", "USER 1", "x"]).refused(&["leave --change out"]);
    // The three differ in the time of their config; the last has the name.
    podrun.run(&["image", "remove", "mine"]).ok();
    podrun.run(&["image", "prune"]).ok();
    nothing_left(&podrun, "removal");

    let folder = t.directory("folder");
    let long = "n".repeat(200);
    std::fs::create_dir_all(folder.join("sub").join(&long)).expect("a folder");
    std::fs::write(folder.join("sub").join(&long).join("f"), "deep").expect("a file");
    std::fs::hard_link(folder.join("sub").join(&long).join("f"), folder.join("twin")).expect("a link");
    std::os::unix::fs::symlink("/nowhere", folder.join("link")).expect("a link");
    std::fs::write(folder.join("suid"), "s").expect("a file");
    std::os::unix::fs::chown(folder.join("suid"), Some(3_000_000), Some(7)).expect("an owner");
    std::fs::set_permissions(folder.join("suid"), std::fs::Permissions::from_mode(0o4755)).expect("a mode");
    podrun.run(&["image", "import", &path_text(&folder), "folder"]).ok();
    let layer = image(&podrun, "folder").layers[0].clone();
    let (deep, twin) = (layer.join("sub").join(&long).join("f"), layer.join("twin"));
    assert_eq!(read(&deep), "deep");
    assert_eq!(deep.metadata().expect("meta").ino(), twin.metadata().expect("meta").ino());
    assert_eq!(layer.join("link").read_link().expect("a link"), Path::new("/nowhere"));
    let suid = layer.join("suid").metadata().expect("meta");
    assert_eq!((suid.uid(), suid.gid(), suid.mode() & 0o7777), (3_000_000, 7, 0o4755));
}

// --- what is unpacked ---------------------------------------------------------------------------------------------------

fn layers_have_what_the_archive_says(t: &Test) {
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let long = format!("{}/{}", "d".repeat(150), "f".repeat(150));
    let tar = Tar::default()
        .add(&Entry { mode: 0o1777, owner: (5, 6), ..dir("tmp/") })
        .add(&Entry { mode: 0o6755, owner: (1000, 1001), mtime: 5, ..file("suid", "s") })
        .add(&link(b'1', "twin", "suid"))
        .add(&link(b'2', "abs", "/etc/passwd"))
        .add(&Entry { owner: (8, 9), ..entry("fifo", b'6') })
        .pax(&[("path", long.as_bytes()), ("mtime", b"12.5")])
        .add(&file("short", "long"))
        .pax(&[
            ("SCHILY.xattr.security.capability", &capability),
            ("SCHILY.xattr.user.note", b"a\0b"),
            ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
            ("SCHILY.xattr.trusted.other", b"y"),
            ("SCHILY.xattr.user.overlay.opaque", b"y"),
        ])
        .add(&Entry { mode: 0o755, ..file("ping", "p") })
        .pax(&[("SCHILY.xattr.trusted.overlay.opaque", b"y")])
        .add(&dir("plain"))
        .pax(&[
            ("GNU.sparse.map", b"4096,3"),
            ("GNU.sparse.size", b"1000000"),
            ("GNU.sparse.name", b"sparse"),
        ])
        .add(&file("x", "abc"))
        .add(&file("/absolute", "inside"))
        .add(&file("made/up/parents/f", "x"))
        .add(&file("twice", "first"))
        .add(&file("twice", "second"));
    let layer = layer(t, tar);
    let meta =
        |path: &str| layer.join(path).symlink_metadata().unwrap_or_else(|error| panic!("{path}: {error}"));
    assert_eq!((meta("tmp").mode() & 0o7777, meta("tmp").uid(), meta("tmp").gid()), (0o1777, 5, 6));
    assert_eq!((meta("tmp").mtime(), meta("suid").mtime()), (1000, 5));
    assert_eq!((meta("suid").mode() & 0o7777, meta("suid").uid(), meta("suid").gid()), (0o6755, 1000, 1001));
    assert_eq!((meta("twin").ino(), meta("twin").nlink()), (meta("suid").ino(), 2));
    assert_eq!(layer.join("abs").read_link().expect("a link"), Path::new("/etc/passwd"));
    assert!(meta("fifo").file_type().is_fifo() && meta("fifo").uid() == 8);
    assert_eq!(read(layer.join(&long)), "long");
    assert_eq!((meta(&long).mtime(), meta(&long).mtime_nsec()), (12, 500_000_000));
    assert_eq!(attribute(&layer.join("ping"), "security.capability").as_deref(), Some(&capability[..]));
    assert_eq!(attribute(&layer.join("ping"), "user.note").as_deref(), Some(&b"a\0b"[..]));
    for (path, name) in [
        ("ping", "trusted.overlay.opaque"),
        ("ping", "trusted.other"),
        ("ping", "user.overlay.opaque"),
        ("plain", "trusted.overlay.opaque"),
    ] {
        assert_eq!(attribute(&layer.join(path), name), None, "{path} {name}");
    }
    assert_eq!(meta("sparse").size(), 1_000_000);
    assert!(meta("sparse").blocks() < 100 && read(layer.join("sparse")).trim_matches('\0') == "abc");
    assert_eq!(read(layer.join("absolute")), "inside");
    assert_eq!(read(layer.join("twice")), "second");
    // Nobody but root comes as far as the setuid file.
    let layers = layer.parent().expect("the layers").metadata().expect("meta");
    assert_eq!((layers.mode() & 0o7777, layers.uid()), (0o700, 0));
}

fn overlayfs_shows_what_layers_mean(t: &Test) {
    let podrun = t.podrun();
    let lower = Tar::all(&[
        dir("d"),
        file("d/old", "o"),
        file("d/kept", "k"),
        dir("o"),
        file("o/old", "o"),
        file("gone", "g"),
    ]);
    let upper = Tar::all(&[
        dir("d"),
        file("d/.wh.old", ""),
        file(".wh.gone", ""),
        dir("o"),
        file("o/.wh..wh..opq", ""),
        file("o/new", "n"),
        file("top", "t"),
    ]);
    // The lowest once more on top, which overlayfs would refuse to have twice.
    let layers = [lower.clone().end(), upper.end(), Tar::all(&[file("last", "l")]).end()];
    import_file(t, &docker(&json!(["x"]), &layers), &[]).ok();
    let found = image(&podrun, "x");
    assert!(is_whiteout(&found.layers[1].join("d/old")) && is_whiteout(&found.layers[1].join("gone")));
    assert_eq!(attribute(&found.layers[1].join("o"), "trusted.overlay.opaque").as_deref(), Some(&b"y"[..]));
    let again = [lower.clone().end(), layers[1].clone(), lower.end()];
    import_file(t, &docker(&json!(["y"]), &again), &[]).ok();
    let twice = image(&podrun, "y");
    assert_eq!(twice.layers.len(), 2);
    let seen = |image: &Image| {
        let point = t.directory("merged");
        let layers: Vec<String> = image.layers.iter().map(|layer| path_text(layer)).collect();
        let options = format!("lowerdir={}", layers.join(":"));
        mount(Some("overlay"), &point, Some("overlay"), MsFlags::MS_RDONLY, Some(options.as_str()))
            .expect("a mount");
        let exist = |path: &&str| point.join(path).symlink_metadata().is_ok();
        let all = ["d/old", "d/kept", "o/old", "o/new", "gone", "top", "last"];
        let seen: Vec<&str> = all.into_iter().filter(exist).collect();
        umount2(&point, MntFlags::empty()).expect("to unmount");
        seen
    };
    assert_eq!(seen(&found), ["d/kept", "o/new", "top", "last"]);
    assert_eq!(seen(&twice), ["d/old", "d/kept", "o/old", "o/new", "gone", "top"]);
}

/// A whiteout is about lower layers: what its own layer has is seen, whichever comes first.
fn whiteouts_hold_in_any_order(t: &Test) {
    let layer = layer(
        t,
        Tar::all(&[
            file(".wh.a", ""),
            file("a", "new"),
            file("b", "new"),
            file(".wh.b", ""),
            file(".wh.c", ""),
            file("c/f", "new"),
            dir("d"),
            file(".wh.d", ""),
            file(".wh.e", ""),
            dir("e"),
            file(".wh..wh.plnk", "x"),
            file("g/.wh.h", ""),
        ]),
    );
    assert_eq!(
        (read(layer.join("a")), read(layer.join("b")), read(layer.join("c/f"))),
        ("new".into(), "new".into(), "new".into())
    );
    for directory in ["c", "d", "e"] {
        let opaque = attribute(&layer.join(directory), "trusted.overlay.opaque");
        assert_eq!(opaque.as_deref(), Some(&b"y"[..]), "{directory}");
    }
    assert!(is_whiteout(&layer.join("g/h")) && !layer.join(".wh..wh.plnk").exists());
    let names: Vec<_> =
        std::fs::read_dir(&layer).expect("a layer").flatten().map(|entry| entry.file_name()).collect();
    assert!(names.iter().all(|name| !name.to_string_lossy().starts_with(".wh.")), "{names:?}");
}

// --- hostile input ------------------------------------------------------------------------------------------------------

/// Links are followed, but the layer is their root; what they would reach outside stays as it was.
fn links_lead_nowhere_outside(t: &Test) {
    let outside = t.directory("outside");
    std::fs::write(outside.join("victim"), "safe").expect("a file");
    let target = path_text(&outside);
    let up = format!("../../../../../../../..{target}");
    let inner = &target[1..];
    for (how, way) in [("absolute", &target), ("upwards", &up)] {
        let victim = format!("{inner}/victim");
        let tar = Tar::all(&[
            dir(inner),
            file(&victim, "inside"),
            link(b'2', "l", way),
            file("l/victim", "evil"),
            file("l/new", "evil"),
            link(b'1', "l/twin", "l/victim"),
            link(b'2', "self", "."),
            file("self/f", "x"),
        ]);
        let layer = layer(t, tar);
        assert_eq!(read(layer.join(inner).join("victim")), "evil", "{how}");
        assert_eq!(read(outside.join("victim")), "safe", "{how}");
        assert_eq!(std::fs::read_dir(&outside).expect("a folder").count(), 1, "{how}");
        t.podrun().run(&["image", "remove", "x"]).ok();
    }
    // In a later layer, a link of a lower one is not seen: the entry makes a directory of its own.
    let layers = [Tar::all(&[link(b'2', "l", &target)]).end(), Tar::all(&[file("l/victim", "evil")]).end()];
    import_file(t, &docker(&json!(["x"]), &layers), &[]).ok();
    assert!(image(&t.podrun(), "x").layers[0].join("l").symlink_metadata().expect("meta").is_dir());
    assert_eq!(read(outside.join("victim")), "safe");
}

fn hostile_layers_are_refused(t: &Test) {
    let podrun = t.podrun();
    let outside = t.directory("outside");
    std::fs::write(outside.join("victim"), "safe").expect("a file");
    let target = path_text(&outside);
    let victim = path_text(&outside.join("victim"));
    let (long, deep) = ("n".repeat(256), "d/".repeat(2500));
    let cut = Tar(Tar::all(&[Entry { size: Some(100_000), ..file("a", "x") }]).0);
    let garbage = [Tar::all(&[file("a", "x")]).end(), b"more".repeat(200)].concat();
    let mut sum = Tar::all(&[file("a", "x")]);
    sum.0[0] = b'b';
    let table: Vec<(&str, Vec<u8>, &str)> = vec![
        ("upwards", Tar::all(&[file("../victim", "evil")]).end(), "leads upwards"),
        ("upwards within", Tar::all(&[dir("a"), file("a/../../victim", "evil")]).end(), "leads upwards"),
        (
            "below a link outside",
            Tar::all(&[link(b'2', "l", &target), file("l/victim", "evil")]).end(),
            "is no directory",
        ),
        ("hard link outside", Tar::all(&[link(b'1', "h", &victim)]).end(), "is not in the layer"),
        ("hard link upwards", Tar::all(&[link(b'1', "h", "../../victim")]).end(), "leads upwards"),
        (
            "hard link by a link",
            Tar::all(&[link(b'2', "l", &target), link(b'1', "h", "l/victim")]).end(),
            "is not in the layer",
        ),
        ("hard link to a directory", Tar::all(&[dir("d"), link(b'1', "h", "d")]).end(), "is no file"),
        ("hard link to a whiteout", Tar::all(&[file(".wh.a", ""), link(b'1', "h", "a")]).end(), "is no file"),
        ("smuggled whiteout", Tar::all(&[entry("gone", b'3')]).end(), "device 0:0"),
        ("whiteout of nothing", Tar::all(&[file(".wh.", "")]).end(), "whiteout of no file"),
        ("whiteout of .", Tar::all(&[file("d/.wh..", "")]).end(), "whiteout of no file"),
        ("whiteout of ..", Tar::all(&[file("d/.wh...", "")]).end(), "whiteout of no file"),
        ("below a whiteout", Tar::all(&[file(".wh.d/f", "x")]).end(), "below a whiteout"),
        ("below a file", Tar::all(&[file("f", "x"), file("f/g", "x")]).end(), "is no directory"),
        ("root as a link", Tar::all(&[link(b'2', "./", &target)]).end(), "root is no directory"),
        (
            "long part",
            Tar::default().pax(&[("path", long.as_bytes())]).add(&file("x", "")).end(),
            "more than 255",
        ),
        ("long path", Tar::default().pax(&[("path", deep.as_bytes())]).add(&dir("x")).end(), "too long"),
        (
            "owner nobody can be",
            Tar::default().pax(&[("uid", b"4294967295")]).add(&file("x", "")).end(),
            "out of range",
        ),
        (
            "bad capability",
            Tar::default().pax(&[("SCHILY.xattr.security.capability", b"x")]).add(&file("x", "")).end(),
            "security.capability",
        ),
        ("cut off", cut.0, "cut off"),
        ("garbage behind", garbage, "follows the end"),
        ("wrong checksum", sum.end(), "checksum"),
        ("unknown type", Tar::all(&[entry("x", b'Z')]).end(), "unknown type"),
    ];
    for (what, layer, want) in table {
        // In the upper layer: the lower one, which is good, must go too.
        let layers = [Tar::all(&[file("good", "g")]).end(), layer];
        import_file(t, &docker(&json!(["x"]), &layers), &[]).refused(&[want, "layer 2"]);
        nothing_left(&podrun, what);
        assert_eq!(read(outside.join("victim")), "safe", "{what}");
        assert_eq!(std::fs::read_dir(&outside).expect("a folder").count(), 1, "{what}");
    }
    // Devices are left out, and said to be.
    let device = Entry { device: (1, 3), mode: 0o666, ..entry("dev/null", b'3') };
    let disk = Entry { device: (8, 0), ..entry("dev/sda", b'4') };
    import_file(t, &docker(&json!(["x"]), &[Tar::all(&[device, disk, file("f", "x")]).end()]), &[])
        .ok()
        .says(&["warning: 2 device nodes were left out"]);
    let found = image(&podrun, "x");
    assert!(found.layers[0].join("f").exists() && !found.layers[0].join("dev").join("null").exists());
}

fn hostile_archives_are_refused(t: &Test) {
    let podrun = t.podrun();
    std::fs::write(t.path("secret"), "root:x:0:0").expect("a file");
    let secret = path_text(&t.path("secret"));
    let layers = [Tar::all(&[file("a", "one")]).end()];
    let good = docker_files(&json!(["x"]), &layers);
    let changed = |name: &str, bytes: &[u8]| {
        let mut files = good.clone();
        files.insert(name.to_owned(), bytes.to_vec());
        archive(&files)
    };
    let config_name = format!("{}.json", sha(&config(&layers)));
    let other = Tar::all(&[file("a", "two")]).end();
    let escape = json!([{"Config": "../../../etc/passwd", "RepoTags": ["x"], "Layers": []}]).to_string();
    let many = vec![layers[0].clone(); 128];
    let linked = Tar::default()
        .add(&link(b'2', &config_name, &secret))
        .add(&Entry { data: &good["manifest.json"], ..entry("manifest.json", b'0') });
    let loops = Tar::all(&[link(b'2', &config_name, &config_name)])
        .add(&Entry { data: &good["manifest.json"], ..entry("manifest.json", b'0') });
    let bad_diff = json!([{"Config": "c.json", "RepoTags": ["x"], "Layers": ["0/layer.tar"]}]).to_string();
    let bad_config = json!({"os": "linux", "rootfs": {"diff_ids": ["sha256:../../../../etc"]}}).to_string();
    let escaping_diff = {
        let mut files = good.clone();
        files.insert("manifest.json".into(), bad_diff.into_bytes());
        files.insert("c.json".into(), bad_config.into_bytes());
        archive(&files)
    };
    let oci = oci_files("r.example/x", &layers, gzip);
    let oci_changed = |kind: &str| {
        let mut files = oci.clone();
        let name = files.iter().find(|(name, bytes)| name.starts_with("blobs") && is_kind(kind, bytes));
        let name = name.map(|(name, _)| name.clone()).expect("such a blob");
        let same_meaning = if kind == "layer" {
            gzip(&[&layers[0][..], &[0; 512]].concat())
        } else {
            [&files[&name][..], b" "].concat()
        };
        files.insert(name, same_meaning);
        archive(&files)
    };
    let table: Vec<(&str, Vec<u8>, &str)> = vec![
        ("config of other content", changed(&config_name, b"{}"), "other content than its name says"),
        ("layer of other content", changed("0/layer.tar", &other), "not what the config says"),
        (
            "no layer",
            {
                let mut files = good.clone();
                files.remove("0/layer.tar");
                archive(&files)
            },
            "no file \"0/layer.tar\"",
        ),
        ("manifest no JSON", changed("manifest.json", b"{"), "cannot read manifest.json"),
        ("manifest too large", changed("manifest.json", &[b' '; (4 << 20) + 1]), "more than 4194304"),
        ("no images", changed("manifest.json", b"[]"), "there is no image"),
        ("config outside", changed("manifest.json", escape.as_bytes()), "no file \"../../../etc/passwd\""),
        ("config by a link outside", linked.end(), "no file"),
        ("links in a circle", loops.end(), "link without an end"),
        ("128 layers", docker(&json!(["x"]), &many), "more than 127"),
        ("no layers", docker(&json!(["x"]), &[]), "no layers"),
        ("bad name", docker(&json!(["../x"]), &layers), "invalid image name"),
        ("diff-id that is a path", escaping_diff, "is no SHA-256 digest"),
        ("OCI layer of other content", oci_changed("layer"), "not what the manifest says"),
        ("OCI config of other content", oci_changed("config"), "other content than its name says"),
        ("OCI manifest of other content", oci_changed("manifest"), "other content than its name says"),
        ("cut off", archive(&good)[..2000].to_vec(), "cut off"),
        ("cut off between entries", archive(&good)[..archive(&good).len() - 1024].to_vec(), "it has no end"),
        (
            "gzip cut off",
            {
                let all = gzip(&archive(&good));
                all[..all.len() / 2].to_vec()
            },
            "cannot read the archive",
        ),
        (
            "garbage behind gzip",
            [gzip(&archive(&good)), b"garbage".to_vec()].concat(),
            "cannot read the archive",
        ),
        ("xz", b"\xfd7zXZ\0rest".to_vec(), "packed with xz"),
        ("nothing", Vec::new(), "cut off"),
        ("no archive", b"hello".to_vec(), "cut off"),
    ];
    for (what, bytes, want) in table {
        import_file(t, &bytes, &[]).refused(&[want]);
        nothing_left(&podrun, what);
    }
    // A layout's directory whose blob is a link to a file of the host's.
    let folder = t.path("layout");
    write_tree(&folder, &oci);
    let name = oci.keys().find(|name| name.starts_with("blobs")).expect("a blob");
    std::fs::remove_file(folder.join(name)).expect("to remove it");
    std::os::unix::fs::symlink(&secret, folder.join(name)).expect("a link");
    podrun.run(&["image", "import", &path_text(&folder)]).refused(&["no such file"]);
    nothing_left(&podrun, "a link out of a layout");
    podrun
        .run(&["image", "import", "/no/such/file"])
        .refused(&["cannot import \"/no/such/file\"", "no such file"]);
}

fn is_kind(kind: &str, bytes: &[u8]) -> bool {
    match kind {
        "layer" => bytes.starts_with(&[0x1f, 0x8b]),
        "config" => bytes.starts_with(b"{\"architecture"),
        _ => bytes.starts_with(b"{\"config\":{\"digest"),
    }
}

fn bombs_are_refused(t: &Test) {
    let podrun = t.podrun();
    // A file that is nothing but a hole, and one that is nothing but zeroes, packed.
    let hole = Tar::default()
        .pax(&[
            ("GNU.sparse.map", b"0,1"),
            ("GNU.sparse.size", b"1000000000000"),
            ("GNU.sparse.name", b"hole"),
        ])
        .add(&file("x", "a"))
        .end();
    import_file(t, &docker(&json!(["x"]), &[hole]), &[]).refused(&["more than 128 GiB", "holes"]);
    nothing_left(&podrun, "a hole");
    let header = Tar::default().pax(&[("size", b"3000000000")]).add(&entry("zeroes", b'0')).0;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&header).expect("memory");
    let zeroes = vec![0; 1 << 20];
    for _ in 0..1100 {
        encoder.write_all(&zeroes).expect("memory");
    }
    let bomb = encoder.finish().expect("memory");
    let cmd = |path: &str| podrun.cmd(&["image", "import", path, "x"]).seconds(200).run();
    // As a layer, and as a packed archive.
    let mut files = docker_files(&json!(["x"]), &[Tar::default().end()]);
    files.insert("0/layer.tar".into(), bomb.clone());
    cmd(&path_text(&t.file("layer", archive(&files)))).refused(&["unpack to", "too much"]);
    nothing_left(&podrun, "a packed layer");
    cmd(&path_text(&t.file("rootfs", bomb))).refused(&["unpack to", "too much"]);
    nothing_left(&podrun, "a packed archive");
}

// --- names, removal -----------------------------------------------------------------------------------------------------

fn names_are_given_and_taken(t: &Test) {
    let podrun = t.podrun();
    let run = |words: &[&str]| podrun.run(&[&["image"], words].concat());
    assert_eq!(run(&["list"]).ok().stdout, "REPOSITORY   TAG   IMAGE ID   CREATED   SIZE\n");
    run(&["remove", "x"]).refused(&["image \"x\" does not exist"]);
    run(&["remove", "-f", "x"]).ok();
    run(&["prune"]).ok();
    let one = [Tar::all(&[file("a", "one")]).end()];
    let two = [Tar::all(&[file("a", "two")]).end()];
    import_file(t, &docker(&json!(["x", "y"]), &one), &[]).ok();
    let id = image(&podrun, "x").id;
    // By the beginning of the id, with or without the algorithm; not by too few digits.
    for text in [&id[..], &id[7..], &id[7..11], "docker.io/library/y:latest"] {
        assert_eq!(image(&podrun, text).id, id, "{text}");
    }
    assert!(store(&podrun).lookup(&id[7..10]).expect("a store").is_none());
    run(&["remove", &id[7..19]]).refused(&["several names", "--force"]);
    assert_eq!(run(&["remove", "y"]).ok().stdout, "Untagged: docker.io/library/y:latest\n");
    // Another image takes the name; the first stays without one until it is pruned.
    import_file(t, &docker(&json!(["x"]), &two), &[]).ok();
    assert_ne!(image(&podrun, "x").id, id);
    assert!(image(&podrun, &id).names.is_empty());
    assert!(run(&["list"]).ok().stdout.contains("<none>"));
    let pruned = run(&["prune"]).ok().stdout;
    assert!(pruned.contains(&format!("Deleted: {id}\n")) && pruned.contains("Deleted: 1 layers"), "{pruned}");
    assert!(pruned.contains("Total reclaimed space: ") && !pruned.contains("space: 0B"), "{pruned}");
    assert_eq!(podrun.run(&["image", "list", "-q"]).ok().stdout.lines().count(), 1);
    // Several images in one archive.
    let mut files = docker_files(&json!(["x"]), &one);
    let others = docker_files(&json!(["z"]), &two);
    let list = |files: &BTreeMap<String, Vec<u8>>| -> Value {
        serde_json::from_slice(&files["manifest.json"]).expect("JSON")
    };
    let mut both = json!([list(&files)[0], list(&others)[0]]);
    both[1]["Layers"] = json!(["other.tar"]);
    files.extend(others.into_iter().filter(|(name, _)| name.ends_with(".json")));
    files.insert("other.tar".into(), two[0].clone());
    files.insert("manifest.json".into(), both.to_string().into_bytes());
    import_file(t, &archive(&files), &["new"]).refused(&[
        "several images",
        "library/x:latest",
        "leave NAME out",
    ]);
    import_file(t, &archive(&files), &["z"]).ok();
    import_file(t, &archive(&files), &[]).ok();
    assert_eq!(image(&podrun, "x").id, id);
    let digest = format!("a@sha256:{}", "0".repeat(64));
    import_file(t, &archive(&files), &[&digest]).refused(&["digest"]);
    assert_eq!(
        run(&["remove", "x", "nope", "z"])
            .exits(1)
            .says(&["\"nope\" does not exist"])
            .stdout
            .matches("Deleted")
            .count(),
        2
    );
    nothing_left(&podrun, "removal of all");
    let usage = podrun.run(&["image", "import", "archive", "Bad"]);
    assert_eq!(usage.code(), 2, "{usage:?}");
}

fn images_share_layers(t: &Test) {
    let podrun = t.podrun();
    let (base, a, b) = (
        Tar::all(&[file("base", "b")]).end(),
        Tar::all(&[file("a", "a")]).end(),
        Tar::all(&[file("b", "b")]).end(),
    );
    import_file(t, &docker(&json!(["a"]), &[base.clone(), a]), &[]).ok();
    let shared = image(&podrun, "a").layers[1].clone();
    let inode = shared.metadata().expect("meta").ino();
    import_file(t, &docker(&json!(["b"]), &[base, b]), &[]).ok();
    assert_eq!(image(&podrun, "b").layers[1], shared);
    assert_eq!(shared.metadata().expect("meta").ino(), inode);
    podrun.run(&["image", "remove", "a"]).ok();
    assert!(shared.join("base").exists());
    assert_eq!(std::fs::read_dir(shared.parent().expect("layers")).expect("layers").count(), 2);
    // A lease keeps removal waiting.
    let lease = store(&podrun).lease().expect("a lease");
    let running = podrun.cmd(&["image", "remove", "b"]).spawn();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(shared.join("base").exists());
    drop(lease);
    running.finish().ok();
    nothing_left(&podrun, "removal of both");
    // An image whose config was lost is named, and can be removed.
    import_file(t, &docker(&json!(["c"]), &[Tar::all(&[file("c", "c")]).end()]), &[]).ok();
    let found = image(&podrun, "c");
    std::fs::write(podrun.data_root().join("images/blobs/sha256").join(&found.id[7..]), "other")
        .expect("a file");
    podrun.run(&["image", "list"]).ok().says(&["the image store is damaged"]);
    podrun.run(&["image", "remove", "c"]).ok();
    nothing_left(&podrun, "removal of a damaged image");
}

fn users_are_those_of_the_image(t: &Test) {
    let lower = "root:x:0:0:r:/:/bin/sh\nrootless:x:1:1::/:\nadm:x:0:9::/:\nweb:x:33:34::/:\nbroken:x:\n";
    let groups = "root:x:0:\nweb:x:34:\nextra:x:70:root,web\nother:x:71:webx,xweb\nbad:x:y:web\n";
    let base = Tar::all(&[dir("etc"), file("etc/passwd", lower), file("etc/group", groups)]).end();
    let cases: Vec<(&str, Tar, &str, Result<(u32, u32, Vec<u32>), &str>)> = vec![
        ("by name", Tar::default(), "web", Ok((33, 34, vec![70]))),
        ("root", Tar::default(), "", Ok((0, 0, vec![70]))),
        ("name and group", Tar::default(), "web:extra", Ok((33, 70, vec![]))),
        ("uid", Tar::default(), "33", Ok((33, 34, vec![70]))),
        ("unknown uid", Tar::default(), "4000", Ok((4000, 0, vec![]))),
        ("uid and gid", Tar::default(), "4000:4001", Ok((4000, 4001, vec![]))),
        (
            "part of a name",
            Tar::default(),
            "we",
            Err("unable to find user we: no matching entries in passwd file"),
        ),
        ("broken line", Tar::default(), "broken", Err("unable to find user broken")),
        (
            "unknown group",
            Tar::default(),
            "web:none",
            Err("unable to find group none: no matching entries in group file"),
        ),
        ("uid -1", Tar::default(), "4294967295", Err("larger than")),
        (
            "other passwd on top",
            Tar::all(&[dir("etc"), file("etc/passwd", "web:x:5:6::/:\n")]),
            "web",
            Ok((5, 6, vec![70])),
        ),
        (
            "passwd whited out",
            Tar::all(&[dir("etc"), file("etc/.wh.passwd", "")]),
            "web",
            Err("unable to find user web"),
        ),
        ("etc whited out", Tar::all(&[file(".wh.etc", "")]), "web", Err("unable to find user web")),
        (
            "etc opaque",
            Tar::all(&[dir("etc"), file("etc/.wh..wh..opq", "")]),
            "web",
            Err("unable to find user web"),
        ),
        ("etc a link to the host's", Tar::all(&[link(b'2', "etc", "/etc")]), "sync", Err("")),
        (
            "passwd a link to the host's",
            Tar::all(&[dir("etc"), link(b'2', "etc/passwd", "/etc/passwd")]),
            "sync",
            Err(""),
        ),
        ("passwd a FIFO", Tar::all(&[dir("etc"), entry("etc/passwd", b'6')]), "web", Err("no plain file")),
    ];
    for (what, top, user, want) in cases {
        import_file(t, &docker(&json!(["u"]), &[base.clone(), top.add(&file(what, "x")).end()]), &[]).ok();
        let found = user::resolve(&image(&t.podrun(), "u").layers, user);
        match (found, want) {
            (Ok(found), Ok(want)) => assert_eq!((found.uid, found.gid, found.groups), want, "{what}"),
            (Err(error), Err(want)) => assert!(error.to_string().contains(want), "{what}: {error}"),
            (found, want) => panic!("{what}: {found:?} instead of {want:?}"),
        }
    }
}

// --- kills and races ----------------------------------------------------------------------------------------------------

/// Kills a command at up to `MOST` of its system calls; after each, the store works and prune leaves only what is named.
fn siege(t: &Test, words: &[&str], before: &dyn Fn(), after: &dyn Fn(&str)) {
    const MOST: usize = 120;
    if !machine::has_package("strace") {
        skip("strace is not installed");
    }
    let podrun = t.podrun();
    let log = t.path("strace.log");
    let traced = |options: &[&str]| {
        before();
        podrun.cmd(words).under([&["strace", "-D", "-qq"], options].concat()).run()
    };
    traced(&["-o", &path_text(&log)]).ok();
    after("an undisturbed run");
    let text = read(&log);
    let calls: Vec<&str> = text.lines().filter_map(|line| Some(line.split_once('(')?.0)).collect();
    let calls: Vec<&str> = calls
        .into_iter()
        .filter(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
        .collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let numbered: Vec<(&str, usize)> = calls
        .iter()
        .map(|name| {
            let count = counts.entry(name).or_default();
            *count += 1;
            (*name, *count)
        })
        .collect();
    let step = numbered.len().div_ceil(MOST).max(1);
    let mut hit = 0;
    for (name, nth) in numbered.iter().step_by(step) {
        let out = traced(&["-o", "/dev/null", "-e", &format!("inject={name}:signal=KILL:when={nth}")]);
        hit += usize::from(out.status.signal() == Some(libc::SIGKILL));
        after(&format!("SIGKILL at {name} number {nth}"));
    }
    note(&format!("killed at {hit} of its {} calls", numbered.len()));
    assert!(hit > 20, "only {hit} points were hit");
}

fn import_killed(t: &Test) {
    let podrun = t.podrun();
    let layers = [
        Tar::all(&[dir("d"), file("d/f", "x"), file(".wh.g", "")]).end(),
        Tar::all(&[file("h", "y"), link(b'1', "i", "h")]).end(),
    ];
    let path = path_text(&t.file("siege.tar", docker(&json!(["x"]), &layers)));
    let after = |when: &str| {
        // Either it is there, whole, or it is not there.
        if let Some(image) = store(&podrun).lookup("x").expect(when) {
            assert_eq!(read(image.layers[0].join("i")), "y", "{when}");
            assert_eq!(read(image.layers[1].join("d/f")), "x", "{when}");
        }
        podrun.run(&["image", "import", &path]).ok();
        assert_eq!(read(image(&podrun, "x").layers[1].join("d/f")), "x", "{when}");
        podrun.run(&["image", "remove", "x"]).ok();
        podrun.run(&["image", "prune"]).ok();
        nothing_left(&podrun, when);
    };
    siege(t, &["image", "import", &path], &|| {}, &after);
}

fn remove_killed(t: &Test) {
    let podrun = t.podrun();
    let base = Tar::all(&[file("base", "b")]).end();
    let [a, b] = ["a", "b"].map(|name| Tar::all(&[file(name, name)]).end());
    let path = |name: &str, top: Vec<u8>| {
        path_text(&t.file(&format!("{name}.tar"), docker(&json!([name]), &[base.clone(), top])))
    };
    let (path_a, path_b) = (path("a", a), path("b", b));
    let before = || {
        podrun.run(&["image", "import", &path_a]).ok();
        podrun.run(&["image", "import", &path_b]).ok();
    };
    let after = |when: &str| {
        // The other image never suffers.
        assert_eq!(read(image(&podrun, "b").layers[1].join("base")), "b", "{when}");
        if let Some(image) = store(&podrun).lookup("a").expect(when) {
            assert_eq!(read(image.layers[0].join("a")), "a", "{when}");
        }
        podrun.run(&["image", "remove", "--force", "a", "b"]).ok();
        podrun.run(&["image", "prune"]).ok();
        nothing_left(&podrun, when);
    };
    siege(t, &["image", "remove", "a"], &before, &after);
}

fn concurrent_imports_and_removals_end_well(t: &Test) {
    const ROUNDS: usize = 12;
    let podrun = t.podrun();
    let base = Tar::all(&[file("base", &"b".repeat(100_000))]).end();
    let paths: Vec<String> = (0..4)
        .map(|number| {
            let top = Tar::all(&[file("own", &number.to_string())]).end();
            let name = format!("i{number}");
            path_text(&t.file(&format!("{name}.tar"), docker(&json!([name]), &[base.clone(), top])))
        })
        .collect();
    for round in 0..ROUNDS {
        // Each twice, beside those that look, remove and prune.
        let mut running: Vec<_> =
            paths.iter().chain(&paths).map(|path| podrun.cmd(&["image", "import", path]).spawn()).collect();
        running.push(podrun.cmd(&["image", "list"]).spawn());
        running.push(podrun.cmd(&["image", "remove", "--force", "i0"]).spawn());
        running.push(podrun.cmd(&["image", "prune"]).spawn());
        for command in running {
            command.finish().ok();
        }
        for number in 1..4 {
            let found = image(&podrun, &format!("i{number}"));
            assert_eq!(read(found.layers[0].join("own")), number.to_string(), "round {round}");
            assert_eq!(read(found.layers[1].join("base")).len(), 100_000, "round {round}");
        }
        let words: Vec<_> =
            (1..4).map(|number| podrun.cmd(&["image", "remove", &format!("i{number}")]).spawn()).collect();
        for command in words {
            command.finish().ok();
        }
        podrun.run(&["image", "remove", "--force", "i0"]).ok();
        nothing_left(&podrun, &format!("round {round}"));
    }
}
