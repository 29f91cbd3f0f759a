/*
 * The memory of a client process, for address spaces (memory/client.h): mapped
 * where the client's mapping is a shared file, copied where it is not.
 */
#ifndef UVDPA_CLIENT_MEMORY_H
#define UVDPA_CLIENT_MEMORY_H

#include "memory/client.h"

struct process;

/* Takes a reference to the process. Returns NULL when memory is short. */
struct client_memory *client_memory_new(struct process *process);
/* No window is left. */
void client_memory_free(struct client_memory *memory);

#endif
