//! The image store: every kind of source, what is unpacked, names, removal.

use crate::harness::archives::*;
use crate::harness::command::Outcome;
use crate::harness::{Case, Runtime, Test, case, runtime::path_text, sources};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use podrun::image::{Image, Store, user};
use podrun::state::layout::Layout;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
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
        case!(names_are_given_and_taken),
        case!(images_share_layers),
        case!(users_are_those_of_the_image),
    ]
}

// --- the store ----------------------------------------------------------------------------------------------------------

pub fn store(podrun: &Runtime) -> Store {
    Store::new(&Layout::new(&podrun.root(), &podrun.data_root()).expect("absolute paths"))
}

#[track_caller]
pub fn image(podrun: &Runtime, text: &str) -> Image {
    let found = store(podrun).lookup(text).expect("a store");
    found.unwrap_or_else(|| panic!("there is no image {text:?}"))
}

pub fn import_file(t: &Test, bytes: &[u8], words: &[&str]) -> Outcome {
    let path = path_text(&t.file("archive", bytes));
    t.podrun().run(&[&["image", "import", &path], words].concat())
}

/// Imports a layer of one archive, and tells where it is.
#[track_caller]
pub fn layer(t: &Test, tar: Tar) -> PathBuf {
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
pub fn nothing_left(podrun: &Runtime, after: &str) {
    let left = left(podrun);
    assert!(left.is_empty(), "left after {after}: {left:#?}");
}

pub fn read(path: impl AsRef<Path>) -> String {
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
    let packings: [(&str, Pack); 3] = [("plain", <[u8]>::to_vec), ("gzip", gzip), ("zstd", zstd)];
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

/// User, group and further groups; or what is said instead.
type Expected = Result<(u32, u32, Vec<u32>), &'static str>;

#[expect(clippy::too_many_lines, reason = "a table")]
fn users_are_those_of_the_image(t: &Test) {
    let lower = "root:x:0:0:r:/:/bin/sh\nrootless:x:1:1::/:\nadm:x:0:9::/:\nweb:x:33:34::/:\nbroken:x:\n";
    let groups = "root:x:0:\nweb:x:34:\nextra:x:70:root,web\nother:x:71:webx,xweb\nbad:x:y:web\n";
    let base = Tar::all(&[dir("etc"), file("etc/passwd", lower), file("etc/group", groups)]).end();
    let cases: Vec<(&str, Tar, &str, Expected)> = vec![
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
