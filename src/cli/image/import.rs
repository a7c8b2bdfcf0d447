//! `image import`

use crate::cli::{Globals, output};
use crate::error::Result;
use crate::image::import::import;
use crate::image::{Change, Store};
use crate::model::image::ImageName;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How often the progress is shown anew.
const PAUSE: Duration = Duration::from_millis(100);

/// Bring an image into the store
///
/// ARCHIVE is what `docker save` or `podman save` writes, an OCI image layout (a tar archive or a directory), or a root
/// file system (a tar archive or a directory); plain, or packed with gzip or zstd. Refused are images of more than 127
/// layers, 4 million files or 128 GiB, layers beyond 1 GiB that are packed smaller than 1:200, and whatever reaches out of
/// its layer; device nodes are left out.
#[derive(Debug, PartialEq, clap::Args)]
#[command(
    after_help = "Example:\n  podrun image import web.tar\n  podrun image import --change 'CMD [\"/bin/sh\"]' rootfs/ mine:1.0"
)]
pub struct ImportArgs {
    /// What a root file system's config is to say: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME or
    /// WORKDIR, as in a Dockerfile
    #[arg(short, long = "change", value_name = "INSTRUCTION")]
    pub changes: Vec<Change>,
    /// The archive or directory; - for an archive on stdin
    #[arg(value_name = "ARCHIVE")]
    pub source: PathBuf,
    /// What the image is to be called, if not as the archive says
    #[arg(value_name = "NAME")]
    pub name: Option<ImageName>,
}

impl ImportArgs {
    /// Imports, and prints the names.
    ///
    /// # Errors
    /// Those of the import.
    pub fn run(&self, globals: &Globals) -> Result<i32> {
        let store = Store::new(&globals.host_of_existing()?.layout);
        let mut meter = Meter::new();
        let mut show = |layer, layers, bytes| meter.show(layer, layers, bytes);
        let imported = import(&store, &self.source, self.name.as_ref(), &self.changes, &mut show);
        meter.clear();
        let names = imported?.into_iter().flat_map(|image| image.names);
        output::print(&names.map(|name| format!("{name}\n")).collect::<String>())?;
        Ok(0)
    }
}

/// A line on the terminal that says how far it is; nothing where stderr is no terminal.
struct Meter {
    shown: Option<Instant>,
    layer: usize,
    bytes: u64,
    visible: bool,
}

impl Meter {
    fn new() -> Self {
        Self { shown: None, layer: 0, bytes: 0, visible: std::io::stderr().is_terminal() }
    }

    fn show(&mut self, layer: usize, layers: usize, bytes: u64) {
        if layer != self.layer {
            (self.layer, self.bytes) = (layer, 0);
        }
        self.bytes += bytes;
        if self.visible && self.shown.is_none_or(|shown| shown.elapsed() >= PAUSE) {
            self.shown = Some(Instant::now());
            let line = format!("\rlayer {layer} of {layers}: {}\x1b[K", super::size(self.bytes));
            drop(std::io::stderr().lock().write_all(line.as_bytes()));
        }
    }

    fn clear(&self) {
        if self.shown.is_some() {
            drop(std::io::stderr().lock().write_all(b"\r\x1b[K"));
        }
    }
}
