//! Images that want what they must not have: refused, with nothing left in the store and nothing touched outside.

use crate::harness::archives::*;
use crate::harness::runtime::path_text;
use crate::harness::{Case, Test, case};
use crate::images::{image, import_file, layer, nothing_left, read};
use serde_json::json;
use std::io::Write;

pub fn cases() -> Vec<Case> {
    vec![
        case!(links_lead_nowhere_outside),
        case!(hostile_layers_are_refused),
        case!(hostile_archives_are_refused),
        case!(bombs_are_refused).seconds(300),
    ]
}

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

/// What a layer is called, its archive, and what is said of it.
type Refused = (&'static str, Vec<u8>, &'static str);

fn hostile_layers(target: &str, victim: &str) -> Vec<Refused> {
    let (long, deep) = ("n".repeat(256), "d/".repeat(2500));
    let cut = Tar(Tar::all(&[Entry { size: Some(100_000), ..file("a", "x") }]).0);
    let garbage = [Tar::all(&[file("a", "x")]).end(), b"more".repeat(200)].concat();
    let mut sum = Tar::all(&[file("a", "x")]);
    sum.0[0] = b'b';
    vec![
        ("upwards", Tar::all(&[file("../victim", "evil")]).end(), "leads upwards"),
        ("upwards within", Tar::all(&[dir("a"), file("a/../../victim", "evil")]).end(), "leads upwards"),
        (
            "below a link outside",
            Tar::all(&[link(b'2', "l", target), file("l/victim", "evil")]).end(),
            "is no directory",
        ),
        ("hard link outside", Tar::all(&[link(b'1', "h", victim)]).end(), "is not in the layer"),
        ("hard link upwards", Tar::all(&[link(b'1', "h", "../../victim")]).end(), "leads upwards"),
        (
            "hard link by a link",
            Tar::all(&[link(b'2', "l", target), link(b'1', "h", "l/victim")]).end(),
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
        ("root as a link", Tar::all(&[link(b'2', "./", target)]).end(), "root is no directory"),
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
    ]
}

fn hostile_layers_are_refused(t: &Test) {
    let podrun = t.podrun();
    let outside = t.directory("outside");
    std::fs::write(outside.join("victim"), "safe").expect("a file");
    let target = path_text(&outside);
    let victim = path_text(&outside.join("victim"));
    for (what, layer, want) in hostile_layers(&target, &victim) {
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

#[expect(clippy::too_many_lines, reason = "a table")]
fn hostile_archives(secret: &str) -> Vec<Refused> {
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
        .add(&link(b'2', &config_name, secret))
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
    vec![
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
            "cut off",
        ),
        (
            "garbage behind gzip",
            [gzip(&archive(&good)), b"garbage".to_vec()].concat(),
            "cannot read the archive",
        ),
        ("xz", b"\xfd7zXZ\0rest".to_vec(), "packed with xz"),
        ("nothing", Vec::new(), "cut off"),
        ("no archive", b"hello".to_vec(), "cut off"),
    ]
}

fn hostile_archives_are_refused(t: &Test) {
    let podrun = t.podrun();
    std::fs::write(t.path("secret"), "root:x:0:0").expect("a file");
    let secret = path_text(&t.path("secret"));
    for (what, bytes, want) in hostile_archives(&secret) {
        import_file(t, &bytes, &[]).refused(&[want]);
        nothing_left(&podrun, what);
    }
    // A layout's directory whose blob is a link to a file of the host's.
    let folder = t.path("layout");
    let oci = oci_files("r.example/x", &[Tar::all(&[file("a", "one")]).end()], gzip);
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
