/*
 * When a worker looks for more work itself, and when it sleeps.
 *
 * Theory of operation
 * -------------------
 * Who sleeps has to be woken: two system calls and a switch, on the driver's side of which a guest
 * leaves its processor. Who looks itself answers at once, but uses a processor up. So looking has a
 * limit, and the time it takes depends on whether it would have helped:
 *
 *      work ... work, dry . . . . . . . . . asleep ............ work
 *                     |<---- window ---->|
 *                     |<--------------- gap ------------------->|
 *
 *   gap within the window     it helped: the window stays
 *   gap within the maximum    a longer window would have: it doubles
 *   gap beyond the maximum    it was in vain: the fourth time in a row, or at once if the gap was
 *                             eight times as long, it closes, and nothing is looked for
 *
 * A closed window opens with a gap of up to twice the maximum, since such a gap has a wake-up in
 * it. Without that and the patience a worker that was once held up for a while would stay with
 * sleeping: it would be woken each time just too late to see that looking had helped.
 *
 * There are two windows. Where the backend owes an answer (a disk that is reading), the gap is the
 * disk's, something is sure to come, and until then the driver waits, too: its maximum is three
 * times the other's, enough for fast disks, whose requests take 50 to 150 microseconds. Where
 * nothing is owed only the driver can have something, and who knows when. A disk that is slow, or a
 * driver that thinks, closes the one and leaves the other.
 *
 * So a device that is idle, or has work at long intervals, costs nothing; one that has a request
 * after the other opens its windows after the first few. A window begins with an eighth of its
 * maximum.
 *
 * One thread's. The clock is read when work runs out and comes, not while there is some.
 */
#ifndef UVDPA_RUNTIME_POLLER_H
#define UVDPA_RUNTIME_POLLER_H

#include <stdbool.h>
#include <stdint.h>

#include "loop/worker.h"

struct poller_window {
	uint64_t max;	 /* ns; 0: never poll */
	uint64_t length; /* ns; at most max */
	unsigned misses; /* gaps beyond the maximum, one after the other */
};

struct poller {
	struct poller_window request; /* for what drivers have */
	struct poller_window answer;  /* for what backends owe, or drivers have */
	uint64_t empty;		      /* ns: when work ran out; 0: there is some, or never was */
	bool inflight;		      /* something was, then: the answer's window is the one */
	bool over; /* the window has passed: the next pass is the last before sleep */
	bool asleep;
	uint64_t (*now)(void); /* ns, never 0 */
};

/* What a pass found. Whether there was some queue that ... */
struct poller_pass {
	bool done;     /* had work and is idle now */
	bool more;     /* has work */
	bool empty;    /* had none but is unarmed */
	bool inflight; /* has requests with its backend */
};

/* How long to look for requests, at most. */
void poller_init(struct poller *poller, unsigned max_us);
/* Before a pass: whether queues without work are to be left unarmed. */
bool poller_begin(const struct poller *poller);
/* After it. Says how to go on. */
enum worker_next poller_end(struct poller *poller, struct poller_pass pass);

#endif
