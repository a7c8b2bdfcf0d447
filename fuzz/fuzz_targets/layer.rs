//! A layer of an image, packed or not: the stream, the archive in it, and the paths that its entries name.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|blob: &[u8]| podrun::image::fuzzing::read_layer(blob));
