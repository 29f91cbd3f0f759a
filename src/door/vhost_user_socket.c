/*
 * The listening socket: its name, who may connect, and its end.
 */
#include "door/vhost_user_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Before anybody can connect: who may. */
static int set_access(const struct vhost_user *door)
{
	if (!door->mode)
		return 0;
	if (door->gid != (gid_t)-1 && chown(door->path, (uid_t)-1, door->gid) < 0)
		return -errno;
	return chmod(door->path, door->mode) < 0 ? -errno : 0;
}

int vu_listen(struct vhost_user *door, struct fault *f)
{
	int r;

	door->listen_fd = unixname_bind(door->path, SOCK_STREAM, &door->name, f);
	if (door->listen_fd < 0)
		return door->listen_fd;
	r = set_access(door);
	if (r == 0 && listen(door->listen_fd, 4) < 0)
		r = -errno;
	if (r == 0)
		return 0;
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
