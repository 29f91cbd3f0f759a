/*
 * What an operator asks for with --device: a device's type and its keys, read
 * from QEMU's key=value habit and checked, but nothing opened yet.
 */
#ifndef UVDPA_SERVE_SPEC_H
#define UVDPA_SERVE_SPEC_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "util/error.h"
#include "util/keyval.h"

#define SPEC_ANY_CPU UINT32_MAX

struct device_spec {
	struct keyvals keyvals; /* what the texts below point into */
	const char *type, *name;

	/* The device. */
	uint64_t queue_size, workers, poll_us, cpu, asids, groups, suspend_timeout;
	const char *worker;	/* NULL: its own */
	const char *on_timeout; /* "fail" or "park" */
	bool suspend, resume, event_idx, indirect, packed, in_order, ring_reset, log, trace;
	const char *uapi;	      /* "uvdpa" or "kernel" */
	const char *socket, *connect; /* vhost-user: at most one; NULL, NULL: DIR/NAME.sock */
	uint64_t reconnect;

	/* Disks. null: of a network card, 1. */
	uint64_t queues;
	bool readonly, share, direct, sqpoll, iopoll, fixed_buffers, write_cache;
	const char *serial;
	const char *format;    /* "raw", or NULL: what looks like another format is refused */
	const char *file;      /* exactly one of these three */
	uint64_t memory, null; /* bytes; 0: not given */
	uint64_t block_size;   /* bytes; 0: not given */

	/* Network cards. `queues` are pairs, `null` is 1. */
	bool loopback, create, uso, announce, rarp, vlan_filter, server;
	const char *tap, *pair, *stream, *dgram; /* exactly one of these, loopback and null */
	const char *remote;			 /* with dgram */
	const char *mac_text;			 /* NULL: made from the name */
	uint8_t mac[6];
	uint64_t mtu, speed;

	/* The error backend. */
	bool has_faults;
	uint64_t hold_us, delay_us, delay_every, fail_every, never_every, tear_every;
	const char *fail_error;
	bool stubborn;
};

/* Reads the text of one --device. Returns 0 or a negative errno with the error filled. */
int spec_parse(const char *text, struct device_spec *spec, struct error *err);
void spec_free(struct device_spec *spec);

/* Prints one line per key. */
void spec_help(FILE *to);

/* The specs of a server, from --device and --config; names are unique. */
struct spec_list {
	struct device_spec *items;
	unsigned count;
};
/* Appends; `where` begins the text of a fault. */
int spec_list_add(struct spec_list *list, const char *text, const char *where, struct error *err);
/* Appends the devices of a file: one per line as after --device. # begins a comment, at the
 * begin of a line or after white space. */
int spec_list_read(struct spec_list *list, const char *path, struct error *err);
/* Whether the devices fit together: cables between cards have two ends, and who share a worker want
 * the same processor. */
int spec_list_check(const struct spec_list *list, struct error *err);
void spec_list_free(struct spec_list *list);

#endif
