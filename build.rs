//! Compiles the settings of the allocator, and links them into the program.

fn main() {
    println!("cargo::rerun-if-changed=src/allocator.c");
    // As an object, since nothing names it: of a library, the linker would leave it out.
    for object in cc::Build::new()
        .file("src/allocator.c")
        .compile_intermediates()
    {
        println!("cargo::rustc-link-arg-bins={}", object.display());
    }
}
