/*
 * Whether a file's client is there still: for who comes by another export.
 *
 * The last close() has returned, the client has told somebody else, who comes by a socket: that may
 * be before our reader has taken the kernel's RELEASE out of /dev/fuse. So the question must go
 * through the same queue. NOTIFY_RETRIEVE makes the kernel put a request of our choice at its end,
 * here with no bytes of what it has cached of the file: when a reader gets that, it has got
 * everything that was sent before it.
 *
 * Nobody waits meanwhile. A call to a file of our own mount would pass the queue, too, but its
 * thread could not be killed while it waits, and it would keep /dev/fuse open and itself waiting.
 */
#include <errno.h>

#include "export/fuse/fuse_internal.h"

enum owner_state barrier_look(void *arg)
{
	struct node *node = arg;

	if (atomic_load(&node->state) == FILE_CLOSED)
		return OWNER_CLOSING;
	switch (fuse_lowlevel_notify_retrieve(node->export->session, node->ino, 0, 0, node)) {
	case 0:
		return OWNER_ASKED;
	case -ENOENT: /* the kernel has forgotten the file: RELEASE was before that */
		return OWNER_CLOSING;
	default:
		return OWNER_ALIVE;
	}
}

void barrier_reply(fuse_req_t req, void *arg, fuse_ino_t ino, off_t offset,
		   struct fuse_bufvec *data)
{
	struct node *node = arg;

	fuse_reply_none(req);
	runtime_owner_answered(node->runtime, atomic_load(&node->state) != FILE_CLOSED);
}
