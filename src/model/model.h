/*
 * The contract of a device model (virtio-blk, virtio-net, ...): what a device
 * type means, and nothing about rings, exports or threads.
 *
 * Control functions are called with no queue of the device in a pass. handle, process_queue,
 * batch_end and poll of one queue are called on that queue's worker; two
 * queues may be on two workers at once.
 */
#ifndef UVDPA_MODEL_MODEL_H
#define UVDPA_MODEL_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/request.h"
#include "util/error.h"

struct model;

/* The latest of a queue's requests that the backend failed. */
struct model_failure {
	uint64_t count;		 /* so far; 0: none has, and the rest is not filled */
	const char *what;	 /* "write" */
	uint64_t offset, length; /* bytes */
	int error;		 /* a negative errno */
};

#define MODEL_STATE_MAX 1152 /* bytes of a model's own saved state */

struct model_ops {
	/* Required. */
	const char *name;    /* "blk" */
	uint32_t device_id;  /* VIRTIO_ID_* */
	size_t config_size;  /* bytes of config space */
	size_t request_size; /* bytes of request scratch */

	/* Feature bits of the device type; the device adds the ring's and the transport's. */
	uint64_t (*features)(struct model *model);
	unsigned (*queue_count)(struct model *model);
	/* Writes config_size bytes: the config space as it is now. */
	void (*config_read)(struct model *model, uint8_t *config);
	/* One chain, now the model's. Not called where there is a process_queue. */
	void (*handle)(struct model *model, struct request *request);
	void (*destroy)(struct model *model);

	/* Optional (NULL: nothing to do). */

	/* Virtqueue group of a queue, and how many there are. Default: 0 of 1. */
	unsigned (*queue_group)(struct model *model, unsigned queue);
	unsigned (*group_count)(struct model *model);
	/*
	 * Both or none: whether a driver with these features may write this byte of config space;
	 * it wrote [offset, offset + size), of which all other bytes are what they were.
	 */
	bool (*config_writable)(const struct model *model, uint64_t features, size_t offset);
	void (*config_write)(struct model *model, size_t offset, const uint8_t *bytes, size_t size);
	/* FEATURES_OK: what both sides agreed on. */
	void (*negotiated)(struct model *model, uint64_t features);
	/*
	 * A queue comes to life or ends. start may open backend channels: it returns 0 or a
	 * negative errno with the error filled. depth: entries of the queue.
	 */
	int (*queue_start)(struct model *model, unsigned queue, unsigned depth, struct error *err);
	void (*queue_stop)(struct model *model, unsigned queue);
	/*
	 * The chains handed over since the last call make a batch: submit it, and deliver what of
	 * it is finished by then.
	 */
	void (*batch_end)(struct model *model, unsigned queue);
	/*
	 * A pass begins: delivers what the backend finished. Returns how many requests that
	 * completed.
	 */
	unsigned (*poll)(struct model *model, unsigned queue);
	/*
	 * Whether the queue has had as much work as a pass may hold: it is given no more now. If
	 * requests are with the model, the next pass, and so poll, comes soon.
	 */
	bool (*sated)(const struct model *model, unsigned queue);
	/* An fd that is readable when poll would find something; -1: none. Valid after queue_start.
	 */
	int (*poll_fd)(struct model *model, unsigned queue);
	/* Whether poll has to be called again and again for now: poll_fd will not tell of
	 * everything. */
	bool (*needs_poll)(const struct model *model, unsigned queue);
	/* Gives back every request of this queue soon, finished or failed. */
	void (*cancel)(struct model *model, unsigned queue);
	/*
	 * For devices that have a use for a chain only at times (received packets): takes from
	 * `source` what it can use now, at most about `budget` chains. Returns whether it could go
	 * on at once; otherwise it is called again after a kick, when poll_fd has something, and
	 * when the queue opens.
	 */
	bool (*process_queue)(struct model *model, unsigned queue, struct chain_source *source,
			      unsigned budget);
	/* poll_fd stays readable though there is nothing to do: one event per change is wanted. */
	bool (*poll_edge)(const struct model *model, unsigned queue);
	/*
	 * A region of the client's memory (space_find_region) is about to go. No request is in
	 * it, nor will be. True: something is to be undone on the workers, so poll is to be called.
	 */
	bool (*region_invalidated)(struct model *model, uint64_t region);
	/* The driver reset the device or left: back to the state of a new device. */
	void (*reset)(struct model *model);
	/* Somebody else's driver comes: what reset kept of the last one's choices goes, too. */
	void (*forget)(struct model *model);
	/*
	 * On the queue's worker: what a queue has done so far for its driver, in (packets received,
	 * disk reads) and out (all else). They come in as 0 and the chains that were given back.
	 */
	void (*flow)(const struct model *model, unsigned queue, uint64_t *in, uint64_t *out);
	/*
	 * The first queue is about to take chains, or no queue does any more (suspended, stopped,
	 * reset): what the device works on may be another process's until then, and from then on.
	 * Neither counts: each may come several times. activate returns 0 or a negative errno with
	 * the error filled: then the device does not start.
	 */
	int (*activate)(struct model *model, struct error *err);
	void (*inactivate)(struct model *model);
	/* On the queue's worker: what failed last. */
	void (*failure)(const struct model *model, unsigned queue, struct model_failure *failure);
	/* The operator wants another size. Returns 0 or a negative errno with the error filled. */
	int (*resize)(struct model *model, uint64_t bytes, struct error *err);
	/*
	 * The operator plugs the cable in or pulls it. Returns 1: the driver is to hear of it; 0:
	 * it was so before.
	 */
	int (*set_link)(struct model *model, bool up);
	/*
	 * What a queue takes from now on is thrown away, as if done, or no more. Returns false if
	 * its requests cannot be.
	 */
	bool (*queue_discard)(struct model *model, unsigned queue, bool discard);
	/*
	 * A frame is to tell the network where `mac` is, as soon as the driver's frames could go
	 * out. False: there is no such queue. *queue: which one is to have a pass.
	 */
	bool (*send_rarp)(struct model *model, uint64_t mac, unsigned *queue);
	/* The operator wants the driver to make itself known. As resize. */
	int (*announce)(struct model *model, struct error *err);
	/*
	 * What a device saves besides its queues (uvdpa-state(5)), all three or none: writes at
	 * most MODEL_STATE_MAX bytes and returns how many; says whether bytes from anywhere could
	 * be loaded; loads bytes that it said so of, when their driver goes on here.
	 */
	size_t (*state_save)(struct model *model, uint8_t *bytes);
	int (*state_check)(struct model *model, const uint8_t *bytes, size_t size,
			   struct error *err);
	void (*state_load)(struct model *model, const uint8_t *bytes, size_t size);
};

/*
 * How a model reaches a queue of its own device in the middle of a pass over another queue, of
 * another device or the same: for what comes from that one's memory and is to go straight into this
 * one's. Not from a pass over the queue itself.
 */
struct model_port {
	/*
	 * 0: until leave, it is as in a call of that queue's process_queue, with *source to take
	 * from. -EAGAIN: somebody else has the queue, for a kind; otherwise it takes nothing now
	 * (suspended, not set up), or nobody borrows here. Never waits.
	 */
	int (*enter)(struct model_port *port, unsigned queue, struct chain_source **source);
	/*
	 * Publishes, once for all that was done. `waiting`: something is left for the queue, which
	 * its own worker has to look at, now or when the driver kicks.
	 */
	void (*leave)(struct model_port *port, unsigned queue, bool waiting);
};

struct model {
	const struct model_ops *ops;
	struct model_port *port; /* the device's, from its beginning to its end */
};

#endif
