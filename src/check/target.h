/*
 * A TARGET: how it is opened, and what is known of it.
 *
 * Facts are gathered once, in a process of their own, before any case runs: a device that hangs
 * when it is only asked who it is must not hang the checker.
 */
#ifndef UVDPA_CHECK_TARGET_H
#define UVDPA_CHECK_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "uvdpa/driver.h"

struct check;
struct check_case;

/* How a device is reached. `open` is called in the process of a case, many times. */
struct target {
	const char *name; /* the path, for messages and reproduction */
	/* As uvdpa_driver_open(). NULL: that function, with `name`. */
	int (*open)(void *arg, unsigned flags, struct uvdpa_driver **drv,
		    struct uvdpa_error *error);
	void *arg;
};

struct facts {
	uint32_t device_id, vqs, config_size, groups, asids;
	uint16_t ring_max;
	uint64_t features, backend;
	uint64_t iova_first, iova_last;
	bool is_socket;	     /* a vhost-user socket, and no file */
	bool groups_known;   /* GET_VRING_GROUP answers */
	bool loopback;	     /* a network device that sends back what it is sent */
	bool lossless;	     /* ... and all of it */
	uint64_t request_us; /* how long a request takes beside others */
	bool served;	     /* one request was completed */
	uint64_t capacity;   /* sectors, of a block device */
	uint32_t block;	     /* bytes of a logical block */
	uint32_t seg_max, size_max;
	char trouble[400]; /* why it cannot be used at all; "" if it can */
};

/* Entries of a queue that the smallest request takes. */
unsigned facts_chain(const struct facts *f);

/*
 * Opens it, with the options' patience; a server that is gone is started again by --restart. What
 * goes over a socket is noted in c->wire.
 */
int target_open(struct check *c, const struct target *t, unsigned flags, struct uvdpa_driver **drv,
		struct uvdpa_error *error);

/*
 * An attempt to connect ended with `r`: whether it is worth another, since --restart has started
 * the server, or may yet see it listen. The revival is that of one opening; zeroed at first.
 */
struct revival {
	int64_t end;
};
bool target_revive(struct check *c, const char *name, int r, struct revival *revival);

/* Fills the facts; runs as a case does, with out->seen as the reason if it cannot. */
void target_probe(struct check *c, const struct target *t, struct facts *facts);

/* Why a device with these facts is not of the kind that `needs` names, or NULL. */
const char *facts_lack(const struct facts *f, unsigned needs);
/* The first reason why a device with these facts cannot be tried with this case, or NULL. */
const char *target_lacks(const struct check *c, unsigned needs);

/* In a case: opens targets[0], owned; broken() if that fails. */
struct uvdpa_driver *check_open(struct check *c);
/* The same with flags, and for the other target. */
struct uvdpa_driver *check_open_flags(struct check *c, unsigned which, unsigned flags);

/* Whether targets[0] is a vhost-user socket; known once it was probed, for it may be gone later. */
bool target_is_socket(const struct check *c);
/* Why a case makes no sense on this target, which is a vhost-user socket; NULL: it does. */
const char *socket_lacks(const struct check *c, const struct check_case *kase);

#endif
