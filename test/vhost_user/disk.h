/* For tests of the vhost-user export: a disk of this process, served on a socket of its own. */
#ifndef TEST_VHOST_USER_DISK_H
#define TEST_VHOST_USER_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "backend/backends.h"
#include "export/vhost_user/vhost_user.h"
#include "runtime/runtime.h"

struct disk_options {
	uint64_t size;				   /* bytes; 0: 16 MiB */
	unsigned queues;			   /* 0: 1 */
	const char *file;			   /* NULL: in memory */
	const char *path;			   /* of the socket; NULL: in a folder of its own */
	uint32_t reconnect_ms;			   /* not 0: connect to `path`, so often */
	bool packed;				   /* offer packed rings */
	bool ring_reset;			   /* offer VIRTIO_F_RING_RESET */
	bool no_suspend, no_resume;		   /* suspend=off, resume=off */
	uint32_t timeout_ms;			   /* of suspensions; 0: 5000 */
	const struct block_fault_options *trouble; /* NULL: none */
};

struct disk {
	struct runtime *runtime;
	struct vhost_user *export;
	char dir[64], path[96];
};

void disk_open(struct disk *disk, const struct disk_options *options);
void disk_close(struct disk *disk);

/* What this process has: for counting before and after. */
struct holdings {
	unsigned fds, threads;
	unsigned maps;	  /* of shared files: what regions, logs and records are */
	unsigned regions; /* of clients' memory, by the export's own count */
};

struct holdings holdings_now(void);
/* A server lets go in its own time, of one thing after the other: waits for all of it. False:
 * something is left, which is printed. */
bool holdings_return_to(const struct holdings *before);

#endif
