/*
 * A case: one thing that `uvdpa check` tries on a device, and what a device has to have for it.
 *
 * By whose sentence a case judges is its clause's, and on a vhost-user socket its `user`'s:
 * basis.h.
 *
 * Ids beginning with K are those of the conformance list of what Linux does with a vhost-vdpa
 * device; ids beginning with S and a number are tries of that clause of the suspend contract
 * (docs/contract.md). Other letters: R ring, P packed ring, N net, B block, C config.
 *
 * What gives the device work (NEED_LOAD) is tried on split rings and once more on packed ones, as a
 * twin whose id ends with a p (S2-1p).
 *
 * Each case runs in a process of its own, with nothing open (run.h). It ends by returning (kept),
 * or by broken() or skip() of verdict.h, which do not return.
 */
#ifndef UVDPA_CHECK_CASE_H
#define UVDPA_CHECK_CASE_H

#include <stddef.h>

struct check;

enum case_class {
	CASE_MUST = 'M',   /* clients depend on it: anything else is broken */
	CASE_KERNEL = 'K', /* a habit of Linux: differences are told and do not count */
	CASE_DEVICE = 'D', /* the device decides among several answers, which are told */
};

enum case_needs {
	NEED_SUSPEND = 1 << 0,	 /* backend feature bit 4 */
	NEED_RESUME = 1 << 1,	 /* backend feature bit 5 */
	NEED_BLK = 1 << 2,	 /* a block device */
	NEED_NET = 1 << 3,	 /* a network device */
	NEED_LOAD = 1 << 4,	 /* a kind of device that the checker can give work to: blk, net */
	NEED_SCRATCH = 1 << 5,	 /* --scratch: the case writes to the device's data */
	NEED_TWO = 1 << 6,	 /* two TARGETs of the same kind */
	NEED_FILE = 1 << 7,	 /* a path, not a device within the same process */
	NEED_ASIDS = 1 << 8,	 /* two address spaces, two groups */
	NEED_EVENT_IDX = 1 << 9, /* VIRTIO_RING_F_EVENT_IDX offered */
	NEED_INDIRECT = 1 << 10, /* VIRTIO_RING_F_INDIRECT_DESC offered */
	NEED_CONTROL = 1 << 11,	 /* --control: the operator's socket */
	NEED_NO_SUSPEND = 1 << 12, /* a device without backend feature bit 4 */
	NEED_NO_RESUME = 1 << 13,  /* suspend, but no backend feature bit 5 */
	NEED_PERSIST = 1 << 14,	   /* backend feature bit 8 */
	NEED_LOOPBACK = 1 << 15,   /* a network device that sends back what it is sent */
	NEED_CVQ = 1 << 16,	   /* a network device's control queue */
	NEED_MANY_SLOTS = 1 << 17, /* queues of at least 16 entries */
	NEED_GROUPS = 1 << 18,	   /* GET_VRING_GROUP answers */
	NEED_SPLIT = 1 << 19,	   /* it is about split rings: it has no packed twin */
	NEED_PACKED = 1 << 20,	   /* VIRTIO_F_RING_PACKED offered; the rig negotiates it */
	NEED_SOCKET = 1 << 21,	   /* a vhost-user socket */
	NEED_IN_ORDER = 1 << 22,   /* VIRTIO_F_IN_ORDER offered; the rig negotiates it */
	NEED_CONFIG = 1 << 23,	   /* a config space */
	NEED_REGIONS = 1 << 24,	   /* a socket: CONFIGURE_MEM_SLOTS */
};

/* What cases about suspension under load need; most of them. */
#define NEED_STOP  (NEED_SUSPEND | NEED_LOAD)
#define NEED_CYCLE (NEED_STOP | NEED_RESUME)

struct check_case {
	const char *id;
	const char *group;
	const char *clause; /* "S2", "S2 S6", or a kernel function */
	const char *what;   /* one line */
	char class;	    /* enum case_class */
	unsigned needs;	    /* enum case_needs */
	void (*run)(struct check *c);
	const char *user; /* by which sentence on a socket (basis.h); NULL: by the clause */
};

/* All cases, in the order of running. */
const struct check_case *cases_all(size_t *count);
/* The case of that id, case-blind; NULL if there is none. */
const struct check_case *case_find(const char *id);
/* Whether there is such a group. */
int case_group_exists(const char *group);
/* The id or group that `word` may have been meant as; NULL: none is near. */
const char *case_suggest(const char *word);
/* Appends what `needs` means in words ("suspend, blk") to a buffer; returns it. */
char *case_needs_words(unsigned needs, char *buffer, size_t size);

#endif
