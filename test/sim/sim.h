/*
 * A whole life of one or two devices, from a seed.
 *
 * Theory of operation
 * -------------------
 * One thread plays everybody; at each step a random number decides who does
 * what, so that a seed is a complete description of a life:
 *
 *     guest   posts block requests into its rings, kicks, takes used elements,
 *             looks only when it is interrupted; also the driver's verbs
 *     worker  one pass over one queue that was woken, or one settling
 *     disk    finishes some outstanding operation: any, in any order, with an
 *             error now and then, or (stubborn) none at all
 *     clock   moves on
 *     operator  holds, parks, lets go, resizes, moves the device by its saved state
 *
 * The core and the block model are the real ones. The driver's rings, the disk
 * and the judgement are made here and share no code with either tower.
 *
 * The judgement. Every write has a generation of its own, and a sector's
 * contents are a function of sector and generation. For each sector the guest
 * knows which generations it may hold now (more than one after a failure, or
 * after a reset with the write in flight). A request is lost if the guest has
 * not got it back when everything has come to rest without any further kick;
 * duplicated if it comes back twice, or if the disk is asked to write a
 * generation twice; corrupt if its data, or a byte around its buffers, or the
 * image in the end, is not what it may be. While a device is suspended (S2..S6)
 * no byte of guest memory, no base, no byte of config space may change, no
 * operation may reach the disk, and no interrupt may come.
 *
 * Parking. In a third of the lives each queue has a record of requests in flight,
 * which moves along: the driver stops queues as a vhost-user front end does. What was in flight
 * when the disk was asked to give it back may be written once more, and only that; the base is
 * ahead of the used index by what is parked, and not more.
 *
 * Killing. In the same lives a device may be killed at any step, perhaps before it has called for
 * what it had shown. Its successor gets the record and any base, and nothing else wakes the guest.
 */
#ifndef UVDPA_TEST_SIM_H
#define UVDPA_TEST_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "backend/block.h"
#include "device/device.h"
#include "device/state.h"
#include "lib/ram.h"
#include "lib/pq.h"
#include "lib/vq.h"
#include "ring/inflight.h"

#define SECTOR	    512u
#define SECTORS	    48u	 /* that the guest uses */
#define IMAGE	    128u /* sectors that the disk may grow to */
#define QUEUES	    2u
#define SLOTS	    16u /* requests of a queue in flight */
#define RING	    64u /* entries: four per slot */
#define MAX_DATA    3u	/* sectors of one request */
#define GENERATIONS 65536u
#define MAYBE	    6u
#define MAX_ASKS    64u
#define MAX_OPS	    (QUEUES * RING)
#define RECORD_SIZE 4096u

/* What can be made to go wrong, to see that it is noticed. */
enum plant {
	PLANT_NONE,
	PLANT_WAKE_LOST,       /* after resume, nobody looks at the rings */
	PLANT_KICK_LOST,       /* a kick is dropped */
	PLANT_CALL_LOST,       /* a notification is dropped */
	PLANT_CALL_SUSPENDED,  /* a notification while suspended */
	PLANT_CONFIG_LOST,     /* a config notification held over a suspension is dropped */
	PLANT_WRITE_SUSPENDED, /* a byte of guest memory changes while suspended */
	PLANT_USED_TWICE,      /* a used element appears twice */
	PLANT_BASE_OFF,	       /* a move sets a base that is off by one */
	PLANT_SWALLOWED,       /* the disk forgets an operation */
	PLANT_TORN,	       /* the disk reports success for half a write */
	PLANT_STALE_READ,      /* the disk reads what was there before */
	PLANT_LATE_DATA,       /* the disk reports a read before its data is there */
	PLANT_WRITE_AGAIN,     /* the disk repeats a write later on */
	PLANT_PARKED_LOST,     /* a move forgets a request that is parked */
	PLANT_RECORD_LOST,     /* a record forgets a request when its process is killed */
	PLANT_FIRST_CALL_LOST, /* a device that comes after one that was killed does not call */
	PLANT_COUNT
};
const char *plant_name(enum plant plant);

struct sim;

/* --- The disk (disk.c) ----------------------------------------------------------------------- */

struct op {
	struct block_request *request; /* NULL: free */
	struct block_channel *channel;
	bool finished;
	int error;
};

/* One device's way to the image, which they share. */
struct disk {
	struct block block;
	struct sim *sim;
	unsigned rig;
	struct op ops[MAX_OPS];
	unsigned outstanding;
	bool stubborn; /* nothing is finished, not even cancelled */
	bool lazy;     /* hardly anything is finished unless it is cancelled */
};

struct disk *disk_new(struct sim *sim, unsigned rig);
/* Finishes one outstanding operation, if there is any. */
void disk_step(struct disk *disk);
/* Sector contents by generation. */
void sector_fill(uint8_t *bytes, unsigned sector, uint64_t generation);
/* Whose contents these are, or UINT64_MAX: nobody's. */
uint64_t sector_generation(const uint8_t *bytes, unsigned sector);

/* --- A device and its runtime (rig.c)
 * -------------------------------------------------------------
 */

enum ask_kind { ASK_SUSPEND, ASK_RESET, ASK_DISABLE, ASK_STOP, ASK_OTHER };

/* A verb that is answered later. */
struct ask {
	struct rig *rig; /* NULL: free */
	enum ask_kind kind;
	enum device_holder holder;
	unsigned queue;
	uint64_t deadline;
};

struct rig {
	struct device_runtime runtime; /* the first member */
	struct sim *sim;
	unsigned index;
	struct device *device;
	struct disk *disk;
	bool wake[QUEUES], settle, excluded, resuming;
	uint64_t deadline;
	int poll_fd[QUEUES];

	unsigned held;	     /* holders whose suspension succeeded and lasts */
	unsigned waiting[8]; /* by holder: suspends not answered yet */
	bool broken;	     /* for a good reason */
	unsigned uncalled;   /* after one that was killed: queues whose guest is still to be called,
				as bits */
	bool frozen;	     /* was SUSPENDED after the last event; what it looked like: */
	uint32_t bases[QUEUES];
	uint8_t config[DEVICE_MAX_CONFIG];
	uint32_t generation;
	unsigned config_calls, config_due; /* announced; changes that have to be */
	uint64_t capacity;		   /* sectors, as the operator last set it */
};

void rig_init(struct rig *rig, struct sim *sim, unsigned index);
void rig_destroy(struct rig *rig);
/* Around everything that calls into the device. */
void rig_before(struct rig *rig);
void rig_after(struct rig *rig);
/* One random thing of the runtime's that is due; false: nothing is. */
bool rig_step(struct rig *rig);
bool rig_is_due(const struct rig *rig);
void rig_kick(struct rig *rig, unsigned queue);
void rig_clock(struct rig *rig);
struct ask *rig_ask(struct rig *rig, enum ask_kind kind, enum device_holder holder, uint32_t ms);
void rig_answer(void *ask, int result);
void rig_suspend(struct rig *rig, enum device_holder holder, uint32_t ms, bool park);
void rig_resume(struct rig *rig, enum device_holder holder);
void rig_reset(struct rig *rig, enum device_event event);
void rig_resize(struct rig *rig);

/* --- The guest (guest.c, oracle.c) ----------------------------------------------------------- */

struct slot {
	bool in_flight;
	bool failed; /* the disk was made to fail it */
	uint32_t type;
	unsigned sector, count;
	uint64_t generation;
};

struct sector {
	uint64_t maybe[MAYBE]; /* generations it may hold */
	unsigned maybes;
	unsigned readers;
	bool written; /* a write is in flight */
};

struct guest_queue {
	struct vq vq; /* split */
	struct pq pq; /* or packed */
	struct slot slots[SLOTS];
	bool irq;	    /* an interrupt to be handled */
	bool deaf;	    /* it does not want interrupts for everything */
	bool kick_due;	    /* a kick that was put off */
	uint16_t kicked_at; /* available index at the last thought about kicking */
	bool enabled;
	uint64_t slot_iova;
};

enum guest_state { GUEST_DOWN, GUEST_UP, GUEST_MOVING, GUEST_RESETTING };

struct guest {
	enum guest_state state;
	struct guest_queue queues[QUEUES];
	unsigned busy; /* verbs of the driver's that wait for their answer */
	bool nonsense; /* it has put some into a ring */
	uint64_t posted, completed, failed, abandoned;
};

void guest_init(struct sim *sim);
/* Maps, negotiates, sets the queues up, at these bases (NULL: anew), and says DRIVER_OK. */
void guest_up(struct sim *sim, const uint32_t *bases);
void guest_step(struct sim *sim);
void guest_interrupts(struct sim *sim);
void guest_kick(struct sim *sim, unsigned queue);
/* Everything in flight is given up: the device was reset. */
void guest_abandon(struct sim *sim);
/* Interrupts for everything from now on, and one look. */
void guest_listen(struct sim *sim);
void guest_swap(struct sim *sim);
void guest_remap(struct sim *sim);
void guest_nonsense(struct sim *sim);
void guest_map(struct sim *sim);

/* A slot's memory: header, data, status, indirect table; all else is canary. */
#define SLOT_SIZE   2560u
#define SLOT_HEADER 64u
#define SLOT_DATA   128u
#define SLOT_STATUS 1728u
#define SLOT_TABLE  1792u
#define CANARY	    0xc5
uint8_t *slot_bytes(struct sim *sim, const struct guest_queue *queue, unsigned slot);

void oracle_init(struct sim *sim);
/* Picks what a new request does and fills in the slot and its memory. False: nothing fits. */
bool oracle_begin(struct sim *sim, struct guest_queue *queue, unsigned slot);
void oracle_complete(struct sim *sim, struct guest_queue *queue, unsigned slot, uint32_t length);
void oracle_abandon(struct sim *sim, struct guest_queue *queue, unsigned slot);
/* The disk was asked to give back what it has: what is in flight may be done again. */
void oracle_cancelled(struct sim *sim);
/* The disk is about to write this / has failed this: called by the disk. */
void oracle_written(struct sim *sim, unsigned sector, uint64_t generation);
void oracle_failed(struct sim *sim, unsigned sector, unsigned count);
void oracle_image(struct sim *sim);
/* Bytes around the buffers, and buffers of nobody. */
void oracle_memory(struct sim *sim);

/* --- The whole -------------------------------------------------------------------------------- */

struct sim_options {
	uint64_t seed;
	unsigned steps;
	bool trace;
	enum plant plant;
};

struct sim {
	struct sim_options options;
	uint64_t random;
	unsigned step;
	uint64_t now;
	bool failed;
	char why[300];

	unsigned queues;
	uint32_t timeout; /* ms, of the devices */
	bool slow;	  /* the disks are lazy all the time */
	bool packed, event_idx, indirect,
		calm; /* calm: the disk fails nothing and is not stubborn */
	struct ram ram;
	unsigned half; /* which half of the memory is the guest's now */
	unsigned late_posts;
	bool in_pass; /* a pass is under way: copying memory lets the guest go on */
	bool swapped; /* the other half was, and must not be written any more */
	uint8_t image[IMAGE * SECTOR];
	uint64_t image_sectors;
	struct rig rigs[2];
	unsigned active; /* the rig that the guest uses */
	struct guest guest;
	struct sector sectors[SECTORS];
	uint64_t next_generation;
	uint8_t written[GENERATIONS];  /* sectors of it, as bits, modulo 8 */
	uint8_t again_ok[GENERATIONS]; /* likewise: may be written once more */
	bool recorded;		       /* queues have records, which move along */
	_Alignas(64) uint8_t records[QUEUES][RECORD_SIZE];
	struct device_snapshot snapshot;
	struct ask asks[MAX_ASKS];
	bool planted;	 /* the fault has happened */
	struct op again; /* PLANT_WRITE_AGAIN and PLANT_LATE_DATA: what happens later */
	uint8_t again_bytes[MAX_DATA * SECTOR];
	struct iovec again_iov[8];
	struct block_request again_request;

	unsigned crashes, moves, suspends, timeouts, resets, drains, parked;
};

/* Runs a life. Returns whether it went well; else sim->why says what went wrong. */
bool sim_run(struct sim *sim, const struct sim_options *options);
/* Comes to rest: lets go, resumes, and then every request must be back. */
void sim_drain(struct sim *sim);

uint32_t sim_random(struct sim *sim, uint32_t below);
bool sim_chance(struct sim *sim, uint32_t one_in);
/* The first one counts. */
void sim_fail(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_trace(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* True once in a while if that fault is to be planted. */
bool sim_plant(struct sim *sim, enum plant plant, uint32_t one_in);

static inline struct inflight_record *sim_record(struct sim *sim, unsigned queue)
{
	return (struct inflight_record *)(void *)sim->records[queue];
}

static inline struct inflight_packed *sim_packed_record(struct sim *sim, unsigned queue)
{
	return (struct inflight_packed *)(void *)sim->records[queue];
}

static inline void sim_clear_record(struct sim *sim, unsigned queue)
{
	if (sim->packed)
		inflight_packed_clear(sim_packed_record(sim, queue), RING);
	else
		inflight_clear(sim_record(sim, queue), RING);
}

static inline struct rig *sim_rig(struct sim *sim)
{
	return &sim->rigs[sim->active];
}

#endif
