/*
 * A tiny vhost-vdpa block device for the driver tower's tests: one transport, an array for a disk,
 * a split ring walked the slow way, and knobs for everything that a bad device may do. It is
 * written from the specification alone and shares no code with either tower.
 */
#ifndef TEST_DRIVER_FAKE_H
#define TEST_DRIVER_FAKE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "uvdpa/driver.h"

#define FAKE_QUEUES 3
#define FAKE_MAPS   8

/* What it does wrong. Each is done once, to the next request that fits, and then cleared. */
enum fake_sin {
	FAKE_GOOD,
	FAKE_LOSE,	     /* takes a request and never completes it */
	FAKE_COMPLETE_TWICE, /* puts the same head into the used ring twice */
	FAKE_COMPLETE_AGAIN, /* the same, but only when the head has been used anew */
	FAKE_DROP_WRITE,     /* completes a write without doing it */
	FAKE_REPEAT_WRITE,   /* does an older write again after a newer one of the same block */
	FAKE_FLIP_BIT,	     /* one wrong bit in what a read returns */
	FAKE_MISDIRECT,	     /* reads the block next to the one asked for */
	FAKE_TEAR,	     /* writes only the first half */
	FAKE_NO_DATA,	     /* completes a read without filling its buffer */
	FAKE_IOERR,	     /* answers VIRTIO_BLK_S_IOERR */
};

struct fake_queue {
	uint32_t num;
	uint16_t last_avail, used_idx;
	uint64_t desc, avail, used;
	int kick, call;
	bool ready;
};

struct fake_map {
	uint64_t iova, size, uaddr; /* size 0: free */
	uint32_t asid;
};

struct fake {
	/* What it is; set before it is opened. */
	uint64_t offered;
	uint64_t backend_offered;
	uint64_t iova_first, iova_last;
	uint32_t device_id;
	uint32_t vqs;
	uint32_t config_size;
	unsigned char config[64];
	unsigned char *disk;
	uint64_t sectors;

	/* How it fails. */
	unsigned long fail_cmd; /* this ioctl answers fail_error */
	int fail_error;
	uint8_t refuse_status; /* bits that it does not take */
	int base_skew;	       /* added to GET_VRING_BASE */
	bool short_write;      /* IOTLB writes answer 40 */
	enum fake_sin sin;
	bool shuffle; /* not wrong: serves and completes in an order of its own */

	/* What it has been told. */
	bool owned, open, suspended;
	uint8_t status;
	uint64_t features, backend;
	struct fake_queue queues[FAKE_QUEUES];
	struct fake_map maps[FAKE_MAPS];
	unsigned resets, suspends, resumes, updates, invalidates;
	unsigned served;
	char order[512]; /* the ioctls of the ring set-up, one letter each */

	pthread_mutex_t lock; /* its ioctls and its service may come from different threads */
	uint32_t random;
	int again; /* FAKE_COMPLETE_AGAIN: the head, or -1 */
	/* For FAKE_REPEAT_WRITE. */
	unsigned char old_block[4096];
	uint64_t old_sector;
	uint32_t old_len;
};

extern const struct uvdpa_transport fake_transport;

/* A block device with `sectors` of zeroes that offers everything. */
void fake_init(struct fake *f, uint64_t sectors);
void fake_done(struct fake *f);

/* Opens it or fails the test. */
struct uvdpa_driver *fake_open(struct fake *f);

/* Translates by the maps; NULL if not mapped. */
void *fake_at(struct fake *f, uint64_t iova, uint64_t len);

/* Serves up to `max` requests of queue `index`, if it may. Returns how many. */
unsigned fake_serve(struct fake *f, unsigned index, unsigned max);

#endif
