/*
 * The listening socket: its name, who may connect, and its end.
 */
#include "export/vhost_user/vhost_user_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int vu_listen(struct vhost_user *export, struct error *f)
{
	const struct unixname_access access = {export->mode, export->gid};
	int r;

	export->listen_fd = unixname_bind(export->path, SOCK_STREAM, export->mode ? &access : NULL,
					  &export->name, f);
	if (export->listen_fd < 0)
		return export->listen_fd;
	if (listen(export->listen_fd, 4) == 0)
		return 0;
	r = -errno;
	vu_unlisten(export);
	return error_set(f, r, "%s: cannot listen: %s", export->path, strerror(-r));
}

void vu_unlisten(struct vhost_user *export)
{
	if (export->listen_fd < 0)
		return;
	unixname_remove(&export->name);
	close(export->listen_fd);
	export->listen_fd = -1;
}
