//! A packet of init's, or of the command's, that another process has written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use podrun::error::Error;
use podrun::sync::message::{FromInit, LARGEST, ToInit};

fuzz_target!(|packet: &[u8]| {
    if let Ok(message) = ToInit::decode(packet) {
        assert_eq!(message.encode(), packet);
    }
    let Ok(message) = FromInit::decode(packet) else { return };
    // Encoding may cut what came in longer than a packet, and comes to rest then.
    let once = message.encode();
    assert!(once.len() <= LARGEST, "{} bytes", once.len());
    let again = FromInit::decode(&once).unwrap_or_else(|error| panic!("{error}: {message:?}"));
    assert_eq!(again.encode(), once);
    if packet.len() <= LARGEST / 4 {
        assert_eq!(once, packet, "{message:?}");
    }
    if let FromInit::Failed(failure) = message {
        drop(Error::from(failure).to_string());
    }
});
