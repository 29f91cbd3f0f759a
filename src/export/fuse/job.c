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

static struct process_caller caller_of(struct job *job)
{
	struct process_caller caller;

	process_caller_init(&caller, job->tid, job->uid, job->node->name, &job->opened->known,
			    &job->opened->told);
	return caller;
}

/* Frees the request queue before the answer goes out: the client may come back at once. */
static void finish(struct job *job)
{
	struct node *node = job->node;

	free(job);
	fifo_answered(node);
}

/* Once unmounted, a late answer has nowhere to go: the session's descriptor may be another's. */
static bool nobody_waits(struct job *job)
{
	if (!job->req || !atomic_load(&job->node->export->gone))
		return false;
	fuse_reply_none(job->req);
	return true;
}

static void ioctl_reply(void *arg, int result, const void *out, size_t out_size)
{
	struct job *job = arg;
	fuse_req_t req = job->req;
	size_t size = out_size < job->out_max ? out_size : job->out_max;
	bool nobody = nobody_waits(job);

	runtime_count_call(job->node->runtime, job->came_ns);
	finish(job);
	if (nobody)
		return;
	if (result < 0)
		fuse_reply_err(req, -result);
	else
		fuse_reply_ioctl(req, result, out, size);
}

static void serve_ioctl(struct job *job)
{
	struct process_caller caller = caller_of(job);
	struct vdpa_call call = {
		.cmd = job->cmd, .arg = job->arg, .in = job->in, .in_size = job->in_size};
	uint8_t in[sizeof(job->in)];

	/* The job may be gone before the call returns. */
	memcpy(in, job->in, sizeof(in));
	call.in = in;
	vdpa_file_ioctl(job->opened->file, &caller.caller, &call, ioctl_reply, job);
}

static void serve_write(struct job *job)
{
	struct process_caller caller = caller_of(job);
	ssize_t n = vdpa_file_write(job->opened->file, &caller.caller, job->in, job->in_size);
	fuse_req_t req = job->req;
	size_t size = job->size;
	bool nobody = nobody_waits(job);

	runtime_count_call(job->node->runtime, job->came_ns);
	finish(job);
	if (nobody)
		return;
	if (n < 0)
		fuse_reply_err(req, (int)-n);
	else /* no more than was written: the kernel would take it for a broken server */
		fuse_reply_write(req, (size_t)n < size ? (size_t)n : size);
}

static void on_released(void *arg, int result)
{
	struct job *job = arg;

	process_unref(job->opened->known);
	free(job->opened);
	finish(job);
}

static void serve_release(struct job *job)
{
	if (!job->opened) /* the export closes: whoever has it open */
		job->opened = job->node->opened;
	job->node->opened = NULL;
	if (job->opened)
		vdpa_file_release(job->opened->file, on_released, job);
	else
		finish(job);
}

static struct opened *open_node(struct job *job, struct fault *fault_out)
{
	struct opened *opened = calloc(1, sizeof(*opened));
	char who[64], program[PROGRAM_TEXT];
	const struct device_owner holder = {.who = who, .look = barrier_look, .arg = job->node};

	if (!opened) {
		fault(fault_out, -ENOMEM, "no memory");
		return NULL;
	}
	program_of(job->tid, program);
	snprintf(who, sizeof(who), "a vhost-vdpa file, thread %d%s", (int)job->tid, program);
	if (vdpa_file_open(job->node->runtime, &job->node->options, &holder, &opened->file,
			   fault_out)) {
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
 * True: the client of another export may be leaving, and the job is served again when that is over.
 * Our own clients leave in the request queue: one that has the file open now was there when the job
 * came.
 */
static bool waits_for_leaving(struct job *job)
{
	struct node *node = job->node;

	if (job->waited || node->opened)
		return false;
	job->waited = true;
	node->waiter = job;
	node->wait.over = on_left;
	if (runtime_owner_settled(node->runtime, &node->wait))
		return false;
	/* Whoever stops the export may have looked for waiters just before. */
	return !atomic_load(&node->export->stopping) ||
	       !runtime_owner_wait_cancel(node->runtime, &node->wait);
}

void job_stop_waiting(struct node *node)
{
	if (runtime_owner_wait_cancel(node->runtime, &node->wait))
		fifo_again(node->waiter);
}

/* The answer is ours to give. False: the client was killed meanwhile, and has been let go. */
static bool take_answer(struct job *job)
{
	bool first = !atomic_exchange(&job->taken, true);

	if (first) /* also waits for on_interrupt to be over with the job */
		fuse_req_interrupt_func(job->req, NULL, NULL);
	return first;
}

/*
 * Linux's open() does not wait, so its callers do not expect EINTR: signals that they handle have
 * to wait for the answer, too. One that kills does not.
 */
static void on_interrupt(fuse_req_t req, void *arg)
{
	struct job *job = arg;

	if (process_is_killed(job->tid) && !atomic_exchange(&job->taken, true))
		fuse_reply_err(req, EINTR);
}

void job_open_begin(struct job *job)
{
	if (!fuse_req_interrupted(job->req))
		fuse_req_interrupt_func(job->req, on_interrupt, job);
}

static void refuse(struct node *node, fuse_req_t req, const struct fault *fault)
{
	log_trace(node->name, "not opened: %s", fault->text);
	fuse_reply_err(req, -fault->code);
}

bool job_refuse_open(struct job *job)
{
	struct node *node = job->node;
	struct fault fault;

	if (atomic_load(&node->state) != FILE_OPEN || !runtime_owner_check(node->runtime, &fault))
		return false;
	refuse(node, job->req, &fault);
	free(job);
	return true;
}

static void serve_open(struct job *job)
{
	struct node *node = job->node;
	fuse_req_t req = job->req;
	struct fault fault;

	if (waits_for_leaving(job))
		return;
	if (!take_answer(job) || nobody_waits(job)) {
		finish(job);
		return;
	}
	/* Before the claim: who looks at that must find us opening. */
	if (!node->opened)
		atomic_store(&node->state, FILE_OPENING);
	job->opened = open_node(job, &fault);
	if (!job->opened) {
		if (!node->opened)
			atomic_store(&node->state, FILE_CLOSED);
		finish(job);
		refuse(node, req, &fault);
		return;
	}
	node->opened = job->opened;
	/* Before the answer, after which the client may close. */
	atomic_store(&node->state, FILE_OPEN);
	job->info.fh = (uintptr_t)job->opened;
	job->info.direct_io = 1;
	job->info.nonseekable = 1;
	/* Before the request queue goes on: if nobody waits for the answer any more, it is closed
	 * again. */
	if (fuse_reply_open(req, &job->info)) {
		atomic_store(&node->state, FILE_CLOSED);
		serve_release(job);
	} else {
		finish(job);
	}
}

void job_serve(struct job *job)
{
	switch (job->kind) {
	case JOB_OPEN:
		serve_open(job);
		break;
	case JOB_IOCTL:
		serve_ioctl(job);
		break;
	case JOB_WRITE:
		serve_write(job);
		break;
	case JOB_RELEASE:
		serve_release(job);
		break;
	}
}

struct job *fuse_release_job(struct node *node)
{
	struct job *job = calloc(1, sizeof(*job));

	if (!job)
		return NULL;
	job->kind = JOB_RELEASE;
	job->node = node;
	return job;
}
