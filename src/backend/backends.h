/* How each block and packet backend is opened. All return 0, or a negative errno with the error
 * filled. */
#ifndef UVDPA_BACKEND_BACKENDS_H
#define UVDPA_BACKEND_BACKENDS_H

#include "backend/block.h"
#include "backend/packet.h"

/* Reads give zeroes, writes vanish. `size` in bytes. */
int block_null_open(uint64_t size, struct block **block, struct error *err);

/* Bytes in this process's memory, gone with it. */
int block_memory_open(uint64_t size, struct block **block, struct error *err);

/* A regular file or block device, through io_uring. */
struct block_file_options {
	const char *path;
	bool read_only, direct;
	bool share;	    /* other servers may have it open, too; only one works at a time */
	bool raw;	    /* also if it looks like another format */
	uint32_t wait_ms;   /* for a server that was killed, and has the file a kind longer */
	bool sqpoll;	    /* a thread of the kernel's takes the requests, while there are some */
	bool fixed_buffers; /* the memory of requests is registered, and so pinned */
	bool iopoll; /* completions are asked for, not told of: needs `direct` and a block device
			that can */
};
int block_file_open(const struct block_file_options *options, struct block **block,
		    struct error *err);

/*
 * Wraps `inner` (taken over, also on failure) with trouble. All off by default (zeroed options).
 * Every n-th means of one channel, that is of one queue since it was started.
 */
struct block_fault_options {
	uint32_t hold_us;     /* every request is begun this much later; a cancel gives it back */
	uint32_t delay_us;    /* every request completes this much later */
	uint32_t delay_every; /* delay only every n-th request; 0 or 1: all */
	uint32_t fail_every;  /* every n-th request fails with fail_error; 0: none */
	int fail_error;	      /* positive errno; 0: EIO */
	uint32_t never_every; /* every n-th request never completes, unless cancelled */
	uint32_t tear_every;  /* every n-th write is done for its first half only, then fails */
	bool stubborn;	      /* never_every requests survive a cancel, too */
};
int block_fault_open(const struct block_fault_options *options, struct block *inner,
		     struct block **block, struct error *err);

/*
 * `inner` (taken over, also on failure) with smaller blocks than it has: of block_size bytes, a
 * power of two. Parts of blocks are read, changed and written back. Blocks of `inner` have 64 KiB
 * at most.
 */
int block_rmw_open(uint32_t block_size, struct block *inner, struct block **block,
		   struct error *err);

/* Frames vanish. */
int packet_null_open(unsigned pairs, struct packet **packet, struct error *err);
/* Frames come back to the card that sent them. */
int packet_loopback_open(unsigned pairs, struct packet **packet, struct error *err);
/* A cable between two cards. */
int packet_pair_open(const unsigned pairs[2], struct packet *packets[2], struct error *err);

/* A TAP interface of this machine (linux: drivers/net/tun.c). */
struct packet_tap_options {
	const char *name;
	unsigned pairs;
	bool create; /* if there is none; it goes with us */
	bool uso;    /* offer UDP segmentation, which QEMU's shadow virtqueues refuse */
};
int packet_tap_open(const struct packet_tap_options *options, struct packet **packet,
		    struct error *err);

/* A unix stream socket, a size before each frame: passt's, and QEMU's -netdev stream. */
struct packet_stream_options {
	const char *path;
	bool server;	       /* listen there; otherwise connect, again when the peer goes */
	uint32_t reconnect_ms; /* time between attempts; 0: 1000 */
};
int packet_stream_open(const struct packet_stream_options *options, struct packet **packet,
		       struct error *err);

/* Datagrams: paths of unix sockets, or HOST:PORT; QEMU's -netdev dgram. */
struct packet_dgram_options {
	const char *local, *remote;
};
int packet_dgram_open(const struct packet_dgram_options *options, struct packet **packet,
		      struct error *err);

#endif
