/* What each request to a device file does, once it is its turn. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "export/fuse/fuse_internal.h"
#include "client/process.h"
#include "runtime/runtime.h"
#include "client/program.h"
#include "util/log.h"

static struct process_caller caller_of(struct fuse_request *request)
{
	struct process_caller caller;

	process_caller_init(&caller, request->tid, request->uid, request->node->name,
			    &request->opened->known, &request->opened->logged);
	return caller;
}

/* Frees the request queue before the answer goes out: the client may come back at once. */
static void finish(struct fuse_request *request)
{
	struct node *node = request->node;

	free(request);
	fifo_answered(node);
}

/* Once unmounted, a late answer has nowhere to go: the session's descriptor may be another's. */
static bool nobody_waits(struct fuse_request *request)
{
	if (!request->req || !atomic_load(&request->node->export->gone))
		return false;
	fuse_reply_none(request->req);
	return true;
}

static void ioctl_reply(void *arg, int result, const void *out, size_t out_size)
{
	struct fuse_request *request = arg;
	fuse_req_t req = request->req;
	size_t size = out_size < request->out_max ? out_size : request->out_max;
	bool nobody = nobody_waits(request);

	runtime_count_call(request->node->runtime, request->came_ns);
	finish(request);
	if (nobody)
		return;
	if (result < 0)
		fuse_reply_err(req, -result);
	else
		fuse_reply_ioctl(req, result, out, size);
}

static void serve_ioctl(struct fuse_request *request)
{
	struct process_caller caller = caller_of(request);
	struct vdpa_call call = {.cmd = request->cmd,
				 .arg = request->arg,
				 .in = request->in,
				 .in_size = request->in_size};
	uint8_t in[sizeof(request->in)];

	/* The request may be gone before the call returns. */
	memcpy(in, request->in, sizeof(in));
	call.in = in;
	vdpa_file_ioctl(request->opened->file, &caller.caller, &call, ioctl_reply, request);
}

static void serve_write(struct fuse_request *request)
{
	struct process_caller caller = caller_of(request);
	ssize_t n = vdpa_file_write(request->opened->file, &caller.caller, request->in,
				    request->in_size);
	fuse_req_t req = request->req;
	size_t size = request->size;
	bool nobody = nobody_waits(request);

	runtime_count_call(request->node->runtime, request->came_ns);
	finish(request);
	if (nobody)
		return;
	if (n < 0)
		fuse_reply_err(req, (int)-n);
	else /* no more than was written: the kernel would take it for a broken server */
		fuse_reply_write(req, (size_t)n < size ? (size_t)n : size);
}

static void on_released(void *arg, int result)
{
	struct fuse_request *request = arg;

	process_unref(request->opened->known);
	free(request->opened);
	finish(request);
}

static void serve_release(struct fuse_request *request)
{
	if (!request->opened) /* the export closes: whoever has it open */
		request->opened = request->node->opened;
	request->node->opened = NULL;
	if (request->opened)
		vdpa_file_release(request->opened->file, on_released, request);
	else
		finish(request);
}

static struct opened *open_node(struct fuse_request *request, struct error *err)
{
	struct opened *opened = calloc(1, sizeof(*opened));
	char who[64], program[PROGRAM_TEXT];
	const struct device_owner holder = {.who = who, .look = barrier_look, .arg = request->node};

	if (!opened) {
		error_set(err, -ENOMEM, "no memory");
		return NULL;
	}
	program_of(request->tid, program);
	snprintf(who, sizeof(who), "a vhost-vdpa file, thread %d%s", (int)request->tid, program);
	if (vdpa_file_open(request->node->runtime, &request->node->options, &holder, &opened->file,
			   err)) {
		free(opened);
		return NULL;
	}
	return opened;
}

static void on_left(struct owner_wait *wait)
{
	struct node *node = (struct node *)((char *)wait - offsetof(struct node, wait));

	fifo_again(node->waiter);
}

/*
 * True: the client of another export may be leaving, and the request is served again when that is
 * over. Our own clients leave in the request queue: one that has the file open now was there when
 * the request came.
 */
static bool waits_for_leaving(struct fuse_request *request)
{
	struct node *node = request->node;

	if (request->waited || node->opened)
		return false;
	request->waited = true;
	node->waiter = request;
	node->wait.over = on_left;
	if (runtime_owner_settled(node->runtime, &node->wait))
		return false;
	/* Whoever stops the export may have looked for waiters just before. */
	return !atomic_load(&node->export->stopping) ||
	       !runtime_owner_wait_cancel(node->runtime, &node->wait);
}

void request_stop_waiting(struct node *node)
{
	if (runtime_owner_wait_cancel(node->runtime, &node->wait))
		fifo_again(node->waiter);
}

/* The answer is ours to give. False: the client was killed meanwhile, and has been let go. */
static bool take_answer(struct fuse_request *request)
{
	bool first = !atomic_exchange(&request->taken, true);

	if (first) /* also waits for on_interrupt to be over with the request */
		fuse_req_interrupt_func(request->req, NULL, NULL);
	return first;
}

/*
 * Linux's open() does not wait, so its callers do not expect EINTR: signals that they handle have
 * to wait for the answer, too. One that kills does not.
 */
static void on_interrupt(fuse_req_t req, void *arg)
{
	struct fuse_request *request = arg;

	if (process_is_killed(request->tid) && !atomic_exchange(&request->taken, true))
		fuse_reply_err(req, EINTR);
}

void request_open_begin(struct fuse_request *request)
{
	if (!fuse_req_interrupted(request->req))
		fuse_req_interrupt_func(request->req, on_interrupt, request);
}

static void refuse(struct node *node, fuse_req_t req, const struct error *err)
{
	log_trace(node->name, "not opened: %s", err->text);
	fuse_reply_err(req, -err->code);
}

bool request_refuse_open(struct fuse_request *request)
{
	struct node *node = request->node;
	struct error err;

	if (atomic_load(&node->state) != FILE_OPEN || !runtime_owner_check(node->runtime, &err))
		return false;
	refuse(node, request->req, &err);
	free(request);
	return true;
}

static void serve_open(struct fuse_request *request)
{
	struct node *node = request->node;
	fuse_req_t req = request->req;
	struct error err;

	if (waits_for_leaving(request))
		return;
	if (!take_answer(request) || nobody_waits(request)) {
		finish(request);
		return;
	}
	/* Before the claim: who looks at that must find us opening. */
	if (!node->opened)
		atomic_store(&node->state, FILE_OPENING);
	request->opened = open_node(request, &err);
	if (!request->opened) {
		if (!node->opened)
			atomic_store(&node->state, FILE_CLOSED);
		finish(request);
		refuse(node, req, &err);
		return;
	}
	node->opened = request->opened;
	/* Before the answer, after which the client may close. */
	atomic_store(&node->state, FILE_OPEN);
	request->info.fh = (uintptr_t)request->opened;
	request->info.direct_io = 1;
	request->info.nonseekable = 1;
	/* Before the request queue goes on: if nobody waits for the answer any more, it is closed
	 * again. */
	if (fuse_reply_open(req, &request->info)) {
		atomic_store(&node->state, FILE_CLOSED);
		serve_release(request);
	} else {
		finish(request);
	}
}

void request_serve(struct fuse_request *request)
{
	switch (request->kind) {
	case REQUEST_OPEN:
		serve_open(request);
		break;
	case REQUEST_IOCTL:
		serve_ioctl(request);
		break;
	case REQUEST_WRITE:
		serve_write(request);
		break;
	case REQUEST_RELEASE:
		serve_release(request);
		break;
	}
}

struct fuse_request *fuse_release_request(struct node *node)
{
	struct fuse_request *request = calloc(1, sizeof(*request));

	if (!request)
		return NULL;
	request->kind = REQUEST_RELEASE;
	request->node = node;
	return request;
}
