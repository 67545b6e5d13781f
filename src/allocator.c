/* Run by the loader before main: the process cannot say this to its allocator in safe Rust.
 *
 * Large pieces are allocated on the threads that read, render and encode, and freed on others. By default glibc has eight arenas for
 * each core, none of which gives back what lies free between pieces that are kept, and it raises the size from which a piece is mapped
 * by itself, and so given back at once, to that of the largest one freed, up to 32 MiB. */
#include <malloc.h>

#ifdef __GLIBC__
__attribute__((constructor)) static void bound_what_is_kept_of_freed_memory(void) {
    mallopt(M_ARENA_MAX, 2);
    mallopt(M_MMAP_THRESHOLD, 128 * 1024);
}
#endif
