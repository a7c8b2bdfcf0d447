//! What a supervisor is started with: the words of its command line.

use crate::error::{Context, Error, Kind, Result};
use crate::model::ids::PodUid;
use crate::state::layout::Layout;
use crate::supervisor::reply::Answer;
use crate::sys::inherit;
use std::ffi::{CString, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A supervisor's word 0; its others are those of [`Birth::from_words`].
pub const SUPERVISOR: &str = "podrun:supervisor";
/// Says that there is a reply socket.
const REPLY_WORD: &str = "reply";
/// The supervisor's descriptor of the reply socket.
const REPLY: i32 = 3;
/// Which pod a pair is for, and how its next supervisor is started.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The roots.
    pub layout: Layout,
    /// The pod.
    pub uid: PodUid,
    /// Path of podrun's executable.
    pub executable: PathBuf,
}

/// What a supervisor was started with.
#[derive(Debug)]
pub struct Birth {
    /// For whom.
    pub identity: Identity,
    /// Whoever waits for it to be ready; nobody when a keeper has started it again.
    pub answer: Option<Answer>,
}

impl Birth {
    /// Reads the words behind [`SUPERVISOR`]: root, data root, uid, podrun's executable, and `reply` where the reply
    /// socket is descriptor 3, which is taken over.
    ///
    /// # Errors
    /// When podrun was not started by a keeper.
    pub fn from_words(words: &[OsString]) -> Result<Self> {
        let strange = || Error::new(Kind::Usage, format!("{SUPERVISOR} is started by podrun alone"));
        let [root, data_root, uid, executable, reply @ ..] = words else { return Err(strange()) };
        let layout = Layout::new(Path::new(root), Path::new(data_root))
            .context(|| "cannot tell the current directory")?;
        let uid = uid.to_str().ok_or_else(strange)?.parse()?;
        let answer = match reply {
            [] => None,
            [word] if word == REPLY_WORD => {
                Some(Answer::new(inherit::take(REPLY).context(|| "cannot find the reply socket")?))
            }
            _ => return Err(strange()),
        };
        Ok(Self { identity: Identity { layout, uid, executable: executable.into() }, answer })
    }
}

/// The words that a keeper, or with `reply` a first supervisor, is executed with.
pub(super) fn words(name: &str, identity: &Identity, reply: bool) -> Result<Vec<CString>> {
    let Identity { layout, uid, executable } = identity;
    let paths = [layout.root(), layout.data_root(), Path::new(uid.as_str()), executable];
    let words = std::iter::once(name.as_bytes())
        .chain(paths.map(|path| path.as_os_str().as_bytes()))
        .chain(reply.then_some(REPLY_WORD.as_bytes()));
    words
        .map(|word| CString::new(word).map_err(io::Error::other))
        .collect::<io::Result<_>>()
        .context(|| "cannot pass the pod's paths on")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    #[test]
    fn words_lead_back_to_the_identity() {
        let uid = "01234567-89ab-4def-8123-456789abcdef";
        let identity = Identity {
            layout: Layout::new(Path::new("/run/p"), Path::new("/lib/p")).unwrap(),
            uid: uid.parse().unwrap(),
            executable: "/usr/bin/podrun".into(),
        };
        let plain = words(SUPERVISOR, &identity, false).unwrap();
        let text: Vec<_> = plain.iter().map(|word| word.to_str().unwrap()).collect();
        assert_eq!(text, [SUPERVISOR, "/run/p", "/lib/p", uid, "/usr/bin/podrun"]);
        let behind: Vec<_> =
            plain.into_iter().skip(1).map(|word| OsString::from_vec(word.into_bytes())).collect();
        let birth = Birth::from_words(&behind).unwrap();
        assert_eq!((birth.identity.uid, birth.identity.executable), (identity.uid, identity.executable));
        assert!(birth.answer.is_none());
        for strange in [&behind[..3], &[&behind[..], &["more".into()]].concat()] {
            assert_eq!(Birth::from_words(strange).unwrap_err().kind(), Kind::Usage);
        }
    }
}
