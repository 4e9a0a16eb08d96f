//! How the program that is shipped is linked. On a kernel that maps files in large pieces all of it is resident, so what
//! nobody reads is left out: a panic aborts in it, so there is no unwinding; and addresses to be relocated are packed.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=unwind.ld");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|is| is == value);
    // Of all profiles only the release is built for size. What is linked with musl is static, and has neither.
    if is("OPT_LEVEL", "z") && is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu") {
        let here = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        for argument in ["--no-eh-frame-hdr", &format!("-T,{here}/unwind.ld"), "-z,pack-relative-relocs"] {
            println!("cargo::rustc-link-arg-bins=-Wl,{argument}");
        }
    }
}
