/*
 * What the litmus tests are made of: memory, our ring, and the driver tower's queue at its other
 * end. All of it is one struct, so that an execution can begin where the one before began.
 */
#ifndef UVDPA_TEST_LITMUS_RIG_H
#define UVDPA_TEST_LITMUS_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include "driver/queue.h"
#include "memory/client.h"
#include "memory/dirty.h"
#include "memory/space.h"
#include "ring/ring.h"

#define RIG_NUM	   4u
#define RIG_IOVA   UINT64_C(0x40000)
#define RIG_MEMORY 2048u

/* Where things lie. The ring's areas lie across regions, where there are several. */
enum {
	RIG_STRETCH = 32,
	RIG_DESC = 0x010,
	RIG_DRIVER = 0x11c,
	RIG_DEVICE = 0x21c,
	RIG_DATA = 0x300,
	RIG_RECORD = 0x400,
	RIG_BITS = 0x600,
};

enum rig_memory { RIG_MAPPED, RIG_STRETCHES, RIG_COPIED, RIG_KINDS };

struct rig {
	enum rig_memory kind;
	struct space *space;
	struct ring ring;
	struct ring_prefetch prefetch;
	struct chain chains[2];
	struct segment segments[2][RIG_NUM];
	struct uvdpa_queue queue;
	struct drv_chain in_flight[RIG_NUM];
	uint16_t next[RIG_NUM];
	struct dirty_log logs[2];
	/* What the threads found. */
	struct batch_chain plain[2];
	unsigned taken;
	bool device_saw, driver_saw, wrong;
	uint16_t copy;
};

extern struct rig rig;
extern uint8_t rig_memory[RIG_MEMORY];

/* A ring with both its ends, empty. `record`: with one. */
void rig_set_up(enum rig_memory kind, uint64_t features, bool record);
void rig_tear_down(void);
struct ring_setup rig_ring_setup(uint64_t features, bool record);

struct client_memory *rig_client(void);

/* The driver's: adds a chain of one buffer of two bytes, the number of which is the cookie. */
void rig_add(unsigned number, bool writable);
/* The device's: takes a chain into a place, or not. */
bool rig_pop(unsigned place);
/* Both: one chain, all the way, so that nothing is at its beginning any more. */
void rig_cycle(void);

uint16_t *rig_data(unsigned number);

#endif
