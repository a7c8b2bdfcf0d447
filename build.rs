//! Builds the tiny program that podrun carries within itself: a pod's pause, or its keeper.
//!
//! It is compiled by rustc directly and not as a package of its own: it must not get the flags that podrun is built
//! with (`.cargo/config.toml`), and a package would have to be chosen by whoever builds.

use std::error::Error;
use std::path::PathBuf;
use std::process::Command;

/// A static program at a fixed address that starts at our `_start`, without what it has no use for: start-up files,
/// libc, build id, unwind tables, symbols and a read-only relocation page of its own.
const FLAGS: &[&str] = &[
    "--edition=2024",
    "--crate-name=pause",
    "--crate-type=bin",
    "-Cpanic=abort",
    "-Copt-level=s",
    "-Ccodegen-units=1",
    "-Cdebuginfo=0",
    "-Coverflow-checks=off",
    "-Crelocation-model=static",
    "-Ctarget-feature=+crt-static",
    "-Cforce-unwind-tables=no",
    "-Cstrip=symbols",
    "-Clink-arg=-nostartfiles",
    "-Clink-arg=-nostdlib",
    "-Clink-arg=-static",
    "-Clink-arg=-no-pie",
    "-Clink-arg=-Wl,--build-id=none,--gc-sections,--no-eh-frame-hdr,-z,norelro,-z,noexecstack,-z,noseparate-code",
    "-Dwarnings",
    "-Dunsafe_op_in_unsafe_fn",
];

/// Tells the linker which functions to put side by side; see scripts/hot-code.
const HOT: &str = "src/hot.ld";

fn main() -> Result<(), Box<dyn Error>> {
    const SOURCE: &str = "src/pause/main.rs";
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/pause");
    println!("cargo::rerun-if-env-changed=RUSTC_LINKER");
    let variable = |name: &str| std::env::var(name).map_err(|error| format!("{name}: {error}"));
    let product = PathBuf::from(variable("OUT_DIR")?).join("pause");
    let mut rustc = Command::new(variable("RUSTC")?);
    rustc.args(FLAGS).arg("--target").arg(variable("TARGET")?).arg("-o").arg(&product).arg(SOURCE);
    if let Ok(linker) = variable("RUSTC_LINKER") {
        rustc.arg(format!("-Clinker={linker}"));
    }
    let status = rustc.status().map_err(|error| format!("cannot run rustc: {error}"))?;
    if !status.success() {
        return Err(format!("cannot build {SOURCE}: rustc ended with {status}").into());
    }
    println!("cargo::rustc-env=PODRUN_PAUSE={}", product.display());
    // The names in it are those of optimised code.
    if variable("PROFILE")? == "release" {
        println!("cargo::rerun-if-changed={HOT}");
        println!("cargo::rustc-link-arg-bins=-Wl,-T,{}/{HOT}", variable("CARGO_MANIFEST_DIR")?);
    }
    Ok(())
}
