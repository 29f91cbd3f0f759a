/*
 * libuvdpa-driver: the driver's end of a vhost-vdpa device.
 *
 * Works against the kernel's /dev/vhost-vdpa-N, against a file served by uvdpa
 * and, with a transport of the caller's, against a device in the same process.
 *
 *	uvdpa_driver_open(path, 0, &drv, &error);
 *	uvdpa_driver_negotiate(drv, wanted, &features, &error);
 *	uvdpa_memory_new(&(struct uvdpa_memory_options){.size = 16 << 20}, &memory, &error);
 *	uvdpa_driver_map(drv, memory, 0, &error);
 *	uvdpa_queue_new(memory, &(struct uvdpa_queue_options){.size = 256, .features = features},
 *			&queue, &error);
 *	uvdpa_driver_attach(drv, 0, queue, uvdpa_queue_base(queue), &error);
 *	uvdpa_driver_start(drv, &error);
 *	... uvdpa_queue_add(), uvdpa_queue_submit(), uvdpa_queue_wait(), uvdpa_queue_poll() ...
 *	uvdpa_handover(drv, other, 0, &times, &error);
 *
 * Conventions, for every function of every header here:
 *
 * Results    int results are 0 (or a count) for success and a negative errno for
 *            failure. Nothing else is reported through errno itself.
 * Errors     `error`, where there is one, may be NULL. On failure it gets the code and one
 *            line that says what was wrong, where, and what to do; on success it is left alone.
 * Ownership  what a _new() or _open() function returns belongs to the caller until the _free()
 *            or _close() of the same name, each of which accepts NULL. Pointers got from an
 *            object live as long as the object.
 * Threads    an object is used by one thread at a time. Exceptions: uvdpa_queue_kick_always()
 *            and the calls of driver_raw.h may be made from any thread at any time; and a
 *            queue may be in use by one thread while another suspends, resumes, or hands over
 *            the device that it is attached to.
 * Units      lengths and addresses in bytes, times in nanoseconds of CLOCK_MONOTONIC, timeouts in
 *            milliseconds, disk positions in sectors of 512 bytes.
 * Trust      a device is a stranger: nothing that it answers or writes ends the process. A
 *            queue that finds nonsense in its ring stops, and says why (uvdpa_queue_error()).
 *
 * "Clause S1" to "S14" are uvdpa's suspend contract; "linux: f()" names the kernel function
 * whose behaviour a call meets; "virtio 2.7" is a section of virtio 1.3.
 */
#ifndef UVDPA_DRIVER_H
#define UVDPA_DRIVER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct uvdpa_error {
	int code; /* negative errno */
	char text[400];
};

/*
 * How a driver reaches its device. The functions answer as the file operations of
 * /dev/vhost-vdpa-N do, with a negative errno instead of -1:
 *
 * ioctl   `cmd` and `arg` as given to ioctl(2); 0 or positive for success
 * write   one IOTLB message (linux: vhost_chr_write_iter()); the bytes taken
 * close   the connection ends and the device is released; `ctx` is not used again.
 *         May be NULL.
 *
 * ioctl and write may be called from several threads at once.
 */
struct uvdpa_transport {
	int (*ioctl)(void *ctx, unsigned long cmd, void *arg);
	ssize_t (*write)(void *ctx, const void *buf, size_t len);
	void (*close)(void *ctx);
};

/* A connection to one device. */
struct uvdpa_driver;

/* The library's version, "MAJOR.MINOR.PATCH". */
const char *uvdpa_driver_version(void);

/* Opening: do not take ownership; for a checker that tries what strangers may do. */
#define UVDPA_OPEN_UNOWNED 1u
/* Opening a path: read-only, as far as the file is concerned (IOTLB writes then fail, EBADF). */
#define UVDPA_OPEN_READ_ONLY 2u

/*
 * Opens a vhost-vdpa file or a vhost-user socket. A file: linux: vhost_vdpa_open(), which resets
 * the device. Over a socket the same calls become messages of that protocol; it wants shared
 * memory, has no groups, and a ring that is asked for its base while it runs is stopped for a
 * kind. Asks for the device id to see that it is one, and takes ownership (VHOST_SET_OWNER)
 * unless told not to.
 *
 * -ENOENT, -EACCES  from open(2)          -EBUSY   somebody else has the device open
 * -ENOTTY           not a vhost-vdpa file -EINVAL  unknown flag
 */
int uvdpa_driver_open(const char *path, unsigned flags, struct uvdpa_driver **drv,
		      struct uvdpa_error *error);

/* A message of the vhost-user protocol as it went over the socket. */
struct uvdpa_message {
	const char *name; /* the request's, without the prefix: "GET_VRING_BASE" */
	int is_answer;	  /* from the back end */
	int is_opening;	  /* sent by the opening itself, before the driver is there */
	uint32_t request, flags, size;
	const void *payload; /* `size` bytes, for as long as the call lasts */
	unsigned fds;
};

/* How to open; all zero: as uvdpa_driver_open() does without flags. */
struct uvdpa_open_options {
	unsigned flags; /* UVDPA_OPEN_* */
	/* All that follows concerns vhost-user sockets. */
	unsigned answer_ms; /* milliseconds that one answer may take; 0: 10000 */
	uint32_t device_id; /* the virtio device id, which no message tells; 0: guessed */
	/* Told of each message, in the thread that sends it and with the connection locked. */
	void (*on_message)(void *arg, const struct uvdpa_message *message);
	/* Told, once and likewise, when the connection is lost: as uvdpa_driver_lost(). */
	void (*on_lost)(void *arg, const char *why);
	void *arg;
};

/*
 * The same with options. Over a vhost-user socket opening has further ends, none of which takes
 * longer than a few times answer_ms:
 *
 * -ETIMEDOUT  no answer, or half of one        -EPROTO   answers that are none
 * -ENOTSUP    without REPLY_ACK nobody knows   -ENODEV   no queues
 *             when a message has taken effect
 *
 * A back end that ends the connection, falls silent or answers nonsense later on is hung up on:
 * from there on every call answers -ECONNRESET, and uvdpa_driver_lost() has the reason.
 */
int uvdpa_driver_open_with(const char *path, const struct uvdpa_open_options *options,
			   struct uvdpa_driver **drv, struct uvdpa_error *error);

/*
 * Why the connection has ended though nobody closed it ("no answer to GET_VRING_BASE within
 * 10.0 s"); NULL: it has not, or is none over a socket. From any thread.
 */
const char *uvdpa_driver_lost(struct uvdpa_driver *drv);

/*
 * The same over a socket that a vhost-user device is connected to: for a driver that listens itself
 * and has accepted a server in client mode (`connect=`). `name` is used in error texts and copied.
 * The driver owns `fd` from here on, also when this fails.
 */
int uvdpa_driver_open_socket(int fd, const char *name, unsigned flags, struct uvdpa_driver **drv,
			     struct uvdpa_error *error);

/*
 * The same over a transport of the caller's. `name` is used in error texts and copied. On success
 * the driver owns `ctx` and ends it with ops->close; on failure it stays the caller's. `ops` has to
 * outlive the driver. UVDPA_OPEN_READ_ONLY means nothing here and is refused with -EINVAL.
 */
int uvdpa_driver_open_transport(const struct uvdpa_transport *ops, void *ctx, const char *name,
				unsigned flags, struct uvdpa_driver **drv,
				struct uvdpa_error *error);

/*
 * Ends the connection without a reset first: the device sees its driver go, as when the process
 * dies (linux: vhost_vdpa_release(), which resets). Attached queues become free to be attached
 * elsewhere; their memory and state stay as they are.
 */
void uvdpa_driver_close(struct uvdpa_driver *drv);

/* The path, or the name given for the transport. */
const char *uvdpa_driver_name(const struct uvdpa_driver *drv);
/* The virtio device id (1 network, 2 block), read when the device was opened. */
uint32_t uvdpa_driver_device_id(const struct uvdpa_driver *drv);
/*
 * The process at the other end of a vhost-user socket, as the socket knows it (SO_PEERCRED); 0 for
 * files and transports of the caller's, where nothing tells.
 */
pid_t uvdpa_driver_peer(const struct uvdpa_driver *drv);
/* The virtio features of the last successful negotiation; 0 before and after a reset. */
uint64_t uvdpa_driver_features(const struct uvdpa_driver *drv);
/* The backend features (bit numbers VHOST_BACKEND_F_*) acknowledged by the last negotiation. */
uint64_t uvdpa_driver_backend_features(const struct uvdpa_driver *drv);
/* Whether the last suspend or resume through uvdpa_driver_*() left the device suspended. */
int uvdpa_driver_is_suspended(const struct uvdpa_driver *drv);

/*
 * Brings the device from any state to FEATURES_OK: reset, ACKNOWLEDGE, DRIVER, backend features,
 * features, FEATURES_OK, and looks whether the device kept that bit (virtio 3.1.1; the ioctl
 * itself reports no refusal, linux: vhost_vdpa_set_status()).
 *
 * The features asked for are `wanted` as far as the device offers them, and always VERSION_1 and
 * ACCESS_PLATFORM. `features` (may be NULL) gets the outcome. Of the backend features, those
 * that Linux 7.3 knows and the device offers are acknowledged, except ENABLE_AFTER_DRIVER_OK and
 * DESC_ASID.
 *
 * The reset detaches all queues and unmaps everything that uvdpa_driver_map() mapped.
 *
 * -ENOTSUP  the device does not offer VERSION_1 or ACCESS_PLATFORM
 * -EPROTO   the device refused the features
 * else      what an ioctl answered
 */
int uvdpa_driver_negotiate(struct uvdpa_driver *drv, uint64_t wanted, uint64_t *features,
			   struct uvdpa_error *error);

struct uvdpa_memory;
struct uvdpa_queue;

/*
 * Maps the whole arena into address space `asid` (0 unless groups are used) for reading and
 * writing, at the arena's own IOVA (linux: vhost_vdpa_process_iotlb_update()). The driver keeps a
 * reference to the arena until it is unmapped, the device is reset, or the connection is closed.
 *
 * -ERANGE    the arena lies outside the device's IOVA range: choose another .iova
 * -ENOSPC    more than 16 mappings in one driver
 * -EFAULT    the device refused (overlap, a device limit, not the owner, no such asid)
 *
 * The kernel's virtual-address devices (its simulators, VDUSE) accept private memory here
 * and then cannot reach it: give them UVDPA_MEMORY_SHARED.
 */
int uvdpa_driver_map(struct uvdpa_driver *drv, struct uvdpa_memory *memory, uint32_t asid,
		     struct uvdpa_error *error);

/* Takes that mapping away again. -ENOENT: there was none; else what the device answered. */
int uvdpa_driver_unmap(struct uvdpa_driver *drv, struct uvdpa_memory *memory, uint32_t asid);

/*
 * Makes `queue` the device's queue `index`, starting at `base` (the queue's own
 * uvdpa_queue_base(), or what GET_VRING_BASE answered elsewhere): NUM, ADDR, CALL, KICK, BASE,
 * ENABLE. Before DRIVER_OK. The queue stays the caller's and is attached to one device at a time.
 *
 * A base is SET_VRING_BASE's number (linux: vhost_vring_ioctl()). Split: the available index.
 * Packed: bits 0 to 14 the next available descriptor, 15 the driver's wrap counter, 16 to 30 and 31
 * the same for the next used one. Where nothing is in flight the halves are equal; a virgin packed
 * queue begins at 0x80008000.
 *
 * -EBUSY   the queue is attached already, or the index is taken
 * -ENOBUFS no such index
 * else     what an ioctl answered; the queue is then not attached
 */
int uvdpa_driver_attach(struct uvdpa_driver *drv, unsigned index, struct uvdpa_queue *queue,
			uint32_t base, struct uvdpa_error *error);

/* The queue attached at `index`, or NULL. */
struct uvdpa_queue *uvdpa_driver_queue(const struct uvdpa_driver *drv, unsigned index);

/*
 * Sets DRIVER_OK, looks whether the device kept it, and kicks every attached queue once: a kick
 * before DRIVER_OK is lost on the kernel's simulators. -EPROTO: the device refused.
 */
int uvdpa_driver_start(struct uvdpa_driver *drv, struct uvdpa_error *error);

/*
 * Status 0. Detaches all queues, unmaps what was mapped, forgets the features. What was in flight
 * stays recorded in the queues (see uvdpa_queue_restart()).
 */
int uvdpa_driver_reset(struct uvdpa_driver *drv);

/*
 * VHOST_VDPA_SUSPEND (linux: vhost_vdpa_suspend(); clauses S2 to S6). On success everything that
 * the device took is in the used rings. Without DRIVER_OK it succeeds and does nothing (S1).
 *
 * -EOPNOTSUPP  the device cannot      -ETIMEDOUT  it did not finish in time and runs on (S10)
 */
int uvdpa_driver_suspend(struct uvdpa_driver *drv);

/*
 * VHOST_VDPA_RESUME (linux: vhost_vdpa_resume(); clause S11), then one kick for each attached
 * queue, since the kernel's simulators forget work that was announced around a suspension (S8
 * promises it).
 */
int uvdpa_driver_resume(struct uvdpa_driver *drv);

/*
 * GET_VRING_BASE of every attached queue: bases[index], for indexes below `count`; others become 0.
 * -ENOSPC: a queue is attached at an index >= count.
 */
int uvdpa_driver_get_bases(struct uvdpa_driver *drv, uint32_t *bases, unsigned count);

/* When each step of a hand-over was over; 0: the step was not reached. */
struct uvdpa_handover_times {
	int64_t begin;	   /* the hand-over was called */
	int64_t prepared;  /* the target has features and memory */
	int64_t suspended; /* SUSPEND answered */
	int64_t bases;	   /* every GET_VRING_BASE answered */
	int64_t attached;  /* every queue is set up in the target */
	int64_t driver_ok; /* DRIVER_OK was set in the target */
	int64_t kicked;	   /* every queue was kicked once: the target serves */
	int64_t released;  /* the source was reset; kept, or the target itself: after `bases` */
};

/* Leave the source suspended, its queues disabled and unbound, instead of resetting it. */
#define UVDPA_HANDOVER_KEEP_SOURCE 1u

/*
 * Gives `to` the features, the mappings and (NUM, ADDR, CALL, KICK) the queues of `from` ahead of a
 * hand-over, so that this does not lengthen the standstill. From then on kicks reach `to` as well,
 * which has nothing to do for them yet. -ENOTSUP: `to` lacks a feature that is in use; -ENOBUFS: a
 * queue. uvdpa_handover() does it by itself, before the suspend, where it has not been done.
 */
int uvdpa_handover_prepare(struct uvdpa_driver *from, struct uvdpa_driver *to,
			   struct uvdpa_error *error);

/*
 * Moves every queue of `from`, with what is in flight, to `to`: SUSPEND, GET_VRING_BASE,
 * SET_VRING_BASE and the rest of the set-up in the target, DRIVER_OK, one kick per queue (clause
 * S12); the source, which has been suspended so far, is reset and unmapped after that. `from` and
 * `to` may be the same driver: the ring state is then carried over a reset of it. `times` may be
 * NULL. UVDPA_HANDOVER_KEEP_SOURCE with from == to is -EINVAL.
 *
 * -EPROTO  a base differs from uvdpa_queue_base(): something that was taken is not finished
 * (S3)
 *
 * A failure up to and including that check leaves all queues with `from`, which is suspended if
 * times->suspended is set: uvdpa_driver_resume() continues there. A later failure leaves
 * them attached to neither, or to `to` without DRIVER_OK: reset `to` and attach them anywhere at
 * their uvdpa_queue_base(). If it is the last step that fails, the reset of the source
 * (times->kicked is set and times->released is not), they are the target's and served.
 */
int uvdpa_handover(struct uvdpa_driver *from, struct uvdpa_driver *to, unsigned flags,
		   struct uvdpa_handover_times *times, struct uvdpa_error *error);

#ifdef __cplusplus
}
#endif

#include <uvdpa/driver_blk.h>
#include <uvdpa/driver_queue.h>
#include <uvdpa/driver_raw.h>

#endif
