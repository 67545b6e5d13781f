/* The loader runs this before main: safe Rust cannot change these settings of its allocator.
 *
 * Some threads allocate large pieces to read, render and encode; other threads free them. By default glibc has eight arenas per core,
 * and none returns the memory that lies free between pieces in use. Glibc also maps large pieces separately, and returns those at once,
 * but raises the size limit for that by itself to the largest piece freed, up to 32 MiB. (mimalloc retains freed memory per thread, too.)
 *
 * Under a mixed load with some 140 MB weighed (`benches/memory/run`), resident memory was 2.5 times that after seven minutes with default
 * glibc, 1.8 with two arenas alone, 1.5 with the mapping alone, and 1.4 with both; with both over 20 minutes it was 1.4 on average and 1.5
 * at the end (223 MB for 150; 1.6 just after a purge). */
#include <malloc.h>

#ifdef __GLIBC__
__attribute__((constructor)) static void bound_retained_memory(void) {
    mallopt(M_ARENA_MAX, 2);
    mallopt(M_MMAP_THRESHOLD, 128 * 1024);
}
#endif
