//! Compiles the allocator settings and links them into the program.

fn main() {
    println!("cargo::rerun-if-changed=src/allocator.c");
    // Linked as an object, since no code references it: the linker would drop it from a library.
    for object in cc::Build::new()
        .file("src/allocator.c")
        .compile_intermediates()
    {
        println!("cargo::rustc-link-arg-bins={}", object.display());
    }
}
