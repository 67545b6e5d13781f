/* The loader runs this before main: safe Rust cannot change these settings of its allocator.
 *
 * Some threads allocate large pieces to read, render and encode; other threads free them. By default glibc has eight arenas per core,
 * and none returns the memory that lies free between pieces in use. Glibc also maps large pieces separately, and returns those at once,
 * but raises the size limit for that by itself to the largest piece freed, up to 32 MiB. */
#include <malloc.h>

#ifdef __GLIBC__
__attribute__((constructor)) static void bound_retained_memory(void) {
    mallopt(M_ARENA_MAX, 2);
    mallopt(M_MMAP_THRESHOLD, 128 * 1024);
}
#endif
