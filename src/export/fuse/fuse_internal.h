/*
 * What the files of the FUSE export share.
 *
 * Theory of operation
 * -------------------
 *    /dev/fuse -> reader -> request queue of the device -> table (export/vdpa/vdpa.h) -> reply
 *
 * Requests of one device are served one after the other, in the order in which
 * the kernel sent them: its *request queue* is a queue with at most one request at work.
 * A reader that finds the request queue free serves the request itself at once; else it
 * leaves it to whoever serves the one before. A request that is answered later
 * (a suspend that drains) keeps its request queue and no thread; when its answer comes,
 * an executor goes on with the request queue, since the answer comes from a worker with
 * the runtime's lock held.
 *
 * The order matters for close and open: the kernel sends RELEASE without
 * waiting, and a client that opens again at once must not find itself in the
 * way. So receiving a request and putting it in its request queue is one step under the
 * `receiving` lock, and opening waits in the request queue behind the release. The kernel
 * has put RELEASE into our queue before the last close() returns and before
 * a killed client is reaped, and OPEN comes after it in the same queue. FLUSH
 * would not do instead: dup() and fork() share what it is sent for.
 *
 * So whoever opens a file that is open in the order of the queue meets a living
 * client, and is told at once, outside of the request queue: that client may be in a
 * call that takes long. Who opens while somebody else's client leaves by another
 * export waits, with the request queue parked, until it is known how that ends; and how
 * another export finds out whether a file's client has left is in fuse_barrier.c.
 *
 * A client can make its thread here wait for ever, with memory that it answers
 * for itself (userfaultfd). That costs its own device's request queue: before a reader
 * serves a request it sees to it that another reader is left (fuse_threads.c).
 */
#ifndef UVDPA_EXPORT_FUSE_FUSE_INTERNAL_H
#define UVDPA_EXPORT_FUSE_FUSE_INTERNAL_H

#define FUSE_USE_VERSION 35
#include <fuse3/fuse_lowlevel.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

#include "device/limits.h"
#include "client/caller.h"
#include "export/fuse/fuse.h"
#include "export/vdpa/vdpa.h"
#include "runtime/runtime.h"

struct node;

/* An open device file. */
struct opened {
	struct vdpa_file *file;
	struct process *known; /* who called last */
	bool logged;
};

/* What the requests received so far make of a file; they may still be in its request queue. */
enum file_state { FILE_CLOSED, FILE_OPENING, FILE_OPEN };

enum fuse_request_kind { REQUEST_OPEN, REQUEST_IOCTL, REQUEST_WRITE, REQUEST_RELEASE };

/* A request in a request queue. */
struct fuse_request {
	struct fuse_request *next;
	enum fuse_request_kind kind;
	struct node *node;
	fuse_req_t req; /* NULL: answered already */
	pid_t tid;
	uid_t uid;
	struct opened *opened;
	struct fuse_file_info info; /* REQUEST_OPEN, as the next two */
	bool waited;		    /* for who leaves; that is over */
	_Atomic bool taken; /* somebody answers it: the request queue, or its client was killed */
	unsigned cmd;
	uint64_t arg;
	size_t out_max;
	size_t size; /* of the message as written; `in` has as much of it as matters */
	size_t in_size;
	uint64_t came_ns; /* for the trace */
	uint8_t in[72];
};

/*
 * A request queue's request at work: who comes second, its answer (or its going on) or the thread
 * that serves it?
 */
enum fifo_step { FIFO_SERVING, FIFO_PARKED, FIFO_ANSWERED, FIFO_AGAIN };

struct fifo {
	pthread_mutex_t lock;
	bool busy; /* a request is at work */
	struct fuse_request *first, **last;
	_Atomic int step;
};

/* A device's file. */
struct node {
	struct fuse_export *export;
	char name[DEVICE_NAME_MAX + 1];
	fuse_ino_t ino;
	struct runtime *runtime;
	struct vdpa_options options;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	struct fifo fifo;
	struct opened *opened; /* who has it open: used in the request queue only */
	_Atomic int state;     /* enum file_state */
	struct owner_wait wait;
	struct fuse_request
		*waiter; /* the opening that `wait` is for: it is at work in the request queue */
};

struct fuse_export {
	char *mountpoint;
	struct fuse_export_options options;
	struct node **nodes; /* inode number: index + FIRST_INO */
	unsigned node_count;
	struct timespec made;

	struct fuse_session *session;
	int stop_fd; /* readable: readers go */
	_Atomic bool stopping;
	_Atomic bool gone; /* unmounted: nobody is left to answer */

	pthread_mutex_t receiving; /* around taking a request and putting it in its request queue */
	struct fuse_buf buffer;
	_Atomic unsigned free_readers; /* the receiver while it receives, and the reserves */
	_Atomic uint64_t serving;      /* ns: how long the receiver has been at a request */
	_Atomic bool watched;	       /* the timer is set */
	_Atomic uint64_t awake_until;  /* ns; the receiver does not sleep before */
	int relief_fd;		       /* timerfd: reserves look whether they are needed */

	pthread_mutex_t threads_lock;
	pthread_t *threads; /* readers and executors */
	unsigned thread_count, thread_max;

	pthread_mutex_t ready_lock;
	pthread_cond_t ready_changed;
	struct fuse_request *ready,
		**ready_last; /* for executors: the next of a request queue each */
	unsigned ready_count, executors, idle_executors;
	bool executors_stop;
};

#define FIRST_INO 2

/* fuse_fifo.c */
void fifo_init(struct fifo *fifo);
/* Puts a request at the end of its request queue. True: the request queue was free, the caller runs
 * fifo_serve. */
bool fifo_put(struct fuse_request *request);
/* Serves `request` and what comes after it in its request queue, until the request queue is empty
 * or parked. */
void fifo_serve(struct fuse_request *request);
bool fifo_idle(struct fifo *fifo);
/* Serves the request at work once more: what it waited for is over. Any thread, takes no time. */
void fifo_again(struct fuse_request *request);

/* fuse_request.c: serves one request; calls fifo_answered exactly once, now or later. */
void request_serve(struct fuse_request *request);
void fifo_answered(struct node *node);
/* An opening that has to wait may be interrupted from now on. In the receiver, as what follows. */
void request_open_begin(struct fuse_request *request);
/* Answers an opening if the file is open, in the order of requests. False: it has to get in request
 * queue.
 */
bool request_refuse_open(struct fuse_request *request);
/* The openings that wait for others to leave wait no longer: the export stops. */
void request_stop_waiting(struct node *node);

/* fuse_barrier.c: whether the file's client is there still. For struct owner. */
enum owner_state barrier_look(void *node);
/* The operation that brings a barrier's answer. */
void barrier_reply(fuse_req_t req, void *node, fuse_ino_t ino, off_t offset,
		   struct fuse_bufvec *data);

/* fuse_ops.c: the operations of the file system. */
extern const struct fuse_lowlevel_ops fuse_export_ops;
/* The request that the operation just called wants served by the thread that took it. */
struct fuse_request *fuse_take_mine(void);
/* A release without a request: the export closes. NULL when memory is short. */
struct fuse_request *fuse_release_request(struct node *node);

/* fuse_threads.c */
int threads_start(struct fuse_export *export, struct error *err);
/* Waits until no request queue has a request at work. False: one still has. */
bool threads_wait_idle(struct fuse_export *export, unsigned seconds);
/* Ends all threads. Returns how many would not come back. */
unsigned threads_stop(struct fuse_export *export);
void executor_submit(struct fuse_export *export, struct fuse_request *request);

#endif
