/*
 * A pass: what a queue's worker does with it. Deliver what the backend
 * finished, take chains, publish, and, when there is nothing more, ask the
 * driver for kicks.
 *
 * A closed queue (suspending, resetting, disabled, broken) still delivers and
 * publishes, and takes nothing: that is how it drains (S2, S3).
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "device/device_internal.h"

static void give_back(struct queue *queue, struct request *request)
{
	const struct space *space = request->chain.space;

	assert(request->sequence && queue->in_flight);
	/* It may have been the last to use a mapping that was removed: control unmaps those. */
	if (space_has_retired(space) && request->generation < space_generation(space))
		queue->reapable = true;
	request->sequence = 0;
	request->next = queue->free;
	queue->free = request;
	queue->in_flight--;
}

static void complete(struct request *request, uint32_t written)
{
	struct queue *queue = request->owner;

	if (!queue->discard)
		ring_complete(&queue->ring, &request->chain, written);
	else
		ring_mark_chain(&queue->ring, &request->chain);
	queue->stats.requests++;
	give_back(queue, request);
}

static void refuse_queue(struct queue *queue, const char *why)
{
	queue->open = false;
	queue->discard = true;
	if (!queue->refusal[0])
		snprintf(queue->refusal, sizeof(queue->refusal), "%s", why);
}

static void refuse(struct request *request, const char *why)
{
	struct queue *queue = request->owner;

	refuse_queue(queue, why);
	give_back(queue, request);
}

/* What was read so far may be anywhere in its buffers. Reset, the driver does not care (discard).
 */
static bool cancelled(struct request *request)
{
	struct queue *queue = request->owner;

	if (!queue->parking || queue->discard)
		return false;
	if (queue->parked_count == queue->ring_num) {
		refuse_queue(queue, "more chains in flight than the ring has entries");
		return false;
	}
	queue->parked[queue->parked_count++] = (struct parked){
		.sequence = request->sequence, .head = ring_name(&queue->ring, &request->chain)};
	ring_mark_chain(&queue->ring, &request->chain);
	give_back(queue, request);
	return true;
}

const struct request_sink queue_sink = {
	.complete = complete, .refuse = refuse, .cancelled = cancelled};

/* The first chain since a ring was started. */
static void note_first(struct queue *queue, uint16_t head)
{
	const struct ring *ring = &queue->ring;

	queue->fresh = false;
	device_trace(queue->device, TRACE_FIRST_CHAIN, queue->index, head);
	if (ring->base_refused)
		log_warning(queue->device->name,
			    "queue %u: base %u cannot be, by its used and available index: it goes "
			    "on at the used index",
			    queue->index, ring->setup.base);
}

/* Takes one chain into the first free request. */
static enum ring_pop_result pop_one(struct queue *queue, struct request **out)
{
	struct request *request = queue->free ? queue->free : queue_make_slot(queue);
	enum ring_pop_result r;

	if (!request) {
		r = ring_look(&queue->ring);
		if (r == RING_CHAIN)
			refuse_queue(queue, "more chains in flight than the ring has entries");
		return r == RING_CHAIN ? RING_BROKEN : r;
	}
	request->chain.segments = request->inline_segs;
	request->chain.max_segments = CHAIN_INLINE_SEGMENTS;
	r = ring_pop(&queue->ring, &request->chain);
	if (r != RING_CHAIN)
		return r;
	queue->free = request->next;
	queue->in_flight++;
	request->sequence = ++queue->next_sequence;
	request->generation = space_generation(request->chain.space);
	if (queue->fresh)
		note_first(queue, request->chain.head);
	*out = request;
	return r;
}

/*
 * The ring is not mapped (yet): look again at the next mapping or kick (S8: nobody has to kick
 * for what resume was to look at), and say so, once, if it was kicked.
 */
static void note_unmapped(struct queue *queue, bool kicked)
{
	if (kicked && !queue->unmapped_logged)
		log_warning(
			queue->device->name,
			"queue %u was kicked, but its ring (0x%llx, 0x%llx, 0x%llx) is not mapped",
			queue->index, (unsigned long long)queue->desc,
			(unsigned long long)queue->driver, (unsigned long long)queue->used);
	queue->unmapped = true;
	queue->unmapped_logged |= kicked;
}

/*
 * Whether chains may be taken: while the queue is open; and, while it drains, those that a process
 * before us had taken, which are in flight as far as the driver is concerned (S3).
 */
static bool may_take(const struct queue *queue)
{
	return queue->open ||
	       (!queue->discard && !queue_stays(queue) && ring_resubmits(&queue->ring));
}

/*
 * So many chains are taken before the first of them goes to the model; and what these led to is
 * shown at once, so that the driver goes on while we do. With requests that take microseconds each
 * it would otherwise wait for a whole pass. A driver that sleeps is woken as soon only if nothing
 * was left to do before this pass: with more than a pass outstanding it would wake up more often
 * than it has to.
 */
#define BATCH 8

/*
 * Takes up to `max` chains. What each begins with is on its way from the driver's processor while
 * the next ones are taken. Returns why it stopped (RING_CHAIN: there are `max`).
 */
static enum ring_pop_result pop_batch(struct queue *queue, struct request **batch, unsigned max,
				      unsigned *count)
{
	enum ring_pop_result r = RING_CHAIN;

	for (*count = 0; *count < max && may_take(queue); ++*count) {
		r = pop_one(queue, &batch[*count]);
		if (r != RING_CHAIN)
			break;
		__builtin_prefetch(batch[*count]->chain.segments[0].host);
	}
	return r;
}

/* Shows what was completed; the driver may be told later, at the end of the pass. */
static void show(struct queue *queue)
{
	if (queue->ring.started)
		queue->signal_pending |= ring_flush_used(&queue->ring);
}

static void publish(struct queue *queue)
{
	struct device *device = queue->device;

	show(queue);
	if (!queue->signal_pending)
		return;
	queue->signal_pending = false;
	queue->stats.notifications++;
	device->runtime->ops->notify_queue(device->runtime, queue->index);
}

/*
 * Whether what is done is shown before more is taken. Where that takes system calls, a driver that
 * has many chains waiting is not kept from going on if several batches are shown at once.
 */
static bool worth_showing(const struct queue *queue, unsigned taken)
{
	return !ring_costly(&queue->ring) || ring_backlog(&queue->ring) < 4 * BATCH ||
	       taken % (4 * BATCH) == 0;
}

/* Whether the model has had as much as a pass may hold, however few the chains are (S10, S16). */
static bool is_sated(const struct queue *queue)
{
	const struct model *model = queue->device->model;

	return model->ops->sated && model->ops->sated(model, queue->index);
}

/*
 * Takes up to `budget` chains. Returns why it stopped (RING_CHAIN: the budget is used up, or the
 * model's).
 */
static enum ring_pop_result take(struct queue *queue, unsigned budget)
{
	struct model *model = queue->device->model;
	enum ring_pop_result r = RING_CHAIN;
	struct request *batch[BATCH];
	bool kicked = queue->kicked;
	unsigned taken = 0, n = 1;

	queue->kicked = false;
	while (r == RING_CHAIN && n && taken < budget && !is_sated(queue)) {
		r = pop_batch(queue, batch, budget - taken < BATCH ? budget - taken : BATCH, &n);
		if (n && !taken)
			ring_disable_notify(&queue->ring);
		for (unsigned i = 0; i < n; i++) {
			if (queue->discard) /* since one of these was refused */
				give_back(queue, batch[i]);
			else
				model->ops->handle(model, batch[i]);
		}
		taken += n;
		if (!worth_showing(queue, taken))
			continue;
		if (queue->was_dry)
			publish(queue);
		else
			show(queue);
	}
	queue->was_dry = r == RING_EMPTY;
	if (taken && model->ops->batch_end)
		model->ops->batch_end(model, queue->index);
	if (r == RING_UNMAPPED)
		note_unmapped(queue, kicked);
	else
		queue->unmapped = queue->unmapped_logged = false;
	return r;
}

/* Chains in a record are taken one by one: what is completed there cannot be followed by unpop. */
static unsigned source_take(struct chain_source *source, struct request **requests, unsigned max)
{
	struct queue_source *qsource = (struct queue_source *)source;
	struct queue *queue = qsource->queue;
	enum ring_pop_result r;
	unsigned count;

	if (!may_take(queue))
		return 0;
	if (queue->record)
		max = 1;
	r = pop_batch(queue, requests, max, &count);
	if (!count && r == RING_EMPTY && !qsource->polling && ring_enable_notify(&queue->ring)) {
		r = pop_batch(queue, requests, max, &count);
		qsource->more_came = !count && r == RING_EMPTY;
	}
	qsource->result = count ? RING_CHAIN : r;
	if (count)
		ring_disable_notify(&queue->ring);
	return count;
}

static void source_unpop(struct chain_source *source, struct request *request)
{
	struct queue *queue = ((struct queue_source *)source)->queue;

	assert(request->owner == queue && request->sequence == queue->next_sequence);
	ring_unpop(&queue->ring, &request->chain);
	queue->next_sequence--;
	give_back(queue, request);
}

static unsigned source_take_batch(struct chain_source *source, enum space_access access,
				  struct batch_chain *batch, unsigned max)
{
	struct queue_source *qsource = (struct queue_source *)source;
	struct queue *queue = qsource->queue;
	unsigned count;

	assert(!qsource->batch);
	if (!queue->open)
		return 0;
	count = ring_take_batch(&queue->ring, access, batch, max);
	if (!count)
		return 0;
	if (queue->fresh)
		note_first(queue, batch[0].head);
	ring_disable_notify(&queue->ring);
	qsource->batch = count;
	qsource->result = RING_CHAIN;
	return count;
}

static void source_unpop_batch(struct chain_source *source, unsigned count)
{
	struct queue_source *qsource = (struct queue_source *)source;

	assert(count <= qsource->batch);
	ring_unpop_batch(&qsource->queue->ring, count);
	qsource->batch -= count;
}

static void source_complete_batch(struct chain_source *source, const struct batch_chain *batch,
				  const uint32_t *written, unsigned count)
{
	struct queue_source *qsource = (struct queue_source *)source;

	assert(count <= qsource->batch);
	ring_complete_batch(&qsource->queue->ring, batch, written, count);
	qsource->queue->stats.requests += count;
	qsource->batch -= count;
}

static struct queue_source source_of(struct queue *queue, bool polling)
{
	return (struct queue_source){.source = {.take = source_take,
						.unpop = source_unpop,
						.take_batch = source_take_batch,
						.unpop_batch = source_unpop_batch,
						.complete_batch = source_complete_batch},
				     .queue = queue,
				     .result = RING_CHAIN,
				     .polling = polling};
}

/*
 * A queue that drains, and chains that a process before us had taken and the model has no use for:
 * nothing will come for them, and the driver is not to wait (S3). They go back unused.
 */
static void give_up_taken(struct queue *queue)
{
	struct request *request;

	while (may_take(queue) && pop_one(queue, &request) == RING_CHAIN)
		complete(request, 0);
}

/* Lets the model take what it can use. Returns how to go on. */
static enum device_turn qsource(struct queue *queue, unsigned budget, bool polling)
{
	struct model *model = queue->device->model;
	struct queue_source qsource = source_of(queue, polling);
	bool kicked = queue->kicked, more;

	queue->kicked = false;
	more = model->ops->process_queue(model, queue->index, &qsource.source, budget);
	assert(!qsource.batch);
	if (!queue->open)
		give_up_taken(queue);
	if (qsource.result == RING_UNMAPPED)
		note_unmapped(queue, kicked);
	else
		queue->unmapped = queue->unmapped_logged = false;
	if (!may_take(queue))
		return TURN_IDLE;
	if (qsource.more_came || (more && qsource.result == RING_CHAIN))
		return TURN_MORE;
	return polling && qsource.result == RING_EMPTY ? TURN_EMPTY : TURN_IDLE;
}

/*
 * The same for models that take every chain. What is dry is armed once everything is published.
 *
 * A queue that has just been opened takes little, and twice as much each time. A driver that has
 * waited for it gets something back soon: the memory of a device that has not served before has
 * still to be faulted in, page by page.
 */
static enum device_turn take_turn(struct queue *queue, unsigned budget, bool polling)
{
	enum ring_pop_result r = take(queue, budget < queue->share ? budget : queue->share);

	if (r == RING_CHAIN && queue->share < budget)
		queue->share *= 2;
	publish(queue);
	if (!may_take(queue) || (r != RING_CHAIN && r != RING_EMPTY))
		return TURN_IDLE;
	if (r == RING_EMPTY && polling)
		return TURN_EMPTY;
	return r == RING_CHAIN || ring_enable_notify(&queue->ring) ? TURN_MORE : TURN_IDLE;
}

/* Whether control has to look at what this pass found. */
static bool needs_settling(const struct queue *queue)
{
	const struct device *device = queue->device;
	bool breakable = device->state == STATE_RUNNING || device->state == STATE_SUSPENDING;

	if ((breakable && queue_trouble(queue)) || queue->reapable)
		return true;
	if (queue_in_flight(queue))
		return false;
	return device->state == STATE_SUSPENDING || device->state == STATE_RESETTING ||
	       queue->disable_done;
}

static void ask_to_settle(struct queue *queue)
{
	if (!needs_settling(queue) || queue->settling)
		return;
	queue->settling = true;
	queue->device->runtime->ops->settle(queue->device->runtime);
}

void device_kick_vq(struct device *device, unsigned index)
{
	assert(index < device->queue_count);
	device->queues[index].kicked = true;
	device->queues[index].stats.kicks++;
}

/* Whether the backend has something that nobody will tell of: whoever runs the queue goes on. */
static bool must_look(const struct queue *queue)
{
	const struct model *model = queue->device->model;

	return queue->slots && model->ops->needs_poll &&
	       model->ops->needs_poll(model, queue->index);
}

/* What is dry now may have more in a kind if it had something. */
static enum device_turn after_work(enum device_turn turn, bool worked)
{
	if (!worked)
		return turn;
	return turn == TURN_EMPTY ? TURN_MORE : TURN_DONE;
}

enum device_turn device_turn_queue(struct device *device, unsigned index, unsigned budget,
				   bool polling)
{
	struct queue *queue = &device->queues[index];
	const struct model_ops *ops = device->model->ops;
	enum device_turn turn = TURN_IDLE;
	bool look = must_look(queue);
	uint64_t before;

	assert(index < device->queue_count);
	queue->stats.passes++;
	polling |= look;
	before = queue->next_sequence + queue->stats.requests;
	if (queue->slots && ops->poll)
		ops->poll(device->model, index);
	if (queue->parking && !queue->discard && !queue_stays(queue))
		queue_resubmit(queue);
	if (!queue->open && !queue->discard && !ring_find_place(&queue->ring))
		queue->unmapped = true; /* closed before its first pass: see may_take */
	if (queue->in_flight && is_sated(queue))
		turn = TURN_FULL;
	else if (may_take(queue) && !ops->process_queue)
		turn = take_turn(queue, budget, polling);
	else if (may_take(queue))
		turn = qsource(queue, budget, polling);
	publish(queue);
	if (turn == TURN_EMPTY || turn == TURN_IDLE)
		turn = after_work(turn, before != queue->next_sequence + queue->stats.requests);
	if (must_look(queue) || (look && turn == TURN_EMPTY))
		turn = TURN_MORE;
	if ((turn == TURN_MORE || queue->in_flight) && is_sated(queue))
		turn = TURN_FULL;
	ask_to_settle(queue);
	return turn;
}

bool device_queue_is_inflight(const struct device *device, unsigned index)
{
	assert(index < device->queue_count);
	return device->queues[index].in_flight > 0;
}

/*
 * A borrowing: whoever passes over another queue has something for this one. It is between two
 * passes of this one's worker, by which nothing is lost: what it takes it also completes, and kicks
 * are still the worker's to see. But a borrowing that takes chains withdraws the wish for kicks,
 * and the driver may have seen that before it kicked for them. So whoever leaves work behind has
 * the worker look, which arms the ring if that is what is lacking. (A ring that is armed nobody has
 * taken from.)
 */
int queue_borrow(struct model_port *port, unsigned index, struct chain_source **source)
{
	struct device *device = (struct device *)(void *)port; /* its first member */
	const struct device_runtime_ops *runtime = device->runtime->ops;
	struct queue *queue = &device->queues[index];

	assert(index < device->queue_count);
	if (!runtime->borrow_begin)
		return -EOPNOTSUPP;
	if (!runtime->borrow_begin(device->runtime, index))
		return -EAGAIN;
	if (!queue->open || queue->parking) {
		runtime->borrow_end(device->runtime, index);
		return -EOPNOTSUPP;
	}
	queue->borrow = source_of(queue, true);
	*source = &queue->borrow.source;
	return 0;
}

void queue_give_back(struct model_port *port, unsigned index, bool waiting)
{
	struct device *device = (struct device *)(void *)port;
	const struct device_runtime_ops *runtime = device->runtime->ops;
	struct queue *queue = &device->queues[index];

	assert(!queue->borrow.batch);
	if (queue->borrow.result == RING_UNMAPPED)
		queue->unmapped = true;
	publish(queue);
	if (waiting && !queue->ring.notify_enabled)
		runtime->wake_queue(device->runtime, index);
	ask_to_settle(queue);
	runtime->borrow_end(device->runtime, index);
}

int device_queue_poll_fd(struct device *device, unsigned index, bool *edge)
{
	const struct model_ops *ops = device->model->ops;

	assert(index < device->queue_count);
	*edge = false;
	if (!device->queues[index].slots || !ops->poll_fd)
		return -1;
	*edge = ops->poll_edge && ops->poll_edge(device->model, index);
	return ops->poll_fd(device->model, index);
}
