/*
 * Traffic that is only counted: reads and writes, or frames, at a fixed depth, as fast as the
 * device takes them, with nothing done to their contents. For measurements; workload.h is the one
 * that looks.
 *
 * One thread runs it. Another may meanwhile suspend, resume and hand over the device, and look at
 * traffic_done() and traffic_take_gap().
 */
#ifndef UVDPA_LOAD_TRAFFIC_H
#define UVDPA_LOAD_TRAFFIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "load/histogram.h"
#include "util/error.h"

struct load_session;
struct traffic;

struct traffic_options {
	uint32_t block_size;	/* bytes, a multiple of 512, at most 1 MiB */
	unsigned depth;		/* requests in flight */
	unsigned write_percent; /* of the requests */
	bool sequential;	/* else at random places */
	uint64_t blocks;	/* of the disk: requests begin at multiples of block_size */
	uint64_t seed;
	uint32_t chain_flags; /* UVDPA_CHAIN_INDIRECT or 0 */
	bool poll;	      /* never sleeps */
};

/* Bytes of arena for the requests of such traffic. */
uint64_t traffic_memory_size(const struct traffic_options *options);

/* For one of the session's queues. */
int traffic_new(const struct traffic_options *options, struct load_session *session, unsigned queue,
		struct traffic **traffic, struct error *f);

struct net_traffic_options {
	uint32_t frame_size; /* bytes, with the Ethernet header and without the virtio one */
	unsigned depth;	     /* frames, and receive buffers, with the device */
	bool send, receive;
	bool poll; /* never sleeps; else, if it both sends and receives, what comes in wakes it */
};

uint64_t traffic_net_memory_size(const struct net_traffic_options *options);
/* For queues 2 * pair and 2 * pair + 1. */
int traffic_net_new(const struct net_traffic_options *options, struct load_session *session,
		    unsigned pair, struct traffic **traffic, struct error *f);

void traffic_free(struct traffic *traffic);

/* Runs until `stop` is set, then waits for what is in flight. 0, or the queue's error. */
int traffic_run(struct traffic *traffic, const atomic_bool *stop, struct error *f);

/* Requests completed, or frames sent and received, so far. From any thread. */
uint64_t traffic_done(const struct traffic *traffic);
/* Of these, the frames received. From any thread. */
uint64_t traffic_received(const struct traffic *traffic);
/* The longest time (ns) between two collections of completions since the last call. From any
 * thread. */
uint64_t traffic_take_gap(struct traffic *traffic);
/* Requests that failed, and the latencies (ns; of frames: of those sent): when nobody runs it. */
uint64_t traffic_errors(const struct traffic *traffic);
const struct histogram *traffic_latency(const struct traffic *traffic);

#endif
