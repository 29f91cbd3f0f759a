/*
 * The operations of the file system. All run in a reader with the receiving
 * lock held: those of the directory are answered here, those of a device file
 * only become requests.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "export/fuse/fuse_internal.h"
#include "runtime/runtime.h"

/* How long the kernel may remember names and attributes, in seconds. */
#define REMEMBER 1.0

static _Thread_local struct fuse_request *mine;

struct fuse_request *fuse_take_mine(void)
{
	struct fuse_request *request = mine;

	mine = NULL;
	return request;
}

static struct fuse_export *export_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static struct node *node_of(fuse_req_t req, fuse_ino_t ino)
{
	struct fuse_export *export = export_of(req);

	return ino >= FIRST_INO && ino - FIRST_INO < export->node_count
		       ? export->nodes[ino - FIRST_INO]
		       : NULL;
}

static struct stat attributes(struct fuse_export *export, fuse_ino_t ino, const struct node *node)
{
	return (struct stat){
		.st_ino = ino,
		.st_mode = node ? S_IFREG | node->mode : S_IFDIR | 0755,
		.st_nlink = node ? 1 : 2,
		.st_uid = node ? node->uid : geteuid(),
		.st_gid = node ? node->gid : getegid(),
		.st_atim = export->made,
		.st_mtim = export->made,
		.st_ctim = export->made,
	};
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	/*
	 * Messages are small and wanted in memory. max_write stays as large as it is: it limits the
	 * pages of a request, and a message may lie across pages, in as many pieces as writev
	 * takes.
	 */
	conn->want &= ~(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
	/*
	 * Who has many devices open and is killed sends RELEASE for each. Those beyond this number
	 * the kernel would hold back, and let OPENs that come later pass them.
	 */
	conn->max_background = UINT16_MAX;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_export *export = export_of(req);
	struct fuse_entry_param entry = {
		.generation = 1, .attr_timeout = REMEMBER, .entry_timeout = REMEMBER};

	for (unsigned i = 0; parent == FUSE_ROOT_ID && i < export->node_count; i++) {
		if (strcmp(export->nodes[i]->name, name) != 0)
			continue;
		entry.ino = i + FIRST_INO;
		entry.attr = attributes(export, entry.ino, export->nodes[i]);
		fuse_reply_entry(req, &entry);
		return;
	}
	fuse_reply_err(req, ENOENT);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
	struct node *node = node_of(req, ino);
	struct stat st = attributes(export_of(req), ino, node);

	if (!node && ino != FUSE_ROOT_ID)
		fuse_reply_err(req, ENOENT);
	else
		/* A look at the directory always asks: a dead server is noticed at once. */
		fuse_reply_attr(req, &st, node ? REMEMBER : 0);
}

/* Owner and mode may be changed (the kernel has checked who asks); O_TRUNC and times do nothing. */
static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *to, int what,
		       struct fuse_file_info *info)
{
	struct node *node = node_of(req, ino);

	if (!node) {
		fuse_reply_err(req, EPERM);
		return;
	}
	if (what & FUSE_SET_ATTR_MODE)
		node->mode = to->st_mode & 0777;
	if (what & FUSE_SET_ATTR_UID)
		node->uid = to->st_uid;
	if (what & FUSE_SET_ATTR_GID)
		node->gid = to->st_gid;
	op_getattr(req, ino, info);
}

/* Entry `index` of the directory; index 0 and 1 are the usual two. */
static size_t add_entry(fuse_req_t req, char *to, size_t room, unsigned index)
{
	struct fuse_export *export = export_of(req);
	struct stat st = {.st_ino = FUSE_ROOT_ID, .st_mode = S_IFDIR};
	const char *name = index == 0 ? "." : "..";

	if (index >= 2) {
		st = (struct stat){.st_ino = index - 2 + FIRST_INO, .st_mode = S_IFREG};
		name = export->nodes[index - 2]->name;
	}
	return fuse_add_direntry(req, to, room, name, &st, index + 1);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		       struct fuse_file_info *info)
{
	unsigned count = export_of(req)->node_count + 2;
	char buffer[4096];
	size_t used = 0, room = size < sizeof(buffer) ? size : sizeof(buffer);

	if (ino != FUSE_ROOT_ID) {
		fuse_reply_err(req, ENOTDIR);
		return;
	}
	for (unsigned i = offset < 0 || offset > count ? count : (unsigned)offset; i < count; i++) {
		size_t n = add_entry(req, buffer + used, room - used, i);

		if (n > room - used)
			break;
		used += n;
	}
	fuse_reply_buf(req, buffer, used);
}

/* Makes a request a request of its device. NULL: answered with an error already. */
static struct fuse_request *make_request(fuse_req_t req, fuse_ino_t ino,
					 enum fuse_request_kind kind, struct fuse_file_info *info)
{
	struct node *node = node_of(req, ino);
	struct fuse_request *request = node ? malloc(sizeof(*request)) : NULL;

	if (!request) {
		fuse_reply_err(req, node ? ENOMEM : EISDIR);
		return NULL;
	}
	*request = (struct fuse_request){.kind = kind,
					 .node = node,
					 .req = req,
					 .came_ns = runtime_now_ns(),
					 .tid = fuse_req_ctx(req)->pid,
					 .uid = fuse_req_ctx(req)->uid,
					 .opened = (struct opened *)(uintptr_t)info->fh};
	return request;
}

static void put(struct fuse_request *request)
{
	if (fifo_put(request))
		mine = request;
}

static void set_input(struct fuse_request *request, const void *in, size_t size)
{
	request->size = size;
	request->in_size = size < sizeof(request->in) ? size : sizeof(request->in);
	if (request->in_size)
		memcpy(request->in, in, request->in_size);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
	struct fuse_request *request = make_request(req, ino, REQUEST_OPEN, info);

	if (!request)
		return;
	request->info = *info;
	if (request_refuse_open(request))
		return;
	request_open_begin(request);
	put(request);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
	struct fuse_request *request = make_request(req, ino, REQUEST_RELEASE, info);

	if (!request)
		return;
	atomic_store(&request->node->state, FILE_CLOSED);
	/* Nobody waits for it, and unanswered ones would hold back others in the kernel. */
	request->req = NULL;
	fuse_reply_err(req, 0);
	put(request);
}

static void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned cmd, void *arg,
		     struct fuse_file_info *info, unsigned flags, const void *in, size_t in_size,
		     size_t out_size)
{
	struct fuse_request *request = make_request(req, ino, REQUEST_IOCTL, info);

	if (!request)
		return;
	request->cmd = cmd;
	request->arg = (uintptr_t)arg;
	request->out_max = out_size;
	set_input(request, in, in_size);
	put(request);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *bytes, size_t size, off_t offset,
		     struct fuse_file_info *info)
{
	struct fuse_request *request = make_request(req, ino, REQUEST_WRITE, info);

	if (!request)
		return;
	set_input(request, bytes, size);
	put(request);
}

/* vhost-vdpa has no read operation (vhost_vdpa_fops). */
static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		    struct fuse_file_info *info)
{
	fuse_reply_err(req, EINVAL);
}

/* No poll: the kernel then takes the file as always ready, which is what vhost-vdpa files are. */
const struct fuse_lowlevel_ops fuse_export_ops = {
	.init = op_init,
	.lookup = op_lookup,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.readdir = op_readdir,
	.open = op_open,
	.release = op_release,
	.ioctl = op_ioctl,
	.write = op_write,
	.read = op_read,
	.retrieve_reply = barrier_reply,
};
