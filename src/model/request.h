/*
 * A request: one chain on its way through a model. The device makes as many
 * per queue as the queue has entries, when the queue starts; nothing is
 * allocated per request. A model owns a request from handle() until it calls
 * exactly one of request_complete and request_refuse.
 */
#ifndef UVDPA_MODEL_REQUEST_H
#define UVDPA_MODEL_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "ring/chain.h"

struct request;

/* How a request goes back; the device provides it. Called on the queue's own worker. */
struct request_sink {
	void (*complete)(struct request *request, uint32_t written);
	void (*refuse)(struct request *request, const char *why);
	bool (*cancelled)(struct request *request);
};

struct request {
	struct chain chain;
	const struct request_sink *sink;
	void *owner;			/* the device's queue */
	struct request *next;		/* the device's free list */
	struct segment *inline_segs;	/* the chain's table to begin with */
	uint64_t generation;		/* of the space, when the chain was translated */
	uint64_t sequence;		/* order of taking; 0: free */
	uint16_t queue;			/* index of the queue it came from */
	_Alignas(16) uint8_t scratch[]; /* model_ops.request_size bytes of the model's own */
};

/*
 * Where a model with a process_queue takes its chains: a chain that is not taken is not in flight,
 * and no suspension waits for it.
 */
struct chain_source {
	/*
	 * The next chains, at most `max` of them, now the model's. Returns how many; fewer than
	 * `max` say nothing, but 0: there is none (the driver will kick), or no more may be taken.
	 */
	unsigned (*take)(struct chain_source *source, struct request **requests, unsigned max);
	/*
	 * Gives the chain taken last back to the driver's ring, as if it had never been taken. What
	 * was taken before may be complete by then.
	 */
	void (*unpop)(struct chain_source *source, struct request *request);
	/*
	 * All three or none. The same for chains of one mapped buffer, the first so many that wait:
	 * none does not say that there are none of any kind. Others that were taken and may still
	 * be given back are given back before. Within the process_queue (or the borrowing) in which
	 * they were taken, and before anything else is, all are completed, in order, or, from the
	 * last on, given back.
	 */
	unsigned (*take_batch)(struct chain_source *source, enum space_access access,
			       struct batch_chain *batch, unsigned max);
	void (*unpop_batch)(struct chain_source *source, unsigned count);
	/* `written`: as ring_complete_batch. */
	void (*complete_batch)(struct chain_source *source, const struct batch_chain *batch,
			       const uint32_t *written, unsigned count);
};

/* One chain; NULL: see take. */
static inline struct request *chain_take(struct chain_source *source)
{
	struct request *request;

	return source->take(source, &request, 1) ? request : NULL;
}

/* The model is done: `written` bytes of the writable part, counted from its beginning. */
static inline void request_complete(struct request *request, uint32_t written)
{
	request->sink->complete(request, written);
}

/* The chain is nonsense that virtio gives no answer for: breaks the device, with this reason. */
static inline void request_refuse(struct request *request, const char *why)
{
	request->sink->refuse(request, why);
}

/*
 * The backend gave the request back undone, or done in part, because model_ops.cancel asked for it,
 * and touches its memory no more. True: the request has gone back as it is, to be done again from
 * its beginning, here or elsewhere. False: it is still the model's, to be completed as failed.
 */
static inline bool request_cancelled(struct request *request)
{
	return request->sink->cancelled(request);
}

#endif
