//! Text made to break the reader.

use super::{LENIENT, STRICT, refused, with};
use crate::manifest::read;

#[test]
fn mutations_never_panic_and_always_name_a_line() {
    let examples: Vec<String> = std::fs::read_dir("examples")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    assert!(examples.len() >= 6);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |most: usize| -> usize {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(most.max(1)).unwrap()).unwrap()
    };
    let pieces: [&[u8]; 20] = [
        b"\n", b" ", b"  ", b"- ", b": ", b"{", b"}", b"[", b"]", b"\"", b"'", b"&a ", b"*a", b"<<: *a",
        b"null", b"-1", b"yes", b"\t", b"\xff", b"---\n",
    ];
    for round in 0..4000 {
        let mut text = examples[below(examples.len())].clone().into_bytes();
        for _ in 0..=below(4) {
            let at = below(text.len());
            match below(4) {
                0 => drop(text.drain(at..(at + below(40)).min(text.len()))),
                1 => drop(text.splice(at..at, pieces[below(pieces.len())].iter().copied())),
                2 => text[at] = u8::try_from(below(256)).unwrap(),
                _ => {
                    let piece: Vec<u8> = text[at..(at + below(60)).min(text.len())].to_vec();
                    let to = below(text.len());
                    drop(text.splice(to..to, piece));
                }
            }
            text.push(b'\n');
        }
        let options = if round % 2 == 0 { LENIENT } else { STRICT };
        if let Err(error) = read(&text, "f.yaml", &options) {
            let message = error.to_string();
            assert!(
                message.contains("f.yaml:") || message.contains("holds no Pod"),
                "{message}\n{}",
                String::from_utf8_lossy(&text)
            );
        }
    }
}

#[test]
fn numbers_are_bounded() {
    let many = |count: usize, item: &str| -> String {
        (0..count).map(|i| item.replace('#', &i.to_string())).collect()
    };
    let env = format!("env:\n{}", many(4097, "- {name: A#}\n"));
    assert!(refused(&with(&env, "")).contains("env: Too many: 4097: must have at most 4096 items"));
    let volumes = format!("volumes:\n{}", many(257, "- {name: v#, emptyDir: {}}\n"));
    assert!(
        refused(&with("volumeMounts: [{name: v1, mountPath: /a}]", &volumes))
            .contains("volumes: Too many: 257")
    );
    let text = with("", "") + &many(128, "  - {name: c#, image: x}\n");
    assert!(refused(&text).contains("spec.containers: Too many: 129"));
    let pods = many(
        1001,
        "---\napiVersion: v1\nkind: Pod\nmetadata: {name: p#}\nspec: {containers: [{name: c, image: x}]}\n",
    );
    assert!(refused(&pods).contains("shop.yaml holds more than 1000 pods"));
    let growth =
        "env:\n- {name: A, value: xxxxxxxxxx}\n".to_owned() + &many(30, "- {name: A, value: $(A)$(A)}\n");
    assert!(refused(&with(&growth, "")).contains("value: Too long: may not be more than 131071 bytes"));
}
