/*
 * A rig: the device of a case, set up and running, with queues in one arena and a load on them.
 *
 *	struct rig rig;
 *
 *	rig_set_up(c, &rig, &(struct rig_options){0});	 ... DRIVER_OK, kicked once
 *	load_post(&rig, 8);				 ... 8 requests are in the ring
 *	rig_kick(&rig);
 *	load_settle(&rig, 2000);			 ... all done, or not within 2 s
 *
 * What cannot be set up is broken (set-up is what every driver does). Each request is checked when
 * it is collected: done once, its status and its bytes, and the canaries around its buffers.
 *
 * The load of a block device is reads of its first blocks, whose contents are learnt once and
 * compared ever after, or with --scratch, where a case asks for it, writes; or reads of one piece
 * and of many, flushes, ids, and reads behind the end, which are done in no time. That of a network
 * device is broadcast frames of an experimental ethertype, each with its number, into queue 1, with
 * as many buffers in queue 0.
 */
#ifndef UVDPA_CHECK_RIG_H
#define UVDPA_CHECK_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "uvdpa/driver.h"

#include "check/verdict.h"

#define RIG_MAX_QUEUES 3
#define LOAD_SLOTS     256 /* requests in flight at most */

struct rig_options {
	unsigned which; /* of the TARGETs */
	uint16_t size;	/* entries of a queue; 0: 64, or the device's maximum if that is less */
	uint16_t base; /* where the rings begin; packed: counted in descriptors from the first lap's
			*/
	uint64_t features_off; /* do not negotiate these */
	uint64_t features_on;  /* and these, too, if the device offers them */
	bool indirect;	       /* requests as indirect chains */
	bool scattered;	       /* requests in as many pieces as the device takes, up to 8 */
	bool no_driver_ok;     /* stop before DRIVER_OK */
	bool no_queues;	       /* negotiate and map only */
	bool writes;	       /* block: write instead of read (--scratch) */
	bool mixed;	       /* block: flushes, ids and reads that fail among the reads */
	bool cvq;	       /* network: the control queue, too */
	bool private_memory;   /* private anonymous memory */
};

/* One request and its buffers in the arena. */
struct load_slot {
	uint8_t *out;	 /* what the device reads: block header, or the frame */
	uint8_t *in;	 /* what it writes: block data and status, or the received frame */
	uint64_t serial; /* number of the request, from 1 */
	uint64_t sector;
	uint32_t type;	/* block: VIRTIO_BLK_T_* */
	uint8_t status; /* block: what it has to end with */
	bool busy;
};

struct load {
	struct load_slot slots[LOAD_SLOTS], rx[LOAD_SLOTS];
	uint32_t length;	/* bytes of data in one request */
	uint64_t posted;	/* requests put into the ring */
	uint64_t done;		/* and completed */
	uint64_t received;	/* network: frames that came back */
	uint64_t last_received; /* number of the last of them */
	uint64_t serial;
	uint8_t *known; /* block: contents of the first blocks */
	uint8_t known_set[64];
	unsigned blocks;
};

struct rig {
	struct check *c;
	const struct facts *facts;
	struct rig_options options;
	struct uvdpa_driver *drv;
	struct uvdpa_memory *memory;
	uint64_t features;
	bool packed, in_order;
	unsigned queues; /* attached */
	unsigned work;	 /* the queue whose completions count: 0, network 1 */
	struct uvdpa_queue *queue[RIG_MAX_QUEUES];
	int config_call; /* eventfd, bound as the config call */
	struct load load;
};

void rig_set_up(struct check *c, struct rig *rig, const struct rig_options *options);
/* With default options and a few requests done; and then suspended. */
void rig_set_running(struct check *c, struct rig *rig);
void rig_set_suspended(struct check *c, struct rig *rig);
/*
 * The bytes that a case may write to config space as they are: over vhost-vdpa any (linux
 * vhost_vdpa_set_config says so), over vhost-user a field that is the driver's to write. False:
 * none.
 */
bool rig_config_field(const struct rig *rig, uint32_t *offset, uint32_t *size);
/* SET_VRING_ADDR with the addresses that the queue has already. */
int rig_same_addr(struct rig *rig, unsigned queue);
/* The way from status 0 to DRIVER_OK by raw calls, with no reset and no mapping on it. */
void rig_raw_start(struct rig *rig);
/* Attaches the queues at their positions and sets DRIVER_OK: again, after a reset or to another
 * device. */
void rig_start(struct rig *rig);
/* Writes all kick eventfds once. */
void rig_kick(struct rig *rig);
/* The raw calls, whose success is taken for granted: broken() if they fail. */
void rig_suspend(struct rig *rig);
void rig_resume(struct rig *rig);
uint32_t rig_base(struct rig *rig, unsigned queue);
/* Memory and queues of the rig mapped and attached anew after status 0. */
void rig_reset(struct rig *rig);
/* Negotiates and maps again, for rig_start(). */
void rig_negotiate(struct rig *rig);
/* Where the queue stands by its ring in memory: the used index; packed: the used position, as a
 * base has it, in both halves. */
uint32_t rig_used(struct rig *rig, unsigned queue);
/*
 * A suspended queue's base is ahead of where its used ring stood when SUSPEND returned: whatever
 * finding follows comes of that. For those that look at a suspended device.
 */
void rig_see_behind(struct rig *rig, unsigned queue, uint32_t used);
/* What that is after so many more requests of `each` descriptors. */
uint32_t rig_after(const struct rig *rig, uint32_t used, uint64_t requests, unsigned each);
/* Descriptors of a request, neither indirect nor scattered. */
unsigned rig_each(const struct rig *rig);
/* Where a virgin ring stands. */
uint32_t rig_first(const struct rig *rig);
/* The base after a reset is that, or 0: without features no ring is packed. */
void rig_want_virgin(struct rig *rig, unsigned queue);
/* A place that is another. */
uint32_t rig_elsewhere(const struct rig *rig);

/* How the rings of the rig that was remembered last look, in lines; "": there is none. */
void rings_remember(const struct rig *rig);
void rings_show(char *text, size_t size);

/* The root of what is found where a reset has gone before. */
#define ROOT_RESET "a reset does not stop the rings, or does not forget them"

/* Load. ------------------------------------------------------------------------------------ */

void load_new(struct rig *rig);
/* How many requests the rings still have room for. */
unsigned load_room(struct rig *rig);
/* Puts up to n requests into the ring; returns how many went in. The device is not shown them. */
unsigned load_add(struct rig *rig, unsigned n);
void load_show(struct rig *rig);
/* Both of these. No kick. */
unsigned load_post(struct rig *rig, unsigned n);
/* Fills the rings. Returns how many went in. */
unsigned load_fill(struct rig *rig);
/* All that there is room for, a kick, and a while of up to so many us: what follows comes amid it.
 */
void load_burst(struct rig *rig, unsigned us);
/* Collects and checks what is done, now; returns how many. */
unsigned load_collect(struct rig *rig);
/* Collects until all is done. 0, or -ETIMEDOUT. */
int load_settle(struct rig *rig, unsigned milliseconds);
/* post, kick, settle. */
int load_run(struct rig *rig, unsigned n, unsigned milliseconds);
/* The same, and broken() if it is not done in time. `when`: "after resume". */
void load_must_run(struct rig *rig, unsigned n, const char *when);
/*
 * Posts n requests, kicks, and does not look at the ring before the eventfd is signalled, which is
 * not read; then everything has to be done. A driver that looks may be so quick to collect, and to
 * ask for the next call, that none is due (virtio 2.7.10). broken() says `what` was expected.
 */
void load_must_be_called(struct rig *rig, unsigned n, int call, const char *what);
/* Everything posted is done (collected or not) within the patience of a case, or broken(). */
void load_must_settle(struct rig *rig, const char *when);
/* Ends with broken() if a canary around or between buffers has changed. */
void load_check_canaries(struct rig *rig);

/* How long to watch that something does not happen, us. */
#define WATCH_US 30000

#endif
