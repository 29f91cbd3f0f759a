/*
 * A stage: a device with a scripted model, a single-threaded host that writes
 * down every effect, and a driver with its rings in memory of its own. All
 * that happens goes to one book as lines "[TIME] words"; two stages may share
 * the memory and the book.
 *
 * While the device is SUSPENDED the stage watches: no byte of memory may
 * change and no notification may be sent across any call into the device
 * (S4, S5); if so, "VIOLATION" goes to the book.
 */
#ifndef UVDPA_TEST_STAGE_H
#define UVDPA_TEST_STAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "device/device.h"
#include "lib/ram.h"
#include "lib/script_model.h"
#include "lib/vq.h"

#define STAGE_QUEUES 4
#define STAGE_ASKED  64 /* verbs with an answer, over the life of a stage */
#define STAGE_NUM    8	/* entries per ring, unless said otherwise */

struct book {
	char text[1 << 16];
	size_t size;
	uint64_t now; /* ms */
	bool named;   /* lines say which stage they are of */
};

void book_line(struct book *book, const char *format, ...) __attribute__((format(printf, 2, 3)));

struct stage_options {
	const char *name;
	unsigned queues, asids;
	enum ram_kind kind;
	uint64_t features; /* acknowledged besides the two that must be */
	bool no_suspend, no_resume;
	uint32_t timeout_ms;
	uint16_t num;	     /* entries per ring */
	struct model *model; /* instead of the scripted one */
};

struct stage_asked {
	struct stage *stage;
	char words[48];
};

struct theatre;

struct stage {
	struct device_runtime host; /* the first member */
	struct stage_options options;
	struct book *book;
	struct theatre *theatre;
	struct script_model model;
	struct device *device;

	bool wake[STAGE_QUEUES], settle;
	bool workers_off; /* passes wait until stage_run is called with this false */
	uint64_t deadline;
	unsigned excluded;
	unsigned queue_calls, config_calls;
	bool watching;
	unsigned calls_before;
	unsigned answered; /* device_done calls */
	int answer;	   /* the last one's result */
	struct stage_asked asked[STAGE_ASKED];
	unsigned asked_count;
};

/* The driver's side, which outlives devices. */
struct theatre {
	struct book book;
	struct ram ram;
	struct vq vqs[STAGE_QUEUES];
	uint64_t buffers; /* IOVA of room for buffers */
	unsigned next_buffer;
	uint64_t tags[STAGE_QUEUES][64];	       /* by head */
	struct inflight_record *records[STAGE_QUEUES]; /* NULL: not asked for */
};

void theatre_init(struct theatre *theatre, const struct stage_options *options);
void theatre_destroy(struct theatre *theatre);

void stage_init(struct stage *stage, struct theatre *theatre, const struct stage_options *options);
/* Resets the device, giving everything back, and frees it. */
void stage_destroy(struct stage *stage);

/* Runs workers and settling until nothing wants to run. */
void stage_run(struct stage *stage);
/* Lets time pass, calling device_deadline where the host was asked to. */
void stage_time(struct stage *stage, uint64_t until);

/* Around every call into the device: begin before, end after. end also runs what became due. */
void stage_begin(struct stage *stage);
void stage_end(struct stage *stage);

/* Steps of a driver's start. stage_up does all of them. */
void stage_map(struct stage *stage);
void stage_queue(struct stage *stage, unsigned queue, uint32_t base, bool ready);
void stage_up(struct stage *stage);
/* Before the queue is ready: it keeps its record in the theatre's, and a move takes it along. */
void stage_record(struct stage *stage, unsigned queue);
int stage_status(struct stage *stage, uint8_t status);

/* A request of 8 readable and `writable` writable bytes; two descriptors of the ring. */
void stage_post(struct theatre *theatre, unsigned queue, uint64_t tag, uint32_t writable);
void stage_kick(struct stage *stage, unsigned queue);
void stage_finish(struct stage *stage, uint64_t tag, const char *refusal);

/* A device_done that writes "WORDS: result" to the book; arg from stage_done_arg. */
void stage_done(void *arg, int result);
void *stage_done_arg(struct stage *stage, const char *words);

#endif
