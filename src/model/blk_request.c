/*
 * virtio-blk: what a request means (virtio 1.3, 5.2.6).
 *
 * A request is its header (16 readable bytes, however they are cut), its data,
 * and its status: the last byte of everything writable. Some are answered at
 * once; the others take one or more steps, each of them one request to the
 * backend:
 *
 *     IN, OUT                 a step per piece of the transfer (transfer.h)
 *     DISCARD, WRITE_ZEROES   a step per range
 *     FLUSH                   one step
 *
 * The backend may finish a step inside block_submit. run() therefore loops
 * over steps that do, and step_done() starts it again for those that do not:
 * the stack does not grow with the number of steps. Once a pass has done enough
 * (BLK_PASS_BYTES), what is still to be begun, or to go on, waits for the next
 * one: see put_off() and blk_go_on().
 *
 * What is wrong with a request and has an answer in virtio gets that answer; a
 * chain without room for header or status has none, and breaks the device. The
 * used length counts what was written from the first writable byte on (virtio 1.3, 2.7.8.2): the
 * data, if all of it was, and the status only where nothing unwritten lies before it.
 */
#include "model/blk_internal.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <stddef.h>

#include "util/bytes.h"

#define HEADER_SIZE sizeof(struct virtio_blk_outhdr)
#define RANGE_SIZE  sizeof(struct virtio_blk_discard_write_zeroes)
/* `begin` of a type gives a status (VIRTIO_BLK_S_*), or this: there is work for the backend. */
#define WORK (-1)

struct blk_type {
	uint32_t type;
	int feature; /* that must have been negotiated; -1: none */
	/* Returns a status, WORK, or -EFAULT. */
	int (*begin)(struct blk_request *r, uint64_t sector);
	/* Fills r->block for the next step; there is at least one. Returns 0 or a negative errno.
	 */
	int (*next)(struct blk_request *r);
	/* The step has succeeded. Returns 1: there is another; 0: that was all (NULL); or -EFAULT.
	 */
	int (*step_done)(struct blk_request *r);
	void (*end)(struct blk_request *r); /* after WORK, however it went */
	void (*count)(struct blk_request *r, struct blk_counters *counters);
};

static struct request *request_of(struct blk_request *r)
{
	return (struct request *)((uint8_t *)r - offsetof(struct request, scratch));
}

static void add(_Atomic uint64_t *counter, uint64_t n)
{
	uint64_t old = atomic_load_explicit(counter, memory_order_relaxed);

	atomic_store_explicit(counter, old + n, memory_order_relaxed);
}

/*
 * virtio 1.3, 5.2.6.2: what is acknowledged is stable, unless the driver knows of a write cache.
 * One that cannot choose has the mode of a new device, whatever one before it chose.
 */
static bool write_through(const struct blk *blk)
{
	bool cache = blk_has(blk, VIRTIO_BLK_F_CONFIG_WCE) ? blk->writeback : blk->write_cache;

	return !blk_has(blk, VIRTIO_BLK_F_FLUSH) || !cache;
}

static void set(_Atomic uint64_t *field, uint64_t value)
{
	atomic_store_explicit(field, value, memory_order_relaxed);
}

/*
 * What the backend failed, for operators. What it does not support is no failure, nor is what it
 * was asked to give back (a reset, the end of the server).
 */
static void note_error(struct blk_queue *queue, int error, enum block_op op, uint64_t offset,
		       uint64_t length)
{
	struct blk_counters *counters = &queue->counters;

	atomic_store_explicit(&counters->last_error, error, memory_order_relaxed);
	if (error == -EOPNOTSUPP || (error == -ECANCELED && queue->cancelling))
		return;
	set(&counters->failed_offset, offset);
	set(&counters->failed_length, length);
	atomic_store_explicit(&counters->failed_op, op, memory_order_relaxed);
	set(&counters->failed_number, atomic_fetch_add(&queue->blk->failures, 1) + 1);
	add(&counters->failures, 1);
}

static void spend(struct blk_request *r, uint64_t bytes)
{
	r->queue->spent += bytes;
}

/* --- IN and OUT -------------------------------------------------------------------------- */

static bool is_within(const struct block_memory *memory, const struct iovec *iov)
{
	uint64_t offset = (uint64_t)((uint8_t *)iov->iov_base - memory->base);

	return memory->id && offset < memory->size && iov->iov_len <= memory->size - offset;
}

/* Looks up where a segment lies and keeps that. */
static const struct block_memory *find_memory(struct blk_request *r, const uint8_t *host)
{
	const struct chain *chain = &request_of(r)->chain;
	unsigned count = chain->readable_count + chain->writable_count;
	struct space_region region;
	struct block_memory *memory;

	for (const struct segment *s = chain->segments; count; s++, count--) {
		if (!s->host || host < s->host || host >= s->host + s->size)
			continue;
		if (!space_find_region(chain->space, s->iova, &region))
			return NULL;
		memory = &r->queue->memory[r->queue->memory_next++ % 2];
		*memory = (struct block_memory){region.id, region.host, region.size};
		return memory;
	}
	return NULL;
}

/* The region of memory that a transfer of one piece is in, for backends that have a use for it. */
static struct block_memory memory_of(struct blk_request *r)
{
	const struct iovec *iov = r->transfer.iov;
	const struct block_memory *memory = r->queue->memory;

	if (is_within(memory, iov) || is_within(++memory, iov))
		return *memory;
	memory = find_memory(r, iov->iov_base);
	return memory && is_within(memory, iov) ? *memory : (struct block_memory){0};
}

static int begin_transfer(struct blk_request *r, uint64_t sector, bool in)
{
	const struct chain *chain = &request_of(r)->chain;
	int error;

	r->data = in ? chain->writable - 1 : chain->readable - HEADER_SIZE;
	if (r->data % BLK_SECTOR || sector > UINT64_MAX / BLK_SECTOR)
		return VIRTIO_BLK_S_IOERR;
	/* of what takes several steps, none is done if one is out of range */
	if (r->data > TRANSFER_BOUNCE &&
	    !block_holds(r->queue->blk->block, sector * BLK_SECTOR, r->data)) {
		note_error(r->queue, -ERANGE, in ? BLOCK_READ : BLOCK_WRITE, sector * BLK_SECTOR,
			   r->data);
		return VIRTIO_BLK_S_IOERR;
	}
	error = transfer_start(&r->transfer, &r->queue->pool, chain, in, in ? 0 : HEADER_SIZE,
			       r->data);
	if (error)
		return VIRTIO_BLK_S_IOERR;
	if (r->transfer.bounce)
		spend(r, BLK_COPIED_SEGMENT * (chain->readable_count + chain->writable_count));
	else if (r->queue->blk->block->wants_memory && r->transfer.iov_count == 1)
		r->block.memory = memory_of(r);
	r->block.op = in ? BLOCK_READ : BLOCK_WRITE;
	r->block.durable = !in && write_through(r->queue->blk);
	r->block.offset = sector * BLK_SECTOR;
	return WORK;
}

static int begin_in(struct blk_request *r, uint64_t sector)
{
	return begin_transfer(r, sector, true);
}

static int begin_out(struct blk_request *r, uint64_t sector)
{
	return begin_transfer(r, sector, false);
}

/* A request without data takes one step as well, so that its sector is checked. */
static int next_piece(struct blk_request *r)
{
	int error = transfer_next(&r->transfer);

	if (error)
		return error;
	r->block.length = r->transfer.size;
	r->block.iov = r->transfer.iov;
	r->block.iov_count = r->transfer.size ? r->transfer.iov_count : 0;
	return 0;
}

static int piece_done(struct blk_request *r)
{
	int error;

	r->block.offset += r->transfer.size;
	if (r->transfer.bounce)
		spend(r, r->transfer.size);
	error = transfer_done(&r->transfer);
	return error ? error : r->transfer.left > 0;
}

static void end_transfer(struct blk_request *r)
{
	transfer_end(&r->transfer);
}

static void count_in(struct blk_request *r, struct blk_counters *counters)
{
	add(&counters->reads, 1);
	add(&counters->read_bytes, r->data);
}

static void count_out(struct blk_request *r, struct blk_counters *counters)
{
	add(&counters->writes, 1);
	add(&counters->written_bytes, r->data);
}

/* --- FLUSH ------------------------------------------------------------------------------- */

static int begin_flush(struct blk_request *r, uint64_t sector)
{
	r->block.op = BLOCK_FLUSH;
	return WORK;
}

static int next_flush(struct blk_request *r)
{
	return 0;
}

static void count_flush(struct blk_request *r, struct blk_counters *counters)
{
	add(&counters->flushes, 1);
}

/* --- DISCARD and WRITE_ZEROES ------------------------------------------------------------ */

/*
 * Reads and checks all ranges before anything is done, once: the driver could change them. Flags
 * that are not defined have an answer of their own (virtio 1.3, 5.2.6.2).
 */
static int begin_ranges(struct blk_request *r, enum block_op op, uint32_t max_sectors,
			uint32_t flags)
{
	uint8_t raw[BLK_MAX_RANGES * RANGE_SIZE];
	const struct chain *chain = &request_of(r)->chain;
	uint64_t size = chain->readable - HEADER_SIZE;

	if (size == 0 || size % RANGE_SIZE || size > sizeof(raw))
		return VIRTIO_BLK_S_IOERR;
	if (chain_read(chain, HEADER_SIZE, raw, size))
		return -EFAULT;
	r->range_count = (unsigned)(size / RANGE_SIZE);
	for (unsigned i = 0; i < r->range_count; i++) {
		const uint8_t *range = raw + i * RANGE_SIZE;
		uint64_t sector = load_le64(range);
		uint32_t count = load_le32(range + 8), set = load_le32(range + 12);

		if (set & ~flags)
			return VIRTIO_BLK_S_UNSUPP;
		if (count > max_sectors || sector > UINT64_MAX / BLK_SECTOR)
			return VIRTIO_BLK_S_IOERR;
		r->ranges[i].offset = sector * BLK_SECTOR;
		r->ranges[i].length = (uint64_t)count * BLK_SECTOR;
		r->ranges[i].unmap = set & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
	}
	r->range = 0;
	r->block.op = op;
	r->block.durable = write_through(r->queue->blk);
	return WORK;
}

static int begin_discard(struct blk_request *r, uint64_t sector)
{
	return begin_ranges(r, BLOCK_DISCARD, BLK_DISCARD_SECTORS, 0);
}

static int begin_write_zeroes(struct blk_request *r, uint64_t sector)
{
	return begin_ranges(r, BLOCK_WRITE_ZEROES, BLK_WRITE_ZEROES_SECTORS,
			    VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP);
}

/* What the backend does at once it gets in slices, too. */
static int next_range(struct blk_request *r)
{
	const struct blk_range *range = &r->ranges[r->range];
	uint64_t slice = r->queue->blk->block->limits.range_slice;

	r->block.offset = range->offset;
	r->block.length = slice && slice < range->length ? slice : range->length;
	r->block.unmap = range->unmap;
	return 0;
}

static int range_done(struct blk_request *r)
{
	struct blk_range *range = &r->ranges[r->range];

	range->offset += r->block.length;
	range->length -= r->block.length;
	if (!range->length)
		r->range++;
	return r->range < r->range_count;
}

static void count_discard(struct blk_request *r, struct blk_counters *counters)
{
	add(&counters->discards, 1);
}

static void count_write_zeroes(struct blk_request *r, struct blk_counters *counters)
{
	add(&counters->write_zeroes, 1);
}

/* --- GET_ID ------------------------------------------------------------------------------ */

static int begin_get_id(struct blk_request *r, uint64_t sector)
{
	const struct chain *chain = &request_of(r)->chain;

	if (chain->writable - 1 < BLK_SERIAL_LENGTH)
		return VIRTIO_BLK_S_IOERR;
	r->data = BLK_SERIAL_LENGTH;
	if (chain_write(chain, 0, r->queue->blk->serial, BLK_SERIAL_LENGTH))
		return -EFAULT;
	return VIRTIO_BLK_S_OK;
}

/* --- All of them ------------------------------------------------------------------------- */

static const struct blk_type types[] = {
	{VIRTIO_BLK_T_IN, -1, begin_in, next_piece, piece_done, end_transfer, count_in},
	{VIRTIO_BLK_T_OUT, -1, begin_out, next_piece, piece_done, end_transfer, count_out},
	{VIRTIO_BLK_T_FLUSH, VIRTIO_BLK_F_FLUSH, begin_flush, next_flush, .count = count_flush},
	{VIRTIO_BLK_T_GET_ID, -1, begin_get_id},
	{VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_F_DISCARD, begin_discard, next_range, range_done,
	 .count = count_discard},
	{VIRTIO_BLK_T_WRITE_ZEROES, VIRTIO_BLK_F_WRITE_ZEROES, begin_write_zeroes, next_range,
	 range_done, .count = count_write_zeroes},
};

/* The type as this driver may use it. virtio 1.3, 5.2.6.2: what is not known is UNSUPP. */
static const struct blk_type *find_type(const struct blk *blk, uint32_t type)
{
	unsigned i = 0;

	while (types[i].type != type)
		if (++i == sizeof(types) / sizeof(types[0]))
			return NULL;
	if (types[i].feature >= 0 && !blk_has(blk, (unsigned)types[i].feature))
		return NULL;
	return &types[i];
}

/*
 * How much of the chain was written without a gap: the data of types that answer with data, and the
 * status if that is next. What a read that failed has written of its data is anybody's guess.
 */
static uint32_t written(struct blk_request *r, int status)
{
	uint32_t type = r->type ? r->type->type : VIRTIO_BLK_T_OUT;
	bool answers = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
	uint64_t data = !status && answers ? r->data : 0;

	if (data == request_of(r)->chain.writable - 1)
		data++;
	return data < UINT32_MAX ? (uint32_t)data : UINT32_MAX;
}

static void count_answer(struct blk_request *r, int status)
{
	struct blk_counters *counters = &r->queue->counters;

	if (status == VIRTIO_BLK_S_IOERR)
		add(&counters->errors, 1);
	else if (status == VIRTIO_BLK_S_UNSUPP)
		add(&counters->unsupported, 1);
	else if (r->type->count)
		r->type->count(r, counters);
}

static void refuse(struct blk_request *r, const char *why)
{
	r->queue->finished++;
	request_refuse(request_of(r), why);
}

static void answer(struct blk_request *r, int status)
{
	struct request *request = request_of(r);

	if (chain_write_last(&request->chain, (uint8_t)status)) {
		refuse(r, "the status of a block request cannot be written: client memory is gone");
		return;
	}
	count_answer(r, status);
	r->queue->finished++;
	request_complete(request, written(r, status));
}

/* The work is over: `error` is the backend's, or -EFAULT of the driver's memory. */
static void finish(struct blk_request *r, int error)
{
	if (r->type->end)
		r->type->end(r);
	if (error == -ECANCELED) {
		/* r is gone if this is true */
		unsigned *finished = &r->queue->finished;

		if (request_cancelled(request_of(r))) {
			++*finished;
			return;
		}
	}
	if (error)
		note_error(r->queue, error, r->block.op, r->block.offset, r->block.length);
	if (error == -EFAULT)
		refuse(r, "the data of a block request cannot be accessed: client memory is gone");
	else if (error == -EOPNOTSUPP)
		answer(r, VIRTIO_BLK_S_UNSUPP);
	else
		answer(r, error ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK);
}

/* The backend's step has ended. Returns as step_done does, or the error. */
static int step_result(struct blk_request *r, int error)
{
	return error || !r->type->step_done ? error : r->type->step_done(r);
}

/* The pass has done enough: the request goes on in the next one. */
static void put_off(struct blk_request *r, enum blk_due due)
{
	r->due = due;
	r->next = NULL;
	*r->queue->waiting_end = r;
	r->queue->waiting_end = &r->next;
}

/* Takes steps until one of them has to be waited for, or there are no more. */
static void run(struct blk_request *r)
{
	int more;

	do {
		more = r->queue->cancelling && r->steps ? -ECANCELED : r->type->next(r);
		if (more < 0)
			break;
		r->steps++;
		r->submitting = true;
		r->finished = false;
		spend(r, r->block.length);
		block_submit(r->queue->channel, &r->block);
		r->submitting = false;
		if (!r->finished)
			return;
		more = step_result(r, r->result);
		if (more > 0 && blk_queue_sated(r->queue)) {
			put_off(r, BLK_DUE_STEP);
			return;
		}
	} while (more > 0);
	finish(r, more);
}

/* The step has ended outside of run(). */
static void go_on_with(struct blk_request *r, int error)
{
	error = step_result(r, error);
	if (error > 0)
		run(r);
	else
		finish(r, error);
}

static void step_done(struct block_request *block, int error)
{
	struct blk_request *r = (struct blk_request *)block;

	r->result = error;
	if (r->submitting)
		r->finished = true;
	else if (blk_queue_sated(r->queue))
		put_off(r, BLK_DUE_RESULT);
	else
		go_on_with(r, error);
}

static void begin(struct blk_request *r)
{
	uint8_t header[HEADER_SIZE];
	int status;

	if (chain_read_head(&request_of(r)->chain, header, sizeof(header))) {
		refuse(r, "the header of a block request cannot be read: client memory is gone");
		return;
	}
	r->type = find_type(r->queue->blk, load_le32(header));
	status = r->type ? r->type->begin(r, load_le64(header + 8)) : VIRTIO_BLK_S_UNSUPP;
	if (status == WORK)
		run(r);
	else if (status < 0)
		refuse(r, "the data of a block request cannot be accessed: client memory is gone");
	else
		answer(r, status);
}

/* A request that nothing was done of: it is begun, unless nobody wants it any more. */
static void begin_late(struct blk_request *r)
{
	struct request *request = request_of(r);
	struct blk_queue *queue = r->queue;

	if (!queue->cancelling) {
		begin(r);
		return;
	}
	spend(r, request->chain.writable); /* to be marked as dirty */
	if (request_cancelled(request))
		queue->finished++;
	else
		answer(r, VIRTIO_BLK_S_IOERR);
}

static void go_on(struct blk_request *r)
{
	switch (r->due) {
	case BLK_DUE_BEGIN:
		begin_late(r);
		break;
	case BLK_DUE_STEP:
		run(r);
		break;
	case BLK_DUE_RESULT:
		go_on_with(r, r->result);
		break;
	}
}

bool blk_go_on(struct blk_queue *queue)
{
	struct blk_request *waiting = queue->waiting, *next;

	queue->spent = 0;
	if (!waiting)
		return false;
	queue->waiting = NULL;
	queue->waiting_end = &queue->waiting;
	for (; waiting; waiting = next) {
		next = waiting->next;
		if (blk_queue_sated(queue))
			put_off(waiting, waiting->due);
		else
			go_on(waiting);
	}
	return true;
}

void blk_handle(struct model *model, struct request *request)
{
	struct blk_request *r = (struct blk_request *)request->scratch;
	struct blk *blk = blk_of(model);

	assert(request->queue < blk->queue_count && blk->queues[request->queue].channel);
	r->queue = &blk->queues[request->queue];
	r->queue->cancelling = false; /* a queue that takes requests is alive */
	r->type = NULL;
	r->data = 0;
	r->steps = 0;
	r->submitting = false;
	r->block.done = step_done;
	r->block.durable = r->block.unmap = false;
	r->block.offset = r->block.length = 0;
	r->block.iov_count = 0;
	r->block.memory.id = 0;
	if (request->chain.readable < HEADER_SIZE)
		refuse(r, "a block request has less than the 16 readable bytes of its header");
	else if (request->chain.writable < 1)
		refuse(r, "a block request has no writable byte for its status");
	else if (blk_queue_sated(r->queue))
		put_off(r, BLK_DUE_BEGIN);
	else
		begin(r);
}
