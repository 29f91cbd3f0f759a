/*
 * The SIGBUS guard: keeps a client that truncates its own memory file from
 * ending this process.
 *
 * A load from a mapped page that its file no longer has raises SIGBUS. The
 * guard knows all windows into client memory. Its handler puts zeros in place
 * of the whole window, says so in the client's `lost` flag (the device then
 * breaks), and lets the load happen again.
 *
 * The handler is there while any window is watched. A SIGBUS anywhere else goes
 * to the handler that was there before.
 */
#ifndef UVDPA_CLIENT_GUARD_H
#define UVDPA_CLIENT_GUARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct guard_window;

/*
 * Watches [base, base + size), which is one mapping, whole. `lost` must live until guard_forget.
 * Returns NULL when memory or descriptors are short. Any thread.
 */
struct guard_window *guard_watch(void *base, size_t size, _Atomic bool *lost);
/* Call before the range is unmapped, when nobody uses it any more. */
void guard_forget(struct guard_window *window);

/* How many windows are watched: for tests that look for leaks. */
size_t guard_windows(void);

#endif
