/*
 * A small vhost-vdpa block device in one file of the tests, which can be told to do one thing
 * wrong.
 *
 * It exists so that the checker can be seen to fail: without a fault every case of `uvdpa check`
 * has to keep, with one the case meant for it has to break. It is written from the specification
 * and the contract alone and shares no code with either tower.
 *
 * A thread serves two queues. A pass takes up to four requests, works on them without a lock for
 * some microseconds (the backend), then publishes and announces them: so there is always something
 * in flight for a suspension to wait for.
 */
#ifndef TEST_CHECK_SHAM_H
#define TEST_CHECK_SHAM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "uvdpa/driver.h"

/* One fault each; what it is, is said in mutants.c. */
enum sham_fault {
	SHAM_CORRECT,
	/* while suspended */
	SHAM_TAKES_ONE_MORE,
	SHAM_GOES_ON,
	SHAM_KICK_STARTS,
	SHAM_REBIND_STARTS,
	SHAM_ENABLE_STARTS,
	SHAM_DRIVER_OK_STARTS,
	SHAM_BATCH_STARTS,
	SHAM_WRITES_USED,
	SHAM_WRITES_EVENT,
	SHAM_WRITES_FLAGS,
	SHAM_WRITES_BUFFER,
	SHAM_UNMAP_WRITES,
	SHAM_CALLS_LATE,
	SHAM_CALLS_ON_KICK,
	SHAM_CONFIG_CALL,
	SHAM_CONFIG_CHANGES,
	SHAM_NO_CONFIG,
	SHAM_STATUS_SHOWS,
	/* suspend itself */
	SHAM_NO_WAIT,
	SHAM_NO_CALL,
	SHAM_HALF_DONE,
	SHAM_SECOND_TOGGLES,
	SHAM_SECOND_FAILS,
	SHAM_SECOND_HURRIES,
	SHAM_NESTS,
	SHAM_HANGS,
	SHAM_THIRD_STATE,
	SHAM_EARLY,
	SHAM_NOT_OFFERED,
	SHAM_LOSES_QUEUED,
	/* bases */
	SHAM_BASE_HIGH,
	SHAM_BASE_LOW,
	SHAM_BASE_MOVES,
	SHAM_BASE_15_BITS,
	SHAM_BASE_IGNORED,
	SHAM_BASE_FROM_ZERO,
	/* resume */
	SHAM_FORGETS_KICK_BEFORE,
	SHAM_FORGETS_KICK_DURING,
	SHAM_FORGETS_ENABLE,
	SHAM_FORGETS_CALLS,
	SHAM_REPEATS_ONE,
	SHAM_SKIPS_ONE,
	SHAM_RESUME_RESTARTS,
	/* reset, close, restore */
	SHAM_RESET_KEEPS_SUSPENDED,
	SHAM_CLOSE_KEEPS_SUSPENDED,
	SHAM_RESET_KEEPS_BASE,
	SHAM_RESET_STILL_WRITES,
	/* the uAPI */
	SHAM_ANYBODY,
	SHAM_ADDR_WHILE_RUNNING,
	SHAM_STATUS_DOWN,
	SHAM_OVERLAP,
	SHAM_WRITES_READ_ONLY,
	SHAM_OVERRUNS,
	SHAM_LENGTH,
	/* packed rings */
	SHAM_NO_FLIP,
	SHAM_STALE_LAP,
	SHAM_USED_FLAGS_INVERTED,
	SHAM_ONE_EACH,
	SHAM_BASE_NO_WRAP,
	SHAM_BASE_HALF,
	SHAM_BASE_FIRST_LAP,
	/* used in order */
	SHAM_SWAPS,
	SHAM_RESUME_SWAPS,
	SHAM_RESTORE_SWAPS,
	/* what back ends of others were found to do */
	SHAM_KICK_FAILS_SUSPEND,
	SHAM_RESET_NO_WAIT,
	SHAM_WRITES_TABLE,
	SHAM_STOP_STOPS_ALL,
	SHAM_ZERO_ENDS_KICKS,
	SHAM_CONFIG_TAKES_ALL,
	SHAM_CONFIG_NO_OFFSET,
	SHAM_FAULTS,
};

#define SHAM_QUEUES   2
#define SHAM_MAPS     2100
#define SHAM_SIZE_MAX 256
#define SHAM_SECTORS  2048
#define SHAM_BATCH    4

struct sham_map {
	uint64_t iova, last, uaddr;
	uint8_t perm;
};

struct sham_queue {
	unsigned long long counted; /* of the kick eventfd, as it was seen last */
	uint32_t num;
	uint64_t desc, avail, used;
	uint16_t last_avail, used_idx;	  /* packed: positions with their wrap counters */
	uint16_t announced, announced_at; /* call decisions */
	int kick, call;
	bool ready, broken;
	bool kicked, enabled_late; /* while suspended */
	bool resumed, restored;	   /* SHAM_RESUME_SWAPS, SHAM_RESTORE_SWAPS */
	unsigned in_flight;
};

/* A request that was taken. */
struct sham_request {
	uint64_t table; /* iova of its indirect table; 0: none */
	uint16_t head;
	uint64_t header; /* iova */
	struct {
		uint64_t iova;
		uint32_t len;
	} data[20];
	unsigned count;
	unsigned entries; /* packed: descriptors */
	uint64_t status;  /* iova */
	uint32_t type, written;
	uint64_t sector;
	uint64_t range;
};

struct sham {
	enum sham_fault err;
	pthread_mutex_t control; /* one ioctl or message at a time */
	pthread_mutex_t work;	 /* everything below */
	pthread_cond_t drained;
	pthread_t thread;
	int wake, epoll;
	bool open, owned;
	_Atomic bool end;

	uint8_t status;
	uint64_t features, backend;
	bool suspended;
	atomic_bool hurried; /* SHAM_SECOND_HURRIES: somebody did */
	unsigned nested;
	bool muted; /* SHAM_FORGETS_CALLS */
	uint8_t config[64];
	int config_call;
	struct sham_queue queues[SHAM_QUEUES];
	struct sham_map maps[SHAM_MAPS];
	unsigned map_count;
	bool space; /* address space 0 exists */
	uint8_t disk[SHAM_SECTORS * 512];

	/* for faults */
	struct sham_request last;
	unsigned last_queue, bases_asked, extra;
	uint64_t scribble; /* iova of a buffer */
};

/* Makes it; its thread starts at the first open, so that the caller may fork before. */
void sham_init(struct sham *s, enum sham_fault err);
/* Opens it without a driver: the transport that a driver of it has. 0 or -EBUSY. */
int sham_connect(struct sham *s, const struct uvdpa_transport **ops, void **ctx);
/* As struct target's open wants it; `arg` is the sham. */
int sham_open(void *arg, unsigned flags, struct uvdpa_driver **drv, struct uvdpa_error *error);

/* Between the files of the sham. --------------------------------------------------------- */

bool sham_is(const struct sham *s, enum sham_fault err);
bool sham_is_packed(const struct sham *s);
/* Memory at an IOVA that may be accessed so (1 read, 2 write), or NULL. */
void *sham_at(struct sham *s, uint64_t iova, uint64_t len, uint8_t perm);
bool sham_runs(const struct sham *s);
void *sham_thread(void *arg);
void sham_wake(struct sham *s);
/* Starts a queue's ring where its base is. */
void sham_start_queue(struct sham *s, unsigned index);
void sham_call(struct sham *s, struct sham_queue *q);
/* One buffer of a chain into the request; `seen` counts them. False if the chain is nonsense. */
bool sham_add_buffer(struct sham *s, struct sham_request *r, uint64_t addr, uint32_t len,
		     bool write, unsigned *seen);
/* Packed rings: whether there is a request, taking one, finishing one, calls and kicks. */
bool sham_packed_shown(struct sham *s, const struct sham_queue *q);
bool sham_packed_take(struct sham *s, struct sham_queue *q, struct sham_request *r);
void sham_packed_publish(struct sham *s, struct sham_queue *q, const struct sham_request *r,
			 uint32_t written);
bool sham_packed_wants_call(struct sham *s, const struct sham_queue *q, uint16_t old);
void sham_packed_arm(struct sham *s, const struct sham_queue *q, bool event_idx);
/* Waits, with the work lock held, until nothing is in flight. */
void sham_wait_drained(struct sham *s);
/* 0, -EBADF, -EINVAL. */
int sham_check_eventfd(int fd);
/* Keeps a copy of `fd` (-1: none) instead of what was there. */
void sham_replace_fd(int *to, int fd);
int sham_queue_call(struct sham *s, unsigned long cmd, void *arg);
/* The eventfd's writes reach the thread. */
void sham_watch(struct sham *s, unsigned index, int fd);
/* What a faulty device does when a suspended queue is kicked or time passes. */
void sham_tempted(struct sham *s, unsigned index);

#endif
