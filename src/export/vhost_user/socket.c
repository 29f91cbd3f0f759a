/*
 * The listening socket: its name, who may connect, and its end.
 */
#include "export/vhost_user/vhost_user_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int vu_listen(struct vhost_user *door, struct fault *f)
{
	const struct unixname_access access = {door->mode, door->gid};
	int r;

	door->listen_fd =
		unixname_bind(door->path, SOCK_STREAM, door->mode ? &access : NULL, &door->name, f);
	if (door->listen_fd < 0)
		return door->listen_fd;
	if (listen(door->listen_fd, 4) == 0)
		return 0;
	r = -errno;
	vu_unlisten(door);
	return fault(f, r, "%s: cannot listen: %s", door->path, strerror(-r));
}

void vu_unlisten(struct vhost_user *door)
{
	if (door->listen_fd < 0)
		return;
	unixname_remove(&door->name);
	close(door->listen_fd);
	door->listen_fd = -1;
}
