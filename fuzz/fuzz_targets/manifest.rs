//! A pod's manifest: what is accepted is planned, kept as the supervisor's record, and read back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use podrun::manifest::{self, Options};
use podrun::model::podspec::PodSpec;

fuzz_target!(|text: &[u8]| {
    let strict = manifest::read(text, "pod.yaml", &Options { ignore_unsupported: false });
    let lenient = manifest::read(text, "pod.yaml", &Options { ignore_unsupported: true });
    assert!(strict.is_err() || lenient.is_ok(), "a file is refused only when less is asked of it");
    for pod in lenient.into_iter().flatten() {
        let record = serde_json::to_string(&pod.spec).expect("a spec can be written");
        let read: PodSpec = serde_json::from_str(&record).unwrap_or_else(|error| panic!("{error}: {record}"));
        assert_eq!(read, pod.spec);
        for volume in &pod.spec.volumes {
            drop(pod.volume_place(volume));
        }
    }
});
